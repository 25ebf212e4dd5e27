"""`devbox logs`: what the dev container's own process wrote."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from devbox.container.target import candidate, no_container

if TYPE_CHECKING:
    from pathlib import Path

    from devbox.engine.docker import Engine


def logs_args(container: str, *, follow: bool = False, tail: int | None = None, timestamps: bool = False) -> list[str]:
    """Return the docker arguments that show a container's log."""
    args = ["logs"]
    if follow:
        args.append("--follow")
    if tail is not None:
        args += ["--tail", str(tail)]
    if timestamps:
        args.append("--timestamps")
    return [*args, container]


def logs(
    engine: Engine, workspace: Path, *, follow: bool = False, tail: int | None = None, timestamps: bool = False
) -> int:
    """Show the log of the workspace's dev container on stdout and stderr; return docker's exit code.

    Raises DevboxError if there is no container.
    """
    found = candidate(engine, workspace)
    if found is None:
        raise no_container(workspace)
    args = logs_args(found.id, follow=follow, tail=tail, timestamps=timestamps)
    with subprocess.Popen([engine.docker, *args], env=dict(engine.environ)) as client:
        try:
            return client.wait()
        except KeyboardInterrupt:
            client.wait()
            return 130
