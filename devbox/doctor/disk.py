"""Is there room for images, build trees, and what devbox keeps in the home?"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from devbox.facts.engine import free_storage
from devbox.facts.fitness import GIB, space
from devbox.finding import Finding
from devbox.paths import cache_dir, state_dir

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from devbox.doctor.model import Patient

# Image builds copy the checkout into the cache folder, and what a dev container is remembered by is small.
_WANTED = {cache_dir: 5 * GIB, state_dir: GIB // 10}
# An image has some ten thousand files, a build tree more.
_FEW_FILES = 200_000


def check(patient: Patient) -> Iterator[Finding]:
    """Look at the free space below the engine's data folder, where it is on this machine, and in the home."""
    facts, framework = patient.engine_facts, patient.framework
    if facts is not None:
        wanted = framework.preflight.disk if framework is not None else None
        found = space(free_storage(facts), title=framework.title if framework is not None else None, wanted=wanted)
        if found is not None:
            yield found
        if facts.local:
            yield from files(statvfs(facts.data_root or "/var/lib/docker"), facts.data_root)
    for folder, least in _WANTED.items():
        yield from home(folder(), statvfs(folder()), least)


def statvfs(folder: Path | str) -> os.statvfs_result | None:
    """Return what the system says of the file system of a folder, or of the nearest one above that is there."""
    place = str(folder)
    while True:
        try:
            return os.statvfs(place)
        except OSError:
            if place in {"/", ""}:
                return None
            place = os.path.dirname(place)  # noqa: PTH120  # of text


def files(found: os.statvfs_result | None, folder: str) -> Iterator[Finding]:
    """Say where a file system can take few more files, however much space it has."""
    if found is not None and found.f_files and found.f_favail < _FEW_FILES:
        yield Finding(
            "disk", "warning", f"the file system of {folder} can take {found.f_favail} more files",
            "devbox prune --all   # df -i shows the rest", "its inodes run out before its space does",
        )  # fmt: skip


def home(folder: Path, found: os.statvfs_result | None, least: int) -> Iterator[Finding]:
    """Say where a folder of devbox's own has less than `least` bytes left."""
    if found is not None and found.f_bavail * found.f_frsize < least:
        yield Finding(
            "disk", "warning", f"{found.f_bavail * found.f_frsize >> 20} MiB are free for {folder}",
            "devbox du   # shows what devbox holds; DEVBOX_CACHE_DIR and DEVBOX_STATE_DIR move it",
            "image builds copy the checkout there" if least >= GIB else "devbox remembers there",
        )  # fmt: skip
