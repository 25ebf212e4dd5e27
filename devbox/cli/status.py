"""`devbox status`, and `ps` for those whose fingers know docker."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from devbox.cli.application import application, workspace
from devbox.cli.options import AllOption, PathArgument, examples
from devbox.errors import EngineError
from devbox.ui.console import size
from devbox.ui.tables import age, ago, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from devbox.builds.trees import BuildTree
    from devbox.cli.application import Application
    from devbox.container.status import ContainerStatus, Status

FastOption = Annotated[bool, typer.Option("--fast", help="Leave out the sizes, which the engine has to add up.")]

app = typer.Typer()

# So long ago is not worth a word.
_OLD_SECONDS = 60.0


@app.command()
@app.command("ps", hidden=True)
@examples(
    {
        "devbox status": "What this checkout has.",
        "devbox status --all --fast": "What everybody has, without adding up sizes.",
    }
)
def status(
    context: typer.Context,
    path: PathArgument = None,
    everything: AllOption = False,
    fast: FastOption = False,
) -> None:
    """List a checkout's dev container, build trees and caches with sizes and ages; with --all everybody's."""
    from devbox.builds.looked import in_all_volumes
    from devbox.builds.trees import trees_of
    from devbox.container.status import status as ask

    run = application(context)
    folder = None if everything else str(workspace(path))
    engine = run.engine.images if everything else run.engine
    found = ask(engine, sizes=not fast, workspace=folder)
    if everything:
        found = replace(found, containers=(*found.containers, *_elsewhere(run)))
    trees: Mapping[str, Sequence[BuildTree]] = {}
    looked = found.sized
    if everything and not fast:
        trees, looked = in_all_volumes(engine, found)
    elif not fast:
        trees = trees_of(run.engine, [one for one in found.containers if one.state == "running"])
    old = min(looked, found.sized)
    data = {"containers": found.containers, "volumes": found.volumes, "build_trees": trees, "looked_at": old}
    run.show(data, lambda: _text(found, trees) or _nothing(run, folder))
    if (found.volumes or trees) and time.time() - old > _OLD_SECONDS:
        run.console.info(f"trees and sizes are those of {ago(old)}; devbox builds list --all looks again")


def _elsewhere(run: Application) -> Iterator[ContainerStatus]:
    """Yield the person's pods in all places where workspaces were brought up; one that does not answer is said.

    They are asked side by side: what is dead lets nobody wait more than once.
    """
    from devbox.container import memory

    places = memory.places()
    if not places:
        return
    from devbox.container.hooks.parallel import Aside
    from devbox.container.status import status as ask
    from devbox.engine.api import ON
    from devbox.engine.kubernetes.cluster import chosen

    def pods(place: str) -> tuple[ContainerStatus, ...]:
        return ask(chosen({**run.environ, ON: place}), sizes=False).containers

    for place, asked in [(place, Aside(partial(pods, place))) for place in places]:
        try:
            yield from asked.outcome()
        except EngineError as error:
            run.console.warn(f"{place}: {error.message}")


def _nothing(run: Application, folder: str | None) -> str:
    if folder is not None:
        run.console.info("devbox status --all   # lists those of every workspace")
    return f"no dev container, build tree or cache{'' if folder is None else f' of {folder}'}"


def _text(found: Status, trees: Mapping[str, Sequence[BuildTree]]) -> str:
    containers = []
    for one in found.containers:
        framework = one.framework or ("-" if one.ours else "not devbox's")
        gone = "" if one.workspace_exists else " (gone)"
        containers.append((one.name, one.status or one.state, framework, f"{one.workspace}{gone}"))
        containers += [(f"  {beside.name}", beside.status or beside.state, "", "") for beside in one.services]
    built = [
        (tree.key, tree.outcome, size(tree.size), age(tree.built), workspace)
        for workspace, ones in trees.items()
        for tree in ones
    ]
    volumes = [
        (
            one.name,
            one.title,
            "-" if one.size is None else size(one.size),
            age(one.created),
            _owner(one.workspace, exists=one.workspace_exists, cache=one.kind == "cache"),
            ", ".join(one.used_by) or "-",
        )
        for one in found.volumes
    ]
    parts = [
        table(("container", "state", "framework", "workspace"), containers),
        table(("build tree", "state", "size", "built", "workspace"), built),
        table(("volume", "holds", "size", "age", "belongs to", "used by"), volumes),
    ]
    return "\n\n".join(part for part in parts if part)


def _owner(workspace: str | None, *, exists: bool | None, cache: bool) -> str:
    if cache:
        return "all workspaces"
    if workspace is None:
        return "unknown"
    return workspace if exists else f"{workspace} (gone)"
