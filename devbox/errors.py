"""Errors that tell a person what happened, to which thing, and what to type next.

Every failure that devbox can foresee is a `DevboxError`. The command line catches them in one place and prints the
sentence, the hint and (with `--json`) the code. Exit codes are part of the interface and documented in
docs/reference/exit-codes.md.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

EXIT_OK = 0
EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_ENGINE = 3
EXIT_CONTRACT = 4
EXIT_REFUSED = 5
EXIT_BUILD = 6
EXIT_BUSY = 7
EXIT_DRIFT = 8
EXIT_INTERRUPTED = 130


def last_lines(said: str, count: int = 20) -> str:
    """Return the last lines of what a program wrote: what an error shows of it as its detail."""
    return "\n".join(said.strip().splitlines()[-count:])


class DevboxError(Exception):
    """A foreseen failure: one sentence, an optional hint that can be typed, a stable code and an exit code."""

    code: ClassVar[str] = "failure"
    exit_code: ClassVar[int] = EXIT_FAILURE

    def __init__(self, message: str, *, hint: str | None = None, detail: str | None = None) -> None:
        """Take the sentence (no trailing full stop), what to type next, and further output worth showing."""
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.detail = detail


class Stopped(KeyboardInterrupt):
    """A signal other than Ctrl-C's ended the command, which had to tidy up first."""

    def __init__(self, number: int) -> None:
        """Take the signal's number."""
        super().__init__()
        self.exit_code = 128 + number


class UsageError(DevboxError):
    """The command line, a setting or an environment variable does not make sense."""

    code = "usage"
    exit_code = EXIT_USAGE


class ConfigError(UsageError):
    """A settings or framework file is wrong; the message names file, key and the expected type."""

    code = "config"


class EngineError(DevboxError):
    """Docker is missing, does not answer, or refused what was asked of it."""

    code = "engine"
    exit_code = EXIT_ENGINE


class ProgramMissingError(EngineError):
    """A program that devbox runs is not there."""

    def __init__(self, program: str) -> None:
        """Take the program as it was named."""
        hint = f"install {program} and run this again"
        if program == "docker":
            hint = "install docker-cli (Debian), docker.io (Ubuntu) or docker-ce-cli (Docker's own packages)"
        super().__init__(f"'{program}' is not installed, or not on PATH", hint=hint)


class ImageError(EngineError):
    """An image cannot be had: not reachable, or its build failed."""

    code = "image"


class ContractError(DevboxError):
    """A devcontainer.json cannot be read or makes no sense; the message names the file, line and column."""

    code = "contract"
    exit_code = EXIT_CONTRACT


class DockerfileError(ContractError):
    """A Dockerfile cannot be read; the message names the file and the line."""

    code = "dockerfile"


class RefusedError(DevboxError):
    """Consent was needed and not given, or something of the user's would have been overwritten."""

    code = "refused"
    exit_code = EXIT_REFUSED


class BuildError(DevboxError):
    """Configure or build failed inside the container."""

    code = "build"
    exit_code = EXIT_BUILD


class BusyError(DevboxError):
    """Somebody else works on the same thing."""

    code = "busy"
    exit_code = EXIT_BUSY


class DriftError(DevboxError):
    """A generated file is not what the generator would write now."""

    code = "drift"
    exit_code = EXIT_DRIFT


class CancelledError(DevboxError):
    """The person interrupted it. What was begun is finished by the same command."""

    code = "interrupted"
    exit_code = EXIT_INTERRUPTED


class HookError(DevboxError):
    """A lifecycle command failed."""

    code = "hook"
