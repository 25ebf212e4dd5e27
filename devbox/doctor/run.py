"""All checks, in the order in which a person would look."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from devbox.container.checkout.prepare import prepare
from devbox.doctor import (
    cache,
    checkout,
    clock,
    cluster,
    connection,
    contract,
    cuda,
    debugging,
    disk,
    engine,
    gpu,
    leftovers,
    limits,
    memory,
    network,
    ownership,
    registry,
    users,
)
from devbox.doctor.model import Patient
from devbox.engine import process
from devbox.errors import DevboxError, UsageError
from devbox.finding import Finding, of_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from devbox.engine.docker import Engine
    from devbox.reporter import Reporter

CHECKS: dict[str, Callable[[Patient], Iterator[Finding]]] = {
    "engine": engine.check,
    "connection": connection.check,
    "limits": limits.check,
    "gpu": gpu.check,
    "cuda": cuda.check,
    "disk": disk.check,
    "memory": memory.check,
    "checkout": checkout.check,
    "ownership": ownership.check,
    "users": users.check,
    "network": network.check,
    "registry": registry.check,
    "clock": clock.check,
    "contract": contract.check,
    "cache": cache.check,
    "leftovers": leftovers.check,
    "debugging": debugging.check,
    "cluster": cluster.check,
}
# Of the machine on which containers run, which a cluster's nodes are instead.
_OF_ENGINE = frozenset(CHECKS) - {"cluster", "checkout", "contract", "network", "ownership"}


def examine(docker: Engine, workspace: Path, names: Sequence[str] = ()) -> tuple[Finding, ...]:
    """Run the checks called `names`, all by default, and return their findings.

    Never raises for a missing engine, or for what a check cannot look at: that is a finding. Raises UsageError for a
    name that is none of a check.
    """
    unknown = [name for name in names if name not in CHECKS]
    if unknown:
        raise UsageError(
            f"there is no check '{unknown[0]}'; there are {', '.join(CHECKS)}",
            hint="devbox doctor --workspace PATH   # looks at another checkout",
        )
    patient = Patient(docker, workspace)
    if not names and docker.is_cluster:
        names = [name for name in CHECKS if name not in _OF_ENGINE]
    found: dict[str, Finding] = {}  # of an engine that answers nonsense several checks say the same
    for one in (one for name in names or CHECKS for one in look(name, patient)):
        found.setdefault(one.message, one)
    return tuple(found.values())


def look(name: str, patient: Patient) -> Iterator[Finding]:
    """Run one check. What it cannot look at is its finding."""
    try:
        yield from CHECKS[name](patient)
    except DevboxError as error:
        if error is not patient.trouble:  # which the engine's own check says
            yield of_error(name, error)


def mend(findings: Iterable[Finding], workspace: Path, docker: Engine, reporter: Reporter) -> tuple[str, ...]:
    """Run the commands of `findings` that take nothing away from anybody, each said first; return what was done.

    What needs root, ends what runs or deletes what cannot be made again is never among them. What a checkout lacks is
    fetched as `devbox prepare` does. A command that fails is said, and the others are run.
    """
    patient = Patient(docker, workspace)
    done: list[str] = []
    todo = [one for one in findings if one.fix]
    try:
        if any(one.check == "checkout" for one in todo):
            done += prepare(workspace, patient.framework, reporter, environ=docker.environ).commands
        for one in todo:
            for argv in one.fix if one.check != "checkout" else ():
                line = shlex.join(argv)
                with reporter.step(line):
                    process.run(argv, cwd=workspace, environ=docker.environ)
                done.append(line)
    except DevboxError as error:
        reporter.warn(f"{error.message} ({error.hint})" if error.hint else error.message)
    return tuple(done)
