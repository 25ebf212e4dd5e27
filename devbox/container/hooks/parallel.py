"""The commands of one lifecycle entry: run at the same time, waited for together, and all that failed told."""

from __future__ import annotations

import threading
import time
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

from devbox.errors import HookError
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from devbox.devcontainer.model import Command
    from devbox.reporter import Reporter

    # Runs the command of a label, and returns its exit code and its last lines.
    RunOne = Callable[[str, Command], tuple[int, str]]

T = TypeVar("T")

INTERRUPTED = 130
_DETAIL_LINES = 20


@dataclass(frozen=True, slots=True)
class CommandDone:
    """One of several named commands of a lifecycle name, and how many seconds it took."""

    label: str
    seconds: float


class _FailedError(Exception):
    """A command that failed: its label, exit code and last lines."""

    def __init__(self, label: str, code: int, output: str) -> None:
        super().__init__(label, code)
        self.label = label
        self.code = code
        self.output = output


class Aside(threading.Thread, Generic[T]):
    """A call that goes on beside others. What concurrent.futures has for that takes longer to import than to run."""

    def __init__(self, call: Callable[[], T]) -> None:
        """Begin the call."""
        super().__init__(daemon=True)
        self._call = call
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        """Call, and keep what comes of it."""
        try:
            self._value = self._call()
        except BaseException as error:  # noqa: BLE001  # raised in the thread that waits
            self._error = error

    def outcome(self) -> T:
        """Wait for the end of the call and return its value. Raises what it raised."""
        self.join()
        if self._error is not None:
            raise self._error
        return self._value


def run_entry(
    name: str,
    entry: Sequence[tuple[str, Command]],
    run_one: RunOne,
    reporter: Reporter,
    *,
    then: Sequence[str] = (),
) -> tuple[CommandDone, ...]:
    """Run the commands of one entry, several of them in parallel, and wait for all. `then` are names that come after.

    Raises HookError, which names all that failed, and what was not run for it.
    """

    def one(label: str, command: Command) -> CommandDone:
        begun = time.monotonic()
        with reporter.step(f"{name} {label}") if len(entry) > 1 else nullcontext():
            code, output = run_one(label, command)
            if code:
                raise _FailedError(label, code, output)
        return CommandDone(label, round(time.monotonic() - begun, 3))

    calls: list[Callable[[], CommandDone]] = [partial(one, label, command) for label, command in entry]
    if len(calls) > 1:
        beside = [Aside(call) for call in calls]
        for running in beside:
            running.join()
        calls = [running.outcome for running in beside]
    done, failed = [], []
    for call in calls:
        try:
            done.append(call())
        except _FailedError as error:
            failed.append(error)
    if failed:
        raise _error(name, failed, then)
    return tuple(done)


class CommandsFailedError(HookError):
    """Commands of a lifecycle name failed; `status` is the exit code of the first of them."""

    def __init__(self, message: str, *, status: int, hint: str, detail: str | None) -> None:
        super().__init__(message, hint=hint, detail=detail)
        self.status = status


def _error(name: str, failed: Sequence[_FailedError], then: Sequence[str]) -> CommandsFailedError:
    """Return the error for the commands of one entry that failed, with the last lines of each."""
    if len(failed) == 1:
        what = f"{name} '{failed[0].label}'" if failed[0].label else name
        message = f"{what} failed with exit code {failed[0].code}"
    else:
        each = ", ".join(f"'{one.label}' with exit code {one.code}" for one in failed)
        message = f"{name} failed: {each}"
    marks = [f"{one.label} │ " if len(failed) > 1 else "" for one in failed]
    detail = [
        f"{mark}{line}"
        for mark, one in zip(marks, failed, strict=True)
        for line in one.output.splitlines()[-_DETAIL_LINES:]
    ]
    return CommandsFailedError(
        f"{message}; {', '.join(then)} {'was' if len(then) == 1 else 'were'} not run" if then else message,
        status=failed[0].code,
        hint="devbox up   # tries it again; --skip-hooks leaves it out",
        detail="\n".join(detail) or None,
    )
