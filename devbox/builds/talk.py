"""The client's side of the talk with the agent: one `docker exec`, a request in, events out, and the lifeline."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import tempfile
import threading
from typing import IO, TYPE_CHECKING, Any, Self

from devbox.builds import deliver
from devbox.container.inside.exec import exec_argv
from devbox.errors import EXIT_INTERRUPTED, BuildError, ProgramMissingError, Stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from devbox.container.inside.target import Target
    from devbox.engine.docker import Engine

JSON = dict[str, Any]
Answers = dict[str, "Callable[[JSON], object]"]
SET_TIMES = """
import json, os, sys
for path, mtime in json.load(sys.stdin):
    try:
        os.utime(path, ns=(mtime, mtime))
    except OSError:
        pass
"""
CANNOT_RUN = frozenset({126, 127})
# How long the agent gets to end compilers and close its record after the lifeline was cut.
FAREWELL_SECONDS = 30.0


class NoPythonError(BuildError):
    """A container has nothing to run the agent with."""


def ask(request: JSON, target: Target, engine: Engine, *, answers: Answers | None = None) -> Iterator[JSON]:
    """Send a request to the agent in the container, and yield its events; the last one is `result`.

    Where the agent asks something, in an event that `answers` names, that function is called, and the agent waits.

    On the warm path this is one `docker exec`; where the container has not seen this version of the agent, it is sent
    there and asked again. The first Ctrl-C, SIGTERM or SIGHUP cuts the lifeline: the agent ends what it runs, closes
    the record, and its last words are still yielded. A second one is as always. If the caller stops listening, the
    lifeline is cut as well.
    Raises BuildError if the agent cannot be run, fails, or is cut off, KeyboardInterrupt if it was stopped too early
    for a result. The code of a result that a signal brought about is 128 + its number.
    """
    volume = target.volume
    answers = {**(answers or {}), "as_root": lambda event: _set_times(event["files"], target, engine)}
    for attempt in ("first", "after delivery"):
        known = False
        with _exec(target, engine, deliver.run_argv(volume)) as agent, _cut_by_signals(agent):
            agent.send(json.dumps({**request, "volume": volume}))
            for event in agent.events():
                known = known or event["event"] == "hello"
                if event["event"] in answers:
                    answers[event["event"]](event)
                    agent.send("")
                elif event["event"] != "hello":
                    yield _checked(event, agent)
                    if event["event"] == "result":
                        return
        agent.raise_if_cut()
        if known or agent.code != deliver.MISSING or attempt != "first":
            raise _failure(agent, engine, known=known)
        _deliver(target, engine, volume)


def ask_alone(request: JSON, args: Sequence[str], engine: Engine) -> Iterator[JSON]:
    """Send the agent and a request to a container that `docker ARGS` starts for this, and yield its events like `ask`.

    `args` end with the image's arguments for `deliver.alone_argv`. Raises as `ask` does.
    """
    known = False
    with _Line([engine.docker, *args], engine.environ) as agent, _cut_by_signals(agent):
        agent.send(json.dumps(deliver.bundle()))
        agent.send(json.dumps(request))
        for event in agent.events():
            known = True
            if event["event"] != "hello":
                yield _checked(event, agent)
                if event["event"] == "result":
                    return
    agent.raise_if_cut()
    raise _failure(agent, engine, known=known)


def _checked(event: JSON, agent: _Line) -> JSON:
    if event["event"] == "fault":
        raise BuildError(event["message"], hint=event["hint"])
    if event["event"] == "result" and event.get("code") == EXIT_INTERRUPTED and agent.cut_by is not None:
        # The agent knows only that its lifeline was cut.
        return {**event, "code": 128 + agent.cut_by}
    return event


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


def _failure(agent: _Line, engine: Engine, *, known: bool) -> BuildError:
    reached = engine.trouble(agent.stderr)
    if reached is not None:
        return BuildError(reached.message, hint=reached.hint, detail=reached.detail)
    if not known and agent.code in CANNOT_RUN:
        return NoPythonError(
            "the container has no python3, which builds need",
            hint="devbox exec -- apt-get install -y python3   # or add it to the image's packages",
            detail=agent.stderr,
        )
    if agent.code == 137:
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


def _set_times(files: list[list[Any]], target: Target, engine: Engine) -> None:
    """Set times of the image's files as root. What cannot be set stays newer, which costs no more than a rebuild."""
    with _exec(target._replace(user="root"), engine, [*deliver.PYTHON, "-c", SET_TIMES]) as setter:
        setter.send(json.dumps(files))
        setter.hang_up()


def _exec(target: Target, engine: Engine, argv: list[str]) -> _Line:
    return _Line(exec_argv(target, argv, docker=engine.docker), target.client_environ(engine.environ))


class _Line:
    """A docker client with a lifeline, in a session of its own: a Ctrl-C is for this process, which cuts the line."""

    def __init__(self, argv: Sequence[str], environ: Mapping[str, str]) -> None:
        self._argv = argv
        self._environ = environ
        self.code = -1
        self.cut_by: int | None = None
        self.stderr = ""

    def __enter__(self) -> Self:
        self._errors: IO[bytes] = tempfile.TemporaryFile()
        try:
            self._client = subprocess.Popen(
                self._argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env=dict(self._environ),
                start_new_session=True,
            )
        except FileNotFoundError:
            raise ProgramMissingError(self._argv[0]) from None
        return self

    def send(self, line: str) -> None:
        """Write one line to the lifeline."""
        assert self._client.stdin is not None  # noqa: S101  # PIPE was asked for
        with contextlib.suppress(BrokenPipeError):
            self._client.stdin.write(line.encode() + b"\n")
            self._client.stdin.flush()

    def hang_up(self, *, by: int | None = None) -> None:
        """Cut the lifeline; `by` is the signal that asked for it."""
        self.cut_by = self.cut_by or by
        pipe, self._client.stdin = self._client.stdin, None
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()

    def raise_if_cut(self) -> None:
        """Raise KeyboardInterrupt if a signal cut the line, the kind that has the exit code if it was not Ctrl-C's."""
        if self.cut_by is not None:
            raise KeyboardInterrupt if self.cut_by == signal.SIGINT else Stopped(self.cut_by)

    def events(self) -> Iterator[JSON]:
        """Yield what the agent says. What is no event of its own is dropped: a tool may have written past it."""
        assert self._client.stdout is not None  # noqa: S101
        for line in self._client.stdout:
            with contextlib.suppress(ValueError):
                event = json.loads(line)
                if isinstance(event, dict) and "event" in event:
                    yield event

    def __exit__(self, *_: object) -> None:
        self.hang_up()
        assert self._client.stdout is not None  # noqa: S101
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._client.communicate(timeout=FAREWELL_SECONDS)
        finally:
            if self._client.poll() is None:
                self._client.kill()
            self.code = self._client.wait()
            self._errors.seek(0)
            self.stderr = self._errors.read().decode("utf-8", "replace").strip()
            self._errors.close()
