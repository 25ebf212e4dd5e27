"""`devbox top`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from devbox.cli.application import application, workspace
from devbox.cli.options import examples

if TYPE_CHECKING:
    from devbox.masking import Mask
    from devbox.overview import Watch

app = typer.Typer()

# Where nobody says how wide it is.
_WIDTH = 100
# What changes by itself is the time that a build takes, and how old things are.
_TICK, _IDLE_TICK = 1.0, 60.0


@app.command()
@examples(
    {
        "devbox top": "Watch, until q is pressed.",
        "devbox top .": "Only this checkout.",
        "devbox top --json": "The same facts once, for programs.",
    }
)
def top(
    context: typer.Context,
    path: Annotated[
        Path | None, typer.Argument(metavar="[PATH]", help="Show only this checkout.", show_default="all of them")
    ] = None,
) -> None:
    """Watch builds, dev containers, GPUs and who holds them, caches and disks, live. q or Ctrl-C ends it.

    Without a terminal, and with --json, all is looked at and told once.
    """
    from devbox.overview import Watch

    run = application(context)
    watch = Watch(run.engine, None if path is None else str(workspace(path)))
    is_terminal = sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()
    if run.json or not is_terminal or run.environ.get("TERM", "dumb") == "dumb":
        from devbox.ui.overview import frame

        facts = watch.once()
        run.show(facts, lambda: "\n".join(frame(facts, _columns())))
        return
    try:
        _follow(watch, run.console.mask, colour=not run.environ.get("NO_COLOR"))
    except KeyboardInterrupt as stopped:
        if type(stopped) is not KeyboardInterrupt:
            raise
    finally:
        watch.stop()


def _columns() -> int:
    import shutil

    return shutil.get_terminal_size((_WIDTH, 0)).columns


def _follow(watch: Watch, mask: Mask, *, colour: bool) -> None:
    from devbox.ui.overview import frame
    from devbox.ui.screen import Screen

    with Screen(mask) as screen:
        watch.start(screen.wake)
        while True:
            facts = watch.overview()
            width, height = screen.size()
            # Where a line ends in the last column, what clears the rest of it would clear that column.
            screen.draw(frame(facts, width - 1, height, colour=colour))
            if screen.key(_TICK if facts.builds or facts.trouble else _IDLE_TICK) in {"q", "Q", "\x04"}:
                return
