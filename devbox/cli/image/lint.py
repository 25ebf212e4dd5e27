"""`devbox image lint`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from devbox.cli.application import Application, application
from devbox.cli.flags import Flags, from_settings
from devbox.cli.image.dockerfile import ArgsOption, UpstreamOption, choose, stages_of
from devbox.cli.options import WorkspaceOption, examples
from devbox.errors import EXIT_FAILURE

if TYPE_CHECKING:
    from devbox.cli.image.dockerfile import Source
    from devbox.finding import Finding
    from devbox.image.dockerfile.stages import Stages
    from devbox.image.lint.model import Base, Subject

app = typer.Typer()


@app.command()
@examples({"devbox image lint docker/Dockerfile": "A Dockerfile of the checkout."})
@from_settings("framework", "variant")
def lint(
    context: typer.Context,
    dockerfiles: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[DOCKERFILE]…", help="Dockerfiles.", show_default="devbox's own of the framework"),
    ] = None,
    path: WorkspaceOption = None,
    *,
    flags: Flags,
    upstream: UpstreamOption = False,
    arg: ArgsOption = None,
    build_context: Annotated[
        Path | None,
        typer.Option("--context", metavar="FOLDER", help="The folder that builds upload.", show_default="the checkout"),
    ] = None,
    fail_on: Annotated[
        Literal["error", "warning", "info", "never"],
        typer.Option("--fail-on", help="The least severity that makes the exit code 1."),
    ] = "warning",
) -> None:
    """Check Dockerfiles for what builds, and is not what was meant: arguments, jobs, CUDA versions, uploads."""
    from devbox.finding import SEVERITIES
    from devbox.image.lint.linter import lint as examine
    from devbox.ui.console import counted
    from devbox.ui.findings import shown

    run = application(context)
    paths: list[Path | None] = [*dockerfiles] if dockerfiles else [None]
    chosen = [choose(run, one, path, flags, upstream=upstream) for one in paths]
    found: dict[Finding, None] = {}
    for source in chosen:
        found |= dict.fromkeys(examine(_subject(run, source, arg, build_context)))
    findings = tuple(found)
    counts = {severity: sum(one.severity == severity for one in findings) for severity in SEVERITIES}
    files = [source.name for source in chosen]

    def text() -> str:
        run.console.info(f"{counted(len(findings), 'finding')} in {counted(len(files), 'Dockerfile')}")
        return shown(findings, run.console)

    run.show({"dockerfiles": files, "counts": counts, "findings": findings}, text)
    failing = () if fail_on == "never" else SEVERITIES[: SEVERITIES.index(fail_on) + 1]
    if any(counts[severity] for severity in failing):
        raise typer.Exit(EXIT_FAILURE)


def _subject(run: Application, source: Source, arg: list[str] | None, build_context: Path | None) -> Subject:
    from devbox.image.dockerfile.ignore import ignore_file
    from devbox.image.lint.model import Subject

    stages = stages_of(source, arg)
    if source.path is None:
        # The context of devbox's own is empty: parts of the checkout come as contexts of their own.
        return Subject(source.name, stages, bases=_bases(run, stages))
    folder = build_context or source.checkout or source.path.parent
    checkout = source.checkout
    name = source.name
    if checkout is not None and source.path.absolute().is_relative_to(checkout):
        name = source.path.absolute().relative_to(checkout).as_posix()
    return Subject(name, stages, folder, ignore_file(source.path, folder), checkout, _bases(run, stages))


def _bases(run: Application, stages: Stages) -> dict[str, Base]:
    """Return what the engine knows of the images that the stages start from; nothing where there is no engine."""
    from devbox.errors import EngineError
    from devbox.image.lint.model import Base

    found = {}
    for image in {stage.image for stage in stages.stages if stage.image}:
        try:
            known = run.engine.image(image)
        except EngineError:
            return {}
        if known is not None:
            environment = (entry.partition("=")[0] for entry in (known.get("Config") or {}).get("Env") or ())
            found[image] = Base(len((known.get("RootFS") or {}).get("Layers") or ()), frozenset(environment))
    return found
