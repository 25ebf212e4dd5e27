"""What a build would do: which tree it takes and why, how it is configured and built, in which environment."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .configuration import configuration
from .context import Context
from .drivers.choose import driver_for
from .process import Supervisor
from .protocol import Called, Foreseen

if TYPE_CHECKING:
    from .drivers.base import Call
    from .events import Events
    from .protocol import Foresee


def foresee(request: Foresee, events: Events) -> Foreseen:
    """Return what a build of the request's tree would do. No tree is touched, and no lock is taken.

    What changed of the files that cmake reads is known only by looking at all of them, so that reason is not among the
    others. Raises AgentError as `configuration` does.
    """
    decided = configuration(request)
    context = Context(decided, request, events, Supervisor(0))
    driver = driver_for(context)
    last = context.records.attempt(decided.key)
    there = last is not None and os.path.isdir(decided.tree)
    plan = driver.plan(last if there else None, [])
    configure = driver.configuring(plan)
    return Foreseen(
        key=decided.key,
        tree=decided.tree,
        there=there,
        inputs=decided.inputs,
        jobs=driver.jobs.number,
        jobs_reason=driver.jobs.reason,
        reasons=plan.reasons if configure is not None else [],
        configure=_told(configure) if configure is not None and plan.reasons else None,
        build=[_told(call) for call in driver.building(driver.jobs.number)],
        environment=plan.variables,
        notes=driver.notes(),
    )


def _told(call: Call) -> Called:
    return Called(argv=list(call.argv), cwd=call.cwd, environ=dict(call.environ))
