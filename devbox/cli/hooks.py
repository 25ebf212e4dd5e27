"""`devbox hooks`: the lifecycle commands of a dev container."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from devbox.cli.application import application, named, workspace
from devbox.cli.options import PathArgument, SecretsFileOption, WorkspaceOption, examples
from devbox.ui.console import seconds
from devbox.ui.tables import table

if TYPE_CHECKING:
    from devbox.cli.application import Application
    from devbox.container.hooks.manage import HookList
    from devbox.container.person.dotfiles import Dotfiles
    from devbox.devcontainer.model import Command

app = typer.Typer(name="hooks", no_args_is_help=True)


@app.command("list")
@examples({"devbox hooks list": "Which are done, due or failed."})
def list_(context: typer.Context, path: PathArgument = None) -> None:
    """List the lifecycle commands of a dev container in their order, and say which are done, due or failed."""
    from devbox.container.hooks.manage import states

    run_ = application(context)
    folder = named(path)
    found = states(run_.engine, folder, _dotfiles(run_, path), run_.console)
    run_.show(found, lambda: _text(found))


@app.command()
@examples({"devbox hooks run postCreate": "Run one again, though it is done."})
def run(
    context: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]…", help="postCreateCommand, or short postCreate; without names, what is due."),
    ] = None,
    path: WorkspaceOption = None,
    secrets_file: SecretsFileOption = None,
) -> None:
    """Run lifecycle commands in the dev container: those named, though they are done, or those that are due."""
    from devbox.container.hooks.manage import run_hooks

    run_ = application(context)
    folder = named(path)
    done = run_hooks(
        run_.engine,
        folder,
        names or (),
        run_.console,
        secrets_file=secrets_file,
        dotfiles=_dotfiles(run_, path),
    )
    run_.show(done, lambda: run_.console.info("nothing was due") if not done.hooks else None)


def _dotfiles(run_: Application, path: Path | None) -> Dotfiles | None:
    from devbox.container.person.dotfiles import of

    found = of(run_.settings(workspace(path)))
    if found is not None:
        run_.console.mask.hide(found.secrets())
    return found


def _text(found: HookList) -> str:
    rows = [
        (
            hook.name,
            hook.state if hook.state != "failed" or not hook.exit_code else f"failed ({hook.exit_code})",
            "-" if hook.seconds is None else seconds(hook.seconds),
            _command(hook.commands[0].label, hook.commands[0].command),
        )
        for hook in found.hooks
    ]
    lines = []
    for hook, row in zip(found.hooks, rows, strict=True):
        lines.append(row)
        lines += [("", "", "", _command(one.label, one.command)) for one in hook.commands[1:]]
    return table(("hook", "state", "took", "command"), lines) or "the dev container has no lifecycle commands"


def _command(label: str, command: Command) -> str:
    import shlex

    text = command if isinstance(command, str) else shlex.join(command)
    first, *more = text.strip().splitlines() or [""]
    return f"{label + ': ' if label else ''}{first}{' …' if more else ''}"
