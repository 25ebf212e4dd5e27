"""A stage graph as an SVG picture: no script and no font in it, readable on white and without telling colours apart."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from devbox.image.graph.layout import Link, layout
from devbox.image.graph.text import detail

if TYPE_CHECKING:
    from collections.abc import Iterable

    from devbox.image.graph.model import Edge, Graph, Kind, Node

INK = "#1c232c"
FONT = 'font-family="system-ui, sans-serif"'
# A letter of the font at 12 pixels is about this wide. Too wide a box is better than too narrow a one.
LETTER = 7.0
HEIGHT = 34
ROW = 84
MARGIN = 24
LEGEND = 40
FILL = {"stage": "#eef1f5", "image": "#fde8cc", "context": "#ffffff"}
STROKE = {"stage": "#5b6675", "image": "#b8741a", "context": "#8a94a3"}
DEFAULT = "#cfe3fb"
LINE = {"from": "#3b4552", "copy": "#2a6fb0", "mount": "#9aa3af"}
DASH = {"from": "", "copy": "7 4", "mount": "2 4"}
MEANING = {"from": "starts from", "copy": "copies files", "mount": "mounts for a RUN"}


def svg(graph: Graph, title: str) -> str:
    """Return the picture of a graph; `title` is what a screen reader says of it."""
    drawn = _drawn(graph.edges)
    links = [Link(edge.source, edge.target, edge.kind, strong=edge.kind == "from") for edge in drawn]
    found = layout({node.key: _width(node) for node in graph.nodes}, links)
    top = MARGIN + LEGEND
    legend, least = _legend(graph.nodes, {edge.kind for edge in drawn})
    width = max(found.width + 2 * MARGIN, least)
    left = (width - found.width) / 2
    height = top + max(found.rows - 1, 0) * ROW + HEIGHT + MARGIN
    ends = {node.key: found.places[node.key] for node in graph.nodes}
    size = f'viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
        f"<title>{escape(title)}</title>",
        f"<defs>{''.join(_head(kind) for kind in LINE)}</defs>",
        f'<rect width="{width:.0f}" height="{height}" fill="#ffffff"/>',
        *legend,
    ]
    boxes = set(ends.values())
    for link, start, end in sorted(found.lines, key=lambda line: "from copy mount".find(line[0].group), reverse=True):
        parts.append(_line(link.group, (start, start in boxes), (end, end in boxes), left, top))
    for node in graph.nodes:
        x, row = found.places[node.key]
        parts += _box(node, left + x, top + row * ROW)
    return "\n".join([*parts, "</svg>", ""])


def _drawn(edges: Iterable[Edge]) -> list[Edge]:
    """Return the edges without those that a stronger one between the same nodes says already."""
    best: dict[tuple[str, str], Edge] = {}
    for edge in edges:
        pair = (edge.source, edge.target)
        if pair not in best or list(LINE).index(edge.kind) < list(LINE).index(best[pair].kind):
            best[pair] = edge
    return list(best.values())


def _width(node: Node) -> float:
    return LETTER * max(len(node.name), 0.85 * len(detail(node)), 6) + 24


def _line(
    kind: str, start: tuple[tuple[float, int], bool], end: tuple[tuple[float, int], bool], left: float, top: int
) -> str:
    """Return a piece of a line, from the bottom of a box or a bend to the top of a box or to a bend."""
    (x1, row1), from_box = start
    (x2, row2), to_box = end
    y1 = top + row1 * ROW + (HEIGHT if from_box else HEIGHT / 2)
    y2 = top + row2 * ROW + (0 if to_box else HEIGHT / 2)
    x1, x2, middle = x1 + left, x2 + left, (y1 + y2) / 2
    dash = f' stroke-dasharray="{DASH[kind]}"' if DASH[kind] else ""
    head = f' marker-end="url(#{kind})"' if to_box else ""
    return (
        f'<path d="M{x1:.1f} {y1:.1f} C{x1:.1f} {middle:.1f} {x2:.1f} {middle:.1f} {x2:.1f} {y2:.1f}" fill="none" '
        f'stroke="{LINE[kind]}" stroke-width="{1.8 if kind == "from" else 1.3}"{dash}{head}/>'
    )


def _box(node: Node, x: float, y: float) -> list[str]:
    width = _width(node)
    fill = DEFAULT if node.default else FILL[node.kind]
    radius = {"stage": 5, "image": 0, "context": HEIGHT / 2}[node.kind]
    place = f'x="{x - width / 2:.1f}" y="{y}" width="{width:.1f}" height="{HEIGHT}" rx="{radius:g}"'
    border = f'stroke="{STROKE[node.kind]}" stroke-width="{2 if node.default else 1}"'
    below = detail(node)
    lines = [f'<rect {place} fill="{fill}" {border}/>', _text(node.name, x, y + (15 if below else 22), 12)]
    return [*lines, _text(below, x, y + 28, 10)] if below else lines


def _text(text: str, x: float, y: float, points: int) -> str:
    return (
        f'<text x="{x:.1f}" y="{y}" text-anchor="middle" fill="{INK}" font-size="{points}" {FONT}>{escape(text)}</text>'
    )


def _head(kind: str) -> str:
    return (
        f'<marker id="{kind}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0 L8 4 L0 8 z" fill="{LINE[kind]}"/></marker>'
    )


def _legend(nodes: Iterable[Node], kinds: set[Kind]) -> tuple[list[str], float]:
    """Return what the lines and boxes mean, as far as they occur, and how wide that is."""
    x, y = float(MARGIN), 24
    parts = []
    for kind, meaning in MEANING.items():
        if kind in kinds:
            dash = f' stroke-dasharray="{DASH[kind]}"' if DASH[kind] else ""
            parts.append(
                f'<path d="M{x:.1f} {y} h34" stroke="{LINE[kind]}" stroke-width="1.8"{dash} marker-end="url(#{kind})"/>'
                f'<text x="{x + 42:.1f}" y="{y + 4}" fill="{INK}" font-size="11" {FONT}>{meaning}</text>'
            )
            x += 64 + 0.85 * LETTER * len(meaning)
    for shape, meaning in (("image", "image"), ("context", "build context"), ("target", "target")):
        if any(node.default if shape == "target" else node.kind == shape for node in nodes):
            fill, stroke = (DEFAULT, STROKE["stage"]) if shape == "target" else (FILL[shape], STROKE[shape])
            radius = {"image": 0, "context": 6, "target": 3}[shape]
            parts.append(
                f'<rect x="{x:.1f}" y="{y - 6}" width="20" height="12" rx="{radius}" fill="{fill}" stroke="{stroke}"/>'
                f'<text x="{x + 27:.1f}" y="{y + 4}" fill="{INK}" font-size="11" {FONT}>{meaning}</text>'
            )
            x += 47 + 0.85 * LETTER * len(meaning)
    return parts, x
