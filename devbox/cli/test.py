"""`devbox test`."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from devbox.cli.application import application, named
from devbox.cli.flags import Flags, from_settings
from devbox.cli.options import RepositoryOption, WorkspaceOption, examples, passes_on

app = typer.Typer()


@app.command("test")
@examples(
    {
        "devbox test": "Run the framework's tests.",
        "devbox test --build": "Build first; run no test where that fails.",
        "devbox test -- -k attention": "Hand `-k attention` to the test program.",
    }
)
@passes_on
@from_settings("build_type", "arch", "jobs")
def run_tests(
    context: typer.Context,
    args: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[-- ARGS]…", help="Arguments for the test program; files replace those of the framework."
        ),
    ] = None,
    path: WorkspaceOption = None,
    repository: RepositoryOption = None,
    build: Annotated[bool, typer.Option("--build", help="Build first, and test only what was built.")] = False,
    *,
    flags: Flags,
    define: Annotated[
        list[str] | None,
        typer.Option("-D", metavar="NAME=VALUE", help="A CMake variable of the build. May be repeated."),
    ] = None,
) -> None:
    """Run the framework's tests in the dev container; the exit code is theirs."""
    from devbox.builds.build import build as start
    from devbox.builds.choose import inside as place
    from devbox.builds.test import argv_of_tests
    from devbox.cli.builds.request import define_of, request
    from devbox.cli.builds.told import tell
    from devbox.container.inside.exec import execute
    from devbox.container.sync.send import bring

    run = application(context)
    inside = place(run.engine, named(path), repository)
    asked = replace(request(run, inside, flags), defines=tuple(define_of(text) for text in define or ()))
    if build:
        report = start(asked, inside, run.engine, run.console)
        tell(run, report, explain=False)
        if not report.ok:
            raise typer.Exit(report.code)
    bring(inside, run.engine, run.console)
    argv = argv_of_tests(asked, args or (), inside, run.engine)
    run.console.close()
    raise typer.Exit(execute(inside, argv, environ=run.engine.environ))
