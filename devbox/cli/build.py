"""`devbox build`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Optional

import typer

from devbox.cli.application import Application, application, workspace
from devbox.cli.options import ArchOption, JsonOption, WorkspaceOption
from devbox.errors import BuildError, UsageError
from devbox.ui.console import BOLD, DIM, GREEN, RED, seconds

if TYPE_CHECKING:
    from devbox.build.report import BuildReport, Mode


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(context_settings={"ignore_unknown_options": False})
    def build(
        context: typer.Context,
        args: Annotated[
            Optional[list[str]],  # noqa: UP045  # typer reads this at run time
            typer.Argument(metavar="[-- ARGS]…", help="Further arguments for the build program."),
        ] = None,
        path: WorkspaceOption = None,
        incremental: Annotated[bool, typer.Option("--incremental", help="Build what changed. The default.")] = False,
        clean: Annotated[bool, typer.Option("--clean", help="Remove this tree's objects first.")] = False,
        reconfigure: Annotated[bool, typer.Option("--reconfigure", help="Configure from scratch first.")] = False,
        type_: Annotated[
            Optional[str],  # noqa: UP045
            typer.Option("--type", metavar="TYPE", help="The build type, such as Release or Debug."),
        ] = None,
        arch: ArchOption = None,
        jobs: Annotated[
            Optional[int],  # noqa: UP045
            typer.Option("--jobs", "-j", min=1, help="How many compilers at once.", show_default="what memory allows"),
        ] = None,
        target: Annotated[
            Optional[list[str]],  # noqa: UP045
            typer.Option("--target", "-t", metavar="NAME", help="Build only this target. May be repeated."),
        ] = None,
        define: Annotated[
            Optional[list[str]],  # noqa: UP045
            typer.Option("-D", metavar="NAME=VALUE", help="A CMake variable. May be repeated."),
        ] = None,
        no_heal: Annotated[bool, typer.Option("--no-heal", help="Set no file times.")] = False,
        no_cache: Annotated[bool, typer.Option("--no-cache", help="Build without the compiler cache.")] = False,
        explain: Annotated[
            bool, typer.Option("--explain", help="Say why this tree, and why it was configured.")
        ] = False,
        json: JsonOption = False,
    ) -> None:
        """Build the checkout in its dev container, in the build tree of this configuration."""
        from devbox import config
        from devbox.build.build import build as start
        from devbox.build.choose import architectures, framework_of
        from devbox.build.report import BuildRequest
        from devbox.container.target import find

        run = application(context)
        inside = find(run.engine, workspace(path))
        flags = {"arch": arch, "build_type": type_, "jobs": None if jobs is None else str(jobs)}
        settings = config.load(
            inside.workspace,
            environ=run.environ,
            flags={name: flag for name, flag in flags.items() if flag is not None},
        )
        framework = framework_of(inside, settings)
        report = start(
            BuildRequest(
                framework=framework,
                build_type=settings.build_type,
                arch=architectures(inside, framework, settings, run.engine),
                jobs=None if settings.jobs is None else _number(settings.jobs, settings.origin("jobs")),
                targets=tuple(target or ()),
                defines=tuple(_define(text) for text in define or ()),
                args=tuple(args or ()),
                mode=_mode(incremental=incremental, clean=clean, reconfigure=reconfigure),
                heal=not no_heal,
                cache=not no_cache,
                cache_size=settings.ccache_size or "20G",
            ),
            inside,
            run.engine,
            run.console,
        )
        failed = None if report.ok else BuildError(_failed(report), hint=_see_log(report))
        run.show(report, lambda: _tell(run, report, explain=explain), error=failed, code=report.code)
        raise typer.Exit(report.code)


def _number(text: str, origin: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise UsageError(
            f"jobs is '{text}' in {origin}, and must be a number above 0", hint="devbox config show --show-origin"
        )
    return int(text)


def _define(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise UsageError(f"-D {text} has no value", hint=f"-D {name or 'NAME'}=VALUE")
    return name, value


def _mode(*, incremental: bool, clean: bool, reconfigure: bool) -> Mode:
    if incremental + clean + reconfigure > 1:
        raise UsageError("--incremental, --clean and --reconfigure exclude each other", hint="devbox build --help")
    return "clean" if clean else "reconfigure" if reconfigure else "incremental"


def _tell(run: Application, report: BuildReport, *, explain: bool) -> None:
    """Say how the build went: what was compiled, what the cache had, what took longest; on failure the output last."""
    say = run.console.info
    paint = run.console.paint
    if explain:
        for reason in report.reasons:
            say(f"because: {reason}")
    if report.failure is not None:
        _tell_failure(run, report)
        return
    cached = (
        "" if report.cached is None or not report.compiled else f", {report.cached} of them from the compiler cache"
    )
    if report.commands:
        what = f"{report.commands} commands, {report.compiled} objects compiled{cached}"
    else:
        what = "nothing to do"
    mark = paint("built", GREEN) if report.ok else paint(f"ended with exit code {report.code}", RED)
    say(f"{paint(report.key, BOLD)} {mark}: {what}, {seconds(report.seconds)}")
    for name, taken in report.slowest if report.compiled > 1 else ():
        say(f"  {seconds(taken):>8}  {paint(name, DIM)}")


def _tell_failure(run: Application, report: BuildReport) -> None:
    failure = report.failure
    if failure is None:
        return
    detail = [failure.command] if failure.command else []
    detail += failure.output.rstrip().splitlines()
    run.console.error(_failed(report), hint=_see_log(report), detail="\n".join(detail))


def _failed(report: BuildReport) -> str:
    failure = report.failure
    if failure is None:
        return f"the build of {report.key} ended with exit code {report.code}"
    return f"{failure.step} failed{f' for {failure.outputs}' if failure.outputs else ''}, exit code {report.code}"


def _see_log(report: BuildReport) -> str | None:
    return f"less {report.log}   # the whole log" if report.log is not None else None
