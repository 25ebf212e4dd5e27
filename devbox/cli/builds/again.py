"""`devbox build` by the short way to the agent: what it is asked is known from the last time.

Which container, which framework, which settings: none of it has to be read anew where all that was looked at for it is
as it was. What is up to date, the agent alone decides.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from devbox.cli import warm

if TYPE_CHECKING:
    from devbox.builds.request import BuildRequest
    from devbox.cli.application import Application
    from devbox.container.target import Target
    from devbox.frameworks.model import Framework


def keep(request: BuildRequest, inside: Target, run: Application, *, explain: bool) -> None:
    """Keep what the agent is about to be asked; not where that has a secret, or a storage that may fail."""
    if request.cache.storage is not None:
        return
    from devbox.builds import deliver
    from devbox.builds.build import order

    warm.decided(
        {
            "request": order(request, inside).to_line(),
            "seed": request.seed,
            "container": inside.container,
            "context": os.environ.get("DOCKER_CONTEXT"),
            "started_at": inside.started_at,
            "agent": deliver.name(),
            "json": run.json,
            "debug": run.debug,
            "quiet": run.console.quiet,
            "verbose": run.console.verbose,
            "explain": explain,
        }
    )


def build(kept: dict[str, Any]) -> int | None:
    """Build as it was kept, and return the exit code; None where the container's environment is not known any more."""
    from devbox.agent import protocol
    from devbox.builds import deliver
    from devbox.builds.build import carry_out
    from devbox.cli.application import Application
    from devbox.cli.ending import ended
    from devbox.container import memory
    from devbox.engine.docker import Engine
    from devbox.ui.console import Console

    target = memory.recall_target(kept["container"], kept["started_at"])
    asked = protocol.read_request(kept["request"])
    if target is None or not isinstance(asked, protocol.Build):
        return None
    # It ends with the number of the process.
    asked = asked.but(client=f"{asked.client.rpartition(' ')[0]} {os.getpid()}")
    deliver.known = kept["agent"]
    console = Console(environ=os.environ, quiet=kept["quiet"], verbose=kept["verbose"])
    run = Application(console, os.environ, json=kept["json"], debug=kept["debug"], command="build")

    def framework() -> Framework:
        from devbox.frameworks.load import load

        return load(asked.framework, asked.variant or None, target.workspace)

    def work() -> int:
        if kept["context"]:
            # Named by a setting, which is as it was.
            os.environ["DOCKER_CONTEXT"] = kept["context"]
        engine = Engine(environ=os.environ)
        done, log, complaints = carry_out(asked, target, engine, console, seeded=kept["seed"], framework=framework)
        from devbox.builds.report.summary import report
        from devbox.cli.builds.told import outcome, tell

        made = report(done, log, complaints)
        failed, code = outcome(made)
        run.show(made, lambda: tell(run, made, explain=kept["explain"]), error=failed, code=code)
        return code

    return ended(run, work)
