"""A table as bytes: a column a field, so that it is small, and read in a fraction of the time that JSON takes.

Numbers are 64 bits wide, hashes what they are, and all of it is compressed a little; what a hash is in most rows and a
few words in others is kept beside them. Names are one text, in which folders repeat.
"""

from __future__ import annotations

import json
import sys
from array import array
from typing import TYPE_CHECKING, Any

try:
    from zlib import compress, decompress
except ImportError:  # a Python that was built without

    def compress(data: bytes, _: int = 0) -> bytes:  # type: ignore[misc]
        """Return the same."""
        return data

    def decompress(data: bytes) -> bytes:  # type: ignore[misc]
        """Return the same."""
        return data


if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAGIC = b"devbox record 3\n"
DIGITS = frozenset("0123456789abcdef")
NUMBER = "q"
LEAST = 1


class Writer:
    """Gathers columns."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._parts: list[bytes] = []
        # The places of columns that hold a number which is too large.
        self._wide: list[int] = []

    def numbers(self, values: Sequence[int]) -> None:
        """Add numbers, nearly all of which have 64 bits."""
        try:
            column = array(NUMBER, values)
        except OverflowError:
            self._wide.append(len(self._parts))
            self.words(map(str, values))
            return
        if sys.byteorder == "big":
            column.byteswap()
        self._parts.append(column.tobytes())

    def words(self, values: Iterable[str]) -> None:
        """Add texts, none of which holds a null."""
        self._parts.append("\0".join(values).encode("utf-8", "surrogateescape"))

    def hashes(self, values: Sequence[str], size: int) -> None:
        """Add hashes of `size` bytes, or words where they are none."""
        digits = size * 2
        plain = [value if len(value) == digits else "" for value in values]
        if not DIGITS.issuperset("".join(plain)):
            plain = [value if DIGITS.issuperset(value) else "" for value in plain]
        self.numbers([place for place, value in enumerate(plain) if not value])
        self.words([value for value, known in zip(values, plain) if not known])
        self._parts.append(bytes.fromhex("".join(plain)))

    def done(self, head: Any) -> bytes:
        """Return all columns, after a `head` of JSON."""
        sizes = [len(part) for part in self._parts]
        said = json.dumps([head, sizes, self._wide], separators=(",", ":")).encode()
        return MAGIC + compress(b"\n".join([said, b"".join(self._parts)]), LEAST)


class Reader:
    """Reads what a writer gathered, in the same order. Raises ValueError, or what of its kind reading raises."""

    def __init__(self, data: bytes) -> None:
        """Take what was written; `head` is what was said before the columns."""
        if not data.startswith(MAGIC):
            raise ValueError("this is no record")
        said, _, self._data = decompress(data[len(MAGIC) :]).partition(b"\n")
        self.head, self._sizes, self._wide = json.loads(said)
        self._at = self._place = 0

    def _part(self) -> bytes:
        begin, self._at = self._at, self._at + self._sizes[self._place]
        self._place += 1
        if self._at > len(self._data):
            raise ValueError("this record was cut off")
        return self._data[begin : self._at]

    def numbers(self) -> Sequence[int]:
        """Return a column of numbers."""
        if self._place in self._wide:
            return [int(word) for word in self._part().split(b"\0")]
        column = array(NUMBER, self._part())
        if sys.byteorder == "big":
            column.byteswap()
        return column

    def words(self, count: int) -> list[str]:
        """Return a column of so many texts."""
        said = self._part().decode("utf-8", "surrogateescape")
        found = said.split("\0") if count else []
        if len(found) != count:
            raise ValueError("this record lacks names")
        return found

    def hashes(self, count: int, size: int) -> list[str]:
        """Return a column of so many hashes."""
        places = self.numbers()
        words = self.words(len(places))
        digits, said = size * 2, self._part().hex()
        if len(said) != (count - len(words)) * digits:
            raise ValueError("this record lacks hashes")
        found = [said[begin : begin + digits] for begin in range(0, len(said), digits)]
        if not words:
            return found
        others, rest = dict(zip(places, words)), iter(found)
        return [others[place] if place in others else next(rest) for place in range(count)]
