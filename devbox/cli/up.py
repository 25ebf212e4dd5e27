"""`devbox up`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from devbox.cli.application import Application, application, use_place, workspace
from devbox.cli.flags import Flags, from_settings
from devbox.cli.options import (
    AllowOption,
    ComposeOption,
    DryRunOption,
    FlatOption,
    NameOption,
    PathArgument,
    SecretsFileOption,
    TrustOption,
    YesOption,
    examples,
    in_panels,
)
from devbox.config.table import CHOICES, DOTFILES
from devbox.ui.console import BOLD, CYAN

if TYPE_CHECKING:
    from devbox.container.up.up import UpResult

app = typer.Typer()


@app.command()
@examples(
    {
        "devbox up": "Find out what the checkout is, and start its container.",
        "devbox up --dry-run": "See what that would do, command by command.",
        "devbox up --framework vllm --gpus 0,1": "As vLLM, with two of the GPUs.",
        "devbox up --mount /data:/data:ro --port 8000": "With a folder of the host, and a port.",
    }
)
@in_panels(
    {
        "The image": "framework variant arch user base_image features find_links args builder pull",
        "The container": "on gpus mounts env ports run_args name recreate compose services repositories",
        "The contract": "config flat force",
        "Lifecycle commands": "skip_hooks no_wait secrets_file",
        "Your dotfiles": " ".join(DOTFILES),
        "Consent": "trust allow restricted",
    }
)
@from_settings("framework", *CHOICES, *DOTFILES, "builder", "on")
def up(
    context: typer.Context,
    path: PathArgument = None,
    *,
    flags: Flags,
    name: NameOption = None,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="The devcontainer.json to use.")
    ] = None,
    compose: ComposeOption = None,
    flat: FlatOption = False,
    pull: Annotated[bool, typer.Option("--pull", help="Look for a newer base image.")] = False,
    recreate: Annotated[bool, typer.Option("--recreate", help="Replace the container. Volumes stay.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a generated file that was edited.")] = False,
    skip_hooks: Annotated[bool, typer.Option("--skip-hooks", help="Run no lifecycle command.")] = False,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Run the lifecycle commands after `waitFor` in the background.")
    ] = False,
    secrets_file: SecretsFileOption = None,
    trust: TrustOption = False,
    allow: AllowOption = None,
    restricted: Annotated[
        bool,
        typer.Option(
            "--restricted",
            help="A first look: no network, no ssh-agent, no settings of the checkout, nothing that reaches out.",
        ),
    ] = False,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> None:
    """Start the dev container of a checkout; write its contract and build its image first where that is needed."""
    from devbox.container.up.up import UpRequest
    from devbox.container.up.up import up as start
    from devbox.trust.ask import check_rules

    run = application(context)
    run.console.yes = yes
    folder = workspace(path, exact=True)
    if (on := flags.get("on")) is not None:
        use_place(on)
    result = start(
        UpRequest(
            path=folder,
            flags=flags,
            name=name,
            config=config,
            compose=compose,
            flat=flat,
            pull=pull,
            recreate=recreate,
            force=force,
            skip_hooks=skip_hooks,
            no_wait=no_wait,
            secrets_file=secrets_file,
            trust=trust,
            allow=check_rules(allow or ()),
            restricted=restricted,
            yes=yes,
            dry_run=dry_run,
        ),
        run.engine,
        run.console,
    )
    run.show(result, lambda: _text(result, run))


def _text(result: UpResult, run: Application) -> str | None:
    """Say how it ended and what to type next; for a dry run, return the commands that would run."""
    console = run.console
    for note in result.notes:
        console.info(f"note: {note}")
    if result.dry_run:
        lines = []
        for step in result.steps:
            if step.lines:
                lines += [f"# {step.title}", *run.in_short(step.lines)]
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
