"""What cmake reads and makes and does not say: files, which of them a `file(GLOB)` finds, git's commit, headers.

CMake's documentation asks nobody to glob; nearly everybody does. Its files are read for all that (`cmake_files`).
"""

from __future__ import annotations

import os
from fnmatch import fnmatch
from typing import TYPE_CHECKING, NamedTuple

from .made import hashed, together
from .sources import GIT as GIT_FOLDER
from .sources import MARKS, NOT_SOURCES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..content import Entry
    from .git import Git
    from .look import Eye


MAGIC = frozenset("*?[")


class Pattern(NamedTuple):
    """A pattern of files: below `folder` the components `parts`, or `parts` in any folder below where it `recurses`.

    A `guessed` one has a variable that nobody knows, and stands for what may be a source.
    """

    folder: str
    parts: list[str]
    recurses: bool
    guessed: bool = False


class Hidden(NamedTuple):
    """What the CMake files of a tree do without saying so: what they read, and the files in the tree that they make."""

    globs: list[Pattern]
    git: bool
    tags: bool
    files: list[str]
    made: list[str]


NONE = Hidden([], git=False, tags=False, files=[], made=[])


def from_json(value: object) -> Hidden:
    """Return what a record holds."""
    if not isinstance(value, list):
        return NONE
    globs, *rest = value
    return Hidden([Pattern(*one) for one in globs], *rest)


def reads(said: Iterable[str], source: str, tree: str, eye: Eye, git: Git) -> tuple[list[str], Hidden]:
    """Return all that cmake reads, by the names of the files that it `said`, and what it does not say."""
    from .cmake_files import read

    names = list(said)
    hidden = read((name for name in names if name.startswith(eye.inside)), source, tree)
    head, tags = eye.git_head if hidden.git else (), git.tags() if hidden.tags else ()
    return [*dict.fromkeys([*names, *hidden.files, *head, *tags])], hidden


def digest(names: Iterable[str], hidden: Hidden, files: Mapping[str, Entry]) -> str:
    """Return the hash of what cmake reads."""
    globs = [hashed("\0".join(one.parts), "\0".join(found(one))) for one in hidden.globs]
    return together([*globs, *(hashed(name, files[name].content) for name in names)])


def found(pattern: Pattern) -> list[str]:
    """Return what a pattern finds now."""
    if not pattern.recurses:
        places = [pattern.folder]
        for part in pattern.parts:
            if MAGIC.isdisjoint(part):
                places = [path for place in places if os.path.exists(path := f"{place}/{part}")]
            else:
                places = [f"{place}/{name}" for place in places for name in _names(place) if fnmatch(name, part)]
        return sorted(places)
    result = []
    for folder, folders, names in os.walk(pattern.folder):
        if pattern.guessed and folder != pattern.folder and MARKS.intersection(names):
            folders[:] = []
            continue
        folders[:] = [name for name in folders if name not in (NOT_SOURCES if pattern.guessed else (GIT_FOLDER,))]
        result += [f"{folder}/{name}" for name in names if fnmatch(name, pattern.parts[-1])]
    return sorted(result)


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
