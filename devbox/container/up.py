"""`devbox up`: from a checkout to a running dev container, whatever of it is there already.

contract → consent → initializeCommand → image → container → owners of volumes → environment → lifecycle commands

Each step looks at what is there first. So a run that was interrupted anywhere is finished by the next one.
"""

from __future__ import annotations

import os
import shlex
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from devbox.container import hooks, memory
from devbox.container.apply import apply, mend_owners, sessions
from devbox.container.desired import Desired, Image, desired, secret_names
from devbox.container.images import ensure_image, plan_image
from devbox.container.inforce import InForce, in_force, see_consent
from devbox.container.plan import Actual, Plan, adopt, plan
from devbox.container.probe import Reading, learn, reading, recorded
from devbox.container.request import Journal, StepDone, UpRequest, UpResult
from devbox.container.target import Target
from devbox.container.uid import host_ids_lines, wants_host_ids, with_host_ids
from devbox.errors import DevboxError, EngineError, RefusedError

if TYPE_CHECKING:
    from devbox.config import Settings
    from devbox.devcontainer.model import Contract, Merged
    from devbox.engine.docker import Engine
    from devbox.reporter import Reporter

__all__ = ["StepDone", "UpRequest", "UpResult", "container_of", "up"]

JSON = dict[str, Any]


def up(request: UpRequest, engine: Engine, reporter: Reporter) -> UpResult:
    """Bring the dev container of a checkout up and return what was done. A second `up` at once waits for the first.

    Raises DevboxError of the kind that says what went wrong; running it again goes on from there.
    """

    def waiting(holder: str) -> None:
        reporter.info(f"another devbox works on {request.path} ({holder}); waiting for it")

    with nullcontext() if request.dry_run else memory.lock(request.path, on_wait=waiting):
        return _Up(request, engine, reporter).run()


def container_of(engine: Engine, contract: Contract) -> JSON | None:
    """Return the inspected dev container of a contract: of those that carry its labels, one that runs, or the newest.

    The engine's list is a copy that may be a moment old, so what is done depends on the inspection alone.
    """
    labels: dict[str, str | None] = dict(contract.labels)
    found = [one for one in engine.containers(labels) if one.state != "removing"]
    best = max(found, key=lambda one: (one.running, one.created), default=None)
    return None if best is None else engine.container(best.id)


def actual_of(inspected: JSON) -> Actual:
    """Return an inspected container as the plan compares it."""
    name = str(inspected["Name"]).removeprefix("/")
    labels = inspected["Config"].get("Labels") or {}
    return Actual(str(inspected["Id"]), name, str(inspected["State"]["Status"]), recorded(labels))


class _Up:
    """One `up` under way. The methods are its steps, in order."""

    def __init__(self, request: UpRequest, engine: Engine, reporter: Reporter) -> None:
        self.request = request
        self.engine = engine
        self.reporter = reporter
        self.journal = Journal()

    def run(self) -> UpResult:
        """Do all steps."""
        from devbox import config
        from devbox.container.author import CONTRACT_FLAGS

        request, journal = self.request, self.journal
        flags = {name: getattr(request, name) for name in ("framework", *CONTRACT_FLAGS)}
        given = {name: str(value) for name, value in flags.items() if value is not None}
        settings = config.load(request.path, environ=self.engine.environ, flags=given)
        with journal.timed("contract"):
            force = in_force(request, settings, self.engine, self.reporter)
        journal.notes += force.notes
        contract = force.contract
        for warning in contract.warnings:
            self.reporter.warn(warning)
        if not force.trusted:
            journal.notes += see_consent(request, contract, self.reporter)
        self.initialize(contract)
        inspected = container_of(self.engine, contract)
        actual = None if inspected is None else actual_of(inspected)
        merged = wanted = None
        if inspected is not None and actual is not None and not actual.recorded and not request.recreate:
            journal.notes.append("another tool made the container; it is used as it is (--recreate makes devbox's own)")
            todo = adopt(actual)
            image = str(inspected["Config"]["Image"])
        else:
            found = self.image(force, settings)
            merged = self.merge(force, found)
            name = None if contract.generated else request.name
            wanted = desired(contract, merged, found, name=name, uid_image=self.user_image(merged, found))
            todo = self.plan(wanted, actual, inspected)
            image = found.reference
        if request.dry_run:
            return self.dry_result(force, merged, wanted, todo, actual, image=image)
        if todo.steps:
            with journal.timed("container"):
                journal.notes += apply(self.engine, todo, self.reporter)
            inspected = container_of(self.engine, contract)
        return self.finish(force, wanted, todo, inspected, image=image)

    def initialize(self, contract: Contract) -> None:
        """Run `initializeCommand` on the host: at each `up`, as every tool does."""
        from devbox.devcontainer.merge import merge

        entries = dict(merge(contract, (), {}).hooks).get(hooks.ON_HOST, ())
        if not entries or self.request.skip_hooks:
            return
        if self.request.dry_run:
            lines = [shlex.join(hooks.host_argv(command)) for entry in entries for _, command in entry]
            self.journal.would(f"{hooks.ON_HOST}, on the host", lines)
            return
        with self.journal.timed(hooks.ON_HOST), self.reporter.step(hooks.ON_HOST):
            hooks.run_on_host(entries, str(contract.workspace), self.engine.environ, self.reporter)

    def image(self, force: InForce, settings: Settings) -> Image:
        """See that the image is there; in a dry run, say what it takes."""
        from devbox import config

        todo = plan_image(self.engine, force.contract, pull=self.request.pull, dockerfile=force.dockerfile)
        if self.request.dry_run:
            self.journal.would("image", todo.lines(self.engine))
            return todo.image or Image(todo.reference, "", todo.digest)
        proxies = config.network(settings, self.engine.environ).proxies()
        with self.journal.timed("image"):
            return ensure_image(self.engine, force.contract, todo, self.reporter, environ=proxies)

    def merge(self, force: InForce, image: Image) -> Merged:
        """Merge the contract with its image, and see to the consent for what the image's metadata adds."""
        from devbox.devcontainer.merge import image_metadata, merge

        contract = force.contract
        entries = image_metadata(image.config.get("Labels"))
        if entries:
            self.journal.notes += see_consent(self.request, contract, self.reporter, entries)
        merged = merge(contract, entries, image.config, self.engine.environ)
        secrets = secret_names(merged.container_env)
        if secrets:
            self.reporter.warn(
                f"containerEnv of {contract.path} holds what looks like a secret ({', '.join(secrets)}): "
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
        todo = plan(wanted, actual, recreate=self.request.recreate)
        if actual is not None and inspected is not None and actual.state == "running" and todo.outcome == "created":
            # Only now does it matter whether somebody works in it.
            actual = replace(actual, sessions=sessions(self.engine, inspected))
            todo = plan(wanted, actual, recreate=self.request.recreate)
            if todo.outcome == "created" and actual.sessions:
                self.may_interrupt(actual)
        for reason in todo.reasons:
            self.reporter.info(f"{todo.outcome}: {reason}")
        if todo.pending and actual is not None:
            self.reporter.warn(
                f"the contract changed, but {actual.name} stays as it is while somebody works in it "
                f"({', '.join(actual.sessions)}): {'; '.join(todo.pending)}. `devbox up --recreate` replaces it now"
            )
        return todo

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
        from devbox.devcontainer.find import advice

        engine, request, contract = self.engine, self.request, force.contract
        if inspected is None or not inspected["State"].get("Running"):
            raise ended(engine, contract, inspected)
        read = reading(engine, inspected)
        framework = contract.devbox.get("framework")
        memory.remember(request.path, contract=contract.path, framework=framework)
        try:
            target, ran = self.settle(read, wanted, fresh=todo.outcome != "running")
        except DevboxError:
            # Everything fails in a container whose own command has ended meanwhile.
            inspected = engine.container(read.id)
            if inspected is None or not inspected["State"].get("Running"):
                raise ended(engine, contract, inspected) from None
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
            hooks=ran,
            next=("devbox shell", "devbox build") if framework else ("devbox shell",),
        )

    def settle(self, read: Reading, wanted: Desired | None, *, fresh: bool) -> tuple[Target, tuple[str, ...]]:
        """Mend the owners of volumes, learn the environment, run the lifecycle commands that are due."""
        if fresh and wanted is not None:
            mended = mend_owners(self.engine, read.id, read.user, wanted.spec.mounts, os.getuid())
            self.journal.notes += [f"{folder} now belongs to {read.user}" for folder in mended]
        target = self.target(read, fresh=fresh)
        return target, () if self.request.skip_hooks else self.hooks(read, target)

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

    def hooks(self, read: Reading, target: Target) -> tuple[str, ...]:
        """Run the lifecycle commands that are due."""
        commands = read.merged.hooks if read.merged is not None else ()
        done = memory.hooks_done(read.id, read.moments)
        if done:
            commands = tuple((name, entries) for name, entries in commands if name == hooks.ALWAYS)
            if not commands:
                return ()
        with self.journal.timed("lifecycle commands"):
            ran = hooks.run(self.engine, target, hooks.Hooks(commands, *read.moments), self.reporter, only_attach=done)
        memory.remember_hooks(read.id, read.moments)
        return ran

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
        name = (wanted.spec.name if wanted is not None else None) or (actual.name if actual is not None else "")
        user = (merged.remote_user if merged is not None else None) or "root"
        if merged is not None and todo.outcome != "running" and not request.skip_hooks:
            target = Target(name, request.path, contract.workspace_folder, user)
            due = hooks.Hooks(merged.hooks, "", "")
            names = due.names if todo.outcome == "created" else (hooks.EACH_START, hooks.ALWAYS)
            self.journal.would("lifecycle commands", hooks.lines(self.engine, target, due, names))
        return UpResult(
            container=actual.id if actual is not None and todo.outcome != "created" else "",
            name=name,
            outcome=todo.outcome,
            workspace=request.path,
            workspace_folder=contract.workspace_folder,
            remote_user=user,
            contract=contract.path,
            framework=contract.devbox.get("framework"),
            image=image,
            steps=tuple(self.journal.steps),
            reasons=todo.reasons,
            pending=todo.pending,
            notes=tuple(self.journal.notes),
            written=force.written,
            dry_run=True,
        )


def ended(engine: Engine, contract: Contract, inspected: JSON | None) -> EngineError:
    """Return the error for a container that did not stay up."""
    if inspected is None:
        return EngineError(f"the container of {contract.workspace} is gone again", hint="devbox up")
    done = engine.run(["logs", "--tail", "20", inspected["Id"]], check=False)
    return EngineError(
        f"the container ended at once, with exit code {inspected['State'].get('ExitCode')}",
        hint='remove "overrideCommand": false from the contract, unless the image\'s own command keeps running',
        detail=(done.stdout + done.stderr).strip() or None,
    )
