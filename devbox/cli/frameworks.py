"""`devbox frameworks`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from devbox.cli.application import application, workspace
from devbox.cli.flags import Flags, from_settings
from devbox.cli.options import WorkspaceOption, examples
from devbox.errors import EXIT_USAGE

app = typer.Typer(name="frameworks", no_args_is_help=True)


@app.command("list")
@examples({"devbox frameworks list": "All frameworks."})
def list_(context: typer.Context, path: WorkspaceOption = None) -> None:
    """List the frameworks, their variants and where they are written."""
    from devbox.frameworks.load import available, origin, variants
    from devbox.ui.tables import table

    run, folder = application(context), workspace(path)
    known = [variants(name, folder)[0] for name in available(folder)]
    data = [
        {
            "name": item.name,
            "title": item.title,
            "default": item.variant,
            "variants": item.variants,
            "origin": origin(item.name, folder),
        }
        for item in known
    ]
    rows = [(item.name, item.title, item.variant, " ".join(item.variants)) for item in known]
    run.show({"frameworks": data}, lambda: table(("name", "title", "default", "variants"), rows))


@app.command()
@examples({"devbox frameworks show vllm --variant cpu": "One of them, in one variant."})
@from_settings("variant")
def show(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The framework.")],
    *,
    flags: Flags,
    path: WorkspaceOption = None,
) -> None:
    """Show everything that devbox knows about one framework, in one of its variants, and what this checkout states."""
    from devbox.frameworks.detect import fits
    from devbox.frameworks.load import load, origin
    from devbox.frameworks.stated import everything
    from devbox.ui.envelope import plain
    from devbox.ui.outline import outline

    run, folder = application(context), workspace(path)
    framework = load(name, flags.get("variant"), folder)

    data = plain(framework)
    assert isinstance(data, dict)  # noqa: S101  # a dataclass becomes an object
    found = [one.shown() for one in everything(framework, folder)] if fits(folder, name) else []
    data |= {"stated": found}
    run.show(data, lambda: outline({**data, "origin": origin(name, folder)}))


@app.command()
@examples({"devbox frameworks validate ours.toml": "A file of your own."})
def validate(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="Framework files, NAME.toml.")],
) -> None:
    """Check framework files: every mistake with its key and what was expected. Exits with 2 if there is one."""
    from devbox.image.assembly.validate import mistakes

    run = application(context)
    found = {file: mistakes(file) for file in files}
    data = [
        {"file": file, "mistakes": [{"message": one.message, "hint": one.hint} for one in wrong]}
        for file, wrong in found.items()
    ]

    def text() -> str:
        lines = []
        for file, wrong in found.items():
            lines += [] if wrong else [f"✓ {file}"]
            for one in wrong:
                lines.append(f"✗ {one.message}")
                lines += [f"    {one.hint}"] if one.hint else []
        return "\n".join(lines)

    run.show({"files": data}, text)
    if any(found.values()):
        raise typer.Exit(EXIT_USAGE)
