"""Which edges of a tree are dirty, by content alone.

Pure: it is given the edges, ninja's log, what was known of the outputs, and two looks, and says what is known now.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from ..content import UNKNOWN
from .made import NOT_PROVEN, Made, hashed, together, version

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from ..files import Stamp
    from ..ninja.log import Line
    from .edges import Edge, Edges
    from .look import Window

MILLISECOND = 1_000_000
# How much later than the log says the time of an output may be: the clock of files ticks.
LATE_NS = 30_000_000


class Seen(NamedTuple):
    """What is there at the end of a window beside files: ninja's log, the stamps of outputs, and more.

    `environment` is what compilers read there, and `shadowed` has, for the first output of an edge that may read
    another file now, the name that came.
    """

    log: Mapping[str, Line]
    outputs: Mapping[str, Stamp | None]
    environment: str = ""
    shadowed: Mapping[str, str] = {}


class Judged(NamedTuple):
    """What is known now: `made` of every output, which edges are `dirty` with the reason, and which were not proven."""

    made: dict[str, Made]
    dirty: list[tuple[Edge, str]]
    clean: list[Edge]
    unproven: list[str]


class _Judge:
    """The state of one judgement: the edges are told one after the other, what makes something before what reads it.

    Of those that are not `chosen` everything is as it was.
    """

    def __init__(
        self, edges: Edges, before: Mapping[str, Made], seen: Seen, window: Window, chosen: Collection[Edge]
    ) -> None:
        self.edges = edges
        self.before = before
        self.seen = seen
        self.window = window
        self.chosen = chosen
        self.environment = hashed("", seen.environment)
        self.values: dict[str, int] = {}
        self.moved: dict[str, bool] = {}
        self.ran: dict[str, Line] = {}
        self.began: dict[int, int] | None = None
        as_it_was = (name for name in before if (maker := edges.maker.get(name)) is not None and maker not in chosen)
        self.result = Judged({name: before[name] for name in as_it_was}, [], [], [])

    def value(self, name: str) -> int:
        """Return the hash of what a file holds; of what nobody knows, one that is like no other."""
        found = self.values.get(name)
        if found is None:
            entry = self.window.after.files.get(name)
            if self.is_as_it_was(name):
                found = hashed(name, self.before[name].version)
            elif entry is None or entry.content == UNKNOWN:
                found = hashed(name, os.urandom(16).hex())
            else:
                found = hashed(name, entry.content)
            self.values[name] = found
        return found

    def has_moved(self, name: str) -> bool:
        found = self.moved.get(name)
        if found is None:
            found = self.moved[name] = not self.is_as_it_was(name) and self.window.moved(name)
        return found

    def is_as_it_was(self, name: str) -> bool:
        """Whether a file is what an edge made that is not judged again."""
        maker = self.edges.maker.get(name)
        return name in self.before and maker is not None and maker not in self.chosen

    def phony(self, edge: Edge) -> None:
        """Take a name of other files for what they hold, unless there is a file of that name."""
        for name in edge.outputs:
            if name in self.window.after.files and self.window.after.files[name].inode:
                continue
            self.values[name] = int(together(map(self.value, edge.inputs)), 16)
            self.moved[name] = any(map(self.has_moved, edge.inputs))

    def command(self, edge: Edge) -> None:
        log, outputs = self.seen.log, self.seen.outputs
        lines = [log[name] for name in edge.names if name in log]
        there = {name: now for name in edge.outputs if (now := outputs[name]) is not None}
        if not lines and self._is_only_forgotten(edge, there):
            for name in there:
                self._note(name, self.before[name], moved=False)
            self.result.clean.append(edge)
            return
        if not lines or not there:
            self._absent(edge)
            return
        self.moved.update((name, True) for name in edge.outputs if name not in there)
        line = lines[0]
        ran = any(one is None or not one.is_of(line) for one in map(self.before.get, there))
        reads = together([self.environment, *map(self.value, edge.reads)])
        why = self._after_a_run(edge, line, there, reads) if ran else self._after_none(edge, there, reads)
        if edge.outputs[0] in self.seen.shadowed:
            why = f"{self.seen.shadowed[edge.outputs[0]]} came, which it may read"
            for name in there:
                self.result.made[name] = self.result.made[name]._replace(reads=NOT_PROVEN)
        if len(lines) < len(edge.names) or len(there) < len(edge.outputs):
            return  # ninja makes by itself what is not there, or what it does not know
        if why is None:
            self.result.clean.append(edge)
        else:
            self.result.dirty.append((edge, why))

    def _after_a_run(self, edge: Edge, line: Line, there: Mapping[str, Stamp], reads: str) -> str | None:
        proven = self._is_proven(edge, line, there)
        for name, now in there.items():
            one = self.before.get(name)
            as_it_was = one is not None and one.stamp == now
            left = one.version if one is not None and as_it_was else version(now)
            made = Made(line.start, line.end, line.mtime, line.command, reads if proven else NOT_PROVEN, left, now)
            self._note(name, made, moved=self._is_late(edge, name, line, now))
            self.ran[name] = line
        if proven:
            return None
        self.result.unproven.append(edge.outputs[0])
        return "something that it was made from moved meanwhile"

    def _after_none(self, edge: Edge, there: Mapping[str, Stamp], reads: str) -> str | None:
        why = None
        for name, now in there.items():
            one = self.before[name]
            as_left = now == one.stamp or self._is_same(edge, name)
            self._note(name, one._replace(stamp=now) if as_left else one, moved=now != one.stamp)
            if not as_left:
                why = "it is not as it was left"
                if edge.custom:
                    del self.values[name]  # whoever reads it does not read what its command left
            elif one.reads != reads:
                why = why or ""
        return why

    def _is_only_forgotten(self, edge: Edge, there: Mapping[str, Stamp]) -> bool:
        """Whether an edge was dirty, so that ninja was to make it, and is clean again with what it made before."""
        if len(there) < len(edge.outputs) or edge.outputs[0] in self.seen.shadowed:
            return False
        reads = together([self.environment, *map(self.value, edge.reads)])
        known = [(self.before.get(name), now) for name, now in there.items()]
        return all(one is not None and (one.stamp, one.reads) == (now, reads) for one, now in known)

    def _absent(self, edge: Edge) -> None:
        """Ninja makes by itself what is not there, or what it does not know.

        What a command left may stay as it is when the command runs again, as a file that is written where it differs.
        """
        for name in edge.outputs:
            self.moved[name] = True
            one, now = self.before.get(name), self.seen.outputs[name]
            left = one if one is not None and one.stamp == now else None
            if left is not None:
                self.result.made[name] = left
            self.values[name] = hashed(name, left.version if left and edge.custom else os.urandom(16).hex())

    def _note(self, name: str, made: Made, *, moved: bool) -> None:
        self.result.made[name] = made
        self.moved[name] = moved
        self.values[name] = hashed(name, made.version)

    def _is_same(self, edge: Edge, name: str) -> bool:
        """Whether somebody wrote an output again that holds what its command left."""
        if not edge.custom:
            return False
        before, now = self.window.before.files.get(name), self.window.after.files.get(name)
        if before is None or now is None or before[1:5] != self.before[name].stamp[:4]:
            return False  # nobody knows what it held when its command had ended
        return before.content == now.content != UNKNOWN

    def _is_late(self, edge: Edge, name: str, line: Line, now: Stamp) -> bool:
        """Whether an output was touched after its command ended.

        The log has the time of the output, or that of the command's start; and that of the newest input where one of
        the outputs was left as it was, however long before the command that was.
        """
        known = self.before.get(name)
        if not line.mtime or (known is not None and known.stamp == now):
            return False
        end = line.mtime + (line.end - line.start) * MILLISECOND
        if edge.restat:  # what was left has the time that it had, which may be one of the future
            return now.ctime > max(end, self._began(line.run) + line.end * MILLISECOND) + LATE_NS
        return max(now.mtime, now.ctime) > end + LATE_NS

    def _began(self, run: int) -> int:
        """Return when a run of ninja began, as those of its commands tell that wrote their outputs; 0 without any."""
        if self.began is None:
            self.began = {}
            for edge in self.chosen:
                line = self.seen.log.get(edge.names[0]) if not (edge.restat or edge.generator) else None
                known = self.before.get(edge.outputs[0])
                if line is not None and (known is None or not known.is_of(line)):
                    began = line.mtime - (line.start if line.tells_start else line.end) * MILLISECOND
                    self.began[line.run] = max(self.began.get(line.run, 0), began)
        return self.began.get(run, 0)

    def _is_proven(self, edge: Edge, line: Line, there: Mapping[str, Stamp]) -> bool:
        """Whether all that a run read is still what it read, and its outputs are what it wrote."""
        if any(self._is_late(edge, name, line, now) for name, now in there.items()):
            return False
        start = line.mtime if line.tells_start and not edge.restat else 0
        for name in edge.inputs:
            if self.has_moved(name) and (name in self.edges.maker or not self.window.older(name, start)):
                return False
            maker = self.ran.get(name)
            if maker is None:
                continue
            if maker.run > line.run or (maker.run == line.run and maker.end > line.start):
                return False
            # Lines lose their order when ninja writes its log anew, and with it the runs.
            now, known = self.seen.outputs.get(name), self.before.get(name)
            left = known is not None and known.stamp == now
            if now is not None and now.mtime > line.mtime and not left:
                return False
        return True


def judge(
    edges: Edges, before: Mapping[str, Made], seen: Seen, window: Window, chosen: Collection[Edge] | None = None
) -> Judged:
    """Say what is known of the outputs of a tree at the end of a window.

    Edges of which `before` knows nothing ran within the window. Those that are not `chosen` are as they were.
    """
    chosen = set(edges.edges) if chosen is None else chosen
    one = _Judge(edges, before, seen, window, chosen)
    for edge in edges.in_order(chosen):
        if edge.phony:
            one.phony(edge)
        elif not edge.generator:
            one.command(edge)
    return one.result


def to_judge(edges: Edges, before: Mapping[str, Made], seen: Seen, window: Window) -> set[Edge]:
    """Return the edges that may not be what they were, where all were told to ninja and statements are the same.

    That is each that ran, whose outputs are not as they were, that is not proven, or that reads something which is not
    what it was; and whatever is made from what these make. In doubt it is one more.
    """
    was, now = window.before.files, window.after.files
    changed = {name for name, entry in now.items() if entry.content == UNKNOWN or entry != was.get(name)}
    readers = edges.readers(changed)
    anew = edges.said_anew()
    found = {edge for name in changed for edge in readers.get(name, ())}
    for edge in edges.edges:
        if edge.phony or edge.generator:
            continue
        if edge.unkept or edge.outputs[0] in anew or edge.outputs[0] in seen.shadowed:
            found.add(edge)
            continue
        for name in edge.outputs:
            one = before.get(name)
            if one is None or one.reads == NOT_PROVEN or one.stamp != seen.outputs[name]:
                found.add(edge)
        one = before.get(edge.outputs[0])
        for name in edge.names:
            line = seen.log.get(name)
            if line is None or one is None or not one.is_of(line):
                found.add(edge)
    pending = list(found)
    while pending:
        for name in pending.pop().outputs:
            more = [edge for edge in readers.get(name, ()) if edge not in found]
            found.update(more)
            pending += more
    return found


def names_to_look_at(edges: Edges) -> list[str]:
    """Return the files that are known by content: all that is read and not made by a compiler or linker."""
    found: dict[str, None] = {}
    read = dict.fromkeys(edges.discovered())
    for edge in edges.edges:
        if edge.generator:
            continue
        if edge.custom:
            found.update(dict.fromkeys(edge.outputs))
        if edge.named:
            found.update(dict.fromkeys(edge.named))
        read.update(dict.fromkeys(edge.given))
    for name in read:
        maker = edges.maker.get(name)
        if maker is None or maker.custom or maker.phony or maker.generator:
            found[name] = None
    return list(found)
