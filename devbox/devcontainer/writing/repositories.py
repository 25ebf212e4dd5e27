"""Further checkouts in the dev container of a workspace: an editable vLLM beside Dynamo, each at its own place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devbox.devcontainer.record import Further
from devbox.devcontainer.worktree import git_mounts
from devbox.engine.spec import Mount
from devbox.values import dataclass

if TYPE_CHECKING:
    from devbox.facts.model import Checkout


@dataclass(frozen=True, slots=True)
class Repository:
    """A further checkout: its name, its framework, its `folder` in the container, and whether it has a Python package.

    Its folder is the one that it has in a dev container of its own, so that compiler caches hit across both.
    """

    name: str
    checkout: Checkout
    framework: str
    variant: str
    folder: str
    python: bool = False

    def mounts(self) -> tuple[Mount, ...]:
        """Return the mounts of the checkout, and of its git repository where that lies elsewhere."""
        return (Mount("bind", self.folder, str(self.checkout.path)), *git_mounts(self.checkout, self.folder))

    def record(self) -> Further:
        """Return what the contract records of it."""
        return Further(str(self.checkout.path), self.folder, self.framework, self.variant)
