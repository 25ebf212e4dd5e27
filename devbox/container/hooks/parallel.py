"""The commands of one lifecycle entry: run at the same time, waited for together, and all that failed told."""

from __future__ import annotations

import threading
import time
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from devbox.errors import HookError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from devbox.devcontainer.model import Command
    from devbox.reporter import Reporter

    # Runs the command of a label, and returns its exit code and its last lines.
    RunOne = Callable[[str, Command], tuple[int, str]]

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


class _Thread(threading.Thread):
    """One command of several in parallel; `result` is what came of it."""

    def __init__(self, run: Callable[[], CommandDone]) -> None:
        super().__init__(daemon=True)
        self.result: CommandDone | BaseException = _FailedError("", INTERRUPTED, "")
        self._run = run

    def run(self) -> None:
        """Run the command."""
        try:
            self.result = self._run()
        except BaseException as error:  # noqa: BLE001  # looked at by the thread that waits
            self.result = error


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

    results: list[CommandDone | BaseException] = []
    if len(entry) == 1:
        try:
            results.append(one(*entry[0]))
        except _FailedError as error:
            results.append(error)
    else:
        threads = [_Thread(partial(one, label, command)) for label, command in entry]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
            results.append(thread.result)
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, _FailedError):
            raise result
    failed = [result for result in results if isinstance(result, _FailedError)]
    if failed:
        raise _error(name, failed, then)
    return tuple(result for result in results if isinstance(result, CommandDone))


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
