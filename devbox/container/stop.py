"""`devbox stop` and `devbox down`: a dev container stopped, or removed. Build trees and caches stay unless named."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from devbox.container.apply import remove
from devbox.container.target import LOCAL_FOLDER, candidate, no_container
from devbox.errors import EngineError

if TYPE_CHECKING:
    from devbox.engine.docker import ContainerSummary, Engine
    from devbox.reporter import Reporter

STOP_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Stopped:
    """The containers of a workspace by name: those that were stopped now, and those that were not running."""

    workspace: str
    stopped: tuple[str, ...]
    idle: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Down:
    """What `down` removes: containers and volumes by name. `kept` are the workspace's volumes that stay.

    The caches belong to all workspaces of the user; they are in neither list.
    """

    workspace: str
    containers: tuple[str, ...]
    volumes: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


def _containers(engine: Engine, workspace: Path) -> tuple[str, tuple[ContainerSummary, ...]]:
    """Return the folder whose dev containers are meant, this one or one above it, and these containers."""
    found = candidate(engine, workspace)
    if found is None:
        raise no_container(workspace)
    return found.workspace, engine.containers({LOCAL_FOLDER: found.workspace})


def stop(engine: Engine, workspace: Path, reporter: Reporter) -> Stopped:
    """Stop the dev containers of a workspace. Raises DevboxError if there is none."""
    folder, containers = _containers(engine, workspace)
    running = [one for one in containers if one.state in {"running", "paused", "restarting"}]
    for container in running:
        with reporter.step(f"Stopping the container {container.called}"):
            engine.run(["stop", "--time", str(STOP_SECONDS), container.id])
    idle = tuple(one.called for one in containers if one not in running)
    return Stopped(folder, tuple(one.called for one in running), idle)


def plan_down(engine: Engine, workspace: Path, *, volumes: bool = False) -> Down:
    """Return what `down` would remove, to be shown and agreed to first where `volumes` is set.

    A workspace whose container is gone already may still have its volumes. Raises DevboxError if there is nothing.
    """
    from devbox.devcontainer.identity import volume_name, workspace_hash

    found = candidate(engine, workspace)
    folder = str(workspace) if found is None else found.workspace
    containers = engine.containers({LOCAL_FOLDER: folder})
    build = volume_name(os.getuid(), "build", Path(folder))
    mounted = {str(mount.get("Name")) for one in containers for mount in one.mounts if mount.get("Type") == "volume"}
    # A shared contract names its volumes by ${devcontainerId}; they are this workspace's alone, too.
    own = {name for name in mounted if workspace_hash(folder) in name or any(_is_its(one, name) for one in containers)}
    names = tuple(sorted(own | ({build} if engine.volume(build) is not None else set())))
    if not containers and not names:
        raise no_container(workspace)
    called = tuple(one.called for one in containers)
    return Down(folder, called, names if volumes else (), () if volumes else names)


def _is_its(container: ContainerSummary, volume: str) -> bool:
    from devbox.devcontainer.identity import CONFIG_FILE, devcontainer_id

    names = (LOCAL_FOLDER, CONFIG_FILE)
    return devcontainer_id({name: container.labels[name] for name in names if name in container.labels}) in volume


def down(engine: Engine, plan: Down, reporter: Reporter) -> Down:
    """Remove what `plan` lists. Volumes are removed by name, so the caller has shown them. Raises EngineError."""
    by_name = {one.called: one for one in engine.containers({LOCAL_FOLDER: plan.workspace})}
    for name in plan.containers:
        if name in by_name:
            with reporter.step(f"Removing the container {name}"):
                remove(engine, by_name[name].id)
    for name in plan.volumes:
        with reporter.step(f"Removing the volume {name}"):
            done = engine.run(["volume", "rm", name], check=False)
        if not done.ok and "no such volume" not in done.stderr.lower():
            raise EngineError(
                f"the volume {name} cannot be removed",
                hint=f"docker ps -a --filter volume={name}   # shows who uses it",
                detail=done.stderr.strip(),
            )
    return plan
