"""What the checks are given to look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from devbox.engine.docker import Engine
    from devbox.errors import EngineError
    from devbox.facts.model import EngineFacts, Gpus, Host
    from devbox.frameworks.model import Framework


@dataclass(frozen=True, slots=True)
class Patient:
    """What the checks look at: the checkout, this machine and its engine, or what was the `trouble` with that."""

    host: Host
    engine: Engine
    engine_facts: EngineFacts | None
    trouble: EngineError | None
    gpus: Gpus
    workspace: Path
    framework: Framework | None
