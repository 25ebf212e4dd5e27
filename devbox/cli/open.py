"""`devbox open`: an IDE on the dev container."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from devbox.cli.application import application, named, workspace
from devbox.cli.options import PathArgument, TrustOption, YesOption, examples

if TYPE_CHECKING:
    from devbox.cli.application import Application
    from devbox.container.open import Opening

app = typer.Typer()


@app.command("open")
@examples(
    {
        "devbox open code": "Open VS Code in the dev container.",
        "devbox open cursor --ssh-host gpu1 --print": "Print the address for a machine that calls this one gpu1.",
    }
)
def open_(
    context: typer.Context,
    ide: Annotated[str, typer.Argument(metavar="code|cursor|clion", help="The IDE.")],
    path: PathArgument = None,
    ssh_host: Annotated[
        str | None,
        typer.Option(
            "--ssh-host", metavar="NAME", help="What your own machine calls this one in its ssh configuration."
        ),
    ] = None,
    print_only: Annotated[bool, typer.Option("--print", help="Print the address or the steps; start nothing.")] = False,
    trust: TrustOption = False,
    yes: YesOption = False,
) -> None:
    """Open an IDE on the dev container of a checkout, which is brought up first where it does not run."""
    from devbox.container.inside.find import candidate
    from devbox.container.inside.probe import read_container
    from devbox.container.open import ide_of, opening, start
    from devbox.container.target import no_container

    run = application(context)
    run.console.yes = yes
    ide_of(ide)
    folder = named(path)
    found = candidate(run.engine, folder)
    if found is None and print_only:
        raise no_container(folder)
    container = found.id if found is not None else ""
    if not print_only and (found is None or not found.running):
        from pathlib import Path

        from devbox.container.up.up import UpRequest, up

        request = UpRequest(
            path=workspace(path, exact=True) if found is None else Path(found.workspace), trust=trust, yes=yes
        )
        container = up(request, run.engine, run.console).container
    result = opening(ide, read_container(run.engine, container), run.environ, ssh_host=ssh_host)
    started = bool(result.argv) and not print_only
    if started:
        start(result, run.environ)
    run.show({**_data(result), "started": started}, lambda: _text(run, result, started=started))


def _data(result: Opening) -> dict[str, object]:
    from dataclasses import asdict

    return asdict(result)


def _text(run: Application, result: Opening, *, started: bool) -> str | None:
    """Return the address, which is data; say the rest. Where there is no address, the steps are what was asked for."""
    from devbox.container.open import IDES

    if started:
        run.console.info(f"{IDES[result.ide].title} opens on {result.folder}")
    if result.uri is None:
        return "\n".join(f"{number}. {step}" for number, step in enumerate(result.steps, 1))
    for step in result.steps:
        run.console.info(step)
    return None if started else result.uri
