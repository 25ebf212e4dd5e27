"""`devbox stop` and `devbox down`: a dev container stopped, or removed. Build trees and caches stay unless named.

A dev container that is a service of a compose project goes together with the other services, as `shutdownAction` says
of the window of an IDE: they were started for it. It goes alone where its contract says `stopContainer`, or where
another checkout's dev container is in the same project.
"""

from __future__ import annotations

import os
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devbox.container import memory, ports, which
from devbox.container.inside.find import candidate, containers_of, is_for_one_command
from devbox.container.inside.probe import project_of
from devbox.container.project import forget, last_projects
from devbox.container.target import HELPER, LOCAL_FOLDER, ONE_SHOT, folder_of, no_container
from devbox.container.up.apply import remove
from devbox.devcontainer.compose.model import PROJECT
from devbox.devcontainer.identity import CONFIG_FILE, devcontainer_id, volume_name, workspace_hash
from devbox.devcontainer.merge import image_metadata
from devbox.devcontainer.writing.compose_file import OWN_VOLUME
from devbox.errors import DevboxError, EngineError
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from devbox.container.target import Candidate
    from devbox.engine.docker import ContainerSummary, Engine
    from devbox.reporter import Reporter

JSON = dict[str, Any]

STOP_SECONDS = 10
# How long a helper may look into a volume that is to be removed.
HELPER_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Stopped:
    """The containers of a workspace by name: those that were stopped now, and those that were not running."""

    workspace: str
    stopped: tuple[str, ...]
    idle: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Down:
    """What `down` removes: containers and volumes by name, and compose `projects` with their `services` and networks.

    `kept` are the workspace's volumes that stay. The caches belong to all workspaces of the user; they are in neither
    list.
    """

    workspace: str
    containers: tuple[str, ...]
    volumes: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()
    services: tuple[str, ...] = ()

    def lines(self, engine: Engine) -> list[str]:
        """Return the docker commands."""
        return [
            *(engine.line(engine.removal(name)) for name in self.containers),
            *(engine.line(_down_args(project)) for project in self.projects),
            *(engine.line(engine.volume_removal(name)) for name in self.volumes),
        ]


def _none(workspace: Path) -> DevboxError:
    """Return the error for a checkout without a dev container, and where there may be one that was meant."""
    error = no_container(workspace)
    error.hint = "devbox status --all   # lists those of every workspace"
    former = which.formerly(workspace)
    if former is not None:
        error = DevboxError(
            f"{error.message}: its contract was written for {former}",
            hint=f"devbox down {shlex.quote(former)}" if former.startswith("/") else "devbox status --all",
        )
    return error


def _candidate(engine: Engine, workspace: Path) -> Candidate | None:
    """Return the dev container of a folder or of one above it; of a folder that is gone its own alone."""
    found = candidate(engine, workspace)
    return None if found is not None and not workspace.is_dir() and found.workspace != str(workspace) else found


def _containers(engine: Engine, workspace: Path) -> tuple[str, tuple[ContainerSummary, ...]]:
    """Return the folder whose dev containers are meant, this one or one above it, and these containers."""
    found = _candidate(engine, workspace)
    if found is None:
        raise _none(workspace)
    return found.workspace, containers_of(engine, found.workspace)


def _projects(
    engine: Engine, folder: str, containers: Sequence[ContainerSummary]
) -> dict[str, tuple[ContainerSummary, ...]]:
    """Return the compose projects that go together with these dev containers, and the containers of each."""
    names = {name for one in containers if (name := project_of(one.labels)) and not _goes_alone(one)}
    found = {name: engine.containers({PROJECT: name}) for name in sorted(names)}
    return {
        name: members
        for name, members in found.items()
        if all(LOCAL_FOLDER not in one.labels or folder_of(one.labels) == folder for one in members)
    }


def _goes_alone(container: ContainerSummary) -> bool:
    said = [entry["shutdownAction"] for entry in image_metadata(container.labels) if "shutdownAction" in entry]
    return said[-1:] == ["stopContainer"]


def stop(engine: Engine, workspace: Path, reporter: Reporter) -> Stopped:
    """Stop the dev containers of a workspace, and their compose projects. Raises DevboxError if there is none."""
    folder, containers = _containers(engine, workspace)
    projects = _projects(engine, folder, containers)
    members = {one.id: one for group in (containers, *projects.values()) for one in group}
    # The engine's list is a copy that may be a moment old: right after a stop it still says "running".
    states = {one["Id"]: one["State"]["Status"] for one in engine.inspect("container", list(members))}
    running = [one for one in members.values() if states.get(one.id) in engine.busy]
    for project in projects:
        if any(project_of(one.labels) == project for one in running):
            with reporter.step(f"Stopping the services of {project}"):
                engine.run(["compose", "--project-name", project, "stop", "--timeout", str(STOP_SECONDS)])
    for container in running:
        if project_of(container.labels) not in projects:
            with reporter.step(f"Stopping the container {container.called}"):
                engine.run(engine.stopping(container.id, STOP_SECONDS))
    ports.end(engine, Path(folder))
    idle = tuple(one.called for one in members.values() if one not in running)
    return Stopped(folder, tuple(one.called for one in running), idle)


def plan_down(engine: Engine, workspace: Path, *, volumes: bool = False) -> Down:
    """Return what `down` would remove, to be shown and agreed to first where `volumes` is set.

    A workspace whose container is gone already may still have its volumes. Raises DevboxError if there is nothing.
    """
    found = _candidate(engine, workspace)
    here = which.workspace(workspace) if workspace.is_dir() else workspace
    folder = str(here) if found is None else found.workspace
    containers = containers_of(engine, folder)
    if engine.is_cluster:
        return _down_of_pods(engine, folder, containers, volumes=volumes)
    projects = _projects(engine, folder, containers)
    composed = tuple(projects)
    if not projects:
        projects, composed = _left(engine, Path(folder))
    services = [one for members in projects.values() for one in members]
    alone = [one for one in containers if project_of(one.labels) not in projects]
    build = volume_name(os.getuid(), "build", Path(folder))
    mounted = {str(mount.get("Name")) for one in containers for mount in one.mounts if mount.get("Type") == "volume"}
    # A shared contract names its volumes by ${devcontainerId}; they are this workspace's alone, too.
    own = {name for name in mounted if workspace_hash(folder) in name or any(_is_its(one, name) for one in containers)}
    own |= {name for project in composed for name in _volumes(engine, project)}
    names = tuple(sorted(own | ({build} if engine.volume(build) is not None else set())))
    if not alone and not projects and not names:
        raise _none(workspace)
    return Down(
        folder,
        tuple(one.called for one in alone),
        names if volumes else (),
        () if volumes else names,
        tuple(projects),
        tuple(one.called for one in services),
    )


def _down_of_pods(engine: Engine, folder: str, pods: Sequence[ContainerSummary], *, volumes: bool) -> Down:
    """Return what `down` would delete on a cluster: the pods, and with `volumes` the claim that has all of it."""
    from devbox.engine.kubernetes.cluster import Cluster

    assert isinstance(engine, Cluster)  # noqa: S101  # it says so
    names = tuple(sorted(str(one["metadata"]["name"]) for one in engine.claims(workspace_hash(folder))))
    if not pods and not names:
        raise _none(Path(folder))
    return Down(folder, tuple(one.called for one in pods), names if volumes else (), () if volumes else names)


def _left(engine: Engine, folder: Path) -> tuple[dict[str, tuple[ContainerSummary, ...]], tuple[str, ...]]:
    """Return what is left of the projects that were started for a workspace, and the names of them, for their volumes.

    That is other services, or the network alone where nothing could be made. After `down` whatever runs in a project
    was started by hand, and only the volumes that it left are meant.
    """
    found: dict[str, tuple[ContainerSummary, ...]] = {}
    names = []
    for last in last_projects(folder):
        members = engine.containers({PROJECT: last.name})
        if any(LOCAL_FOLDER in one.labels for one in members):
            continue
        names.append(last.name)
        if not last.is_down and (members or _has_network(engine, last.name)):
            found[last.name] = members
    return found, tuple(names)


def _has_network(engine: Engine, project: str) -> bool:
    return bool(engine.run(["network", "ls", "--quiet", "--filter", f"label={PROJECT}={project}"]).stdout.split())


def _volumes(engine: Engine, project: str) -> list[str]:
    """Return the volumes that docker compose made for a project.

    What is called like a cache belongs to all, and what the person has mounted to the person.
    """
    shown = '{{.Name}} {{.Label "com.docker.compose.volume"}}'
    listed = engine.run(["volume", "ls", "--filter", f"label={PROJECT}={project}", "--format", shown])
    named = (line.partition(" ") for line in listed.stdout.splitlines())
    caches = volume_name(os.getuid(), "")
    return [name for name, _, key in named if not name.startswith(caches) and not key.startswith(OWN_VOLUME)]


def _is_its(container: ContainerSummary, volume: str) -> bool:
    names = (LOCAL_FOLDER, CONFIG_FILE)
    return devcontainer_id({name: container.labels[name] for name in names if name in container.labels}) in volume


def _down_args(project: str) -> list[str]:
    return ["compose", "--project-name", project, "down", "--timeout", str(STOP_SECONDS)]


def down(engine: Engine, plan: Down, reporter: Reporter) -> Down:
    """Remove what `plan` lists. Volumes are removed by name, so the caller has shown them. Raises EngineError.

    What others have removed meanwhile is no failure: of several at once, each finds what it wanted.
    """
    with memory.lock(Path(plan.workspace), reporter):
        memory.forget_looks()
        by_name = {one.called: one for one in containers_of(engine, plan.workspace)}
        for name in plan.containers:
            if name in by_name:
                with reporter.step(f"Removing the container {name}"):
                    remove(engine, by_name[name].id)
        for project in plan.projects:
            members = engine.containers({PROJECT: project})
            services = ", ".join(one.called for one in members)
            what = f"services of {project}: {services}" if members else f"network of {project}"
            with reporter.step(f"Removing the {what}"):
                engine.run(_down_args(project))
            for one in members:
                forget(one.labels, keep_name=bool(plan.kept))
                memory.forget_container(one.id)
        ports.end(engine, Path(plan.workspace))
        for name in plan.volumes:
            with reporter.step(f"Removing the volume {name}"):
                _remove_volume(engine, name, plan.workspace)
    return plan


def _remove_volume(engine: Engine, name: str, workspace: str) -> None:
    """Remove a volume. What devbox itself has in it for a moment is waited for, and what it left there is removed.

    Raises EngineError where somebody else uses it.
    """
    deadline = time.monotonic() + HELPER_SECONDS
    while True:
        done = engine.run(engine.volume_removal(name), check=False)
        if done.ok or "no such volume" in done.stderr.lower():
            memory.forget_image(name)
            return
        listed = engine.run(["ps", "--all", "--quiet", "--no-trunc", "--filter", f"volume={name}"], check=False)
        users = engine.inspect("container", listed.stdout.split())
        idle = [one for one in users if _was_left(engine, one, workspace)]
        busy = [one for one in users if one not in idle and HELPER not in (one["Config"]["Labels"] or {})]
        if busy or time.monotonic() > deadline:
            raise EngineError(
                f"the volume {name} cannot be removed",
                hint=f"docker ps -a --filter volume={name}   # shows who uses it",
                detail=done.stderr.strip(),
            )
        for one in idle:
            remove(engine, one["Id"])
        time.sleep(0.1)


def _was_left(engine: Engine, inspected: JSON, workspace: str) -> bool:
    """Tell whether a container is devbox's own for one command, and was left by one that was killed."""
    labels = inspected["Config"]["Labels"] or {}
    ours = HELPER in labels or labels.get(ONE_SHOT) == workspace
    ended = inspected["State"]["Status"] not in engine.busy
    return ours and ended and is_for_one_command(engine, labels, inspected["Image"])
