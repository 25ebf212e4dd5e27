"""Has the checkout what its build reads?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from devbox.container import preflight
from devbox.doctor.model import Finding
from devbox.facts.engine import free_storage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devbox.doctor.model import Patient
    from devbox.frameworks.model import Framework


def check(patient: Patient) -> Iterator[Finding]:
    """Look for empty submodules, git-lfs pointers, missing history, and room for a first build."""
    framework = _framework(patient)
    found = list(preflight.look(patient.workspace, framework))
    if framework is not None and patient.engine_facts is not None:
        little = preflight.room(framework, free_storage(patient.engine_facts))
        found += [little] if little is not None else []
    for one in found:
        yield Finding("checkout", "error" if one.fatal else "warning", one.message, one.remedy)
    if not found:
        yield Finding("checkout", "ok", f"{patient.workspace} has all that a build reads")


def _framework(patient: Patient) -> Framework | None:
    from devbox.frameworks.detect import detect
    from devbox.frameworks.load import load

    matches = detect(patient.workspace)
    return load(matches[0].name, matches[0].variant, patient.workspace) if matches else None
