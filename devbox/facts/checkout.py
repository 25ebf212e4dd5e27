"""The checkout: where its repository lies, which commit it is on, and which of its container files git tracks."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal

from devbox import lean
from devbox.facts.git import git
from devbox.facts.model import Checkout


def gather(path: Path) -> Checkout:
    """Return the facts of the checkout at `path`; without git, or outside it, only the path is known.

    `git_top` is spelled like `path` where both are the same folder, and as git resolves it otherwise.
    """
    folder = Path(os.path.abspath(path))  # noqa: PTH100  # symlinks stay as the user gave them
    where = ("rev-parse", "--show-toplevel", "--absolute-git-dir", "--git-common-dir")
    # One call tells all of it; in a repository without a commit HEAD makes it fail.
    answers = _lines(folder, *where, "HEAD") or _lines(folder, *where)
    if len(answers) < 3:
        return Checkout(folder)
    top, git_dir = Path(answers[0]), Path(answers[1])
    common = _resolved(folder / answers[2])
    linked = _is_linked(top, git_dir, common) or _is_submodule(folder, top, git_dir, common)
    return Checkout(
        path=folder,
        git_top=folder if _same(top, folder) else top,
        git_dir=git_dir,
        git_common_dir=common if linked else None,
        git_link=_link(top, git_dir) if linked else "absolute",
        head=answers[3] if len(answers) > 3 else None,
        tracked=_tracked(folder),
    )


def _lines(folder: Path, *args: str) -> list[str]:
    done = git(folder, *args)
    return done.stdout.splitlines() if done is not None and done.ok else []


def _tracked(folder: Path) -> frozenset[str]:
    done = git(folder, "ls-files", "-z", "--", ".devcontainer*")
    return frozenset(done.stdout.split("\0")) - {""} if done is not None and done.ok else frozenset()


def _resolved(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _is_linked(top: Path, git_dir: Path, common: Path) -> bool:
    """Return whether the repository at `common` knows the worktree at `top` as its own.

    The common folder is mounted into the container. A `.git` file that a container has written may point to any
    repository of the person's; only the link back, which lies in that repository, cannot be planted.
    """
    if common == _resolved(git_dir):
        return False
    try:
        back = lean.text(git_dir / "gitdir").strip()
    except (OSError, UnicodeDecodeError):
        return False
    return _resolved(git_dir).parent == common / "worktrees" and _same(git_dir / back, top / ".git")


def _is_submodule(folder: Path, top: Path, git_dir: Path, common: Path) -> bool:
    """Return whether the repository at `common`, outside of `top`, names `top` as its only worktree.

    As above, the link back is what counts: a submodule's repository has it as `core.worktree`. git follows that, so
    `folder` may lie elsewhere.
    """
    if not _resolved(folder).is_relative_to(_resolved(top)):
        return False
    if common != _resolved(git_dir) or not (top / ".git").is_file():
        return False
    try:
        settings = lean.text(git_dir / "config")
    except (OSError, UnicodeDecodeError):
        return False
    found = re.search(r"^\s*worktree\s*=\s*(.+?)\s*$", settings, re.MULTILINE)
    return found is not None and _same(git_dir / found[1].strip('"'), top)


def _link(top: Path, git_dir: Path) -> Literal["absolute", "relative", "both"]:
    """Return how the file `.git` of a worktree or a submodule points to its repository."""
    try:
        relative = not lean.text(top / ".git").removeprefix("gitdir:").strip().startswith("/")
    except (OSError, UnicodeDecodeError):
        return "absolute"
    return "relative" if relative else "both" if (git_dir / "modules").is_dir() else "absolute"


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
