"""Healing at work: it looks at the sources, asks what may be set back, and sets times by the rules of `heal`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..locks import held, lock_path
from ..ninja import output
from ..protocol import Healed
from . import rules

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..context import Context
    from .known import Past
    from .sources import Entry, Sources


class Healing:
    """The healing of one attempt, which may happen twice: before configuring and after it. `done` gathers both."""

    def __init__(self, context: Context, sources: Sources, past: Past) -> None:
        """Take the attempt's surroundings, the sources, and what the last attempt proves."""
        self._context = context
        self._sources = sources
        self._base = past.base
        self._seen = past.seen
        self._again = False
        self.done = rules.Healed([], [], [], [])

    def begin_again(self, files: Mapping[str, Entry], start: int) -> None:
        """Have the next look make newer what has moved since `look` returned `files`: something was compiled meanwhile.

        That is from `start` on. A file that is new since then was compiled from no other content.
        """
        self._base = rules.Base(
            files, trusted=False, start=start, end=rules.FOREVER, start_counts=self._context.decided.start_counts
        )
        self._again = True

    def look(self, known: Mapping[str, Entry]) -> dict[str, Entry]:
        """Look at the sources, set the times that are to be set, and return what ninja will see.

        `known` are the entries that were recorded last: contents that need not be read again.
        """
        others: list[dict[str, Entry]] | None = None

        def load_others() -> list[dict[str, Entry]]:
            nonlocal others
            if others is None:
                others = list(self._context.records.others(self._context.decided.key))
            return others

        files = self._sources.entries({**known, **self._seen} if self._seen else known, load_others)
        self._seen = {}
        changes = [] if self._base is None else self._plan(files, self._base, load_others)
        changes = self._without_unused_git(changes)
        if not self._context.request.heal:
            # Nothing is set, and what ninja may therefore miss is not recorded as built.
            for change in changes:
                if not change.lowers:
                    del files[change.path]
            return files
        done = rules.apply(changes, self._sources, files)
        for all_of_them, new in zip(self.done, done):
            all_of_them.extend(new)
        self._warn(done)
        if self._context.request.watch:
            # Who watches the files has to tell these changes from a person's.
            touched = [path for path in (*done.lowered, *done.lifted, *done.raised) if path in files]
            self._context.events.send(Healed(files=[[path, *files[path].stamp] for path in touched]))
        return files

    def _plan(
        self, files: Mapping[str, Entry], base: rules.Base, load_others: Callable[[], list[dict[str, Entry]]]
    ) -> list[rules.Change]:
        judged = {path: entry for path, entry in files.items() if path in base.files} if self._again else files
        return rules.plan(judged, base, self._may_lower(load_others))

    def _may_lower(self, load_others: Callable[[], list[dict[str, Entry]]]) -> Callable[[str, str], bool]:
        """Return the question whether a time may be set back: no other tree has other content or is being built."""
        decided, records = self._context.decided, self._context.records
        building: list[str] | None = None

        def ask(path: str, content: str) -> bool:
            nonlocal building
            if building is None:
                keys = [key for key in records.all_keys() if key != decided.key]
                building = [key for key in keys if held(lock_path(decided.state, key))]
                if building:
                    self._context.reasons.append(f"no time was set back: {building[0]} is being built")
            if building:
                return False
            if path.startswith(decided.tree + os.sep):
                return True
            return all(path in files and files[path].content == content for files in load_others())

        return ask

    def _without_unused_git(self, changes: list[rules.Change]) -> list[rules.Change]:
        """Leave git's own files alone where the build does not depend on them."""
        git = {name: self._sources.path(name) for name in self._sources.git.names}
        if not any(change.path in git for change in changes):
            return changes
        used = output.mentioned(os.path.join(self._context.decided.tree, "build.ninja"), list(git.values()))
        return [change for change in changes if change.path not in git or git[change.path] in used]

    def _warn(self, done: rules.Healed) -> None:
        warn = self._context.events.warn
        for name in done.failed:
            warn(f"{name} belongs to another user: its time cannot be set, and the build may miss its change")
        if done.lowered and self._sources.foreign:
            own = self._sources.foreign[0]
            warn(f"the build tree of yours in {own} may miss changes: devbox sets times of sources back")
