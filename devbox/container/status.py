"""`devbox status`: dev containers, build volumes and caches of the user, with sizes, and what they belong to."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from devbox.container import memory
from devbox.container.inside.probe import project_of, recorded
from devbox.container.target import CONFIG_FILE, LOCAL_FOLDER, folder_of
from devbox.devcontainer.compose.model import PROJECT, SERVICE
from devbox.devcontainer.identity import volume_name, workspace_hash
from devbox.devcontainer.spelling import host_spelling
from devbox.engine import usage
from devbox.files import may_exist

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from devbox.engine.docker import ContainerSummary, Engine

JSON = dict[str, Any]

# The engine walks through all volumes to learn their sizes.
_SIZES_SECONDS = 60.0
# Of one workspace nobody waits for that.
_SOON_SECONDS = 0.3


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
    """Everything of the user's that devbox knows of."""

    containers: tuple[ContainerStatus, ...]
    volumes: tuple[VolumeStatus, ...]


def status(engine: Engine, *, sizes: bool = True, workspace: str | None = None) -> Status:
    """Ask the engine for the dev containers and the user's volumes: all, or those of one workspace and what it mounts.

    `sizes` takes the engine a while on large volumes; with a `workspace` they are left out where it takes long.
    """
    summaries = engine.containers({LOCAL_FOLDER: None})
    if workspace is not None:
        summaries = tuple(one for one in summaries if folder_of(one.labels) == workspace)
    # Asked only where it is needed: the engine's list takes longer the more containers there are.
    members = engine.containers({PROJECT: None}) if any(PROJECT in one.labels for one in summaries) else ()
    containers = tuple(
        sorted((_container(one, members) for one in summaries), key=lambda one: (one.workspace, one.name))
    )
    uid = os.getuid()
    listed = _volumes(engine, uid, sizes=sizes, seconds=_SIZES_SECONDS if workspace is None else _SOON_SECONDS)
    found = [item for item in listed if str(item["Name"]).startswith(volume_name(uid, ""))]
    folders = _folders(one.workspace for one in containers)
    if workspace is not None:
        mounted = {str(mount.get("Name")) for one in summaries for mount in one.mounts}
        names = {*mounted, volume_name(uid, "build", workspace)}
        found = [item for item in found if item["Name"] in names]
        folders[workspace_hash(workspace)] = workspace
    return Status(containers, tuple(sorted((_volume(item, uid, folders, summaries) for item in found), key=_order)))


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


def _volumes(engine: Engine, uid: int, *, sizes: bool, seconds: float) -> list[JSON]:
    """Return the volumes of the engine, with a `Size` in bytes where it is asked for and told within `seconds`."""
    found = usage.of_kind(engine, "Volumes", seconds=seconds) if sizes else None
    if found is not None:
        return found
    listed = engine.run(["volume", "ls", "--quiet", "--filter", f"name={volume_name(uid, '')}"]).stdout.split()
    return engine.inspect("volume", listed)
