"""Reading what the volume keeps of a tree's builds: the timeline of the last one, and the history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devbox.agent import protocol
from devbox.builds.report.timeline import Build, Timeline, history, timeline
from devbox.builds.talk import ask
from devbox.errors import UsageError
from devbox.values import dataclass

if TYPE_CHECKING:
    from devbox.container.target import Target
    from devbox.engine.docker import Engine


@dataclass(frozen=True, slots=True)
class PastBuilds:
    """What is known of one tree's builds; `timeline` is that of the last one that ran anything."""

    key: str
    timeline: Timeline | None
    builds: tuple[Build, ...]


def read(target: Target, engine: Engine, key: str | None = None) -> PastBuilds:
    """Return what is known of the tree `key`, or of the one that was built last. Raises BuildError, UsageError."""
    if key is not None and ("/" in key or key.startswith(".")):
        raise UsageError(f"'{key}' is no build key", hint="devbox builds list")
    said = ask(protocol.Report(key=key), target, engine)
    return PastBuilds(said.key, timeline(said.timeline) if said.timeline else None, history(said.history))
