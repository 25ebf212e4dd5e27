"""The build's progress bar, drawn with rich; imported only when a terminal watches a build."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TextIO

from devbox.masking import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

SHOWN_FILES = 4
# From here on it is worth saying how long a file has been compiling.
LONG_SECONDS = 10.0


class Running:
    """What runs, the longest first, and since when: drawn anew while no event comes."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def update(self, names: Sequence[str]) -> None:
        """Take what runs now."""
        now = time.monotonic()
        self._since = {name: self._since.get(name, now) for name in names}

    def __str__(self) -> str:
        now = time.monotonic()
        oldest = sorted(self._since.items(), key=lambda item: item[1])
        shown = [_with_seconds(name, now - since) for name, since in oldest[:SHOWN_FILES]]
        more = len(oldest) - SHOWN_FILES
        return "  ".join([*shown, *([f"+{more}"] if more > 0 else [])])


def _with_seconds(name: str, seconds: float) -> str:
    from rich.markup import escape

    file = escape(visible(name.rpartition("/")[2]))
    return f"{file} {seconds:.0f} s" if seconds >= LONG_SECONDS else file


class Bar:
    """A bar with counts, the time left, and the files that are being compiled."""

    def __init__(self, stream: TextIO, *, colour: bool) -> None:
        """Start drawing on `stream`."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        self._progress = Progress(
            TextColumn("building"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            TextColumn("[dim]{task.fields[files]}"),
            console=Console(file=stream, no_color=not colour, force_terminal=True),
            transient=True,
            refresh_per_second=8,
        )
        self._running = Running()
        self._task = self._progress.add_task("build", total=None, left="", files=self._running)
        self._progress.start()

    def update(self, done: int, total: int, *, left: str, running: Sequence[str]) -> None:
        """Show the counts, the time that is left, and the running files."""
        self._running.update(running)
        self._progress.update(self._task, completed=done, total=total, left=left)

    def close(self) -> None:
        """Remove the bar."""
        self._progress.stop()
