"""A look at files: what each held at one moment. Two looks are the ends of a window, in which a file moved or not."""

from __future__ import annotations

import os
import stat as stat_
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from ..content import DIGEST, FINE_TICK_NS, UNKNOWN, Entry, await_tick, content
from ..files import Stamp

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .columns import Reader, Writer
    from .git import Git

# More than this between the clock and the time since the machine started, and somebody set the clock.
STEP_NS = 50_000_000
ABSENT = Entry(UNKNOWN, 0, 0, 0, 0, 0)


def stamp(status: os.stat_result) -> Stamp:
    """Return the stamp of a file that may lie anywhere."""
    return Stamp(status.st_mtime_ns, status.st_size, status.st_ctime_ns, status.st_ino, status.st_dev)


class Look(NamedTuple):
    """What was seen: `files` by name, `ways` by the folder or link on the way to one, and when.

    `time` is what the clock said at the beginning, `since` how long the machine had run. A file that was not there is
    in `files` with an unknown content and no inode.
    """

    files: dict[str, Entry]
    ways: dict[str, Stamp]
    time: int
    since: int


NOTHING = Look({}, {}, 0, 0)


def write(look: Look, table: Writer) -> dict[str, Any]:
    """Add a look to the columns of a record, and return what is to be in its head."""
    entries = look.files.values()
    table.words(look.files)
    table.hashes([one.content for one in entries], DIGEST)
    for column in (
        [one.mtime for one in entries],
        [one.size for one in entries],
        [one.ctime - one.mtime for one in entries],
        [one.inode for one in entries],
        [one.device for one in entries],
    ):
        table.numbers(column)
    return {"files": len(look.files), "ways": look.ways, "time": look.time, "since": look.since}


def read(table: Reader) -> Look:
    """Return the look in a record."""
    said = table.head
    count = said["files"]
    names, contents = table.words(count), table.hashes(count, DIGEST)
    mtimes, sizes, later, inodes, devices = (table.numbers() for _ in range(5))
    ctimes = map(int.__add__, mtimes, later)
    files = dict(zip(names, map(Entry, contents, mtimes, sizes, ctimes, inodes, devices)))
    return Look(files, {name: Stamp._make(one) for name, one in said["ways"].items()}, said["time"], said["since"])


def from_json(value: Any) -> Look:
    """Return the look as earlier versions wrote it."""
    return Look(
        {name: Entry._make(entry) for name, entry in value["files"].items()},
        {name: Stamp._make(one) for name, one in value["ways"].items()},
        value["time"],
        value["since"],
    )


def running_ns() -> int:
    """Return how long the machine has been running, sleep included: nobody sets that."""
    return time.clock_gettime_ns(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Eye:
    """Looks at the files of one tree."""

    def __init__(self, tree: str, git: Git) -> None:
        """Take the tree, which names are relative to, and the checkout's git, whose HEAD and index it may read."""
        self._tree = tree
        self.inside = git.workspace + os.sep
        self._git = {os.path.join(git.workspace, name): name for name in git.names}
        self._says = git
        self.git_head = list(self._git)[:1]
        self._ways: dict[str, tuple[str, ...]] = {}
        self._links: dict[str, tuple[str, ...]] = {}

    def look(
        self, names: Iterable[str], known: Look, more: Sequence[Mapping[str, Entry]] = (), begun: Look = NOTHING
    ) -> Look:
        """Look at files; those are read whose stamp is neither that of the `known` look, nor of one of the `more`.

        What was looked at in the `begun` look is taken from it, and the look is as old as that.
        """
        now, running = (begun.time, begun.since) if begun.time else (time.time_ns(), running_ns())
        files: dict[str, Entry] = {}
        fresh = []
        before = known.files
        below = os.path.join(self._tree, "")
        lstat, is_link, seen = os.lstat, stat_.S_ISLNK, begun.files
        for name in names:
            # A tree has tens of thousands of files, and a build with nothing to do looks at each.
            if name in seen:
                files[name] = seen[name]
                continue
            path = name if name.startswith("/") else below + name
            try:
                status = lstat(path)
                if is_link(status.st_mode):
                    self._links.setdefault(name, ())
                    status = os.stat(path)
            except OSError:
                files[name] = ABSENT
                continue
            entry = before.get(name)
            if (
                entry is not None
                and entry.mtime == status.st_mtime_ns
                and entry.ctime == status.st_ctime_ns
                and entry.inode == status.st_ino
                and entry.size == status.st_size
                and entry.device == status.st_dev
            ):
                files[name] = entry
                continue
            there = stamp(status)
            others = (each.get(name) for each in more)
            # A record of sources does not say the device.
            said = next((one.content for one in others if one is not None and one[1:5] == there[:4]), UNKNOWN)
            if said == UNKNOWN:
                fresh.append(name)
            else:
                files[name] = Entry(said, *there)
        if fresh:
            self._read(fresh, files)
        for path, name in self._git.items():
            if path in files:
                files[path] = files[path]._replace(content=self._says.content(name))
        return Look(files, self._look_at_ways(files), now, running)

    def _read(self, names: Sequence[str], files: dict[str, Entry]) -> None:
        stats = {}
        for name in names:
            path = os.path.join(self._tree, name)
            try:
                stats[name] = os.stat(path)
            except OSError:
                files[name] = ABSENT
        await_tick(map(stamp, stats.values()))
        now = time.time_ns()
        for name in stats:
            path = os.path.join(self._tree, name)
            try:
                status = os.stat(path)
            except OSError:
                files[name] = ABSENT
                continue
            said = stamp(status)
            if said.ctime > now:
                # The clock was set back: a later write may leave the very same stamp, so it is read each time.
                said = said._replace(ctime=-1)
            files[name] = Entry(content(path, status), *said)

    def _look_at_ways(self, files: Iterable[str]) -> dict[str, Stamp]:
        found: dict[str, Stamp] = {}
        for way in {self.way(name) for name in files}:
            for place in way:
                if place not in found:
                    try:
                        found[place] = stamp(os.lstat(place))
                    except OSError:
                        found[place] = Stamp(0, 0, 0, 0)
        return found

    def way(self, name: str) -> tuple[str, ...]:
        """Return the folders and links on the way to a file, none for one in the tree, which is ours."""
        if not name.startswith("/"):
            return ()
        folder = name[: name.rindex("/")]
        way = self._ways.get(folder)
        if way is None:
            way = self._ways[folder] = self._way(os.path.dirname(name))
        if name in self._links:
            further = self._links[name]
            if not further:
                further = self._links[name] = (*way, name, *self._way(os.path.dirname(os.path.realpath(name))))
            return further
        return way

    def _way(self, folder: str, depth: int = 0) -> tuple[str, ...]:
        above = os.path.dirname(folder)
        if above == folder or depth > 40:
            return ()
        way = self._ways.get(above)
        if way is None:
            way = self._ways[above] = self._way(above, depth + 1)
        try:
            link = stat_.S_ISLNK(os.lstat(folder).st_mode)
        except OSError:
            link = False
        further = self._way(os.path.realpath(folder), depth + 1) if link else ()
        return tuple(dict.fromkeys((*way, folder, *further)))


class Window:
    """What moved between two looks; in doubt, it did."""

    def __init__(self, before: Look, after: Look, eye: Eye) -> None:
        """Take the looks at its ends."""
        self.before = before
        self.after = after
        self._eye = eye
        slept = after.since - before.since
        # What was not looked at before is judged by the clock, if that went its way.
        self._steady = slept >= 0 and abs((after.time - before.time) - slept) < STEP_NS
        self._turned: dict[tuple[str, ...], bool] = {}

    def moved(self, name: str) -> bool:
        """Whether a file may have been another one within the window."""
        before, after = self.before.files.get(name), self.after.files[name]
        if before is None:
            if not after.inode or self._recent(after):
                return True
        elif before[1:] != after[1:] or before.content != after.content or after.ctime < 0:
            return True
        way = self._eye.way(name)
        turned = self._turned.get(way)
        if turned is None:
            turned = self._turned[way] = any(self._place_moved(place) for place in way)
        return turned

    def older(self, name: str, start: int) -> bool:
        """Whether a file, and the way to it, were as they are now when the clock said `start`."""
        entry = self.after.files.get(name)
        if entry is None or not entry.inode or not self._steady:
            return False
        if not 0 <= entry.ctime < start - FINE_TICK_NS:
            return False
        for place in self._eye.way(name):
            there = self.after.ways[place]
            only_listed = there.mtime == there.ctime and not place.startswith(self._eye.inside)
            if there.ctime >= start - FINE_TICK_NS and not only_listed:
                return False
        return True

    def _recent(self, entry: Entry | Stamp) -> bool:
        return not self._steady or entry.ctime < 0 or entry.ctime >= self.before.time - FINE_TICK_NS

    def _place_moved(self, place: str) -> bool:
        """Whether a folder or link may have been another one: renamed away and back, or exchanged.

        That changes the time of the last change of its own, and the folder that it is in. A file that came or went in
        a folder changes both times of that folder alike, and may hide the other; outside the checkout, where files come
        and go in folders that everybody shares, it is taken for just that.
        """
        before, after = self.before.ways.get(place), self.after.ways[place]
        if before is None:
            if not self._recent(after):
                return False
            came = after.mtime == after.ctime
        else:
            if before == after:
                return False
            if (before.inode, before.device) != (after.inode, after.device):
                return True
            came = before.mtime != after.mtime and after.mtime == after.ctime
        if came and not place.startswith(self._eye.inside):
            return False
        return not came or self._listed_anew(os.path.dirname(place))

    def _listed_anew(self, folder: str) -> bool:
        before, after = self.before.ways.get(folder), self.after.ways.get(folder)
        if after is None:
            return False  # the root, which nobody renames
        return self._recent(after) if before is None else before.mtime != after.mtime
