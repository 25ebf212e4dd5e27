"""The client's side of the talk with the agent: a command executed, a request in, events out, and the lifeline."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import threading
from typing import IO, TYPE_CHECKING, Any, Generic, Self, cast

from devbox.agent import protocol
from devbox.agent.protocol import R
from devbox.builds import deliver
from devbox.container.inside.exec import execution, prepared
from devbox.container.inside.unrunnable import BEGINNING, NotFoundError, unrunnable
from devbox.engine.exec import by_client, code_of
from devbox.errors import EXIT_INTERRUPTED, BuildError, EngineError, ProgramMissingError, Stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from devbox.agent.protocol import Event, Request
    from devbox.container.target import Target
    from devbox.engine.attach import Session
    from devbox.engine.docker import Engine
    from devbox.masking import Mask

    OnEvent = Callable[[Event], object]
    # What is called for each kind of question.
    Answers = Mapping[type[Event], Callable[[Any], object]]

CANNOT_RUN = frozenset({126, 127})
KILLED = 137
# How long the agent gets to end compilers and close its record after the lifeline was cut.
FAREWELL_SECONDS = 30.0


class NoPythonError(BuildError):
    """A container has nothing to run the agent with."""


def ask(
    request: Request[R],
    target: Target,
    engine: Engine,
    *,
    on_event: OnEvent | None = None,
    answers: Answers | None = None,
    mask: Mask | None = None,
) -> R:
    """Send a request to the agent in the container, and return its result; what it says on the way goes to `on_event`.

    Where the agent asks something, by an event that `answers` names, that function is called, and the agent waits. All
    that it says goes through `mask`.

    On the warm path this is one command executed; where the container has not seen this version of the agent, it is
    sent there and asked again. The first Ctrl-C, SIGTERM or SIGHUP cuts the lifeline: the agent ends what it runs,
    closes the record, and its last words still count. A second one is as always. An exception of `on_event` cuts the
    lifeline as well.
    Raises BuildError if the agent cannot be run, fails, or is cut off, KeyboardInterrupt if it was stopped too early
    for a result. The code of a result that a signal brought about is 128 + its number.
    """
    volume = target.volume
    known = _Listener(request.but(volume=volume), on_event, answers, mask)
    for attempt in ("first", "after delivery"):
        with _exec(target, engine, deliver.run_argv(volume)) as agent, _cut_by_signals(agent):
            result = known.talk(agent)
            if result is not None:
                return result
        agent.raise_if_cut()
        if known.began or agent.code != deliver.MISSING or attempt != "first":
            break
        _deliver(target, engine, volume)
    raise _failure(agent, engine, began=known.began, pod=target.container if engine.is_cluster else None)


def ask_alone(request: Request[R], args: Sequence[str], engine: Engine, *, on_event: OnEvent | None = None) -> R:
    """Send the agent and a request to a container that `docker ARGS` starts for it, and return its result like `ask`.

    `args` end with the image's arguments for `deliver.alone_argv`. Raises as `ask` does.
    """
    known = _Listener(request, on_event)
    with _ClientLine(engine.argv(args), engine.environ) as agent, _cut_by_signals(agent):
        agent.send(json.dumps(deliver.bundle()))
        result = known.talk(agent)
        if result is not None:
            return result
    agent.raise_if_cut()
    raise _failure(agent, engine, began=known.began)


class _Listener(Generic[R]):
    """Follows what the agent says to one request. `began` says that it runs, and so is not in want of anything."""

    def __init__(
        self,
        request: Request[R],
        on_event: OnEvent | None,
        answers: Answers | None = None,
        mask: Mask | None = None,
    ) -> None:
        self._request = request
        self._on_event = on_event
        self._answers = answers or {}
        self._mask = mask
        self.began = False

    def talk(self, agent: _Line) -> R | None:
        """Send the request and return its result; None where the line ended without one. Raises BuildError."""
        agent.send(self._request.to_line())
        for said in agent.lines():
            try:
                event = protocol.read_event(self._mask.data(said) if self._mask else said, self._request)
                if isinstance(event, protocol.Hello):
                    self.began = True
                    protocol.check_version(event.version)
            except protocol.ProtocolError as error:
                raise BuildError(f"the build's agent cannot be understood: {error}", hint="devbox build -v") from None
            answer = self._answers.get(type(event)) if event is not None else None
            if answer is not None:
                answer(event)
                agent.send("")
            elif isinstance(event, protocol.Fault):
                raise BuildError(event.message, hint=event.hint)
            elif isinstance(event, protocol.Result):
                if getattr(event, "code", 0) == EXIT_INTERRUPTED and agent.cut_by is not None:
                    # The agent knows only that its lifeline was cut.
                    event = event.but(code=128 + agent.cut_by)
                agent.answered = True
                return cast("R", event)
            elif event is not None and self._on_event is not None:
                self._on_event(event)
        return None


@contextlib.contextmanager
def _cut_by_signals(agent: _Line) -> Iterator[None]:
    """Let the first signal to stop cut the agent's lifeline; after it, signals do again what they did before."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def cut(number: int, _: object) -> None:
        restore()
        agent.hang_up(by=number)

    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, cut)
    try:
        yield
    finally:
        restore()


def _failure(agent: _Line, engine: Engine, *, began: bool, pod: str | None = None) -> BuildError:
    reached = engine.trouble(agent.stderr)
    if reached is not None:
        return BuildError(reached.message, hint=reached.hint, detail=reached.detail)
    if not began and agent.code in CANNOT_RUN and agent.refusal:
        error = unrunnable(agent.refusal, deliver.PYTHON[0])
        if not isinstance(error, NotFoundError):
            return BuildError(error.message, hint=error.hint)
    if not began and agent.code in CANNOT_RUN:
        return NoPythonError(
            "the container has no python3, which builds need",
            hint="devbox exec -- apt-get install -y python3   # or add it to the image's packages",
            detail=agent.stderr,
        )
    # Of a command that came to its end kubectl says so; docker's client tells by its own end.
    cut = agent.code < 0 or (engine.is_cluster and "command terminated with exit code" not in agent.stderr)
    gone = cut and pod is not None and not ((engine.container(pod) or {}).get("State") or {}).get("Running")
    if cut and not gone:
        return BuildError(
            f"the connection to the {'pod' if engine.is_cluster else 'container'} was cut during the build",
            hint="the same command again   # goes on from what is built; where the container is gone, devbox up first",
            detail=agent.stderr or None,
        )
    if gone or agent.code == KILLED:
        return BuildError("the build was cut off: its container was stopped", hint="devbox up   # then build again")
    return BuildError(f"the build's agent ended with exit code {agent.code}", detail=agent.stderr or None)


def _deliver(target: Target, engine: Engine, volume: str) -> None:
    with _exec(target, engine, deliver.receive_argv(volume)) as receiver:
        receiver.send(json.dumps(deliver.bundle()))
        receiver.hang_up()
    if receiver.code != 0:
        raise BuildError(
            f"cannot write to the build volume at {volume}",
            hint="devbox up   # mounts it and sets its owner",
            detail=receiver.stderr or None,
        )


def _exec(target: Target, engine: Engine, argv: list[str]) -> _Line:
    """Return the line to a program in the container: over the engine's socket where it has one on this machine."""
    asked = execution(target, argv, environ=engine.environ)
    environ = target.client_environ(engine.environ)
    session = prepared(asked, environ)
    if session is not None:
        return _SocketLine(session)
    return _ClientLine(by_client(asked, environ, engine.docker), environ, asked.container)


class _Line:
    """A program that talks in lines of JSON, and whose stdin is its lifeline: it ends when that is cut.

    When the block is left, `code` is its exit code and `stderr` what it wrote there. Who has an `answered` line needs
    neither.
    """

    def __init__(self) -> None:
        self.code = -1
        self.answered = False
        self.cut_by: int | None = None
        self.stderr = ""
        # What the engine said in place of the program, if it could not start it.
        self.refusal = ""

    def __enter__(self) -> Self:
        raise NotImplementedError

    def __exit__(self, *_: object) -> None:
        raise NotImplementedError

    def send(self, line: str) -> None:
        """Write one line to the lifeline. Somebody who reads no more is no error: the end tells why."""
        raise NotImplementedError

    def _cut(self) -> None:
        raise NotImplementedError

    def _output(self) -> Iterator[bytes]:
        """Yield its stdout by lines."""
        raise NotImplementedError

    def hang_up(self, *, by: int | None = None) -> None:
        """Cut the lifeline; `by` is the signal that asked for it."""
        self.cut_by = self.cut_by or by
        self._cut()

    def raise_if_cut(self) -> None:
        """Raise KeyboardInterrupt if a signal cut the line, the kind that has the exit code if it was not Ctrl-C's."""
        if self.cut_by is not None:
            raise KeyboardInterrupt if self.cut_by == signal.SIGINT else Stopped(self.cut_by)

    def lines(self) -> Iterator[dict[str, Any]]:
        """Yield the objects that the agent writes. What is none is dropped: a tool may have written past it."""
        for line in self._output():
            if line.startswith(BEGINNING.encode()):
                self.refusal = line.decode("utf-8", "replace")
            with contextlib.suppress(ValueError):
                said = json.loads(line)
                if isinstance(said, dict):
                    yield said


class _SocketLine(_Line):
    """A command on a connection of the engine's; it lasts as long as this process."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._errors = bytearray()

    def __enter__(self) -> Self:
        self._session.start()
        return self

    def send(self, line: str) -> None:
        with contextlib.suppress(OSError):
            self._session.connection.sendall(line.encode() + b"\n")

    def _cut(self) -> None:
        self._session.end_input()

    def _output(self) -> Iterator[bytes]:
        rest = bytearray()
        while (parts := self._received()) is not None:
            for stream, data in parts:
                (rest if stream == 1 else self._errors).extend(data)
            *whole, last = rest.split(b"\n")
            yield from map(bytes, whole)
            rest = last
        if rest:
            yield bytes(rest)

    def _received(self) -> Iterator[tuple[int, memoryview]] | None:
        try:
            return self._session.receive()
        except OSError:  # the engine is gone, or nothing was said for too long
            return None

    def __exit__(self, *_: object) -> None:
        self.hang_up()
        with contextlib.closing(self._session):
            self._session.connection.settimeout(FAREWELL_SECONDS)
            for _line in self._output():
                pass
            if not self.answered:
                try:
                    self.code = self._session.exit_code() or 0
                except EngineError:
                    self.code = KILLED  # the engine forgets what ran in a container that is stopped
        self.stderr = self._errors.decode("utf-8", "replace").strip()


class _ClientLine(_Line):
    """A docker client, in a session of its own: a Ctrl-C is for this process, which cuts the line.

    Its stdin is a socket: unlike a pipe's, its end can be told while something is written to it, by a signal's handler.
    """

    def __init__(self, argv: Sequence[str], environ: Mapping[str, str], container: str = "") -> None:
        super().__init__()
        self._argv = argv
        self._container = container
        self._environ = environ

    def __enter__(self) -> Self:
        import subprocess
        import tempfile

        self._errors: IO[bytes] = tempfile.TemporaryFile()
        self._lifeline, theirs = socket.socketpair()
        try:
            self._client = subprocess.Popen(
                self._argv,
                stdin=theirs.fileno(),
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env=dict(self._environ),
                start_new_session=True,
            )
        except FileNotFoundError:
            raise ProgramMissingError(self._argv[0]) from None
        finally:
            theirs.close()
        return self

    def send(self, line: str) -> None:
        with contextlib.suppress(OSError):
            self._lifeline.sendall(line.encode() + b"\n")

    def _cut(self) -> None:
        with contextlib.suppress(OSError):
            self._lifeline.shutdown(socket.SHUT_WR)

    def _output(self) -> Iterator[bytes]:
        assert self._client.stdout is not None  # noqa: S101
        return iter(self._client.stdout)

    def __exit__(self, *_: object) -> None:
        from subprocess import TimeoutExpired

        self.hang_up()
        assert self._client.stdout is not None  # noqa: S101
        try:
            with contextlib.suppress(TimeoutExpired):
                self._client.communicate(timeout=FAREWELL_SECONDS)
        finally:
            if self._client.poll() is None:
                self._client.kill()
            self.code = code_of(self._container, self._client.wait())
            self._errors.seek(0)
            self.stderr = self._errors.read().decode("utf-8", "replace").strip()
            self._errors.close()
            self._lifeline.close()
