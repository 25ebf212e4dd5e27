"""The proof of a tree that keeps no log of who built what, as make's and cargo's do: times of sources, only raised.

make and cargo compare times, and nothing tells what an object was made from. So no time is ever set back. A source that
holds something else than at the last attempt, and is not newer than all that this tree has seen, is made newer than
that: a clock that was set back deceives nobody.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from ..content import UNKNOWN, Entry, await_tick
from ..files import read_json, stamp, write_json
from ..protocol import Healed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..context import Context
    from ..record import Attempt
    from .sources import Sources

FILES = "sources.json"
MILLISECOND = 1_000_000
NO_LOG = "only ninja keeps a log that shows whether somebody else built here"


def to_raise(files: Mapping[str, Entry], known: Mapping[str, Entry], seen: int) -> list[str]:
    """Return the files to make newer: those with another content than `known` whose time is not above `seen`."""
    found = []
    for name, now in files.items():
        before = known.get(name)
        same = before is not None and before.content == now.content != UNKNOWN
        # Where a time went back, only somebody's tool says that the content was this one when it was built.
        if before is not None and (before[1:] == now[1:] or (same and now.mtime >= before.mtime)):
            continue
        if now.is_link or now.mtime <= seen:
            found.append(name)
    return found


class ByTime:
    """The proof of one attempt at such a tree."""

    def __init__(self, context: Context, sources: Sources, last: Attempt | None) -> None:
        """Take the surroundings, the sources, and the last attempt."""
        self._context = context
        self._sources = sources
        self._path = os.path.join(context.records.folder_of(context.decided.key), FILES)
        kept = read_json(self._path) if last is not None else None
        self._known: dict[str, Entry] | None = None
        if isinstance(kept, dict) and last is not None and kept.get("generation") == last.generation:
            self._known = {name: Entry(*entry) for name, entry in kept["files"].items()}
        self._last = last
        self._files: dict[str, Entry] = {}
        self.generation = last.generation if last is not None else ""
        self.cache_may_lie = self.is_still = False
        self.newer: dict[str, None] = {}
        self.hidden: dict[str, None] = {}
        if last is not None:
            context.reasons.append(f"no time was set back: {NO_LOG}")

    def look(self) -> None:
        """See what is there now."""
        self._files = self._sources.entries(self._known or {}, list)

    def configured_from(self) -> str:
        """Return "": make looks by itself whether cmake has to run."""
        return ""

    def why_configure(self, since: str) -> list[str]:  # noqa: ARG002
        """Return no reason: make looks by itself whether cmake has to run."""
        return []

    def arrange(self, *, heal: bool, configured: bool = True) -> None:  # noqa: ARG002
        """Make newer what make or cargo may miss, and record what they will see."""
        last, known = self._last, self._known or {}
        seen = max([last.end or last.start, *(one.mtime for one in known.values())]) if last is not None else 0
        doomed = to_raise(self._files, known, seen) if last is not None else []
        # A record that is cut off does not say until when something was compiled.
        if last is not None and not last.closed:
            doomed = [name for name in self._files if name not in known or self._files[name][1:] != known[name][1:]]
        if heal:
            self._raise(doomed, seen)
        else:
            for name in doomed:
                del self._files[name]
        self._save()

    def _raise(self, names: Iterable[str], seen: int) -> None:
        raised = []
        for name in names:
            for each in self._behind(name) if self._files[name].is_link else [name]:
                path = self._sources.path(each)
                try:
                    now = max(time.time_ns(), seen + MILLISECOND)
                    os.utime(path, ns=(now, now))
                    self._files[each] = Entry(self._files[each].content, *stamp(os.stat(path)))
                    raised.append(each)
                except FileNotFoundError:
                    self._files.pop(each, None)
                except OSError:
                    self._files.pop(each, None)
                    self._context.events.warn(
                        f"{each} belongs to another user: its time cannot be set, and the build may miss its change"
                    )
        # What was written to in the very tick that it was made newer in does not show it.
        await_tick(self._files[name].stamp for name in raised)
        for name in raised:
            if self._sources.content(name) != self._files[name].content:
                del self._files[name]
        self.hidden.update(dict.fromkeys(raised))
        if raised and self._context.request.watch:
            touched = [[name, *self._files[name].stamp] for name in raised if name in self._files]
            self._context.events.send(Healed(files=touched))

    def _behind(self, name: str) -> list[str]:
        """Return what a link leads to, inside the workspace: these were not its files before, whatever their age."""
        top = os.path.realpath(self._sources.workspace) + os.sep
        target = os.path.realpath(self._sources.path(name))
        if not target.startswith(top):
            return []
        inner = target[len(top) :]
        found = [inner] if inner in self._files else [one for one in self._files if one.startswith(inner + "/")]
        return [one for one in found if not self._files[one].is_link]

    def close(self, *, heal: bool, configured: bool) -> bool:  # noqa: ARG002
        """Keep what did not move while the attempt ran: something may have been compiled from the rest."""
        stamps = self._sources.stamps().stamps
        kept = {name: entry for name, entry in self._files.items() if stamps.get(name) == entry[1:]}
        if len(kept) < len(self._files):
            self._files = kept
            self._save()
        return configured

    def _save(self) -> None:
        if self._files != self._known:
            self.generation = f"{time.time_ns():x}.{os.getpid():x}"
            write_json(self._path, {"generation": self.generation, "files": self._files})
            self._known = dict(self._files)
