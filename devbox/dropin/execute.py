"""`devcontainer exec`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devbox.container import memory
from devbox.container.inside.exec import execute
from devbox.container.inside.probe import learn, reading
from devbox.container.person import ssh_agent
from devbox.dropin.meant import meant

if TYPE_CHECKING:
    from devbox.dropin.arguments import Arguments
    from devbox.reporter import Reporter


def run(arguments: Arguments, reporter: Reporter) -> int:
    """Run a command in the dev container and return its exit code."""
    about = meant(arguments)
    engine = about.engine
    inspected = about.running()
    target = memory.recall_target(str(inspected["Id"]), str(inspected["State"]["StartedAt"]))
    variables = about.variation.remote_env
    if target is None or variables:
        read = reading(engine, inspected, about.contract_of(inspected))
        variables = variables if read.merged is None else read.merged.remote_env_of(about.variation)
        if target is None:
            target, warning = learn(engine, read)
            if warning:
                reporter.warn(warning)
    if "SSH_AUTH_SOCK" in engine.environ:
        ssh_agent.ensure(engine.environ)
    return execute(target, arguments.words, environ=engine.environ, env=variables, docker=engine.docker)
