"""From what is wanted and what is there to a list of steps, with reasons. Nothing here asks or changes the engine."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from devbox.container.up.desired import Desired, differences
from devbox.devcontainer.compose.model import NUMBER, PROJECT, SERVICE
from devbox.engine.spec import ContainerSpec, container_args
from devbox.masking import is_secret

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from devbox.devcontainer.compose.override import ProjectSpec
    from devbox.devcontainer.compose.sources import Sources
    from devbox.engine.docker import ContainerSummary, Engine

JSON = dict[str, Any]
Outcome = Literal["created", "started", "running"]
# What a container is that has never run: nothing is in it that could be lost.
UNSTARTED = frozenset({"created", "dead"})
# On a container that was made to take another one's place: that one's id.
REPLACES = "devbox.replaces"
# What follows its name for as long as it has not taken the place.
NEXT = "-next"


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
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def busy(self) -> bool:
        """Whether its processes are there."""
        return self.state in {"running", "restarting", "paused"}


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
    container is replaced, with `alone` nothing else is started. `made` is set where containers are only created: so
    many of the one service that is named.
    """

    project: str
    sources: Sources | None
    spec: ProjectSpec | None = None
    services: tuple[str, ...] = ()
    keep: bool = False
    alone: bool = False
    made: int | None = None

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
        if self.made is None:
            return [*args, *self.sources.args(), *override, "up", "--detach", *flags, *self.services]
        scale = [word for name in self.services for word in ("--scale", f"{name}={self.made}")]
        return [*args, *self.sources.args(), *override, "up", "--no-start", *flags, *scale, *self.services]

    def lines(self, engine: Engine) -> list[str]:
        """Return the docker command, after the content of the override that it names."""
        content: list[str] = []
        if self.spec is not None:
            content = [f"# {self.spec.path} is:", *(f"#   {line}" for line in self.spec.shown(is_secret).splitlines())]
        return [*content, engine.line(self.args())]


@dataclass(frozen=True, slots=True)
class Replace:
    """Put a new container in the place of `old`, which stays until the new one has started.

    The new one is called otherwise until then, and its label says whose place it takes, so that a swap that was
    interrupted anywhere can be told, and finished. With `halted` it is left stopped: others have to start before it.
    """

    old: Actual
    spec: ContainerSpec | ProjectSpec
    halted: bool = False

    @property
    def title(self) -> str:
        """What the step is called."""
        return f"Replacing the container {self.old.name}"

    @property
    def temporary(self) -> str:
        """The name of the new one until it takes the place."""
        return f"{self.spec.called}{NEXT}"

    def creation(self) -> ContainerSpec | ComposeUp:
        """Return the new container as it is made."""
        if isinstance(self.spec, ContainerSpec):
            # Of several names docker takes the last.
            labels = (*self.spec.labels, (REPLACES, self.old.id))
            return replace(
                self.spec, name=None, labels=labels, run_args=(*self.spec.run_args, f"--name={self.temporary}")
            )
        from devbox.devcontainer.compose.override import without_name

        project = self.spec.project
        beside = (self.old.labels.get(PROJECT), self.old.labels.get(SERVICE)) == (project.name, project.service)
        spec = without_name(self.spec) if beside and project.definition.get("container_name") else self.spec
        made = 2 if beside else 1
        return ComposeUp(project.name, project.sources, spec, (project.service,), keep=True, made=made)

    def lines(self, engine: Engine) -> list[str]:
        """Return the docker commands."""
        made = self.creation()
        new, old = self.temporary, self.old.name
        if isinstance(made, ContainerSpec):
            first = [engine.line(["create", *container_args(made)])]
        else:
            number = int(self.old.labels.get(NUMBER, "0")) + 1 if made.made == 2 else 1
            named = f"{made.project}-{made.services[0]}-{number}" if made.made == 2 else self.spec.called
            first = [*made.lines(engine), engine.line(["rename", named, new])]
        rest = [
            *([["stop", old]] if self.old.busy else []),
            ["start", new],
            *([["stop", new]] if self.halted else []),
            ["rm", "--force", "--volumes", old],
            ["rename", new, self.spec.called],
        ]
        return [*first, *map(engine.line, rest)]


@dataclass(frozen=True, slots=True)
class FinishReplacing:
    """Finish a swap that was interrupted after the new container had started: remove the old one, take its name."""

    id: str
    name: str
    old: str

    @property
    def title(self) -> str:
        """What the step is called."""
        return f"Finishing the replacement of the container {self.called}"

    @property
    def called(self) -> str:
        """The name that it gets."""
        return self.name.removesuffix(NEXT)

    def lines(self, engine: Engine) -> list[str]:
        """Return the docker commands."""
        return [
            engine.line(["rm", "--force", "--volumes", self.old[:12]]),
            engine.line(["rename", self.name, self.called]),
        ]


Step = RemoveContainer | CreateContainer | StartContainer | ComposeUp | Replace | FinishReplacing


def is_stray(container: ContainerSummary) -> bool:
    """Tell whether a container was made to replace another one, and the swap was interrupted before it started."""
    return REPLACES in container.labels and container.state in UNSTARTED


def unfinished(containers: Iterable[ContainerSummary]) -> tuple[Step, ...]:
    """Return the steps that tidy up after swaps that were interrupted."""
    steps: list[Step] = []
    for one in containers:
        if is_stray(one):
            steps.append(RemoveContainer(one.id, one.called))
        elif REPLACES in one.labels and one.called.endswith(NEXT):
            steps.append(FinishReplacing(one.id, one.called, one.labels[REPLACES]))
    return tuple(steps)


def creation(spec: ContainerSpec | ProjectSpec) -> CreateContainer | ComposeUp:
    """Return the step that makes a container and starts it."""
    if isinstance(spec, ContainerSpec):
        return CreateContainer(spec)
    return ComposeUp(spec.project.name, spec.project.sources, spec, spec.project.named())


def replacement(old: Actual, spec: ContainerSpec | ProjectSpec) -> tuple[Step, ...]:
    """Return the steps that put a new container in the place of `old`."""
    if old.state in UNSTARTED:
        return RemoveContainer(old.id, old.name), creation(spec)
    if isinstance(spec, ContainerSpec):
        return (Replace(old, spec),)
    from devbox.devcontainer.compose.override import with_label

    # Marked in the file, too: to compose, another label makes another container.
    marked = with_label(spec, REPLACES, old.id)
    return Replace(old, marked), creation(marked)


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
    replaced = replacement(actual, desired.spec)
    if recreate:
        return Plan(replaced, "created", ("--recreate was given",))
    drift = differences(actual.recorded, desired.state) if actual.recorded else ()
    if actual.state in UNSTARTED:
        return Plan(replaced, "created", ("the last start was interrupted or failed", *drift))
    if not actual.recorded:
        return Plan(replaced, "created", ("it was started without what makes it a dev container",))
    if drift and not actual.sessions:
        return Plan(replaced, "created", drift)
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
