"""`devbox builds`: the build trees of all workspaces, listed, explained, removed and pruned."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from devbox.cli.application import Application, application, workspace
from devbox.cli.builds import report
from devbox.cli.options import AllOption, UnaskedOption, WorkspaceOption, WouldRemoveOption, examples
from devbox.cli.removing import agreed, parse_age, were_kept
from devbox.errors import RefusedError, UsageError
from devbox.ui.console import counted, seconds, size
from devbox.ui.tables import age, ago, table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from devbox.builds.trees import BuildTree, TreeDetails
    from devbox.builds.volumes import BuildVolume, Doomed

app = typer.Typer(name="builds", no_args_is_help=True)

SHOWN_HISTORY = 10

FastOption = Annotated[bool, typer.Option("--fast", help="Leave out the sizes, which have to be added up.")]


@app.command("list")
@examples(
    {
        "devbox builds list": "The trees of this checkout.",
        "devbox builds list --all --fast": "Everybody's, without adding up their sizes.",
    }
)
def list_(
    context: typer.Context,
    path: WorkspaceOption = None,
    everything: AllOption = False,
    fast: FastOption = False,
) -> None:
    """List the build trees of a checkout with sizes and last use; with --all everybody's."""
    run = application(context)
    volumes = _volumes(run, path, everything=everything, sizes=not fast)
    run.show(volumes, lambda: _table(volumes, sizes=not fast) or _no_more(run, "no build trees", everything=everything))


def _no_more(run: Application, text: str, *, everything: bool) -> str:
    if not everything:
        run.console.info(f"devbox {run.command} --all   # looks at every workspace")
    return text


@app.command()
@examples({"devbox builds show release-90": "The tree whose key begins like that."})
def show(
    context: typer.Context,
    key: Annotated[str, typer.Argument(metavar="KEY", help="The tree's key, or its beginning.")],
    path: WorkspaceOption = None,
) -> None:
    """Show what a build tree was made from, and what was built in it, and why."""
    from devbox.builds.volumes import details

    run = application(context)
    volume, tree = _find(run, [key], path, elsewhere=True)[0]
    found = details(volume, tree.key, run.engine)
    run.show({"volume": volume.name, "workspace": volume.workspace, "tree": tree, "details": found},
             lambda: _about(volume, tree, found))  # fmt: skip


app.add_typer(report.app)


@app.command()
@examples({"devbox builds rm debug-90 --dry-run": "See what removing that tree would do."})
def rm(
    context: typer.Context,
    keys: Annotated[list[str], typer.Argument(metavar="KEY…", help="The trees' keys, or their beginnings.")],
    path: WorkspaceOption = None,
    everything: AllOption = False,
    yes: UnaskedOption = False,
    dry_run: WouldRemoveOption = False,
) -> None:
    """Remove build trees of a checkout. The one in use, which was built last or is being built, is never removed."""
    from devbox.builds.volumes import Doomed

    run = application(context)
    found = _find(run, keys, path, elsewhere=everything)
    for volume, tree in found:
        if tree.in_use:
            raise RefusedError(
                f"{tree.key} of {volume.title} {tree.in_use}",
                hint="devbox build --clean   # empties it; devbox down --volumes removes all trees of a workspace",
            )
    doomed = [
        Doomed(volume.name, volume.title, tree.key, tree.size, "you named it", volume.folder) for volume, tree in found
    ]
    _remove(run, doomed, yes=yes, dry_run=dry_run, again=shlex.join(["devbox", "builds", "rm", *keys]))


@app.command()
@examples(
    {
        "devbox builds prune --older-than 30d": "Remove what was not used for a month.",
        "devbox builds prune --all --max-size 100G --yes": "Everybody's, until all take no more; without asking.",
    }
)
def prune(
    context: typer.Context,
    older_than: Annotated[
        str | None, typer.Option("--older-than", metavar="30d|12h", help="Remove trees that were not used for so long.")
    ] = None,
    keep: Annotated[
        int | None,
        typer.Option("--keep", min=1, metavar="N", help="Remove all but the N last used trees of each workspace."),
    ] = None,
    max_size: Annotated[
        str | None,
        typer.Option("--max-size", metavar="50G", help="Remove the longest unused until all take no more than this."),
    ] = None,
    path: WorkspaceOption = None,
    everything: AllOption = False,
    yes: UnaskedOption = False,
    dry_run: WouldRemoveOption = False,
) -> None:
    """Remove trees of a checkout by age, number or size, never one in use; with --all everybody's.

    With --all the build volumes of workspaces that are gone go, too.
    """
    from devbox.builds.volumes import Removal, prunable
    from devbox.config import kinds

    run = application(context)
    age_limit = None if older_than is None else parse_age(older_than)
    size_limit = None if max_size is None else kinds.size(max_size)
    volumes = _volumes(run, path, everything=everything, sizes=True)
    for volume in volumes:
        if volume.gone and volume.used_by and not volume.folder:
            run.console.info(
                f"{volume.title} is gone, but its container {volume.used_by[0]} holds its build trees: "
                f"docker rm --force {volume.used_by[0]}"
            )
    doomed = prunable(volumes, now=time.time(), older_than=age_limit, keep=keep, max_size=size_limit)
    if not doomed:
        run.show(Removal((), ()), lambda: _no_more(run, "nothing to remove", everything=everything))
        return
    _remove(run, doomed, yes=yes, dry_run=dry_run, again="devbox builds prune …")


def _volumes(run: Application, path: Path | None, *, everything: bool, sizes: bool) -> tuple[BuildVolume, ...]:
    """Return the build volumes of one workspace, or of all, with their trees."""
    from devbox.builds.volumes import of_workspace

    if everything and path is not None:
        raise UsageError("--all and --workspace exclude each other", hint=f"devbox {run.command} --all")
    # The folder may be gone: its trees are what is asked for.
    from devbox.devcontainer.identity import absolute

    wanted = None if everything else str(workspace(path)) if path is None or path.is_dir() else absolute(path)
    found = of_workspace(run.engine, wanted, sizes=sizes)
    closed = [volume.name for volume in found if volume.closed]
    if closed:
        run.console.warn(
            f"the trees in {', '.join(closed)} are not known: only an image of its own dev container may look into a "
            "volume, and that is gone, or has no python3"
        )
    if not found and path is not None:
        raise UsageError(f"{wanted} has no build trees", hint="devbox builds list --all")
    return found


def _find(
    run: Application, keys: Sequence[str], path: Path | None, *, elsewhere: bool
) -> tuple[tuple[BuildVolume, BuildTree], ...]:
    """Return the trees that are named: the checkout's, and where it has none of that name, `elsewhere` anybody's."""
    from devbox.builds.volumes import find_trees

    try:
        return find_trees(_volumes(run, path, everything=False, sizes=True), keys)
    except UsageError as error:
        if path is None and elsewhere:
            return find_trees(_volumes(run, None, everything=True, sizes=True), keys)
        error.hint = "devbox builds list --all"
        raise


def _remove(run: Application, doomed: Sequence[Doomed], *, yes: bool, dry_run: bool, again: str) -> None:
    from devbox.builds.volumes import remove
    from devbox.disk.prune import of_tree

    if not agreed(run, map(of_tree, doomed), again=again, yes=yes, dry_run=dry_run):
        run.show({"would_remove": doomed}, lambda: None)
        return
    done = remove(doomed, run.engine, run.console)
    were_kept(run, map(of_tree, done.kept))
    run.show(done, lambda: f"removed {size(sum(one.size for one in done.removed))}")


def _table(volumes: Sequence[BuildVolume], *, sizes: bool) -> str:
    rows = [
        (
            tree.key + (" *" if tree.current else ""),
            tree.outcome + (f", {counted(tree.states, 'other state')} kept" if tree.states else ""),
            size(tree.size) if sizes else "-",
            age(tree.built),
            volume.title + (" (gone)" if volume.gone else ""),
        )
        for volume in volumes
        for tree in volume.trees
    ]
    empty = [
        (
            f"({volume.name})",
            "not known" if volume.closed else "empty",
            "-",
            "-",
            volume.title + (" (gone)" if volume.gone else ""),
        )
        for volume in volumes
        if not volume.trees
    ]
    return table(("build tree", "state", "size", "used", "workspace"), [*rows, *empty])


def _about(volume: BuildVolume, tree: BuildTree, found: TreeDetails) -> str:
    inputs = [f"  {name:<10} {_plain(value)}" for name, value in tree.inputs.items() if value not in (None, "", [])]
    lines = [
        f"{tree.key}{' (built last)' if tree.current else ''}",
        f"  workspace  {volume.title}{' (gone)' if volume.gone else ''}",
        f"  volume     {volume.name}, at {tree.path}",
        f"  state      {tree.outcome}, {size(tree.size)}, {found.sources} sources",
        *([f"  kept       {counted(tree.states, 'other configuration')}"] if tree.states else []),
        f"  made       {ago(tree.created)}, used {ago(tree.built)}",
        "key made from:",
        *inputs,
        "configured with:" if found.configured else "configured with (and failed):",
        *(f"  {one}" for one in found.arguments if one.startswith("-D")),
        *(f"  {name}={value}" for name, value in found.environment.items()),
    ]
    if found.history:
        lines.append("history:")
    for past in found.history[-SHOWN_HISTORY:]:
        how = "seeded" if past.client == "" else "ok" if past.code == 0 else f"exit code {past.code}"
        lines.append(f"  {ago(past.start)}: {how}, {past.compiled} compiled, {seconds(past.seconds)}")
        lines += [f"    {reason}" for reason in past.reasons[:5]]
    return "\n".join(lines)


def _plain(value: object) -> str:
    return " ".join(map(_plain, value)) if isinstance(value, list) else str(value)
