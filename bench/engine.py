"""How much of a command's time is the engine's: the part in which it had a request to answer, or a program to run.

What remains below that, no client can save: the engine's part beside the whole time of another tool is the least ratio
that there can be.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import subprocess
import tempfile
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from devbox.engine.api import socket_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.measure import Subject
    from bench.workspace import Workspace


_METHODS = (b"GET /", b"HEAD /", b"POST /", b"PUT /", b"DELETE /")


class Relay:
    """Stands between clients and the engine, and sees what passes."""

    def __init__(self, listening: socket.socket, engine: str) -> None:
        """Carry what comes to the bound socket `listening` to the socket at `engine`, and back."""
        self._engine = engine
        self._open = [listening]
        listening.listen(64)
        threading.Thread(target=self._accept, args=(listening,), daemon=True).start()

    def passes(self, connection: int, data: bytes, *, asked: bool) -> None:
        """See what passes on a connection, by its number; nothing is its end. `asked` says that it is the client's."""

    def close(self) -> None:
        """End all connections, and take no further one."""
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            for connection in itertools.count():
                client = listening.accept()[0]
                engine = socket.socket(socket.AF_UNIX)
                self._open += [client, engine]
                engine.connect(self._engine)
                for pair in ((client, engine, True), (engine, client, False)):
                    threading.Thread(target=self._carry, args=(connection, *pair), daemon=True).start()

    def _carry(self, connection: int, source: socket.socket, target: socket.socket, asked: bool) -> None:  # noqa: FBT001
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                self.passes(connection, data, asked=asked)
                target.sendall(data)
            self.passes(connection, b"", asked=asked)
            target.shutdown(socket.SHUT_WR)


@dataclass
class _Connection:
    """When it was asked something, when it last heard an answer, and whether it has become a program's stream."""

    asked: list[float] = field(default_factory=list)
    last: float = 0.0
    runs: bool = False


class Between(Relay):
    """Notes from when until when each connection waits for an answer, and counts the requests."""

    def __init__(self, path: Path, engine: str) -> None:
        """Listen at `path` and carry to the socket `engine`."""
        self.requests = 0
        self._waits: list[tuple[float, float]] = []
        self._connections: defaultdict[int, _Connection] = defaultdict(_Connection)
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(path))
        super().__init__(listening, engine)

    def passes(self, connection: int, data: bytes, *, asked: bool) -> None:
        """Note when something is asked, and until when it is answered."""
        now, state = time.perf_counter(), self._connections[connection]
        if asked:
            state.asked += [now] if data else []
            self.requests += data.startswith(_METHODS)
        elif data or state.runs:
            # From the first question that has had no answer yet; what comes unasked was asked for before.
            first = min((one for one in state.asked if one > state.last), default=state.last)
            self._waits.append((first or now, now))
            # A program's stream: its end counts.
            state.last, state.runs = now, state.runs or data.startswith(b"HTTP/1.1 101 ")

    def waited(self, start: float, end: float) -> float:
        """Return for how many seconds between these times, by `time.perf_counter`, anything was waited for."""
        whole, reached = 0.0, start
        for first, last in sorted(self._waits):
            begin, done = max(first, reached), min(last, end)
            if done > begin:
                whole, reached = whole + done - begin, done
        return whole


@contextlib.contextmanager
def between(environ: dict[str, str]) -> Iterator[tuple[Between, dict[str, str]]]:
    """Stand between a client and the engine of `environ`; give the environment in which a client comes this way.

    Raises SystemExit where the engine has no socket on this machine.
    """
    path = socket_path(environ)
    if path is None:
        raise SystemExit("bench: the engine has no socket on this machine")
    with tempfile.TemporaryDirectory(prefix="devbox-bench-") as name:
        place = Path(name, "engine")
        found = Between(place, path)
        try:
            yield found, {**environ, "DOCKER_HOST": f"unix://{place}"}
        finally:
            found.close()


class Part(NamedTuple):
    """The seconds for which the engine was waited for, and those of the whole command; and what it was asked."""

    waited: float
    whole: float
    requests: int


def part(subject: Subject, workspace: Workspace, rounds: int) -> Part:
    """Return the engine's part of a command in the run that took the median time.

    Raises CalledProcessError where the command fails.
    """
    taken: list[Part] = []
    with between(dict(workspace.environ)) as (path, environ):
        for number in range(-1, rounds):
            subject.prepare()
            path.requests = 0
            start = time.perf_counter()
            subprocess.run(
                subject.argv, cwd=workspace.path, env=environ, stdin=subprocess.DEVNULL, capture_output=True, check=True
            )
            end = time.perf_counter()
            if number >= 0:
                taken.append(Part(path.waited(start, end), end - start, path.requests))
    return sorted(taken, key=lambda one: one.whole)[len(taken) // 2]
