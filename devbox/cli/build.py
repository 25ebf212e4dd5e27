"""`devbox build`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from devbox.cli import build_python as python
from devbox.cli.application import Application, application, workspace
from devbox.cli.build_python import (
    BuildCommand,
    ForceOption,
    InstallOption,
    NoDepsOption,
    PythonOption,
    WheelOption,
)
from devbox.cli.options import ArchOption, CompilerCacheOption, JsonOption, RepositoryOption, WorkspaceOption
from devbox.errors import BuildError, UsageError
from devbox.ui.console import BOLD, DIM, GREEN, RED, counted, seconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from devbox.build.build import OnHealed
    from devbox.build.report import BuildReport, BuildRequest, Mode, PythonReport
    from devbox.container.target import Target


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(cls=BuildCommand, context_settings={"ignore_unknown_options": False})
    def build(
        context: typer.Context,
        args: Annotated[
            Optional[list[str]],  # noqa: UP045  # typer reads this at run time
            typer.Argument(metavar="[-- ARGS]…", help="Further arguments for the build program."),
        ] = None,
        path: WorkspaceOption = None,
        repository: RepositoryOption = None,
        target: Annotated[
            Optional[list[str]],  # noqa: UP045
            typer.Option("--target", "-t", metavar="NAME", help="Build only this target. May be repeated."),
        ] = None,
        type_: Annotated[
            Optional[str],  # noqa: UP045
            typer.Option("--type", metavar="TYPE", help="The build type, such as Release or Debug."),
        ] = None,
        arch: ArchOption = None,
        define: Annotated[
            Optional[list[str]],  # noqa: UP045
            typer.Option("-D", metavar="NAME=VALUE", help="A CMake variable. May be repeated."),
        ] = None,
        preset: Annotated[
            Optional[str],  # noqa: UP045
            typer.Option("--preset", metavar="NAME", help="A configure preset of the checkout's CMakePresets.json."),
        ] = None,
        benchmarks: Annotated[
            bool, typer.Option("--benchmarks", help="Build the benchmarks too, where the build script has them.")
        ] = False,
        cpp_only: Annotated[
            bool, typer.Option("--cpp-only", help="Build no Python bindings, where the build script can do so.")
        ] = False,
        option: Annotated[
            Optional[list[str]],  # noqa: UP045
            typer.Option(
                "--option", metavar="NAME[=VALUE]", help="An option of the checkout's build script. May be repeated."
            ),
        ] = None,
        jobs: Annotated[
            Optional[int],  # noqa: UP045
            typer.Option(
                "--jobs",
                "-j",
                metavar="N",
                min=1,
                help="How many compilers at once.",
                show_default="what memory allows",
            ),
        ] = None,
        incremental: Annotated[bool, typer.Option("--incremental", help="Build what changed: the default.")] = False,
        reconfigure: Annotated[
            bool, typer.Option("--reconfigure", help="Run cmake again, with an empty cache.")
        ] = False,
        clean: Annotated[
            bool, typer.Option("--clean", help="Start the tree from nothing; what was downloaded stays.")
        ] = False,
        watch: Annotated[bool, typer.Option("--watch", help="Build again whenever a source is saved.")] = False,
        explain: Annotated[
            bool, typer.Option("--explain", help="Say why this tree, and why it was configured.")
        ] = False,
        seed_from: Annotated[
            str,
            typer.Option("--seed-from", metavar="auto|PATH|none", help="What a new tree starts as a copy of."),
        ] = "auto",
        no_heal: Annotated[bool, typer.Option("--no-heal", help="Leave the times of sources as they are.")] = False,
        compiler_cache: CompilerCacheOption = None,
        no_cache: Annotated[bool, typer.Option("--no-cache", help="Build without the compiler cache.")] = False,
        trace: Annotated[
            Optional[Path],  # noqa: UP045
            typer.Option(
                "--trace", metavar="FILE", help="Write a trace of the build for Perfetto or chrome://tracing."
            ),
        ] = None,
        install: InstallOption = False,
        python_: PythonOption = False,
        wheel: WheelOption = False,
        precompiled: Annotated[
            Optional[str],  # noqa: UP045
            typer.Option(
                "--precompiled",
                metavar="[=VERSION|PATH|URL]",
                help="Only the Python package, with a C++ part that somebody else built.",
            ),
        ] = None,
        force: ForceOption = False,
        no_deps: NoDepsOption = False,
        json: JsonOption = False,
        json_events: Annotated[
            bool,
            typer.Option("--json-events", help="Print what happens as lines of JSON, the envelope of --json last."),
        ] = False,
    ) -> None:
        """Build the checkout in its dev container, in the build tree of this configuration."""
        from devbox.build.build import build as start
        from devbox.build.choose import inside as place
        from devbox.build.python import rules_of

        run = application(context)
        run.json = run.json or json_events
        choices = python.PythonChoices(
            install=install, only=python_, wheel=wheel, precompiled=precompiled, force=force, deps=not no_deps
        )
        choices.check(
            watch=watch, cpp=bool(target or define or args or trace or preset or option or benchmarks or cpp_only)
        )
        mode = _mode(incremental=incremental, clean=clean, reconfigure=reconfigure)
        flags = {
            "arch": arch,
            "build_type": type_,
            "jobs": None if jobs is None else str(jobs),
            "compiler_cache": "none" if no_cache else compiler_cache,
        }

        def asked(inside: Target) -> BuildRequest:
            made = replace(
                request(run, inside, flags),
                targets=tuple(target or ()),
                defines=tuple(define_of(text) for text in define or ()),
                options=_options(option or (), benchmarks=benchmarks, cpp_only=cpp_only),
                preset=preset,
                chosen=frozenset(name for name, flag in (("type", type_), ("arch", arch)) if flag is not None),
                args=tuple(args or ()),
                heal=not no_heal,
                trace=trace is not None,
                # A further checkout's trees lie at another path than those of its own container.
                seed=_seed(seed_from if repository is None else "none", inside.workspace),
                watch=watch,
            )
            if choices.actions:
                # Before an hour of compiling, not after it.
                rules_of(made)
            return made

        on_event = run.event if json_events else None

        def once(mode: Mode = mode, on_healed: OnHealed | None = None) -> BuildReport:
            inside = place(run.engine, workspace(path), repository)
            return start(
                replace(asked(inside), mode=mode),
                inside,
                run.engine,
                run.console,
                on_healed=on_healed,
                on_event=on_event,
            )

        def then() -> tuple[PythonReport, ...]:
            if not choices.actions:
                return ()
            inside = place(run.engine, workspace(path), repository)
            return tuple(python.steps(choices, replace(asked(inside), mode=mode), inside, run, on_event))

        if watch:
            from devbox.cli.watch import follow

            raise typer.Exit(follow(run, workspace(path), once, lambda report: tell(run, report, explain=explain)))
        if not choices.builds:
            raise typer.Exit(_tell_python(run, then()))
        report = once()
        if trace is not None:
            _write_trace(run, trace, report)
        if report.ok:
            report = replace(report, python=then())
        failed, code = _outcome(report)
        run.show(report, lambda: tell(run, report, explain=explain), error=failed, code=code)
        raise typer.Exit(code)


def request(run: Application, inside: Target, flags: Mapping[str, str | None]) -> BuildRequest:
    """Return what settings, contract and `flags` (settings by name) say of a build, for a command to add to."""
    from devbox import config
    from devbox.build import caches
    from devbox.build.choose import architectures, framework_of
    from devbox.build.report import BuildRequest

    given = {name: flag for name, flag in flags.items() if flag is not None}
    settings = config.load(inside.workspace, environ=run.environ, flags=given)
    framework = framework_of(inside, settings)
    return BuildRequest(
        framework=framework,
        build_type=settings.build_type,
        arch=architectures(inside, framework, settings, run.engine),
        jobs=None if settings.jobs is None else _number(settings.jobs, settings.origin("jobs")),
        cache=caches.compiler_cache(settings, run.environ),
        client=_client(),
    )


def _outcome(report: BuildReport) -> tuple[BuildError | None, int]:
    """Return what failed, if anything did, and the exit code."""
    if not report.ok:
        return BuildError(_failed(report), hint=_see_log(report)), report.code
    for step in report.python:
        if not step.ok:
            return BuildError(python.failed(step), hint=python.see_log(step)), step.code
    return None, report.code


def _tell_python(run: Application, reports: tuple[PythonReport, ...]) -> int:
    """Show what was done without a build of C++, and return the exit code."""
    last = reports[-1]
    failed = None if last.ok else BuildError(python.failed(last), hint=python.see_log(last))

    def text() -> None:
        for report in reports:
            python.tell(run, report)

    run.show({"python": reports}, text, error=failed, code=last.code)
    return last.code


def _seed(choice: str, inside: Path) -> str:
    """Return what a new tree starts from: `auto`, `none` or a workspace's absolute path. Raises UsageError."""
    if choice in {"auto", "none"}:
        return choice
    from devbox.build.seed import named

    return named(choice, inside)


def _client() -> str:
    """Return what somebody who waits for this build is told."""
    import getpass
    import os
    import socket

    return f"devbox build of {getpass.getuser()} on {socket.gethostname()}, process {os.getpid()}"


def _number(text: str, origin: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise UsageError(
            f"jobs is '{text}' in {origin}, and must be a number above 0", hint="devbox config show --show-origin"
        )
    return int(text)


def define_of(text: str) -> tuple[str, str]:
    """Return the name and value of a `-D NAME=VALUE`. Raises UsageError."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise UsageError(f"-D {text} has no value", hint=f"-D {name or 'NAME'}=VALUE")
    return name, value


def _options(texts: Sequence[str], *, benchmarks: bool, cpp_only: bool) -> tuple[tuple[str, str | None], ...]:
    """Return the options of the framework's build script as (name, value), None for one without a value."""
    pairs = (text.partition("=") for text in texts)
    given = tuple((name, value if equals else None) for name, equals, value in pairs)
    own = (("benchmarks", benchmarks), ("cpp-only", cpp_only))
    return (*((name, None) for name, chosen in own if chosen), *given)


def _mode(*, incremental: bool, clean: bool, reconfigure: bool) -> Mode:
    if incremental + clean + reconfigure > 1:
        raise UsageError("--incremental, --clean and --reconfigure exclude each other", hint="devbox build --help")
    return "clean" if clean else "reconfigure" if reconfigure else "incremental"


def tell(run: Application, report: BuildReport, *, explain: bool) -> None:
    """Say how the build went: what was compiled, what the cache had, what took longest; on failure the output last."""
    say = run.console.info
    paint = run.console.paint
    if explain:
        for reason in report.reasons:
            say(f"because: {reason}")
    if report.failure is not None:
        _tell_failure(run, report)
        return
    if report.commands:
        what = f"{counted(report.commands, 'command')}, {counted(report.compiled, 'object')} compiled{_cached(report)}"
    else:
        what = "nothing to do" if report.ok else "nothing was built"
    mark = paint("built", GREEN) if report.ok else paint(f"ended with exit code {report.code}", RED)
    say(f"{paint(report.key, BOLD)} {mark}: {what}, {seconds(report.seconds)}")
    for name, taken in report.slowest if report.compiled > 1 else ():
        say(f"  {seconds(taken):>8}  {paint(name, DIM)}")
    for step in report.python:
        python.tell(run, step)


def _cached(report: BuildReport) -> str:
    """Return what the compiler cache answered: its hit rate, and each language's where there are several."""
    from devbox.build.caches import hit_rate

    if report.cached is None or report.missed is None or not report.compiled:
        return ""
    asked = report.cached + report.missed
    if not asked:  # Rust alone: ccache knows no Rust
        return ""
    text = f", {report.cached} of {asked} from {report.cache} ({hit_rate(report.cached, report.missed)}"
    if len(report.languages) > 1:
        text += "".join(f", {name} {hits} of {hits + misses}" for name, hits, misses in report.languages)
    return f"{text})"


def _write_trace(run: Application, path: Path, report: BuildReport) -> None:
    import json

    from devbox.build.trace import chrome
    from devbox.files import write_atomically

    if report.timeline is None:
        run.console.info(f"nothing ran, so there is no trace, and {path} was not written")
        return
    write_atomically(path, json.dumps(chrome(report.timeline), separators=(",", ":")) + "\n")
    run.console.info(f"trace: {path}   # open it at https://ui.perfetto.dev or in chrome://tracing")


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
