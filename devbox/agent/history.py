"""The history of a build tree: one line of JSON for each attempt that did something, the newest last.

It lies beside the tree's record, and nothing is decided by it: it answers "why was this compiled again?" days later.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from .files import write_bytes
from .protocol import Past

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME = "history.jsonl"
# What is kept, and the size at which older lines go.
LINES = 100
BYTES = 256 << 10
REASONS = 20


def note(path: str, entry: Mapping[str, Any]) -> None:
    """Add a line. One append is enough: a line that a crash cuts off is dropped when the file is read."""
    line = json.dumps(entry, separators=(",", ":")).encode() + b"\n"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        os.write(descriptor, line)
        size = os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)
    if size > BYTES:
        with open(path, "rb") as stream:
            write_bytes(path, b"".join(stream.readlines()[-LINES:]))


def read(path: str) -> list[Past]:
    """Return what the lines tell, the oldest first."""
    try:
        with open(path, "rb") as stream:
            lines = stream.read().split(b"\n")
    except OSError:
        return []
    found = []
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict):
            found.append(Past.of(entry))
    return found
