"""Where `devbox devcontainer` starts: the command line is read, the command is run, and its outcome is written."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

from devbox._version import __version__
from devbox.dropin.arguments import ArgumentsError, parse, usage
from devbox.dropin.log import Log
from devbox.dropin.options import VERSION
from devbox.errors import EXIT_INTERRUPTED, DevboxError, DriftError, EngineError, HookError, ImageError
from devbox.masking import calm_json
from devbox.paths import refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from devbox.dropin.arguments import Arguments
    from devbox.reporter import Reporter

JSON = dict[str, Any]

# The module of each command, whose `run` does it, and whether it answers with an outcome, which says what failed, too.
_MODULES = {
    "up": ("up", True),
    "set-up": ("commands", True),
    "build": ("build", True),
    "run-user-commands": ("commands", True),
    "exec": ("execute", False),
    "read-configuration": ("read", False),
    "outdated": ("features", False),
    "upgrade": ("features", False),
    "features info": ("features", False),
    "features resolve-dependencies": ("features", False),
    "templates apply": ("templates", False),
}


_DEPRECATED = {
    "experimental-lockfile": "Lockfiles are now enabled by default.",
    "experimental-frozen-lockfile": "Use --frozen-lockfile instead.",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run `devcontainer ARGV` and return the exit code: 1 for everything that fails, but a command's own with exec."""
    log = Log()
    try:
        arguments = parse(sys.argv[1:] if argv is None else argv)
        if arguments.on("version") or arguments.on("help"):
            sys.stdout.write(f"{VERSION if arguments.on('version') else usage(arguments.command)}\n")
            code = 0
        else:
            log = Log(level=arguments.text("log-level") or "info", json_lines=arguments.text("log-format") == "json")
            code = _run(arguments, log)
        sys.stdout.flush()
    except ArgumentsError as error:
        with suppress(OSError):
            sys.stderr.write(f"{usage(error.command)}\n\n{error}\n")
        return 1
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Somebody like `head` has read enough.
        return 1
    except OSError as error:
        log.failed(refused(error))
        return 1
    return code


def _run(arguments: Arguments, log: Log) -> int:
    assert arguments.command is not None  # noqa: S101  # parse sees to it
    name, answers = _MODULES[arguments.command.words]
    for option, instead in _DEPRECATED.items():
        if arguments.on(option):
            sys.stderr.write(f"Warning: --{option} is deprecated. {instead}\n")
    if answers:
        log.header(__version__)
    try:
        reporter: Reporter = log
        result = import_module(f"devbox.dropin.{name}").run(arguments, reporter)
    except (DevboxError, OSError) as failed:
        if isinstance(failed, BrokenPipeError) and not answers:
            raise
        error = failed if isinstance(failed, DevboxError) else refused(failed)
        log.failed(error)
        if not answers:
            return 1
        result = _failure(error, log)
    if isinstance(result, int):
        return result
    write(result)
    return int(result.get("outcome") == "error")


def _failure(error: DevboxError, log: Log) -> JSON:
    """Return the outcome of a command that failed."""
    # As the reference says it of a program that failed.
    failed = "Command failed: " if isinstance(error, (EngineError, ImageError, HookError)) else ""
    message = log.mask("\n".join([f"{failed}{error.message}", *([error.hint] if error.hint else [])]))
    description = "\n".join([message, *log.mask(error.detail or "").splitlines()])
    if isinstance(error, DriftError):
        from devbox.devcontainer.features.lock import FrozenError

        # Tools know these two by the reference's sentences.
        if isinstance(error, FrozenError):
            message = f"Lockfile does not {'exist' if error.missing else 'match'}."
    known = getattr(error, "container", None)
    return {
        "outcome": "error",
        "message": message,
        "description": description,
        **({"containerId": known} if known else {}),
    }


def write(result: JSON) -> None:
    """Write an answer as one line of JSON."""
    sys.stdout.write(f"{calm_json(json.dumps(result, ensure_ascii=False, separators=(',', ':')))}\n")
