"""The talk with a receiver in a container: messages, contents in frames, and a deadline for each wait."""

from __future__ import annotations

import json
import socket
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from devbox.agent import receiver
from devbox.container.inside.exec import prepared
from devbox.engine.api import patience
from devbox.engine.attach import Frames
from devbox.engine.exec import Exec
from devbox.errors import EngineError, last_lines

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterable

    from devbox.engine.attach import Session
    from devbox.engine.docker import Engine

# The other end says something every few seconds.
SECONDS = 60.0
# The deadline is one for each piece: a slow line needs long for all of a large message.
_PIECE = 1 << 16
_NO_SPACE = frozenset({28, 122})
# A file that is taken back comes in one line.
_LONGEST_LINE = 1 << 30
AGAIN = "devbox sync   # goes on from there"


class CutError(EngineError):
    """The talk ended in its midst: the other end is gone, or says nothing."""


class Place(NamedTuple):
    """Where the copy of a checkout is: in which container, in which folder, and whose it is."""

    container: str
    folder: str
    user: str


class Wire:
    """A receiver that runs, for the length of a block."""

    def __init__(self, engine: Engine, place: Place) -> None:
        """Take where it runs."""
        program = Path(receiver.__file__).read_text(encoding="utf-8")
        self._asked = Exec(
            place.container, ("python3", "-I", "-S", "-c", program, place.folder), user=place.user, cwd="/"
        )
        self._engine, self._place = engine, place
        self._seconds = patience(engine.environ, SECONDS)
        self._session: Session | None = None
        self._client: subprocess.Popen[bytes] | None = None
        self._line, self._errors = bytearray(), bytearray()
        self._frames = Frames()

    def __enter__(self) -> Self:
        self._session = prepared(self._asked, self._engine.environ)
        if self._session is not None:
            try:
                self._session.start(timeout=self._seconds)
            except TimeoutError:
                raise self._lost(f"was not asked within {self._seconds:g} s") from None
            self._connection = self._session.connection
        else:
            self._connection = self._by_client()
        self._connection.settimeout(self._seconds)
        try:
            self.hear()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _by_client(self) -> socket.socket:
        import subprocess
        import tempfile

        self._said = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the connection
        ours, theirs = socket.socketpair()
        with theirs:
            self._client = subprocess.Popen(
                [self._engine.docker, *self._asked.args()],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=self._said.fileno(),
                env=dict(self._engine.environ),
                start_new_session=True,
            )
        return ours

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        if self._client is not None:
            # Its stdin has ended, and with that the receiver.
            try:
                self._client.wait(5)
            except Exception:  # noqa: BLE001  # it may hang with its network
                self._client.kill()
                self._client.wait()
            self._said.close()

    def ask(self, message: dict[str, Any], contents: Iterable[bytes] = ()) -> dict[str, Any]:
        """Send a message and the frames behind it; return the answer. Raises EngineError."""
        try:
            for data in chain([json.dumps(message, separators=(",", ":")).encode() + b"\n"], contents):
                for begin in range(0, len(data), _PIECE):
                    self._connection.sendall(memoryview(data)[begin : begin + _PIECE])
        except TimeoutError:
            raise self._lost(f"took nothing for {self._seconds:g} s") from None
        except OSError:
            # It has said why.
            pass
        return self.hear()

    def hear(self) -> dict[str, Any]:
        """Return the next message that says something. Raises EngineError for a fault, and for silence."""
        looked = 0
        while True:
            # A file that is taken back is one line: what was looked through is not looked through for each piece.
            end = self._line.find(b"\n", looked)
            if end < 0:
                looked = len(self._line)
                self._receive()
                continue
            head, looked = bytes(self._line[:end]), 0
            del self._line[: end + 1]
            try:
                said = json.loads(head)
            except ValueError:
                continue
            if "fault" in said:
                raise self._failed(said)
            if "alive" not in said:
                return dict(said)

    def _receive(self) -> None:
        if len(self._line) > _LONGEST_LINE:
            raise CutError("the container's answer has no end", hint=AGAIN)
        try:
            if self._session is not None:
                parts = self._session.receive()
                if parts is None:
                    raise self._ended()
                for stream, piece in parts:
                    (self._line if stream == 1 else self._errors).extend(piece)
                return
            data = self._connection.recv(1 << 16)
        except TimeoutError:
            raise self._lost(f"said nothing for {self._seconds:g} s") from None
        except OSError as error:
            raise self._lost(str(error.strerror or error)) from None
        if not data:
            raise self._ended()
        self._line.extend(data)

    def _failed(self, said: dict[str, Any]) -> EngineError:
        if said["errno"] in _NO_SPACE:
            return EngineError(
                f"the engine's disk is full: {said['fault']}", hint="docker system df   # then: devbox sync"
            )
        return EngineError(f"the checkout could not be brought to the engine: {said['fault']}", hint=AGAIN)

    def _lost(self, how: str) -> EngineError:
        return CutError(f"the container {self._place.container[:12]} {how}: the connection is lost", hint=AGAIN)

    def _ended(self) -> EngineError:
        if self._client is not None:
            self._said.seek(0)
            self._errors += self._said.read()
        told = (bytes(self._line) + bytes(self._errors)).decode("utf-8", "replace").strip()
        if "executable file not found" in told or "python3: not found" in told:
            return EngineError(
                "the container has no python3, by which a checkout is brought to an engine elsewhere",
                hint="add python3 to the image's packages",
            )
        return CutError(
            "the connection to the container was cut", hint=AGAIN, detail=last_lines(told) if told else None
        )


def framed(data: bytes) -> bytes:
    """Return a frame; the empty one ends a content."""
    return len(data).to_bytes(4, "big") + data
