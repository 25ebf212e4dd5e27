"""A stage graph as text: a tree for a terminal, Mermaid for Markdown, DOT for Graphviz."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devbox.image.graph.model import Edge, Graph, Node

_STATES = {"current": "cached", "stale": "out of date", "absent": "not built"}
_VERBS = {"copy": "copies from", "mount": "mounts"}


def size(count: int) -> str:
    """Return a number of bytes as docker prints it: 812 MB, 6.1 GB."""
    value = float(count)
    for unit in ("B", "kB", "MB"):
        if value < 999.5:
            return f"{value:.0f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def detail(node: Node) -> str:
    """Return what is known of a node's image in a few words, "" where nothing is."""
    parts = [_STATES.get(node.state, "")]
    if node.size is not None:
        parts.append(size(node.size))
    if node.own is not None and node.own != node.size:
        parts.append(f"+{size(node.own)}")
    return ", ".join(part for part in parts if part)


def tree(graph: Graph) -> Iterator[tuple[str, Node, str]]:
    """Yield (drawn name, node, what else it reads) of each node below what it starts from."""
    parents = {edge.target: edge.source for edge in graph.edges if edge.kind == "from"}
    children: dict[str, list[Node]] = {}
    for node in graph.nodes:
        children.setdefault(parents.get(node.key, ""), []).append(node)
    # What others only read comes after what they are.
    for root in sorted(children.get("", ()), key=lambda node: node.key not in children):
        yield from _branch(graph, children, root, "", "")


def _branch(
    graph: Graph, children: dict[str, list[Node]], node: Node, lead: str, below: str
) -> Iterator[tuple[str, Node, str]]:
    yield f"{lead}{node.name}", node, _reads(graph, node)
    inner = children.get(node.key, [])
    for index, child in enumerate(inner):
        last = index + 1 == len(inner)
        yield from _branch(
            graph, children, child, f"{below}{'└─ ' if last else '├─ '}", f"{below}{'   ' if last else '│  '}"
        )


def _reads(graph: Graph, node: Node) -> str:
    parts = []
    for kind, verb in _VERBS.items():
        names = [graph.node(edge.source).name for edge in graph.edges if edge.target == node.key and edge.kind == kind]
        parts += [f"{verb} {', '.join(names)}"] if names else []
    return "; ".join(parts)


def mermaid(graph: Graph) -> str:
    """Return the graph as a Mermaid flowchart: https://mermaid.js.org/syntax/flowchart.html."""
    ids = {node.key: f"n{index}" for index, node in enumerate(graph.nodes)}
    shapes = {"stage": ('["', '"]'), "image": ('[/"', '"/]'), "context": ('(["', '"])')}
    arrows = {"from": "-->", "copy": "-. copy .->", "mount": "-. mount .->"}
    lines = ["flowchart TB"]
    for node in graph.nodes:
        before, after = shapes[node.kind]
        below = detail(node)
        label = _entities(node.name) + (f"<br/>{_entities(below)}" if below else "")
        lines.append(f"    {ids[node.key]}{before}{label}{after}")
    lines += [f"    {ids[edge.source]} {arrows[edge.kind]} {ids[edge.target]}" for edge in graph.edges]
    target = [ids[node.key] for node in graph.nodes if node.default]
    if target:
        lines += ["    classDef target fill:#cfe3fb,stroke-width:2px", f"    class {','.join(target)} target"]
    return "\n".join(lines) + "\n"


def _entities(text: str) -> str:
    return text.replace("#", "#35;").replace('"', "#quot;").replace("<", "#lt;")


def dot(graph: Graph) -> str:
    """Return the graph in Graphviz's language: https://graphviz.org/doc/info/lang.html."""
    shapes = {"stage": "box", "image": "box3d", "context": "ellipse"}
    lines = ["digraph stages {", '    node [fontname="sans-serif", style=filled, fillcolor="#eef1f5"];']
    for node in graph.nodes:
        below = detail(node)
        label = _quoted(node.name + (f"\n{below}" if below else ""))
        colour = ', fillcolor="#cfe3fb"' if node.default else ""
        lines.append(f"    {_quoted(node.key)} [label={label}, shape={shapes[node.kind]}{colour}];")
    lines += [f"    {_quoted(edge.source)} -> {_quoted(edge.target)}{_style(edge)};" for edge in graph.edges]
    return "\n".join([*lines, "}", ""])


def _style(edge: Edge) -> str:
    return {"from": "", "copy": " [style=dashed]", "mount": " [style=dotted]"}[edge.kind]


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
