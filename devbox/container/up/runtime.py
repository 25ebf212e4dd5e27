"""The two ways in which a contract becomes a container, as `up` sees them: by `docker run`, or by docker compose.

`up` has one order of steps for both; here is what differs. `compose.ComposeRuntime` is the other one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from devbox.container.checkout.elsewhere import placed
from devbox.container.desired import Desired, Image, UserImage, desired
from devbox.container.inside.find import containers_of, is_proven
from devbox.container.inside.probe import project_of, recorded
from devbox.container.steps import Actual, Replace, Step
from devbox.container.target import LOCAL_FOLDER, mounts_of
from devbox.container.up.plan import Plan, adopt, has_started, is_stray, unfinished
from devbox.devcontainer.compose.model import PROJECT, SERVICE
from devbox.engine.spec import Mount

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from devbox.container.contract.inforce import InForce
    from devbox.container.request import UpRequest
    from devbox.container.up.apply import Journal
    from devbox.devcontainer.model import Contract, Merged
    from devbox.engine.docker import ContainerSummary, Engine
    from devbox.masking import Mask

JSON = dict[str, Any]


class There(NamedTuple):
    """The inspected container that is there, if any, and the steps that finish what was interrupted before."""

    inspected: JSON | None
    unfinished: tuple[Step, ...] = ()


class Runtime(Protocol):
    """How a contract becomes a container."""

    def elsewhere(self) -> Contract:
        """Return the contract where the engine does not see the checkout. Raises ContractError where that cannot be."""

    def find(self) -> There:
        """Return the container that is there."""

    def is_ready(self, inspected: JSON) -> bool:
        """Tell whether a container that devbox did not make was made as a dev container, and is used as it is."""

    def adopt(self, actual: Actual, inspected: JSON) -> Plan:
        """Return the steps that make such a container usable."""

    def image_contract(self) -> tuple[Contract, bool]:
        """Return the contract whose image is had by pulling or building it, and whether that was done just now."""

    def base_config(self, image: Image) -> JSON:
        """Return `.Config` of the image as the container has it before the contract's own say."""

    def desired(self, merged: Merged, image: Image, *, uid_image: UserImage | None, mask: Mask) -> Desired:
        """Return the wanted container. Its record holds nothing that `mask` knows for secret."""

    def complete(self, plan: Plan, wanted: Desired) -> Plan:
        """Return a plan for a container that is there, with what else has to be started."""

    def applied(self, plan: Plan) -> None:
        """Remember what was done."""

    def fallen(self, plan: Plan) -> list[str]:
        """Return a sentence for each of the other containers that the plan was to start and that does not run."""


class SingleRuntime:
    """A contract with an image or a build: one container, made by `docker run`."""

    def __init__(self, request: UpRequest, engine: Engine, force: InForce, journal: Journal) -> None:
        self.engine = engine
        self.journal = journal
        self.contract = force.contract
        self.name = None if force.contract.generated else request.name

    def elsewhere(self) -> Contract:
        """Return it with a copy of the checkout as its workspace."""
        return placed(self.contract)

    def find(self) -> There:
        """Return the container that carries the contract's labels."""
        return there(self.engine, self.contract)

    def is_ready(self, inspected: JSON) -> bool:
        """Whoever wrote the labels made a dev container."""
        return is_labelled(self.contract, inspected)

    def adopt(self, actual: Actual, inspected: JSON) -> Plan:  # noqa: ARG002
        """Start it where it is stopped."""
        return adopt(actual)

    def image_contract(self) -> tuple[Contract, bool]:
        """Return the contract itself."""
        return self.contract, False

    def base_config(self, image: Image) -> JSON:
        """Return the image's own."""
        return image.config

    def desired(self, merged: Merged, image: Image, *, uid_image: UserImage | None, mask: Mask) -> Desired:
        """Return the container that `docker run` is to make."""
        return desired(self.contract, merged, image, name=self.name, uid_image=uid_image, mask=mask)

    def complete(self, plan: Plan, wanted: Desired) -> Plan:  # noqa: ARG002
        """There is nothing else, but a contract that named a service before may leave the others."""
        self.journal.notes += left_behind(self.engine, plan)
        return plan

    def applied(self, plan: Plan) -> None:
        """There is nothing to remember."""

    def fallen(self, plan: Plan) -> list[str]:  # noqa: ARG002
        """There are no others."""
        return []


def is_labelled(contract: Contract, inspected: JSON) -> bool:
    """Tell whether an inspected container carries the labels of a dev container, or those that the call names."""
    return {name for name, _ in contract.variation.labels or ((LOCAL_FOLDER, ""),)} <= set(
        inspected["Config"].get("Labels") or {}
    )


def left_behind(engine: Engine, plan: Plan, project: str | None = None) -> list[str]:
    """Return a sentence for a compose project, other than `project`, whose dev container `plan` removes.

    Its other services stay: they may be in use, and hold data.
    """
    notes = []
    for step in plan.steps:
        if isinstance(step, Replace):
            former = project_of(step.old.labels)
            others = engine.containers({PROJECT: former}) if former not in {None, project} else ()
            if any(one.id != step.old.id for one in others):
                notes.append(f"the other services of {former} are left: docker compose --project-name {former} down")
    return notes


def there(engine: Engine, contract: Contract) -> There:
    """Return the dev container of a contract: of those that carry its labels, one that runs, or the newest.

    The engine's list is a copy that may be a moment old, so what is done depends on the inspection alone.
    """
    said = contract.variation.labels
    if said:
        found = engine.containers(dict(said))
    else:
        labelled = containers_of(engine, str(contract.workspace), str(contract.path))
        found = tuple(one for one in labelled if _is_of(one, contract))
    return There(best_of(engine, found), unfinished(found, _beside(engine, found)))


def _is_of(container: ContainerSummary, contract: Contract) -> bool:
    """Tell whether a container that carries a contract's labels is its own: any image can carry them.

    Where the contract mounts the folder, the container does. A service is found by its project, too.
    """
    mount = Mount.parse(contract.workspace_mount) if contract.workspace_mount else None
    binds = mount is not None and mount.type == "bind" and mounts_of(str(contract.workspace), [mount.source or ""])
    return is_proven(container, str(contract.workspace)) or not (binds or contract.kind == "compose")


def _beside(engine: Engine, found: Sequence[ContainerSummary]) -> Iterator[ContainerSummary]:
    """Yield the containers of the compose services in which a swap was interrupted: the old one may be no tool's."""
    for one in found:
        record = recorded(one.labels) if has_started(one) else {}
        if "project" in record:
            yield from engine.containers({PROJECT: str(record["project"]), SERVICE: str(record["serviceName"])})


def container_of(engine: Engine, contract: Contract) -> JSON | None:
    """Return the inspected dev container of a contract, None if there is none."""
    return there(engine, contract).inspected


def best_of(engine: Engine, containers: Iterable[ContainerSummary]) -> JSON | None:
    """Return the inspected container that runs, or the newest; None if there is none.

    One that was to replace another and has never run is none.
    """
    found = [one for one in containers if one.state != "removing" and not is_stray(one)]
    best = max(found, key=lambda one: (one.running, one.created), default=None)
    return None if best is None else engine.container(best.id)
