"""What `devbox up` is asked for, and what it answers, as values."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Literal

from devbox.container.hooks.commands import ALL, Extent
from devbox.devcontainer.model import Variation
from devbox.values import dataclass

if TYPE_CHECKING:
    from pathlib import Path

    from devbox.config.table import Flags
    from devbox.container.hooks.commands import HookDone
    from devbox.trust.ask import Answers


# What became of the container.
Outcome = Literal["created", "started", "running"]


@dataclass(frozen=True, slots=True)
class UpRequest:
    """What `devbox up` was asked for. `path` is absolute, symlinks as given; `flags` are settings, by their keys.

    None leaves a choice to devbox. `variation` is what is said beside the contract's file, for this once. With `keep` a
    container that is there is used as it is, whatever the contract says by now.
    """

    path: Path
    flags: Flags = field(default_factory=dict, hash=False)
    name: str | None = None
    config: Path | None = None
    flat: bool = False
    compose: bool | None = None
    pull: bool = False
    recreate: bool = False
    keep: bool = False
    force: bool = False
    skip_hooks: bool = False
    no_wait: bool = False
    secrets_file: Path | None = None
    trust: bool = False
    allow: tuple[str, ...] = ()
    restricted: bool = False
    yes: bool = False
    dry_run: bool = False
    variation: Variation = field(default_factory=Variation)
    extent: Extent = ALL

    @property
    def answers(self) -> Answers:
        """What was said on the command line to the question of trust."""
        from devbox.trust.ask import Answers

        return Answers(self.trust, self.allow, asks=not self.yes and not self.restricted, dry_run=self.dry_run)


@dataclass(frozen=True, slots=True)
class StepDone:
    """A step: how long it took in seconds, or, for a dry run, the commands that it would run."""

    title: str
    seconds: float = 0.0
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class UpResult:
    """What `devbox up` did, or with `dry_run` would do.

    `outcome` is "created", "started" or "running" (it ran already), `reasons` say why, and `pending` is what of the
    contract waits because somebody works in the container. `written` are the files that were written, `hooks` the
    lifecycle commands that were run, `hooks_log` the log of those that still run in the background, `next` is what to
    type now. `compose_project_name` is that of the project whose service the container is.
    """

    container: str
    name: str
    outcome: Outcome
    workspace: Path
    workspace_folder: str
    remote_user: str
    contract: Path
    framework: str | None
    image: str
    steps: tuple[StepDone, ...] = ()
    reasons: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    written: tuple[Path, ...] = ()
    hooks: tuple[HookDone, ...] = ()
    hooks_log: Path | None = None
    next: tuple[str, ...] = ()
    dry_run: bool = False
    compose_project_name: str | None = None
