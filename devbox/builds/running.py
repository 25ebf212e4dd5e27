"""Builds that are under way, as another terminal sees them: a record each, which the builder holds locked.

It is on this machine, beside the log, so who looks asks no container. The kernel drops the lock with the process: a
record that nobody holds is what a killed build left, and counts for nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from devbox.agent import protocol
from devbox.lean import MOST
from devbox.paths import state_dir
from devbox.values import dataclass

if TYPE_CHECKING:
    from pathlib import Path

    from devbox.agent.protocol import Event

# So many of the files that are being compiled are told, those that take the longest.
_NAMED = 8


@dataclass(frozen=True, slots=True)
class Running:
    """A build under way: `begun` in seconds since the epoch, `eta` in seconds, `total` 0 where it is not known.

    With `least`, `eta` may well be more. `running` begins with what runs the longest.
    """

    workspace: str
    key: str
    begun: float
    phase: str
    done: int = 0
    total: int = 0
    eta: float | None = None
    least: bool = False
    running: tuple[str, ...] = ()


def folder() -> Path:
    """Return the folder of the records."""
    return state_dir() / "building"


class Record:
    """What a build says of itself while it runs. That it cannot be written stops no build."""

    def __init__(self, workspace: str, key: str) -> None:
        """Begin a record."""
        self._said = {"workspace": workspace, "key": key, "begun": time.time(), "phase": ""}
        self._path = folder() / f"{key}-{os.getpid()}-{time.monotonic_ns()}.json"
        self._descriptor = -1
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)  # who reads holds it for a moment

    def take(self, event: Event) -> None:
        """Say what there is to say of an event."""
        if isinstance(event, protocol.Phase):
            self._said.update(phase=event.title, done=0, total=0, eta=None, running=())
        elif isinstance(event, protocol.Progress):
            self._said.update(
                done=event.done, total=event.total, eta=event.eta, least=event.least, running=event.running[:_NAMED]
            )
        else:
            return
        line = json.dumps(self._said).encode()
        with contextlib.suppress(OSError):
            os.pwrite(self._descriptor, line, 0)
            os.ftruncate(self._descriptor, len(line))

    def close(self) -> None:
        """Take the record away."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
            os.close(self._descriptor)


def running() -> tuple[Running, ...]:
    """Return the builds that this user has under way on this machine, the oldest first."""
    try:
        paths = list(folder().glob("*.json"))
    except OSError:
        return ()
    return tuple(sorted(filter(None, map(_read, paths)), key=lambda one: (one.begun, one.key)))


def _read(path: Path) -> Running | None:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as stream:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MOST:  # a pipe has no end to read to
            return None
        said = stream.read()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:  # held, or a file system without locks
            return _understood(said)
        if said:  # else it is about to be held
            path.unlink(missing_ok=True)
    return None


def _understood(text: bytes) -> Running | None:
    """Return what a record says; None for one that is being written, or of another version."""
    try:
        one = Running(**json.loads(text))
        return Running(**{**asdict(one), "running": tuple(one.running)})
    except (ValueError, TypeError):
        return None
