"""What the linter of Dockerfiles looks at."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from devbox.finding import Finding
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from devbox.finding import Severity
    from devbox.image.dockerfile.stages import Stages


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

    def finding(
        self, rule: str, severity: Severity, line: int, message: str, remedy: str, *, why: str | None = None
    ) -> Finding:
        """Return a finding in this Dockerfile."""
        return Finding(rule, severity, message, remedy, why, self.path, line)
