"""Whether a personal contract may mount the way to the person's ssh-agent: asked once in a workspace."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from devbox.container.person import ssh_agent
from devbox.paths import config_dir
from devbox.trust.ask import Answers, may_use_agent

if TYPE_CHECKING:
    from devbox.container.contract.gather import Facts
    from devbox.reporter import Reporter


def with_agent(facts: Facts, answers: Answers, reporter: Reporter) -> Facts:
    """Return `facts` for a contract without the ssh-agent, unless the person lets the container use it.

    Who has switched it on for all workspaces, in a place that no checkout can write, is not asked for each.
    """
    settings = facts.settings
    if ssh_agent.folder_for(facts.engine, wanted=settings.ssh_agent) is None:
        return facts
    origin = settings.origin("ssh_agent")
    own = origin.startswith(("--", "DEVBOX_")) or origin == str(config_dir() / "config.toml")
    there = bool(facts.environ.get("SSH_AUTH_SOCK"))
    if may_use_agent(facts.checkout.path, answers, reporter, own=origin if own else None, there=there):
        return facts
    return replace(facts, settings=replace(settings, ssh_agent=False))
