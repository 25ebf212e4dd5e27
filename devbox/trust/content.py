"""Digests of what agreement is bound to: JSON values, and the bytes of files."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from devbox import lean
from devbox.agent.hashes import sha256

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_LENGTH = 32
# A script or a Feature is small. What is larger counts by its size and time.
_MAX_BYTES, _MAX_FILES = 4 << 20, 2000


def digest(value: Any) -> str:
    """Return a digest of a JSON value."""
    return sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:_LENGTH]


def of_files(folder: Path, names: Iterable[str]) -> str:
    """Return a digest of the files, and of all files below the folders, that `names` lead to from `folder`.

    Names of nothing are passed over; "" where there is no file at all.
    """
    found = sha256()
    count = 0
    for name in names:
        for path in _files(os.path.join(folder, name)) if name and "\0" not in name else ():  # noqa: PTH118  # text
            count += 1
            if count > _MAX_FILES:
                break
            found.update(os.fsencode(f"{path}\0") + _bytes(path) + b"\0")
    return found.hexdigest()[:_LENGTH] if count else ""


def _files(path: str) -> Iterator[str]:
    if os.path.isfile(path):  # noqa: PTH113
        yield path
    elif os.path.realpath(path) != path.rstrip("/") or not os.path.isdir(path):  # noqa: PTH112
        return
    else:
        for top, folders, names in os.walk(path):
            folders.sort()
            yield from (os.path.join(top, name) for name in sorted(names))  # noqa: PTH118


def _bytes(path: str) -> bytes:
    try:
        status = os.stat(path)  # noqa: PTH116
        if status.st_size > _MAX_BYTES:
            return f"{status.st_size} {status.st_mtime_ns}".encode()
        return sha256(lean.stored(path)).digest()
    except OSError:
        return b"unreadable"
