"""What is known of each output of a tree: the run that made it, what that read, and what it left.

An output is *proven* if all that its command read is known; then `reads` is the sum of the hashes of what it read. It
is clean as long as that sum is the same. A run of which something is not known leaves an output that is not proven.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ..content import DIGEST
from ..files import Stamp
from ..hashes import blake2b

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..ninja.log import Line
    from .columns import Reader, Writer

NOT_PROVEN = ""
# How many bytes ninja's hash of a command has.
COMMAND = 8
GONE = Stamp(0, 0, 0, 0, 0)
_MASK = (1 << 128) - 1


class Made(NamedTuple):
    """One output: its line in ninja's log, what was read, which of its versions it is, and its stamp."""

    start: int
    end: int
    mtime: int
    command: str
    reads: str
    version: str
    stamp: Stamp

    def is_of(self, line: Line) -> bool:
        """Whether it is known of this run; `ninja -t restat`, and whoever sets clocks, writes other times alone.

        A quick command that ran again may have taken the same milliseconds: then its line is one that came since.
        """
        return not line.fresh and (self.start, self.end, self.command) == (line.start, line.end, line.command)


def version(stamp: Stamp) -> str:
    """Return which version an output is that its command left with this stamp."""
    return f"{stamp.ctime:x}.{stamp.inode:x}.{stamp.mtime:x}"


def write(made: Mapping[str, Made], table: Writer) -> dict[str, Any]:
    """Add outputs to the columns of a record, and return what is to be in its head."""
    each = made.values()
    table.words(made)
    table.hashes([one.command for one in each], COMMAND)
    table.hashes([one.reads for one in each], DIGEST)
    for column in (
        [one.start for one in each],
        [one.end - one.start for one in each],
        [one.mtime for one in each],
        [one.stamp.mtime - one.mtime for one in each],
        [one.stamp.size for one in each],
        [one.stamp.ctime - one.stamp.mtime for one in each],
        [one.stamp.inode for one in each],
    ):
        table.numbers(column)
    # Nearly all are as their command left them.
    others = [[number, one.version] for number, one in enumerate(each) if one.version != version(one.stamp)]
    return {"made": len(made), "versions": others}


def read(table: Reader) -> dict[str, Made]:
    """Return the outputs in a record."""
    count = table.head["made"]
    names, commands, reads = table.words(count), table.hashes(count, COMMAND), table.hashes(count, DIGEST)
    starts, took, times, later, sizes, changed, inodes = (table.numbers() for _ in range(7))
    mtimes = list(map(int.__add__, times, later))
    stamps = list(map(Stamp, mtimes, sizes, map(int.__add__, mtimes, changed), inodes))
    versions = list(map(version, stamps))
    for number, other in table.head["versions"]:
        versions[number] = other
    ends = map(int.__add__, starts, took)
    return dict(zip(names, map(Made, starts, ends, times, commands, reads, versions, stamps)))


def from_json(value: Any) -> dict[str, Made]:
    """Return the outputs as earlier versions wrote them; {} where there are none that this version understands."""
    try:
        return {name: Made._make((*fields, Stamp._make(stamp))) for name, (*fields, stamp) in value.items()}
    except (TypeError, ValueError, AttributeError):
        return {}


def hashed(name: str, content: str) -> int:
    """Return the hash of a file with its name."""
    said = f"{name}\0{content}".encode("utf-8", "surrogateescape")
    return int.from_bytes(blake2b(said, digest_size=DIGEST).digest(), "big")


def together(hashes: Iterable[int]) -> str:
    """Return the hash of several, in any order."""
    return f"{sum(hashes) & _MASK:032x}"
