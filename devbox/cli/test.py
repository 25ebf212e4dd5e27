"""`devbox test`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from devbox.cli.application import application, named
from devbox.cli.flags import Flags, from_settings
from devbox.cli.options import RepositoryOption, WorkspaceOption, examples, in_panels, passes_on
from devbox.errors import DevboxError

app = typer.Typer()


@app.command("test")
@examples(
    {
        "devbox test": "Run the framework's tests.",
        "devbox test --build": "Build first; run no test where that fails.",
        "devbox test --junit results.xml": "Write the results for CI.",
        "devbox test -- -k attention": "Hand `-k attention` to the test program.",
    }
)
@passes_on
@in_panels({"The tests": "build junit jobs", "The build tree": "build_type arch define repository"})
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
    junit: Annotated[
        Path | None,
        typer.Option("--junit", metavar="FILE", help="Write the results as JUnit XML, as ctest or pytest has them."),
    ] = None,
) -> None:
    """Run the framework's tests in the dev container; the exit code is theirs."""
    from devbox.builds.build import build as start
    from devbox.builds.choose import inside as place
    from devbox.builds.test import argv_of_tests, junit_words, take_junit
    from devbox.cli.builds.request import define_of, request
    from devbox.cli.builds.told import check_writable, tell
    from devbox.container.inside.exec import execute
    from devbox.container.inside.supervise import new_token
    from devbox.container.sync.send import bring

    run = application(context)
    defines = tuple(map(define_of, define or ()))
    check_writable(junit=junit)
    inside = place(run.engine, named(path), repository)
    asked = replace(request(run, inside, flags), defines=defines)
    if build:
        report = start(asked, inside, run.engine, run.console)
        tell(run, report, explain=False)
        if not report.ok:
            raise typer.Exit(report.code)
    bring(inside, run.engine, run.console)
    file = f"/tmp/devbox-junit-{new_token()}.xml"  # noqa: S108  # in the container
    words = [*(args or ()), *(junit_words(asked.framework, file) if junit is not None else ())]
    argv = argv_of_tests(asked, words, inside, run.engine)
    run.console.close()
    code = execute(inside, argv, environ=run.engine.environ)
    if junit is not None:
        try:
            take_junit(file, junit, inside, run.engine)
        except DevboxError as error:
            # What the tests say counts first.
            if not code:
                raise
            run.console.warn(error.message)
    raise typer.Exit(code)
