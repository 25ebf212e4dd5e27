"""`devbox du` and `devbox prune`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from devbox.cli.application import application, workspace
from devbox.cli.options import AllOption, PathArgument, UnaskedOption, WouldRemoveOption, examples
from devbox.cli.removing import agreed, parse_age, were_kept
from devbox.ui.console import counted, size
from devbox.ui.tables import table

if TYPE_CHECKING:
    from devbox.disk.usage import Usage

app = typer.Typer()

_LAYERS = 10
_WIDTH = 60


@app.command()
@examples({"devbox du": "What devbox holds, added up."})
def du(context: typer.Context) -> None:
    """Show what devbox holds on the disk: by workspace, framework, image layer and cache.

    It takes as long as the engine needs to add it up.
    """
    from devbox.disk.usage import measure

    run = application(context)
    with run.console.step("Adding up what devbox holds"):
        found = measure(run.engine)
    run.show(found, lambda: _usage(found, everything=run.console.verbose))


@app.command()
@examples(
    {
        "devbox prune": "What nobody needs of this checkout, after a question.",
        "devbox prune --all --dry-run": "See what would go of every workspace.",
    }
)
def prune(
    context: typer.Context,
    path: PathArgument = None,
    older_than: Annotated[
        str,
        typer.Option(
            "--older-than", metavar="30d|12h", help="Trees, logs and downloads that were not used for so long."
        ),
    ] = "30d",
    everything: AllOption = False,
    unused: Annotated[
        bool, typer.Option("--unused", help="Also the newest images: all that no container is made from.")
    ] = False,
    yes: UnaskedOption = False,
    dry_run: WouldRemoveOption = False,
) -> None:
    """Remove what nobody needs, of all kinds: trees, images, copies, logs, and what killed commands left.

    Each thing is named with the reason before the question. With --all those of every workspace, what is left of
    workspaces that are gone, and what was downloaded. Nothing in use goes, nor a cache of compilers or models.
    """
    from devbox.disk.prune import plan, remove

    run = application(context)
    where = None if everything else workspace(path)
    todo = plan(run.engine, where, now=time.time(), older_than=parse_age(older_than), unused=unused)
    goings = todo.goings(run.engine)
    if not goings:
        if not everything:
            run.console.info("devbox prune --all   # looks at every workspace")
        run.show({"removed": (), "kept": ()}, lambda: "nothing to remove")
        return
    if not agreed(run, goings, again="devbox prune …", yes=yes, dry_run=dry_run):
        lines = [line for one in goings for line in one.commands]
        run.show({"would_remove": goings}, lambda: "\n".join(dict.fromkeys(lines)))
        return
    removed, kept = remove(todo, run.engine, run.console)
    were_kept(run, kept)
    run.show({"removed": removed, "kept": kept}, lambda: f"removed {size(sum(one.size or 0 for one in removed))}")


def _usage(found: Usage, *, everything: bool) -> str:
    workspaces = [
        (
            one.workspace + ("" if one.exists else " (gone)"),
            *map(size, (one.containers, one.images, one.trees, one.copies, one.total)),
        )
        for one in found.workspaces
    ]
    frameworks = [(one.framework, str(one.images), size(one.size), size(one.own)) for one in found.frameworks]
    shown = found.layers if everything else found.layers[:_LAYERS]
    layers = [(size(one.size), _images(one.images), one.made_by[:_WIDTH] or "-") for one in shown]
    more = len(found.layers) - len(shown)
    caches = [(one.name, "-" if one.size is None else size(one.size), one.place) for one in found.caches]
    parts = [
        table(("workspace", "container", "own layers", "trees", "copy", "all"), workspaces),
        table(("framework", "images", "size", "its own"), frameworks),
        table(("layer", "in", "made by"), layers) + (f"\n{more} smaller layers: --verbose" if more else ""),
        table(("cache", "size", "where"), caches),
        f"devbox holds {size(found.total)}; devbox prune removes what nobody needs",
    ]
    return "\n\n".join(part for part in parts if part)


def _images(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {counted(len(names) - 1, 'other')}"
