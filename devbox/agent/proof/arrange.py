"""Telling ninja what is dirty: by its own log and by the times of what it made, never by the time of a source.

What is dirty is forgotten in the log, so that ninja makes it anew while it stays in place until then. What is clean
gets, in the log and where needed on disk, the time of the newest of what it was made from.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Dict, NamedTuple

from ..content import Entry
from ..files import stamp_of
from ..ninja import deps as ninja_deps
from ..ninja import log as ninja_log
from .look import stamp

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from ..files import Stamp
    from ..ninja.log import Mark
    from .edges import Edge, Edges
    from .judge import Judged, Seen
    from .look import Look
    from .made import Made


class Arrangement(NamedTuple):
    """What to change: outputs to `forget` in the log, times `logged` there, and times of outputs `on_disk`.

    `recalled` are runs that were forgotten, and whose outputs are clean again. `newer` are the sources that look newer
    than what is clean, `hidden` those dirty ones that ninja would not see.
    """

    forget: set[str]
    logged: dict[str, int]
    on_disk: dict[str, int]
    recalled: dict[str, Made]
    newer: set[str]
    hidden: set[str]


def plan(
    edges: Edges,
    judged: Judged,
    seen: Seen,
    look: Look,
    changed: set[str],
    *,
    configured: bool,
    chosen: Collection[Edge] | None = None,
) -> Arrangement:
    """Return what to change. `look` is what is there, `changed` are the files that hold something else than before.

    With `configured` cmake need not run, and what it made gets such times as well. Of edges that are not `chosen`
    everything is as ninja was told.
    """
    done = Arrangement(set(), {}, {}, {}, set(), set())
    times = _Times(edges, seen, look)
    clean = {id(edge) for edge in judged.clean}
    dirty = {id(edge) for edge, _ in judged.dirty}
    for edge in edges.in_order(set(edges.edges) if chosen is None else chosen):
        if edge.phony:
            for name in edge.outputs:
                times[name] = times[name] or times.newest(edge.inputs)
        elif id(edge) in clean or (configured and edge.generator):
            need = _keep(edge, seen, times, done)
            if not edge.generator and edge.names[0] not in seen.log:
                runs = [(name, judged.made[edges.plain(name)]) for name in edge.names]
                done.recalled.update((name, one._replace(mtime=max(one.mtime, need))) for name, one in runs)
        elif id(edge) in dirty:
            done.forget.update(edge.names)
            known = min((seen.log[name].mtime for name in edge.names if name in seen.log), default=0)
            done.hidden.update(name for name in edge.inputs if name in changed and times[name] <= known)
    return done


class _Times(Dict[str, int]):
    """The time of each file as ninja will see it; 0 for one that is not there."""

    def __init__(self, edges: Edges, seen: Seen, look: Look) -> None:
        super().__init__()
        self._edges = edges
        self._seen = seen
        self._look = look

    def __missing__(self, name: str) -> int:
        entry = self._look.files.get(name)
        now: Stamp | Entry | None = entry
        if entry is None:
            now = self._seen.outputs[name] if name in self._seen.outputs else stamp_of(self._edges.path(name))
        self[name] = found = now.mtime if now is not None else 0
        return found

    def newest(self, names: Iterable[str]) -> int:
        return max(map(self.__getitem__, names), default=0)


def _keep(edge: Edge, seen: Seen, times: _Times, done: Arrangement) -> int:
    """Give an edge the times by which ninja sees it clean, and return the time of the newest of its inputs."""
    low = need = times.newest(edge.inputs)
    for name in edge.names:
        line = seen.log.get(name)
        if line is not None and line.mtime < need:
            done.logged[name] = need
            low = min(low, line.mtime)
    # Of what need not be written ninja asks the log alone; what only a dyndep file says is not known when it asks.
    if not (edge.restat and edge.custom):
        for name in edge.outputs:
            if 0 < times[name] < need:
                low = min(low, times[name])
                done.on_disk[name] = times[name] = need
    if low < need:
        done.newer.update(name for name in edge.inputs if times[name] > low and name not in seen.outputs)
    return need


def apply(
    arrangement: Arrangement, edges: Edges, made: Mapping[str, Made], files: dict[str, Entry], log: Mark
) -> tuple[dict[str, Made], Mark, Mark]:
    """Make the changes, and return what is known of the outputs, of the log and of the dependencies after them.

    `files` of the last look get their stamps.

    An output whose time cannot be set stays as it is: ninja makes it anew.
    """
    known = dict(made)
    recalled = arrangement.recalled
    for name, time in (*arrangement.logged.items(), *((name, one.mtime) for name, one in recalled.items())):
        plain = edges.plain(name)
        if plain in known:
            known[plain] = known[plain]._replace(mtime=time)
    times, deps = arrangement.on_disk, edges.mark
    if times:
        # A compiler may have called its output either way.
        absolute = {edges.path(name): time for name, time in times.items()}
        deps = ninja_deps.set_times(edges.tree, {**times, **absolute})
    if arrangement.forget or arrangement.logged or recalled:
        lines = {name: (one.start, one.end, one.mtime, one.command) for name, one in recalled.items()}
        log = ninja_log.rewrite(edges.tree, arrangement.forget, arrangement.logged, lines)
    touched = set()
    for name, time in times.items():
        path = edges.path(name)
        with contextlib.suppress(OSError):
            status = os.stat(path)
            os.utime(path, ns=(time, time))
            touched.add(status.st_ino)
            entry, now = files.get(name), stamp(os.stat(path))
            if entry is not None and entry.stamp == stamp(status) and now.mtime == time:
                files[name] = Entry(entry.content, *now)
    # Names that share an inode are one file.
    for name, one in known.items():
        if one.stamp.inode in touched:
            left = stamp_of(edges.path(name))
            if left is not None and left.size == one.stamp.size and left.inode == one.stamp.inode:
                known[name] = one._replace(stamp=left)
    return known, log, deps
