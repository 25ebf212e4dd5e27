"""New headers that a compiler would find before those that it read, or that `__has_include` looks for.

An object does not name the files that were not there. So the folders that its compiler searched are listed, and where a
name came to one of them, the objects are dirty that search it and were made from a file in which that name occurs. Of a
folder in the tree those names count that cmake and commands are to make there.
"""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING, Dict, List, NamedTuple, Optional, Tuple

from ..content import await_tick
from ..files import read_bytes, stamp_of
from .edges import words_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..files import Stamp
    from .edges import Edge

ROOT = "--sysroot="
FOLDER_FLAGS = ("-iquote", "-isystem", "-idirafter", "-I")
# Compilers search these by themselves; the headers of a distribution lie in the second one.
DEFAULT = ("/usr/local/include", "/usr/include")
# An include, or a question for one, that names no file.
COMPUTED = re.compile(
    rb"#\s*(?:include|include_next|import|embed)\s+[A-Za-z_]|__has_(?:include|include_next|embed)\s*\(\s*[A-Za-z_]"
)
IN_ENVIRONMENT = ("CPATH", "C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH")

if TYPE_CHECKING:
    # Of each folder its stamp, None where there is none, and the names in it.
    Listing = Dict[str, Tuple[Optional[List[int]], List[str]]]


def searched(flags: str, tree: str) -> list[str]:
    """Return the folders that a compiler with these flags searches."""
    words = words_of(flags.replace("$$", "$"), tree)
    found = []
    root = next((word[len(ROOT) :] for word in words if word.startswith(ROOT)), "")
    rest = iter(words)
    for word in rest:
        for flag in FOLDER_FLAGS:
            if word.startswith(flag):
                folder = word[len(flag) :] or next(rest, "")
                folder = f"{root}/{folder[1:].lstrip('/')}" if folder.startswith("=") else folder
                found.append(os.path.normpath(os.path.join(tree, folder)))
                break
    return [*found, *(f"{root}{folder}" for folder in DEFAULT if root)]


class Search:
    """Where the compilers of a tree search: all folders, and those of each edge."""

    def __init__(self, edges: Iterable[Edge], discovered: Iterable[str], tree: str, environment: str) -> None:
        """Take the edges, what compilers said that they read, the tree, and what they read in the environment."""
        self._tree = tree
        self._inside = tree + os.sep
        self._more = [*DEFAULT]
        for line in environment.splitlines():
            name, _, value = line.partition("=")
            if name in IN_ENVIRONMENT:
                self._more += [folder for folder in value.split(":") if folder]
        self._by_flags: dict[str, list[str]] = {}
        self.compiles = [edge for edge in edges if edge.flags and not edge.custom and not edge.phony]
        everything = self._all({*discovered, *(name for edge in self.compiles for name in edge.given)})
        self.folders = [one for one in everything if not (one + "/").startswith(self._inside)]
        self._generated = [one for one in everything if (one + "/").startswith(self._inside)]

    def of(self, edge: Edge) -> list[str]:
        """Return the include folders of an edge."""
        known = self._by_flags.get(edge.flags)
        if known is None:
            known = self._by_flags[edge.flags] = [*searched(edge.flags, self._tree), *self._more]
        return known

    def _all(self, read: Iterable[str]) -> list[str]:
        tops: dict[str, None] = dict.fromkeys(self._more)
        beside: dict[str, None] = {}
        inner: dict[str, None] = {}
        for edge in self.compiles:
            tops.update(dict.fromkeys(self.of(edge)))
        for folder in {os.path.dirname(name) for name in read if name.startswith("/")}:
            if folder not in beside and not folder.startswith(("/usr/include", "/usr/lib")):
                beside[folder] = None
            for top in tops:
                if folder.startswith(top + "/"):
                    inner[folder[len(top) + 1 :]] = None
        return list(dict.fromkeys([*beside, *tops, *(f"{top}/{below}" for top in tops for below in inner)]))

    def made(self, names: Iterable[str]) -> Listing:
        """Return which of the files that are made in the tree, whether they are there or not, lie where is searched."""
        found: Listing = {folder: (None, []) for folder in self._generated}
        for name in sorted(names):
            folder, _, last = os.path.join(self._tree, name).rpartition("/")
            if folder in found:
                found[folder][1].append(last)
        return found


def listed(folders: Iterable[str], known: Listing) -> Listing:
    """Return the folders' stamps and names; a folder with the stamp that is known is not listed again."""
    found: Listing = {}
    fresh: dict[str, Stamp] = {}
    for folder in folders:
        now = stamp_of(folder)
        before = known.get(folder)
        if before is not None and before[0] == (list(now) if now else None):
            found[folder] = before
        elif now is None:
            found[folder] = (None, [])
        else:
            fresh[folder] = now
    await_tick(fresh.values())
    for folder in fresh:
        now = stamp_of(folder)
        if now is not None and now.ctime > time.time_ns():
            # The clock was set back: a name that comes may leave the very same stamp.
            now = now._replace(ctime=-1)
        try:
            found[folder] = (list(now) if now else None, _names_in(folder) if now else [])
        except OSError:
            found[folder] = (None, [])
    return found


def _names_in(folder: str) -> list[str]:
    """Return the names in a folder, those of folders a second time with a slash: a file may become one."""
    with os.scandir(folder) as entries:
        names = [(entry.name, entry.is_dir()) for entry in entries]
    return sorted([*(name for name, _ in names), *(f"{name}/" for name, inner in names if inner)])


def new_names(before: Listing, now: Listing) -> dict[str, set[str]]:
    """Return the names that came to folders which were known before."""
    found = {}
    for folder, (_, names) in now.items():
        came = set(names) - set(before[folder][1]) if folder in before else set()
        if came:
            found[folder] = came
    return found


class _Mentions(NamedTuple):
    """Which new names stand in a file: as one that is included, or at all; and whether it includes what macros say."""

    written: set[str]
    bare: set[str]
    computes: bool


def shadowed(search: Search, came: Mapping[str, set[str]], tree: str) -> dict[str, str]:
    """Return the first output of each edge that may read another file now, with the name that came.

    Where macros say what is included, the name may stand anywhere, without what comes after its first dot.
    """
    written = {
        name: _ways_to_write(name.rstrip("/"), inner=os.path.isdir(os.path.join(folder, name)))
        for folder, names in came.items()
        for name in names
    }
    stems = {name: os.fsencode(name.rstrip("/").partition(".")[0] or name) for name in written}
    known: dict[str, _Mentions] = {}

    def mentions(path: str) -> _Mentions:
        found = known.get(path)
        if found is None:
            text = read_bytes(os.path.join(tree, path))
            bare = {name for name, stem in stems.items() if stem in text}
            ways = {name for name in bare if any(way in text for way in written[name])}
            found = known[path] = _Mentions(ways, bare, COMPUTED.search(text) is not None)
        return found

    found = {}
    for edge in search.compiles:
        folders = (*search.of(edge), *map(os.path.dirname, edge.inputs))
        inputs = {os.path.join(tree, one) for one in edge.inputs}
        names = {
            name
            for folder, each in came.items()
            if any(folder == top or folder.startswith(top + "/") for top in folders)
            for name in each
            if f"{folder}/{name}" not in inputs
        }
        if not names:
            continue
        said = [mentions(path) for path in edge.inputs]
        may = {name for one in said for name in one.written}
        if any(one.computes for one in said):
            flags = os.fsencode(edge.flags)
            may.update(*(one.bare for one in said), (name for name in names if stems[name] in flags))
        if names & may:
            found[edge.outputs[0]] = min(names & may)
    return found


def _ways_to_write(name: str, *, inner: bool) -> list[bytes]:
    """Return how a file, or a folder with files in it (`inner`), is named where a file is included."""
    said = os.fsencode(name)
    ends = (b"/",) if inner else (b'"', b">")
    return [begin + said + end for begin in (b'"', b"<", b"/") for end in ends]
