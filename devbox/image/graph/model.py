"""The graph of a Dockerfile: its stages, the images and contexts that they come from, and who reads from whom."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from devbox.errors import UsageError
from devbox.image.dockerfile.stages import sources_of
from devbox.values import dataclass

if TYPE_CHECKING:
    from devbox.image.dockerfile.stages import Stage, Stages

Kind = Literal["from", "copy", "mount"]
State = Literal["", "current", "stale", "absent"]


@dataclass(frozen=True, slots=True)
class Node:
    """A stage, an image of a registry, or a build context that has a name.

    `key` is unique in the graph, `name` what people call it; `line` is where it begins, 0 for an image. `default` marks
    what a build makes that names no stage. `state` is told where an engine was asked: whether the image of a stage is
    what the Dockerfile makes now. Sizes are in bytes: of the whole, and of what the stage itself adds.
    """

    key: str
    name: str
    kind: Literal["stage", "image", "context"]
    line: int = 0
    default: bool = False
    state: State = ""
    size: int | None = None
    own: int | None = None


@dataclass(frozen=True, slots=True)
class Edge:
    """`target` reads from `source`: it starts FROM it, copies files of it, or mounts it for the length of a RUN."""

    source: str
    target: str
    kind: Kind
    count: int = 1


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes, sources before what reads from them as the Dockerfile has them, and edges."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]

    def node(self, key: str) -> Node:
        """Return the node of a key. Raises KeyError."""
        return {node.key: node for node in self.nodes}[key]


def graph(stages: Stages, target: str | None = None, *, default: str | None = None) -> Graph:
    """Return the graph of all stages, or of those that a build of `target` needs. Raises UsageError without that stage.

    `default` is the stage that is built where none is named; None is the last one, as for docker.
    """
    chosen = stages.find(target) if target is not None else None
    if target is not None and chosen is None:
        known = ", ".join(stage.name for stage in stages.stages if stage.name)
        raise UsageError(f"the Dockerfile has no stage '{target}'", hint=f"one of {known}" if known else None)
    kept = list(stages.stages) if target is None else stages.needed(chosen)
    keys = node_keys(stages)
    nodes: dict[str, Node] = {}
    edges: Counter[tuple[str, str, Kind]] = Counter()
    usual = stages.find(default) if default is not None else None
    last = (chosen or usual or stages.stages[-1]).index if stages.stages else -1
    for stage in kept:
        for kind, source in _sources(stages, stage, keys):
            nodes.setdefault(source, Node(source, source.removeprefix("image "), "image"))
            edges[source, keys[stage.index], kind] += 1
        key = keys[stage.index]
        # A stage that is named before it is defined keeps its place in the file.
        nodes.pop(key, None)
        nodes[key] = Node(
            key, stage.shown, "context" if stage.empty else "stage", stage.start.line, default=stage.index == last
        )
    return Graph(tuple(nodes.values()), tuple(Edge(*edge, count) for edge, count in edges.items()))


def with_images(found: Graph, images: dict[str, tuple[State, int | None, int | None]]) -> Graph:
    """Return the graph with (state, size, own size) of the nodes that `images` knows, by their keys."""
    nodes = []
    for node in found.nodes:
        state, size, own = images.get(node.key, (node.state, node.size, node.own))
        nodes.append(replace(node, state=state, size=size, own=own))
    return replace(found, nodes=tuple(nodes))


def node_keys(stages: Stages) -> dict[int, str]:
    """Return each stage's key by its index: its name, where that is unique."""
    counted = Counter(stage.name for stage in stages.stages)
    return {
        stage.index: stage.name if stage.name and counted[stage.name] == 1 else f"{stage.name or 'stage'} {stage.index}"
        for stage in stages.stages
    }


def _sources(stages: Stages, stage: Stage, names: dict[int, str]) -> list[tuple[Kind, str]]:
    """Return what a stage reads from, by key; an image's is marked as one, since a stage may be called the same."""
    found: list[tuple[Kind, str]] = []
    if stage.parent is not None:
        found.append(("from", names[stage.parent]))
    elif stage.image:
        found.append(("from", f"image {stage.image}"))
    for instruction in stage.instructions:
        for kind, name in sources_of(instruction):
            other = stages.find(name)
            if other is not stage:
                source = f"image {name}" if other is None else names[other.index]
                found.append(("copy" if kind == "copy" else "mount", source))
    return found
