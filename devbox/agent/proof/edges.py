"""The edges of a build tree, each with everything that it reads: what its statement says and what its compiler said.

A path is relative to the tree where it lies in it, whichever way a statement or a compiler calls it, so that a file has
one name.
"""

from __future__ import annotations

import os
import re
import shlex
from typing import TYPE_CHECKING, NamedTuple

from ..files import stamp_of
from ..ninja import deps as ninja_deps
from ..ninja import manifest
from .kept import BUILD_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator

CUSTOM = "CUSTOM_COMMAND"
# The variables of a statement in which CMake writes what a command is told beside inputs and outputs.
TOLD = ("COMMAND", "FLAGS", "LINK_FLAGS", "LINK_LIBRARIES", "PRE_LINK", "POST_BUILD")
END_OF_PATH = re.compile(r"[,;:=]")


class Edge(NamedTuple):
    """One command: what it makes, by ninja's `names` and by `outputs`, our own, and what it reads.

    `custom` tells a command of the tree's own, or of cmake's for modules, from a compiler or linker: what it makes is a
    source for others, and known by content. `restat` ones may leave their outputs as they were. `generator` is cmake
    itself. `phony` runs nothing. `flags` is where a compiler is told its include folders. `named` are files of the
    checkout that stand in the command and are no inputs, such as a script or a linker's list: they are read, or
    written. Libraries that are told by name and folder are among them.
    """

    names: list[str]
    outputs: list[str]
    inputs: list[str]
    custom: bool
    restat: bool
    generator: bool
    phony: bool
    flags: str
    named: list[str]

    @property
    def reads(self) -> list[str]:
        """All that is read."""
        return [*self.inputs, *self.named]


class Edges:
    """All edges of a tree."""

    def __init__(self, tree: str, checkout: str = "", before: Edges | None = None) -> None:
        """Read build.ninja, what compilers and commands said that they read, and dyndep files.

        `checkout` is where files lie that commands name. `before` is what was read of the tree already: build.ninja is
        not read again where it is the same file.
        """
        self.tree = tree
        self._checkout = checkout
        self._named: dict[str, list[str]] = {}
        self._inside = tree + os.sep
        self.edges: list[Edge] = []
        self.maker: dict[str, Edge] = {}
        self._build_file = stamp_of(os.path.join(tree, BUILD_FILE))
        self._said: manifest.Manifest
        if before is not None and before._build_file == self._build_file:
            self._said = before._said
        else:
            self._said = manifest.read(os.path.join(tree, BUILD_FILE))
        said = self._said
        deps = ninja_deps.read(tree)
        plain = [self.plain(path) for path in deps.paths]
        discovered = {plain[made]: [plain[one] for one in inputs] for made, inputs in deps.outputs}
        dynamic: dict[str, dict[str, manifest.Statement]] = {}
        for one in said.statements:
            self._add(said, one, discovered, dynamic)
        for edge in self.edges:
            if edge.named:
                edge.named[:] = [name for name in edge.named if name not in self.maker and name not in edge.inputs]

    def plain(self, name: str) -> str:
        """Return our name of a path."""
        if name.startswith(self._inside):
            name = name[len(self._inside) :]
        return os.path.normpath(name) if "./" in name or "//" in name else name

    def path(self, name: str) -> str:
        """Return where a name leads."""
        return os.path.join(self.tree, name)

    def _add(
        self,
        said: manifest.Manifest,
        one: manifest.Statement,
        discovered: dict[str, list[str]],
        dynamic: dict[str, dict[str, manifest.Statement]],
    ) -> None:
        plain = self.plain
        outputs = list(dict.fromkeys(map(plain, one.outputs)))
        phony = one.rule == manifest.PHONY
        inputs = list(map(plain, one.sources))
        names = list(one.outputs)
        flags = ""
        restat = bool(said.bound(one, "restat"))
        custom = one.rule == CUSTOM or (restat and not said.bound(one, "generator"))
        if not phony:
            if "dyndep" in one.bindings:
                listing = plain(said.bound(one, "dyndep"))
                if listing not in dynamic:
                    found = manifest.read(self.path(listing)).statements
                    dynamic[listing] = {plain(each.outputs[0]): each for each in found}
                more = dynamic[listing].get(outputs[0])
                if more is not None:
                    inputs += map(plain, more.sources)
                    names += more.outputs[1:]
                    outputs = list(dict.fromkeys([*outputs, *map(plain, more.outputs[1:])]))
                    restat = restat or "restat" in more.bindings
            if outputs[0] in discovered:
                inputs += discovered[outputs[0]]
            elif not said.bound(one, "deps"):
                depfile = said.bound(one, "depfile")
                inputs += map(plain, read_depfile(self.path(depfile))) if depfile else ()
            flags = " ".join(one.bindings[name] for name in ("INCLUDES", "FLAGS") if name in one.bindings)
        edge = Edge(
            names,
            outputs,
            list(dict.fromkeys(inputs)),
            custom,
            restat,
            bool(said.bound(one, "generator")),
            phony,
            flags,
            [] if phony else self._named_in(said, one),
        )
        self.edges.append(edge)
        for name in outputs:
            self.maker[name] = edge

    def _named_in(self, said: manifest.Manifest, one: manifest.Statement) -> list[str]:
        found: list[str] = []
        for name in TOLD:
            text = one.bindings.get(name, "")
            if text not in self._named:
                self._named[text] = named_in(said.bound(one, name), self._checkout)
            found += self._named[text]
        if "LINK_LIBRARIES" in one.bindings:
            found += libraries(f"{said.bound(one, 'LINK_PATH')} {said.bound(one, 'LINK_LIBRARIES')}")
        return found

    def configured_from(self) -> list[str]:
        """Return what cmake was run on, as it says itself: its files and those that it copies, not what it made."""
        maker = self.maker.get(BUILD_FILE)
        kept = (f"_deps{os.sep}", os.sep)
        return [name for name in maker.inputs if name.startswith(kept)] if maker is not None else []

    def in_order(self) -> Iterator[Edge]:
        """Yield the edges, each after those that make what it reads."""
        done: set[int] = set()
        for first in self.edges:
            pending = [(first, iter(first.inputs))]
            if id(first) in done:
                continue
            done.add(id(first))
            while pending:
                edge, rest = pending[-1]
                for name in rest:
                    maker = self.maker.get(name)
                    if maker is not None and id(maker) not in done:
                        done.add(id(maker))
                        pending.append((maker, iter(maker.inputs)))
                        break
                else:
                    pending.pop()
                    yield edge


def named_in(command: str, checkout: str) -> list[str]:
    """Return the files of a checkout that stand in a command line, also behind `cd`."""
    if not checkout or checkout not in command.replace("\\", ""):
        return []
    try:
        words = shlex.split(command)
    except ValueError:
        words = command.split()
    found = []
    place = ""
    for before, word in zip(["", *words], words):
        if before == "cd":
            place = word
        start = word.find(checkout)
        path = END_OF_PATH.split(word[start:])[0] if start >= 0 else os.path.join(place, word)
        if path.startswith(checkout + os.sep) and os.path.isfile(path):
            found.append(os.path.normpath(path))
    return found


def libraries(command: str) -> list[str]:
    """Return the libraries that a linker is told to find by their names in folders that it is told as well."""
    words = command.split() if "-l" in command else []
    folders = [word[2:] for word in words if word.startswith("-L/")]
    names = [word[2:] for word in words if word.startswith("-l")]
    paths = (f"{folder}/lib{name}{end}" for name in names for folder in folders for end in (".so", ".a"))
    return [os.path.normpath(path) for path in paths if os.path.isfile(path)]


def read_depfile(path: str) -> list[str]:
    """Return what a depfile, which is a rule for make, says is read; nothing where there is none."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as stream:
            text = stream.read()
    except OSError:
        return []
    found: list[str] = []
    for line in text.replace("\\\n", " ").splitlines():
        _, colon, after = line.partition(": ") if ": " in line else line.partition(":")
        if colon:
            words = re.findall(r"(?:\\.|\$\$|[^\s\\$])+", after)
            found += (re.sub(r"\\([ #:])", r"\1", word).replace("$$", "$") for word in words)
    return found
