"""What `devbox build` says at its end: what was made, or what failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devbox.cli.builds import python
from devbox.errors import BuildError, UsageError
from devbox.ui.console import BOLD, DIM, GREEN, RED, counted, seconds

if TYPE_CHECKING:
    from pathlib import Path

    from devbox.builds.report.summary import BuildReport, PythonReport
    from devbox.cli.application import Application


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
    from devbox.builds.caches.choose import hit_rate

    if report.cached is None or report.missed is None or not report.compiled:
        return ""
    asked = report.cached + report.missed
    if not asked:  # Rust alone: ccache knows no Rust
        return ""
    text = f", {report.cached} of {asked} from {report.cache} ({hit_rate(report.cached, report.missed)}"
    if len(report.languages) > 1:
        text += "".join(f", {name} {hits} of {hits + misses}" for name, hits, misses in report.languages)
    return f"{text})"


def check_trace(path: Path) -> None:
    """Raise UsageError where a trace could not be written: before the build, not after it."""
    import os

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}", hint="--trace FILE") from error
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise UsageError(f"{path} cannot be written", hint="--trace FILE")


def write_trace(run: Application, path: Path, report: BuildReport) -> None:
    """Write the trace of a build, and say where."""
    import json

    from devbox.builds.report.trace import chrome
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
    run.console.error(_failed(report), hint=python.see_log(report.log), detail="\n".join(detail))


def _failed(report: BuildReport) -> str:
    failure = report.failure
    if failure is None:
        return f"the build of {report.key} ended with exit code {report.code}"
    return f"{failure.step} failed{f' for {failure.outputs}' if failure.outputs else ''}, exit code {report.code}"


def outcome(report: BuildReport) -> tuple[BuildError | None, int]:
    """Return what failed, if anything did, and the exit code."""
    if not report.ok:
        return BuildError(_failed(report), hint=python.see_log(report.log)), report.code
    for step in report.python:
        if not step.ok:
            return BuildError(python.failed(step), hint=python.see_log(step.log)), step.code
    return None, report.code


def tell_python(run: Application, reports: tuple[PythonReport, ...]) -> int:
    """Show what was done without a build of C++, and return the exit code."""
    last = reports[-1]
    failed = None if last.ok else BuildError(python.failed(last), hint=python.see_log(last.log))

    def text() -> None:
        for report in reports:
            python.tell(run, report)

    run.show({"python": reports}, text, error=failed, code=last.code)
    return last.code
