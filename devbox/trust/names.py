"""Names on the engine that are somebody else's already: looked up right before something is used or made by them.

What a name stands for is in no file, and in no spelling. It is this workspace's where devbox has made it for it, or
where none but its containers use it. All else that is there is another's.
"""

from __future__ import annotations

import ipaddress
import re
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from devbox.devcontainer.compose.model import PROJECT
from devbox.engine.api import socket_path
from devbox.facts.routes import gather
from devbox.trust import grants
from devbox.trust.containers import is_devboxes
from devbox.trust.reach import Reach, is_inside
from devbox.trust.sources import mounts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from devbox.devcontainer.compose.model import Project
    from devbox.devcontainer.compose.override import ProjectSpec
    from devbox.engine.docker import ContainerSummary, Engine
    from devbox.engine.spec import ContainerSpec

    JSON = dict[str, Any]

# What devbox and editors call the images that they make, and docker what reads Dockerfiles, however docker's own
# registry is written before it.
_TOOLS = re.compile(
    r"(?:(?:[\w.-]*docker\.io/)?library/|[\w.-]*docker\.io/)?(?:(?:devbox|vsc)-|docker/dockerfile)", re.IGNORECASE
)
_FOLDER = "com.docker.compose.project.working_dir"
# What tells a thing from a later one of its name. An image is made again by each build: there it is who has made it.
_SAME = {"volume": "CreatedAt", "network": "Id"}


class Names(NamedTuple):
    """The names by which something is to be used or made. `project` is a compose project, `folder` that of its files.

    `subnets` are the addresses to be taken, each with its network. Volumes that are devbox's by their names are judged
    by these, as mounts.
    """

    project: str | None = None
    folder: str = ""
    volumes: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    subnets: tuple[tuple[str, str], ...] = ()


def of_spec(spec: ContainerSpec) -> Names:
    """Return the names of the volumes that a container mounts."""
    return Names(volumes=_named(one.source for one in mounts_of(spec) if one.type == "volume"))


def of_project(project: Project, spec: ProjectSpec | None = None) -> Names:
    """Return the names of all that docker compose uses or makes for a project, with the override of `spec` on top."""

    def named(kind: str) -> dict[str, JSON]:
        found = project.config.get(kind) or {}
        # A contract's own volume gets the name that docker compose makes of the project's and it.
        more = {key.replace("$$", "$"): None for key in (spec.override if spec else {}).get(kind) or {}}
        whole = {**{key: {"name": f"{project.name}_{key}"} for key in more}, **found}
        return {str((item or {}).get("name") or key): item or {} for key, item in whole.items()}

    # Whoever names a network that is there is asked for it by its name.
    networks = {name: network for name, network in named("networks").items() if not network.get("external")}
    return _of(project)._replace(
        volumes=_named(named("volumes")),
        networks=_named(networks),
        images=_named(tag for service in project.config["services"].values() for tag in _tags(service)),
        subnets=tuple((name, subnet) for name, network in networks.items() for subnet in _subnets(network)),
    )


def _subnets(network: JSON) -> list[str]:
    """Return the addresses that a network is to take, or has: as docker compose writes them, and the engine."""
    found = (network.get("ipam") or {}).get("config") or (network.get("IPAM") or {}).get("Config") or ()
    texts = (one.get("subnet") or one.get("Subnet") for one in found)
    networks = []
    for text in texts:
        # What is no network docker refuses itself.
        with suppress(ValueError):
            networks.append(str(ipaddress.ip_network(str(text), strict=False)))
    return networks


def of_build(project: Project) -> Names:
    """Return the names that docker compose gives to the image of the project's own service when it builds it."""
    tags = (project.definition.get("build") or {}).get("tags") or ()
    return _of(project)._replace(images=_named([project.image, *map(str, tags)]))


def _of(project: Project) -> Names:
    return Names(project.name, str(project.sources.files[0].parent))


def _tags(service: JSON) -> Iterator[str]:
    """Yield the names that an image gets. What is there by a service's own name is used, unless it is always built."""
    build = service.get("build") or {}
    yield from map(str, build.get("tags") or ())
    if build and service.get("pull_policy") == "build" and service.get("image"):
        yield str(service["image"])


def _named(names: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(sorted({name for name in names if name and not is_devboxes(name)}))


class _Engine:
    """What is on the engine by these names, and whether it is the workspace's. `is_ours` knows its dev containers."""

    def __init__(
        self, names: Names, engine: Engine, workspace: Path, is_ours: Callable[[ContainerSummary], bool]
    ) -> None:
        self.names, self.engine, self.workspace, self._is_ours = names, engine, workspace, is_ours
        self.claims = grants.claims(workspace)

    @cached_property
    def containers(self) -> tuple[ContainerSummary, ...]:
        return self.engine.containers({})

    @cached_property
    def ours(self) -> frozenset[str]:
        return frozenset(one.id for one in self.containers if self._is_ours(one) or self._is_of_project(one))

    def _is_of_project(self, one: ContainerSummary) -> bool:
        """Tell whether docker compose has made a container by files of the workspace."""
        folder = one.labels.get(_FOLDER)
        if folder is None or one.labels.get(PROJECT) != self.names.project:
            return False
        known = is_inside(folder, self.workspace) or self.claims.get(f"project {self.names.project}") == folder
        # An image can carry any label; docker compose gives none to images that says where.
        return known and _FOLDER not in _labels(self.engine.image(one.image_id) or {})

    def neighbours(self) -> Iterator[ContainerSummary]:
        """Yield the containers of a project of the same name that is not the workspace's."""
        for one in self.containers:
            if one.labels.get(PROJECT) == self.names.project and one.id not in self.ours:
                yield one

    def found(self, kind: str) -> Iterator[tuple[str, JSON]]:
        """Yield those of the names of a kind that are there, as the engine inspects them."""
        look = {"volume": self.engine.volume, "network": self.engine.network, "image": self.engine.image}[kind]
        for name in getattr(self.names, f"{kind}s"):
            if (there := look(name)) is not None:
                yield name, there

    def others(self, kind: str) -> Iterator[tuple[str, JSON]]:
        """Yield what is there and is not the workspace's."""
        for name, there in self.found(kind):
            if self.claims.get(f"{kind} {name}") != _identity(kind, there):
                users = set(self._users(kind, name, there))
                if not users or not users <= self.ours:
                    yield name, there

    def _users(self, kind: str, name: str, there: JSON) -> Iterator[str]:
        if kind == "volume":
            for one in self.containers:
                if any(mount.get("Type") == "volume" and mount.get("Name") == name for mount in one.mounts):
                    yield one.id
        elif _labels(there).get(PROJECT) != self.names.project:
            yield ""
        elif kind == "image":
            yield from (one.id for one in self.containers if one.id in self.ours and one.image_id == there["Id"])
        else:
            yield from there.get("Containers") or ()
            for item in self.engine.inspect("container", sorted(self.ours)):
                if name in (item["NetworkSettings"].get("Networks") or {}):
                    yield item["Id"]

    def routes(self) -> Iterator[tuple[str, str, str]]:
        """Yield each network that is to be made, its addresses, and what this machine reaches by these now."""
        for name, subnet in self.names.subnets:
            if subnet in _subnets(self.engine.network(name) or {}):
                continue
            if socket_path(self.engine.environ) is None:
                yield name, subnet, "what the engine's machine reaches by them, which is not known here"
                continue
            wanted = ipaddress.ip_network(subnet)
            for route in sorted(map(str, gather())):
                if (there := ipaddress.ip_network(route)).version == wanted.version and there.overlaps(wanted):
                    yield name, subnet, route
                    break


def taken(
    names: Names, engine: Engine, workspace: Path, is_ours: Callable[[ContainerSummary], bool]
) -> Iterator[Reach]:
    """Yield which of `names` belong to somebody else on the engine. `is_ours` knows the workspace's dev containers."""
    there = _Engine(names, engine, workspace, is_ours)
    if names.project is not None and (others := [one.labels.get(_FOLDER) or one.called for one in there.neighbours()]):
        where = ", ".join(sorted(set(others)))
        said = f"calls its compose project {names.project}, which is that of {where}: containers there are replaced"
        yield Reach("name", f"project {names.project}", said, where)
    for name, volume in there.others("volume"):
        owner = _labels(volume).get(PROJECT)
        whose = f"a volume of the compose project {owner}" if owner else "a volume that is there already, somebody's"
        yield Reach("volume", name, f"mounts {name}, {whose}")
    for name, _ in there.others("network"):
        said = f"joins the network {name}, which is there already: what is in it can be reached, and reaches it"
        yield Reach("network", name, said)
    for name, subnet, route in there.routes():
        said = f"the network {name} takes the addresses {subnet}, and with them the host's way to {route}"
        yield Reach("network", f"{name} {subnet}", said, route)
    # What docker compose calls an image by itself is no name of theirs, which have a tag.
    begins = f"{names.project}-" if (names.project or "").startswith("devbox-") else "-"
    plain = {name for name in names.images if name.startswith(begins) and ":" not in name}
    known = {name for name in names.images if f"image {name}" in there.claims}
    tools = [name for name in names.images if _TOOLS.match(name) and name not in plain | known]
    for name in tools:
        yield Reach("name", name, f"gives the name {name} to an image of its own; by such names tools know theirs")
    for name in (name for name, _ in there.others("image") if name not in tools):
        yield Reach("name", name, f"gives the name {name} to an image of its own; another one has it now")


def claim(names: Names, engine: Engine, workspace: Path) -> None:
    """Remember what there is by `names` as the workspace's: it was made for it, or was agreed to."""
    there = _Engine(names, engine, workspace, lambda _: False)
    things = {
        f"{kind} {name}": _identity(kind, it)
        for kind in ("volume", "network", "image")
        for name, it in there.found(kind)
    }
    project = {f"project {names.project}": names.folder} if names.folder else {}
    grants.claim(workspace, {**things, **project})


def _identity(kind: str, inspected: JSON) -> str:
    return _labels(inspected).get(PROJECT, "") if kind == "image" else str(inspected.get(_SAME[kind]))


def _labels(inspected: JSON) -> dict[str, str]:
    return inspected.get("Labels") or (inspected.get("Config") or {}).get("Labels") or {}
