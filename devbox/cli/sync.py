"""`devbox sync`: the checkout and its copy, where the engine is on another machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from devbox.cli.application import Application, application, named
from devbox.cli.options import PathArgument, examples

if TYPE_CHECKING:
    from collections.abc import Callable

    from devbox.container.sync.send import Synced

app = typer.Typer()


@app.command()
@examples(
    {
        "devbox sync --status": "See what differs between the checkout and its copy.",
        "devbox sync --back src/fix.cpp": "Take a file from the copy, over the one here.",
    }
)
def sync(
    context: typer.Context,
    path: PathArgument = None,
    status: Annotated[bool, typer.Option("--status", help="Say what differs, and change nothing.")] = False,
    back: Annotated[
        list[Path] | None, typer.Option("--back", metavar="PATH", help="Take this from there, over what is here.")
    ] = None,
    discard: Annotated[
        list[Path] | None, typer.Option("--discard", metavar="PATH", help="Give up what was changed there of this.")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Sync again at each save, until Ctrl-C.")] = False,
) -> None:
    """Bring the checkout to its copy on the engine's machine. Commands that read it do so by themselves."""
    from devbox.container.inside.find import running_container
    from devbox.container.sync import send

    run = application(context)
    target = running_container(run.engine, named(path))
    if not target.copied:
        run.show({"copied": False}, lambda: "the engine sees the checkout: there is nothing to bring")
        return
    place, environ = send.place_of(target, run.engine), run.engine.environ
    if back:
        named_back = [_below(target.workspace, one) for one in back]
        taken = send.take_back(place, target.workspace, named_back, environ, run.console)
        # So it is no edit of there any more.
        send.sync(place, target.workspace, environ, run.console)
        run.show({"copied": True, "taken": taken}, lambda: "\n".join(taken) or "there is nothing of that name there")
        return
    if status:
        found = send.compare(place, target.workspace, environ, run.console)
        run.show({"copied": True, **found._asdict()}, lambda: _differences(found))
        return
    given_up = [_below(target.workspace, one) for one in discard or ()]

    def once() -> Synced:
        # What is edited over there after the first time is another edit.
        discarded, given_up[:] = tuple(given_up), []
        return send.sync(place, target.workspace, environ, run.console, discard=discarded)

    if watch:
        raise typer.Exit(_watch(run, target.workspace, once))
    done = once()
    run.show({"copied": True, **done._asdict()}, lambda: None if done.sent or done.deleted else "nothing to do")


def _below(workspace: Path, path: Path) -> str:
    """Return a path as it is called below the workspace. Raises UsageError."""
    import os

    from devbox.errors import UsageError

    full = os.path.normpath(Path.cwd() / path)
    if not Path(full).is_relative_to(workspace) or Path(full) == workspace:
        raise UsageError(f"{path} is nothing in {workspace}", hint="devbox sync --status   # names what differs")
    return str(Path(full).relative_to(workspace))


def _differences(found: Synced) -> str:
    lines = [f"changed at the engine: {one}" for one in found.edited]
    if found.moved:
        lines.append(f"HEAD is at {found.moved[:12]} at the engine")
    if found.sent or found.deleted:
        lines.append(f"to be sent: {found.sent} files; to be deleted: {found.deleted}")
    return "\n".join(lines) or "the copy is this checkout"


def _watch(run: Application, workspace: Path, once: Callable[[], object]) -> int:
    from devbox.builds.watch import Saves

    saves = Saves(workspace)
    saves.start()
    try:
        once()
        while True:
            run.console.info(f"watching {workspace}; Ctrl-C ends it")
            saves.next()
            once()
    except KeyboardInterrupt:
        return 0
    finally:
        saves.stop()
