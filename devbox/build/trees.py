"""The build trees of a workspace, as its container sees them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from devbox.build.talk import ask

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from devbox.container.status import ContainerStatus
    from devbox.container.target import Target
    from devbox.engine.docker import Engine


@dataclass(frozen=True, slots=True)
class BuildTree:
    """One build tree: its size in bytes on disk, times in seconds since the epoch (0: unknown), and its key's inputs.

    `state` is that of the last attempt: `closed`, `open` (cut off, or under way if `building`) or `unknown` (no
    record).
    """

    key: str
    path: str
    size: int
    current: bool
    building: bool
    state: str
    created: float
    built: float
    code: int
    inputs: Mapping[str, Any] = field(hash=False)


def trees(target: Target, engine: Engine) -> tuple[BuildTree, ...]:
    """Return the build trees in the container's volume, by key. Raises BuildError if the container cannot be asked."""
    for event in ask({"command": "list"}, target, engine):
        if event["event"] == "result":
            return tuple(
                BuildTree(
                    key=tree["key"],
                    path=tree["path"],
                    size=tree["bytes"],
                    current=tree["current"],
                    building=tree["building"],
                    state=tree["state"],
                    created=tree["created"] / 1e9,
                    built=tree["built"] / 1e9,
                    code=tree["code"],
                    inputs=tree["inputs"],
                )
                for tree in event["trees"]
            )
    return ()


def all_trees(engine: Engine, containers: Iterable[ContainerStatus]) -> dict[str, tuple[BuildTree, ...]]:
    """Return the build trees of each of the running containers that has a build volume, by workspace.

    A container that cannot be asked, because it has no Python or is just being removed, has none.
    """
    from pathlib import Path

    from devbox.container.target import find
    from devbox.errors import DevboxError

    found = {}
    for container in containers:
        try:
            found[container.workspace] = trees(find(engine, Path(container.workspace)), engine)
        except DevboxError:
            continue
    return {workspace: ones for workspace, ones in found.items() if ones}
