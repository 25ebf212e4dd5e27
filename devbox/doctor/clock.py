"""Do this machine, the engine and the checkout's file system agree about the time?"""

from __future__ import annotations

import os
import tempfile
import time
from typing import TYPE_CHECKING

from devbox.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from devbox.doctor.model import Patient

# ninja and make compare times; so much is noise of asking over a network.
_SECONDS = 2.0


def check(patient: Patient) -> Iterator[Finding]:
    """Compare the clocks: builds judge what is newer by the times of files that both sides write."""
    facts = patient.engine_facts
    skews = {"the checkout's file system": of_folder(patient.workspace)}
    if facts is not None and facts.clock:
        begun = time.time()
        asked = patient.engine.run(["info", "--format", "{{.SystemTime}}"], check=False)
        # The answer was made between two looks at the own clock.
        skews["the engine"] = skew(begun, engine_time(asked.stdout), time.time())
    off = {what: seconds for what, seconds in skews.items() if seconds is not None and abs(seconds) > _SECONDS}
    for what, seconds in off.items():
        yield Finding(
            "clock",
            "warning",
            f"the clock of {what} is {seconds:+.1f} s off this machine's",
            "timedatectl set-ntp true   # on both; for Docker Desktop or WSL, restart it: its machine slept",
            "builds take files for newer or older than they are",
        )
    if not off:
        told = [what for what, seconds in skews.items() if seconds is not None]
        yield Finding("clock", "ok", f"{' and '.join(told) or 'nothing else'} and this machine agree about the time")


def engine_time(text: str) -> float | None:
    """Return the time that the engine told (RFC 3339), in seconds since the epoch."""
    from datetime import datetime

    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except ValueError:
        return None


def skew(before: float, told: float | None, after: float) -> float | None:
    """Return by how much a time that was told between two looks at the clock is off it, as little as it can be."""
    if told is None:
        return None
    return min(0.0, told - before) or max(0.0, told - after)


def of_folder(folder: Path) -> float | None:
    """Return how far the times that a folder's file system gives are off; None where nothing may be written there."""
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:  # without a name, so that nothing can be left over
            before = time.time()
            os.write(probe.fileno(), b"x")
            return skew(before, os.fstat(probe.fileno()).st_mtime, time.time())
    except OSError:
        return None
