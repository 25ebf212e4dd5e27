"""How much of a command's time is the engine's: the part in which it had a request to answer, or a program to run.

What remains below that, no client can save: the engine's part beside the whole time of another tool is the least ratio
that there can be.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from devbox.engine.api import socket_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.measure import Subject
    from bench.workspace import Workspace


class Between:
    """A socket before the engine's, which notes from when until when each connection waits for an answer."""

    def __init__(self, path: Path, engine: str) -> None:
        """Listen at `path` and carry to the socket `engine`."""
        self._engine = engine
        self._waits: list[tuple[float, float]] = []
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no further connection."""
        self._listening.close()

    def waited(self, start: float, end: float) -> float:
        """Return for how many seconds between these times, by `time.perf_counter`, anything was waited for."""
        whole, reached = 0.0, start
        for first, last in sorted(self._waits):
            begin, done = max(first, reached), min(last, end)
            if done > begin:
                whole, reached = whole + done - begin, done
        return whole

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = self._listening.accept()[0]
                engine = socket.socket(socket.AF_UNIX)
                engine.connect(self._engine)
                asked: list[float] = []
                threading.Thread(target=self._there, args=(client, engine, asked), daemon=True).start()
                threading.Thread(target=self._back, args=(engine, client, asked), daemon=True).start()

    def _there(self, client: socket.socket, engine: socket.socket, asked: list[float]) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(1 << 16):
                asked.append(time.perf_counter())
                engine.sendall(data)
            engine.shutdown(socket.SHUT_WR)

    def _back(self, engine: socket.socket, client: socket.socket, asked: list[float]) -> None:
        last, runs = 0.0, False
        with contextlib.suppress(OSError):
            while (data := engine.recv(1 << 16)) or runs:
                # From the first question that has had no answer yet; what comes unasked was asked for before.
                first = min((one for one in asked if one > last), default=last)
                last = time.perf_counter()
                self._waits.append((first or last, last))
                if not data:
                    break
                # From here on it is the stream of a program, whose end counts.
                runs = runs or data.startswith(b"HTTP/1.1 101 ")
                client.sendall(data)
            client.shutdown(socket.SHUT_WR)
        engine.close()
        client.close()


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


def part(subject: Subject, workspace: Workspace, rounds: int) -> tuple[float, float]:
    """Return the medians of the engine's part and of the whole of a command, in seconds of one and the same run.

    Raises CalledProcessError where the command fails.
    """
    taken: list[tuple[float, float]] = []
    with between(dict(workspace.environ)) as (path, environ):
        for number in range(-1, rounds):
            subject.prepare()
            start = time.perf_counter()
            subprocess.run(
                subject.argv, cwd=workspace.path, env=environ, stdin=subprocess.DEVNULL, capture_output=True, check=True
            )
            end = time.perf_counter()
            if number >= 0:
                taken.append((path.waited(start, end), end - start))
    return sorted(taken, key=lambda one: one[1])[len(taken) // 2]
