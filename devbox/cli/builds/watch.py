"""`devbox build --watch` for people and programs: lines, the terminal's title, and JSON events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from devbox.ui.console import DIM, seconds

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from devbox.builds.build import OnHealed
    from devbox.builds.report.summary import BuildReport
    from devbox.builds.request import Mode
    from devbox.cli.application import Application
    from devbox.errors import DevboxError

SHOWN_FILES = 3


class Once(Protocol):
    """One build."""

    def __call__(self, mode: Mode = ..., on_healed: OnHealed | None = ...) -> BuildReport:
        """Build and return the report."""


def follow(run: Application, folder: Path, once: Once, tell: Callable[[BuildReport], object]) -> int:
    """Build at each save in `folder` until Ctrl-C, and return the exit code.

    With `--json` each thing that happens is one line on stdout: an object with `schema`, `event` (`started` with the
    files that `changed`, `finished` with `status` and the report as `data`, `failed` with the `error`, `ended`).
    """
    from devbox.builds.watch import Saves, watch

    saves = Saves(folder)
    first = True

    def event(name: str, **fields: object) -> None:
        if run.json:
            run.line(event=name, **fields)

    def build(changed: list[str]) -> BuildReport:
        nonlocal first
        event("started", changed=changed)
        run.console.title(f"{folder.name}: building …")
        if changed:
            more = f" and {len(changed) - SHOWN_FILES} more" if len(changed) > SHOWN_FILES else ""
            run.console.info(f"changed: {', '.join(changed[:SHOWN_FILES])}{more}")
        # Only the first build empties the tree or configures it anew.
        report = once(on_healed=saves.healed) if first else once("incremental", saves.healed)
        first = False
        event("finished", status="ok" if report.ok else "error", data=report)
        if not run.json:
            run.console.close()
            tell(report)
        done = f"{report.compiled} compiled, {seconds(report.seconds)}" if report.ok else "failed"
        run.console.title(f"{folder.name}: {done}")
        return report

    def on_error(error: DevboxError) -> None:
        event("failed", error={"code": error.code, "message": error.message, "hint": error.hint})
        run.console.title(f"{folder.name}: failed")
        if not run.json:
            run.console.error(error.message, hint=error.hint, detail=error.detail)

    try:
        return watch(
            saves,
            build,
            on_error=on_error,
            on_wait=lambda _: run.console.info(run.console.paint(f"watching {folder}; Ctrl-C ends it", DIM)),
        )
    finally:
        event("ended")
        run.console.title(None)
