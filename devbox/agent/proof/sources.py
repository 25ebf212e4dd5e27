"""What the sources of a workspace are now: which files there are, their stamps, and the content of those that moved.

A folder is no source if it is version control's, a package manager's, or says itself that it holds what tools made:

    .git .hg .svn node_modules __pycache__      by name
    CMakeCache.txt pyvenv.cfg CACHEDIR.TAG      by a file in it

The content of a file is a hash of its bytes. It is read again only where the stamp differs from the one that came with
the known content; git's index is never asked, since filters, LFS and `assume-unchanged` make "clean by git" untrue.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from ..content import LINK, Entry, await_tick, digest_file
from ..files import Stamp, stamp, stamp_of
from .git import Git

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

GIT = ".git"
NOT_SOURCES = frozenset({GIT, ".hg", ".svn", "node_modules", "__pycache__"})
BUILD_MARK = "CMakeCache.txt"
MARKS = frozenset({BUILD_MARK, "pyvenv.cfg", "CACHEDIR.TAG"})

MANY = 100


class Found(NamedTuple):
    """A walk's result. `links` holds where symlinks point to, `foreign` the user's own build trees in the checkout."""

    stamps: dict[str, Stamp]
    links: dict[str, str]
    foreign: list[str]


def walk(root: str, *, prefix: str = "", leave_out: Collection[str] = ()) -> Found:
    """Return the source files below `root`; their paths start with `prefix`. `leave_out` are no sources."""
    found = Found({}, {}, [])
    pending = [""]
    while pending:
        inner = pending.pop()
        try:
            with os.scandir(os.path.join(root, inner)) as listing:
                entries = list(listing)
        except OSError:  # removed meanwhile, or not ours to read: then the compiler cannot read it either
            continue
        if inner:
            marks = MARKS.intersection(entry.name for entry in entries)
            if marks:
                if BUILD_MARK in marks:
                    found.foreign.append(prefix + inner.rstrip("/"))
                continue
        elif any(entry.name == BUILD_MARK for entry in entries):
            found.foreign.append(prefix or ".")
        _sort_in(found, entries, prefix, inner, pending)
    for path in leave_out:
        found.stamps.pop(path, None)
    return found


def _sort_in(found: Found, entries: Iterable[os.DirEntry[str]], prefix: str, inner: str, pending: list[str]) -> None:
    for entry in entries:
        name = entry.name
        try:
            if entry.is_dir(follow_symlinks=False):
                if name not in NOT_SOURCES:
                    pending.append(f"{inner}{name}/")
                continue
            if name == GIT:  # a worktree's or a submodule's, which says where the repository is
                continue
            if entry.is_symlink():
                found.links[prefix + inner + name] = os.readlink(entry.path)
            elif not entry.is_file(follow_symlinks=False):
                continue
            found.stamps[prefix + inner + name] = stamp(entry.stat(follow_symlinks=False))
        except OSError:
            continue


class Sources:
    """The sources of one build tree: the workspace, the tree's own FetchContent checkouts, and git's index and HEAD."""

    def __init__(self, workspace: str, tree: str, leave_out: Collection[str] = ()) -> None:
        """Take two absolute folders, and the workspace's files that are no sources (what the build installs there)."""
        self.workspace = workspace
        self.tree = tree
        self.leave_out = leave_out
        self.git = Git(workspace)
        self.foreign: list[str] = []

    def path(self, name: str) -> str:
        """Return the absolute path of an entry."""
        return os.path.join(self.workspace, name)

    def stamps(self) -> Found:
        """Return what is there now."""
        found = walk(self.workspace, leave_out=self.leave_out)
        checkouts = os.path.join(self.tree, "_deps")
        if os.path.isdir(checkouts):
            for name in sorted(os.listdir(checkouts)):
                if name.endswith("-src"):
                    root = os.path.join(checkouts, name)
                    inner = walk(root, prefix=root + "/")
                    found.stamps.update(inner.stamps)
                    found.links.update(inner.links)
        for name in self.git.names:
            known = stamp_of(self.path(name))
            if known is not None:
                found.stamps[name] = known
        self.foreign = found.foreign
        return found

    def entries(
        self, known: Mapping[str, Entry], more: Callable[[], Sequence[Mapping[str, Entry]]]
    ) -> dict[str, Entry]:
        """Return what is there now, with contents. Read are those whose stamp is not that of the `known` entry.

        Where many would have to be read, `more` is asked first for other entries that may have their stamps.
        """
        found = self.stamps()
        result: dict[str, Entry] = {}
        fresh = []
        for name, now in found.stamps.items():
            entry = known.get(name)
            if entry is not None and entry[1:] == now:
                result[name] = entry
            else:
                fresh.append(name)
        if fresh:
            self._read(fresh, found, more() if len(fresh) > MANY else (), result)
        for name in self.git.names:
            entry = result.get(name)
            if entry is not None:
                result[name] = entry._replace(content=self.git.content(name, entry.content))
        return result

    def _read(
        self, names: Sequence[str], found: Found, known: Sequence[Mapping[str, Entry]], result: dict[str, Entry]
    ) -> None:
        await_tick(found.stamps[name] for name in names)
        for name in names:
            if name in found.links:
                result[name] = Entry(LINK + found.links[name], *found.stamps[name])
                continue
            now = stamp_of(self.path(name))
            if now is None:
                continue
            entry = next(
                (entry for entry in (entries.get(name) for entries in known) if entry and entry[1:] == now), None
            )
            result[name] = entry or Entry(self.content(name), *now)

    def content(self, name: str) -> str:
        """Read the content of a regular file anew."""
        return self.git.content(name) if name in self.git.names else digest_file(self.path(name))
