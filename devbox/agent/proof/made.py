"""What is known of each output of a tree: the run that made it, what that read, and what it left.

An output is *proven* if all that its command read is known; then `reads` is the sum of the hashes of what it read. It
is clean as long as that sum is the same. A run of which something is not known leaves an output that is not proven.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ..files import Stamp
from ..hashes import blake2b

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..ninja.log import Line

NOT_PROVEN = ""
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


def from_json(value: Any) -> dict[str, Made]:
    """Return the outputs of a record; {} where there are none that this version understands."""
    try:
        return {name: Made._make((*fields, Stamp._make(stamp))) for name, (*fields, stamp) in value.items()}
    except (TypeError, ValueError, AttributeError):
        return {}


def hashed(name: str, content: str) -> int:
    """Return the hash of a file with its name."""
    said = f"{name}\0{content}".encode("utf-8", "surrogateescape")
    return int.from_bytes(blake2b(said, digest_size=16).digest(), "big")


def together(hashes: Iterable[int]) -> str:
    """Return the hash of several, in any order."""
    return f"{sum(hashes) & _MASK:032x}"
