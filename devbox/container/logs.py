"""`devbox logs`: what the dev container's own process wrote."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from devbox.container.inside.find import candidate
from devbox.container.inside.probe import project_of
from devbox.container.target import no_container
from devbox.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from devbox.engine.docker import Engine


_CLEAR_LINE = b"\x1b[2K"


def logs_args(*container: str, follow: bool = False, tail: int | None = None, timestamps: bool = False) -> list[str]:
    """Return the docker arguments that show a container's log."""
    args = ["logs"]
    if follow:
        args.append("--follow")
    if tail is not None:
        args += ["--tail", str(tail)]
    if timestamps:
        args.append("--timestamps")
    return [*args, *container]


def logs(
    engine: Engine,
    workspace: Path,
    *,
    follow: bool = False,
    tail: int | None = None,
    timestamps: bool = False,
    services: bool = False,
) -> int:
    """Show the log of the workspace's dev container on stdout and stderr; return docker's exit code.

    With `services`, those of all services of its compose project. Raises DevboxError if there is no container.
    """
    found = candidate(engine, workspace)
    if found is None:
        raise no_container(workspace)
    args = logs_args(*engine.logged(found.id), follow=follow, tail=tail, timestamps=timestamps)
    if services:
        inspected = engine.container(found.id) or {}
        project = project_of(inspected.get("Config", {}).get("Labels") or {})
        if project is None:
            raise UsageError(f"the dev container of {found.workspace} has no services beside it", hint="devbox logs")
        args = ["compose", "--project-name", project, *args[:-1]]
    return passed_on(engine, args, composed=services)


def passed_on(engine: Engine, args: list[str], *, composed: bool = False) -> int:
    """Run `docker ARGS` on this process's stdout and stderr; return its exit code, 130 for Ctrl-C.

    docker compose (`composed`) clears the line before each one that it writes, on a terminal or not.
    """
    is_plain = composed and not sys.stdout.isatty()
    with subprocess.Popen(
        engine.argv(args), env=dict(engine.environ), stdout=subprocess.PIPE if is_plain else None
    ) as client:
        try:
            for line in client.stdout or ():
                sys.stdout.buffer.write(line.removeprefix(_CLEAR_LINE))
                sys.stdout.buffer.flush()
            return client.wait()
        except KeyboardInterrupt:
            client.wait()
            return 130
