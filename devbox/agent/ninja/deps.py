"""ninja's record of what compilers said that they read: what it holds, and how its times are set.

`.ninja_deps`, version 4: after a signature and a version follow records, each with a size before it whose top bit says
what it is. One of a path holds the padded path and a checksum; its id is its position. One of dependencies holds the
output's id, its time (8 bytes), and the inputs' ids. An unknown version says nothing. `ninja -t deps` prints the same,
but takes seconds on a large tree.
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, NamedTuple

from ..files import read_bytes, write_bytes
from .log import NOT_READ, Mark, mark_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

NAME = ".ninja_deps"
SIGNATURE = b"# ninjadeps\n" + struct.pack("<i", 4)
# Before the ids of the inputs: the id of the output, and its time.
HEAD = 12


class Deps(NamedTuple):
    """What the record holds: the paths, and for each output the ids of the files that it was made from.

    `fresh` are the outputs of which something was appended to what was known, None where that is not its beginning;
    `mark` is how far the record is known now.
    """

    paths: list[str]
    outputs: list[tuple[int, Sequence[int]]]
    fresh: set[int] | None = None
    mark: Mark = NOT_READ


def read(tree: str, known: Mark = NOT_READ) -> Deps:
    """Return the last that was recorded of each output. `known` is how far the record was known before."""
    paths: list[str] = []
    latest: dict[int, Sequence[int]] = {}
    fresh: set[int] = set()
    data = read_bytes(os.path.join(tree, NAME))
    view = memoryview(data)
    for is_deps, begin, end in _records(data):
        if is_deps:
            (output,) = struct.unpack_from("<i", data, begin)
            latest[output] = view[begin + HEAD : end].cast("i")
            if begin > known.size:
                fresh.add(output)
        else:
            paths.append(_path(data, begin, end))
    grew = known == mark_of(view[: known.size])
    return Deps(paths, list(latest.items()), fresh if grew else None, mark_of(data))


def set_times(tree: str, times: Mapping[str, int]) -> Mark:
    """Have ninja believe what is recorded of outputs up to the given times, and return how far it is known then."""
    data = bytearray(read_bytes(os.path.join(tree, NAME)))
    wanted: dict[int, int] = {}
    number = 0
    changed = False
    for is_deps, begin, end in _records(data):
        if is_deps:
            output, time = struct.unpack_from("<iq", data, begin)
            if time < wanted.get(output, time):
                struct.pack_into("<q", data, begin + 4, wanted[output])
                changed = True
        else:
            name = _path(data, begin, end)
            if name in times:
                wanted[number] = times[name]
            number += 1
    if changed:
        write_bytes(os.path.join(tree, NAME), bytes(data))
    return mark_of(data)


def _records(data: bytes | bytearray) -> Iterator[tuple[bool, int, int]]:
    """Yield of each whole record whether it is one of dependencies, and where it begins and ends."""
    if not data.startswith(SIGNATURE):
        return
    begin = len(SIGNATURE) + 4
    while begin <= len(data):
        (size,) = struct.unpack_from("<I", data, begin - 4)
        end = begin + (size & 0x7FFFFFFF)
        if end > len(data):
            return
        yield size >> 31 == 1, begin, end
        begin = end + 4


def _path(data: bytes | bytearray, begin: int, end: int) -> str:
    return data[begin : end - 4].rstrip(b"\0").decode("utf-8", "surrogateescape")
