"""git's part of a checkout: where HEAD is, and the objects that the other end lacks, as one pack.

`.git` itself never travels: hooks, settings and thousands of small files stay here. A history that is large, or is not
all here, is left out: then each commit that HEAD is put to over there has its files, and no parents.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from devbox.facts.git import git, packed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Bytes of packs, above which no history is sent.
LARGE = 256 << 20


class Head(NamedTuple):
    """The commit that a checkout is at, and the branch, if any."""

    commit: str
    ref: str = ""


def head_of(workspace: Path) -> Head | None:
    """Return where HEAD is; None outside git, in a part of a repository, and before the first commit."""
    if not (workspace / ".git").exists():
        return None
    commit = _said(workspace, "rev-parse", "--verify", "--quiet", "HEAD")
    return Head(commit, _said(workspace, "symbolic-ref", "--quiet", "HEAD")) if commit else None


def commits(workspace: Path, head: Head, state: dict[str, Any]) -> tuple[dict[str, Any], Iterator[bytes]]:
    """Return the message by which the other end gets to `head`, and the pack. `state` is what it said of itself."""
    shallow = state["shallow"] or _said(workspace, "rev-parse", "--is-shallow-repository") == "true"
    shallow = shallow or (not state["head"] and _size(workspace) > LARGE)
    before = state["head"] if state["head"] and _is_here(workspace, state["head"]) else ""
    tags = {} if shallow else _tags(workspace, head)
    if shallow:
        trees = [f"{head.commit}^{{tree}}", *([f"^{before}^{{tree}}"] if before else [])]
        objects = "\n".join([head.commit, _said(workspace, "rev-list", "--objects", *trees)])
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
    return order, packed(workspace, objects, revisions=not shallow)


def _tags(workspace: Path, head: Head) -> dict[str, str]:
    """Return the tags in the history of HEAD, by which builds tell their version."""
    told = _said(workspace, "for-each-ref", "--merged", head.commit, "--format=%(refname) %(objectname)", "refs/tags")
    return dict(line.split(" ", 1) for line in told.splitlines())


def _size(workspace: Path) -> int:
    folder = workspace / _said(workspace, "rev-parse", "--git-path", "objects/pack")
    return sum(one.stat().st_size for one in folder.glob("*.pack"))


def _is_here(workspace: Path, commit: str) -> bool:
    done = git(workspace, "cat-file", "-e", commit)
    return done is not None and done.ok


def _exclude(workspace: Path) -> str:
    """Return what this checkout hides from git beside its `.gitignore`: devbox's own files are among it."""
    try:
        return (workspace / _said(workspace, "rev-parse", "--git-path", "info/exclude")).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _said(workspace: Path, *args: str) -> str:
    done = git(workspace, *args)
    return done.stdout.strip("\n") if done is not None and done.ok else ""
