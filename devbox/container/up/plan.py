"""From what is wanted and what is there to a list of steps, with reasons. Nothing here asks or changes the engine."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from devbox.container.desired import Desired, differences
from devbox.container.steps import (
    NEXT,
    REPLACES,
    Actual,
    ComposeUp,
    CreateContainer,
    CreatePod,
    FinishReplacing,
    RemoveContainer,
    Replace,
    StartContainer,
    Step,
)
from devbox.engine.spec import ContainerSpec
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from devbox.container.desired import Spec
    from devbox.container.request import Outcome
    from devbox.engine.docker import ContainerSummary

# What a container is that has never run: nothing is in it that could be lost.
UNSTARTED = frozenset({"created", "dead"})


def is_stray(container: ContainerSummary) -> bool:
    """Tell whether a container was made to replace another one, and the swap was interrupted before it started."""
    return REPLACES in container.labels and container.state in UNSTARTED


def has_started(container: ContainerSummary) -> bool:
    """Tell whether a container that was made to replace another one has started, and the swap ended there."""
    return REPLACES in container.labels and container.called.endswith(NEXT) and not is_stray(container)


def unfinished(containers: Sequence[ContainerSummary], beside: Iterable[ContainerSummary] = ()) -> tuple[Step, ...]:
    """Return the steps that tidy up after swaps that were interrupted.

    `containers` are the workspace's, `beside` those of its compose service. Only one of these is ever removed: an image
    has labels, too, and what it names is somebody else's.
    """
    known = {one.id for one in (*containers, *beside)}
    steps: list[Step] = []
    for one in containers:
        if is_stray(one):
            steps.append(RemoveContainer(one.id, one.called))
        elif has_started(one):
            old = one.labels[REPLACES]
            steps.append(FinishReplacing(one.id, one.called, old if old in known else None))
    return tuple(steps)


def creation(spec: Spec) -> CreateContainer | CreatePod | ComposeUp:
    """Return the step that makes a container and starts it."""
    if isinstance(spec, ContainerSpec):
        return CreateContainer(spec)
    from devbox.engine.kubernetes.spec import PodSpec

    if isinstance(spec, PodSpec):
        return CreatePod(spec)
    return ComposeUp(spec.project.name, spec.project, spec, spec.project.named())


def replacement(old: Actual, spec: Spec, user: str | None = None, folder: str = "") -> tuple[Step, ...]:
    """Return the steps that put a new container in the place of `old`. Commands in it run as `user`, in `folder`."""
    anew = RemoveContainer(old.id, old.name), creation(spec)
    if old.state in UNSTARTED:
        return anew
    if isinstance(spec, ContainerSpec):
        return (Replace(old, spec, user=user, folder=folder),)
    from devbox.devcontainer.compose.override import with_label
    from devbox.engine.kubernetes.spec import PodSpec

    if isinstance(spec, PodSpec):
        # The claim is for one pod at a time.
        return anew

    # Marked in the file, too: to compose, another label makes another container.
    marked = with_label(spec, REPLACES, old.id)
    return Replace(old, marked, user=user, folder=folder), creation(marked)


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps to the wanted container, and why. `pending` is what waits because somebody works in the container."""

    steps: tuple[Step, ...]
    outcome: Outcome
    reasons: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()


def plan(desired: Desired, actual: Actual | None, *, recreate: str | None = None) -> Plan:
    """Return the steps that lead from the container that is there, if any, to the desired one.

    One that differs in meaning from what its contract now says is replaced, unless somebody works in it. One that was
    created and never started is what an interrupted start leaves: it is replaced too. So is one without a record, which
    comes here only where no tool made it as a dev container.
    """
    create = creation(desired.spec)
    if actual is None:
        return Plan((create,), "created", ("there is no container yet",))
    state = desired.state
    replaced = replacement(actual, desired.spec, state.get("remoteUser"), state.get("workspaceFolder") or "")
    if recreate is not None:
        return Plan(replaced, "created", (recreate,))
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
