"""The build trees of a workspace, as its container sees them."""

from __future__ import annotations

from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devbox.agent import protocol
from devbox.builds.talk import ask
from devbox.container.inside.find import running_container
from devbox.errors import EXIT_INTERRUPTED, DevboxError
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from devbox.agent.protocol import TreeTold
    from devbox.container.status import ContainerStatus
    from devbox.container.target import Target
    from devbox.engine.docker import Engine


@dataclass(frozen=True, slots=True)
class BuildTree:
    """One build tree: its size in bytes on disk, times in seconds since the epoch (0: unknown), and its key's inputs.

    `states` are the other configurations in which it is kept; their bytes are in its size.
    `built` is when it was last used. `state` is that of the last attempt: `closed`, `open` (cut off, or under way if
    `building`) or `unknown` (no record).
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
    states: int = 0

    @property
    def outcome(self) -> str:
        """Its state in a word, for people."""
        if self.building:
            return "building"
        if self.code > 0:
            return "interrupted" if self.code == EXIT_INTERRUPTED else "failed"
        return {"closed": "ready", "open": "interrupted"}.get(self.state, self.state)

    @property
    def in_use(self) -> str:
        """Why it is in use, "" if it is not: it is being built, or it is the one that was built last."""
        return "is being built" if self.building else "is the tree that was built last" if self.current else ""


@dataclass(frozen=True, slots=True)
class PastAttempt:
    """One attempt in a tree's history that did something: when, for how long (seconds), how it ended, and why."""

    start: float
    seconds: float
    code: int
    compiled: int
    reasons: tuple[str, ...]
    client: str = ""


@dataclass(frozen=True, slots=True)
class TreeDetails:
    """What a tree was configured from (cmake's arguments and variables), how many sources, and its history."""

    sources: int
    configured: bool
    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(hash=False)
    history: tuple[PastAttempt, ...] = ()


def tree_of(found: TreeTold) -> BuildTree:
    """Make the tree from the agent's words."""
    return BuildTree(
        key=found.key,
        path=found.path,
        size=found.bytes,
        current=found.current,
        building=found.building,
        state=found.state,
        created=found.created / 1e9,
        built=found.built / 1e9,
        code=found.code,
        inputs=found.inputs,
        states=found.states,
    )


def details_of(found: TreeTold) -> TreeDetails:
    """Make the details from the agent's words."""
    return TreeDetails(
        sources=found.sources,
        configured=found.configured,
        arguments=tuple(found.arguments),
        environment=found.environment,
        history=tuple(
            PastAttempt(one.start / 1e9, one.seconds or 0.0, one.code, one.compiled, tuple(one.reasons), one.client)
            for one in found.history
        ),
    )


def trees(target: Target, engine: Engine) -> tuple[BuildTree, ...]:
    """Return the build trees in the container's volume, by key. Raises BuildError if the container cannot be asked."""
    return tuple(map(tree_of, ask(protocol.List(), target, engine).trees))


def trees_of(engine: Engine, containers: Iterable[ContainerStatus]) -> dict[str, tuple[BuildTree, ...]]:
    """Return the build trees of each of the running containers that has a build volume, by workspace.

    A container that cannot be asked, because it has no Python or is just being removed, has none.
    """
    found = {}
    for container in containers:
        try:
            found[container.workspace] = trees(running_container(engine, Path(container.workspace)), engine)
        except DevboxError:
            continue
    return {workspace: ones for workspace, ones in found.items() if ones}
