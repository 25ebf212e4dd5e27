"""Can the engine grant the limits that inference trees want?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from devbox.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devbox.doctor.model import Patient


def check(patient: Patient) -> Iterator[Finding]:
    """Look at memlock: pinned host memory and RDMA need it unlimited."""
    facts = patient.engine_facts
    if facts is None:
        return
    if facts.memlock is None:
        yield Finding("limits", "ok", "containers can lock all memory (memlock unlimited)")
    elif facts.memlock == 0:
        yield Finding("limits", "info", "whether memlock can be unlimited is not known for this engine; `up` finds out")
    else:
        yield Finding(
            "limits",
            "warning",
            f"the engine can grant at most {facts.memlock} bytes of locked memory; devbox clamps memlock to that",
            "start dockerd with LimitMEMLOCK=infinity and CAP_SYS_RESOURCE",
            "pinned host memory and RDMA need it unlimited",
        )
