"""The build's progress bar, drawn with rich; imported only when a terminal watches a build."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Sequence

SHOWN_FILES = 4


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
        self._task = self._progress.add_task("build", total=None, left="", files="")
        self._progress.start()

    def update(self, done: int, total: int, *, eta: float | None, running: Sequence[str]) -> None:
        """Show the counts, the seconds left and the running files."""
        from devbox.ui.console import seconds

        names = [name.rpartition("/")[2] for name in running]
        more = f" +{len(names) - SHOWN_FILES}" if len(names) > SHOWN_FILES else ""
        self._progress.update(
            self._task,
            completed=done,
            total=total,
            left="" if eta is None else f"{seconds(eta)} left",
            files=" ".join(names[:SHOWN_FILES]) + more,
        )

    def close(self) -> None:
        """Remove the bar."""
        self._progress.stop()
