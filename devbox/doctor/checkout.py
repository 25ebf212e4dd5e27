"""Has the checkout what its build reads?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from devbox.container.checkout import preflight
from devbox.facts.engine import free_storage
from devbox.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devbox.doctor.model import Patient


def check(patient: Patient) -> Iterator[Finding]:
    """Look for empty submodules, git-lfs pointers, missing history, and room for a first build."""
    framework = preflight.framework_at(patient.workspace)
    found = list(preflight.look(patient.workspace, framework))
    if framework is not None and patient.engine_facts is not None:
        little = preflight.room(framework, free_storage(patient.engine_facts))
        found += [little] if little is not None else []
    yield from found
    if not found:
        yield Finding("checkout", "ok", f"{patient.workspace} has all that a build reads")
