"""A picture of curves, both axes by powers: a straight line upwards is growth in proportion, a level one is none."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WIDTH, HEIGHT = 720, 300
LEFT, RIGHT, TOP, BOTTOM = 48, 270, 16, 40
# Told apart by colour-blind people too, on white and on black (Okabe and Ito, 2008).
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_STYLE = "text{font:12px sans-serif;fill:#222}.axis{stroke:#888}@media(prefers-color-scheme:dark){text{fill:#ddd}}"


def svg(across: str, lines: Mapping[str, Sequence[tuple[int, float]]]) -> str:
    """Return the curves of `lines` (size, multiple of the first), with what the sizes are `across`."""
    sizes = sorted({size for points in lines.values() for size, _ in points})
    most = max(2.0, *(value for points in lines.values() for _, value in points))
    least = min(1.0, *(value for points in lines.values() for _, value in points))

    def x(size: int) -> float:
        part = math.log(size / sizes[0]) / math.log(sizes[-1] / sizes[0]) if sizes[-1] > sizes[0] else 0.0
        return LEFT + part * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        part = math.log(value / least) / math.log(most / least)
        return HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM)

    ticks = [1.0, *(float(10**power) for power in range(1, 4) if 10**power < most), most]
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>By {escape(across)}</title><style>{_STYLE}</style>",
    ]
    drawn += [
        f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" '
        f'stroke-dasharray="2 4"/><text x="{LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:.3g}</text>'
        for tick in ticks
    ]
    bottom = HEIGHT - BOTTOM + 18
    drawn += [f'<text x="{x(size):.1f}" y="{bottom}" text-anchor="middle">{size:,}</text>' for size in sizes]
    middle = (LEFT + WIDTH - RIGHT) / 2
    drawn.append(f'<text x="{middle:.1f}" y="{HEIGHT - 6}" text-anchor="middle">{escape(across)}</text>')
    for place, (name, points) in enumerate(lines.items()):
        colour = COLOURS[place % len(COLOURS)]
        path = " ".join(f"{x(size):.1f},{y(value):.1f}" for size, value in points)
        drawn.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        height = TOP + 16 * place + 8
        drawn.append(
            f'<line x1="{WIDTH - RIGHT + 14}" x2="{WIDTH - RIGHT + 32}" y1="{height}" y2="{height}" stroke="{colour}" '
            f'stroke-width="2"/><text x="{WIDTH - RIGHT + 38}" y="{height + 4}">{escape(name)}</text>'
        )
    return "\n".join([*drawn, "</svg>"]) + "\n"
