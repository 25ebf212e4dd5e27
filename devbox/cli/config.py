"""`devbox config`."""

from __future__ import annotations

from typing import Annotated

import typer

from devbox.cli.application import application, workspace
from devbox.cli.options import JsonOption, PathArgument

app = typer.Typer(help="Look at the settings in force.", no_args_is_help=True)


@app.command()
def show(
    context: typer.Context,
    path: PathArgument = None,
    show_origin: Annotated[bool, typer.Option("--show-origin", help="Say where each value comes from.")] = False,
    json: JsonOption = False,
) -> None:
    """Show the settings in force for a checkout."""
    from devbox import config
    from devbox.ui.tables import table

    run = application(context)
    settings = config.load(workspace(path), environ=run.environ, flags={})
    rows = [(key, "-" if value is None else str(value), settings.origin(key)) for key, value in settings.items()]
    header = ("key", "value", "origin")
    width = 3 if show_origin else 2
    data = {key: {"value": value, "origin": settings.origin(key)} for key, value in settings.items()}
    run.show(data, lambda: table(header[:width], [row[:width] for row in rows]))
