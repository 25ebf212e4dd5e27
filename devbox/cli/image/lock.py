"""`devbox image lock`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from devbox.cli.application import application, workspace
from devbox.cli.flags import Flags, from_settings
from devbox.cli.image.registry import registries_of
from devbox.cli.options import WorkspaceOption, examples

if TYPE_CHECKING:
    from devbox.image.base.pin import Pin

app = typer.Typer()


@app.command()
@examples(
    {
        "devbox image lock": "Write devbox.lock.",
        "devbox image lock --check": "Fail in CI where a base image is another by now.",
    }
)
@from_settings("framework", "variant")
def lock(
    context: typer.Context,
    images: Annotated[list[str] | None, typer.Argument(metavar="[IMAGE]…", help="Further images to lock.")] = None,
    update: Annotated[bool, typer.Option("--update", help="Look up again what is locked already.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; fail (8) where a registry has something else by now.")
    ] = False,
    path: WorkspaceOption = None,
    *,
    flags: Flags,
) -> None:
    """Hold the base images of a checkout at their digests, in devbox.lock, which is meant to be committed."""
    from devbox.frameworks.stated import images as stated
    from devbox.image.base import lock as lock_file
    from devbox.image.base import pin

    run = application(context)
    folder = workspace(path)
    held = lock_file.read(folder)
    wanted = pin.wanted(held, stated(run.framework(folder, flags), folder), images or ())
    pins = pin.look(wanted, held, registries_of(run, folder), update=update or check)
    error = pin.drift(pins, folder) if check else None
    changed = any(one.changed for one in pins)
    if changed and not check:
        lock_file.write(folder, {one.name: one.digest for one in pins})

    def text() -> str:
        for one in pins:
            run.console.info(f"{one.name}: {_said(one)}")
        return str(folder / lock_file.FILE_NAME)

    run.finish({"file": str(folder / lock_file.FILE_NAME), "changed": changed, "images": pins}, text, error)


def _said(one: Pin) -> str:
    if one.before is None:
        return f"locked at {one.digest}"
    return f"was {one.before}, is now {one.digest}" if one.changed else f"stays at {one.digest}"
