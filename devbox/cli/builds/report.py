"""`devbox builds report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from devbox.cli.application import application, named
from devbox.cli.options import WorkspaceOption, examples

if TYPE_CHECKING:
    from devbox.builds.report.timeline import Build, Timeline

SHOWN = 10

app = typer.Typer()


@app.command("report")
@examples(
    {
        "devbox builds report": "Where the last build spent its time.",
        "devbox builds report --output report.html": "The same as a page, with a picture.",
    }
)
def report(
    context: typer.Context,
    key: Annotated[
        str | None,
        typer.Argument(metavar="KEY", help="The build tree.", show_default="the one that was built last"),
    ] = None,
    path: WorkspaceOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write a picture: FILE.html or FILE.svg.")
    ] = None,
) -> None:
    """Show where a tree's last build spent its time: critical path, what got slower, slowest commands, cache."""
    from devbox.builds.report.page import html
    from devbox.builds.report.picture import svg
    from devbox.builds.report.reading import read
    from devbox.container.inside.find import running_container
    from devbox.errors import BuildError, UsageError
    from devbox.files import write_atomically

    run = application(context)
    if output is not None and output.suffix not in {".html", ".svg"}:
        raise UsageError(f"{output} is neither .html nor .svg", hint="devbox builds report --output report.html")
    target = running_container(run.engine, named(path))
    found = read(target, run.engine, key)
    if found.timeline is None and (output is None or output.suffix == ".svg" or not found.builds):
        raise BuildError(f"no build of {found.key or 'this workspace'} is on record", hint="devbox build")
    if output is not None:
        if output.suffix == ".svg" and found.timeline is not None:
            text = svg(found.timeline)
        else:
            labels = ((run.engine.container(target.container) or {}).get("Config") or {}).get("Labels") or {}
            names = [target.workspace.name, labels.get("devbox.framework")]
            place = f"build tree {found.key} of {target.workspace}"
            text = html(found.timeline, found.builds, title=" · ".join(filter(None, names)), place=place)
        try:
            write_atomically(output, text, errors="replace")
        except OSError as error:
            raise UsageError(f"{output} cannot be written: {error.strerror}", hint="--output FILE") from error
        run.console.info(f"report: {output}")
    run.show(found, lambda: None if output is not None else _text(found.timeline, found.builds))


def _text(timeline: Timeline | None, builds: tuple[Build, ...]) -> str:
    from devbox.builds.caches.choose import hit_rate
    from devbox.builds.report.timeline import slower
    from devbox.ui.console import counted, seconds
    from devbox.ui.tables import age, table

    parts = []
    if timeline is not None:
        path = timeline.critical_path()
        chain = sum(step.seconds for step in path)
        parts.append(
            f"{timeline.key}: {counted(len(timeline.steps), 'command')} in {seconds(timeline.seconds)} "
            f"with {counted(timeline.jobs, 'job')}, "
            f"{timeline.work / (timeline.seconds or 1):.1f} at work on average\n"
            f"critical path: {counted(len(path), 'command')}, {seconds(chain)}; more jobs cannot make it shorter"
        )
        header = ("took", "before", "began", "cache", "command")
        lost = slower(timeline.steps)[:SHOWN]
        for title, steps in (
            ("critical path", path),
            ("slower than before", lost),
            ("slowest", timeline.slowest(SHOWN)),
        ):
            rows = [
                (
                    seconds(step.seconds),
                    "-" if step.before is None else seconds(step.before),
                    seconds(step.start),
                    step.outcome or "-",
                    step.source or step.output,
                )
                for step in steps
            ]
            parts.append(f"{title}\n{table(header, rows)}" if rows else "")
    past = [
        (
            age(build.begun),
            seconds(build.seconds),
            str(build.compiled),
            "-" if build.cached is None else hit_rate(build.cached, build.missed or 0),
            "ok" if build.code == 0 else f"exit code {build.code}",
        )
        for build in builds[-SHOWN:]
    ]
    if past:
        parts.append(f"history\n{table(('ago', 'took', 'objects', 'cache', 'result'), past)}")
    return "\n\n".join(filter(None, parts))
