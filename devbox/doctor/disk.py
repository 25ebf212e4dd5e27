"""Is there room for images and build trees?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from devbox.facts.engine import free_storage
from devbox.facts.fitness import space

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devbox.doctor.model import Patient
    from devbox.finding import Finding


def check(patient: Patient) -> Iterator[Finding]:
    """Look at the free space below the engine's data folder, where it is on this machine and may be seen."""
    facts, framework = patient.engine_facts, patient.framework
    if facts is None:
        return
    wanted = framework.preflight.disk if framework is not None else None
    found = space(free_storage(facts), title=framework.title if framework is not None else None, wanted=wanted)
    if found is not None:
        yield found
