"""`devbox up`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from devbox.cli.application import application, workspace
from devbox.cli.options import DryRunOption, FrameworkOption, JsonOption, PathArgument, VariantOption, YesOption
from devbox.ui.console import BOLD, CYAN

if TYPE_CHECKING:
    from devbox.container.up import UpResult
    from devbox.ui.console import Console


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def up(
        context: typer.Context,
        path: PathArgument = None,
        framework: FrameworkOption = None,
        variant: VariantOption = None,
        base_image: Annotated[
            Optional[str],  # noqa: UP045  # typer reads this at run time
            typer.Option(
                "--base-image", metavar="IMAGE", help="Build on this image; 'package' means the package base."
            ),
        ] = None,
        gpus: Annotated[
            Optional[str],  # noqa: UP045
            typer.Option("--gpus", metavar="none|auto|all|0,1|UUID", help="The GPUs that the container gets."),
        ] = None,
        arch: Annotated[
            Optional[str],  # noqa: UP045
            typer.Option("--arch", metavar="auto|90|9.0", help="The GPU architectures to compile for."),
        ] = None,
        user: Annotated[
            Optional[str],  # noqa: UP045
            typer.Option("--user", metavar="host|root|UID:GID[:NAME]", help="Who you are inside."),
        ] = None,
        name: Annotated[
            Optional[str],  # noqa: UP045
            typer.Option("--name", metavar="NAME", help="The container's name."),
        ] = None,
        config: Annotated[
            Optional[Path],  # noqa: UP045
            typer.Option("--config", metavar="FILE", help="The devcontainer.json to use."),
        ] = None,
        flat: Annotated[
            bool, typer.Option("--flat", help="Write .devcontainer.json at the top of the checkout.")
        ] = False,
        find_links: Annotated[
            Optional[Path],  # noqa: UP045
            typer.Option(
                "--find-links", metavar="FOLDER", help="A folder of wheels that image builds may install from."
            ),
        ] = None,
        pull: Annotated[bool, typer.Option("--pull", help="Look for a newer base image.")] = False,
        recreate: Annotated[bool, typer.Option("--recreate", help="Replace the container. Volumes stay.")] = False,
        force: Annotated[bool, typer.Option("--force", help="Overwrite a generated file that was edited.")] = False,
        skip_hooks: Annotated[bool, typer.Option("--skip-hooks", help="Run no lifecycle command.")] = False,
        trust: Annotated[
            bool, typer.Option("--trust", help="Consent to what the contract reaches on the host.")
        ] = False,
        yes: YesOption = False,
        dry_run: DryRunOption = False,
        json: JsonOption = False,
    ) -> None:
        """Start the dev container of a checkout; write its contract and build its image first where that is needed."""
        from devbox.container.up import UpRequest
        from devbox.container.up import up as start

        run = application(context)
        run.console.yes = yes
        result = start(
            UpRequest(
                path=workspace(path),
                framework=framework,
                variant=variant,
                base_image=base_image,
                gpus=gpus,
                arch=arch,
                user=user,
                name=name,
                config=config,
                flat=flat,
                find_links=find_links,
                pull=pull,
                recreate=recreate,
                force=force,
                skip_hooks=skip_hooks,
                trust=trust,
                yes=yes,
                dry_run=dry_run,
            ),
            run.engine,
            run.console,
        )
        run.show(result, lambda: _text(result, run.console))


def _text(result: UpResult, console: Console) -> str | None:
    """Say how it ended and what to type next; for a dry run, return the commands that would run."""
    for note in result.notes:
        console.info(f"note: {note}")
    if result.dry_run:
        lines = [f"# write {path}" for path in result.written]
        for step in result.steps:
            if step.lines:
                lines += [f"# {step.title}", *step.lines]
        return "\n".join(lines) or "# nothing to do"
    outcome = {"created": "created and running", "started": "started", "running": "running"}[result.outcome]
    console.info(
        f"{console.paint(result.name, BOLD)} is {outcome}: {result.workspace} is {result.workspace_folder} inside"
    )
    console.info(f"contract: {result.contract}")
    for command in result.next:
        console.info(f"next: {console.paint(command, CYAN)}")
    return None
