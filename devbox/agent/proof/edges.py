"""The edges of a build tree, each with everything that it reads: what its statement says and what its compiler said.

A path is relative to the tree where it lies in it, whichever way a statement or a compiler calls it, so that a file has
one name.
"""

from __future__ import annotations

import os
import re
import shlex
from itertools import repeat
from typing import TYPE_CHECKING

from ..files import read_bytes, stamp_of
from ..ninja import deps as ninja_deps
from ..ninja import manifest
from ..ninja.log import NOT_READ
from .kept import BUILD_FILE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from ..ninja.log import Mark

CUSTOM = "CUSTOM_COMMAND"
# The variables of a statement in which CMake writes what a command is told beside inputs and outputs.
TOLD = ("COMMAND", "FLAGS", "LINK_FLAGS", "LINK_LIBRARIES", "PRE_LINK", "POST_BUILD")
LINKED = ("LINK_FLAGS", "LINK_PATH", "LINK_LIBRARIES")
END_OF_PATH = re.compile(r"[,;:=]")
# How deep files of words may name each other.
DEEPEST = 8


class Edge:
    """One command: what it makes, by ninja's `names` and by `outputs`, our own, and what it reads.

    `custom` tells a command of the tree's own, or of cmake's for modules, from a compiler or linker: what it makes is a
    source for others, and known by content. `restat` ones may leave their outputs as they were. `generator` is cmake
    itself. `phony` runs nothing. `flags` tell a compiler its include folders and macros. `given` are the inputs that
    its statement and files of the tree name, `ids` those that its compiler said that it read. `named` are files of the
    checkout that stand in the command and are no inputs, such as a script or a linker's list: they are read, or
    written. Libraries that are told by name and folder are among them. Of `unkept` edges something is read from a file
    of the tree that nobody looks at. Of what `is_fixed` nothing but `ids` changes with the files that are there.
    """

    __slots__ = (
        "_inputs", "_paths", "custom", "flags", "generator", "given", "ids", "is_fixed", "named", "names", "outputs",
        "phony", "restat", "unkept",
    )  # fmt: skip

    def __init__(self, statement: manifest.Statement, outputs: list[str], given: list[str]) -> None:
        """Take the statement, and by our names what it makes and from what."""
        self.names = list(statement.outputs)
        self.outputs = outputs
        self.given = given
        self.phony = statement.rule == manifest.PHONY
        self.custom = self.restat = self.generator = self.unkept = False
        self.is_fixed = True
        self.flags = ""
        self.named: list[str] = []
        self.ids: Sequence[int] = ()
        self._paths: Sequence[str] = ()
        self._inputs: list[str] | None = None

    def found(self, paths: Sequence[str], ids: Sequence[int]) -> None:
        """Note what a compiler said that it read, by the places of the names in `paths`."""
        self._paths, self.ids, self._inputs = paths, ids, None

    @property
    def inputs(self) -> list[str]:
        """All inputs. Of a large tree they are a hundred times the files: they are gathered where they are needed."""
        if self._inputs is None:
            paths = self._paths
            self._inputs = list(dict.fromkeys([*self.given, *[paths[one] for one in self.ids]]))
        return self._inputs

    @property
    def reads(self) -> list[str]:
        """All that is read."""
        return [*self.inputs, *self.named]


class Edges:
    """All edges of a tree."""

    def __init__(self, tree: str, checkout: str = "", before: Edges | None = None, known: Mark = NOT_READ) -> None:
        """Read build.ninja, what compilers and commands said that they read, and dyndep files.

        `checkout` is where files lie that commands name. `before` is what was read of the tree already: build.ninja is
        not read again where it is the same file. `known` is how far ninja's record of dependencies was known.
        """
        self.tree = tree
        self._checkout = checkout
        self._named: dict[str, list[str]] = {}
        self._inside = tree + os.sep
        # Where linkers look for libraries: one that comes there may be found before the one that was.
        self.link_folders: dict[str, None] = {}
        self.edges: list[Edge] = []
        self.maker: dict[str, Edge] = {}
        self._build_file = stamp_of(os.path.join(tree, BUILD_FILE))
        self._said: manifest.Manifest
        if before is not None and before._build_file == self._build_file:
            self._said = before._said
        else:
            self._said = manifest.read(os.path.join(tree, BUILD_FILE))
        self._deps = deps = ninja_deps.read(tree, known)
        self.mark = deps.mark
        self._paths = [self.plain(path) for path in deps.paths]
        discovered = {self._paths[made]: ids for made, ids in deps.outputs}
        dynamic: dict[str, dict[str, manifest.Statement]] = {}
        there = before.edges if before is not None and self._said is before._said else repeat(None)
        for one, last in zip(self._said.statements, there):
            edge = last if last is not None and last.is_fixed else self._edge(one, dynamic)
            edge.found(self._paths, discovered.get(edge.outputs[0], ()))
            self.edges.append(edge)
            for name in edge.outputs:
                self.maker[name] = edge
        for edge in self.edges:
            if edge.named:
                edge.named = [name for name in edge.named if name not in self.maker and name not in edge.inputs]

    @property
    def only_appended(self) -> bool:
        """Whether ninja's record of dependencies is what was known of it, and perhaps more."""
        return self._deps.fresh is not None

    def said_anew(self) -> set[str]:
        """Return the outputs of which ninja recorded dependencies since that record was known."""
        return {self._paths[one] for one in self._deps.fresh or ()}

    def discovered(self) -> Sequence[str]:
        """Return all that compilers said that they read, or did before ninja wrote its record anew."""
        return self._paths

    def readers(self, names: Collection[str]) -> dict[str, list[Edge]]:
        """Return for each name which edges read it: of all names that an edge makes, and of those `names`."""
        found: dict[str, list[Edge]] = {}
        wanted = {number for number, path in enumerate(self._paths) if path in names or path in self.maker}
        for edge in self.edges:
            for name in (*edge.given, *edge.named):
                if name in self.maker or name in names:
                    found.setdefault(name, []).append(edge)
            if not wanted.isdisjoint(edge.ids):
                for one in wanted.intersection(edge.ids):
                    found.setdefault(self._paths[one], []).append(edge)
        return found

    def plain(self, name: str) -> str:
        """Return our name of a path."""
        if name.startswith(self._inside):
            name = name[len(self._inside) :]
        return os.path.normpath(name) if "./" in name or "//" in name else name

    def path(self, name: str) -> str:
        """Return where a name leads."""
        return os.path.join(self.tree, name)

    def _edge(self, one: manifest.Statement, dynamic: dict[str, dict[str, manifest.Statement]]) -> Edge:
        said, plain = self._said, self.plain
        edge = Edge(one, list(dict.fromkeys(map(plain, one.outputs))), list(map(plain, one.sources)))
        if not edge.phony:
            bindings = one.bindings
            edge.restat = bool(said.bound(one, "restat"))
            edge.generator = bool(said.bound(one, "generator"))
            edge.custom = one.rule == CUSTOM or (edge.restat and not edge.generator)
            if "dyndep" in bindings:
                self._add_dynamic(edge, plain(said.bound(one, "dyndep")), dynamic)
            depfile = "" if said.bound(one, "deps") else said.bound(one, "depfile")
            if depfile:
                edge.unkept = True
                edge.given += map(plain, read_depfile(self.path(depfile)))
            edge.flags = " ".join([bindings[name] for name in ("INCLUDES", "FLAGS", "DEFINES") if name in bindings])
            edge.named = self._named_in(one)
            edge.is_fixed = not (edge.custom or edge.unkept or edge.named) and bindings.keys().isdisjoint(LINKED)
        return edge

    def _add_dynamic(self, edge: Edge, listing: str, dynamic: dict[str, dict[str, manifest.Statement]]) -> None:
        edge.unkept = True
        if listing not in dynamic:
            found = manifest.read(self.path(listing)).statements
            dynamic[listing] = {self.plain(each.outputs[0]): each for each in found}
        more = dynamic[listing].get(edge.outputs[0])
        if more is not None:
            edge.given += map(self.plain, more.sources)
            edge.names += more.outputs[1:]
            edge.outputs = list(dict.fromkeys([*edge.outputs, *map(self.plain, more.outputs[1:])]))
            edge.restat = edge.restat or "restat" in more.bindings

    def _named_in(self, one: manifest.Statement) -> list[str]:
        said = self._said
        found: list[str] = []
        for name in TOLD:
            text = one.bindings.get(name)
            if text is None:
                continue
            if text not in self._named:
                self._named[text] = named_in(said.bound(one, name), self._checkout, self.tree)
            found += self._named[text]
        # What all statements of a rule run, such as a launcher.
        text = said.rules.get(one.rule, {}).get("command", "")
        if text not in self._named:
            self._named[text] = named_in(text, self._checkout, self.tree)
        found += self._named[text]
        if not one.bindings.keys().isdisjoint(LINKED):
            text = " ".join([said.bound(one, name) for name in LINKED])
            found += libraries(text)
            self.link_folders.update(dict.fromkeys(folders_of_libraries(words_of(text, ""))))
        return found

    def configured_from(self) -> list[str]:
        """Return what cmake was run on, as it says itself: its files and those that it copies, not what it made."""
        maker = self.maker.get(BUILD_FILE)
        kept = (f"_deps{os.sep}", os.sep)
        return [name for name in maker.inputs if name.startswith(kept)] if maker is not None else []

    def in_order(self, chosen: Collection[Edge]) -> Iterator[Edge]:
        """Yield the edges that are `chosen`, and those that only name others, each after those that it reads of."""
        left = {edge for edge in self.edges if edge.phony or edge in chosen}
        for first in self.edges:
            if first not in left:
                continue
            left.remove(first)
            pending = [(first, iter(first.inputs))]
            while pending:
                edge, rest = pending[-1]
                for name in rest:
                    maker = self.maker.get(name)
                    if maker in left:
                        left.remove(maker)
                        pending.append((maker, iter(maker.inputs)))
                        break
                else:
                    pending.pop()
                    yield edge


def words_of(command: str, folder: str, files: list[str] | None = None, depth: int = 0) -> list[str]:
    """Return the words of a command line, with those of the files that it names by `@`, which are added to `files`.

    Relative names are those of `folder`.
    """
    try:
        words = shlex.split(command)
    except ValueError:
        words = command.split()
    if "@" not in command or depth == DEEPEST:
        return words
    found: list[str] = []
    for word in words:
        path = os.path.join(folder, word[word.find("@") + 1 :]) if word.startswith(("@", "-Wl,@")) else ""
        text = read_bytes(path) if path else b""
        if text:
            if files is not None:
                files.append(path)
            found += words_of(os.fsdecode(text), folder, files, depth + 1)
        else:
            found.append(word)
    return found


def named_in(command: str, checkout: str, tree: str = "") -> list[str]:
    """Return the files of a checkout that stand in a command line that runs in `tree`, also behind `cd`."""
    if not checkout or not (checkout in command.replace("\\", "") or "../" in command or "@" in command):
        return []
    paths: list[str] = []
    words = words_of(command, tree, paths)
    place = tree
    for before, word in zip(["", *words], words):
        if before == "cd":
            place = os.path.join(tree, word)
        start = max(word.find(checkout), word.find("../"))
        paths.append(END_OF_PATH.split(word[start:])[0] if start >= 0 else word)
        paths[-1] = os.path.normpath(os.path.join(place, paths[-1]))
    return [
        path for path in map(os.path.normpath, paths) if path.startswith(checkout + os.sep) and os.path.isfile(path)
    ]


def folders_of_libraries(words: Iterable[str]) -> list[str]:
    """Return the folders that the words of a linker's command tell it to search."""
    return [os.path.normpath(word[2:]) for word in words if word.startswith("-L/")]


def libraries(command: str) -> list[str]:
    """Return the libraries that a linker is told to find by their names in folders that it is told as well."""
    words = words_of(command, "") if "-l" in command else []
    folders = folders_of_libraries(words)
    names = [word[2:] for word in words if word.startswith("-l")]
    files = [[name[1:]] if name.startswith(":") else [f"lib{name}.so", f"lib{name}.a"] for name in names]
    paths = (f"{folder}/{name}" for each in files for folder in folders for name in each)
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
