"""The connection with a program that runs where a copy is: by the engine's socket, or by a client such as docker's.

All that a talk needs is a `Line`: bytes both ways, each piece within a deadline. A `Place` says how one is begun, so a
copy may be wherever a command can be executed.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, NamedTuple, Protocol

from devbox.container.inside.exec import prepared
from devbox.engine.exec import Exec, by_client, is_pod

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from devbox.engine.attach import Session
    from devbox.engine.docker import Engine


class Line(Protocol):
    """A program's stdin and stdout. What it said on stderr is kept."""

    def send(self, data: memoryview) -> None:
        """Send all of `data`. Raises TimeoutError, and another OSError where nobody listens."""

    def receive(self) -> bytes | None:
        """Return what comes next, perhaps nothing; None at the end. Raises TimeoutError, and another OSError."""

    def told(self) -> str:
        """Return what was said on stderr by now."""

    def close(self) -> None:
        """End the program's stdin, and with that the program."""


class Place(NamedTuple):
    """Where the copy of a checkout is: what begins a program there, the folder, and what it is called for people.

    `start` is handed an argv, and the seconds that each piece may take; it raises TimeoutError and EngineError. `full`
    is what to type where its disk is.
    """

    start: Callable[[Sequence[str], float], Line]
    folder: str
    title: str
    full: str = "docker system df"


def in_container(engine: Engine, container: str, folder: str, user: str) -> Place:
    """Return the place of a copy in a container; `user` is who owns it."""

    def start(argv: Sequence[str], seconds: float) -> Line:
        asked = Exec(container, tuple(argv), user=user, cwd="/")
        session = prepared(asked, engine.environ)
        if session is None:
            return ByClient(by_client(asked, engine.environ, engine.docker), engine.environ, seconds)
        return BySocket(session, seconds)

    if is_pod(container):
        return Place(start, folder, f"the pod {container.partition(',')[0]}", "devbox builds prune --older-than 1d")
    return Place(start, folder, f"the container {container[:12]}")


class BySocket:
    """A line over the engine's socket."""

    def __init__(self, session: Session, seconds: float) -> None:
        """Start the prepared command. Raises TimeoutError and EngineError."""
        session.start(timeout=seconds)
        session.connection.settimeout(seconds)
        self._session = session
        self._errors = bytearray()
        self.send = session.connection.sendall
        self.close = session.close

    def receive(self) -> bytes | None:
        """See `Line`."""
        parts = self._session.receive()
        if parts is None:
            return None
        data = bytearray()
        for stream, piece in parts:
            (data if stream == 1 else self._errors).extend(piece)
        return bytes(data)

    def told(self) -> str:
        """See `Line`."""
        return self._errors.decode("utf-8", "replace")


class ByClient:
    """A line by a program of this machine, which passes the streams on: `docker exec --interactive …`."""

    def __init__(self, argv: Sequence[str], environ: Mapping[str, str], seconds: float) -> None:
        """Start the client."""
        import subprocess
        import tempfile

        self._said = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the line
        ours, theirs = socket.socketpair()
        with theirs:
            self._client = subprocess.Popen(
                argv,
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=self._said.fileno(),
                env=dict(environ),
                start_new_session=True,
            )
        ours.settimeout(seconds)
        self._connection = ours
        self.send = ours.sendall

    def receive(self) -> bytes | None:
        """See `Line`."""
        return self._connection.recv(1 << 16) or None

    def told(self) -> str:
        """See `Line`."""
        self._said.seek(0)
        return self._said.read().decode("utf-8", "replace")

    def close(self) -> None:
        """See `Line`."""
        self._connection.close()
        try:
            self._client.wait(5)
        except Exception:  # noqa: BLE001  # it may hang with its network
            self._client.kill()
            self._client.wait()
        self._said.close()
