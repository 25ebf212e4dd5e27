"""How a run of the command line ends: the one place where errors are shown, and become exit codes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from devbox.errors import EXIT_FAILURE, EXIT_INTERRUPTED, CancelledError, DevboxError
from devbox.masking import calm, calm_json
from devbox.paths import refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from devbox.cli.application import Application


def ended(run: Application, work: Callable[[], int]) -> int:
    """Do `work` and return its exit code, or that of its failure. No foreseen error leaves as an exception."""
    try:
        code = work()
        sys.stdout.flush()
    except DevboxError as error:
        return _fail(run, error)
    except (KeyboardInterrupt, EOFError) as stopped:
        return _interrupted(run, getattr(stopped, "exit_code", EXIT_INTERRUPTED))
    except BrokenPipeError:
        # Somebody like `head` has read enough.
        return EXIT_FAILURE
    except OSError as error:
        if run.debug:
            raise
        return _fail(run, refused(error))
    finally:
        run.console.close()
    return code


def _interrupted(run: Application, code: int) -> int:
    if run.json:
        return _fail(run, CancelledError("interrupted", hint="the same command finishes what was begun"), code)
    run.console.close()
    run.console.info("interrupted; the same command finishes what was begun")
    return code


def _fail(run: Application, error: DevboxError, code: int | None = None) -> int:
    code = error.exit_code if code is None else code
    if run.debug:
        import traceback

        sys.stderr.write(calm(run.console.mask("".join(traceback.format_exception(error)))))
    if run.json:
        from devbox.ui.envelope import envelope

        console = run.console
        text = envelope(run.command, warnings=console.warnings, error=error, code=code, mask=console.mask.data)
        try:
            sys.stdout.write(f"{calm_json(text)}\n")
            sys.stdout.flush()
        except OSError:
            # The disk is full, say.
            console.error(error.message, hint=error.hint, detail=error.detail)
    else:
        run.console.close()
        run.console.error(error.message, hint=error.hint, detail=error.detail)
    return code
