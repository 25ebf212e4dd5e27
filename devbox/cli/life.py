"""`devbox stop`, `down` and `logs`."""

from __future__ import annotations

from typing import Annotated

import typer

from devbox.cli.application import application, named, once_named
from devbox.cli.options import PathArgument, UnaskedOption, WouldRemoveOption, examples, passes_on

app = typer.Typer()


@app.command()
@examples({"devbox stop": "Stop it for today; `devbox up` starts it again."})
def stop(context: typer.Context, path: PathArgument = None) -> None:
    """Stop the dev container of a checkout and the services beside it. `devbox up` starts them again."""
    from devbox.container.stop import stop as halt

    run = application(context)
    result = halt(run.engine, once_named(path), run.console)
    run.show(result, lambda: run.console.info("nothing was running") if not result.stopped else None)


@app.command()
@examples(
    {
        "devbox down": "Remove the container, and keep what was built.",
        "devbox down --volumes --dry-run": "See what goes with its build trees.",
    }
)
def down(
    context: typer.Context,
    path: PathArgument = None,
    volumes: Annotated[bool, typer.Option("--volumes", help="Also remove build trees and services' data.")] = False,
    yes: UnaskedOption = False,
    dry_run: WouldRemoveOption = False,
) -> None:
    """Remove the dev container of a checkout and the services beside it.

    What was built and the services' data stay, unless --volumes is given. Images and compiler caches always stay.
    """
    from devbox.container.stop import down as remove
    from devbox.container.stop import plan_down

    run = application(context)
    run.console.yes = yes
    plan = plan_down(run.engine, once_named(path), volumes=volumes)
    if dry_run:
        run.show(plan, lambda: "\n".join(plan.lines(run.engine)))
        return
    if plan.volumes:
        for name in plan.volumes:
            run.console.info(f"volume {name} of {plan.workspace}")
        run.agree("Remove the container and these volumes?", "devbox down --volumes")
    remove(run.engine, plan, run.console)

    def kept() -> None:
        if plan.kept:
            run.console.info(f"kept: {', '.join(plan.kept)} (devbox down --volumes removes the volumes)")

    run.show(plan, kept)


@app.command()
@examples({"devbox logs --follow --tail 20": "The last lines, and what comes."})
@passes_on
def logs(
    context: typer.Context,
    path: PathArgument = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until interrupted.")] = False,
    tail: Annotated[
        int | None, typer.Option("--tail", "-n", min=0, metavar="LINES", help="Only the last lines.")
    ] = None,
    timestamps: Annotated[bool, typer.Option("--timestamps", "-t", help="Put the time before each line.")] = False,
    services: Annotated[bool, typer.Option("--services", help="Of every service of its compose project.")] = False,
) -> None:
    """Show what the dev container's own process wrote."""
    from devbox.container.logs import logs as show

    run = application(context)
    code = show(run.engine, named(path), follow=follow, tail=tail, timestamps=timestamps, services=services)
    raise typer.Exit(code)
