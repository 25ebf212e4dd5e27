"""Names on the engine that are somebody else's already: looked up right before something is made by them.

What a name stands for is not in any file. Those of devbox's own volumes say whose they are, and are judged as mounts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from devbox.devcontainer.compose.model import PROJECT
from devbox.trust.reach import Reach
from devbox.trust.sources import mounts_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from devbox.devcontainer.compose.model import Project
    from devbox.engine.docker import Engine
    from devbox.engine.spec import ContainerSpec

    JSON = dict[str, Any]

_OWN = "devbox-"


class Names(NamedTuple):
    """The names by which something is to be used or made, other than those that docker compose makes for `project`."""

    project: str | None = None
    volumes: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    images: tuple[str, ...] = ()


def of_spec(spec: ContainerSpec) -> Names:
    """Return the names of the volumes that a container mounts."""
    found = {one.source for one in mounts_of(spec) if one.type == "volume" and one.source}
    return Names(volumes=_foreign(found))


def of_project(project: Project) -> Names:
    """Return the names of a project's volumes and networks that are not its own by their form."""

    def named(kind: str) -> Iterator[str]:
        for key, item in (project.config.get(kind) or {}).items():
            name = str((item or {}).get("name") or key)
            if name != f"{project.name}_{key}" and not (kind == "networks" and (item or {}).get("external")):
                yield name

    images = [tag for service in project.config["services"].values() for tag in _tags(service)]
    return Names(project.name, _foreign(named("volumes")), tuple(sorted(set(named("networks")))), tuple(images))


def of_build(project: Project) -> Names:
    """Return the names that docker compose gives to the image of the project's own service when it builds it."""
    tags = (project.definition.get("build") or {}).get("tags") or ()
    given = [project.definition["image"]] if project.definition.get("image") else []
    return Names(project.name, images=(*given, *map(str, tags)))


def _tags(service: JSON) -> Iterator[str]:
    """Yield the names that an image gets. What is there by a service's own name is used, unless it is always built."""
    build = service.get("build") or {}
    yield from map(str, build.get("tags") or ())
    if build and service.get("pull_policy") == "build" and service.get("image"):
        yield str(service["image"])


def _foreign(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(name for name in set(names) if not name.startswith(_OWN)))


def taken(names: Names, engine: Engine) -> Iterator[Reach]:
    """Yield which of `names` belong to somebody else on the engine."""
    for name in names.volumes:
        owner = _owner(engine.volume(name))
        if owner not in {None, "", names.project}:
            yield Reach("volume", name, f"mounts {name}, a volume of the compose project {owner}")
    for name in names.networks:
        owner = _owner(engine.network(name))
        if owner not in {None, names.project}:
            said = f"joins the network {name}, which is there already: what is in it can be reached, and reaches it"
            yield Reach("network", name, said)
    for name in names.images:
        owner = _owner(engine.image(name))
        if owner not in {None, names.project}:
            yield Reach("name", name, f"gives the name {name} to an image of its own; another one has it now")


def _owner(inspected: JSON | None) -> str | None:
    """Return the compose project that something is of, "" where it is of none, None where there is no such thing."""
    if inspected is None:
        return None
    labels = inspected.get("Labels") or (inspected.get("Config") or {}).get("Labels") or {}
    return str(labels.get(PROJECT) or "")
