"""Findings on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devbox.ui.console import BOLD, CYAN, GREEN, RED, YELLOW

if TYPE_CHECKING:
    from collections.abc import Iterable

    from devbox.finding import Finding
    from devbox.ui.console import Console

_MARKS = {"error": ("✗", RED), "warning": ("!", YELLOW), "info": ("·", CYAN), "ok": ("✓", GREEN)}


def shown(findings: Iterable[Finding], console: Console) -> str:
    """Return findings as text, each with its remedy below it.

    One in a file is said as compilers do, which editors understand: `Dockerfile:3: warning: … [unused-arg]`.
    """
    lines = []
    for one in findings:
        mark, colour = _MARKS[one.severity]
        if one.path is None:
            lines.append(f"{console.paint(mark, colour)} {one.check}: {one.sentence}")
        else:
            place = console.paint(f"{one.path}:{one.line}" if one.line else one.path, BOLD)
            lines.append(f"{place}: {console.paint(one.severity, colour)}: {one.sentence} [{one.check}]")
        if one.remedy:
            lines.append(f"    {one.remedy}")
    return "\n".join(lines)
