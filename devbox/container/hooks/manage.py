"""`devbox hooks`: the state of a container's lifecycle commands, running them again, and running them unattended."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from devbox.container import memory
from devbox.container.hooks import secrets
from devbox.container.hooks.commands import (
    ALWAYS,
    EACH_START,
    MARKED,
    ON_HOST,
    ORDER,
    Hooks,
    Inside,
    on_host,
    pending,
    run,
    run_due,
)
from devbox.container.inside import supervise
from devbox.container.inside.find import candidate
from devbox.container.inside.probe import Reading, read_container, resolve
from devbox.container.person.dotfiles import NAME as DOTFILES
from devbox.container.target import no_container, not_running
from devbox.devcontainer.model import Variation
from devbox.errors import BusyError, UsageError
from devbox.files import private_folder
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from devbox.container.hooks.commands import Entries, HookDone
    from devbox.container.person.dotfiles import Dotfiles
    from devbox.container.target import Target
    from devbox.devcontainer.model import Command
    from devbox.engine.docker import Engine
    from devbox.reporter import Reporter

State = Literal["done", "due", "failed", "running", "always", "unknown"]


@dataclass(frozen=True, slots=True)
class HookCommand:
    """A command as it is written, with its name where it has one."""

    label: str
    command: Command


@dataclass(frozen=True, slots=True)
class HookState:
    """A lifecycle name: what has become of it, its commands in order, and its last run by devbox, if there was one.

    `state` is "done", "due" (the next `up` runs it), "failed" (and due again), "always" (each `up` runs it), "running"
    (somebody runs the commands that are due), or "unknown" (the container is stopped). `seconds` and `exit_code` are
    those of the last run.
    """

    name: str
    state: State
    commands: tuple[HookCommand, ...]
    seconds: float | None = None
    exit_code: int | None = None


@dataclass(frozen=True, slots=True)
class HookList:
    """The lifecycle commands of a workspace, in the order in which they run."""

    workspace: Path
    container: str
    hooks: tuple[HookState, ...]
    log: Path | None = None


@dataclass(frozen=True, slots=True)
class HooksRun:
    """What `devbox hooks run` has run."""

    workspace: Path
    container: str
    hooks: tuple[HookDone, ...]


def states(engine: Engine, workspace: Path, dotfiles: Dotfiles | None, reporter: Reporter) -> HookList:
    """Return the state of the lifecycle commands of a workspace's dev container, running or not.

    Raises DevboxError if there is none.
    """
    found = candidate(engine, workspace)
    if found is None:
        raise no_container(workspace)
    read = read_container(engine, found.id)
    if read.paused:
        raise not_running(found.workspace, paused=True)
    hooks = _hooks(read, dotfiles)
    due: Sequence[str] | None = None
    busy = False
    if read.running:
        target = resolve(engine, found.id)
        due = pending(Inside(engine, target, reporter), hooks, look=True)
        busy = _busy(read.workspace)
    runs = memory.hook_runs(read.id)
    listed = []
    for name in (ON_HOST, *ORDER):
        commands = tuple(HookCommand(*one) for entry in _written(read, hooks, name) for one in entry)
        if commands:
            last = runs.get(name)
            state = _state(name, hooks, due, last, busy=busy)
            listed.append(HookState(name, state, commands, last and last.seconds, last and last.code))
    log = memory.hooks_log(read.id)
    return HookList(read.workspace, read.id, tuple(listed), log if memory.stamp(log) is not None else None)


def _written(read: Reading, hooks: Hooks, name: str) -> Entries:
    """Return the entries of a name as a person knows them: the repository in the place of devbox's script."""
    if name == ON_HOST:
        return on_host(read.contract) if read.contract is not None else ()
    if name == DOTFILES:
        return () if hooks.dotfiles is None else ((("", hooks.dotfiles.url),),)
    return hooks.entries(name)


def _state(name: str, hooks: Hooks, due: Sequence[str] | None, last: memory.HookRun | None, *, busy: bool) -> State:
    if name in {ON_HOST, ALWAYS}:
        return "always"
    if due is None:
        # The markers of a stopped container cannot be read; its next start is a new one.
        return "due" if name == EACH_START else "unknown"
    if name not in due:
        return "done"
    if busy:
        return "running"
    return "failed" if last is not None and last.code and last.moment == hooks.moment(name) else "due"


def _hooks(read: Reading, dotfiles: Dotfiles | None) -> Hooks:
    commands = read.merged.hooks if read.merged is not None else ()
    tells = read.contract is not None and read.contract.variation.lenient
    return Hooks(commands, *read.moments, dotfiles, read.merged if tells else None)


def _busy(workspace: Path) -> bool:
    """Tell whether an `up` or a run in the background is at work. Who cannot lock runs none."""
    try:
        with memory.lock(workspace):
            return False
    except BusyError:
        return True
    except OSError:
        return False


def run_hooks(
    engine: Engine,
    workspace: Path,
    names: Sequence[str],
    reporter: Reporter,
    *,
    secrets_file: Path | None = None,
    dotfiles: Dotfiles | None = None,
) -> HooksRun:
    """Run lifecycle commands in the running dev container of a workspace: those of `names`, though they are done.

    Without names, those that are due, as `up` does. Raises UsageError for a name that has no command, HookError for a
    command that fails.
    """
    found = candidate(engine, workspace)
    if found is None:
        raise no_container(workspace)
    folder = Path(found.workspace)
    with memory.lock(folder, reporter):
        read = read_container(engine, found.id)
        if not read.running:
            raise not_running(found.workspace, paused=read.paused)
        target = resolve(engine, found.id)
        hooks, inside = within(engine, read, target, reporter, secrets_file=secrets_file, dotfiles=dotfiles)
        wanted = _wanted(names, hooks)
        done = run(inside, hooks, wanted, again=True) if wanted else run_due(inside, hooks)[0]
    return HooksRun(read.workspace, read.id, done)


def within(
    engine: Engine,
    read: Reading,
    target: Target,
    reporter: Reporter,
    *,
    secrets_file: Path | None,
    dotfiles: Dotfiles | None,
) -> tuple[Hooks, Inside]:
    """Return the lifecycle commands of a running container and where they run; their secrets are masked from now on."""
    if read.merged is not None:
        secrets.hide(read.merged.metadata, engine.environ, reporter)
    values = secrets.for_container(engine, read.contract, read.labels, secrets_file, reporter)
    varied = read.contract.variation if read.contract is not None else Variation()
    variables = varied.remote_env if read.merged is None else read.merged.remote_env_of(varied)
    return _hooks(read, dotfiles), Inside(engine, target, reporter, values, variables)


def _wanted(names: Sequence[str], hooks: Hooks) -> tuple[str, ...]:
    """Return the lifecycle names that are meant, in their order; `postCreate` is short for `postCreateCommand`."""
    full = {name.removesuffix("Command").lower(): name for name in (ON_HOST, *ORDER)}
    wanted = set()
    for given in names:
        name = full.get(given.removesuffix("Command").lower())
        if name is None:
            raise UsageError(f"'{given}' is no lifecycle command", hint=f"one of {', '.join((*MARKED, ALWAYS))}")
        if name == ON_HOST:
            raise UsageError(f"{ON_HOST} runs on the host, at each devbox up", hint="devbox up")
        if name not in hooks.names:
            raise UsageError(f"the dev container has no {name}", hint="devbox hooks list")
        wanted.add(name)
    return tuple(name for name in ORDER if name in wanted)


def continue_in_background(inside: Inside, workspace: Path, dotfiles: Dotfiles | None) -> Path:
    """Start a devbox of its own that runs the commands that are still due, and return the log that it writes.

    It takes the workspace's lock when this process leaves it, outlives the terminal, and gets the secrets by a pipe.
    """
    log = memory.hooks_log(inside.target.container)
    private_folder(log.parent)
    environ = dict(inside.engine.environ)
    if dotfiles is not None:
        environ |= {
            "DEVBOX_DOTFILES_REPOSITORY": dotfiles.repository,
            "DEVBOX_DOTFILES_INSTALL_COMMAND": dotfiles.install_command,
            "DEVBOX_DOTFILES_TARGET_PATH": dotfiles.target,
        }
    # -P: the folder where devbox was started is a checkout, and not a place to import from.
    argv = [sys.executable, "-P", "-m", "devbox", "--verbose", "hooks", "run", "--secrets-file", "-"]
    argv += ["--workspace", str(workspace)]
    reader, writer = os.pipe()
    actions = [
        (os.POSIX_SPAWN_DUP2, reader, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    os.posix_spawn(
        argv[0], argv, environ, file_actions=actions, setsid=True, setsigdef=supervise.default_signals(), setsigmask=()
    )
    os.close(reader)
    with contextlib.suppress(BrokenPipeError), os.fdopen(writer, "w", encoding="utf-8") as stream:
        json.dump(dict(inside.secrets), stream)
    return log
