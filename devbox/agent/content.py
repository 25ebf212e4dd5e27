"""What a file holds, as a hash, and when that is known without reading it.

A stat is a cache of the hash: the same path with the same device, inode, size, mtime and ctime holds the same bytes,
unless they were written in the very tick of the clock in which they were read. git's index is never asked: filters,
LFS and `assume-unchanged` make "clean according to git" something else than "same bytes".
"""

from __future__ import annotations

import os
import stat
import time
from typing import TYPE_CHECKING, NamedTuple

from .files import Stamp
from .hashes import blake2b

if TYPE_CHECKING:
    from collections.abc import Iterable

# Models and archives are inputs too, and reading them takes longer than making anew what was made from them: such a
# file is known by its stamp.
LARGE = 256 << 20
# The kernel's clock for file times ticks every few milliseconds. Two writes within one tick leave equal stamps.
FINE_TICK_NS = 20_000_000
COARSE_TICK_NS = 1_000_000_000
LINK = "@"
# How many bytes a hash has.
DIGEST = 16
UNKNOWN = ""


class Entry(NamedTuple):
    """A file as a record knows it: the content, then the fields of its stamp."""

    content: str
    mtime: int
    size: int
    ctime: int
    inode: int
    device: int

    @property
    def stamp(self) -> Stamp:
        """The entry's stamp."""
        return Stamp(*self[1:])

    @property
    def is_link(self) -> bool:
        """Whether it is a symlink, whose content is `@` and where it points to; its stamp is the link's own."""
        return self.content.startswith(LINK)


def digest_file(path: str) -> str:
    """Return the hash of a file's bytes; unknown (never equal to anything) if it is large, unreadable or gone."""
    try:
        with open(path, "rb", buffering=0) as stream:
            if os.fstat(stream.fileno()).st_size > LARGE:
                return UNKNOWN
            hasher = blake2b(digest_size=DIGEST)
            while True:
                chunk = stream.read(1 << 20)
                if not chunk:
                    return hasher.hexdigest()
                hasher.update(chunk)
    except OSError:
        return UNKNOWN


def content(path: str, status: os.stat_result) -> str:
    """Return what a file or folder with this `status` holds: of a folder, which names; of a large file, its stamp."""
    if stat.S_ISDIR(status.st_mode):
        try:
            names = sorted(os.listdir(path))
        except OSError:
            return UNKNOWN
        return blake2b("\0".join(names).encode("utf-8", "surrogateescape"), digest_size=DIGEST).hexdigest()
    if status.st_size > LARGE:
        return f"{status.st_size:x}.{status.st_mtime_ns:x}.{status.st_ctime_ns:x}.{status.st_ino:x}"
    return digest_file(path)


def await_tick(stamps: Iterable[Stamp]) -> None:
    """Wait until no file changed within the running tick of the clock: then a later write shows in its stamp."""
    now = time.time_ns()
    wait = 0
    for one in stamps:
        tick = FINE_TICK_NS if one.ctime % COARSE_TICK_NS else COARSE_TICK_NS
        age = now - one.ctime
        if 0 <= age < tick:
            wait = max(wait, tick - age)
    if wait:
        time.sleep(wait / 1e9)
