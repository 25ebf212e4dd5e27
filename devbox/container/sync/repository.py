"""git's part of a checkout: where HEAD is, and the objects that the other end lacks, as one pack.

`.git` itself never travels: hooks, settings and thousands of small files stay here. A history that is large, or is not
all here, is left out: then each commit that HEAD is put to over there has its files, and no parents.
"""

from __future__ import annotations

import os
import re
import shlex
from typing import TYPE_CHECKING, Any, NamedTuple

from devbox.agent.receiver import opened
from devbox.errors import DevboxError, last_lines
from devbox.facts.checkout import gather
from devbox.facts.git import git, packed
from devbox.trust.reach import is_inside

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Bytes of objects, above which no history is sent.
LARGE = 256 << 20
# What is read of a list of what git ignores.
_MOST = 1 << 20


class Head(NamedTuple):
    """The commit that a checkout is at, and the branch, if any."""

    commit: str
    ref: str = ""


def head_of(workspace: Path) -> Head | None:
    """Return where HEAD is; None outside git, in a part of a repository, and before the first commit.

    None, too, where `.git` leads to a repository that does not know this checkout: a checkout's own files may say that
    of any repository of the person's.
    """
    if not (workspace / ".git").exists() or not _is_own(workspace):
        return None
    commit = _said(workspace, "rev-parse", "--verify", "--quiet", "HEAD")
    return Head(commit, _said(workspace, "symbolic-ref", "--quiet", "HEAD")) if commit else None


def _is_own(workspace: Path) -> bool:
    common = os.path.realpath(workspace / _said(workspace, "rev-parse", "--git-common-dir"))
    known = gather(workspace)
    if known.git_dir is None or (known.git_common_dir is None and not is_inside(common, workspace)):
        return False
    if os.path.lexists(f"{common}/objects/info/alternates"):
        # By the hash of a commit, any repository of the person's is in this one.
        return False
    # git follows links of these, and takes what is there for its own.
    links = [f"{common}/{name}" for name in ("packed-refs", "refs", "reftable", "objects")]
    for place in ("refs", "reftable", "objects"):
        for folder, folders, names in os.walk(f"{common}/{place}"):
            links += (f"{folder}/{name}" for name in (*folders, *names))
    return not any(map(os.path.islink, links))


def commits(workspace: Path, head: Head, state: dict[str, Any]) -> tuple[dict[str, Any], Iterator[bytes], int]:
    """Return the message by which the other end gets to `head`, the pack, and about how many bytes a first one has.

    `state` is what the other end said of itself.

    Raises DevboxError where git does not tell what is in them.
    """
    shallow = state["shallow"] or _said(workspace, "rev-parse", "--is-shallow-repository") == "true"
    whole = 0 if state["head"] else _size(workspace)
    shallow = shallow or whole > LARGE
    before = state["head"] if state["head"] and _is_here(workspace, state["head"]) else ""
    tags = {} if shallow else _tags(workspace, head)
    if shallow:
        trees = [f"{head.commit}^{{tree}}", *([f"^{before}^{{tree}}"] if before else [])]
        objects = "\n".join([head.commit, _must(workspace, "rev-list", "--objects", *trees)])
        # git before 2.31 does not tell.
        whole = 0 if before else int(_said(workspace, "rev-list", "--objects", "--disk-usage", *trees) or 0)
    else:
        objects = "\n".join([head.commit, *tags.values(), *([f"^{before}"] if before else [])])
    order = {
        "ask": "repository",
        "head": head.commit,
        "ref": head.ref,
        "shallow": shallow,
        "tags": tags,
        "exclude": _exclude(workspace),
    }
    return order, packed(workspace, objects, revisions=not shallow, first=not before), whole


def _tags(workspace: Path, head: Head) -> dict[str, str]:
    """Return the tags in the history of HEAD, by which builds tell their version."""
    told = _must(workspace, "for-each-ref", "--merged", head.commit, "--format=%(refname) %(objectname)", "refs/tags")
    return dict(line.split(" ", 1) for line in told.splitlines())


def _size(workspace: Path) -> int:
    """Return how many bytes of objects the repository has, packed and loose."""
    told = dict(line.split(": ", 1) for line in _said(workspace, "count-objects", "--verbose").splitlines())
    return sum(int(told.get(name, 0)) for name in ("size", "size-pack")) << 10


def _is_here(workspace: Path, commit: str) -> bool:
    # What the other end says is a container's word, and git knows many more names of commits than hashes.
    done = git(workspace, "cat-file", "-e", commit) if re.fullmatch("[0-9a-f]{40,64}", commit) else None
    return done is not None and done.ok


def _exclude(workspace: Path) -> str:
    """Return what this checkout hides from git beside its `.gitignore`: devbox's own files are among it."""
    folder = workspace / _said(workspace, "rev-parse", "--git-common-dir")
    try:
        # A link may lead to any file of the person's.
        with open(opened(str(folder), "info/exclude"), encoding="utf-8") as stream:  # noqa: PTH123
            return stream.read(_MOST)
    except (OSError, UnicodeDecodeError):
        return ""


def _said(workspace: Path, *args: str) -> str:
    done = git(workspace, *args)
    return done.stdout.strip("\n") if done is not None and done.ok else ""


def _must(workspace: Path, *args: str) -> str:
    done = git(workspace, *args)
    if done is None or not done.ok:
        raise DevboxError(
            f"git does not tell which objects HEAD of {workspace} has, so no commit is sent",
            hint=f"git -C {shlex.quote(str(workspace))} fsck   # or: git fetch --refetch",
            detail=last_lines(done.stderr) or None if done is not None else "it took too long",
        )
    return done.stdout.strip("\n")
