"""The record of a build tree: what it was configured from, and what its sources looked like at the last attempt.

It lies beside the trees, in `/build/.devbox/records/<key>/`, as two files. `attempt.json` is small and written twice
in each build: *open* before anything is run, *closed* when it ended. `sources.json` is large and written only where
the sources moved; each file names the other's generation, so that a crash between the two leaves an open attempt,
which proves nothing.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from ..files import read_json, stamp_of, write_json
from .rules import FOREVER, Base
from .sources import Entry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SCHEMA = 1
NINJA_FILES = (".ninja_log", ".ninja_deps")


class Attempt(NamedTuple):
    """One attempt at building a tree; times in nanoseconds since the epoch.

    `digest` and `inputs` are what the key was made from. `ninja` is the identity of ninja's own two files at the end:
    a run that is not devbox's changes it. `configured` tells whether cmake ended well on `arguments`, `environment`
    and the cache with the hash `cache`; `defined` are all names that were ever given to this cache with -D. `around`
    identifies the container and its packages, and `code` is the exit code of the attempt.
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
    arguments: list[str]
    environment: dict[str, str]
    defined: list[str]
    cache: str
    around: str
    code: int
    schema: int = SCHEMA

    @property
    def closed(self) -> bool:
        """Whether the attempt ended in an orderly way, so that its record can be proof."""
        return self.state == "closed"


class Records:
    """All records in a build volume's state folder."""

    def __init__(self, folder: str) -> None:
        """Take the folder, which need not exist."""
        self.folder = folder

    def path(self, key: str, name: str) -> str:
        """Return the path of one file of a tree's record."""
        return os.path.join(self.folder, key, name)

    def all_keys(self) -> list[str]:
        """Return the keys of all trees that have a record."""
        try:
            return sorted(name for name in os.listdir(self.folder) if not name.startswith("."))
        except OSError:
            return []

    def attempt(self, key: str) -> Attempt | None:
        """Return the last attempt at a tree, or None if there is no record that this version understands."""
        value = read_json(self.path(key, "attempt.json"))
        if not isinstance(value, dict) or value.get("schema") != SCHEMA:
            return None
        try:
            return Attempt(**value)
        except TypeError:
            return None

    def sources(self, key: str, attempt: Attempt) -> dict[str, Entry] | None:
        """Return the sources that belong to `attempt`, or None if they are of another one."""
        value = read_json(self.path(key, "sources.json"))
        if not isinstance(value, dict) or value.get("generation") != attempt.generation:
            return None
        return {path: Entry(*entry) for path, entry in value["files"].items()}

    def others(self, key: str) -> Iterator[dict[str, Entry]]:
        """Yield the sources of every other tree's last attempt; empty where its record is broken."""
        for other in self.all_keys():
            if other != key:
                attempt = self.attempt(other)
                yield (self.sources(other, attempt) if attempt else None) or {}

    def write_sources(self, key: str, generation: str, files: Mapping[str, Entry]) -> None:
        """Write the sources of a generation."""
        write_json(self.path(key, "sources.json"), {"generation": generation, "files": files})

    def write(self, attempt: Attempt) -> None:
        """Write an attempt, in one step."""
        write_json(self.path(attempt.key, "attempt.json"), attempt._asdict())


def ninja_identity(tree: str) -> list[Any]:
    """Return what tells ninja's own log and dependency files from what they were."""
    return [list(known) if (known := stamp_of(os.path.join(tree, name))) else None for name in NINJA_FILES]


def base(
    attempt: Attempt, files: Mapping[str, Entry] | None, tree: str, *, ninja: bool, start_counts: bool
) -> tuple[Base, str]:
    """Return what the last attempt proves, and why it is not trusted ("" where it is)."""
    doubt = ""
    if files is None:
        doubt = "the record of the last build is damaged"
    elif not attempt.closed:
        doubt = "the last build was cut off"
    elif not ninja:
        doubt = "only ninja keeps a log that shows whether somebody else built here"
    elif attempt.ninja != ninja_identity(tree):
        doubt = "ninja was run here by hand or by an IDE since the last build"
    return Base(files or {}, not doubt, attempt.start, FOREVER if doubt else attempt.end, start_counts), doubt
