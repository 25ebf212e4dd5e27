"""Where the boxes of a small directed graph go: rows from top to bottom, few crossings, lines as straight as can be.

The method is Sugiyama's: a row for each node, a bend in each row that an edge only passes, an order in each row by the
mean place of the neighbours, and places as near to those as the widths allow. All edges of one source share their
bends, so that what everybody reads is one line with branches.
"""

from __future__ import annotations

from math import fsum
from typing import TYPE_CHECKING

from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SWEEPS = 24
# How much more a box is drawn to what it starts from than to what it only reads, and a bend to the next one: a line
# that passes several rows shall be straight.
_STRONG = 4.0
_STRAIGHT = 8.0
_GAP = 26.0
_BEND_WIDTH = 10.0
_BEND = "\0"


@dataclass(frozen=True, slots=True)
class Link:
    """An edge to be drawn. `group` tells edges apart that must not share a line; `strong` ones are kept straight."""

    source: str
    target: str
    group: str
    strong: bool


@dataclass(frozen=True, slots=True)
class Layout:
    """The middle of each box on its row, by key, and the points that each piece of a line goes through: (x, row).

    `lines` are (link, first point, second point): pieces that several links share are there once.
    """

    places: Mapping[str, tuple[float, int]]
    lines: tuple[tuple[Link, tuple[float, int], tuple[float, int]], ...]
    width: float
    rows: int


def layout(widths: Mapping[str, float], links: Sequence[Link]) -> Layout:
    """Place boxes of the given widths. `links` must not make a circle; those that would are left out."""
    links = _acyclic(list(widths), links)
    rows = _rows(list(widths), links)
    pieces = _pieces(links, rows)
    every = dict(widths)
    for _, source, target in pieces:
        for key in (source, target):
            every.setdefault(key, _BEND_WIDTH)
    order = _ordered(every, rows, pieces)
    places = _places(every, order, pieces)
    left = min((places[key] - every[key] / 2 for key in every), default=0.0)
    right = max((places[key] + every[key] / 2 for key in every), default=0.0)
    at = {key: (places[key] - left, rows[key]) for key in every}
    lines = tuple((link, at[source], at[target]) for link, source, target in pieces)
    return Layout({key: at[key] for key in widths}, lines, right - left, max(rows.values(), default=-1) + 1)


def _acyclic(keys: list[str], links: Sequence[Link]) -> list[Link]:
    """Return the links without those that lead back. A Dockerfile that builds has none."""
    after: dict[str, set[str]] = {key: set() for key in keys}
    kept = []
    for link in links:
        seen, todo = {link.target}, [link.target]
        while todo:
            further = after[todo.pop()] - seen
            seen |= further
            todo += further
        if link.source not in seen:
            after[link.source].add(link.target)
            kept.append(link)
    return kept


def _rows(keys: list[str], links: Sequence[Link]) -> dict[str, int]:
    """Return each box's row: below all that it reads, and what reads nothing just above its first reader."""
    above: dict[str, list[str]] = {key: [] for key in keys}
    below: dict[str, list[str]] = {key: [] for key in keys}
    for link in links:
        above[link.target].append(link.source)
        below[link.source].append(link.target)
    rows: dict[str, int] = {}
    todo = list(keys)
    while todo:
        ready = [key for key in todo if all(source in rows for source in above[key])]
        rows |= {key: max((rows[source] + 1 for source in above[key]), default=0) for key in ready}
        todo = [key for key in todo if key not in rows]
    for key in keys:
        if not above[key] and below[key]:
            rows[key] = min(rows[target] for target in below[key]) - 1
    first = min(rows.values(), default=0)
    return {key: row - first for key, row in rows.items()}


def _pieces(links: Sequence[Link], rows: dict[str, int]) -> list[tuple[Link, str, str]]:
    """Return the links cut at each row that they pass; `rows` learns where the bends are."""
    pieces: dict[tuple[str, str], Link] = {}
    for link in links:
        here = link.source
        for row in range(rows[link.source] + 1, rows[link.target]):
            bend = f"{_BEND}{link.source}\0{link.group}\0{row}"
            rows[bend] = row
            pieces.setdefault((here, bend), link)
            here = bend
        pieces.setdefault((here, f"{link.target}"), link)
    return [(link, source, target) for (source, target), link in pieces.items()]


def _is_bend(key: str) -> bool:
    return key.startswith(_BEND)


def _ordered(
    every: Mapping[str, float], rows: Mapping[str, int], pieces: list[tuple[Link, str, str]]
) -> list[list[str]]:
    """Return the keys of each row from left to right, with as few crossings as some sweeps find."""
    order: list[list[str]] = [[] for _ in range(max(rows.values(), default=-1) + 1)]
    for key in every:
        order[rows[key]].append(key)
    best, fewest = [list(row) for row in order], _crossings(order, pieces)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        near: dict[str, list[str]] = {key: [] for key in every}
        for _, source, target in pieces:
            near[target if down else source].append(source if down else target)
        for row in order if down else reversed(order):
            place = {key: index / max(len(line) - 1, 1) for line in order for index, key in enumerate(line)}
            means = {
                key: fsum(place[other] for other in near[key]) / len(near[key]) if near[key] else place[key]
                for key in row
            }
            row.sort(key=means.__getitem__)
        crossings = _crossings(order, pieces)
        if crossings < fewest:
            best, fewest = [list(row) for row in order], crossings
    return best


def _crossings(order: list[list[str]], pieces: list[tuple[Link, str, str]]) -> int:
    place = {key: (row, index) for row, line in enumerate(order) for index, key in enumerate(line)}
    between: dict[int, list[tuple[int, int]]] = {}
    for _, source, target in pieces:
        between.setdefault(place[source][0], []).append((place[source][1], place[target][1]))
    return sum(
        (a[0] - b[0]) * (a[1] - b[1]) < 0
        for lines in between.values()
        for index, a in enumerate(lines)
        for b in lines[index + 1 :]
    )


def _places(
    every: Mapping[str, float], order: list[list[str]], pieces: list[tuple[Link, str, str]]
) -> dict[str, float]:
    """Return the middle of each box: rows in turn go to the mean of their neighbours, as near as their widths allow."""
    near: dict[str, list[tuple[str, float]]] = {key: [] for key in every}
    for link, source, target in pieces:
        weight = _STRONG if link.strong else 1.0
        weight *= _STRAIGHT if _is_bend(source) and _is_bend(target) else 1.0
        near[source].append((target, weight))
        near[target].append((source, weight))
    places: dict[str, float] = {}
    for row in order:
        _spread(row, every, places, dict.fromkeys(row, (0.0, 1.0)))
    for sweep in range(SWEEPS):
        for row in order if sweep % 2 == 0 else reversed(order):
            wanted = {}
            for key in row:
                weight = sum(weight for _, weight in near[key])
                # Not `sum`: how that rounds depends on Python's version, and so would which order wins a tie.
                total = fsum(places[other] * weight for other, weight in near[key])
                mean = total / weight if weight else places[key]
                wanted[key] = (mean, weight or 0.1)
            _spread(row, every, places, wanted)
    return places


def _spread(
    row: Sequence[str],
    every: Mapping[str, float],
    places: dict[str, float],
    wanted: Mapping[str, tuple[float, float]],
) -> None:
    """Place a row with the least squares of what is missed of `wanted` (place, weight), and room between the boxes.

    That is isotonic regression: neighbours that would overlap are pooled and share the mean of what they want.
    """
    offset, offsets = 0.0, []
    for index, key in enumerate(row):
        offset += (every[row[index - 1]] + every[key]) / 2 + _GAP if index else 0.0
        offsets.append(offset)
    pools: list[tuple[float, float, int]] = []
    for key, shift in zip(row, offsets, strict=True):
        mean, weight = wanted[key]
        pool = (mean - shift, weight, 1)
        while pools and pools[-1][0] > pool[0]:
            last = pools.pop()
            together = last[1] + pool[1]
            pool = ((last[0] * last[1] + pool[0] * pool[1]) / together, together, last[2] + pool[2])
        pools.append(pool)
    levels = [level for level, _, count in pools for _ in range(count)]
    places.update({key: level + shift for key, level, shift in zip(row, levels, offsets, strict=True)})
