"""What is kept of a tree between attempts: a look at files, and what is known of outputs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ..files import read_json, stamp_of, write_json
from ..ninja.log import NOT_READ, Mark
from ..record import ninja_identity
from . import look as looks
from . import made as outputs
from .configured import NONE, from_json

if TYPE_CHECKING:
    from .look import Look
    from .made import Made
    from .shadows import Listing

BUILD_FILE = "build.ninja"
FILES = "files.json"
MADE = "made.json"
# What is kept as it is.
PLAIN = ("ninja", "settled", "environment", "configured_from", "listed", "shadowed", "generated")


class Kept:
    """What is kept of a tree between attempts: a look at files, and what is known of outputs."""

    def __init__(self, folder: str) -> None:
        """Take the folder of the tree's record."""
        self._folder = folder
        self.look: Look = looks.NOTHING
        self.made: dict[str, Made] = {}
        self.ninja: list[Any] = []
        self.log = NOT_READ
        self.environment = ""
        self.configured_from: list[str] = []
        self.listed: Listing = {}
        self.shadowed: list[str] = []
        self.generated: Listing = {}
        self.hidden = NONE
        self.settled = False
        self._written: dict[str, Made] | None = None

    def load(self) -> None:
        """Read it; where it is not there, damaged, or of another version, nothing is known."""
        kept = read_json(os.path.join(self._folder, FILES))
        try:
            look, hidden, log = looks.from_json(kept["look"]), from_json(kept["hidden"]), Mark(*kept["log"])
            rest = [kept[name] for name in PLAIN]
        except (KeyError, TypeError, ValueError):
            return
        if look is not None:
            self.look, self.hidden, self.log = look, hidden, log
            for name, value in zip(PLAIN, rest):
                setattr(self, name, value)
            self.made = outputs.from_json(read_json(os.path.join(self._folder, MADE)))
            self._written = dict(self.made)

    def has_written_made(self) -> bool:
        """Whether what is known of outputs was written as it is, or read."""
        return self.made == self._written

    def save(self) -> None:
        """Write it: what is known of outputs first, since a look that is older than that proves less, not more."""
        if not self.has_written_made():
            write_json(os.path.join(self._folder, MADE), self.made)
            self._written = dict(self.made)
        plain = {name: getattr(self, name) for name in PLAIN}
        kept = {"look": self.look.as_json(), "hidden": self.hidden, "log": self.log, **plain}
        write_json(os.path.join(self._folder, FILES), kept)


def adopt(folder: str, tree: str, original: str = "") -> None:
    """Take the record in `folder` for that of `tree`, an exact copy whose files have other stamps.

    What is not by its stamp what the record says in the `original`, where that is given, is not so in the copy either.
    """
    record = Kept(folder)
    record.load()
    for name, one in record.made.items():
        as_left = not original or stamp_of(os.path.join(original, name)) == one.stamp
        now = stamp_of(os.path.join(tree, name)) if as_left else None
        record.made[name] = one._replace(stamp=now or outputs.GONE)
    record.ninja, record.settled = ninja_files(tree), False
    record.save()


def is_as_left(folder: str, tree: str) -> bool:
    """Whether every output of a tree is by its stamp what its record says."""
    record = Kept(folder)
    record.load()
    return all(stamp_of(os.path.join(tree, name)) == one.stamp for name, one in record.made.items())


def ninja_files(tree: str) -> list[Any]:
    """Return the stamps of what ninja is told and of what it keeps itself."""
    told = stamp_of(os.path.join(tree, BUILD_FILE))
    return [list(told) if told else None, *ninja_identity(tree)]
