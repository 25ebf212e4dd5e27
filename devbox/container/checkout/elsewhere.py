"""A checkout whose engine is on another machine: whether that sees it is asked before anything is made."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from devbox.errors import RefusedError
from devbox.facts.sight import sees

if TYPE_CHECKING:
    from pathlib import Path

    from devbox.engine.docker import Engine


def is_seen(engine: Engine, workspace: Path) -> bool:
    """Tell whether containers of the engine can mount the checkout.

    Where an engine does not say, one with a socket on this machine does. Raises EngineError where it does not answer.
    """
    seen = sees(engine, workspace)
    return engine.address.is_here if seen is None else seen


def must_be_seen(engine: Engine, workspace: Path) -> None:
    """See that the engine can mount the checkout. Raises RefusedError where it does not see it.

    A folder of the same name over there would be another one: builds would take its files, and nobody would notice.
    """
    if not is_seen(engine, workspace):
        raise RefusedError(
            f"the Docker engine {engine.address} does not see {workspace}: it is on another machine, or "
            "shares other folders",
            hint=f"docker context use default; devbox up {shlex.quote(str(workspace))}   # or run devbox over there",
        )
