"""`devcontainer run-user-commands` and `devcontainer set-up`: lifecycle commands in a container that is there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devbox import config
from devbox.container import memory
from devbox.container.hooks.commands import run_due
from devbox.container.hooks.manage import within
from devbox.container.inside.probe import learn, reading
from devbox.container.person import dotfiles
from devbox.devcontainer.properties import LIFECYCLE
from devbox.dropin.configuration import included
from devbox.dropin.meant import extent, meant, settings_of

if TYPE_CHECKING:
    from devbox.container.inside.probe import Reading
    from devbox.devcontainer.model import Merged
    from devbox.dropin.arguments import Arguments
    from devbox.reporter import Reporter

JSON = dict[str, Any]


def run(arguments: Arguments, reporter: Reporter) -> JSON:
    """Run the lifecycle commands that are due, and return the outcome."""
    about = meant(arguments)
    inspected = about.running()
    settings = config.load(about.workspace, environ=about.engine.environ, flags=settings_of(arguments))
    person = dotfiles.of(settings)
    reporter.mask.hide(person.secrets() if person is not None else ())
    secrets, limits = arguments.text("secrets-file"), extent(arguments)
    found = reading(about.engine, inspected, about.contract_of(inspected))
    with memory.lock(found.workspace, reporter):
        target = memory.recall_target(found.id, found.moments[1])
        if target is None:
            target, warning = learn(about.engine, found)
            if warning:
                reporter.warn(warning)
        file = None if secrets is None else Path(secrets)
        hooks, inside = within(about.engine, found, target, reporter, secrets_file=file, dotfiles=person)
        until = _wait_for(found) if limits.blocking else limits.until
        if arguments.text("log-level") == "trace" and found.merged is not None:
            reporter.info(f"LifecycleCommandExecutionMap: {json.dumps(_from_where(found.merged), indent=4)}")
        if limits.inside:
            run_due(inside, hooks, wait_for=until, extent=limits)
    if arguments.command_is("set-up"):
        return {"outcome": "success", **included(arguments, about, inspected)}
    return {"outcome": "success", "result": result(arguments)}


def result(arguments: Arguments) -> str:
    """Return the word for where the commands ended."""
    if arguments.on("skip-non-blocking-commands"):
        return "skipNonBlocking"
    if arguments.on("prebuild"):
        return "prebuild"
    return "stopForPersonalization" if arguments.on("stop-for-personalization") else "done"


def _from_where(merged: Merged) -> JSON:
    """Return the commands of each lifecycle name and where they come from, as the reference's log has them."""
    return {
        name: [
            {"origin": entry.get("id", "devcontainer.json"), "command": entry[name]}
            for entry in merged.metadata
            if entry.get(name)
        ]
        for name in LIFECYCLE
    }


def _wait_for(read: Reading) -> str | None:
    return read.merged.wait_for if read.merged is not None else None
