"""Small files that are never half written, and what identifies a file's state."""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

JSON = Any


class Stamp(NamedTuple):
    """What stat says about a file, times in nanoseconds. Equal stamps mean that nobody touched the file in between.

    The device is left 0 where files lie in one volume: a volume's number may be another one after a reboot.
    """

    mtime: int
    size: int
    ctime: int
    inode: int
    device: int = 0


def stamp(status: os.stat_result) -> Stamp:
    """Return the stamp in a stat result."""
    return Stamp(status.st_mtime_ns, status.st_size, status.st_ctime_ns, status.st_ino)


def stamp_of(path: str) -> Stamp | None:
    """Return the stamp of a file, or None if there is none."""
    try:
        return stamp(os.stat(path))
    except OSError:
        return None


def stamps_of(names: Iterable[str], folder: str) -> dict[str, Stamp | None]:
    """Return the stamps of files, whose names are relative to `folder`."""
    # A tree has tens of thousands of files, and a build with nothing to do looks at each.
    below = os.path.join(folder, "")
    stat = os.stat
    found: dict[str, Stamp | None] = {}
    for name in names:
        try:
            status = stat(name if name.startswith("/") else below + name)
            found[name] = Stamp(status.st_mtime_ns, status.st_size, status.st_ctime_ns, status.st_ino, 0)
        except OSError:  # noqa: PERF203
            found[name] = None
    return found


def read_json(path: str) -> JSON:
    """Return what a JSON file holds; None, which means that nothing is known, if it is missing or unreadable."""
    try:
        with open(path, "rb") as stream:
            return json.loads(stream.read())
    except (OSError, ValueError, RecursionError):
        return None


def read_bytes(path: str) -> bytes:
    """Return what a file holds; nothing if it is missing or unreadable."""
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError:
        return b""


def write_json(path: str, value: JSON, *, lasting: bool = True) -> None:
    """Write a JSON file as `write_bytes` does. Raises OSError; then `path` is what it was before."""
    write_bytes(path, json.dumps(value, separators=(",", ":")).encode(), lasting=lasting)


def write_bytes(path: str, content: bytes, *, mode: int = 0o644, lasting: bool = True) -> None:
    """Write a file: beside it first, synced, then renamed over it, with the folder synced after it.

    Where it need not be `lasting`, nothing is synced: after a loss of power it may be what it was before, or nothing.
    """
    folder = os.path.dirname(path)
    os.makedirs(folder, exist_ok=True)
    beside = os.path.join(folder, f".{os.path.basename(path)}.{os.getpid()}")
    try:
        with open(beside, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            if lasting:
                os.fsync(stream.fileno())
        os.replace(beside, path)
    except BaseException:
        remove([beside])
        raise
    if not lasting:
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def point_link(path: str, target: str) -> None:
    """Make the symlink `path` point to `target`, in one step; nothing is written where it already does."""
    with contextlib.suppress(OSError):
        if os.readlink(path) == target:
            return
    beside = f"{path}.{os.getpid()}"
    remove([beside])
    os.symlink(target, beside)
    os.replace(beside, path)


def remove(paths: Iterable[str]) -> int:
    """Remove files that may be there, and return how many were."""
    removed = 0
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
            removed += 1
    return removed
