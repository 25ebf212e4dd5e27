"""`devbox image manifest`: one name for several platforms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from devbox.cli.application import application
from devbox.cli.image.registry import registries_of
from devbox.cli.options import DryRunOption, examples

if TYPE_CHECKING:
    from devbox.image.registry.remote import RemoteImage

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The name with its tag, as in HOST/REPO:TAG.")]

app = typer.Typer(name="manifest", help="Give images for several platforms one name.", no_args_is_help=True)


@app.command("push", help="Push the images from the engine, one for each platform, and make NAME stand for them.")
@app.command(
    "create", help="Make NAME, in its registry, stand for images that are there already, one for each platform."
)
@examples(
    {
        "devbox image manifest push team/vllm:1": "Push NAME-amd64 and NAME-arm64, and make NAME of them.",
        "devbox image manifest create team/vllm:1": "The same, where they are in the registry already.",
    }
)
def create(
    context: typer.Context,
    name: NameArgument,
    images: Annotated[
        list[str] | None,
        typer.Argument(metavar="[IMAGE]…", help="One for each platform.", show_default="NAME-amd64 and NAME-arm64"),
    ] = None,
    arch: Annotated[
        str,
        typer.Option(
            "--arch", metavar="amd64,arm64", help="Which images, by what comes after NAME, where none is named."
        ),
    ] = "amd64,arm64",
    dry_run: DryRunOption = False,
) -> None:
    """Make NAME stand for an image a platform. `push` pushes those first, `create` finds them in the registry."""
    from devbox.image.registry import manifest, transfer
    from devbox.image.registry.reference import parse

    run = application(context)
    members = manifest.members(name, images or (), [word.strip() for word in arch.split(",") if word.strip()])
    pushes = transfer.plan(members, ()) if context.info_name == "push" else ()
    args = manifest.create_args(name, members)
    if dry_run:
        commands = [*(command for one in pushes for command in one.commands()), args]
        run.show_commands([run.engine.line(command) for command in commands])
        return
    for one in pushes:
        transfer.push(run.engine, one, run.console)
    registries = registries_of(run, None)
    manifest.check([registries.image(parse(member)) for member in members])
    with run.console.step(f"Creating {name}"):
        transfer.stream(run.engine, args, name, run.console)
    image = registries.image(parse(name))
    run.show(image, lambda: _text(image))


@app.command()
@examples({"devbox image manifest show team/vllm:1": "Its platforms and their digests."})
def show(context: typer.Context, name: NameArgument) -> None:
    """Show the platforms of an image in a registry."""
    from devbox.image.registry.reference import parse

    run = application(context)
    image = registries_of(run, None).image(parse(name))
    run.show(image, lambda: _text(image))


def _text(image: RemoteImage) -> str:
    from devbox.ui.console import size
    from devbox.ui.tables import table

    rows = [(one.name, one.digest, "-" if one.size is None else size(one.size)) for one in image.platforms]
    return f"{image.reference}@{image.digest}\n{table(('platform', 'digest', 'download'), rows)}"
