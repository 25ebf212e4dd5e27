"""The record of a build tree: what it was configured from, what its files held, and what its outputs were made from.

It lies beside the trees, in `/build/.devbox/records/<key>/`. `attempt.json` is small and written twice in each build:
*open* before anything is run, *closed* when it ended. The others (`FILES`) are written where something moved.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from .files import read_json, stamp_of, write_json

SCHEMA = 2
# `kept` has the first, and the next two of earlier versions; `by_time` has the last.
FILES = ("known.bin", "files.json", "made.json", "sources.json")
ATTEMPT = "attempt.json"
NINJA_FILES = (".ninja_log", ".ninja_deps")


class Attempt(NamedTuple):
    """One attempt at building a tree; times in nanoseconds since the epoch.

    `digest` and `inputs` are what the key was made from. `configured` tells whether cmake ended well on `arguments`,
    `environment` and the files with the hash `configured_from`, and left the cache with the hash `cache`. `code` is the
    exit code of the attempt, -1 while it runs.
    """

    key: str
    digest: str
    inputs: dict[str, Any]
    state: str
    start: int
    end: int
    created: int
    generation: str
    ninja: list[Any]
    configured: bool
    configured_from: str
    arguments: list[str]
    environment: dict[str, str]
    cache: str
    code: int
    schema: int = SCHEMA

    @property
    def closed(self) -> bool:
        """Whether the attempt ended in an orderly way."""
        return self.state == "closed"


class Records:
    """All records in a build volume's state folder."""

    def __init__(self, folder: str) -> None:
        """Take the folder, which need not exist."""
        self.folder = folder

    def path(self, key: str, name: str) -> str:
        """Return the path of one file of a tree's record."""
        return os.path.join(self.folder, key, name)

    def folder_of(self, key: str) -> str:
        """Return the folder of a tree's record."""
        return os.path.join(self.folder, key)

    def all_keys(self) -> list[str]:
        """Return the keys of all trees that have a record."""
        try:
            return sorted(name for name in os.listdir(self.folder) if not name.startswith("."))
        except OSError:
            return []

    def attempt(self, key: str) -> Attempt | None:
        """Return the last attempt at a tree, or None if there is no record that this version understands."""
        value = read_json(self.path(key, ATTEMPT))
        if not isinstance(value, dict) or value.get("schema") != SCHEMA:
            return None
        try:
            return Attempt(**value)
        except TypeError:
            return None

    def write(self, attempt: Attempt, *, lasting: bool = True) -> None:
        """Write an attempt, in one step, for `lasting` (see `files.write_bytes`)."""
        write_json(self.path(attempt.key, ATTEMPT), attempt._asdict(), lasting=lasting)


def ninja_identity(tree: str) -> list[Any]:
    """Return what tells ninja's own log and dependency files from what they were."""
    return [list(known) if (known := stamp_of(os.path.join(tree, name))) else None for name in NINJA_FILES]
