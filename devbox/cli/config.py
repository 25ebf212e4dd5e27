"""`devbox config`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from devbox.cli.application import application, workspace
from devbox.cli.options import PathArgument, examples

if TYPE_CHECKING:
    from devbox.container.describe import Description

app = typer.Typer(name="config", no_args_is_help=True)


@app.command()
@examples({"devbox config show --show-origin": "Each setting, and where it comes from."})
def show(
    context: typer.Context,
    path: PathArgument = None,
    show_origin: Annotated[
        bool, typer.Option("--show-origin", help="Say where each value comes from, and which it hides.")
    ] = False,
) -> None:
    """Show the settings in force for a checkout."""
    from devbox.container.contract.settings import explain
    from devbox.ui.tables import table

    run = application(context)
    settings = explain(workspace(path), run.environ)
    data = {item.key: {"value": item.value, "origin": item.origin, "hidden": item.hidden} for item in settings}

    def text() -> str:
        rows = []
        for item in settings:
            rows.append((item.key, _in_line(item.value or "-"), item.origin))
            if show_origin:
                rows += [("", f"({_in_line(value.value or '')})", value.origin) for value in item.hidden]
        width = 3 if show_origin else 2
        return table(("key", "value", "origin")[:width], [row[:width] for row in rows])

    run.show(data, text)


def _in_line(text: str) -> str:
    return ", ".join(text.split("\n"))


@app.command()
@examples(
    {
        "devbox config contract": "The devcontainer.json in force.",
        "devbox config contract --merged": "With what its image or container brings.",
    }
)
def contract(
    context: typer.Context,
    path: PathArgument = None,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="The devcontainer.json to read.")
    ] = None,
    merged: Annotated[
        bool, typer.Option("--merged", help="Merge it with the metadata of its container or image.")
    ] = False,
    show_origin: Annotated[
        bool, typer.Option("--show-origin", help="Say where each property comes from, and what is laid over them.")
    ] = False,
) -> None:
    """Show the devcontainer.json in force as devbox reads it, as JSON: with its variables filled in.

    What your settings lay over it stands under `customizations.devbox.overlay`.
    """
    from devbox.container.describe import describe
    from devbox.ui.envelope import plain

    run = application(context)
    found = describe(run.engine, workspace(path), run.console, config=config, merged=merged)

    def text() -> str:
        import json

        if show_origin:
            return _origins(found)
        return json.dumps(
            plain(found.configuration if found.merged is None else found.merged), indent=2, ensure_ascii=False
        )

    run.show(found, text)


def _origins(found: Description) -> str:
    """Return a line for each property: its value and where it comes from; what is laid over the contract comes last."""
    import json

    from devbox.ui.tables import table

    overlay = ((found.configuration.get("customizations") or {}).get("devbox") or {}).get("overlay") or {}
    values = {**found.configuration, **{f"overlay.{key}": value for key, value in overlay.items()}}
    rows = [(key, json.dumps(values[key], ensure_ascii=False), origin) for key, origin in found.origins.items()]
    return table(("property", "value", "origin"), [(key, _short(value), origin) for key, value, origin in rows])


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"
