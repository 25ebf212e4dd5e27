"""What is going on, at a glance: builds, containers, GPUs, volumes, disks, each from a source of its own.

A source that does not answer holds up no other: each has a thread, and what is wrong with it stands in its place.
Nothing is asked all the time. The engine tells of what happens to containers, and the file system of builds; only what
nobody tells of, such as the memory of GPUs, is looked at now and then.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

from devbox.builds import running
from devbox.container.status import Status, status
from devbox.engine.api import Question, socket_path
from devbox.errors import DevboxError, EngineError
from devbox.facts import engine as engine_facts
from devbox.facts import gpu_use
from devbox.paths import cache_dir, state_dir
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from devbox.builds.running import Running
    from devbox.container.status import ContainerStatus, VolumeStatus
    from devbox.engine.docker import Engine
    from devbox.facts.gpu_use import GpuUse
    from devbox.facts.model import EngineFacts

# What the engine is to tell of. Each command that is executed in a container would be an event, too.
_EVENTS = {
    "type": ["container", "volume"],
    "event": ["create", "start", "die", "destroy", "rename", "pause", "unpause", "health_status"],
}
# An engine may have nothing to tell for so long, and a broken connection is made again after that many seconds.
_QUIET_SECONDS, _AGAIN_SECONDS = 3600.0, 5.0
# What happens at once is looked at once.
_TOGETHER_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Disk:
    """A file system that devbox writes to: the folder by which it is known, and bytes."""

    folder: str
    free: int
    total: int


@dataclass(frozen=True, slots=True)
class Overview:
    """What is known at the moment `at` (Unix time). None is what is not known; `trouble` says why, by these names.

    The `sizes` of volumes, in bytes, are of the moment `sized`.
    """

    at: float
    builds: tuple[Running, ...] | None = None
    containers: tuple[ContainerStatus, ...] | None = None
    gpus: tuple[GpuUse, ...] | None = None
    volumes: tuple[VolumeStatus, ...] | None = None
    disks: tuple[Disk, ...] | None = None
    sizes: Mapping[str, int] | None = None
    sized: float = 0.0
    trouble: Mapping[str, str] | None = None


class _Source:
    """One question: asked again after `every` seconds, or when it is woken; late after `patience` seconds."""

    def __init__(self, ask: Callable[[], object], *, every: float, patience: float) -> None:
        self.ask, self.every, self.patience = ask, every, patience
        self.found: Any = None
        self.trouble: str | None = None
        self.asked: float | None = None
        self.answered = threading.Event()
        self.wake = threading.Event()

    def look(self) -> None:
        """Ask once. What fails is said in the place of an answer."""
        self.wake.clear()
        self.asked = time.monotonic()
        try:
            self.found, self.trouble = self.ask(), None
        except DevboxError as error:
            self.found, self.trouble = None, error.message
        except Exception as error:  # noqa: BLE001  # the other sources are worth seeing all the same
            self.found, self.trouble = None, f"{type(error).__name__}: {error}"
        self.asked = None
        self.answered.set()

    @property
    def problem(self) -> str | None:
        """What is wrong with it now: why it has no answer, or that none comes."""
        asked = self.asked
        if asked is not None and (waited := time.monotonic() - asked) >= self.patience:
            return f"no answer for {waited:.0f} s"
        return self.trouble


class Watch:
    """Looks at all sources, each in its thread, until the process ends or `stop` is called."""

    def __init__(self, engine: Engine, workspace: str | None = None) -> None:
        """Take the engine, and a workspace where only that one's builds, containers and volumes count. Asks nothing."""
        self._engine = engine
        self._workspace = workspace
        self._facts: EngineFacts | None = None
        self._names: dict[str, str] = {}
        self._reached = threading.Lock()
        self._stopped = threading.Event()
        self._sources = {
            "builds": _Source(self._builds, every=5, patience=5),
            "containers": _Source(self._status, every=30, patience=5),
            "gpus": _Source(self._gpus, every=2, patience=5),
            "volumes": _Source(self._sizes, every=300, patience=90),
            "disks": _Source(self._disks, every=10, patience=5),
        }

    def once(self) -> Overview:
        """Ask each source once, and wait for the answers as long as they may take."""
        containers = self._sources["containers"]

        def look(source: _Source, *, after: _Source | None) -> None:
            if after is not None:
                after.answered.wait(after.patience)
            source.look()

        for name, source in self._sources.items():
            # What is seen from here of GPUs and disks depends on where the engine is.
            waits = {"after": containers if name in {"gpus", "disks"} else None}
            threading.Thread(target=look, args=(source,), kwargs=waits, daemon=True).start()
        begun = time.monotonic()
        for source in self._sources.values():
            source.answered.wait(max(0.0, source.patience + containers.patience - (time.monotonic() - begun)))
        return self.overview()

    def start(self, on_change: Callable[[], object]) -> None:
        """Ask again and again, and call `on_change`, in whatever thread, when there is something new."""
        for source in self._sources.values():
            threading.Thread(target=self._follow, args=(source, on_change), daemon=True).start()
        for listen in (self._hear_engine, self._hear_builds):
            threading.Thread(target=listen, daemon=True).start()

    def stop(self) -> None:
        """Ask nothing more. An answer that somebody still waits for is not waited for."""
        self._stopped.set()
        for source in self._sources.values():
            source.wake.set()

    def overview(self) -> Overview:
        """Return what is known now."""
        found = {name: source.found for name, source in self._sources.items()}
        now = cast("Status | None", found["containers"])
        sizes, sized = found["volumes"] or (None, 0.0)
        problems = {name: problem for name, source in self._sources.items() if (problem := source.problem)}
        return Overview(
            at=time.time(),
            builds=found["builds"],
            containers=None if now is None else now.containers,
            gpus=found["gpus"],
            volumes=None if now is None else now.volumes,
            disks=found["disks"],
            sizes=sizes,
            sized=sized,
            trouble=problems,
        )

    def _follow(self, source: _Source, on_change: Callable[[], object]) -> None:
        while not self._stopped.is_set():
            source.look()
            on_change()
            if source.wake.wait(source.every):
                self._stopped.wait(_TOGETHER_SECONDS)

    # What is asked.

    def _known_engine(self) -> Engine:
        """Return the engine, to which there is one way, whoever asks first."""
        with self._reached:
            _ = self._engine.environ
        return self._engine

    def _builds(self) -> tuple[Running, ...]:
        return tuple(one for one in running.running() if self._workspace in {None, one.workspace})

    def _status(self) -> Status:
        found = status(self._known_engine(), sizes=False, workspace=self._workspace)
        if self._facts is None:
            self._facts = engine_facts.gather(self._engine)
            for name in ("gpus", "disks"):
                self._sources[name].wake.set()
        return found

    def _sizes(self) -> tuple[dict[str, int], float]:
        found = status(self._known_engine())  # all sizes: that is one question, and the answer is kept
        return {one.name: one.size for one in found.volumes if one.size is not None}, found.sized

    def _gpus(self) -> tuple[GpuUse, ...]:
        if self._facts is not None and not self._facts.local:
            raise EngineError("the engine is on another machine, whose GPUs are not seen from here")
        if shutil.which("nvidia-smi") is None:
            return ()
        return tuple(
            replace(gpu, holders=tuple(replace(one, container=self._name(one.container)) for one in gpu.holders))
            for gpu in gpu_use.gather(self._sources["gpus"].patience)
        )

    def _name(self, container: str | None) -> str | None:
        """Return the name of a container for its id, as far as the engine has one."""
        if container is None:
            return None
        if container not in self._names:
            try:
                said = self._known_engine().container(container)
            except DevboxError:
                return container[:12]
            self._names[container] = str(said["Name"]).removeprefix("/") if said else container[:12]
        return self._names[container]

    def _disks(self) -> tuple[Disk, ...]:
        folders = [str(cache_dir()), str(state_dir())]
        if self._facts is not None and self._facts.local:
            folders.insert(0, self._facts.data_root or "/var/lib/docker")
        found: dict[int, Disk] = {}
        for folder in folders:
            place = folder
            while not os.access(place, os.X_OK) and place != "/":
                place = os.path.dirname(place)  # noqa: PTH120  # of text
            use = shutil.disk_usage(place)
            found.setdefault(os.stat(place).st_dev, Disk(folder, use.free, use.total))  # noqa: PTH116
        return tuple(found.values())

    # What tells of changes.

    def _hear_engine(self) -> None:
        containers = self._sources["containers"]
        request = f"/events?filters={quote(json.dumps(_EVENTS))}"
        while not self._stopped.is_set():
            try:
                path = socket_path(self._known_engine().environ)
            except DevboxError:
                path = None
            if path is None:  # only its program or the SDK knows the way, if anybody does: it is asked
                containers.every = _AGAIN_SECONDS
                return
            try:
                for _line in Question(path, request, timeout=_QUIET_SECONDS).lines():
                    containers.wake.set()
            except OSError:
                pass
            containers.wake.set()
            self._stopped.wait(_AGAIN_SECONDS)

    def _hear_builds(self) -> None:
        from watchfiles import watch

        builds, folder = self._sources["builds"], running.folder()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for _changes in watch(
                folder, watch_filter=None, debounce=400, step=100, stop_event=self._stopped, raise_interrupt=False
            ):
                builds.wake.set()
        except (OSError, RuntimeError):  # the system watches no more folders for this user
            builds.every = 1
