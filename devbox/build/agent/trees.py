"""The list of a volume's build trees, for `devbox status`."""

from __future__ import annotations

import os
from typing import Any

from .locks import held
from .record import Records


def describe(volume: str) -> list[dict[str, Any]]:
    """Return each tree with a record or a folder: key, bytes, times, the key's inputs, whether it is being built."""
    state = os.path.join(volume, ".devbox")
    records = Records(os.path.join(state, "records"))
    folders = {
        entry.name
        for entry in os.scandir(volume)
        if entry.is_dir(follow_symlinks=False) and not entry.name.startswith(".")
    }
    try:
        current = os.readlink(os.path.join(volume, "current"))
    except OSError:
        current = ""
    found = []
    for key in sorted(folders | set(records.all_keys())):
        attempt = records.attempt(key)
        if attempt is None and key not in folders:
            continue
        found.append(
            {
                "key": key,
                "path": os.path.join(volume, key),
                "bytes": disk_use(os.path.join(volume, key)),
                "current": key == current,
                "building": held(os.path.join(state, "locks", f"{key}.lock")),
                "state": attempt.state if attempt else "unknown",
                "created": attempt.created if attempt else 0,
                "built": attempt.start if attempt else 0,
                "code": attempt.code if attempt else -1,
                "inputs": attempt.inputs if attempt else {},
            }
        )
    return found


def disk_use(folder: str) -> int:
    """Return the bytes that a folder's files take on disk; a file with several names counts once."""
    seen = set()
    total = 0
    pending = [folder]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    status = entry.stat(follow_symlinks=False)
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    elif status.st_nlink > 1:
                        if status.st_ino in seen:
                            continue
                        seen.add(status.st_ino)
                    total += status.st_blocks * 512
        except OSError:
            continue
    return total
