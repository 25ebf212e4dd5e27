"""`devbox prepare`."""

from __future__ import annotations

import typer

from devbox.cli.application import application, workspace
from devbox.cli.flags import Flags, from_settings
from devbox.cli.options import DryRunOption, PathArgument, examples

app = typer.Typer()


@app.command()
@examples(
    {
        "devbox prepare --dry-run": "See which git commands would run.",
        "devbox prepare": "Run them.",
    }
)
@from_settings("framework")
def prepare(
    context: typer.Context,
    path: PathArgument = None,
    *,
    flags: Flags,
    dry_run: DryRunOption = False,
) -> None:
    """Fetch what a checkout lacks before a build: submodules, git-lfs files, history."""
    from devbox.container import which
    from devbox.container.checkout.prepare import prepare as mend

    run = application(context)
    folder = workspace(path)
    is_known = bool(which.frameworks(folder, run.settings(folder, flags).framework))
    known = run.framework(folder, flags) if is_known else None
    done = mend(folder, known, run.console, environ=run.environ, dry_run=dry_run)

    def text() -> str | None:
        if not done.commands:
            run.console.info(f"{folder} has all that a build reads")
        return "\n".join(done.commands) if dry_run and done.commands else None

    run.show(done, text)
