"""`devbox generate`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from devbox.cli.application import application, workspace
from devbox.cli.flags import Flags, from_settings
from devbox.cli.options import (
    AllowOption,
    ComposeOption,
    FlatOption,
    NameOption,
    PathArgument,
    YesOption,
    examples,
    in_panels,
)
from devbox.config.table import CHOICES
from devbox.errors import EXIT_DRIFT
from devbox.ui.console import CYAN

if TYPE_CHECKING:
    from pathlib import Path

    from devbox.cli.application import Application
    from devbox.container.contract.generate import GenerateResult
    from devbox.ui.console import Console

app = typer.Typer()


@app.command()
@examples(
    {
        "devbox generate": "Write what `devbox up` would write.",
        "devbox generate --shared": "Write a contract for everybody, to be committed.",
        "devbox generate --check": "Fail in CI where the files are out of date.",
    }
)
@in_panels(
    {
        "What is done": "check diff dry_run force",
        "The contract": "shared compose inline flat allow",
        "For editors": "editor_tasks",
        "The image": "framework variant arch user base_image features find_links args",
        "The container": "gpus mounts env ports run_args name services repositories",
    }
)
@from_settings("framework", *CHOICES)
def generate(
    context: typer.Context,
    path: PathArgument = None,
    *,
    flags: Flags,
    shared: Annotated[
        bool,
        typer.Option("--shared", help="Write the portable form, to be committed: nothing of you or your host."),
    ] = False,
    compose: ComposeOption = None,
    inline: Annotated[
        bool | None,
        typer.Option(
            "--inline/--no-inline",
            help="Write the requirements into the Dockerfile, for tools that pass no build.options.",
        ),
    ] = None,
    flat: FlatOption = False,
    editor_tasks: Annotated[
        bool,
        typer.Option(
            "--editor-tasks",
            help="Write no contract, but tasks for VS Code and a CMake preset that drive the build tree.",
        ),
    ] = False,
    name: NameOption = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; fail (8) if the files are not what would be written.")
    ] = False,
    diff: Annotated[
        bool,
        typer.Option("--diff", help="Write nothing; show as a patch what would change, and fail (8) if anything."),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a generated file that was edited.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write nothing; name the files that would be written.")
    ] = False,
    allow: AllowOption = None,
    yes: YesOption = False,
) -> None:
    """Write the contract of a checkout and start nothing. `up` writes the same personal one by itself.

    What was asked for last time stays, until it is asked for otherwise.
    """
    from devbox.container.contract.generate import GenerateOptions
    from devbox.container.contract.generate import generate as write
    from devbox.trust.ask import check_rules

    run = application(context)
    if editor_tasks:
        _editor_tasks(run, workspace(path, exact=True), flags, force=force, dry_run=dry_run or check or diff)
        return
    result, error = write(
        GenerateOptions(
            path=workspace(path, exact=True),
            flags=flags,
            name=name,
            shared=shared,
            compose=compose,
            inline=inline,
            flat=flat,
            force=force,
            check=check,
            diff=diff,
            dry_run=dry_run,
            allow=check_rules(allow or ()),
            yes=yes,
        ),
        run.engine,
        run.console,
    )
    run.finish(result, lambda: _text(result, run.console, failed=error is not None), error)
    if diff and result.stale:
        # As of `diff` itself: something is shown.
        raise typer.Exit(EXIT_DRIFT)


def _editor_tasks(run: Application, folder: Path, flags: Flags, *, force: bool, dry_run: bool) -> None:
    from devbox.agent.protocol import PRESETS
    from devbox.builds import editor

    files = editor.write(folder, run.framework(folder, flags), force=force, dry_run=dry_run)

    def text() -> str | None:
        kept = [one for one in files if one.state == "kept"]
        for one in files:
            said = {"written": "would write" if dry_run else "wrote", "current": "is current:", "kept": "left alone:"}
            run.console.info(f"{said[one.state]} {one.path}")
        for one in files:
            if one.path.name == PRESETS[1]:
                run.console.info(
                    f'note: {PRESETS[0]} is yours: add "include": ["{PRESETS[1]}"] to it, in version 4 or later'
                )
        if any(one.state == "written" and one.path.name in PRESETS for one in files):
            run.console.info(f"next: {run.console.paint('devbox build', CYAN)}   # names its tree in the preset")
        return "".join(one.text for one in kept) or None

    run.show({"files": files}, text)


def _text(result: GenerateResult, console: Console, *, failed: bool) -> str | None:
    """Say how it went; what would be done, or the diff, is the result."""
    for note in result.notes:
        console.info(f"note: {note}")
    if result.verdict is not None:
        # A failed check says it in its own words.
        if not failed:
            console.info(result.verdict)
        lines = "\n".join(f"# write {path}" for path in result.written)
        return lines if result.diff is None else result.diff
    for path in result.written:
        console.info(f"wrote {path}")
    for path in result.removed:
        console.info(f"removed {path}, which this contract does not need")
    if not result.written and not result.removed:
        console.info(f"{result.contract} is current")
    if result.hint:
        console.info(f"note: {result.hint}")
    console.info(f"next: {console.paint(result.next or '', CYAN)}")
    return None
