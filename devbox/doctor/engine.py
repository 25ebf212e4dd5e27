"""Does an engine answer, and does it have what devbox needs of it?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from devbox.errors import EngineError
from devbox.finding import Finding, of_error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devbox.doctor.model import Patient

OLDEST = 23


def check(patient: Patient) -> Iterator[Finding]:
    """Look at the engine, buildx and the storage driver."""
    if patient.trouble is not None:
        yield of_error("engine", patient.trouble)
    facts = patient.engine_facts
    if facts is None:
        return
    kind = "rootless" if facts.rootless else "rootful"
    place = "on this machine" if facts.local else "on another machine"
    major = facts.version.partition(".")[0]
    if major.isdigit() and int(major) < OLDEST:
        yield Finding(
            "engine", "warning", f"Docker {facts.version} is older than {OLDEST}", "install a newer Docker Engine"
        )
    else:
        yield Finding("engine", "ok", f"Docker {facts.version}, {kind}, {place}")
    try:
        patient.engine.run(["buildx", "version"])
    except EngineError:
        yield Finding(
            "engine",
            "error",
            "the buildx plugin is missing",
            "install docker-buildx (Debian) or docker-buildx-plugin",
            "images are built with it",
        )
