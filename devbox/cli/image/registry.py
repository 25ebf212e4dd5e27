"""`devbox image tags`, `resolve`, `pull` and `push`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from devbox.cli.application import application, workspace
from devbox.cli.flags import Flags, from_settings
from devbox.cli.options import DryRunOption, TrustOption, WorkspaceOption, examples, in_panels
from devbox.errors import UsageError

if TYPE_CHECKING:
    from devbox.cli.application import Application
    from devbox.frameworks.model import Framework
    from devbox.image.prebuilt.published import Tags
    from devbox.image.prebuilt.resolve import Outcome, Resolution
    from devbox.image.registry.remote import Registries

RefOption = Annotated[
    str | None,
    typer.Option("--ref", metavar="HEAD|SHA|BRANCH", help="The image of this commit, or of the nearest one before it."),
]
BackOption = Annotated[
    int | None,
    typer.Option(
        "--back",
        metavar="N",
        min=0,
        help="How many commits further back will do.",
        show_default="what the framework says",
    ),
]
FilterOption = Annotated[
    str | None,
    typer.Option("--filter", metavar="PATTERN", help="Only tags that hold this text, or fit this shell pattern."),
]


app = typer.Typer()


@app.command()
@examples(
    {
        "devbox image tags": "The newest tags of the framework's repositories.",
        "devbox image tags --ref HEAD": "The image of this commit, or of one shortly before it.",
    }
)
@in_panels({"Whose": "framework variant ref back", "Which of them": "filter_ limit created"})
@from_settings("framework", "variant")
def tags(
    context: typer.Context,
    repository: Annotated[
        str | None,
        typer.Argument(metavar="REPO", help="A repository.", show_default="those of the checkout's framework"),
    ] = None,
    filter_: FilterOption = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=0, help="How many to show; 0 is all.")] = 20,
    created: Annotated[
        bool, typer.Option("--created", help="By when the images were made, which takes requests for each tag.")
    ] = False,
    ref: RefOption = None,
    back: BackOption = None,
    path: WorkspaceOption = None,
    *,
    flags: Flags,
) -> None:
    """List the tags of a repository in a registry, the newest first; with --ref, find the image of a commit."""
    from devbox.image.prebuilt.published import find_commit, list_tags, repositories
    from devbox.image.registry.client import RegistryError

    run = application(context)
    folder = workspace(path)
    registries = registries_of(run, folder)
    if ref is not None:
        known = None if repository else run.framework(folder, flags)
        found = find_commit(
            run.engine, registries, folder, ref, framework=known, repository=repository, pattern=filter_, back=back
        )
        _found(run, found, f"image of {ref}")
        return
    names = (repository,) if repository else repositories(run.framework(folder, flags))
    if not names:
        raise UsageError("no repository of this framework is known", hint="devbox image tags REPO")
    listed = []
    for number, name in enumerate(names, 1):
        try:
            listed.append(list_tags(name, registries, pattern=filter_, limit=limit, created=created))
        except RegistryError as error:
            # One of several that says no does not hide the others.
            if number == len(names) and not listed:
                raise
            run.console.warn(error.message)
    run.show({"repositories": listed}, lambda: _tags_text(run, listed))


@app.command("resolve")
@examples({"devbox image resolve --stage release": "The name of an image that somebody has built."})
@from_settings("framework", "variant")
def resolve_(
    context: typer.Context,
    stage: Annotated[str, typer.Option("--stage", metavar="STAGE", help="What the image is for.")] = "devel",
    everything: Annotated[bool, typer.Option("--all", help="Look for every candidate, not just the first.")] = False,
    back: BackOption = None,
    path: WorkspaceOption = None,
    *,
    flags: Flags,
) -> None:
    """Find the image that somebody has built for this checkout already; nothing is pulled. Its name is the result."""
    from devbox.image.prebuilt.published import image_of

    run = application(context)
    folder = workspace(path)
    known = run.framework(folder, flags)
    found = image_of(
        run.engine, registries_of(run, folder), folder, known, stage=stage, back=back, everything=everything
    )
    _found(run, found, f"image of {known.name}'s stage {stage}", hint=f"devbox image build {stage}")


@app.command()
@examples(
    {
        "devbox image pull": "What `devbox image resolve` finds.",
        "devbox image pull --build": "Build it where nobody has.",
    }
)
@in_panels({"Which image": "stage ref back filter_ framework variant"})
@from_settings("framework", "variant")
def pull(
    context: typer.Context,
    image: Annotated[
        str | None, typer.Argument(metavar="IMAGE|REPO", help="The image; with --ref the repository it is in.")
    ] = None,
    stage: Annotated[
        str | None,
        typer.Option("--stage", metavar="STAGE", help="What it is for, where no image is named.", show_default="devel"),
    ] = None,
    ref: RefOption = None,
    back: BackOption = None,
    filter_: FilterOption = None,
    build: Annotated[bool, typer.Option("--build", help="Build the stage where nobody has.")] = False,
    path: WorkspaceOption = None,
    *,
    flags: Flags,
    dry_run: DryRunOption = False,
) -> None:
    """Pull an image: the one that is named, the one of a commit, or what `image resolve` finds for this checkout."""
    from devbox.image.prebuilt.published import find_commit, image_of
    from devbox.image.prebuilt.resolve import nothing
    from devbox.image.registry.reference import parse
    from devbox.image.registry.transfer import pull as fetch

    run = application(context)
    folder = workspace(path)
    if image is not None and stage is not None:
        raise UsageError("an image and a stage cannot both be meant", hint=f"devbox image pull {image}")
    registries = registries_of(run, folder)
    known = None if image else run.framework(folder, flags)
    found = None
    if ref is not None:
        found = find_commit(
            run.engine,
            registries,
            folder,
            ref,
            framework=known,
            repository=image,
            pattern=filter_,
            stage=stage,
            back=back,
        )
        what, hint = f"image of {ref}", "devbox image build"
    elif known is not None:
        wanted = stage or "devel"
        found = image_of(run.engine, registries, folder, known, stage=wanted, back=back)
        what, hint = f"image of {known.name}'s stage {wanted}", f"devbox image build {wanted}"
        if found.chosen is None and build:
            _build(run, folder, known, wanted, dry_run=dry_run)
            return
    reference, local = str(parse(image)) if image else "", False
    if found is not None:
        if found.chosen is None:
            raise nothing(found, what, hint)
        run.console.info(_line(found.chosen))
        reference, local = found.chosen.reference, found.chosen.state == "local"
    command = run.engine.line(["pull", reference])
    if dry_run:
        run.show({"image": reference, "commands": [] if local else [command]}, lambda: "" if local else command)
        return
    if not local:
        fetch(run.engine, reference, run.console)
    there = run.engine.image(reference) or {}
    run.show({"image": reference, "id": there.get("Id"), "pulled": not local}, lambda: reference)


@app.command()
@examples({"devbox image push team/vllm:1 --to registry.example.org/team/vllm:1": "An image, under another name."})
@in_panels({"What": "stage framework variant", "Its name": "to push_rewrite no_rewrite"})
@from_settings("push_rewrite", "framework", "variant")
def push(
    context: typer.Context,
    images: Annotated[list[str] | None, typer.Argument(metavar="[IMAGE]…", help="Images on the engine.")] = None,
    stage: Annotated[
        list[str] | None,
        typer.Option("--stage", metavar="STAGE", help="What `devbox image build STAGE` made; several times."),
    ] = None,
    no_rewrite: Annotated[bool, typer.Option("--no-rewrite", help="Push under the name as it is.")] = False,
    to: Annotated[str | None, typer.Option("--to", metavar="NAME", help="Push the one image under this name.")] = None,
    path: WorkspaceOption = None,
    *,
    flags: Flags,
    trust: TrustOption = False,
    dry_run: DryRunOption = False,
) -> None:
    """Push images to their registry, under another name where that is asked for (a staging repository)."""
    from devbox.image.names import reference as built_here
    from devbox.image.registry import transfer
    from devbox.image.registry.reference import parse

    run = application(context)
    folder = workspace(path)
    names = list(images or ())
    if stage:
        known = run.framework(folder, flags)
        names += [built_here(known, one) for one in stage]
    if not names:
        raise UsageError("no image is named", hint="devbox image push IMAGE   # or --stage STAGE")
    settings = run.settings(folder, flags, trust=trust, dry_run=dry_run)
    rules = () if no_rewrite else settings.push_rewrite
    if rules:
        run.see_settings(settings, folder, ("push_rewrite",), trust=trust, dry_run=dry_run)
    plan = transfer.plan(names, [transfer.rewrite(text) for text in rules], to=to)
    if dry_run:
        run.show_commands([run.engine.line(command) for one in plan for command in one.commands()])
        return
    pushed = []
    registries = registries_of(run, folder)
    for one in plan:
        transfer.push(run.engine, one, run.console)
        digest = registries.digest(parse(one.target))
        pushed.append({"image": one.source, "reference": one.target, "digest": digest})
    run.show({"pushed": pushed}, lambda: "\n".join(f"{one['reference']}@{one['digest']}" for one in pushed))


def registries_of(run: Application, folder: Path | None) -> Registries:
    """Return the registries, reached as the settings of a checkout and the environment say."""
    from devbox.image.registry.remote import Registries

    return Registries(run.network(folder), run.environ)


def _build(run: Application, folder: Path, known: Framework, stage: str, *, dry_run: bool) -> None:
    """Build a stage as `devbox image build` does without options, and show what it is called."""
    from devbox.container.contract.choices import wheels
    from devbox.image.building.blueprint import BuildRequest, Wanted
    from devbox.image.building.make import carry_out, plan

    settings = run.settings(folder)
    request = BuildRequest((Wanted(known, folder),), (stage,), find_links=wheels(settings), dry_run=dry_run)
    todo = plan(run.engine, request, settings, run.console)
    if dry_run:
        run.show_commands(todo.lines(run.engine))
        return
    result = carry_out(run.engine, todo, run.console)
    name = result.images[0].tags[0]
    there = run.engine.image(name) or {}
    run.show({"image": name, "id": there.get("Id"), "pulled": False}, lambda: name)


def _found(run: Application, found: Resolution, what: str, hint: str = "devbox image build") -> None:
    """Show a resolution: the image's name is the result, how it was found is talk."""
    from devbox.image.prebuilt.resolve import nothing

    error = None if found.chosen is not None else nothing(found, what, hint)

    def text() -> str | None:
        for one in found.tried:
            run.console.info(f"{'+' if one.found else '-'} {_line(one)}")
        return found.chosen.reference if found.chosen is not None else None

    run.finish(found, text, error)


def _line(one: Outcome) -> str:
    return f"{one.reference}  ({one.why}): {_said(one)}"


def _said(one: Outcome) -> str:
    from devbox.ui.console import size

    parts = [one.said]
    if one.size is not None:
        parts.append(f"{size(one.size)} to download")
    if one.behind:
        parts.append(f"{one.behind} commit{'s' if one.behind > 1 else ''} before the one asked for")
    return ", ".join(parts)


def _tags_text(run: Application, found: list[Tags]) -> str:
    from devbox.ui.tables import table

    parts = []
    for one in found:
        rows = [
            (tag.name, (tag.created or tag.date or "-")[:10], tag.version or "-", (tag.commit or "-")[:12])
            for tag in one.tags
        ]
        if len(found) > 1:
            parts.append(f"{one.repository}:")
        parts.append(table(("tag", "date", "version", "commit"), rows))
        more = one.matching - len(one.tags)
        if not rows:
            run.console.info(f"{one.repository} has {one.total} tags, and none of them fits")
        elif more:
            run.console.info(f"{one.repository}: {more} more (--limit 0 shows all, --filter some)")
    return "\n".join(part for part in parts if part)
