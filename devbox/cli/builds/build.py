"""`devbox build`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from devbox.cli.application import application, named
from devbox.cli.builds import again, python
from devbox.cli.builds.python import BuildCommand, ForceOption, InstallOption, NoDepsOption, PythonOption, WheelOption
from devbox.cli.builds.request import define_of, mode_of, options_of, request, seed_of
from devbox.cli.builds.told import check_writable, outcome, tell, tell_foreseen, tell_python, write_files
from devbox.cli.flags import Flags, from_settings
from devbox.cli.options import DryRunOption, RepositoryOption, WorkspaceOption, examples, in_panels
from devbox.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from devbox.builds.build import OnHealed
    from devbox.builds.report.summary import BuildReport, PythonReport
    from devbox.builds.request import BuildRequest, Mode
    from devbox.container.target import Target

app = typer.Typer()


@app.command(cls=BuildCommand, context_settings={"ignore_unknown_options": False})
@examples(
    {
        "devbox build": "Build what changed.",
        "devbox build --type Debug --target ggml-cpu": "One target, in a tree of debug builds beside the other.",
        "devbox build --explain": "Also say why this tree, and why it was configured.",
        "devbox build --watch": "Build again at each save.",
        "devbox build -- -k 0": "Hand `-k 0` to ninja: go on after errors.",
    }
)
@in_panels(
    {
        "The build": "target jobs watch reconfigure clean incremental compiler_cache no_cache no_heal",
        "The build tree": "build_type arch define preset option benchmarks cpp_only seed_from repository",
        "The Python package": "install python_ wheel precompiled force no_deps",
        "What is told": "explain dry_run json json_events sarif trace",
    }
)
@from_settings("build_type", "arch", "jobs", "compiler_cache")
def build(
    context: typer.Context,
    args: Annotated[
        list[str] | None, typer.Argument(metavar="[-- ARGS]…", help="Further arguments for the build program.")
    ] = None,
    path: WorkspaceOption = None,
    repository: RepositoryOption = None,
    target: Annotated[
        list[str] | None,
        typer.Option("--target", "-t", metavar="NAME", help="Build only this target. May be repeated."),
    ] = None,
    *,
    flags: Flags,
    define: Annotated[
        list[str] | None, typer.Option("-D", metavar="NAME=VALUE", help="A CMake variable. May be repeated.")
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option("--preset", metavar="NAME", help="A configure preset of the checkout's CMakePresets.json."),
    ] = None,
    benchmarks: Annotated[
        bool, typer.Option("--benchmarks", help="Build the benchmarks too, where the build script has them.")
    ] = False,
    cpp_only: Annotated[
        bool, typer.Option("--cpp-only", help="Build no Python bindings, where the build script can do so.")
    ] = False,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option", metavar="NAME[=VALUE]", help="An option of the checkout's build script. May be repeated."
        ),
    ] = None,
    incremental: Annotated[bool, typer.Option("--incremental", help="Build what changed: the default.")] = False,
    reconfigure: Annotated[bool, typer.Option("--reconfigure", help="Run cmake again, with an empty cache.")] = False,
    clean: Annotated[
        bool, typer.Option("--clean", help="Start the tree from nothing; what was downloaded stays.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Build again whenever a source is saved.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Say why this tree, and why it was configured.")] = False,
    seed_from: Annotated[
        str, typer.Option("--seed-from", metavar="auto|PATH|none", help="What a new tree starts as a copy of.")
    ] = "auto",
    no_heal: Annotated[
        bool, typer.Option("--no-heal", help="Leave the times of files, and ninja's log, as they are.")
    ] = False,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Build without the compiler cache.")] = False,
    trace: Annotated[
        Path | None,
        typer.Option("--trace", metavar="FILE", help="Write a trace of the build for Perfetto or chrome://tracing."),
    ] = None,
    sarif: Annotated[
        Path | None,
        typer.Option("--sarif", metavar="FILE", help="Write what compilers complain of, for code-scanning tools."),
    ] = None,
    install: InstallOption = False,
    python_: PythonOption = False,
    wheel: WheelOption = False,
    precompiled: Annotated[
        str | None,
        typer.Option(
            "--precompiled",
            metavar="[=VERSION|PATH|URL]",
            help="Only the Python package, with a C++ part that somebody else built.",
        ),
    ] = None,
    force: ForceOption = False,
    no_deps: NoDepsOption = False,
    dry_run: DryRunOption = False,
    json_events: Annotated[
        bool,
        typer.Option("--json-events", help="Print what happens as lines of JSON, the envelope of --json last."),
    ] = False,
) -> None:
    """Build the checkout in its dev container, in the build tree of this configuration."""
    from devbox.builds.build import build as start
    from devbox.builds.choose import inside as place
    from devbox.builds.python import rules_of

    run = application(context)
    run.json = run.json or json_events
    choices = python.PythonChoices(
        install=install, only=python_, wheel=wheel, precompiled=precompiled, force=force, deps=not no_deps
    )
    choices.check(
        watch=watch, cpp=bool(target or define or args or trace or preset or option or benchmarks or cpp_only)
    )
    check_writable(trace=trace, sarif=sarif)
    defines = tuple(map(define_of, define or ()))
    mode = mode_of(incremental=incremental, clean=clean, reconfigure=reconfigure)
    chosen = {**flags, "compiler_cache": "none"} if no_cache else flags

    def asked(inside: Target) -> BuildRequest:
        made = replace(
            request(run, inside, chosen),
            targets=tuple(target or ()),
            defines=defines,
            options=options_of(option or (), benchmarks=benchmarks, cpp_only=cpp_only),
            preset=preset,
            chosen=frozenset(name for name, key in (("type", "build_type"), ("arch", "arch")) if key in flags),
            args=tuple(args or ()),
            heal=not no_heal,
            trace=trace is not None,
            # A further checkout's trees lie at another path than those of its own container.
            seed=seed_of(seed_from if repository is None else "none", inside.workspace),
            watch=watch,
        )
        if choices.actions:
            # Before an hour of compiling, not after it.
            rules_of(made)
        return made

    if dry_run:
        if watch or choices.actions:
            raise UsageError("--dry-run shows how the C++ part is built", hint="devbox build --dry-run")
        inside = place(run.engine, named(path), repository)
        tell_foreseen(run, replace(asked(inside), mode=mode), inside)
        return
    on_event = run.event if json_events else None

    def once(mode: Mode = mode, on_healed: OnHealed | None = None) -> BuildReport:
        inside = place(run.engine, named(path), repository)
        wanted = replace(asked(inside), mode=mode)
        written = trace is not None or sarif is not None
        if not (watch or json_events or choices.actions or written or repository is not None):
            again.keep(wanted, inside, run, explain=explain)
        return start(
            wanted,
            inside,
            run.engine,
            run.console,
            on_healed=on_healed,
            on_event=on_event,
        )

    def then() -> tuple[PythonReport, ...]:
        if not choices.actions:
            return ()
        inside = place(run.engine, named(path), repository)
        return tuple(python.steps(choices, replace(asked(inside), mode=mode), inside, run, on_event))

    if watch:
        from devbox.cli.builds.watch import follow

        raise typer.Exit(follow(run, named(path), once, lambda report: tell(run, report, explain=explain)))
    if not choices.builds:
        raise typer.Exit(tell_python(run, then()))
    report = once()
    write_files(run, report, trace=trace, sarif=sarif)
    if report.ok:
        report = report._replace(python=then())
    failed, code = outcome(report)
    run.show(report, lambda: tell(run, report, explain=explain), error=failed, code=code)
    raise typer.Exit(code)
