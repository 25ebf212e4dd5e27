"""`devbox trust`: what was agreed to, and what a contract reaches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from devbox.cli.application import application, workspace
from devbox.cli.options import PathArgument, examples
from devbox.errors import UsageError
from devbox.masking import visible
from devbox.ui.tables import table

if TYPE_CHECKING:
    from devbox.container.contract.trusted import TrustView

app = typer.Typer(name="trust", no_args_is_help=True)


@app.command("list")
@examples({"devbox trust list": "What you have agreed to, anywhere."})
def list_(context: typer.Context) -> None:
    """List what you have agreed to, in all workspaces."""
    from devbox.trust.grants import known

    run = application(context)
    found = known()
    rows = [(one.workspace, grant.kind, visible(grant.said), grant.how) for one in found for grant in one.grants]
    run.show(
        [one._asdict() | {"grants": [grant._asdict() for grant in one.grants]} for one in found],
        lambda: table(("workspace", "kind", "what", "how"), rows) or "you have agreed to nothing yet",
    )


@app.command()
@examples({"devbox trust show": "What this checkout reaches."})
def show(context: typer.Context, path: PathArgument = None) -> None:
    """Show what the contract of a checkout reaches beyond its container, and what of that you have agreed to."""
    from devbox.container.contract.trusted import show as look

    run = application(context)
    found = look(run.engine, workspace(path), run.console)
    run.show(found, lambda: _text(found))


@app.command()
@examples({"devbox trust revoke --kind agent": "Be asked again for the ssh-agent."})
def revoke(
    context: typer.Context,
    path: PathArgument = None,
    kind: Annotated[
        list[str] | None, typer.Option("--kind", metavar="KIND", help="Only this kind, such as agent; may be repeated.")
    ] = None,
) -> None:
    """Take back what you have agreed to in a checkout: the next `up` asks again. What runs goes on running."""
    from devbox.trust import grants
    from devbox.trust.ask import check_rules

    run = application(context)
    folder = workspace(path)
    kinds = check_rules(kind or (), option="--kind", value="")
    if any("=" in one for one in kinds):
        raise UsageError("--kind takes a kind alone: all of it is taken back", hint="devbox trust revoke --kind path")
    gone = grants.revoke(folder, kinds)
    for one in gone:
        run.console.info(f"revoked: {visible(one.said)}")
    run.show([one._asdict() for one in gone], lambda: None if gone else f"nothing was agreed to in {folder}")


def _text(found: TrustView) -> str:
    if not found.reach:
        return f"{found.contract} reaches nothing beyond its container"
    rows = [(one.kind, visible(one.said), visible(one.agreed or "to be asked")) for one in found.reach]
    return table(("kind", "what", "agreed"), rows)
