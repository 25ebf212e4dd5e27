"""Containers of commands that were killed: they ended, or never began, and nobody removes them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from devbox.container.inside.find import is_for_one_command
from devbox.container.target import HELPER, ONE_SHOT

if TYPE_CHECKING:
    from devbox.engine.docker import ContainerSummary, Engine

# One that was made a moment ago is about to start.
FRESH_SECONDS = 60.0
_ENDED = frozenset({"created", "exited", "dead"})


def left_over(engine: Engine, workspace: str | None) -> tuple[ContainerSummary, ...]:
    """Return what commands for a workspace left, or for any where it is None; helpers belong to none."""
    asked = ({HELPER: None}, {ONE_SHOT: workspace})
    found = (one for labels in asked for one in engine.containers(labels))
    ended = (one for one in found if one.state in _ENDED and time.time() - one.created > FRESH_SECONDS)
    return tuple(one for one in ended if is_for_one_command(engine, one.labels, one.image_id))
