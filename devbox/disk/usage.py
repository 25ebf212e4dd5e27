"""`devbox du`: what devbox holds, by workspace, framework, image layer and cache."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from dataclasses import field
from typing import TYPE_CHECKING, Any

from devbox.container import memory
from devbox.container.desired import slug
from devbox.container.inside.find import labelled
from devbox.container.status import Status, status
from devbox.engine import usage
from devbox.engine.address import PROGRAM
from devbox.engine.api import FOUND
from devbox.files import folder_size
from devbox.image.building import copies
from devbox.image.building.source import copies_dir
from devbox.image.life import OwnImage, images, is_of
from devbox.paths import cache_dir, state_dir
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

    from devbox.engine.docker import Engine

JSON = dict[str, Any]

# The engine walks through all that it has.
SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class WorkspaceUse:
    """What a workspace holds, in bytes: what its containers wrote, its own image layers, its trees, its copy."""

    workspace: str
    exists: bool
    containers: int
    images: int
    trees: int
    copies: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.containers + self.images + self.trees + self.copies


@dataclass(frozen=True, slots=True)
class FrameworkUse:
    """The images of a framework: how many, their layers in bytes, and how much of that no other framework's share."""

    framework: str
    images: int
    size: int
    own: int


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer of devbox's images: bytes, the command that made it, and the images that have it."""

    size: int
    made_by: str
    images: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CacheUse:
    """A cache: where it is, in bytes, and what becomes of what is removed. None is what the engine did not tell."""

    name: str
    place: str
    size: int | None


@dataclass(frozen=True, slots=True)
class Usage:
    """What devbox holds. `total` counts each layer once; the build cache is the engine's, and others' too."""

    workspaces: tuple[WorkspaceUse, ...]
    frameworks: tuple[FrameworkUse, ...]
    layers: tuple[Layer, ...]
    caches: tuple[CacheUse, ...]
    total: int = field(default=0)


def measure(engine: Engine) -> Usage:
    """Add up what devbox holds on the engine and in the home. May take as long as the engine needs to walk through it.

    Raises EngineError.
    """
    memory.forget_looks()  # sizes that are known from before would do for others
    known, found = images(engine), status(engine)
    layers = _layers(engine, known)
    caches = [*_caches(engine, found), *_folders()]
    workspaces = _workspaces(engine, found, known, layers)
    total = sum(one.size for one in layers) + sum(one.size or 0 for one in caches if one.name != "build cache")
    total += sum(one.total - one.images for one in workspaces)
    by_size = tuple(sorted(layers, key=lambda one: -one.size))
    return Usage(workspaces, _frameworks(known, layers), by_size, tuple(caches), total)


def _layers(engine: Engine, known: Iterable[OwnImage]) -> list[Layer]:
    """Return the layers of images, each once. A layer is known by the history that leads to it, not by its place."""
    made: dict[str, tuple[int, str]] = {}
    holders: defaultdict[str, list[str]] = defaultdict(list)
    for image in known:
        chain = ""
        for step in reversed(_history(engine, image.id)):
            size, command = int(step.get("Size") or 0), str(step.get("CreatedBy") or "")
            said = f"{chain}\n{step.get('Created')}\n{command}\n{size}"
            chain = hashlib.sha256(said.encode(errors="replace")).hexdigest()
            if size:
                made[chain] = (size, command)
                holders[chain].append(image.shown)
    return [Layer(size, _in_short(command), tuple(holders[chain])) for chain, (size, command) in made.items()]


def _history(engine: Engine, image: str) -> list[JSON]:
    if engine.address.url == PROGRAM:
        # It tells of layers in words of its own.
        return []
    code, body = engine.ask(f"/images/{image}/history")
    # Removed since it was listed.
    return json.loads(body) if code == FOUND else []


def _in_short(command: str) -> str:
    """Return the command of a layer without what every one of them has."""
    words = command.removeprefix("/bin/sh -c ").removeprefix("#(nop) ").partition("# buildkit")[0].split()
    return " ".join(word for word in words if not word.startswith("--mount="))


def _workspaces(
    engine: Engine, found: Status, known: Iterable[OwnImage], layers: Iterable[Layer]
) -> tuple[WorkspaceUse, ...]:
    running = usage.of_kind(engine, "Containers", seconds=SECONDS) or ()
    written = {str(one.get("Id")): usage.told(one.get("Size")) or 0 for one in running}
    kept = copies.copies()
    names: dict[str, bool] = {one.workspace: one.workspace_exists for one in found.containers}
    names |= {one.workspace: bool(one.workspace_exists) for one in found.volumes if one.workspace is not None}
    names |= {str(one.checkout): one.checkout.is_dir() for one in kept if one.checkout is not None}
    uses = []
    for name, exists in names.items():
        own = {one.shown for one in known if is_of(one, slug(name.rpartition("/")[2]))}
        uses.append(
            WorkspaceUse(
                workspace=name,
                exists=exists,
                containers=sum(written.get(one.id, 0) for one in labelled(engine, name)),
                images=sum(one.size for one in layers if own.issuperset(one.images)),
                trees=sum(one.size or 0 for one in found.volumes if one.workspace == name),
                copies=sum(one.size for one in kept if str(one.checkout) == name),
            )
        )
    return tuple(sorted(uses, key=lambda one: (-one.total, one.workspace)))


def _frameworks(known: Iterable[OwnImage], layers: Iterable[Layer]) -> tuple[FrameworkUse, ...]:
    of: dict[str, str] = {one.shown: _framework(one) for one in known}
    uses = []
    for name in dict.fromkeys(of.values()):
        mine = [one for one in layers if any(of[image] == name for image in one.images)]
        own = sum(one.size for one in mine if all(of[image] == name for image in one.images))
        uses.append(FrameworkUse(name, sum(one == name for one in of.values()), sum(one.size for one in mine), own))
    return tuple(sorted(uses, key=lambda one: (-one.size, one.framework)))


def _framework(image: OwnImage) -> str:
    if image.kind == "base":
        return "package bases"
    if image.framework is not None:
        return image.framework
    name = image.names[0] if image.names else ""
    return name.removeprefix("devbox-").partition(":")[0] if name.startswith("devbox-") else "other images"


def _caches(engine: Engine, found: Status) -> list[CacheUse]:
    kept = [CacheUse(one.title, one.name, one.size) for one in found.volumes if one.kind == "cache"]
    lost = [one.size or 0 for one in found.volumes if one.kind == "build" and one.workspace is None]
    kept += (
        [CacheUse("trees", f"{len(lost)} volumes of workspaces that are not known any more", sum(lost))] if lost else []
    )
    steps = usage.of_kind(engine, "BuildCache", seconds=SECONDS)
    size = None if steps is None else sum(int(one.get("Size") or 0) for one in steps if not one.get("Shared"))
    return [*kept, CacheUse("build cache", "docker buildx du", size)]


def _folders() -> list[CacheUse]:
    """Return devbox's folders in the home, but for the copies of checkouts, which are their workspaces'."""
    found = [CacheUse("state", str(state_dir()), folder_size(state_dir()))]
    try:
        inner = sorted(one for one in cache_dir().iterdir() if one != copies_dir())
    except OSError:
        inner = []
    return [*found, *(CacheUse(one.name, str(one), folder_size(one)) for one in inner)]
