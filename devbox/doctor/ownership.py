"""Does everything in the checkout, and in devbox's own folders, belong to its user?"""

from __future__ import annotations

import os
import shlex
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from devbox.finding import Finding
from devbox.paths import cache_dir, home, state_dir

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devbox.doctor.model import Patient

DEPTH = 3
SHOWN = 3
# So many paths still fit a command that a person reads.
MOST = 20


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
    """Look for root-owned files near the top of the checkout: what a container that ran as root leaves behind.

    The remedy names what was found, and never a folder that holds more than that.
    """
    user, workspace = patient.host.user, patient.workspace
    if user.uid == 0:
        return
    folders = [folder for folder in (state_dir(), cache_dir()) if _owner(folder) == 0]
    if workspace == Path("/") or home().is_relative_to(workspace):
        yield Finding("ownership", "info", f"{workspace} is no checkout: whose its files are is not looked at")
        found: list[str] = []
    else:
        found = sorted(islice(_owned_by_root(workspace, DEPTH), MOST + 1))
    owned = [*map(str, folders), *found[:MOST]]
    if owned:
        more = "" if len(owned) <= SHOWN else f" and {len(owned) - SHOWN}{'' if len(found) <= MOST else ' or'} more"
        yield Finding(
            "ownership",
            "warning",
            f"root owns {', '.join(owned[:SHOWN])}{more}",
            f"sudo chown -hR --from=root {user.uid}:{user.gid} {shlex.join(owned)}",
            "neither you nor a build may change it",
        )
    elif workspace.is_relative_to("/") and found == [] and workspace != Path("/"):
        yield Finding("ownership", "ok", f"no root-owned file near the top of {workspace}")


def _owner(folder: Path) -> int | None:
    try:
        return folder.stat().st_uid
    except OSError:
        return None
