"""Tables on stdout: aligned columns a person can read and `awk` can split. No library is needed for that."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return the rows under their header, columns two spaces apart, no trailing blanks; "" if there are no rows."""
    body = [[*row] for row in rows]
    if not body:
        return ""
    lines = [[title.upper() for title in header], *body]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


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
