"""ninja's log of commands: what it holds, and how its times are set.

ninja judges an output by its own time, by the time in the log, and by the time in the record of dependencies. All
three are the tree's own, so that ninja can be told what to make without a time of a source being touched.
"""

from __future__ import annotations

import os
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from ..files import read_bytes, write_bytes
from ..hashes import blake2b

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

NAME = ".ninja_log"
FIELDS = 5
STARTS = 6


class Line(NamedTuple):
    """What the log says of an output.

    `start` and `end` count milliseconds from the start of ninja, `mtime` is what inputs are compared with, `command`
    a hash of the command line. `run` counts the runs of ninja that the log holds; `tells_start` is whether `mtime` is
    when the command started, as from ninja 1.12 on, unless it left its output as it was or somebody set it since.
    `fresh` is whether it was appended to what was known of the log.
    """

    start: int
    end: int
    mtime: int
    command: str
    run: int = 0
    tells_start: bool = False
    fresh: bool = False


class Mark(NamedTuple):
    """How far a log is known: the number and the hash of its first bytes."""

    size: int
    digest: str


NOT_READ = Mark(0, "")


class Log(NamedTuple):
    """The last line of each output, how far the log is known with that, and whether it only `grew` since."""

    lines: dict[str, Line]
    mark: Mark
    grew: bool


def read(tree: str, known: Mark = NOT_READ) -> Log:
    """Return what the log says, nothing where there is none. `known` is how far it was known before."""
    found: dict[str, Line] = {}
    run = latest = 0
    said = read_bytes(os.path.join(tree, NAME))
    tells_start = _version(said) >= STARTS
    grew = known == mark_of(said[: known.size])
    old = said[: known.size] if grew else said
    for part, fresh in ((old, False), (said[len(old) :], True)):
        for fields in _fields(part):
            start, end, mtime = int(fields[0]), int(fields[1]), int(fields[2])
            # A command is logged when it ends: a time that goes back is another run.
            if end < latest:
                run += 1
            latest = end
            found[fields[3]] = Line(start, end, mtime, fields[4], run, tells_start, fresh)
    return Log(found, mark_of(said), grew)


def mark_of(said: bytes | bytearray | memoryview) -> Mark:
    """Return how far something is known of which this was read."""
    return Mark(len(said), blake2b(said, digest_size=16).hexdigest())


def identity(tree: str) -> str:
    """Return a hash of what was run, whatever the times say: it changes when something is built."""
    hasher = blake2b(digest_size=16)
    for start, end, _, name, command in _fields(read_bytes(os.path.join(tree, NAME))):
        hasher.update(f"{start} {end} {name} {command}\n".encode("utf-8", "surrogateescape"))
    return hasher.hexdigest()


def rewrite(
    tree: str,
    forgotten: Collection[str],
    times: Mapping[str, int],
    recalled: Mapping[str, tuple[int, int, int, str]] = MappingProxyType({}),
) -> Mark:
    """Forget outputs, which ninja then makes anew, and set the times of others; the rest stays as it is.

    `recalled` are runs that were forgotten: when they started and ended, their times, and the commands.
    """
    said = read_bytes(os.path.join(tree, NAME))
    head = said.partition(b"\n")[0].decode("utf-8", "surrogateescape") + "\n"
    kept = [head]
    if _version(said):
        for name, (start, end, mtime, command) in recalled.items():
            kept.append("\t".join([str(start), str(end), str(mtime), name, command]) + "\n")
    for fields in _fields(said):
        name = fields[3]
        if name in forgotten:
            continue
        if name in times:
            fields[2] = str(times[name])
        kept.append("\t".join(fields) + "\n")
    written = "".join(kept).encode("utf-8", "surrogateescape")
    write_bytes(os.path.join(tree, NAME), written)
    return mark_of(written)


def _version(said: bytes) -> int:
    number = said.partition(b"\n")[0].rpartition(b"v")[2].strip()
    return int(number) if number.isdigit() else 0


def _fields(said: bytes) -> Iterator[list[str]]:
    for line in said.decode("utf-8", "surrogateescape").split("\n"):
        fields = line.split("\t")
        if len(fields) == FIELDS and fields[0].isdigit():
            yield fields
