"""Dev containers that are a service of a docker compose project.

The service becomes a dev container by an override file on top of the contract's own; the other services are started,
and replaced, with it.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devbox import lean
from devbox.container.checkout.elsewhere import placed_service, project_there
from devbox.container.checkout.git_mounts import with_repository
from devbox.container.contract.inforce import agree_by_writing, claimed, see_consent, see_names
from devbox.container.desired import Desired, Image, UserImage, canonical, desired_service, run_args_value
from devbox.container.project import (
    one_shot_file,
    override_file,
    recall,
    remember,
    resolve,
    services_of,
    write,
)
from devbox.container.steps import Actual, BuildService, ComposeUp, Replace
from devbox.container.target import LOCAL_FOLDER, folder_of
from devbox.container.up.feature_layer import see_features
from devbox.container.up.images import ids_of, triggers_of
from devbox.container.up.plan import Plan, adopt
from devbox.container.up.runtime import There, best_of, is_labelled, left_behind, there
from devbox.devcontainer.compose.model import ONE_OFF, PROJECT, SERVICE, Project, as_image_contract
from devbox.devcontainer.compose.override import ProjectSpec, one_shot
from devbox.devcontainer.identity import absolute
from devbox.engine.spec import ImageBuild, Mount
from devbox.errors import ContractError, EngineError, RefusedError, last_lines
from devbox.image.buildkit.build import builder_failure
from devbox.image.buildkit.inputs import Inputs, inputs_of
from devbox.image.buildkit.plain import PlainLog
from devbox.image.dockerfile.stages import base_images
from devbox.trust.dockerfiles import see_triggers
from devbox.trust.names import of_build
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from devbox.container.contract.inforce import InForce
    from devbox.container.request import UpRequest
    from devbox.container.steps import Step
    from devbox.container.up.apply import Journal
    from devbox.devcontainer.model import Contract, Merged
    from devbox.engine.docker import ContainerSummary, Engine
    from devbox.engine.spec import ContainerSpec
    from devbox.masking import Mask
    from devbox.reporter import Reporter

JSON = dict[str, Any]


class ComposeRuntime:
    """A contract whose container is a service of a compose project."""

    def __init__(
        self, request: UpRequest, engine: Engine, force: InForce, reporter: Reporter, journal: Journal
    ) -> None:
        self.request = request
        self.engine = engine
        self.force = force
        self.contract = force.contract
        self.reporter = reporter
        self.journal = journal

    @cached_property
    def project(self) -> Project:
        """The project as its files have it now; what is odd about them is said. Raises ContractError."""
        project = resolve(self.engine, self.contract, drafted=self.force.drafted)
        for warning in project.warnings:
            self.reporter.warn(f"{self.contract.path}: {warning}")
        return project

    def elsewhere(self) -> Contract:
        """Return it with a copy of the checkout in the place of each mount of that."""
        return placed_service(self.contract, self.project.config, self.project.service)

    def find(self) -> There:
        """Return the container, by every tool's labels or else by the project's, as the reference finds it.

        Raises RefusedError where a project of this name is another checkout's.
        """
        known = there(self.engine, self.contract)
        if known.inspected is not None:
            return known
        project = self.project
        found = best_of(self.engine, self.engine.containers({PROJECT: project.name, SERVICE: project.service}))
        labels = {} if found is None else found["Config"].get("Labels") or {}
        owner = folder_of(labels) if LOCAL_FOLDER in labels else None
        if owner is not None and os.path.realpath(owner) != os.path.realpath(self.contract.workspace):
            raise RefusedError(
                f"the compose project {project.name} is that of {owner}: two checkouts cannot have one project",
                hint="give this one its own: `name:` at the top of its compose file, or COMPOSE_PROJECT_NAME in its "
                f".env; or remove the other: devbox down {owner}",
            )
        return known._replace(inspected=found)

    def is_ready(self, inspected: JSON) -> bool:
        """Tell whether a tool made it as a dev container; a plain `docker compose up` did not."""
        return is_labelled(self.contract, inspected)

    def adopt(self, actual: Actual, inspected: JSON) -> Plan:
        """Start it, and what of the project is not there; where it is another project's, as it is."""
        if actual.state in {"running", "restarting"}:
            return adopt(actual)
        self.agree()
        labels = inspected["Config"].get("Labels") or {}
        name = labels.get(PROJECT, self.project.name)
        if name != self.project.name:
            return adopt(actual, ComposeUp(name, None))
        return adopt(actual, ComposeUp(name, self.project, services=self.project.named(), keep=True))

    def agree(self) -> None:
        """See that the person agreed to what the services reach. Raises RefusedError."""
        if self.force.trusted:
            if self.request.dry_run:
                return
            # The files may be others by now than devbox has written: only its own words are agreed to.
            written = resolve(self.engine, self.contract, drafted=self.force.texts)
            agree_by_writing(self.contract, self.engine.environ, written)
        # What the contract itself reaches is agreed to, or was said, by now.
        said = see_consent(self.request, self.contract, self.journal, project=self.project)
        self.journal.notes += [note for note in said if note not in self.journal.notes]

    def image_contract(self) -> tuple[Contract, bool]:
        """Return the contract of the service's image; what only docker compose can build, it builds here."""
        self.agree()
        again = self.request.recreate or self.request.pull
        todo = service_build(self.engine, self.contract, self.project, again=again)
        if todo is not None:
            see_features(self.engine, self.contract, pull=self.request.pull)
            names = of_build(self.project)
            self.journal.notes += see_names(self.request, self.contract, self.engine, self.reporter, names)
            self.journal.do(BuildService(self.contract, self.project.service, todo))
        return image_contract(self.contract, self.project, self.engine.environ), todo is not None

    def base_config(self, image: Image) -> JSON:
        """Return the image's, with the user that the service says."""
        return base_config(self.project, image)

    def desired(self, merged: Merged, image: Image, *, uid_image: UserImage | None, mask: Mask) -> Desired:
        """Return the service with its override."""
        path = override_file(self.contract)
        contract, project = _mounted(self.contract, self.project)
        try:
            return desired_service(contract, merged, image, project, path=path, own_image=uid_image, mask=mask)
        except ContractError as error:
            raise ContractError(f"{contract.path}: {error.message}", hint=f"edit {contract.path}") from None

    def complete(self, plan: Plan, wanted: Desired) -> Plan:
        """Return the plan with what is to be started or replaced of the other services."""
        project = self.project
        found = self.engine.containers({PROJECT: project.name})
        self.journal.notes += self._orphans(found)
        others = self._others()
        known = (recall(self.contract) or {}).get("applied") or {}
        if plan.outcome == "created" or not isinstance(wanted.spec, ProjectSpec):
            self.journal.notes += left_behind(self.engine, plan, project.name)
            again = self.request.recreate or self.request.pull
            stale = [name for name in others if again or known.get(name) != self._digest(name)]
            return self._after_others(replace(plan, steps=(*self._builds(stale), *plan.steps)), wanted)
        changed = tuple(name for name in others if name in known and known[name] != self._digest(name))
        up = self._up(found)
        missing = tuple(name for name in others if name not in up and name not in changed)
        steps = [*self._builds(changed), *plan.steps]
        if changed:
            steps.append(ComposeUp(project.name, project, wanted.spec, changed, alone=True))
        if missing and not plan.steps:
            steps.append(ComposeUp(project.name, project, wanted.spec, missing, keep=True))
        reasons = [f"the service {name} changed" for name in changed]
        reasons += [f"the service {name} is not running" for name in missing]
        for reason in reasons:
            self.reporter.info(reason)
        return replace(plan, steps=tuple(steps), reasons=(*plan.reasons, *reasons))

    def _after_others(self, plan: Plan, wanted: Desired) -> Plan:
        """Return a plan that replaces the container with the services started before that it needs to start itself.

        Compose waits until they are ready when it starts all; so the new container stays stopped until then.
        """
        needed = self.project.needs() if any(isinstance(step, Replace) for step in plan.steps) else ()
        if not isinstance(wanted.spec, ProjectSpec) or set(needed) <= (self._up() if needed else set()):
            return plan
        first = ComposeUp(self.project.name, self.project, wanted.spec, needed)
        steps = [replace(step, halted=True) if isinstance(step, Replace) else step for step in plan.steps]
        place = sum(isinstance(step, BuildService) for step in steps)
        return replace(plan, steps=(*steps[:place], first, *steps[place:]))

    def _others(self) -> list[str]:
        """Return the services that are started beside the dev container."""
        return [name for name in self.project.started() if name != self.project.service]

    def _digest(self, service: str) -> str:
        """Return what tells whether a service has changed: its definition, and what its image is built from."""
        text = canonical(self.project.config["services"][service])
        inputs = self._inputs(service)
        return hashlib.sha256(f"{text}{inputs.digest if inputs is not None else ''}".encode()).hexdigest()[:16]

    def _inputs(self, service: str) -> Inputs | None:
        """Return what a service's image is built from; None where it is not built, or only its image is left."""
        definition = self.project.config["services"][service]
        if not definition.get("build") or definition.get("pull_policy") not in {None, "build"}:
            return None
        try:
            return _build_inputs(self.engine, self.contract, replace(self.project, service=service))
        except ContractError:
            return None

    def _builds(self, services: Iterable[str]) -> list[Step]:
        """Return the steps that build other services' images, which `docker compose up` does once and never again."""
        found = [(name, self._inputs(name)) for name in services]
        return [
            BuildService(self.contract, name, ServiceBuild(replace(self.project, service=name), inputs))
            for name, inputs in found
            if inputs is not None
        ]

    def _orphans(self, found: Iterable[ContainerSummary]) -> list[str]:
        """Return a sentence for each container of a service that the compose files have no longer."""
        known = self.project.config["services"]
        left = [one for one in found if one.labels.get(SERVICE) not in known and one.labels.get(ONE_OFF) != "True"]
        if not left:
            return []
        # Those that are not wanted are not among those that were asked for.
        named = services_of(self.engine, self.project.sources.args())
        return [
            f"the service {one.labels.get(SERVICE)} is in no compose file any more, but its container is left: "
            f"docker rm --force {one.called}"
            for one in left
            if named and one.labels.get(SERVICE) not in named
        ]

    def _up(self, found: Iterable[ContainerSummary] | None = None) -> set[str]:
        """Return those services of the project's containers that run, or have done what another one waits for."""
        found = tuple(self.engine.containers({PROJECT: self.project.name}) if found is None else found)
        once = self.project.run_once()
        done = {one.labels.get(SERVICE, "") for one in found if one.status.startswith("Exited (0)")}
        return {one.labels.get(SERVICE, "") for one in found if one.running} | (done & once)

    def fallen(self, plan: Plan) -> list[str]:
        """Return a sentence for each other service that was to be started and does not run."""
        if not any(isinstance(step, ComposeUp) for step in plan.steps):
            return []
        down = {*self.project.started()} - {self.project.service} - self._up()
        return [f"the service {name} has ended: devbox logs --services   # shows why" for name in sorted(down)]

    def applied(self, plan: Plan) -> None:
        """Remember how the other services were started, to see it when they change."""
        if not any(isinstance(step, ComposeUp) for step in plan.steps):
            return
        data = recall(self.contract)
        if data is not None:
            remember(self.contract, {**data, "applied": {name: self._digest(name) for name in self._others()}})


def _mounted(contract: Contract, project: Project) -> tuple[Contract, Project]:
    """Return both with the mounts that there are where the engine is."""
    if contract.elsewhere:
        return contract, replace(project, config=project_there(project.config, contract.workspace))
    return _with_repository(contract, project), project


def _with_repository(contract: Contract, project: Project) -> Contract:
    """Return `contract` with what git needs of its repository, where the service mounts a worktree."""
    for item in project.definition.get("volumes") or ():
        if item.get("type") == "bind" and contract.workspace.is_relative_to(str(item.get("source"))):
            mount = Mount("bind", str(item["target"]), str(item["source"])).csv()
            found = with_repository(replace(contract, workspace_mount=mount))
            return replace(contract, extra_mounts=found.extra_mounts)
    return contract


@dataclass(frozen=True, slots=True)
class ServiceBuild:
    """The build of a service's image by docker compose, and what it is made from."""

    project: Project
    inputs: Inputs

    @property
    def args(self) -> list[str]:
        """Docker's arguments."""
        return [*self.project.args(), "build", self.project.service]


def service_build(engine: Engine, contract: Contract, project: Project, *, again: bool = False) -> ServiceBuild | None:
    """Return how the service's image is built where only docker compose can, and it has to be; else None.

    It has to be where it is not there, or was built here of something else, or is to be built `again`. Raises
    ContractError where the Dockerfile cannot be read.
    """
    if as_image_contract(contract, project, engine.environ) is not None:
        return None
    inputs = _build_inputs(engine, contract, project)
    built = (recall(contract) or {}).get("built")
    if not again and built == inputs.digest and engine.image(project.image) is not None:
        return None
    return ServiceBuild(project, inputs)


def _build_inputs(engine: Engine, contract: Contract, project: Project) -> Inputs:
    """Return what the service's image is made from: all that its definition says, and the files that it reads."""
    build = project.definition["build"]
    context = str(build.get("context") or "")
    wanted = ImageBuild(
        dockerfile=absolute(Path(context, build.get("dockerfile") or "Dockerfile")),
        context=context,
        target=build.get("target"),
        args=tuple((name, str(value)) for name, value in (build.get("args") or {}).items() if value is not None),
        contexts=tuple((build.get("additional_contexts") or {}).items()),
    )
    # What a repository elsewhere holds only the build itself can tell.
    text = build.get("dockerfile_inline") or (None if context.startswith("/") else "")
    try:
        text = lean.text(wanted.dockerfile) if text is None else text
        bases = {name: engine.image(name) for name in base_images(text, dict(wanted.args), wanted.dockerfile)}
        see_triggers(triggers_of(bases), wanted.dockerfile)
        return inputs_of(wanted, ids_of(bases), text=text, triggers=triggers_of(bases), more=build)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ContractError(
            f"{wanted.dockerfile}, the Dockerfile of the service {project.service}, cannot be read: {reason}",
            hint=f"edit {contract.path}",
        ) from None


def build_service(engine: Engine, step: BuildService, reporter: Reporter) -> None:
    """Have docker compose build a service's image; of the dev container's is remembered what it is made from."""
    for note in step.build.inputs.notes:
        reporter.info(note)
    with reporter.step(step.title):
        steps = PlainLog()

        def take(line: str) -> None:
            steps.feed(line)
            reporter.output(line, prefix="build")

        variables = write(engine, step.build.project)
        with claimed(step.contract, engine, of_build(step.build.project)):
            done = engine.stream(step.build.args, take, secrets=variables)
        if not done.ok:
            raise builder_failure(steps) or EngineError(
                f"docker compose could not build the service {step.service}",
                hint=engine.line(step.build.args),
                detail=last_lines(done.stderr),
            )
    if step.service == step.contract.config["service"]:
        remember(step.contract, {**(recall(step.contract) or {}), "built": step.build.inputs.digest})


def image_contract(contract: Contract, project: Project, environ: Mapping[str, str]) -> Contract:
    """Return the contract whose image is the service's; where only docker compose can build it, it is there by now."""
    made = as_image_contract(contract, project, environ)
    return replace(contract, kind="image", image=project.image, build=None) if made is None else made


def base_config(project: Project, image: Image) -> JSON:
    """Return `.Config` of a service's image, with the user that the service says."""
    user = project.definition.get("user")
    return {**image.config, "User": str(user)} if user else image.config


def one_shot_spec(
    contract: Contract, merged: Merged, image: Image, project: Project, shot: ContainerSpec
) -> ProjectSpec:
    """Return the project with a container like the service's for one command, without the labels of a dev container.

    `shot` is the container as `docker run` would make it.
    """
    whole, project = _mounted(contract, project)
    own_image = UserImage(shot.image, run_args_value(shot.run_args, "--userns"))
    wanted = desired_service(whole, merged, image, project, path=one_shot_file(project), own_image=own_image)
    assert isinstance(wanted.spec, ProjectSpec)  # noqa: S101  # a service is nothing else
    return one_shot(wanted.spec, labels=shot.labels, env=shot.env, ulimits=_lowered(contract, project.service))


def _lowered(contract: Contract, service: str) -> JSON:
    """Return the resource limits of a service that the engine refused before, as they were lowered."""
    try:
        override = json.loads(lean.stored(override_file(contract)))
        return dict(override["services"][service].get("ulimits") or {})
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {}
