"""Is there room for images and build trees?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from devbox.facts.engine import free_storage
from devbox.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devbox.doctor.model import Patient

GIB = 1 << 30
LITTLE = 20 * GIB


def check(patient: Patient) -> Iterator[Finding]:
    """Look at the free space below the engine's data folder, where it is on this machine and may be seen."""
    facts = patient.engine_facts
    if facts is None:
        return
    free = free_storage(facts)
    if free is None:
        return
    if free < LITTLE:
        yield Finding(
            "disk",
            "warning",
            f"{free // GIB} GiB are free for the engine",
            "devbox status   # shows what devbox holds; docker system df shows the rest",
            "a framework's image and build tree take 10 to 60",
        )
    else:
        yield Finding("disk", "ok", f"{free // GIB} GiB are free for the engine")
