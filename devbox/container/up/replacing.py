"""One container in the place of another: the old one stays until the new one has started, or is put back.

Most mistakes of a contract are found by the engine when a container is created: then nothing was done to the old one.
The rest, such as a port that another program has, are found at the start, for which the old one has to be stopped,
because it may hold the same ports and locks. A run that is killed in between leaves two containers, and the label of
the new one tells which of them goes: `plan.unfinished`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from devbox.container.steps import REPLACES
from devbox.container.target import missing_user, no_folder
from devbox.container.up.apply import (
    alive,
    compose_up,
    ended,
    project_with_lower_limit,
    refused,
    remove,
    with_lower_limit,
)
from devbox.devcontainer.compose.model import PROJECT, SERVICE
from devbox.engine.spec import ContainerSpec, container_args
from devbox.errors import DevboxError

if TYPE_CHECKING:
    from devbox.container.steps import Replace
    from devbox.engine.docker import Engine
    from devbox.reporter import Reporter


def replace_container(engine: Engine, step: Replace, reporter: Reporter) -> list[str]:
    """Make a container and put it in the place of the old one; return a sentence for each limit that was lowered.

    Raises EngineError where docker refuses the new one. Then the old one is as it was, which the error says.
    """
    new = _New(engine, step, reporter)
    stopped = False
    try:
        while not new.started:
            new.create()
            if step.old.busy and not stopped:
                stopped = True
                engine.run(["stop", step.old.id])
            new.start()
        if not step.halted:
            new.must_serve()
    except BaseException as error:
        try:
            new.remove()
        finally:
            kept = _put_back(engine, step, stopped=stopped)
        if isinstance(error, DevboxError):
            error.message = f"{error.message}; {kept}"
            error.args = (error.message,)
        raise
    if step.halted:
        engine.run(["stop", new.id])
    remove(engine, step.old.id)
    new.take_name()
    return new.notes


def _put_back(engine: Engine, step: Replace, *, stopped: bool) -> str:
    """See that the old container is as it was, and say how it is."""
    if not step.old.busy:
        return "the old container stays as it was"
    if not stopped:
        return "the old container still runs"
    if engine.run(["start", step.old.id], check=False).ok:
        return "the old container was started again"
    return f"the old container could not be started again (docker start {step.old.name})"


class _New:
    """The container that is to take the place, made again with lower limits where the engine refuses some."""

    def __init__(self, engine: Engine, step: Replace, reporter: Reporter) -> None:
        self.engine, self.step, self.reporter = engine, step, reporter
        self.made = step.creation()
        self.id = ""
        self.started = False
        self.notes: list[str] = []

    def create(self) -> None:
        """Create it under its temporary name. Raises EngineError, also where another container has its final one."""
        called = self.step.spec.called
        if called != self.step.old.name and self.engine.container(called) is not None:
            raise refused(f'container name "/{called}" is already in use', called)
        if isinstance(self.made, ContainerSpec):
            done = self.engine.run(["create", *container_args(self.made)], check=False)
            if not done.ok:
                raise refused(done.stderr, called)
            self.id = done.stdout.split()[-1]
            return
        done = compose_up(self.engine, self.made, self.reporter)
        labels: dict[str, str | None] = {PROJECT: self.made.project, SERVICE: self.made.services[0]}
        found = self.engine.containers({**labels, REPLACES: self.step.old.id})
        self.id = found[0].id if found else ""
        if not done.ok or not self.id:
            self._lower(done.stderr)
        self.engine.run(["rename", self.id, self.step.temporary])

    def start(self) -> None:
        """Start it; where a limit is refused, remove it, to be created again with a lower one."""
        done = self.engine.run(["start", self.id], check=False)
        if not done.ok:
            self._lower(done.stderr)
            self.remove()
        self.started = done.ok

    def must_serve(self) -> None:
        """See that it keeps running, has its user, and the folder that commands start in.

        None of it is found by a start: a command inside asks for both, and gives one that ends the time to do so.
        Raises EngineError or ContractError.
        """
        user = ["--user", self.step.user] if self.step.user else []
        folder = self.step.folder
        done = self.engine.run(
            ["exec", *user, self.id, "sh", "-c", '[ -z "$1" ] || [ -d "$1" ]', "sh", folder], check=False
        )
        if (missing := missing_user(self.step.user or "", done)) is not None:
            raise missing
        inspected = self.engine.container(self.id) if done.ok else alive(self.engine, self.id)
        if inspected is not None and not inspected["State"].get("Running"):
            raise ended(self.engine, inspected, composed=not isinstance(self.made, ContainerSpec))
        if done.code == 1:
            raise no_folder(folder)

    def take_name(self) -> None:
        """Give it the name that the old one had. Raises CommandError."""
        rename = ["rename", self.id, self.step.spec.called]
        if not self.engine.run(rename, check=False).ok:
            # An engine without a default bridge (`"bridge": "none"`) renames no running container that is on it.
            self.engine.run(["stop", self.id])
            self.engine.run(rename)
            if not self.step.halted:
                self.engine.run(["start", self.id])

    def _lower(self, stderr: str) -> None:
        if isinstance(self.made, ContainerSpec):
            lowered, note = with_lower_limit(self.engine, self.made, stderr)
            self.made = lowered
        else:
            self.made, note = project_with_lower_limit(self.engine, self.made, stderr)
        self.notes.append(note)

    def remove(self) -> None:
        """Remove what was made of it."""
        if self.id:
            remove(self.engine, self.id)
            self.id = ""
