"""`devbox status`: dev containers, build volumes and caches of the user, with sizes, and what they belong to."""

from __future__ import annotations

import os
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from devbox.container import memory
from devbox.container.inside.find import labelled
from devbox.container.inside.probe import project_of, recorded
from devbox.container.target import CONFIG_FILE, LOCAL_FOLDER, folder_of
from devbox.devcontainer.compose.model import PROJECT, SERVICE
from devbox.devcontainer.identity import volume_name, workspace_hash
from devbox.devcontainer.spelling import host_spelling
from devbox.engine import usage
from devbox.files import may_exist
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from devbox.engine.docker import ContainerSummary, Engine

JSON = dict[str, Any]

# The engine walks through all volumes to learn their sizes.
_SIZES_SECONDS = 60.0
# Of one workspace nobody waits for that, nor where they are known from the last hour.
_SOON_SECONDS = 0.3
_FRESH_SECONDS = 3600.0
# What was added up a moment ago is not added up again.
_NOW_SECONDS = 30.0
_SIZES = "sizes"


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """A container of the compose project that a dev container is a service of. `service` is its name in there."""

    service: str
    name: str
    state: str
    status: str
    image: str


@dataclass(frozen=True, slots=True)
class ContainerStatus:
    """A dev container. `created` is in seconds since the epoch; `workspace_exists` tells whether its folder is there.

    `ours` is false for one that another tool made. `project` is its compose project, and `services` the containers
    beside it there.
    """

    id: str
    name: str
    state: str
    status: str
    created: int
    image: str
    workspace: str
    workspace_exists: bool
    contract: str
    framework: str | None
    ours: bool
    project: str | None = None
    services: tuple[ServiceStatus, ...] = ()


@dataclass(frozen=True, slots=True)
class VolumeStatus:
    """A volume of devbox's: a workspace's build trees, or a cache of all workspaces.

    `size` is in bytes, None where the engine does not tell; `created` in seconds since the epoch. `workspace` is the
    folder that a build volume belongs to, where that is known, and `workspace_exists` whether it is still there.
    `used_by` are the containers that mount it.
    """

    name: str
    kind: Literal["build", "cache"]
    title: str
    size: int | None
    created: int
    workspace: str | None
    workspace_exists: bool | None
    used_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Status:
    """Everything of the user's that devbox knows of; the volumes' sizes are of the moment `sized` (Unix time)."""

    containers: tuple[ContainerStatus, ...]
    volumes: tuple[VolumeStatus, ...]
    sized: float = 0.0


def status(engine: Engine, *, sizes: bool = True, workspace: str | None = None) -> Status:
    """Ask the engine for the dev containers and the user's volumes: all, or those of one workspace and what it mounts.

    `sizes` takes the engine a while on large volumes: where it takes long, they are what it said within the last hour,
    and with a `workspace` left out else.
    """
    # Of one workspace nothing is asked about others: the engine's lists take longer the more there are.
    summaries = engine.containers({LOCAL_FOLDER: None}) if workspace is None else labelled(engine, workspace)
    projects = {one.labels[PROJECT] for one in summaries if PROJECT in one.labels}
    asked = [{PROJECT: None}] if projects and workspace is None else [{PROJECT: name} for name in sorted(projects)]
    members = [one for labels in asked for one in engine.containers(labels)]
    containers = tuple(
        sorted((_container(one, members) for one in summaries), key=lambda one: (one.workspace, one.name))
    )
    uid = os.getuid()
    folders = _folders(one.workspace for one in containers)
    names = None
    if workspace is not None:
        mounted = {str(mount["Name"]) for one in summaries for mount in one.mounts if mount.get("Name")}
        names = {name for name in mounted if name.startswith(volume_name(uid, ""))}
        names.add(volume_name(uid, "build", workspace))
        folders[workspace_hash(workspace)] = workspace
    found, sized = _volumes(engine, uid, names, sizes=sizes)
    volumes = tuple(sorted((_volume(item, uid, folders, summaries) for item in found), key=_order))
    return Status(containers, volumes, sized)


def _order(volume: VolumeStatus) -> tuple[str, str, str]:
    return (volume.kind, volume.workspace or "", volume.name)


def _container(summary: ContainerSummary, members: Iterable[ContainerSummary]) -> ContainerStatus:
    labels = summary.labels
    project = project_of(labels)
    beside = [one for one in members if one.labels[PROJECT] == project and LOCAL_FOLDER not in one.labels]
    return ContainerStatus(
        id=summary.id,
        name=summary.called,
        state=summary.state,
        status=summary.status,
        created=summary.created,
        image=summary.image,
        workspace=folder_of(labels),
        workspace_exists=may_exist(folder_of(labels)),
        contract=host_spelling(labels.get(CONFIG_FILE, "")),
        framework=labels.get("devbox.framework") or None,
        ours=bool(recorded(labels)),
        project=project,
        services=tuple(sorted(map(_service, beside), key=lambda one: (one.service, one.name))),
    )


def _service(summary: ContainerSummary) -> ServiceStatus:
    service = summary.labels.get(SERVICE, "")
    return ServiceStatus(service, summary.called, summary.state, summary.status, summary.image)


def _folders(more: Iterable[str]) -> dict[str, str]:
    """Return the workspaces that are known, by the hash that their volumes' names carry."""
    return {workspace_hash(path): path for path in [*(one.path for one in memory.known()), *more]}


def _volume(item: JSON, uid: int, folders: Mapping[str, str], summaries: Iterable[ContainerSummary]) -> VolumeStatus:
    name = str(item["Name"])
    title = name.removeprefix(volume_name(uid, ""))
    is_build = title.startswith("build-")
    # What belongs to one workspace has its hash at the end.
    workspace = folders.get(title.rpartition("-")[2]) if "-" in title else None
    users = [summary.called for summary in summaries if any(mount.get("Name") == name for mount in summary.mounts)]
    return VolumeStatus(
        name=name,
        kind="build" if is_build else "cache",
        title="build" if is_build else title,
        size=usage.told(item.get("Size")),
        created=_seconds(str(item.get("CreatedAt", ""))),
        workspace=workspace,
        workspace_exists=None if workspace is None else may_exist(workspace),
        used_by=tuple(users),
    )


def _seconds(text: str) -> int:
    """Return the engine's time (RFC 3339) in seconds since the epoch, 0 where it tells none."""
    try:
        return int(datetime.fromisoformat(text).timestamp())
    except ValueError:
        return 0


def _volumes(engine: Engine, uid: int, names: Collection[str] | None, *, sizes: bool) -> tuple[list[JSON], float]:
    """Return the user's volumes, or those of these `names`, and of when their `Size` in bytes is, if they have one.

    Who asks for all waits for sizes where there are none from the last hour.
    """
    # First: as long as the engine adds sizes up, it may not answer what volumes there are.
    listed = engine.volumes(volume_name(uid, "")) if names is None else engine.inspect("volume", sorted(names))
    now = time.time()
    if not sizes or not listed:
        return listed, now
    before = memory.recall_look(_SIZES) or {}
    old = now - before.get("at", 0)
    is_known = 0 <= old < _FRESH_SECONDS and isinstance(before.get("sizes"), dict)
    if is_known and old < _NOW_SECONDS:
        return [{**one, "Size": before["sizes"].get(one["Name"])} for one in listed], before["at"]
    found = usage.of_kind(
        engine, "Volumes", seconds=_SIZES_SECONDS if names is None and not is_known else _SOON_SECONDS
    )
    if found is not None:
        before = {"at": now, "sizes": {str(one["Name"]): one["Size"] for one in found}}
        memory.remember_look(_SIZES, before)
    elif not is_known:
        return listed, now
    return [{**one, "Size": before["sizes"].get(one["Name"])} for one in listed], before["at"]
