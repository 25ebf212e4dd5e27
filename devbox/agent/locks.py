"""Locks in the build volume, held by a process and its children, so that nobody takes over while one of them lives."""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

POLL_SECONDS = 0.1


def lock_path(state: str, name: str) -> str:
    """Return the lock `name` of a volume with the state folder `state`: a tree's key or `install`."""
    return os.path.join(state, "locks", f"{name}.lock")


@contextlib.contextmanager
def lock(path: str, note: str, *, wait: Callable[[float], None], on_wait: Callable[[str], None]) -> Iterator[int]:
    """Hold the exclusive lock `path` during the block, and give its descriptor, which children inherit.

    The kernel drops a flock when its last descriptor is closed. So if this process is killed, the lock lasts as long
    as a compiler that it started. At an orderly end it is dropped explicitly: a daemon that a build left behind holds
    nothing. `on_wait` is told the holder's note once; `wait(seconds)` passes the time and raises if the client is
    gone.
    """
    os.makedirs(os.path.dirname(path), exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        told = False
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not told:
                    on_wait(os.pread(descriptor, 4096, 0).decode("utf-8", "replace").strip() or "another build")
                    told = True
                wait(POLL_SECONDS)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{note}\n".encode(), 0)
        try:
            yield descriptor
        finally:
            os.ftruncate(descriptor, 0)
            fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


def held(path: str) -> bool:
    """Return whether some process holds the lock `path`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
