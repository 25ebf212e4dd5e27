"""`devbox frameworks`."""

from __future__ import annotations

from typing import Annotated

import typer

from devbox.cli.application import application
from devbox.cli.options import JsonOption, VariantOption

app = typer.Typer(help="Look at the frameworks that devbox knows.", no_args_is_help=True)


@app.command("list")
def list_(context: typer.Context, json: JsonOption = False) -> None:
    """List the frameworks and their variants."""
    from devbox.frameworks.load import available, load
    from devbox.ui.tables import table

    run = application(context)
    known = [load(name) for name in available()]
    rows = [(item.name, item.title, item.variant, " ".join(item.variants)) for item in known]
    data = [
        {"name": item.name, "title": item.title, "default": item.variant, "variants": item.variants} for item in known
    ]
    run.show({"frameworks": data}, lambda: table(("name", "title", "default", "variants"), rows))


@app.command()
def show(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The framework.")],
    variant: VariantOption = None,
    json: JsonOption = False,
) -> None:
    """Show everything that devbox knows about one framework."""
    from devbox.frameworks.load import load
    from devbox.ui.envelope import plain

    run = application(context)
    framework = load(name, variant)

    def text() -> str:
        lines = []
        data = plain(framework)
        assert isinstance(data, dict)  # noqa: S101  # a dataclass becomes an object
        for key, value in data.items():
            if isinstance(value, dict):
                lines.append(f"{key}:")
                lines += [f"  {inner}: {item}" for inner, item in value.items()]
            else:
                lines.append(f"{key}: {value}")
        return "\n".join(lines)

    run.show(framework, text)
