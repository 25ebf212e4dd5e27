"""The checkout: where its repository lies, which commit it is on, and which of its container files git tracks."""

from __future__ import annotations

import os
from pathlib import Path

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
    return Checkout(
        path=folder,
        git_top=folder if _same(top, folder) else top,
        git_dir=git_dir,
        git_common_dir=common if _is_linked(top, git_dir, common) else None,
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
        back = (git_dir / "gitdir").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return False
    return _resolved(git_dir).parent == common / "worktrees" and _same(git_dir / back, top / ".git")


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
