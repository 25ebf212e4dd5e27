"""`devbox build --watch`: a build for each save, and for whatever is saved while it runs exactly one more.

What counts as a save is decided here: what git ignores, what editors leave beside a file, what lies in another tool's
folder, and the times that healing sets are none. The rest is the build's to judge, by content.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from devbox.agent.files import Stamp, stamp
from devbox.agent.proof.sources import MARKS, NOT_SOURCES
from devbox.errors import EXIT_INTERRUPTED, BuildError, DevboxError
from devbox.facts.git import git

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from devbox.builds.report.summary import BuildReport

# A save is over when nothing changed for the first; a stream of changes, such as a branch switch, is taken after the
# second.
QUIET_MS = 150
LONGEST_MS = 3000
# How many paths git is asked about at once: they are arguments.
AT_ONCE = 200

# How long between two looks where the file system cannot tell of changes.
POLL_SECONDS = 0.5
# The kernel's clock for files runs in ticks, so a change may bear a time from before it.
CLOCK_NS = 20_000_000
# What the watcher says, and then ends, where a name is no UTF-8.
_NO_NAME = "Unable to decode path"

ADDED, MODIFIED, DELETED = "added", "modified", "deleted"


class Change(NamedTuple):
    """One change that the file system told of: `added`, `modified` or `deleted`, and the absolute path."""

    kind: str
    path: str


class Saves:
    """Collects what changes below a folder, from `start` on, in a thread of its own."""

    def __init__(self, folder: Path) -> None:
        """Take the workspace."""
        self.folder = folder
        self._changes: queue.SimpleQueue[set[Change] | BaseException] = queue.SimpleQueue()
        self._ready = threading.Event()
        self._stop = threading.Event()
        self._known: dict[str, Stamp] = {}
        self._seen = time.time_ns()

    def start(self) -> None:
        """Return when every later change will be seen. Raises BuildError where the system cannot watch the folder."""
        threading.Thread(target=self._listen, name="watch", daemon=True).start()
        self._ready.wait()
        if not self._changes.empty():
            first = self._changes.get()
            if isinstance(first, BaseException):
                raise _cannot_watch(self.folder, first)
            self._changes.put(first)

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()

    def _listen(self) -> None:
        for listen in (self._told, self._polled):
            try:
                for changes in listen():
                    self._ready.set()  # a first time-out tells that the watches are set
                    self._seen = time.time_ns() - CLOCK_NS
                    if changes:
                        self._changes.put(changes)
            except BaseException as error:  # noqa: BLE001  # told to who waits
                if listen == self._told and _NO_NAME in str(error):
                    continue
                self._changes.put(error)
                self._ready.set()
            return

    def _told(self) -> Iterator[set[Change]]:
        """Yield what the system tells of, and nothing from time to time."""
        from watchfiles import DefaultFilter, watch

        only = DefaultFilter(ignore_dirs=(*DefaultFilter.ignore_dirs, *NOT_SOURCES))
        for changes in watch(
            self.folder, watch_filter=only, debounce=LONGEST_MS, step=QUIET_MS, rust_timeout=QUIET_MS,
            stop_event=self._stop, yield_on_timeout=True, raise_interrupt=False,
        ):  # fmt: skip
            yield {Change(kind.raw_str(), path) for kind, path in changes}

    def _polled(self) -> Iterator[set[Change]]:
        """Yield what has changed between two looks, names that are no UTF-8 left out: these end the other way.

        What changed since the other way was last seen to work counts as well.
        """
        from watchfiles import Change as Kind
        from watchfiles import DefaultFilter

        only = DefaultFilter(ignore_dirs=(*DefaultFilter.ignore_dirs, *NOT_SOURCES))
        skipped = {*DefaultFilter.ignore_dirs, *NOT_SOURCES}
        before: dict[str, Stamp] | None = None
        while not self._stop.is_set():
            now = {
                path: one
                for path in _paths(self.folder, skipped)
                if only(Kind.modified, path) and (one := _stamp(Path(path))) is not None
            }
            if before is None:
                yield {Change(MODIFIED, path) for path, one in now.items() if one.ctime >= self._seen}
            else:
                yield {
                    *(Change(ADDED, path) for path in now.keys() - before.keys()),
                    *(Change(DELETED, path) for path in before.keys() - now.keys()),
                    *(Change(MODIFIED, path) for path in now.keys() & before.keys() if now[path] != before[path]),
                }
            before = now
            self._stop.wait(POLL_SECONDS)

    def healed(self, files: Iterable[Sequence[Any]]) -> None:
        """Learn the stamps of files whose times a build has set: `[path, mtime, size, ctime, inode]`."""
        for path, *fields in files:
            self._known[str(self.folder / path)] = Stamp(*fields)

    def wrote(self, paths: Iterable[str]) -> None:
        """Learn what a build has written into the workspace."""
        for path in paths:
            now = _stamp(self.folder / path)
            if now is not None:
                self._known[str(self.folder / path)] = now

    def next(self) -> list[str]:
        """Wait for saves, and return the files relative to the workspace; everything since the last call is one."""
        while True:
            batch = [self._changes.get()]
            while not self._changes.empty():
                batch.append(self._changes.get())
            changes: set[Change] = set()
            for one in batch:
                if isinstance(one, BaseException):
                    raise _cannot_watch(self.folder, one)
                changes |= one
            found = news(self.folder, changes, self._known)
            if found:
                return found


def _cannot_watch(folder: Path, error: BaseException) -> BuildError:
    hint = None
    if "limit" in str(error).lower() or "no space left" in str(error).lower():
        hint = "sudo sysctl fs.inotify.max_user_watches=1048576   # one is needed for each folder"
    return BuildError(f"{folder} cannot be watched: {error}", hint=hint)


def news(folder: Path, changes: Iterable[Change], known: Mapping[str, Stamp]) -> list[str]:
    """Return those of the changed paths, relative to `folder`, that a build should look at.

    A file is as `known` where a build itself has set its time. One that came and went is none.
    """
    kinds: dict[str, set[str]] = {}
    for change in changes:
        kinds.setdefault(change.path, set()).add(change.kind)
    found = []
    for name in sorted(kinds):
        path = Path(name)
        now = _stamp(path)
        if now is None and ADDED in kinds[name]:
            continue
        if now is not None and (known.get(name) == now or (path.is_dir() and ADDED not in kinds[name])):
            continue
        if not _in_marked_folder(folder, path):
            found.append(str(path.relative_to(folder)))
    return _not_ignored(folder, found)


def _paths(folder: Path, skipped: Collection[str]) -> Iterator[str]:
    """Yield the files and folders below a folder whose names can be told."""
    for parent, inner, names in os.walk(folder):
        inner[:] = [name for name in inner if name not in skipped and _is_text(name)]
        yield from (os.path.join(parent, name) for name in (*inner, *names) if _is_text(name))  # noqa: PTH118  # many


def _is_text(name: str) -> bool:
    return all(not "\udc80" <= character <= "\udcff" for character in name)


def _stamp(path: Path) -> Stamp | None:
    try:
        return stamp(path.lstat())
    except OSError:
        return None


def _in_marked_folder(folder: Path, path: Path) -> bool:
    """Return whether a file lies in a folder that says itself that tools made it: a build tree, an environment."""
    above = path.relative_to(folder).parents
    return any((folder / place / mark).exists() for place in list(above)[:-1] for mark in MARKS)


def _not_ignored(folder: Path, paths: list[str]) -> list[str]:
    """Leave out what git ignores; without git, nothing."""
    ignored: set[str] = set()
    for begin in range(0, len(paths), AT_ONCE):
        done = git(folder, "check-ignore", "--", *paths[begin : begin + AT_ONCE])
        ignored.update(map(_unquoted, done.stdout.splitlines()) if done is not None and done.ok else ())
    return [path for path in paths if path not in ignored]


def _unquoted(name: str) -> str:
    """Return a path as it is: git prints one with unusual characters as a C string, its bytes in octal."""
    if not name.startswith('"'):
        return name
    return name[1:-1].encode().decode("unicode_escape").encode("latin-1").decode(errors="surrogateescape")


def watch(
    saves: Saves,
    build: Callable[[list[str]], BuildReport],
    *,
    on_error: Callable[[DevboxError], object],
    on_wait: Callable[[BuildReport | None], object],
) -> int:
    """Build, and build again after each save, until Ctrl-C; return the exit code: 0, or a build's that was cut off.

    `build` is given the changed files (none the first time). A build that could not even begin is told to `on_error`,
    and the next save tries again; the first one raises. `on_wait` is told each time that everything is built.
    """
    saves.start()
    try:
        report: BuildReport | None = build([])
        while True:
            if report is not None:
                saves.wrote(report.installed)
                if report.interrupted:
                    return report.code
            try:
                on_wait(report)
                changed = saves.next()
            except KeyboardInterrupt:
                return 0
            try:
                report = build(changed)
            except DevboxError as error:
                report = None
                on_error(error)
    except KeyboardInterrupt as stopped:
        return getattr(stopped, "exit_code", EXIT_INTERRUPTED)
    finally:
        saves.stop()
