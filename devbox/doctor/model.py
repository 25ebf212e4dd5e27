"""A finding, and what the checks are given to look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path

    from devbox.engine.docker import Engine
    from devbox.facts.model import EngineFacts, Gpus, Host

Severity = Literal["ok", "note", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check saw, and what to type about it."""

    check: str
    severity: Severity
    message: str
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class Patient:
    """What the checks look at. `engine_facts` is None where no engine answers; `workspace` is the current checkout."""

    host: Host
    engine: Engine
    engine_facts: EngineFacts | None
    engine_error: str | None
    engine_hint: str | None
    gpus: Gpus
    workspace: Path
