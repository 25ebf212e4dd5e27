"""`devbox doctor`."""

from __future__ import annotations

import typer

from devbox.cli.application import application, workspace
from devbox.cli.options import PathArgument
from devbox.errors import EXIT_FAILURE

app = typer.Typer()


@app.command()
def doctor(context: typer.Context, path: PathArgument = None) -> None:
    """Check the engine, its limits, GPUs, disk and the checkout, with a remedy for each finding."""
    from devbox.doctor.run import examine
    from devbox.ui.findings import shown

    run = application(context)
    findings = examine(run.engine, workspace(path))
    run.show({"findings": findings}, lambda: shown(findings, run.console))
    if any(finding.severity == "error" for finding in findings):
        raise typer.Exit(EXIT_FAILURE)
