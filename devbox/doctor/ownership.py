"""Does everything in the checkout belong to its user?"""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from devbox.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devbox.doctor.model import Patient

DEPTH = 3
SHOWN = 3


def _owned_by_root(folder: Path, depth: int) -> Iterator[str]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        if entry.stat(follow_symlinks=False).st_uid == 0:
            yield entry.path
        elif depth > 1 and entry.is_dir(follow_symlinks=False) and entry.name != ".git":
            yield from _owned_by_root(Path(entry.path), depth - 1)


def check(patient: Patient) -> Iterator[Finding]:
    """Look for root-owned files near the top of the checkout: what a container that ran as root leaves behind."""
    if patient.host.user.uid == 0:
        return
    found = sorted(_owned_by_root(patient.workspace, DEPTH))
    if found:
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        owner = f"{patient.host.user.uid}:{patient.host.user.gid}"
        yield Finding(
            "ownership",
            "warning",
            f"root owns {', '.join(found[:SHOWN])}{more}",
            f"sudo chown -R --from=root {owner} {shlex.quote(str(patient.workspace))}",
            "neither you nor a build may change it",
        )
    else:
        yield Finding("ownership", "ok", f"no root-owned file near the top of {patient.workspace}")
