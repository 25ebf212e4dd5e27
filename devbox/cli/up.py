"""`devbox up`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from devbox.cli.application import application, workspace
from devbox.cli.options import (
    ArchOption,
    BaseImageOption,
    ComposeOption,
    DryRunOption,
    EnvOption,
    FindLinksOption,
    FlatOption,
    FrameworkOption,
    GpusOption,
    JsonOption,
    MountOption,
    PathArgument,
    PortOption,
    RepositoriesOption,
    RunArgOption,
    SecretsFileOption,
    ServicesOption,
    TrustOption,
    UserOption,
    VariantOption,
    YesOption,
)
from devbox.ui.console import BOLD, CYAN

if TYPE_CHECKING:
    from devbox.container.up.up import UpResult
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
        name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="The container's name.")] = None,
        config: Annotated[
            Path | None, typer.Option("--config", metavar="FILE", help="The devcontainer.json to use.")
        ] = None,
        compose: ComposeOption = False,
        services: ServicesOption = None,
        repositories: RepositoriesOption = None,
        mount: MountOption = None,
        env: EnvOption = None,
        port: PortOption = None,
        run_arg: RunArgOption = None,
        flat: FlatOption = False,
        find_links: FindLinksOption = None,
        pull: Annotated[bool, typer.Option("--pull", help="Look for a newer base image.")] = False,
        recreate: Annotated[bool, typer.Option("--recreate", help="Replace the container. Volumes stay.")] = False,
        force: Annotated[bool, typer.Option("--force", help="Overwrite a generated file that was edited.")] = False,
        skip_hooks: Annotated[bool, typer.Option("--skip-hooks", help="Run no lifecycle command.")] = False,
        no_wait: Annotated[
            bool, typer.Option("--no-wait", help="Run the lifecycle commands after `waitFor` in the background.")
        ] = False,
        secrets_file: SecretsFileOption = None,
        dotfiles_repository: Annotated[
            str | None,
            typer.Option(
                "--dotfiles-repository", metavar="URL|OWNER/REPO", help="Your dotfiles, cloned into the container once."
            ),
        ] = None,
        dotfiles_install_command: Annotated[
            str | None,
            typer.Option("--dotfiles-install-command", metavar="COMMAND", help="What installs them, in their folder."),
        ] = None,
        dotfiles_target_path: Annotated[
            str | None,
            typer.Option("--dotfiles-target-path", metavar="FOLDER", help="Where they go.", show_default="~/dotfiles"),
        ] = None,
        trust: TrustOption = False,
        yes: YesOption = False,
        dry_run: DryRunOption = False,
        json: JsonOption = False,
    ) -> None:
        """Start the dev container of a checkout; write its contract and build its image first where that is needed."""
        from devbox.container.up.up import UpRequest
        from devbox.container.up.up import up as start

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
                compose=compose,
                services=services,
                repositories=repositories,
                mounts=tuple(mount or ()),
                env=tuple(env or ()),
                ports=tuple(port or ()),
                run_args=tuple(run_arg or ()),
                flat=flat,
                find_links=find_links,
                pull=pull,
                recreate=recreate,
                force=force,
                skip_hooks=skip_hooks,
                no_wait=no_wait,
                secrets_file=secrets_file,
                dotfiles_repository=dotfiles_repository,
                dotfiles_install_command=dotfiles_install_command,
                dotfiles_target_path=dotfiles_target_path,
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
    if result.hooks_log is not None:
        console.info(f"lifecycle commands go on in the background: devbox hooks list, {result.hooks_log}")
    for command in result.next:
        console.info(f"next: {console.paint(command, CYAN)}")
    return None
