"""The states that a tree was configured in: each is kept as a tree of its own, objects and all, and taken again.

A branch with other CMake files asks for another configuration, which changes build.ninja, and with other flags the
objects. Before cmake runs on other files, the tree is copied, with its record; when the files are again what the copy
was configured from, it changes places with the tree. So both ways cost neither a configure nor an object.

A state is a folder in the volume, named by a number that counts up. Paths in build files are absolute, so it is only
ever built at the tree's own place. The lock of the tree is held by whoever calls this.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import TYPE_CHECKING

from .files import read_json, remove, write_json
from .history import NAME as HISTORY
from .proof import configured
from .proof.git import Git
from .proof.kept import adopt
from .proof.look import NOTHING, Eye
from .record import ATTEMPT, FILES, Records
from .trees import disk_use
from .volume import states_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .content import Entry
    from .context import Context
    from .drivers.base import Plan

TREE = "tree"
RECORD = "record"
ABOUT = "state.json"
SWITCH = "switch.json"
PROBE = "probe"
# Begins the names of folders that are no states: what is being copied, and what is of no use any more. Each has a name
# of its own, since there may be something in an earlier one that this user cannot delete.
GONE = "gone."
# How many states of a tree are kept, and what they may take together: where copies share their blocks, and elsewhere.
MOST = 4
SHARED = 64 << 30
COPIED = 3 << 30
FICLONE = 0x40049409


class States:
    """The states of one tree."""

    def __init__(self, context: Context) -> None:
        """Take the surroundings. A switch that was cut off is brought to its end."""
        decided = context.decided
        self._context = context
        self._tree = decided.tree
        self._record = context.records.folder_of(decided.key)
        self._folder = states_of(decided.volume, decided.key)
        if os.path.isdir(self._folder):
            self._finish()
            for name in os.listdir(self._folder):
                if not (name.isdigit() and os.path.isdir(self._path(name, TREE))):
                    shutil.rmtree(self._path(name), ignore_errors=True)

    def _path(self, *parts: str) -> str:
        return os.path.join(self._folder, *parts)

    def _numbers(self) -> list[str]:
        """Return the names of the states, the oldest first."""
        names = os.listdir(self._folder) if os.path.isdir(self._folder) else ()
        return sorted((name for name in names if name.isdigit()), key=int)

    # Changing places.

    def take(self, plan: Plan, seen: Mapping[str, Entry], said: Sequence[str] | None) -> bool:
        """Put the state in place that was configured from what is there now, if there is one.

        The tree becomes a state itself, configured from the files that cmake `said`; None: it is of no further use.
        `seen` are contents of files that were read already.
        """
        number = next((one for one in reversed(self._numbers()) if self._fits(one, plan, seen)), None)
        if number is None:
            return False
        try:
            aside = self._new("" if said is not None else GONE)
            if said is not None:
                self._describe(aside, disk_use(self._tree), said)
            write_json(self._path(SWITCH), {"into": number, "aside": aside})
        except OSError as error:
            self._context.reasons.append(f"the tree that was configured from these CMake files stays aside: {error}")
            return False
        self._finish()
        if said is None:
            shutil.rmtree(self._path(aside), ignore_errors=True)
        self._context.reasons.append("the tree that was configured from these CMake files was kept, and is in place")
        return True

    def _fits(self, number: str, plan: Plan, seen: Mapping[str, Entry]) -> bool:
        about = read_json(self._path(number, ABOUT))
        attempt = Records(self._path(number)).attempt(RECORD)
        decided = self._context.decided
        if not isinstance(about, dict) or attempt is None or attempt.digest != decided.digest:
            return False
        if attempt.arguments != plan.arguments or attempt.environment != plan.variables:
            return False
        git = Git(decided.workspace)
        eye = Eye(self._path(number, TREE), git)
        names, hidden = configured.reads(about["said"], decided.source, decided.tree, eye, git)
        files = eye.look(names, NOTHING, [seen]).files
        return configured.digest(names, hidden, files) == attempt.configured_from

    def _finish(self) -> None:
        """Do what is left of a switch: each step is one rename, and shows whether it was done."""
        switch = read_json(self._path(SWITCH))
        if switch is None:
            return
        into, aside = self._path(switch["into"]), self._path(switch["aside"])
        os.makedirs(aside, exist_ok=True)
        for place, name in ((self._tree, TREE), (self._record, RECORD)):
            if os.path.exists(place) and not os.path.exists(os.path.join(aside, name)):
                os.rename(place, os.path.join(aside, name))
            if not os.path.exists(place):
                os.rename(os.path.join(into, name), place)
        # The history is the tree's, whatever state it is in.
        with contextlib.suppress(FileNotFoundError):
            os.replace(os.path.join(aside, RECORD, HISTORY), os.path.join(self._record, HISTORY))
        shutil.rmtree(into, ignore_errors=True)
        remove([self._path(SWITCH)])

    # Keeping.

    def keep(self, said: Sequence[str]) -> None:
        """Copy the tree, which is about to be configured from other files; `said` are those that it was from.

        What goes wrong costs the state, and not the build.
        """
        try:
            size = disk_use(self._tree)
            why = self._why_not(size) or self._copy(size, said)
            if not why:
                self._drop()
        except OSError as error:
            why = str(error)
        if why:
            self._context.reasons.append(f"this configuration is not kept: {why}")

    def _copy(self, size: int, said: Sequence[str]) -> str:
        """Make a state of the tree, of `size` bytes; return what cp said if it failed, and leave nothing then."""
        context, key = self._context, self._context.decided.key
        context.events.phase(f"keeping {key} as it is configured")
        copy = self._path(self._new(GONE))
        try:
            tree, record = os.path.join(copy, TREE), os.path.join(copy, RECORD)
            os.mkdir(record)
            heard: list[str] = []
            # busybox has no --reflink.
            for more in (["--reflink=auto"], []):
                argv = ["cp", "-a", *more, self._tree, tree]
                environ = context.decided.environ
                code = context.supervisor.run(argv, cwd=self._folder, environ=environ, on_text=heard.append)
                if code == 0 or os.path.exists(tree):
                    break
            if code:
                return "".join(heard).strip()[-300:]
            for name in (ATTEMPT, *FILES):
                with contextlib.suppress(FileNotFoundError):
                    shutil.copyfile(os.path.join(self._record, name), os.path.join(record, name))
            adopt(record, tree, self._tree)
            self._describe(copy, size, said)
            os.rename(copy, self._path(self._new()))
        finally:
            shutil.rmtree(copy, ignore_errors=True)
        return ""

    def _why_not(self, size: int) -> str:
        """Return why no tree of `size` bytes is kept; "" if it may be."""
        os.makedirs(self._folder, exist_ok=True)
        stuck = [self._path(name) for name in os.listdir(self._folder) if name.startswith(GONE)]
        if stuck:
            return f"an earlier one cannot be deleted: {' '.join(stuck)}"
        free = shutil.disk_usage(self._tree).free
        limit = self._limit()
        if size > limit:
            return f"it takes {size >> 20} MiB, and no more than {limit >> 20} are kept"
        return f"the disk has {free >> 20} MiB left" if free < 2 * size else ""

    def _limit(self) -> int:
        """Return what the states may take: more where the file system lets copies share their blocks."""
        import fcntl

        try:
            with open(os.path.join(self._tree, "build.ninja"), "rb") as source, open(self._path(PROBE), "wb") as target:
                fcntl.ioctl(target.fileno(), FICLONE, source.fileno())
        except OSError:
            return COPIED
        finally:
            remove([self._path(PROBE)])
        return SHARED

    def _new(self, prefix: str = "") -> str:
        """Make a folder of a name that is not in use: a state's, or one that begins with `prefix`."""
        ends = [name[len(prefix) :] for name in os.listdir(self._folder) if name.startswith(prefix)]
        name = f"{prefix}{max((int(end) for end in ends if end.isdigit()), default=0) + 1}"
        os.mkdir(self._path(name))
        return name

    def _describe(self, name: str, size: int, said: Sequence[str]) -> None:
        write_json(self._path(name, ABOUT), {"bytes": size, "said": list(said)})

    def _drop(self) -> None:
        """Remove the oldest states as long as they are too many, or take too much."""
        numbers = self._numbers()
        sizes = {one: int((read_json(self._path(one, ABOUT)) or {}).get("bytes", 0)) for one in numbers}
        limit = self._limit()
        while len(sizes) > MOST or sum(sizes.values()) > limit:
            oldest = min(sizes, key=int)
            del sizes[oldest]
            gone = self._path(self._new(GONE))
            os.rename(self._path(oldest), gone)
            shutil.rmtree(gone, ignore_errors=True)
