"""What every part of an attempt needs: what is built, what was asked, where to speak, and what runs programs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from .locks import lock, lock_path
from .record import Records
from .volume import records_of

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from .configuration import Configuration
    from .events import Events
    from .process import Supervisor
    from .protocol import Configured


class Context:
    """One attempt's surroundings, and its `result`, which grows; `reasons` are what `--explain` says."""

    def __init__(
        self, decided: Configuration, request: Configured[Any], events: Events, supervisor: Supervisor
    ) -> None:
        """Take the configuration, the request, where to speak, and what runs programs."""
        self.decided = decided
        self.request = request
        self.events = events
        self.supervisor = supervisor
        self.records = Records(records_of(decided.volume))
        self.reasons: list[str] = []
        self.result: dict[str, Any] = {
            "code": 0,
            "key": decided.key,
            "tree": decided.tree,
            "reasons": self.reasons,
        }

    def lock(self, name: str, *, tell: bool = False, state: str | None = None) -> AbstractContextManager[int]:
        """Return one of the volume's locks: a tree's by its key, or `install`; `state` is another folder."""

        def on_wait(holder: str) -> None:
            if tell:
                self.events.info(f"waiting for {name}: {holder}")

        note = f"{self.request.client} (process {os.getpid()} in the container)"
        return lock(lock_path(state or self.decided.state, name), note, wait=self.supervisor.wait, on_wait=on_wait)
