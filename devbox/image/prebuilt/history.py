"""The commits and tags of a checkout that an image may have been published for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from devbox.errors import UsageError
from devbox.facts.git import git
from devbox.image.building.source import revision
from devbox.values import dataclass

if TYPE_CHECKING:
    from pathlib import Path

# How far back an image of a commit is looked for, where nothing else says so.
BACK = 50
_SHA = re.compile(r"[0-9a-f]{7,40}")
# Where the main line lies: a fork's own is behind, so the remote that forks call upstream comes first.
_MAIN = tuple(
    f"refs/remotes/{remote}/{branch}" for remote in ("upstream", "origin") for branch in ("HEAD", "main", "master")
)


@dataclass(frozen=True, slots=True)
class History:
    """A checkout's history, each list the newest first; outside git it is no more than the tag of a source archive.

    `since_head` are the first parents of the commit asked for, itself the first; `since_base` those of the commit at
    which it left the main line. `tags` are those that it holds.
    """

    since_head: tuple[str, ...] = ()
    since_base: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


def gather(workspace: Path, ref: str | None = None, *, back: int = BACK) -> History:
    """Return the history of the checkout at `ref` (its HEAD where none is given), `back` commits of it.

    Where `ref` is given, it alone is asked for: the main line is not looked at. A commit's whole or abbreviated hash
    that the checkout does not have stands for itself. Raises UsageError for another ref that it does not have.
    """
    head = _commit(workspace, ref or "HEAD")
    if head is None:
        if ref is None:
            # A source archive of a release says which one it is.
            version = revision(workspace).version
            return History(tags=(f"v{version}",) if version else ())
        if _SHA.fullmatch(ref):
            return History((ref,), (ref,))
        raise UsageError(f"{workspace} has no commit '{ref}'", hint="HEAD, a branch, a tag, or a commit's hash")
    since_head = _first_parents(workspace, head, back)
    base = head if ref is not None else _base(workspace, head)
    since_base = since_head if base == head else _first_parents(workspace, base, back)
    return History(since_head, since_base, _tags(workspace, head))


def _commit(workspace: Path, ref: str) -> str | None:
    return next(
        iter(_lines(workspace, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")), None
    )


def _base(workspace: Path, head: str) -> str:
    """Return where `head` left the main line; itself where that is not known."""
    for main in _MAIN:
        found = _lines(workspace, "merge-base", head, main)
        if found:
            return found[0]
    return head


def _first_parents(workspace: Path, commit: str, back: int) -> tuple[str, ...]:
    # In a shallow clone it ends where that does.
    return tuple(_lines(workspace, "rev-list", "--first-parent", f"--max-count={back + 1}", commit)) or (commit,)


def _tags(workspace: Path, head: str) -> tuple[str, ...]:
    form = ("--sort=-creatordate", "--sort=-version:refname", "--format=%(refname:strip=2)")
    return tuple(_lines(workspace, "for-each-ref", *form, f"--merged={head}", "refs/tags"))


def _lines(workspace: Path, *args: str) -> list[str]:
    done = git(workspace, *args)
    return done.stdout.split("\n")[:-1] if done is not None and done.ok else []
