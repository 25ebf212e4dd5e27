"""Tables on stdout: aligned columns a person can read and `awk` can split. No library is needed for that."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_BETWEEN = 2
_SHORT = 10


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, room: int | None = None) -> str:
    """Return the rows under their header, columns two spaces apart, no trailing blanks; "" if there are no rows.

    `room` is how many columns there are, by default those of the terminal; a file and a pipe have any number. Where
    they are too few, long cells go on in further lines, broken at blanks. Where that is not enough, each row is a list.
    """
    body = [[*row] for row in rows]
    if not body:
        return ""
    lines = [[title.upper() for title in header], *body]
    widths: list[int] | None = [max(len(line[column]) for line in lines) for column in range(len(header))]
    if room is None:
        room = _terminal()
    if room is not None:
        widths = _narrowed(widths or [], lines, room)
    if widths is None:
        return "\n".join(line for row in body for line in _listed(header, row))
    return "\n".join(text for line in lines for text in _aligned(line, widths))


def _terminal() -> int | None:
    if not sys.stdout.isatty():
        return None
    import shutil

    return shutil.get_terminal_size().columns


def _narrowed(widths: list[int], lines: list[list[str]], room: int) -> list[int] | None:
    """Return widths that fit into `room`, the widest column made narrower first; None where words are too wide."""
    least = [max(_least(line[at]) for line in lines) for at in range(len(widths))]
    while (excess := sum(widths) + _BETWEEN * (len(widths) - 1) - room) > 0:
        widest = max(range(len(widths)), key=lambda at: (widths[at] > least[at], widths[at]))
        if widths[widest] <= least[widest]:
            return None
        widths[widest] -= 1 if excess == 1 else max(1, min(excess, widths[widest] - least[widest]) // 2)
    return widths


def _least(cell: str) -> int:
    """Return how narrow a cell may be: a word is not broken, nor is a size or an age."""
    return len(cell) if len(cell) <= _SHORT else max(map(len, cell.split()), default=0)


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Return the lines of a row."""
    if all(len(cell) <= width for cell, width in zip(cells, widths, strict=True)):
        parts = [[cell] for cell in cells]
    else:
        from textwrap import wrap

        parts = [
            wrap(cell, width, break_long_words=False, break_on_hyphens=False) or [""]
            for cell, width in zip(cells, widths, strict=True)
        ]
    count, between = max(map(len, parts)), " " * _BETWEEN
    filled = [
        [line.ljust(width) for line in (*part, *[""] * (count - len(part)))]
        for part, width in zip(parts, widths, strict=True)
    ]
    return [between.join(line).rstrip() for line in zip(*filled, strict=True)]


def _listed(header: Sequence[str], row: Sequence[str]) -> list[str]:
    """Return a row as a list: its first cell, and below it what the others say."""
    width = max(map(len, header[1:]), default=0)
    said = [(title, cell) for title, cell in zip(header[1:], row[1:], strict=True) if cell.strip("- ")]
    return [*([row[0]] if row[0] else []), *(f"  {title.ljust(width)}  {cell}" for title, cell in said)]


def age(then: float | None, now: float | None = None) -> str:
    """Return how long ago the Unix time `then` was, in its largest unit: `3 d`, `5 h`, `12 min`, `now`."""
    if not then:
        return "-"
    passed = (time.time() if now is None else now) - then
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if passed >= length:
            return f"{int(passed // length)} {unit}"
    return "now"


def ago(then: float) -> str:
    """Return `age` for the middle of a sentence: `3 d ago`, `now`."""
    since = age(then)
    return since if since in {"now", "-"} else f"{since} ago"
