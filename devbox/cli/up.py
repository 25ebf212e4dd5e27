"""`devbox up`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from devbox.cli.application import application, workspace
from devbox.cli.options import (
    ArchOption,
    BaseImageOption,
    DryRunOption,
    FindLinksOption,
    FlatOption,
    FrameworkOption,
    GpusOption,
    JsonOption,
    PathArgument,
    TrustOption,
    UserOption,
    VariantOption,
    YesOption,
)
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
        base_image: BaseImageOption = None,
        gpus: GpusOption = None,
        arch: ArchOption = None,
        user: UserOption = None,
        name: Annotated[
            Optional[str],  # noqa: UP045
            typer.Option("--name", metavar="NAME", help="The container's name."),
        ] = None,
        config: Annotated[
            Optional[Path],  # noqa: UP045
            typer.Option("--config", metavar="FILE", help="The devcontainer.json to use."),
        ] = None,
        flat: FlatOption = False,
        find_links: FindLinksOption = None,
        pull: Annotated[bool, typer.Option("--pull", help="Look for a newer base image.")] = False,
        recreate: Annotated[bool, typer.Option("--recreate", help="Replace the container. Volumes stay.")] = False,
        force: Annotated[bool, typer.Option("--force", help="Overwrite a generated file that was edited.")] = False,
        skip_hooks: Annotated[bool, typer.Option("--skip-hooks", help="Run no lifecycle command.")] = False,
        trust: TrustOption = False,
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
