"""`devbox up`: from a checkout to a running dev container, whatever of it is there already.

contract → consent → initializeCommand → image → container → what it needs once it runs (`settle`)

Each stage looks at what is there, decides, and hands its steps to the journal, which does them, or writes them down in
a dry run. So a run that was interrupted anywhere is finished by the next one.
"""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from devbox import config
from devbox.config.network import network_of
from devbox.config.table import OF_CHECKOUTS
from devbox.container import memory, which
from devbox.container.checkout.elsewhere import copied_at, is_seen
from devbox.container.contract.inforce import InForce, claimed, in_force, see_consent, see_names
from devbox.container.desired import Desired, Image, in_short, secret_names
from devbox.container.hooks import commands, secrets
from devbox.container.inside.find import known_as
from devbox.container.inside.probe import project_of, recorded
from devbox.container.person import dotfiles, ssh_agent
from devbox.container.request import StepDone, UpRequest, UpResult
from devbox.container.steps import (
    NEXT,
    REPLACES,
    Actual,
    BuildService,
    ComposeUp,
    CreateContainer,
    MakeFolder,
    Replace,
)
from devbox.container.target import Target
from devbox.container.up.apply import Journal, NoGpusError, sessions
from devbox.container.up.images import have_image, is_same, plan_image
from devbox.container.up.needs import with_gpus
from devbox.container.up.plan import UNSTARTED, Plan, plan
from devbox.container.up.remade import REASON, is_remade
from devbox.container.up.runtime import SingleRuntime, container_of
from devbox.container.up.settle import must_run, settle
from devbox.container.up.uid import with_host_ids
from devbox.devcontainer.find import advice
from devbox.devcontainer.identity import absolute
from devbox.devcontainer.merge import image_metadata, merge
from devbox.engine.spec import ContainerSpec, must_be_name
from devbox.errors import ContractError, DevboxError, RefusedError, UsageError
from devbox.trust.ask import agree

if TYPE_CHECKING:
    from pathlib import Path

    from devbox.config import Settings
    from devbox.container.steps import Step
    from devbox.container.up.runtime import Runtime, There
    from devbox.devcontainer.model import Contract, Merged
    from devbox.engine.docker import Engine
    from devbox.reporter import Reporter
    from devbox.trust.names import Names

__all__ = ["StepDone", "UpRequest", "UpResult", "container_of", "up"]

JSON = dict[str, Any]

_GPU_WORD = re.compile(r"^--gpus|nvidia")


def up(request: UpRequest, engine: Engine, reporter: Reporter) -> UpResult:
    """Bring the dev container of a checkout up and return what was done. A second `up` at once waits for the first.

    Raises DevboxError of the kind that says what went wrong; running it again goes on from there.
    """
    _must_be_text(request.path)
    name = known_as(engine, request.path)
    if name != request.path:
        reporter.info(f"{request.path} is {name}; its container is used")
        request = renamed(request, name)
    if request.name is not None:
        must_be_name(request.name)
    journal = Journal(engine.images, reporter, dry_run=request.dry_run, place=engine)
    run = Run(request, engine.images, engine, reporter, journal)
    if request.dry_run:
        return _up(run)
    with memory.lock(request.path, reporter):
        try:
            return _up(run)
        except DevboxError:
            if not run.is_up and memory.attempt_file(request.path).exists():
                _take_back(run)
            raise


def _take_back(run: Run) -> None:
    """Put the contract that was tried back. What stands in the way is said beside why `up` failed, not in its place."""
    from devbox.container.contract import attempt

    path = run.request.path
    try:
        if attempt.take_back(path):
            run.reporter.info("the contract is as it was before: what was asked for now is not recorded")
    except (DevboxError, OSError) as error:
        run.reporter.warn(
            f"the contract could not be put back as it was before: {error}; the next `devbox up` tries again"
        )


def _must_be_text(folder: Path) -> None:
    """See that the engine can be told of a folder: in JSON there are no other names. Raises UsageError."""
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        raise UsageError(
            f"{folder} is no name in UTF-8, and the engine mounts no other",
            hint="mv it to another name; or go there by a link: ln -s OLD NEW && devbox up NEW",
        ) from None


def renamed(request: UpRequest, name: Path) -> UpRequest:
    """Return `request` for the same folder by another name; a contract that lies in it is called so, too."""
    config = None if request.config is None else type(name)(absolute(request.config))
    if config is not None and config.is_relative_to(request.path):
        config = name / config.relative_to(request.path)
    return replace(request, path=name, config=config)


def actual_of(inspected: JSON) -> Actual:
    """Return an inspected container as the plan compares it."""
    labels = inspected["Config"].get("Labels") or {}
    name = str(inspected["Name"]).removeprefix("/")
    name = name.removesuffix(NEXT) if REPLACES in labels else name
    return Actual(str(inspected["Id"]), name, str(inspected["State"]["Status"]), recorded(labels), labels=labels)


@dataclass
class Run:
    """One `up` under way: what it was asked, and what its stages leave to each other.

    `engine` has the images, and `place` is where the container is: the same one, or a cluster.
    """

    request: UpRequest
    engine: Engine
    place: Engine
    reporter: Reporter
    journal: Journal
    secrets: dict[str, str] = field(default_factory=dict)
    dotfiles: dotfiles.Dotfiles | None = None
    hooks: list[commands.HookDone] = field(default_factory=list)
    is_up: bool = False


@dataclass(frozen=True)
class Prospect:
    """The container that there will be: the `todo` that leads to it from the one that is there, if any.

    `merged` and `wanted` are None where another tool made it, and it is used as it is.
    """

    runtime: Runtime
    inspected: JSON | None
    actual: Actual | None
    todo: Plan
    image: str
    merged: Merged | None = None
    wanted: Desired | None = None


def _up(run: Run) -> UpResult:
    """Do all stages."""
    request = run.request
    settings = config.load(
        None if request.restricted else request.path, environ=run.engine.environ, flags=request.flags
    )
    if any(settings.said(key) for key in OF_CHECKOUTS):
        run.journal.notes += _see_settings(run, settings)
    run.dotfiles = dotfiles.of(settings)
    run.reporter.mask.hide(run.dotfiles.secrets() if run.dotfiles is not None else ())
    force = _contract(run, settings)
    _initialize(run, force.contract)
    try:
        force, runtime, there = _placed(run, force, settings)
        prospect = _container(run, force, runtime, there, settings)
    except ContractError as error:
        if not (request.dry_run and not request.skip_hooks and commands.on_host(force.contract)):
            raise
        # What it reads may be made by that command.
        unknown = f"# not known before {commands.ON_HOST} has run: {error.message}"
        run.journal.would("image and container", [unknown])
        return _foreseen(run, force, None)
    inspected = _apply(run, force.contract, prospect)
    return _foreseen(run, force, prospect) if request.dry_run else _settled(run, force, prospect, inspected)


def _see_settings(run: Run, settings: Settings) -> tuple[str, ...]:
    """See that the person agreed to what settings of the checkout's own files name on the host."""
    from devbox.trust.settings import of_settings

    folder = run.request.path
    reach = tuple(of_settings(settings, folder, run.engine.environ))
    return agree(folder, folder, reach, run.request.answers, run.reporter)


def _contract(run: Run, settings: Settings) -> InForce:
    """Return the contract in force, written first where devbox has to, with the person's consent."""
    with run.journal.timed("contract"):
        force = in_force(run.request, settings, run.journal)
    run.journal.notes += force.notes
    if run.request.restricted:
        from devbox.trust.restricted import restricted

        if force.contract.overlays:
            run.reporter.warn("--restricted leaves out what flags and settings lay over the contract")
        force = replace(force, contract=restricted(force.contract), texts={})
    for warning in force.contract.warnings:
        run.reporter.warn(warning)
    if not force.trusted:
        try:
            run.journal.notes += see_consent(run.request, force.contract, run.journal)
        except RefusedError as error:
            former = which.formerly(run.request.path, force.contract.path)
            if former is not None:
                error.message = (
                    f"{force.contract.path} was written for {former}: what it reaches needs your consent here"
                )
                error.args = (error.message,)
                error.hint = "devbox generate   # writes it for this folder; or: devbox up --trust"
            raise
    if force.contract.overlays and not run.request.dry_run:
        from devbox.container.contract.overlay import agree_to_own

        agree_to_own(force.contract)
    run.secrets = secrets.gather(force.contract, run.engine.environ, run.request.secrets_file, run.reporter)
    return force


def _initialize(run: Run, contract: Contract) -> None:
    """Run `initializeCommand` on the host: at each `up`, as every tool does."""
    entries = commands.on_host(contract)
    if not entries or run.request.skip_hooks:
        return
    if run.request.dry_run:
        lines = [shlex.join(commands.host_argv(command)) for entry in entries for _, command in entry]
        run.journal.would(f"{commands.ON_HOST}, on the host", lines)
        return
    with run.journal.timed(commands.ON_HOST), run.reporter.step(commands.ON_HOST):
        run.hooks.append(commands.run_on_host(entries, str(contract.workspace), run.engine.environ, run.reporter))
    # What it has made is judged as what lay there.
    run.journal.release()
    run.journal.notes += see_consent(run.request, contract, run.journal)


def _placed(run: Run, force: InForce, settings: Settings) -> tuple[InForce, Runtime, There]:
    """Return how the contract becomes a container where the engine is, and the one that is there.

    The engine may not see the checkout, which then gets a copy.
    """
    runtime = _runtime(run, force, settings)
    there = runtime.find() if run.place.address.is_here else None
    if there is not None and there.inspected is not None and not copied_at(there.inspected):
        return force, runtime, there
    if not is_seen(run.place, run.request.path):
        force = replace(force, contract=runtime.elsewhere())
        runtime = _runtime(run, force, settings)
        there = None
    return force, runtime, runtime.find() if there is None else there


def _container(run: Run, force: InForce, runtime: Runtime, there: There, settings: Settings) -> Prospect:
    """See to the image, and plan the container."""
    request = run.request
    inspected, unfinished = there
    actual = None if inspected is None else actual_of(inspected)
    if inspected is not None and actual is not None and _is_others(run, runtime, actual, inspected):
        if not request.keep:
            run.journal.notes.append(
                "another tool made the container; it is used as it is (--recreate makes devbox's own)"
            )
        todo = runtime.adopt(actual, inspected)
        prospect = Prospect(runtime, inspected, actual, todo, str(inspected["Config"]["Image"]))
    else:
        image = _image(run, force, runtime, settings)
        merged = _merge(run, force.contract, replace(image, config=runtime.base_config(image)))
        with run.journal.timed("user"):
            uid, gid = force.contract.ids or (os.getuid(), os.getgid())
            if force.contract.ids is not None and merged.remote_user == "root":
                run.reporter.warn(f"the contract's user is root, who keeps its own ids: {uid}:{gid} changes nothing")
            uid_image = with_host_ids(run.journal, merged, image, uid=uid, gid=gid)
        wanted = runtime.desired(merged, image, uid_image=uid_image, mask=run.reporter.mask)
        remade = not run.place.is_cluster and inspected is not None and is_remade(run.engine, inspected, force.contract)
        todo = runtime.complete(_compare(run, wanted, actual, inspected, remade=remade), wanted)
        if not run.place.is_cluster:
            todo = with_gpus(run.engine, force.contract, merged, todo, run.reporter)
        prospect = Prospect(runtime, inspected, actual, todo, image.reference, merged, wanted)
    return replace(prospect, todo=replace(todo, steps=(*unfinished, *todo.steps)))


def _runtime(run: Run, force: InForce, settings: Settings) -> Runtime:
    """Return the way in which the contract becomes a container."""
    if run.place.is_cluster:
        from devbox.container.up.pod import PodRuntime

        return PodRuntime(run.request, run.place, force, run.journal, settings)
    if force.contract.kind != "compose":
        return SingleRuntime(run.request, run.engine, force, run.journal)
    from devbox.container.up.compose import ComposeRuntime

    return ComposeRuntime(run.request, run.engine, force, run.reporter, run.journal)


def _is_others(run: Run, runtime: Runtime, actual: Actual, inspected: JSON) -> bool:
    """Tell whether the dev container is used as it is: another tool made it, or it was asked to be left as it is."""
    if (actual.recorded and not run.request.keep) or actual.state in UNSTARTED or run.request.recreate:
        return False
    return runtime.is_ready(inspected)


def _image(run: Run, force: InForce, runtime: Runtime, settings: Settings) -> Image:
    """See that the image is there, with its Features; what the checkout lacks for it is said first."""
    contract, by_compose = runtime.image_contract()
    proxies = _proxies(run, settings)
    drafted = None if contract.build is None else force.drafted.get(contract.build.dockerfile)
    pull = run.request.pull
    todo = plan_image(run.engine.image, contract, pull=pull, dockerfile=drafted, environ=proxies)
    if by_compose:
        todo = replace(todo, pulls=())
    if todo.image is None:
        _preflight(run, contract, builds=todo.build is not None)
    user = runtime.base_config(Image("", "", "")).get("User")
    with run.journal.timed("image"):
        image = have_image(
            run.journal, contract, todo, dockerfile=drafted, environ=proxies, pull=pull, user=user,
            builder=settings.builder,
        )  # fmt: skip
    if not image.known:
        unknown = "# its user, variables and metadata (remoteUser, mounts, hooks, what needs your consent); here: none"
        run.journal.would(f"Unknown until the image {image.reference} is there", [unknown])
    return image


def _proxies(run: Run, settings: Settings) -> dict[str, str]:
    """Return the proxies of a build, which a warm `up` does not need to know."""
    return network_of(settings, run.engine.environ).proxies()


def _preflight(run: Run, contract: Contract, *, builds: bool) -> None:
    """Say what the checkout lacks, and see that the engine can build. A dry run does not try what docker can."""
    from devbox.container.checkout import preflight

    known = which.recorded(contract.record, contract.workspace)
    preflight.warn(contract.workspace, known, run.reporter)
    if builds and not run.request.dry_run:
        preflight.require_engine(run.engine, known, run.reporter)


def _merge(run: Run, contract: Contract, image: Image) -> Merged:
    """Merge the contract with its image, and see to the consent for what the image's metadata adds."""
    entries = image_metadata(image.config.get("Labels"))
    if run.request.restricted:
        from devbox.trust.restricted import inside

        entries = [inside(entry, entry, contract.workspace) for entry in entries]
    if entries:
        run.journal.notes += see_consent(run.request, contract, run.journal, entries)
    merged = merge(contract, entries, image.config, run.engine.environ)
    secrets.hide(merged.metadata, run.engine.environ, run.reporter)
    visible = secret_names(merged.container_env)
    if visible:
        run.reporter.warn(
            f"containerEnv of {contract.path} holds what looks like a secret ({', '.join(visible)}): "
            "everybody who may use the engine can read it; remoteEnv with ${localEnv:NAME} keeps it out"
        )
    return merged


# What is done to the container, by what it comes to.
_WORDS = {
    "created": "a container is made",
    "started": "the container is started",
    "replaced": "the container is replaced",
    "running": "the container stays",
}


def _compare(run: Run, wanted: Desired, actual: Actual | None, inspected: JSON | None, *, remade: bool = False) -> Plan:
    """Plan from the container that is there to the one that is wanted; somebody who works in it is asked."""
    recreate = "--recreate was given" if run.request.recreate else REASON if remade else None
    if actual is not None and inspected is not None:
        wanted = _with_known_inputs(run.engine, wanted, actual, inspected)
    todo = plan(wanted, actual, recreate=recreate)
    if actual is not None and inspected is not None and actual.state == "running" and todo.outcome == "created":
        # Only now does it matter whether somebody works in it.
        actual = replace(actual, sessions=sessions(run.place, inspected))
        todo = plan(wanted, actual, recreate=recreate)
        if todo.outcome == "created" and actual.sessions:
            _may_interrupt(run, actual)
    word = "replaced" if todo.outcome == "created" and actual is not None else todo.outcome
    shown = str if run.reporter.verbose else in_short
    for reason in todo.reasons:
        run.reporter.info(f"{_WORDS[word]}: {shown(reason)}")
    if todo.pending and actual is not None:
        pending = "; ".join(map(shown, todo.pending))
        run.reporter.warn(
            f"the contract changed, but {actual.name} stays as it is while somebody works in it "
            f"({', '.join(actual.sessions)}): {pending}. `devbox up --recreate` replaces it now"
        )
    return todo


def _with_known_inputs(engine: Engine, wanted: Desired, actual: Actual, inspected: JSON) -> Desired:
    """Return `wanted` with the recorded inputs of the image where others have made the same one."""
    before = actual.recorded.get("inputs")
    known = before in {None, wanted.state.get("inputs")}
    if known or not is_same(engine.image, str(inspected["Image"]), wanted.spec.image):
        return wanted
    return replace(wanted, state={**wanted.state, "inputs": before})


def _may_interrupt(run: Run, actual: Actual) -> None:
    """See that the person agrees to end what runs in the container. Raises RefusedError."""
    working = ", ".join(actual.sessions)
    if run.request.dry_run:
        run.journal.notes.append(f"this ends what runs in the container: {working}")
    elif not run.request.yes and not run.reporter.confirm(
        f"Replacing {actual.name} ends what runs in it ({working}). Go on?"
    ):
        raise RefusedError(f"somebody works in {actual.name}: {working}", hint="devbox up --recreate --yes   # ends it")


def _apply(run: Run, contract: Contract, prospect: Prospect) -> JSON | None:
    """Do the steps of the plan, and return the inspected container."""
    steps = prospect.todo.steps
    if not steps:
        return prospect.inspected
    used = [names for names in map(_names, steps) if names is not None]
    for names in used:
        run.journal.notes += see_names(run.request, contract, run.engine, run.reporter, names)
    with run.journal.timed("container"), claimed(contract, run.engine, *(() if run.request.dry_run else used)):
        try:
            run.journal.do(*map(MakeFolder, ssh_agent.missing(contract)), *steps)
        except NoGpusError as error:
            error.hint = without_gpus(contract, prospect.merged)
            raise
    if run.request.dry_run:
        return None
    prospect.runtime.applied(prospect.todo)
    return prospect.runtime.find().inspected


def _names(step: Step) -> Names | None:
    """Return the names that a step uses, which somebody else may have."""
    from devbox.trust.names import Names, of_build, of_project, of_spec

    match step:
        case BuildService():
            return of_build(step.build.project)
        case ComposeUp():
            return Names(step.project) if step.model is None else of_project(step.model, step.spec)
        case CreateContainer() | Replace():
            spec = step.spec
            return of_spec(spec) if isinstance(spec, ContainerSpec) else of_project(spec.project, spec)
    return None


def _settled(run: Run, force: InForce, prospect: Prospect, inspected: JSON | None) -> UpResult:
    """Do what the running container still needs, remember it, and return the result."""
    request, contract, todo = run.request, force.contract, prospect.todo
    inspected = must_run(run.place, contract, inspected)
    run.is_up = True
    memory.attempt_file(request.path).unlink(missing_ok=True)
    on = str(run.place.address.url) if run.place.is_cluster else None
    memory.remember_up(request.path, contract=contract.path, framework=contract.record.framework, on=on)
    target, log = settle(run, contract, prospect.merged, inspected, fresh=todo.outcome != "running")
    hint = advice(request.path, contract.path)
    return replace(
        _result(run, force, prospect),
        container=str(inspected["Id"]),
        name=str(inspected["Name"]).removeprefix("/"),
        workspace_folder=target.folder,
        remote_user=target.user,
        notes=(*run.journal.notes, *([hint] if hint else []), *prospect.runtime.fallen(todo)),
        hooks=tuple(run.hooks),
        hooks_log=log,
        compose_project_name=project_of(inspected["Config"].get("Labels") or {}),
        next=("devbox shell", "devbox build") if contract.record.framework else ("devbox shell",),
    )


def _foreseen(run: Run, force: InForce, prospect: Prospect | None) -> UpResult:
    """Return what would be done, with the commands of each step."""
    request, contract = run.request, force.contract
    merged = prospect.merged if prospect is not None else None
    if prospect is not None and merged is not None and prospect.todo.outcome != "running" and not request.skip_hooks:
        user = merged.remote_user or "root"
        target = Target(run.place.id_of(_called(prospect)), request.path, contract.workspace_folder, user)
        due = commands.Hooks(merged.hooks, "", "", run.dotfiles)
        names = due.names if prospect.todo.outcome == "created" else (commands.EACH_START, commands.ALWAYS)
        inside = commands.Inside(run.place, target, run.reporter, run.secrets)
        run.journal.would("lifecycle commands", commands.lines(inside, due, names))
    return replace(_result(run, force, prospect), dry_run=True)


def _result(run: Run, force: InForce, prospect: Prospect | None) -> UpResult:
    """Return the result as far as the plan tells it."""
    todo = prospect.todo if prospect is not None else Plan((), "created")
    actual = prospect.actual if prospect is not None else None
    merged, wanted = (prospect.merged, prospect.wanted) if prospect is not None else (None, None)
    return UpResult(
        container=actual.id if actual is not None and todo.outcome != "created" else "",
        name="" if prospect is None else _called(prospect),
        outcome=todo.outcome,
        workspace=run.request.path,
        workspace_folder=force.contract.workspace_folder,
        remote_user=(merged.remote_user if merged is not None else None) or "root",
        contract=force.contract.path,
        framework=force.contract.record.framework,
        image="" if prospect is None else prospect.image,
        steps=tuple(run.journal.steps),
        reasons=todo.reasons,
        pending=todo.pending,
        notes=tuple(run.journal.notes),
        written=force.written,
        compose_project_name=wanted.state.get("project") if wanted is not None else None,
    )


def _called(prospect: Prospect) -> str:
    """Return the container's name."""
    actual = prospect.actual.name if prospect.actual is not None else ""
    return (prospect.wanted.spec.called if prospect.wanted is not None else None) or actual


def without_gpus(contract: Contract, merged: Merged | None) -> str:
    """Return what to type or edit where a contract asks for GPUs that the engine cannot hand out."""
    if contract.generated:
        return "devbox up --gpus none"
    if contract.kind == "compose":
        return "edit its compose file: gpus, runtime, devices and deploy.resources of the service ask for GPUs"
    asking = [word for word in (merged.run_args if merged is not None else ()) if _GPU_WORD.search(word)]
    what = f"{', '.join(asking)} of runArgs" if asking else "hostRequirements.gpu"
    return f"edit {contract.path}: {what} asks for GPUs"
