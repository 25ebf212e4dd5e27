"""Does an engine answer, and does it have what devbox needs of it?"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from devbox.engine.trouble import PLUGINS
from devbox.errors import EngineError
from devbox.facts import fitness
from devbox.finding import of_error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devbox.doctor.model import Patient
    from devbox.finding import Finding


def check(patient: Patient) -> Iterator[Finding]:
    """Look at the engine's age and the plugins of the docker CLI."""
    if patient.trouble is not None:
        yield of_error("engine", patient.trouble)
    if patient.engine_facts is None:
        return
    yield fitness.age(patient.engine_facts)
    for plugin in PLUGINS:
        try:
            patient.engine.run([plugin, "version"])
        except EngineError as error:
            # Most contracts have no services.
            yield replace(of_error("engine", error), severity="error" if plugin == "buildx" else "warning")
