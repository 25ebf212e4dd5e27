"""From what is wanted and what is there to a list of steps, with reasons. Nothing here asks or changes the engine."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from devbox.container.up.desired import Desired, differences
from devbox.engine.spec import ContainerSpec, container_args
from devbox.masking import is_secret

if TYPE_CHECKING:
    from devbox.devcontainer.compose.override import ProjectSpec
    from devbox.devcontainer.compose.sources import Sources
    from devbox.engine.docker import Engine

JSON = dict[str, Any]
Outcome = Literal["created", "started", "running"]
# What a container is that has never run: nothing is in it that could be lost.
UNSTARTED = frozenset({"created", "dead"})


@dataclass(frozen=True, slots=True)
class Actual:
    """The container that is there. `recorded` is its recorded state.

    `state` is docker's word. `sessions` are the commands that are executed in it now, other than devbox's own probes.
    """

    id: str
    name: str
    state: str
    recorded: JSON = field(hash=False)
    sessions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RemoveContainer:
    """Remove a container; its named volumes stay."""

    id: str
    name: str

    @property
    def title(self) -> str:
        """What the step is called."""
        return f"Removing the container {self.name}"

    def lines(self, engine: Engine) -> list[str]:
        """Return the docker command."""
        return [engine.line(["rm", "--force", "--volumes", self.name])]


@dataclass(frozen=True, slots=True)
class CreateContainer:
    """Create a container and start it."""

    spec: ContainerSpec

    @property
    def title(self) -> str:
        """What the step is called."""
        return f"Creating the container {self.spec.called}"

    def lines(self, engine: Engine) -> list[str]:
        """Return the docker command."""
        return [engine.line(["run", "--detach", *container_args(self.spec)])]


@dataclass(frozen=True, slots=True)
class StartContainer:
    """Start a container that is stopped."""

    id: str
    name: str
    paused: bool = False

    @property
    def title(self) -> str:
        """What the step is called."""
        return f"Starting the container {self.name}"

    def lines(self, engine: Engine) -> list[str]:
        """Return the docker command."""
        return [engine.line(["unpause" if self.paused else "start", self.name])]


@dataclass(frozen=True, slots=True)
class ComposeUp:
    """`docker compose up` of a project: make and start what of its services is not there, or not as the files say.

    `spec` has the override that is written first; None where `sources` are all files, or where there are none and the
    containers are started as they are. `services` are named; none means all that start by themselves. With `keep` no
    container is replaced, with `alone` nothing else is started.
    """

    project: str
    sources: Sources | None
    spec: ProjectSpec | None = None
    services: tuple[str, ...] = ()
    keep: bool = False
    alone: bool = False

    @property
    def title(self) -> str:
        """What the step is called."""
        which = f" ({', '.join(self.services)})" if self.services else ""
        return f"Starting the services of {self.project}{which}"

    def args(self) -> list[str]:
        """Return the arguments for docker."""
        args = ["compose", "--project-name", self.project]
        if self.sources is None:
            return [*args, "start", *self.services]
        override = ["-f", str(self.spec.path)] if self.spec is not None else []
        flags = [*(["--no-recreate"] if self.keep else []), *(["--no-deps"] if self.alone else [])]
        return [*args, *self.sources.args(), *override, "up", "--detach", *flags, *self.services]

    def lines(self, engine: Engine) -> list[str]:
        """Return the docker command, after the content of the override that it names."""
        content: list[str] = []
        if self.spec is not None:
            content = [f"# {self.spec.path} is:", *(f"#   {line}" for line in self.spec.shown(is_secret).splitlines())]
        return [*content, engine.line(self.args())]


Step = RemoveContainer | CreateContainer | StartContainer | ComposeUp


def creation(spec: ContainerSpec | ProjectSpec) -> CreateContainer | ComposeUp:
    """Return the step that makes a container and starts it."""
    if isinstance(spec, ContainerSpec):
        return CreateContainer(spec)
    return ComposeUp(spec.project.name, spec.project.sources, spec, spec.project.named())


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps to the wanted container, and why. `pending` is what waits because somebody works in the container."""

    steps: tuple[Step, ...]
    outcome: Outcome
    reasons: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()


def plan(desired: Desired, actual: Actual | None, *, recreate: bool = False) -> Plan:
    """Return the steps that lead from the container that is there, if any, to the desired one.

    One that differs in meaning from what its contract now says is replaced, unless somebody works in it. One that was
    created and never started is what an interrupted start leaves: it is replaced too. So is one without a record, which
    comes here only where no tool made it as a dev container.
    """
    create = creation(desired.spec)
    if actual is None:
        return Plan((create,), "created", ("there is no container yet",))
    replacement = (RemoveContainer(actual.id, actual.name), create)
    if recreate:
        return Plan(replacement, "created", ("--recreate was given",))
    drift = differences(actual.recorded, desired.state) if actual.recorded else ()
    if actual.state in UNSTARTED:
        return Plan(replacement, "created", ("the last start was interrupted or failed", *drift))
    if not actual.recorded:
        return Plan(replacement, "created", ("it was started without what makes it a dev container",))
    if drift and not actual.sessions:
        return Plan(replacement, "created", drift)
    start = replace(create, keep=True) if isinstance(create, ComposeUp) else None
    return replace(adopt(actual, start), pending=drift)


def adopt(actual: Actual, start: Step | None = None) -> Plan:
    """Return the steps that make a container usable as it is: it is started where it is stopped.

    `start` is the step that does it where the container is not alone.
    """
    if actual.state in {"running", "restarting"}:
        return Plan((), "running")
    if start is None or actual.state == "paused":
        start = StartContainer(actual.id, actual.name, paused=actual.state == "paused")
    return Plan((start,), "started", (f"the container was {_was(actual.state)}",))


def _was(state: str) -> str:
    return "stopped" if state == "exited" else state
