"""What a container that runs still needs: owners of volumes, its environment, agent and identity, hooks."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any

from devbox.container import memory, ports
from devbox.container.checkout.elsewhere import carry, copied_at
from devbox.container.desired import canonical
from devbox.container.hooks import commands, secrets
from devbox.container.hooks.parallel import Aside
from devbox.container.inside.probe import Reading, learn, reading
from devbox.container.person import git_identity, ssh_agent
from devbox.container.target import Target
from devbox.container.up.apply import alive, ended, mend
from devbox.devcontainer.identity import METADATA
from devbox.errors import DevboxError, EngineError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from devbox.container.up.up import Run
    from devbox.devcontainer.model import Contract, Merged
    from devbox.engine.docker import Engine

JSON = dict[str, Any]


def settle(
    run: Run, contract: Contract, merged: Merged | None, inspected: JSON, *, fresh: bool
) -> tuple[Target, Path | None]:
    """Bring a running container to where the person can work in it.

    `contract` and `merged` are as they were read by now; without `merged` another tool made the container. `fresh`
    tells that it has started now. Returns how commands are executed in it, and the log of hooks that go on in the
    background, if any. Raises HookError, and EngineError where the container has ended meanwhile.
    """
    read = _read(run.place, contract, merged, inspected)
    if merged is not None and read.merged is not None and (changed := _changed(read.merged, merged)):
        run.reporter.warn(
            f"{', '.join(changed)} changed in {contract.path}, but a container keeps the commands that it was "
            "made with: devbox up --recreate"
        )
    hooks = None if run.request.skip_hooks or not run.request.extent.inside else _declared(run, read)
    copied = copied_at(inspected)
    provide = partial(git_identity.provide, run.place, read)
    try:
        # A call into the container is a tenth of a cold `up`, and these do not depend on each other; but a copy has
        # its owner, and its repository, only after them.
        identity = None if copied else Aside(provide)
        if fresh and merged is not None and not run.place.is_cluster:
            _mend(run, read)
        if copied:
            from devbox.container.sync.line import in_container
            from devbox.container.sync.send import sync

            with run.journal.timed("checkout"):
                carry(run.place, read.id, (*contract.extra_mounts, *(merged.mounts if merged is not None else ())))
                place = in_container(run.place, read.id, copied, read.user)
                sync(place, contract.workspace, run.place.environ, run.reporter)
        identity = identity or Aside(provide)
        inside = commands.Inside(run.place, Target(read.id, read.workspace, read.folder, read.user), run.reporter)
        wanted = [port for entry in (merged.metadata if merged is not None else ()) for port in _forwarded(entry)]
        ports.provide(run.place, contract.workspace, inspected, wanted, run.reporter, fresh=fresh)
        left = None if hooks is None else Aside(partial(commands.unmarked, inside, hooks))
        target, warning = _target(run, read, fresh=fresh)
        warnings = [one for one in (warning, identity.outcome()) if one]
        if warnings:
            # They mean nothing where the container's own command has ended meanwhile.
            must_run(run.place, contract, alive(run.place, read.id))
        for one in warnings:
            run.reporter.warn(one)
        ssh_agent.ensure(run.place.environ)
        return target, None if hooks is None or left is None else _hooks(run, read, target, hooks, left.outcome)
    except DevboxError:
        # Everything fails in a container whose own command has ended meanwhile.
        must_run(run.place, contract, alive(run.place, read.id))
        raise


def _read(engine: Engine, contract: Contract, merged: Merged | None, inspected: JSON) -> Reading:
    """Return container and contract together: merged once where the container has what the contract says now."""
    label = (inspected["Config"].get("Labels") or {}).get(METADATA)
    if merged is not None and label == canonical(list(merged.metadata), sort=False):
        return Reading(inspected, contract, merged)
    return reading(engine, inspected, contract)


def _forwarded(entry: JSON) -> list[object]:
    return list(entry.get("forwardPorts") or ())


def _changed(made: Merged, wanted: Merged) -> list[str]:
    """Return the lifecycle names whose commands are other ones by now than those that the container was made with."""
    before, now = dict(made.hooks), dict(wanted.hooks)
    return [name for name in commands.ORDER if before.get(name) != now.get(name)]


def _mend(run: Run, read: Reading) -> None:
    """Mend the owners and groups of the volumes' top folders."""
    mounts = read.inspected.get("Mounts") or ()
    mended, shared = mend(run.place, read.id, read.user, mounts, os.getuid())
    run.journal.notes += [f"{folder} now belongs to {read.user}" for folder in mended]
    run.journal.notes += [f"{folder} is now shared with the group" for folder in shared]


def _target(run: Run, read: Reading, *, fresh: bool) -> tuple[Target, str | None]:
    """Return how commands are executed in the container, asked of it where that is not remembered, and a warning."""
    remembered = None if fresh else memory.recall_target(read.id, read.moments[1], ask_late=True)
    if remembered is not None:
        return remembered, None
    with run.journal.timed("environment"):
        return learn(run.place, read)


def _declared(run: Run, read: Reading) -> commands.Hooks:
    """Return the container's lifecycle commands."""
    merged = read.merged
    told = merged if run.request.variation.lenient else None
    return commands.Hooks(merged.hooks if merged is not None else (), *read.moments, run.dotfiles, told)


def _hooks(
    run: Run,
    read: Reading,
    target: Target,
    hooks: commands.Hooks,
    left: Callable[[], tuple[str, ...] | None],
) -> Path | None:
    """Run the lifecycle commands that are due; with `no_wait`, those after `waitFor` in the background: their log."""
    request, merged = run.request, read.merged
    variables = request.variation.remote_env if merged is None else merged.remote_env_of(request.variation)
    inside = commands.Inside(run.place, target, run.reporter, run.secrets, variables)
    secrets.hide(merged.metadata if merged is not None else (), run.place.environ, run.reporter)
    said = merged.wait_for if merged is not None else None
    wait_for = said if request.no_wait or request.extent.blocking else request.extent.until
    with run.journal.timed("lifecycle commands"):
        done, all_done = commands.run_due(inside, hooks, wait_for=wait_for, extent=request.extent, left=left)
    run.hooks += done
    if all_done or not request.no_wait:
        return None
    from devbox.container.hooks import manage

    return manage.continue_in_background(inside, request.path, run.dotfiles)


def must_run(engine: Engine, contract: Contract, inspected: JSON | None) -> JSON:
    """Return the inspected container. Raises EngineError where it did not stay up."""
    if inspected is None:
        raise EngineError(f"the container of {contract.workspace} is gone again", hint="devbox up")
    if not inspected["State"].get("Running"):
        raise ended(engine, inspected, composed=contract.kind == "compose") from None
    return inspected
