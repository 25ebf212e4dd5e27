"""The command line, put together: global options, the commands, and the one place where errors are shown."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from devbox.cli import build, config, doctor, frameworks, image, life, shell, status, up
from devbox.cli.application import Application, application
from devbox.errors import EXIT_FAILURE, EXIT_INTERRUPTED, EXIT_OK, CancelledError, DevboxError, UsageError
from devbox.ui.console import Console
from devbox.ui.envelope import envelope

if TYPE_CHECKING:
    from collections.abc import Sequence

# typer carries its own copy of click from 0.26 on and exports no base class of its usage errors.
_CLICK_ERROR: Any = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")

app = typer.Typer(
    name="devbox",
    help="Dev containers and incremental builds for large C++/CUDA inference trees.",
    no_args_is_help=True,
    add_completion=False,
    # Rich help and rich tracebacks cost more than the start-up budget.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _global_options(
    context: typer.Context,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say only warnings and errors.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show every line of inner commands.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[bool, typer.Option("--version", "-V", help="Print the version.")] = False,
) -> None:
    if version:
        from devbox._version import __version__

        sys.stdout.write(f"devbox {__version__}\n")
        raise typer.Exit
    run_ = application(context)
    run_.console.quiet = quiet
    run_.console.verbose = verbose
    run_.debug = debug
    run_.command = context.invoked_subcommand or ""


for group in (up, shell, build, status, life, doctor):
    group.register(app)
for name, nested in (("image", image.app), ("frameworks", frameworks.app), ("config", config.app)):
    app.add_typer(nested, name=name)


def _own(args: Sequence[str]) -> Sequence[str]:
    """Return the arguments that are devbox's own: those before `--`."""
    return args[: args.index("--")] if "--" in args else args


def run(args: Sequence[str]) -> int:
    """Run the command line and return the exit code. No foreseen error leaves this function as an exception."""
    own = _own(args)
    console = Console(environ=os.environ)
    run_ = Application(console, os.environ, json="--json" in own, debug="--debug" in own)
    try:
        return _invoke(run_, args)
    except DevboxError as error:
        return _fail(run_, error)
    except (KeyboardInterrupt, EOFError, typer.Abort):
        return _interrupted(run_)
    except BrokenPipeError:
        # Somebody like `head` has read enough. Keep the interpreter from complaining while it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILURE
    except OSError as error:
        if run_.debug:
            raise
        where = f"{error.filename}: " if error.filename else ""
        return _fail(
            run_,
            DevboxError(
                f"{where}{error.strerror or error}", hint="run the command again with --debug for the traceback"
            ),
        )
    finally:
        console.close()


def _invoke(run_: Application, args: Sequence[str]) -> int:
    """Run the command that `args` name.

    Not through typer's own `main`, which turns an interrupt into an exit code before it can be told.
    """
    try:
        command = typer.main.get_command(app)
        with command.make_context("devbox", list(args), obj=run_) as context:
            command.invoke(context)
    except typer.Exit as left:
        return left.exit_code
    except _CLICK_ERROR as error:
        raise _usage(error) from None
    return EXIT_OK


def _interrupted(run_: Application) -> int:
    if run_.json:
        return _fail(run_, CancelledError("interrupted", hint="the same command finishes what was begun"))
    run_.console.close()
    run_.console.info("interrupted; the same command finishes what was begun")
    return EXIT_INTERRUPTED


def _usage(error: Any) -> UsageError:  # typer does not export the type
    context = getattr(error, "ctx", None)
    if context is not None and type(error).__name__ == "NoArgsIsHelpError":
        # Its message is the whole help.
        name = context.command_path
        return UsageError(f"{name} needs a command", hint=f"{name} --help", detail=error.format_message())
    hint = f"{context.command_path} --help" if context is not None else "devbox --help"
    return UsageError(error.format_message().rstrip("."), hint=hint)


def _fail(run_: Application, error: DevboxError) -> int:
    if run_.debug:
        import traceback

        traceback.print_exception(error)
    if run_.json:
        sys.stdout.write(envelope(run_.command, warnings=run_.console.warnings, error=error) + "\n")
    else:
        run_.console.close()
        run_.console.error(error.message, hint=error.hint, detail=error.detail)
    return error.exit_code
