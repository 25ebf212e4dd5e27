"""ninja's graph of what is made from what, read from its files, and the longest chain of commands in a build.

`ninja -t graph` prints the same for programs that draw; reading the files is quicker, and includes the headers.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from . import deps as ninja_deps
from . import manifest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .output import Command


class Edge(NamedTuple):
    """A build statement: what it makes, by which rule, from which `sources`, and all `inputs` that it waits for."""

    outputs: list[str]
    rule: str
    sources: list[str]
    inputs: list[str]


def edges(path: str) -> Iterator[Edge]:
    """Yield the build statements of a ninja file and of those that it includes; none where it cannot be read."""
    for one in manifest.read(path).statements:
        yield Edge(one.outputs, one.rule, one.sources[: one.explicit], [*one.sources, *one.order])


class Graph(NamedTuple):
    """For each output its inputs, and the first source of its statement."""

    inputs: dict[str, list[str]]
    source: dict[str, str]


def read(tree: str) -> Graph:
    """Read the graph of a build tree, with the headers that compilers named."""
    graph = Graph({}, {})
    for edge in edges(os.path.join(tree, "build.ninja")):
        for output in edge.outputs:
            graph.inputs[output] = edge.inputs
            if edge.sources and edge.rule != "phony":
                graph.source[output] = edge.sources[0]
    deps = ninja_deps.read(tree)
    for made_one, inputs in deps.outputs:
        made = [deps.paths[one] for one in inputs if deps.paths[one] in graph.inputs]
        if made:
            name = deps.paths[made_one]
            graph.inputs[name] = [*graph.inputs.get(name, ()), *made]
    return graph


def critical_path(commands: Sequence[Command], inputs: Mapping[str, Sequence[str]]) -> list[int]:
    """Return the commands, by their index, of the chain that takes the longest: no number of jobs makes it shorter.

    A command waits for those that made its inputs, through statements that ran nothing this time. `commands` are in
    the order in which they ended, so each comes after those that it waited for.
    """
    makers = {output: index for index, command in enumerate(commands) for output in command.outputs}
    length: list[float] = []
    before: list[int] = []
    for index, command in enumerate(commands):
        best = -1
        for one in _waited_for(command.outputs, inputs, makers):
            if one < index and (best < 0 or length[one] > length[best]):
                best = one
        before.append(best)
        length.append(command.seconds + (length[best] if best >= 0 else 0))
    if not commands:
        return []
    at = max(range(len(commands)), key=lambda index: length[index])
    path = []
    while at >= 0:
        path.append(at)
        at = before[at]
    return path[::-1]


def _waited_for(
    outputs: Sequence[str], inputs: Mapping[str, Sequence[str]], makers: Mapping[str, int]
) -> Iterator[int]:
    """Yield the commands that made what `outputs` are made from, directly or through what did not run."""
    own = {makers[output] for output in outputs if output in makers}
    pending = [name for output in outputs for name in inputs.get(output, ())]
    seen = set(pending)
    while pending:
        name = pending.pop()
        maker = makers.get(name)
        if maker is not None:
            if maker not in own:
                yield maker
            continue
        for one in inputs.get(name, ()):
            if one not in seen:
                seen.add(one)
                pending.append(one)
