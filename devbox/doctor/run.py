"""All checks, in the order in which a person would look."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devbox.container import which
from devbox.doctor import checkout, disk, engine, gpu, limits, ownership
from devbox.doctor.model import Patient
from devbox.errors import EngineError
from devbox.facts import engine as engine_facts
from devbox.facts import gpu as gpu_facts
from devbox.facts import host
from devbox.facts.model import EngineFacts, Gpus
from devbox.frameworks.load import load

if TYPE_CHECKING:
    from pathlib import Path

    from devbox.engine.docker import Engine
    from devbox.finding import Finding

CHECKS = (engine.check, limits.check, gpu.check, disk.check, ownership.check, checkout.check)


def examine(docker: Engine, workspace: Path) -> tuple[Finding, ...]:
    """Run every check and return its findings. Never raises for a missing engine: that is the first finding."""
    facts: EngineFacts | None = None
    trouble: EngineError | None = None
    try:
        facts = engine_facts.gather(docker)
    except EngineError as error:
        trouble = error
    gpus = gpu_facts.gather(docker, facts) if facts is not None else Gpus(reason="no engine was asked")
    seen = which.frameworks(workspace)
    patient = Patient(
        host=host.gather(),
        engine=docker,
        engine_facts=facts,
        trouble=trouble,
        gpus=gpus,
        workspace=workspace,
        framework=load(seen[0].name, seen[0].variant, workspace) if len(seen) == 1 else None,
    )
    return tuple(finding for check in CHECKS for finding in check(patient))
