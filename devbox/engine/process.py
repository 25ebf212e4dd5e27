"""The one way in which devbox runs another program: an argv list, interruptible, with a typed failure."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
from typing import IO, TYPE_CHECKING

from devbox.errors import DevboxError, EngineError, ProgramMissingError, last_lines
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

TERMINATE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Completed:
    """A program that ended: its argv, exit code (128 + signal if one ended it), and what it wrote."""

    argv: tuple[str, ...]
    code: int
    stdout: str
    stderr: str

    @property
    def ok(self) -> bool:
        """Whether it exited with 0."""
        return self.code == 0


class NoAnswerError(EngineError):
    """A program took longer than it was given."""


class CommandError(EngineError):
    """A program that had to succeed did not."""

    code = "command"

    def __init__(self, done: Completed, *, hint: str | None = None) -> None:
        """Take the program that ended; the last lines of its stderr become the detail."""
        tail = last_lines(done.stderr)
        super().__init__(
            f"{shlex.join(done.argv[:3])} … failed with exit code {done.code}", hint=hint, detail=tail or None
        )
        self.done = done


def _exit_code(returncode: int) -> int:
    return 128 - returncode if returncode < 0 else returncode


def run(
    argv: Sequence[str],
    *,
    check: bool = True,
    input_text: str | None = None,
    environ: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    timeout: float | None = None,
) -> Completed:
    """Run a program to its end and return what it wrote; secrets travel in `environ`, never in `argv`.

    `timeout` is in seconds. Raises CommandError if it fails and `check` is set, EngineError if it is not installed,
    NoAnswerError if it timed out.
    """
    try:
        ended = subprocess.run(
            list(argv),
            input=input_text,
            stdin=subprocess.DEVNULL if input_text is None else None,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            env=None if environ is None else dict(environ),
            cwd=cwd,
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError:
        if cwd is not None and shutil.which(argv[0]) is not None:
            raise DevboxError(f"the folder {os.fspath(cwd)} does not exist") from None
        raise ProgramMissingError(argv[0]) from None
    except subprocess.TimeoutExpired:
        raise NoAnswerError(f"{shlex.join(list(argv)[:3])} … gave no answer within {timeout:g} s") from None
    done = Completed(tuple(argv), _exit_code(ended.returncode), ended.stdout, ended.stderr)
    if check and not done.ok:
        raise CommandError(done)
    return done


def leave(argv: Sequence[str], said: IO[bytes]) -> int:
    """Run a program that leaves a part of itself behind, and return its exit code; what it says goes to a file."""
    try:
        return _exit_code(
            subprocess.run(list(argv), stdin=subprocess.DEVNULL, stdout=said, stderr=said, check=False).returncode
        )
    except FileNotFoundError:
        raise ProgramMissingError(argv[0]) from None


def stream(
    argv: Sequence[str],
    on_line: Callable[[str], None],
    *,
    environ: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    keep: int = 200,
) -> Completed:
    """Run a program and pass on each line of its stdout and stderr together as it comes.

    The last `keep` lines are also returned as `stderr`. On KeyboardInterrupt the program gets SIGINT and time to end
    before the exception goes on. Raises EngineError if the program is not installed; a failure is the caller's to
    judge by `code`.
    """
    lines: list[str] = []
    try:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            env=None if environ is None else dict(environ),
            cwd=cwd,
        )
    except FileNotFoundError:
        raise ProgramMissingError(argv[0]) from None
    assert process.stdout is not None  # noqa: S101  # PIPE was asked for
    with process:
        try:
            for raw in process.stdout:
                line = raw.rstrip("\n")
                lines.append(line)
                if len(lines) > 2 * keep:
                    del lines[:keep]
                on_line(line)
        except BaseException:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(TERMINATE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
            raise
    return Completed(tuple(argv), _exit_code(process.returncode), "", "\n".join(lines[-keep:]))
