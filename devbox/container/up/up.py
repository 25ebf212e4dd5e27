"""`devbox up`: from a checkout to a running dev container, whatever of it is there already.

contract → consent → initializeCommand → image → container → owners of volumes → environment → lifecycle commands

Each step looks at what is there first. So a run that was interrupted anywhere is finished by the next one.
"""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from devbox import config
from devbox.container import memory, which
from devbox.container.contract.inforce import InForce, in_force, see_consent
from devbox.container.hooks import commands, secrets
from devbox.container.inside.find import known_as
from devbox.container.inside.probe import Reading, learn, reading, recorded
from devbox.container.person import dotfiles, git_identity, ssh_agent
from devbox.container.target import Target
from devbox.container.up.apply import NoGpusError, apply, mend_groups, mend_owners, sessions
from devbox.container.up.desired import Desired, Image, secret_names
from devbox.container.up.images import ensure_image, foreseen_image, is_same, plan_image
from devbox.container.up.needs import with_gpus
from devbox.container.up.plan import NEXT, REPLACES, UNSTARTED, Actual, Plan, plan
from devbox.container.up.request import Journal, StepDone, UpRequest, UpResult
from devbox.container.up.runtime import SingleRuntime, container_of
from devbox.container.up.uid import host_ids_lines, wants_host_ids, with_host_ids
from devbox.devcontainer.compose.model import PROJECT
from devbox.devcontainer.find import advice
from devbox.devcontainer.identity import absolute
from devbox.devcontainer.merge import image_metadata, merge
from devbox.engine.spec import must_be_name
from devbox.errors import ContractError, DevboxError, EngineError, RefusedError
from devbox.trust.ask import agree
from devbox.trust.settings import of_settings

if TYPE_CHECKING:
    from pathlib import Path

    from devbox.config import Settings
    from devbox.container.up.runtime import Runtime
    from devbox.devcontainer.model import Contract, Merged
    from devbox.engine.docker import Engine
    from devbox.reporter import Reporter

__all__ = ["StepDone", "UpRequest", "UpResult", "container_of", "up"]

JSON = dict[str, Any]

_GPU_WORD = re.compile(r"^--gpus|nvidia")


def up(request: UpRequest, engine: Engine, reporter: Reporter) -> UpResult:
    """Bring the dev container of a checkout up and return what was done. A second `up` at once waits for the first.

    Raises DevboxError of the kind that says what went wrong; running it again goes on from there.
    """

    def waiting(holder: str) -> None:
        reporter.info(f"another devbox works on {request.path} ({holder}); waiting for it")

    name = known_as(engine, request.path)
    if name != request.path:
        reporter.info(f"{request.path} is {name}; its container is used")
        request = renamed(request, name)
    if request.name is not None:
        must_be_name(request.name)
    if request.dry_run:
        return _Up(request, engine, reporter).run()
    with memory.lock(request.path, on_wait=waiting):
        trying = _Up(request, engine, reporter)
        try:
            return trying.run()
        except DevboxError:
            if not trying.runs and memory.attempt_file(request.path).exists():
                from devbox.container.contract import attempt

                if attempt.take_back(request.path):
                    reporter.info("the contract is as it was before: what was asked for now is not recorded")
            raise


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


class _Up:
    """One `up` under way. The methods are its steps, in order."""

    def __init__(self, request: UpRequest, engine: Engine, reporter: Reporter) -> None:
        self.request = request
        self.engine = engine
        self.reporter = reporter
        self.journal = Journal()
        self.secrets: dict[str, str] = {}
        self.dotfiles: dotfiles.Dotfiles | None = None
        self.hooks_done: list[commands.HookDone] = []
        self.hooks_log: Path | None = None
        self.runs = False

    def run(self) -> UpResult:
        """Do all steps."""
        request, journal = self.request, self.journal
        settings = config.load(
            None if request.restricted else request.path, environ=self.engine.environ, flags=request.flags
        )
        journal.notes += agree(
            request.path, request.path, tuple(of_settings(settings, request.path)), request.answers, self.reporter
        )
        self.dotfiles = dotfiles.of(settings)
        self.reporter.mask.hide(self.dotfiles.secrets() if self.dotfiles is not None else ())
        with journal.timed("contract"):
            force = in_force(request, settings, self.engine, self.reporter)
        if request.dry_run and force.base is not None:
            journal.would(force.base.title, force.base.lines(self.engine))
        journal.notes += force.notes
        if request.restricted:
            from devbox.trust.restricted import restricted

            force = replace(force, contract=restricted(force.contract), trusted=False)
        contract = force.contract
        for warning in contract.warnings:
            self.reporter.warn(warning)
        if not force.trusted:
            journal.notes += see_consent(request, contract, self.engine.environ, self.reporter)
        self.secrets = secrets.gather(contract, self.engine.environ, request.secrets_file, self.reporter)
        self.initialize(contract)
        try:
            return self.come_up(force, settings)
        except ContractError as error:
            if not (request.dry_run and not request.skip_hooks and commands.on_host(contract)):
                raise
            # What it reads may be made by that command.
            journal.would("image and container", [f"# not known before {commands.ON_HOST} has run: {error.message}"])
            return self.dry_result(force, None, None, Plan((), "created"), None, image="")

    def come_up(self, force: InForce, settings: Settings) -> UpResult:
        """Do the steps from the image on."""
        request, journal, contract = self.request, self.journal, force.contract
        runtime = self.runtime(force)
        inspected, unfinished = runtime.find()
        actual = None if inspected is None else actual_of(inspected)
        merged = wanted = None
        if inspected is not None and actual is not None and self.is_others(runtime, actual, inspected):
            journal.notes.append("another tool made the container; it is used as it is (--recreate makes devbox's own)")
            todo = runtime.adopt(actual, inspected)
            image = str(inspected["Config"]["Image"])
        else:
            user = runtime.base_config(Image("", "", "")).get("User")
            found = self.image(force, runtime.image_contract(), settings, user=user)
            merged = self.merge(force, replace(found, config=runtime.base_config(found)))
            wanted = runtime.desired(merged, found, uid_image=self.user_image(merged, found))
            todo = runtime.complete(self.plan(wanted, actual, inspected), wanted)
            todo = with_gpus(self.engine, contract, merged, todo, self.reporter)
            image = found.reference
        todo = replace(todo, steps=(*unfinished, *todo.steps))
        if request.dry_run:
            return self.dry_result(force, merged, wanted, todo, actual, image=image)
        if todo.steps:
            ssh_agent.restore(contract)
            with journal.timed("container"):
                try:
                    journal.notes += apply(self.engine, todo, self.reporter)
                except NoGpusError as error:
                    error.hint = without_gpus(contract, merged)
                    raise
            runtime.applied(todo)
            inspected = runtime.find().inspected
        result = self.finish(force, wanted, todo, inspected, image=image)
        return replace(result, notes=(*result.notes, *runtime.fallen(todo)))

    def runtime(self, force: InForce) -> Runtime:
        """Return the way in which the contract becomes a container."""
        if force.contract.kind != "compose":
            return SingleRuntime(self.request, self.engine, force, self.journal)
        from devbox.container.compose.service import ComposeRuntime

        return ComposeRuntime(self.request, self.engine, force, self.reporter, self.journal)

    def is_others(self, runtime: Runtime, actual: Actual, inspected: JSON) -> bool:
        """Tell whether another tool made the dev container, and nobody asked to replace it."""
        if actual.recorded or actual.state in UNSTARTED or self.request.recreate:
            return False
        return runtime.is_ready(inspected)

    def initialize(self, contract: Contract) -> None:
        """Run `initializeCommand` on the host: at each `up`, as every tool does."""
        entries = commands.on_host(contract)
        if not entries or self.request.skip_hooks:
            return
        if self.request.dry_run:
            lines = [shlex.join(commands.host_argv(command)) for entry in entries for _, command in entry]
            self.journal.would(f"{commands.ON_HOST}, on the host", lines)
            return
        with self.journal.timed(commands.ON_HOST), self.reporter.step(commands.ON_HOST):
            done = commands.run_on_host(entries, str(contract.workspace), self.engine.environ, self.reporter)
        self.hooks_done.append(done)

    def image(self, force: InForce, contract: Contract, settings: Settings, *, user: str | None) -> Image:
        """See that the image of `contract` is there; in a dry run, say what it takes. `user` is a service's own."""
        drafted = None if contract.build is None else force.drafted.get(contract.build.dockerfile)
        todo = plan_image(self.engine, contract, pull=self.request.pull, dockerfile=drafted)
        if self.request.dry_run:
            if not any(step.title == "image" for step in self.journal.steps):
                # Else docker compose builds it, and that was said.
                self.journal.would("image", todo.lines(self.engine))
            image, lines = foreseen_image(self.engine, contract, todo, self.reporter, user=user)
            self.journal.would("features", lines)
            return image
        if todo.image is None:
            from devbox.container.checkout import preflight

            known = which.recorded(contract.record, contract.workspace)
            preflight.warn(contract.workspace, known, self.reporter)
            if todo.build is not None:
                preflight.require_engine(self.engine, known, self.reporter)
        proxies: dict[str, str] = {}
        if todo.image is None or contract.config.get("features"):
            from devbox.config.network import network_of

            proxies = network_of(settings, self.engine.environ).proxies()
        with self.journal.timed("image"):
            return ensure_image(self.engine, contract, todo, self.reporter, environ=proxies, user=user)

    def merge(self, force: InForce, image: Image) -> Merged:
        """Merge the contract with its image, and see to the consent for what the image's metadata adds."""
        contract = force.contract
        entries = image_metadata(image.config.get("Labels"))
        if self.request.restricted:
            from devbox.trust.restricted import inside

            entries = [inside(entry, entry, contract.workspace) for entry in entries]
        if entries:
            self.journal.notes += see_consent(self.request, contract, self.engine.environ, self.reporter, entries)
        merged = merge(contract, entries, image.config, self.engine.environ)
        secrets.hide(merged.metadata, self.engine.environ, self.reporter)
        visible = secret_names(merged.container_env)
        if visible:
            self.reporter.warn(
                f"containerEnv of {contract.path} holds what looks like a secret ({', '.join(visible)}): "
                "everybody who may use the engine can read it; remoteEnv with ${localEnv:NAME} keeps it out"
            )
        return merged

    def user_image(self, merged: Merged, image: Image) -> str | None:
        """Return the image whose remote user has the host user's ids, where the contract wants that."""
        uid, gid = os.getuid(), os.getgid()
        if not wants_host_ids(merged, uid):
            return None
        if self.request.dry_run:
            name, lines = host_ids_lines(self.engine, merged, image, uid=uid, gid=gid)
            self.journal.would("user", lines)
            return name
        with self.journal.timed("user"):
            return with_host_ids(self.engine, merged, image, self.reporter, uid=uid, gid=gid)

    def plan(self, wanted: Desired, actual: Actual | None, inspected: JSON | None) -> Plan:
        """Compare the container that is there with the one that is wanted."""
        if actual is not None and inspected is not None:
            wanted = self.with_known_inputs(wanted, actual, inspected)
        todo = plan(wanted, actual, recreate=self.request.recreate)
        if actual is not None and inspected is not None and actual.state == "running" and todo.outcome == "created":
            # Only now does it matter whether somebody works in it.
            actual = replace(actual, sessions=sessions(self.engine, inspected))
            todo = plan(wanted, actual, recreate=self.request.recreate)
            if todo.outcome == "created" and actual.sessions:
                self.may_interrupt(actual)
        word = "replaced" if todo.outcome == "created" and actual is not None else todo.outcome
        for reason in todo.reasons:
            self.reporter.info(f"{word}: {reason}")
        if todo.pending and actual is not None:
            self.reporter.warn(
                f"the contract changed, but {actual.name} stays as it is while somebody works in it "
                f"({', '.join(actual.sessions)}): {'; '.join(todo.pending)}. `devbox up --recreate` replaces it now"
            )
        return todo

    def with_known_inputs(self, wanted: Desired, actual: Actual, inspected: JSON) -> Desired:
        """Return `wanted` with the recorded inputs of the image where others have made the same one."""
        before = actual.recorded.get("inputs")
        if before in {None, wanted.state.get("inputs")} or not is_same(
            self.engine, str(inspected["Image"]), wanted.spec.image
        ):
            return wanted
        return replace(wanted, state={**wanted.state, "inputs": before})

    def may_interrupt(self, actual: Actual) -> None:
        """See that the person agrees to end what runs in the container. Raises RefusedError."""
        working = ", ".join(actual.sessions)
        if self.request.dry_run:
            self.journal.notes.append(f"this ends what runs in the container: {working}")
        elif not self.request.yes and not self.reporter.confirm(
            f"Replacing {actual.name} ends what runs in it ({working}). Go on?"
        ):
            raise RefusedError(
                f"somebody works in {actual.name}: {working}", hint="devbox up --recreate --yes   # ends it"
            )

    def finish(
        self, force: InForce, wanted: Desired | None, todo: Plan, inspected: JSON | None, *, image: str
    ) -> UpResult:
        """Do what the running container still needs, remember it, and return the result."""
        engine, request, contract = self.engine, self.request, force.contract
        inspected = must_run(engine, contract, inspected)
        self.runs = True
        memory.attempt_file(request.path).unlink(missing_ok=True)
        read = reading(engine, inspected)
        framework = contract.record.framework
        memory.remember(request.path, contract=contract.path, framework=framework)
        try:
            target = self.settle(read, wanted, fresh=todo.outcome != "running")
        except DevboxError:
            # Everything fails in a container whose own command has ended meanwhile.
            must_run(engine, contract, engine.container(read.id))
            raise
        hint = advice(request.path, contract.path)
        return UpResult(
            container=read.id,
            name=str(inspected["Name"]).removeprefix("/"),
            outcome=todo.outcome,
            workspace=request.path,
            workspace_folder=target.folder,
            remote_user=target.user,
            contract=contract.path,
            framework=framework,
            image=image,
            steps=tuple(self.journal.steps),
            reasons=todo.reasons,
            pending=todo.pending,
            notes=(*self.journal.notes, *([hint] if hint else [])),
            written=force.written,
            hooks=tuple(self.hooks_done),
            hooks_log=self.hooks_log,
            next=("devbox shell", "devbox build") if framework else ("devbox shell",),
            compose_project_name=read.labels.get(PROJECT),
        )

    def settle(self, read: Reading, wanted: Desired | None, *, fresh: bool) -> Target:
        """Mend the owners of volumes, learn the environment, pass agent and identity on, run what is due."""
        from concurrent.futures import ThreadPoolExecutor

        # A call into the container is a tenth of a cold `up`, and this one does not depend on the others.
        with ThreadPoolExecutor(1) as aside:
            identity = aside.submit(git_identity.provide, self.engine, read)
            if fresh and wanted is not None:
                self.mend(read)
            target = self.target(read, fresh=fresh)
        if (warning := identity.result()) is not None:
            self.reporter.warn(warning)
        ssh_agent.ensure(self.engine.environ)
        if not self.request.skip_hooks:
            self.hooks(read, target)
        return target

    def mend(self, read: Reading) -> None:
        """Mend the owners and groups of the volumes' top folders."""
        mounts = read.inspected.get("Mounts") or ()
        mended = mend_owners(self.engine, read.id, read.user, mounts, os.getuid())
        self.journal.notes += [f"{folder} now belongs to {read.user}" for folder in mended]
        shared = mend_groups(self.engine, read.id, mounts)
        self.journal.notes += [f"{folder} is now shared with the group" for folder in shared]

    def target(self, read: Reading, *, fresh: bool) -> Target:
        """Return how commands are executed in the container, asked of it where that is not remembered."""
        remembered = None if fresh else memory.recall_target(read.id, read.moments[1])
        if remembered is not None:
            return remembered
        with self.journal.timed("environment"):
            target, warning = learn(self.engine, read)
        if warning:
            self.reporter.warn(warning)
        return target

    def hooks(self, read: Reading, target: Target) -> None:
        """Run the lifecycle commands that are due; with `no_wait`, those after `waitFor` in the background."""
        inside = commands.Inside(self.engine, target, self.reporter, self.secrets)
        secrets.hide(read.merged.metadata if read.merged is not None else (), self.engine.environ, self.reporter)
        declared = read.merged.hooks if read.merged is not None else ()
        wait_for = read.merged.wait_for if self.request.no_wait and read.merged is not None else None
        due = commands.Hooks(declared, *read.moments, self.dotfiles)
        with self.journal.timed("lifecycle commands"):
            done, all_done = commands.run_due(inside, due, wait_for=wait_for)
        self.hooks_done += done
        if not all_done:
            from devbox.container.hooks import manage

            self.hooks_log = manage.continue_in_background(inside, self.request.path, self.dotfiles)

    def dry_result(
        self,
        force: InForce,
        merged: Merged | None,
        wanted: Desired | None,
        todo: Plan,
        actual: Actual | None,
        *,
        image: str,
    ) -> UpResult:
        """Return what would be done, with the commands of each step."""
        request, contract = self.request, force.contract
        for step in todo.steps:
            self.journal.would(step.title, step.lines(self.engine))
        name = (wanted.spec.called if wanted is not None else None) or (actual.name if actual is not None else "")
        user = (merged.remote_user if merged is not None else None) or "root"
        if merged is not None and todo.outcome != "running" and not request.skip_hooks:
            target = Target(name, request.path, contract.workspace_folder, user)
            due = commands.Hooks(merged.hooks, "", "", self.dotfiles)
            names = due.names if todo.outcome == "created" else (commands.EACH_START, commands.ALWAYS)
            inside = commands.Inside(self.engine, target, self.reporter, self.secrets)
            self.journal.would("lifecycle commands", commands.lines(inside, due, names))
        return UpResult(
            container=actual.id if actual is not None and todo.outcome != "created" else "",
            name=name,
            outcome=todo.outcome,
            workspace=request.path,
            workspace_folder=contract.workspace_folder,
            remote_user=user,
            contract=contract.path,
            framework=contract.record.framework,
            image=image,
            steps=tuple(self.journal.steps),
            reasons=todo.reasons,
            pending=todo.pending,
            notes=tuple(self.journal.notes),
            written=force.written,
            dry_run=True,
            compose_project_name=None if wanted is None else wanted.state.get("project"),
        )


def must_run(engine: Engine, contract: Contract, inspected: JSON | None) -> JSON:
    """Return the inspected container. Raises EngineError where it did not stay up."""
    if inspected is None:
        raise EngineError(f"the container of {contract.workspace} is gone again", hint="devbox up")
    if not inspected["State"].get("Running"):
        raise ended(engine, contract, inspected) from None
    return inspected


def ended(engine: Engine, contract: Contract, inspected: JSON) -> EngineError:
    """Return the error for a container that did not stay up."""
    done = engine.run(["logs", "--tail", "20", inspected["Id"]], check=False)
    hint = 'remove "overrideCommand": false from the contract, unless the image\'s own command keeps running'
    if contract.kind == "compose":
        hint = 'set "overrideCommand": true in the contract, or give the service a command that keeps running'
    return EngineError(
        f"the container ended at once, with exit code {inspected['State'].get('ExitCode')}",
        hint=hint,
        detail=(done.stdout + done.stderr).strip() or None,
    )


def without_gpus(contract: Contract, merged: Merged | None) -> str:
    """Return what to type or edit where a contract asks for GPUs that the engine cannot hand out."""
    if contract.generated:
        return "devbox up --gpus none"
    if contract.kind == "compose":
        return "edit its compose file: gpus, runtime, devices and deploy.resources of the service ask for GPUs"
    asking = [word for word in (merged.run_args if merged is not None else ()) if _GPU_WORD.search(word)]
    what = f"{', '.join(asking)} of runArgs" if asking else "hostRequirements.gpu"
    return f"edit {contract.path}: {what} asks for GPUs"
