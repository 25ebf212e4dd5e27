"""`devbox doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from devbox.cli.application import application, use_place, workspace
from devbox.cli.options import WorkspaceOption, examples
from devbox.config.table import TABLE
from devbox.errors import EXIT_FAILURE, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from devbox.cli.application import Application
    from devbox.finding import Finding

app = typer.Typer()


@app.command()
@examples(
    {
        "devbox doctor": "Check all.",
        "devbox doctor gpu disk": "Check two things.",
        "devbox doctor --on kubernetes": "Check a cluster: rights, storage, GPUs, and what limits its pods have.",
        "devbox doctor --report": "Print what a bug report needs.",
    }
)
def doctor(
    context: typer.Context,
    checks: Annotated[
        list[str] | None, typer.Argument(metavar="[CHECK]…", help="The checks to run.", show_default="all")
    ] = None,
    path: WorkspaceOption = None,
    on: Annotated[
        str | None,
        typer.Option("--on", metavar=TABLE["on"].metavar, help="Check a cluster, or the engine.", show_default=False),
    ] = None,
    fix: Annotated[
        bool, typer.Option("--fix", help="Run those remedies that take nothing away, each said first.")
    ] = False,
    report: Annotated[bool, typer.Option("--report", help="Print a text for a bug report, without secrets.")] = False,
) -> None:
    """Check the engine, its limits, GPUs, disk, network and the checkout, with a remedy for each finding."""
    from devbox.doctor.run import examine, mend
    from devbox.ui.findings import shown

    run = application(context)
    folder = workspace(path)
    if on is not None:
        use_place(on)
    if report and (fix or run.json):
        raise UsageError("--report is a text of its own", hint="devbox doctor --report > report.md")
    findings = examine(run.engine, folder, checks or ())
    fixed: tuple[str, ...] = ()
    if fix:
        fixed = mend(findings, folder, run.engine, run.console)
        findings = examine(run.engine, folder, checks or ()) if fixed else findings
    if report:
        text = _report(run, findings)
        run.show(None, lambda: text)
    else:
        run.show({"findings": findings, "fixed": fixed}, lambda: shown(findings, run.console))
    if any(finding.severity == "error" for finding in findings):
        raise typer.Exit(EXIT_FAILURE)


def _report(run: Application, findings: Sequence[Finding]) -> str:
    from devbox.doctor.report import report

    return report(run.engine, findings, run.console.mask)
