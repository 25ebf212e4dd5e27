"""`devbox compile-commands`: what clangd on the host needs to know."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from devbox.cli.application import application, named
from devbox.cli.options import WorkspaceOption, examples

if TYPE_CHECKING:
    from devbox.builds.on_host import HostCommands
    from devbox.ui.console import Console

app = typer.Typer()


@app.command("compile-commands")
@examples(
    {
        "devbox compile-commands": "Into the checkout, for clangd on the host.",
        "devbox compile-commands --with-headers ~/headers": "With the headers that only the container has.",
    }
)
def compile_commands(
    context: typer.Context,
    path: WorkspaceOption = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where to write it; - is stdout.",
            show_default="compile_commands.json in the checkout, kept out of git status",
        ),
    ] = None,
    tree: Annotated[
        str | None, typer.Option("--tree", metavar="KEY", help="The build tree.", show_default="the current one")
    ] = None,
    with_headers: Annotated[
        Path | None,
        typer.Option("--with-headers", metavar="FOLDER", help="Copy there what only the container has."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that devbox did not write.")] = False,
) -> None:
    """Write compile_commands.json for the host: the build tree's, with the container's paths as the host's."""
    from devbox.builds import on_host
    from devbox.container.inside.find import running_container

    run = application(context)
    target = running_container(run.engine, named(path))
    headers = None if with_headers is None else Path.cwd() / with_headers
    folder, rewritten = on_host.for_host(
        target=target, engine=run.engine, reporter=run.console, key=tree, headers=headers
    )
    to_stdout = output is not None and str(output) == "-"
    place = None if to_stdout else target.workspace / on_host.FILE if output is None else Path.cwd() / output
    if place is not None:
        on_host.save(rewritten.entries, place, target.workspace, force=force)
    result = on_host.HostCommands(folder, len(rewritten.entries), rewritten.missing, rewritten.left_out, place, headers)
    run.show(result, lambda: _text(result, run.console) if place is not None else on_host.text(rewritten.entries))
    if place is None and not run.json:
        _tell_missing(result, run.console)


def _text(result: HostCommands, console: Console) -> None:
    console.info(f"{result.path}: {result.commands} commands of {result.tree}, with the host's paths")
    _tell_missing(result, console)


def _tell_missing(result: HostCommands, console: Console) -> None:
    """Say what clangd on the host will not find."""
    if result.left_out:
        console.info(f"{len(result.left_out)} sources are generated in the build tree, and left out")
    if result.missing:
        console.info("only the container has:")
        for path, count in result.missing:
            console.info(f"  {path} (in {count} {'command' if count == 1 else 'commands'})")
        if result.headers is None:
            console.info("hint: devbox compile-commands --with-headers FOLDER   # copies the headers out")
