"""`devbox image`."""

from __future__ import annotations

from typing import Annotated

import typer

from devbox.cli.application import application
from devbox.cli.image import build, graph, life, lint, lock, manifest, registry
from devbox.cli.image import run as run_
from devbox.cli.options import examples

app = typer.Typer(name="image", no_args_is_help=True)

THEMES = {
    "Build": "build base graph lint",
    "On this engine": "list inspect run rm prune",
    "In registries": "resolve tags pull push manifest lock",
}


@app.command()
@examples(
    {
        "devbox image base": "A base with CUDA.",
        "devbox image base --cuda none": "A base without.",
    }
)
def base(
    context: typer.Context,
    cuda: Annotated[str, typer.Option("--cuda", metavar="VERSION", help="The CUDA release, or 'none'.")] = "13.0",
    distro: Annotated[str, typer.Option("--distro", metavar="NAME:VERSION", help="The distribution.")] = "debian:12",
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Make it anew even if it is there.")] = False,
) -> None:
    """Make a base image from OS packages, with CUDA from PyPI: no registry is needed."""
    from devbox.image.base import package as package_base

    run = application(context)
    reference = package_base.ensure(
        run.engine,
        cuda=None if cuda == "none" else cuda,
        distro=distro,
        network=run.network(None),
        reporter=run.console,
        rebuild=rebuild,
    )
    run.show({"image": reference}, lambda: reference)


for part in (build, run_, life, registry, manifest, lock, graph, lint):
    app.add_typer(part.app)
