"""`devbox prebuild`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from devbox.cli.application import application, workspace
from devbox.cli.options import (
    AllowOption,
    BuilderOption,
    CacheFromOption,
    CacheToOption,
    DryRunOption,
    NoStepCacheOption,
    OutputOption,
    PathArgument,
    TrustOption,
    examples,
    in_panels,
)
from devbox.errors import UsageError
from devbox.ui.console import BOLD, counted, seconds, size

if TYPE_CHECKING:
    from devbox.container.prebuild import PrebuildResult
    from devbox.ui.console import Console

Words = list[str] | None

app = typer.Typer()


@app.command()
@examples(
    {
        "devbox prebuild --tag registry.example.org/team/dev:1 --push": "Build what others start from, and push it.",
    }
)
@in_panels(
    {
        "The image": "tag config label platform",
        "Its build": "cache_from cache_to no_cache pull builder",
        "The result": "push output",
    }
)
def prebuild(
    context: typer.Context,
    path: PathArgument = None,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="The devcontainer.json to build by.")
    ] = None,
    tag: Annotated[
        Words,
        typer.Option(
            "--tag",
            "-t",
            metavar="NAME",
            help="The image's name. May be repeated.",
            show_default="devbox-FOLDER:prebuilt",
        ),
    ] = None,
    label: Annotated[
        Words, typer.Option("--label", metavar="NAME=VALUE", help="A label more. May be repeated.")
    ] = None,
    platform: Annotated[
        Words, typer.Option("--platform", metavar="linux/amd64,…", help="The platforms to build for.")
    ] = None,
    cache_from: CacheFromOption = None,
    cache_to: CacheToOption = None,
    no_cache: NoStepCacheOption = False,
    pull: Annotated[bool, typer.Option("--pull", help="Look for newer base images and Features.")] = False,
    push: Annotated[bool, typer.Option("--push", help="Push it; the engine need not have it.")] = False,
    output: OutputOption = None,
    builder: BuilderOption = None,
    trust: TrustOption = False,
    allow: AllowOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Build the image of a contract, complete: with Features, and with hooks, users and variables in its label.

    A contract that names it as its `image` starts from it: nobody builds again.
    """
    from devbox.container.prebuild import PrebuildRequest
    from devbox.container.prebuild import prebuild as build
    from devbox.container.up.complete import Wishes
    from devbox.image.building import options
    from devbox.trust.ask import Answers, check_rules

    run = application(context)
    wishes = Wishes(
        tags=tuple(tag or ()),
        labels=tuple(map(_label, label or ())),
        platforms=options.platforms(platform or ()),
        cache_from=tuple(cache_from or ()),
        cache_to=tuple(cache_to or ()),
        outputs=tuple(options.output(text) for text in output or ()),
        push=push,
        pull=pull,
        no_cache=no_cache,
        builder=builder,
    )
    answers = Answers(trust, check_rules(allow or ()), dry_run=dry_run)
    result = build(PrebuildRequest(workspace(path), wishes, config, answers), run.engine, run.console)
    run.show(result, lambda: _text(result, run.console))


def _label(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise UsageError(f"--label '{text}' is not NAME=VALUE", hint="--label org.opencontainers.image.source=URL")
    return name, value


def _text(result: PrebuildResult, console: Console) -> str:
    """Say how it went; the image's names are the result, or for a dry run the commands."""
    for note in result.notes:
        console.info(f"note: {note}")
    if result.steps_to_do:
        return "\n".join(line for step in result.steps_to_do for line in (f"# {step.title}", *step.lines))
    told = [] if result.size is None else [size(result.size)]
    told.append(seconds(result.seconds))
    if result.steps:
        told.append(f"{result.cached} of {counted(result.steps, 'step')} cached")
    console.info(f"{console.paint(result.images[0], BOLD)}: {', '.join(told)}")
    console.info(f'next: "image": "{result.images[0]}" in a devcontainer.json starts from it')
    return "\n".join(result.images)
