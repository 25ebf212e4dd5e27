"""A command's streams over the engine's unix socket: what `docker exec` does, without starting the docker client.

The engine answers the start of a command by handing the connection over. What is written to it is the command's stdin;
closing that side ends stdin. What is read is a terminal's bytes as they are, or else stdout and stderr in frames: one
byte that says which, three that say nothing, four for the length, and the bytes (moby, `pkg/stdcopy`).
"""

from __future__ import annotations

import select
import time

from devbox.engine.api import Question, ask_socket, upgrade
from devbox.errors import EngineError
from devbox.lean import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Mapping

    from devbox.engine.exec import Exec

# Of the system: nothing more is sent.
_SHUT_WR = 1
_CREATED = 201
_STARTED = (101, 200)
_HEADER = 8
# How long the engine may take to note the end of a command whose streams are closed.
SETTLE_SECONDS = 0.5


class RefusedByEngineError(EngineError):
    """The engine would not execute a command. The message is its own."""


class Frames:
    """Takes stdout and stderr apart."""

    def __init__(self) -> None:
        # Of the frame that is being read: which stream, how many bytes are left, and a header that was cut.
        self._stream, self._left, self._header = 1, 0, b""

    def split(self, data: memoryview) -> Iterator[tuple[int, memoryview]]:
        """Yield (1 for stdout, 2 for stderr; bytes) in the next piece of the stream."""
        while data:
            if not self._left:
                missing = _HEADER - len(self._header)
                self._header += bytes(data[:missing])
                data = data[missing:]
                if len(self._header) < _HEADER:
                    return
                self._stream, self._left = self._header[0], int.from_bytes(self._header[4:], "big")
                self._header = b""
            part, data = data[: self._left], data[self._left :]
            self._left -= len(part)
            if part:
                yield 2 if self._stream == 2 else 1, part


class Session:
    """A command that runs in a container, and the connection with its streams.

    `detach_keys` are those that its terminal is left with, in docker's notation; "" for docker's own.
    """

    def __init__(
        self,
        path: str,
        execution: Exec,
        environ: Mapping[str, str],
        *,
        size: tuple[int, int] | None = None,
        detach_keys: str = "",
    ) -> None:
        """Have the engine at the socket `path` prepare the command; `environ` is what docker's client would run in.

        `size` (height, width) and `detach_keys` are those of a terminal. Raises OSError where the engine is not reached
        that way.
        """
        self._path = path
        self._tty = execution.tty
        self.command = execution.argv[0]
        self.detach_keys = detach_keys
        self._size = {} if size is None else {"ConsoleSize": size}
        request = {**execution.request(environ, detach_keys=detach_keys), **self._size}
        self._preparing = Question(path, f"/containers/{execution.container}/exec", body=request)
        self._frames = Frames()
        # Known with the exit code: a command that could not be started never was a process.
        self.has_run = True

    def start(self, *, timeout: float | None = None) -> None:
        """Run the command, `timeout` seconds at most for the engine's answer.

        Raises RefusedByEngineError where the engine will not, EngineError where it is lost.
        """
        try:
            self._start(timeout)
        except TimeoutError:
            raise
        except OSError as error:
            why = error.strerror or error
            raise EngineError(f"the engine was lost before it ran the command: {why}", hint="docker ps") from None

    def _start(self, timeout: float | None) -> None:
        status, answer = self._preparing.answer()
        if status != _CREATED:
            raise RefusedByEngineError(_message(answer))
        self.id = str(loads(answer)["Id"])
        body = {"Detach": False, "Tty": self._tty, **self._size}
        status, self.connection, self._rest = upgrade(self._path, f"/exec/{self.id}/start", body, timeout=timeout)
        if status not in _STARTED:
            self.connection.close()
            raise RefusedByEngineError(_message(self._rest))

    @property
    def has_more(self) -> bool:
        """Whether output has come that no wait for the connection would tell of."""
        return bool(self._rest)

    def resize(self, size: tuple[int, int]) -> None:
        """Tell the command's terminal its size (height, width). One that has none yet, or no longer, is no failure."""
        try:
            ask_socket(self._path, f"/exec/{self.id}/resize?h={size[0]}&w={size[1]}", body={})
        except OSError:
            return

    def end_input(self) -> None:
        """End the command's stdin; its output goes on."""
        try:
            self.connection.shutdown(_SHUT_WR)
        except OSError:
            return

    def receive(self) -> Iterator[tuple[int, memoryview]] | None:
        """Wait for output and return it as (1 for stdout, 2 for stderr; bytes), None at its end. Raises OSError."""
        data, self._rest = self._rest or self.connection.recv(1 << 16), b""
        if not data:
            return None
        return iter([(1, memoryview(data))]) if self._tty else self._frames.split(memoryview(data))

    def exit_code(self, until: float | None = None) -> int | None:
        """Return the command's exit code when its output has ended; None where it goes on without its terminal.

        A command may close its output and live on: without a terminal its end is waited for, `until` a time of the
        monotonic clock at most. Raises EngineError where the engine does not say, TimeoutError.
        """
        deadline = time.monotonic() + SETTLE_SECONDS
        while True:
            try:
                status, body = ask_socket(self._path, f"/exec/{self.id}/json")
                said = loads(body)
            except (OSError, ValueError):
                status = 0
            if status != 200:
                raise EngineError("the engine does not say how the command ended", hint="docker ps")
            if not said["Running"]:
                self.has_run = bool(said.get("Pid", True))
                return int(said["ExitCode"] or 0)
            if self._tty and time.monotonic() > deadline:
                return None
            if until is not None and time.monotonic() > until:
                raise TimeoutError
            time.sleep(0.005)

    def close(self) -> None:
        """Leave the command: its stdin ends, and nobody reads its output."""
        self.connection.close()


def captured(session: Session, data: bytes, seconds: float | None) -> tuple[int, bytes, bytes]:
    """Run the prepared command to its end on `data` as its stdin; return its exit code, stdout and stderr.

    Raises RefusedByEngineError and EngineError as `Session.start` does, TimeoutError where it has not ended after so
    many seconds; it then goes on.
    """
    until = None if seconds is None else time.monotonic() + seconds
    session.start(timeout=seconds)
    written = {1: bytearray(), 2: bytearray()}
    left = memoryview(data)
    try:
        session.connection.settimeout(0)
        if not data:
            session.end_input()
        while True:
            if not session.has_more and _wait(session.connection, until, writing=bool(left)) & select.POLLOUT:
                try:
                    left = left[session.connection.send(left) :]
                except BlockingIOError:
                    continue
                except OSError:
                    # It has ended without reading all of it. What it said is still to come.
                    left = left[:0]
                if not left:
                    session.end_input()
                continue
            try:
                pieces = session.receive()
            except ConnectionResetError:
                # Its end, where it has left input unread. The exit code is the engine's to say.
                pieces = None
            except OSError as error:
                raise EngineError(f"the engine was lost: {error.strerror or error}", hint="docker ps") from None
            if pieces is None:
                return session.exit_code(until) or 0, bytes(written[1]), bytes(written[2])
            for stream, piece in pieces:
                written[stream] += piece
    finally:
        session.close()


def _wait(connection: socket.socket, until: float | None, *, writing: bool) -> int:
    """Wait until the connection can be read or, if that is wanted, written; return what of it. Raises TimeoutError."""
    poll = select.poll()
    poll.register(connection, select.POLLIN | (select.POLLOUT if writing else 0))
    events = poll.poll(None if until is None else max(0.0, until - time.monotonic()) * 1000)
    if not events:
        raise TimeoutError
    return events[0][1]


def _message(body: bytes) -> str:
    try:
        return str(loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return body.decode("utf-8", "replace").strip() or "the engine gave no reason"
