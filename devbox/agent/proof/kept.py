"""What is kept of a tree between attempts: a look at files, and what is known of outputs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ..files import read_bytes, read_json, remove, stamp_of, stamps_of, write_bytes
from ..ninja.log import NOT_READ, Mark
from ..record import ninja_identity
from . import columns
from . import look as looks
from . import made as outputs
from .configured import NONE, from_json

if TYPE_CHECKING:
    from .look import Look
    from .made import Made
    from .shadows import Listing

BUILD_FILE = "build.ninja"
KNOWN = "known.bin"
# How earlier versions wrote it, which is read as long as nothing newer is there.
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
        self.log = self.deps = NOT_READ
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
        data = read_bytes(os.path.join(self._folder, KNOWN))
        try:
            if data:
                table = columns.Reader(data)
                said, look, made = table.head, looks.read(table), outputs.read(table)
            else:
                said = read_json(os.path.join(self._folder, FILES))
                look, made = looks.from_json(said["look"]), read_json(os.path.join(self._folder, MADE))
                made = outputs.from_json(made)
            hidden, log, deps = from_json(said["hidden"]), Mark(*said["log"]), Mark(*said.get("deps", NOT_READ))
            rest = [said[name] for name in PLAIN]
            if not data:
                # Folders have two names, which earlier versions did not know of.
                rest[PLAIN.index("listed")] = _with_folders(said["listed"])
        except Exception:  # noqa: BLE001  # whatever is wrong with it
            return
        self.look, self.made, self.hidden, self.log, self.deps = look, made, hidden, log, deps
        for name, value in zip(PLAIN, rest):
            setattr(self, name, value)
        self._written = dict(made)

    def has_written_made(self) -> bool:
        """Whether what is known of outputs was written as it is, or read."""
        return self.made == self._written

    def save(self) -> None:
        """Write it."""
        table = columns.Writer()
        head = {
            **{name: getattr(self, name) for name in PLAIN},
            **looks.write(self.look, table),
            **outputs.write(self.made, table),
            "hidden": self.hidden,
            "log": self.log,
            "deps": self.deps,
        }
        write_bytes(os.path.join(self._folder, KNOWN), table.done(head))
        if self._written is None or os.path.exists(os.path.join(self._folder, FILES)):
            remove(os.path.join(self._folder, name) for name in (FILES, MADE))
        self._written = dict(self.made)


def _with_folders(listed: Listing) -> Listing:
    """Return a listing in which each name may be that of a folder."""
    return {
        place: (stamp, [each for name in names for each in (name, f"{name}/")])
        for place, (stamp, names) in listed.items()
    }


def contents(folder: str) -> dict[str, str]:
    """Return what the files that a tree was made from held at its last attempt; {} where nothing is known."""
    record = Kept(folder)
    record.load()
    return {name: entry.content for name, entry in record.look.files.items()}


def adopt(folder: str, tree: str, original: str = "") -> None:
    """Take the record in `folder` for that of `tree`, an exact copy whose files have other stamps.

    What is not by its stamp what the record says in the `original`, where that is given, is not so in the copy either.
    """
    record = Kept(folder)
    record.load()
    there = stamps_of(record.made, original) if original else {}
    for name, now in stamps_of(record.made, tree).items():
        one = record.made[name]
        as_left = not original or there[name] == one.stamp
        record.made[name] = one._replace(stamp=now if as_left and now else outputs.GONE)
    record.ninja, record.settled = ninja_files(tree), False
    record.save()


def is_as_left(folder: str, tree: str) -> bool:
    """Whether every output of a tree is by its stamp what its record says."""
    record = Kept(folder)
    record.load()
    return stamps_of(record.made, tree) == {name: one.stamp for name, one in record.made.items()}


def ninja_files(tree: str) -> list[Any]:
    """Return the stamps of what ninja is told and of what it keeps itself."""
    told = stamp_of(os.path.join(tree, BUILD_FILE))
    return [list(told) if told else None, *ninja_identity(tree)]
