"""What `devbox build` says at its end: what was made, or what failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devbox.errors import BuildError, UsageError
from devbox.ui.console import BOLD, DIM, GREEN, RED, counted, seconds

if TYPE_CHECKING:
    from pathlib import Path

    from devbox.builds.report.summary import BuildReport, PythonReport
    from devbox.builds.request import BuildRequest
    from devbox.cli.application import Application
    from devbox.container.target import Target


# So many lines of output can be seen at once.
_IN_SIGHT = 20


def tell(run: Application, report: BuildReport, *, explain: bool) -> None:
    """Say how the build went: what was compiled, what the cache had, what took longest; on failure the output last."""
    say = run.console.info
    paint = run.console.paint
    if explain:
        for reason in report.reasons or _no_reasons(report):
            say(f"because: {reason}")
    if report.interrupted:
        made = f"{counted(report.commands, 'command')} done, " if report.commands else ""
        say(f"{paint(report.key, BOLD)} {paint('interrupted', RED)}: {made}{seconds(report.seconds)}; "
            "the same command goes on from there")  # fmt: skip
        return
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
        _tell_step(run, step)


def _no_reasons(report: BuildReport) -> tuple[str, ...]:
    """Say why what was done was done where nothing had moved."""
    if not report.commands:
        return ("nothing that the tree is made from has changed",) if report.ok else ()
    return ("what was made was not there yet, or its command is another one",)


def tell_foreseen(run: Application, request: BuildRequest, inside: Target) -> None:
    """Say what a build would do: why on stderr, the commands as a shell takes them on stdout."""
    from devbox.builds.foresee import foresee, lines, reasons

    said = foresee(request, inside, run.engine)
    for reason in reasons(said):
        run.console.info(f"note: {reason}")
    run.show(said, lambda: "\n".join(lines(said)))


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


def check_writable(**files: Path | None) -> None:
    """Raise UsageError where a file, by its option, could not be written: before the build, not after it."""
    import os

    for option, path in files.items():
        if path is None:
            continue
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{path} cannot be written: {error.strerror}", hint=f"--{option} FILE") from error
        if path.is_dir() or not os.access(path.parent, os.W_OK):
            raise UsageError(f"{path} cannot be written", hint=f"--{option} FILE")


def write_files(run: Application, report: BuildReport, *, trace: Path | None, sarif: Path | None) -> None:
    """Write what was asked for of a build into files, and say where."""
    if trace is not None:
        _write_trace(run, trace, report)
    if sarif is not None:
        _write_sarif(run, sarif, report)


def _write_trace(run: Application, path: Path, report: BuildReport) -> None:
    """Write the trace of a build, and say where."""
    import json

    from devbox.builds.report.trace import chrome
    from devbox.files import write_atomically

    if report.timeline is None:
        run.console.info(f"nothing ran, so there is no trace, and {path} was not written")
        return
    write_atomically(path, json.dumps(chrome(report.timeline), separators=(",", ":")) + "\n")
    run.console.info(f"trace: {path}   # open it at https://ui.perfetto.dev or in chrome://tracing")


def _write_sarif(run: Application, path: Path, report: BuildReport) -> None:
    """Write what compilers complained of as a SARIF log, and say where."""
    import json

    from devbox._version import __version__
    from devbox.builds.diagnostics import sarif
    from devbox.files import write_atomically

    log = json.dumps(sarif(report.diagnostics, __version__), indent=2, ensure_ascii=False)
    write_atomically(path, f"{log}\n", errors="replace")
    run.console.info(f"{counted(len(report.diagnostics), 'diagnostic')}: {path}")


def _tell_failure(run: Application, report: BuildReport) -> None:
    failure = report.failure
    if failure is None:
        return
    detail = [failure.command] if failure.command else []
    detail += failure.output.rstrip().splitlines()
    detail += _first_error(report, len(detail))
    run.console.error(_failed(report), hint=_see_log(report.log), detail="\n".join(detail))


def _first_error(report: BuildReport, said: int) -> list[str]:
    """Return the first error again, for who looks at the end of `said` lines; nothing where it is still in sight."""
    from devbox.builds.diagnostics import first_error

    first = first_error(report.diagnostics)
    if first is None or said <= _IN_SIGHT:
        return []
    return ["", f"the first error: {first.place}{': ' * bool(first.file)}{first.text}", f"  {first.source}".rstrip()]


def _failed(report: BuildReport) -> str:
    failure = report.failure
    if failure is None:
        return f"the build of {report.key} ended with exit code {report.code}"
    return f"{failure.step} failed{f' for {failure.outputs}' if failure.outputs else ''}, exit code {report.code}"


def outcome(report: BuildReport) -> tuple[BuildError | None, int]:
    """Return what failed, if anything did, and the exit code."""
    if not report.ok:
        return BuildError(_failed(report), hint=_see_log(report.log)), report.code
    for step in report.python:
        if not step.ok:
            return BuildError(_failed_step(step), hint=_see_log(step.log)), step.code
    return None, report.code


def tell_python(run: Application, reports: tuple[PythonReport, ...]) -> int:
    """Show what was done without a build of C++, and return the exit code."""
    last = reports[-1]
    failed = None if last.ok else BuildError(_failed_step(last), hint=_see_log(last.log))

    def text() -> None:
        for report in reports:
            _tell_step(run, report)

    run.show({"python": reports}, text, error=failed, code=last.code)
    return last.code


def _tell_step(run: Application, report: PythonReport) -> None:
    """Say what was done for the Python package."""
    say, paint = run.console.info, run.console.paint
    if report.failure is not None:
        run.console.error(_failed_step(report), hint=_see_log(report.log), detail=report.failure.output.rstrip())
        return
    taken = seconds(report.seconds)
    if not report.ok:
        say(f"{paint(_failed_step(report), RED)}, {taken}")
    match report.did:
        case "installed":
            name = f"{paint(report.package, BOLD)} {paint('installed', GREEN)} for editing"
            say(f"{name} in {report.environment}, {taken}")
        case "nothing":
            say(f"{paint(report.package, BOLD)} is installed as it is, {taken}")
        case "wheel":
            files = f", {report.added} files from the build tree" if report.added else ""
            size = f"{report.size / 1e6:.1f} MB"
            say(f"{paint(report.wheel or '', BOLD)} {paint('made', GREEN)}: {size}{files}, {taken}")


def _failed_step(report: PythonReport) -> str:
    """Return the sentence for a failure."""
    return f"pip failed, exit code {report.code}" if report.failure else f"pip ended with exit code {report.code}"


def _see_log(log: Path | None) -> str | None:
    """Return how to read the whole log of a build."""
    return f"less {log}   # the whole log" if log is not None else None
