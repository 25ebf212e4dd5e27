"""What the linter of Dockerfiles looks at, and what it says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from devbox.image.dockerfile.stages import Stages

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule saw. `line` is 0 for what is about the whole file; `remedy` is what to write instead."""

    rule: str
    severity: Severity
    path: str
    line: int
    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Base:
    """What the engine knows of an image that a stage starts from: how many layers it has, and its variables."""

    layers: int
    environment: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Subject:
    """One Dockerfile and what is known around it.

    `path` is what findings call it. `context` is the folder that its builds upload, `ignore` the file that says what
    stays out of it; `checkout` the tree whose documents and scripts may build it. `bases` are images on the engine.
    """

    path: str
    stages: Stages
    context: Path | None = None
    ignore: Path | None = None
    checkout: Path | None = None
    bases: Mapping[str, Base] = field(default_factory=dict, hash=False)

    def finding(self, rule: str, severity: Severity, line: int, message: str, remedy: str) -> Finding:
        """Return a finding in this Dockerfile."""
        return Finding(rule, severity, self.path, line, message, remedy)
