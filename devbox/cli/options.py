"""Options that several commands share, each written once, and what a command says of itself beside them.

Options that make settings are in `devbox.cli.flags`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

Command = TypeVar("Command", bound=Callable[..., Any])

PathArgument = Annotated[
    Path | None, typer.Argument(metavar="PATH", help="The checkout.", show_default="the current folder")
]
WorkspaceOption = Annotated[
    Path | None,
    typer.Option("--workspace", "-w", metavar="PATH", help="The checkout.", show_default="the current folder"),
]
YesOption = Annotated[
    bool, typer.Option("--yes", "-y", help="Answer questions with yes. It is no consent to what reaches the host.")
]
UnaskedOption = Annotated[bool, typer.Option("--yes", "-y", help="Remove without asking.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Print the commands that would run, and change nothing.")]
# Names stand on stderr, and commands, where there are any, on stdout.
WouldRemoveOption = Annotated[bool, typer.Option("--dry-run", help="Name what would be removed, and remove nothing.")]
AllOption = Annotated[bool, typer.Option("--all", help="Every workspace's, not this checkout's alone.")]
TrustOption = Annotated[bool, typer.Option("--trust", help="Consent to what the contract reaches on the host.")]
AllowOption = Annotated[
    list[str] | None,
    typer.Option(
        "--allow", metavar="KIND[=VALUE]", help="Consent to this kind of reach alone, such as agent; may be repeated."
    ),
]
FlatOption = Annotated[bool, typer.Option("--flat", help="Write .devcontainer.json at the top of the checkout.")]
NameOption = Annotated[str | None, typer.Option("--name", metavar="NAME", help="The container's name.")]
RepositoryOption = Annotated[
    str | None, typer.Option("--repository", metavar="NAME", help="A further checkout in the container, such as vllm.")
]
SecretsFileOption = Annotated[
    Path | None,
    typer.Option(
        "--secrets-file",
        metavar="FILE",
        envvar="DEVBOX_SECRETS_FILE",
        help="A JSON file of names and values, for lifecycle commands alone; - is stdin.",
    ),
]
# How buildx builds, for every command that has an image built.
CacheFromOption = Annotated[list[str] | None, typer.Option("--cache-from", metavar="CACHE", help="A cache to read.")]
CacheToOption = Annotated[list[str] | None, typer.Option("--cache-to", metavar="CACHE", help="A cache to write.")]
NoStepCacheOption = Annotated[bool, typer.Option("--no-cache", help="Run every step again.")]
OutputOption = Annotated[
    list[str] | None,
    typer.Option("--output", "-o", metavar="FOLDER|type=…", help="Write the result elsewhere."),
]
BuilderOption = Annotated[str | None, typer.Option("--builder", metavar="NAME", help="The builder of buildx.")]
ComposeOption = Annotated[
    bool | None,
    typer.Option("--compose/--no-compose", help="A container of Docker Compose, with services beside it."),
]


def passes_on(command: Command) -> Command:
    """Say of a command that its stdout is another program's: unlike all others it has no `--json`."""
    command.passes_on = True  # type: ignore[attr-defined]
    return command


def examples(told: Mapping[str, str]) -> Callable[[Command], Command]:
    """Say what a command is typed for: whole command lines, each with what it does. Help and pages show them."""

    def decorate(command: Command) -> Command:
        command.examples = told  # type: ignore[attr-defined]
        return command

    return decorate


def in_panels(panels: Mapping[str, str]) -> Callable[[Command], Command]:
    """Say in which panel of a command's help its parameters stand, in which order: names by the title.

    Others are below them, under "Options".
    """

    def decorate(command: Command) -> Command:
        found = {name: title for title, names in panels.items() for name in names.split()}
        command.panels = found  # type: ignore[attr-defined]
        return command

    return decorate
