"""Which times of source files to set before a build, so that ninja rebuilds what it must and nothing else.

ninja compares times. `git switch` there and back leaves every file as it was but newer, and setting a time back can
hide a change from ninja. So a time is lowered only on proof that the tree's objects were made from exactly this
content, and a file that ninja could miss is made newer. In doubt, rebuild.

The proof is the record of the tree's last attempt. It is *trusted* if that attempt was closed and nobody ran ninja
since. A file with the stamp that the record has was not touched since and is left alone. Of the others:

- trusted, and the content is the recorded one: it gets the recorded time. Lowering it needs more: every other build
  tree of the workspace recorded the same content for it, and none of them is being built.
- otherwise, it is set to now, unless its time is newer than anything which that attempt could have compiled.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from ..files import stamp
from .sources import UNKNOWN, Entry, await_tick

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .sources import Sources

FOREVER = 1 << 63


class Base(NamedTuple):
    """What is known from the tree's last attempt. `end` is FOREVER where it is not known when its last compile was.

    `start_counts` says whether ninja judges an object by when its command started (1.12 and newer) and not by when it
    ended.
    """

    files: Mapping[str, Entry]
    trusted: bool
    start: int
    end: int
    start_counts: bool = True


class Change(NamedTuple):
    """One file whose time is to be set: to `mtime`, or to now where that is None. `content` is what it holds."""

    path: str
    mtime: int | None
    content: str
    lowers: bool


def settled(entry: Entry, base: Base) -> bool:
    """Return whether the file's time is newer than anything that the last attempt could have compiled.

    A time that no one has set (it equals the time of the last change to the inode) is when the content changed. ninja
    sees that even in the middle of an attempt, by the start of the command; a time that was set, or came with a
    rename, says nothing.
    """
    if entry.mtime > base.end:
        return True
    return base.start_counts and entry.mtime == entry.ctime and entry.mtime > base.start


def plan(files: Mapping[str, Entry], base: Base, may_lower: Callable[[str, str], bool]) -> list[Change]:
    """Return the changes to make to the times of `files`. `may_lower(path, content)` is asked only where it matters."""
    changes = []
    for path, entry in files.items():
        known = base.files.get(path)
        if known is not None and known[1:] == entry[1:]:
            continue
        if base.trusted and known is not None and known.content == entry.content != UNKNOWN:
            lowers = entry.mtime > known.mtime
            if entry.mtime != known.mtime and not entry.is_link and (not lowers or may_lower(path, entry.content)):
                changes.append(Change(path, known.mtime, entry.content, lowers))
        elif entry.is_link or not settled(entry, base):
            changes.append(Change(path, None, entry.content, lowers=False))
    return changes


class Healed(NamedTuple):
    """What was done.

    `lowered` and `lifted` got their recorded time again, a newer one and an older one before; `raised` were made newer,
    and the time of `failed` could not be set.
    """

    lowered: list[str]
    lifted: list[str]
    raised: list[str]
    failed: list[str]


def apply(changes: list[Change], sources: Sources, files: dict[str, Entry]) -> Healed:
    """Make the changes, and bring `files` up to date; a path whose time could not be set is dropped from it."""
    healed = Healed([], [], [], [])
    # Links come last: what they point to is made newer after it got its own time.
    for change in sorted(changes, key=lambda change: change.content.startswith("@")):
        entry = files[change.path]
        if entry.is_link:
            _raise_behind(change.path, sources, files, healed)
            continue
        path = sources.path(change.path)
        try:
            if change.mtime is None:
                os.utime(path)
                files[change.path] = Entry(entry.content, *stamp(os.stat(path)))
                healed.raised.append(change.path)
                continue
            os.utime(path, ns=(change.mtime, change.mtime))
            now = stamp(os.stat(path))
            # Whoever wrote to the file since its content was read would have that change hidden.
            if sources.content(change.path) != change.content:
                os.utime(path)
                del files[change.path]
                healed.raised.append(change.path)
                continue
            files[change.path] = Entry(entry.content, *now)
            (healed.lowered if change.lowers else healed.lifted).append(change.path)
        except FileNotFoundError:
            files.pop(change.path, None)
        except OSError:
            if not change.lowers:
                files.pop(change.path, None)
                healed.failed.append(change.path)
    _verify(healed.raised, sources, files)
    return healed


def _verify(raised: list[str], sources: Sources, files: dict[str, Entry]) -> None:
    """Drop what was written to in the very tick of the clock that it was made newer in: its stamp would not show it."""
    await_tick(files[path].stamp for path in raised if path in files)
    for path in raised:
        entry = files.get(path)
        if entry is not None and sources.content(path) != entry.content:
            del files[path]


def _raise_behind(name: str, sources: Sources, files: dict[str, Entry], healed: Healed) -> None:
    """Make newer what a link points to, inside the workspace: these were not its files before, whatever their age."""
    top = os.path.realpath(sources.workspace) + os.sep
    target = os.path.realpath(sources.path(name))
    if not target.startswith(top):
        return
    behind = target[len(top) :]
    for path in [behind] if behind in files else [path for path in files if path.startswith(behind + "/")]:
        if files[path].is_link:
            continue
        try:
            os.utime(sources.path(path))
            files[path] = Entry(files[path].content, *stamp(os.stat(sources.path(path))))
            healed.raised.append(path)
        except OSError:  # one that is not ours says nothing of the next
            files.pop(path)
            healed.failed.append(path)
