"""From what is wanted and what is there to a list of steps, with reasons. Nothing here asks or changes the engine."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from devbox.container.desired import Desired, differences
from devbox.engine.spec import ContainerSpec, container_args

if TYPE_CHECKING:
    from devbox.engine.docker import Engine

JSON = dict[str, Any]
Outcome = Literal["created", "started", "running"]


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


Step = RemoveContainer | CreateContainer | StartContainer


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
    created and never started is what an interrupted start leaves: it is replaced too.
    """
    create = CreateContainer(desired.spec)
    if actual is None:
        return Plan((create,), "created", ("there is no container yet",))
    replacement = (RemoveContainer(actual.id, actual.name), create)
    if recreate:
        return Plan(replacement, "created", ("--recreate was given",))
    drift = differences(actual.recorded, desired.state)
    if actual.state in {"created", "dead"}:
        return Plan(replacement, "created", ("the last start was interrupted or failed", *drift))
    if drift and not actual.sessions:
        return Plan(replacement, "created", drift)
    return replace(adopt(actual), pending=drift)


def adopt(actual: Actual) -> Plan:
    """Return the steps that make the container of another tool usable: it is started where it is stopped."""
    if actual.state in {"running", "restarting"}:
        return Plan((), "running")
    start = StartContainer(actual.id, actual.name, paused=actual.state == "paused")
    return Plan((start,), "started", (f"the container was {_was(actual.state)}",))


def _was(state: str) -> str:
    return "stopped" if state == "exited" else state
