"""Whether a checkout was deleted and made again, by another clone say, under its running container."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from devbox.container import memory
from devbox.engine.exec import Exec

if TYPE_CHECKING:
    from pathlib import Path

    from devbox.devcontainer.model import Contract
    from devbox.engine.docker import Engine

JSON = dict[str, Any]

REASON = "the checkout was deleted and made again since the container started, which has the old one"


def is_remade(engine: Engine, inspected: JSON, contract: Contract) -> bool:
    """Tell whether the workspace inside is a folder that is not there any more on the host.

    Such a folder has no links. The container is asked only where the contract's file is newer than its start, and once
    for each content of that.
    """
    state, identifier = inspected["State"], str(inspected["Id"])
    begun = str(state["StartedAt"])
    if not state.get("Running") or state.get("Paused") or not _is_newer(contract.path, begun):
        return False
    if memory.mounts_it(identifier, begun, contract.path):
        return False
    asked = Exec(identifier, ("stat", "-c", "%h", contract.workspace_folder), "", "/", interactive=False)
    if engine.execute(asked).stdout.strip() == "0":
        return True
    memory.remember_mounts_it(identifier, begun, contract.path)
    return False


def _is_newer(file: Path, moment: str) -> bool:
    """Tell whether a file changed after `moment`, in RFC 3339 as the engine has it: UTC, nanoseconds, no last zeros."""
    try:
        seconds, rest = divmod(file.stat().st_ctime_ns, 1_000_000_000)
    except OSError:
        return False
    begun, _, fraction = moment.removesuffix("Z").partition(".")
    return (time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)), f"{rest:09}") > (begun, f"{fraction:0<9}")
