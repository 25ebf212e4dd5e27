"""Is there memory for as many compilers as there are CPUs?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from devbox.agent import jobs
from devbox.finding import Finding
from devbox.frameworks.model import BuildRules

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devbox.doctor.model import Patient

MIB = 1 << 20


def check(patient: Patient) -> Iterator[Finding]:
    """Compare the memory that is free, and that the dev container may use, with what the checkout's compilers take."""
    facts, host = patient.engine_facts, patient.host
    if facts is None or not facts.local:
        return
    rules = patient.framework.build if patient.framework is not None else BuildRules()
    available, whose = host.memory_available, "this machine has"
    limit = (((patient.container or {}).get("HostConfig") or {}).get("Memory") or 0) // MIB
    if limit and limit < available:
        available, whose = limit, "the dev container may use"
    cpus = jobs.choose(host.cpus, host.cpu_quota, None, 0).number
    fit = jobs.choose(host.cpus, host.cpu_quota, available, rules.memory_per_job).number
    message = f"{whose} {available} MiB, for {fit} of {cpus} compilers at {rules.memory_per_job} MiB each"
    if fit == cpus and available >= rules.memory_per_job:
        yield Finding("memory", "ok", message)
    else:
        yield Finding(
            "memory",
            "warning" if 2 * fit <= cpus or available < rules.memory_per_job else "info",
            message,
            "devbox up --run-arg=--memory=…   # raises the container's" if limit else "free   # shows what takes it",
            "builds run so many at once, or are killed",
        )
