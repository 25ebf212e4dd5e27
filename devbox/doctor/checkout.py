"""Has the checkout what its build reads?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from devbox.container.checkout import preflight
from devbox.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devbox.doctor.model import Patient


def check(patient: Patient) -> Iterator[Finding]:
    """Look for empty submodules, git-lfs pointers and missing history."""
    found = preflight.look(patient.workspace, patient.framework)
    yield from found
    if not found:
        yield Finding("checkout", "ok", f"{patient.workspace} has all that a build reads")
