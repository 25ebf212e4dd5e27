"""`devbox image graph`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from devbox.cli.application import Application, application
from devbox.cli.flags import Flags, from_settings
from devbox.cli.image.dockerfile import ArgsOption, DockerfileArgument, UpstreamOption, choose, stages_of
from devbox.cli.options import WorkspaceOption, examples, in_panels

if TYPE_CHECKING:
    from devbox.cli.image.dockerfile import Source
    from devbox.image.dockerfile.stages import Stages
    from devbox.image.graph.model import Graph

Format = Literal["text", "mermaid", "svg", "dot"]
_SUFFIXES: dict[str, Format] = {
    ".svg": "svg",
    ".mmd": "mermaid",
    ".mermaid": "mermaid",
    ".dot": "dot",
    ".gv": "dot",
    ".txt": "text",
}

app = typer.Typer()


@app.command()
@examples(
    {
        "devbox image graph": "devbox's own Dockerfile of the framework.",
        "devbox image graph docker/Dockerfile --output stages.svg": "A Dockerfile, as a picture.",
    }
)
@in_panels(
    {
        "The Dockerfile": "framework variant upstream arg",
        "The picture": "output format_ check target sizes image",
    }
)
@from_settings("framework", "variant")
def graph(
    context: typer.Context,
    dockerfile: DockerfileArgument = None,
    path: WorkspaceOption = None,
    *,
    flags: Flags,
    upstream: UpstreamOption = False,
    target: Annotated[
        str | None, typer.Option("--target", metavar="STAGE", help="Only what a build of this stage needs.")
    ] = None,
    arg: ArgsOption = None,
    format_: Annotated[
        Format | None,
        typer.Option("--format", help="How it is drawn.", show_default="by the output's name, else text"),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write it to FILE.svg, FILE.mmd or FILE.dot."),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Fail if the output file is not what would be written.")
    ] = False,
    image: Annotated[
        list[str] | None,
        typer.Option(
            "--image", metavar="[STAGE=]IMAGE", help="What the target, or a stage, was built as; may be repeated."
        ),
    ] = None,
    sizes: Annotated[
        bool | None,
        typer.Option("--sizes/--no-sizes", help="With what the engine has built.", show_default="without --output"),
    ] = None,
) -> None:
    """Draw the stages of a Dockerfile: what they start from, copy and mount, how large they are, what is cached."""
    from devbox.errors import UsageError
    from devbox.image.building.blueprint import DEFAULT_STAGE
    from devbox.image.graph.model import graph as graph_of

    run = application(context)
    if check and output is None:
        raise UsageError("--check needs the file to compare with", hint="--output FILE --check")
    if output is not None and format_ is None and output.suffix not in _SUFFIXES:
        raise UsageError(
            f"{output} does not say what to write by its suffix: {', '.join(_SUFFIXES)}",
            hint=f"--output {output} --format svg",
        )
    source = choose(run, dockerfile, path, flags, upstream=upstream)
    stages = stages_of(source, arg)
    found = graph_of(stages, target, default=None if source.framework is None else DEFAULT_STAGE)
    if sizes or (sizes is None and output is None):
        found = _with_sizes(run, found, stages, source, image or [], wanted=bool(sizes or image))
    drawn = format_ or (_SUFFIXES[output.suffix] if output is not None else "text")
    if output is not None:
        _write(run, output, _drawn(found, drawn, source.name), check=check)
    run.show(found, lambda: None if output is not None else _drawn(found, drawn, source.name))


def _with_sizes(
    run: Application, found: Graph, stages: Stages, source: Source, images: list[str], *, wanted: bool
) -> Graph:
    """Return the graph with what the engine has. Only where it is `wanted` is an engine needed."""
    from devbox.errors import EngineError
    from devbox.image.graph import state

    try:
        target = next((node.name for node in found.nodes if node.default), "")
        named = (word.rpartition("=") for word in images)
        built = [state.built(run.engine, image, stage or target) for stage, _, image in named]
        if source.framework is not None and not images:
            built = state.gather(run.engine, source.framework)
        return state.with_engine(found, stages, built, run.engine) if built or wanted else found
    except EngineError as error:
        if wanted:
            raise
        run.console.warn(f"sizes are not known: {error.message}")
        return found


def _drawn(found: Graph, form: Format, name: str) -> str:
    from devbox.image.graph.svg import svg
    from devbox.image.graph.text import detail, dot, mermaid, tree
    from devbox.ui.tables import table

    if form == "svg":
        return svg(found, f"The stages of {name}")
    if form != "text":
        return mermaid(found) if form == "mermaid" else dot(found)
    rows = [
        (f"{drawn} (target)" if node.default else drawn, detail(node), "context" if node.kind == "context" else reads)
        for drawn, node, reads in tree(found)
    ]
    # Without an engine there is nothing to say about images.
    known = any(row[1] for row in rows)
    header = ("stage", "image", "reads")
    return table(header, rows) if known else table((header[0], header[2]), [(row[0], row[2]) for row in rows])


def _write(run: Application, output: Path, text: str, *, check: bool) -> None:
    from devbox.errors import DriftError
    from devbox.files import write_atomically

    old = output.read_text(encoding="utf-8") if output.is_file() else None
    if check and old != text:
        raise DriftError(f"{output} is not the graph of the Dockerfile as it is now", hint="the same without --check")
    if old != text:
        write_atomically(output, text)
    run.console.info(f"graph: {output}")
