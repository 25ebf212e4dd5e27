"""Starts a container of `image run` and of tasks: on this process's streams, or left running, with its secrets."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from devbox.container.inside import supervise
from devbox.container.inside.exec import run_watched
from devbox.errors import EngineError
from devbox.oneshot import handover

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from devbox.engine.docker import Engine
    from devbox.engine.process import Completed
    from devbox.oneshot.image_run import RunPlan
    from devbox.reporter import Reporter

STOP_SECONDS = 10
_LOOK_SECONDS = 0.5
# $0 is the pipe. A devbox that was killed leaves neither the container nor the pipe.
_CLEAN = 'rm -f -- "$0"; rmdir -- "${0%/*}"; exec "$@"'


def flags(*, detach: bool, keep: bool = False) -> tuple[str, ...]:
    """Return the flags of `docker run`: in the background or on this process's streams; with `keep` it stays."""
    first = () if keep else ("--rm",)
    if detach:
        return (*first, "--detach")
    return (*first, "--interactive", *(("--tty",) if os.isatty(0) and os.isatty(1) else ()))


def prepare(engine: Engine, plan: RunPlan, reporter: Reporter) -> None:
    """Say what is to be known of the container, and give its user fresh volumes."""
    for note in plan.notes:
        reporter.info(f"note: {note}")
    if plan.owned and not (done := engine.run(plan.preparation(), check=False)).ok:
        reporter.warn(f"the caches may not be the container's to write: {done.stderr.strip()}")


def attached(engine: Engine, plan: RunPlan, flags: Sequence[str], name: str, reporter: Reporter) -> int:
    """Run the container `name` on this process's stdin, stdout and stderr, and return its exit code.

    Ctrl-C stops it; it is removed if this process dies.
    """
    with _offered(engine, plan, reporter) as (final, _):
        return run_watched(
            engine.argv(final.args(*flags)),
            environ={**engine.environ, **final.environ},
            end=[engine.docker, "stop", "--time", str(STOP_SECONDS), name],
            on_death=_removal(engine, final, name),
        )


def detached(engine: Engine, plan: RunPlan, flags: Sequence[str], name: str, reporter: Reporter) -> Completed:
    """Start the container `name` in the background and return what `docker run` said, its failure too.

    Raises EngineError where the engine does not answer, or the container ended before it had its secrets. Until it has
    them, an interruption removes it.
    """
    with _offered(engine, plan, reporter) as (final, offer):
        if offer is None:
            return engine.run(final.args(*flags), check=False, secrets=final.environ)
        removal = _removal(engine, final, name)
        with supervise.watched(removal, removal, engine.environ):
            done = engine.run(final.args(*flags), check=False, secrets=final.environ)
            ended = False
            # It is asked about once more after its end: it may have taken all of it and done its work.
            while done.ok and not offer.over.wait(_LOOK_SECONDS) and not ended:
                ended = not ((engine.container(name) or {}).get("State") or {}).get("Running")
        if done.ok and not offer.taken:
            raise EngineError(
                f"the container {name} ended before it had read its variables", hint=f"docker logs {name}"
            )
        return done


@contextlib.contextmanager
def _offered(engine: Engine, plan: RunPlan, reporter: Reporter) -> Iterator[tuple[RunPlan, handover.Offer | None]]:
    """Yield the plan that can be had here, and the offer of its secrets, which is withdrawn at the block's end."""
    wanted = plan.handover
    if wanted is None:
        if plan.exposed is not None:
            reporter.warn(plan.exposed)
        yield plan, None
        return
    values = {**engine.environ, **plan.environ}
    secrets = {name: values[name] for name in wanted.names}
    reporter.mask.hide(secrets.values())
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(handover.pipe_for(wanted))
        except OSError as error:
            reason: str | None = f"no pipe can be made in {wanted.pipe.parent}: {error.strerror}"
        else:
            reason = handover.obstacle(engine, wanted, plan.spec)
        if reason is not None:
            plan = plan.openly(reason)
            reporter.warn(plan.exposed or reason)
            yield plan, None
            return
        offer = handover.Offer(wanted.pipe, handover.statements(secrets))
        offer.start()
        try:
            yield plan, offer
        finally:
            offer.withdraw()


def _removal(engine: Engine, plan: RunPlan, name: str) -> list[str]:
    remove = [engine.docker, "rm", "--force", "--volumes", name]
    return remove if plan.handover is None else ["/bin/sh", "-c", _CLEAN, str(plan.handover.pipe), *remove]
