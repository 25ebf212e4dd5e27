"""What cmake reads and does not say: which files a `file(GLOB)` finds, and git's commit.

CMake's documentation asks nobody to glob; nearly everybody does. Its files are read for `file(GLOB)` and
`aux_source_directory`, and for the words by which git is asked for a version. A variable in a pattern that is neither
CMake's own for a source folder nor set in the same file is taken for anything below the folder of that file.
"""

from __future__ import annotations

import os
import re
from fnmatch import fnmatch
from typing import TYPE_CHECKING, NamedTuple

from .sources import GIT as GIT_FOLDER
from .sources import MARKS, NOT_SOURCES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

COMMENT = re.compile(r"#.*")
GLOB = re.compile(r"\bfile\s*\(\s*GLOB(_RECURSE)?\s+[^\s)]+([^)]*)\)", re.IGNORECASE)
AUX = re.compile(r"\baux_source_directory\s*\(\s*([^\s)]+)", re.IGNORECASE)
SET = re.compile(r"\bset\s*\(\s*(\w+)\s+\"?([^\s\")]+)\"?\s*\)", re.IGNORECASE)
WORD = re.compile(r'"([^"]*)"|([^\s"]+)')
VARIABLE = re.compile(r"\$\{(\w+)\}")
GIT = re.compile(
    r"rev-parse|rev-list|git.{0,40}\bdescribe\b|show-ref|symbolic-ref|\bgit\b.{0,40}\blog\b", re.IGNORECASE
)
FLAGS = frozenset({"CONFIGURE_DEPENDS", "FOLLOW_SYMLINKS"})
WITH_VALUE = frozenset({"LIST_DIRECTORIES", "RELATIVE"})
DEEPEST = 8


class Pattern(NamedTuple):
    """A pattern of files: below `folder` the components `parts`, or `parts` in any folder below where it `recurses`.

    A `guessed` one has a variable that nobody knows, and stands for what may be a source.
    """

    folder: str
    parts: list[str]
    recurses: bool
    guessed: bool = False


class Hidden(NamedTuple):
    """What the CMake files of a tree read without saying so."""

    globs: list[Pattern]
    git: bool


NONE = Hidden([], git=False)


def from_json(value: object) -> Hidden:
    """Return what a record holds."""
    if not isinstance(value, list):
        return NONE
    return Hidden([Pattern(*one) for one in value[0]], git=bool(value[1]))


def read(files: Iterable[str], source: str) -> Hidden:
    """Read CMake files of the project whose top folder is `source`."""
    globs: dict[tuple[str, str, bool], Pattern] = {}
    git = False
    for path in files:
        try:
            with open(path, encoding="utf-8", errors="replace") as stream:
                text = COMMENT.sub("", stream.read())
        except OSError:
            continue
        git = git or GIT.search(text) is not None
        if "GLOB" in text.upper() or "AUX_SOURCE" in text.upper():
            for one in _patterns(text, path, source):
                globs[one.folder, "/".join(one.parts), one.recurses] = one
    return Hidden(list(globs.values()), git)


def _patterns(text: str, path: str, source: str) -> Iterator[Pattern]:
    here = os.path.dirname(path)
    variables = {
        **dict(SET.findall(text)),
        **dict.fromkeys(("CMAKE_SOURCE_DIR", "PROJECT_SOURCE_DIR"), source),
        **dict.fromkeys(("CMAKE_CURRENT_SOURCE_DIR", "CMAKE_CURRENT_LIST_DIR"), here),
    }
    for recurses, words in GLOB.findall(text):
        skip = False
        for quoted, bare in WORD.findall(words):
            word = quoted or bare
            if skip or word in FLAGS:
                skip = False
            elif word in WITH_VALUE:
                skip = True
            else:
                yield from (_pattern(one, here, variables, recurses=bool(recurses)) for one in word.split(";"))
    for folder in AUX.findall(text):
        yield _pattern(f"{folder.strip(chr(34))}/*", here, variables, recurses=False)


def _pattern(word: str, here: str, variables: dict[str, str], *, recurses: bool) -> Pattern:
    for _ in range(DEEPEST):
        word = VARIABLE.sub(lambda match: variables.get(match.group(1), match.group(0)), word)
    if "$" in word:
        return Pattern(
            here, [word.rsplit("/", 1)[-1] if "$" not in word.rsplit("/", 1)[-1] else "*"], recurses=True, guessed=True
        )
    parts = os.path.normpath(os.path.join(here, word)).split("/")
    first = next((index for index, part in enumerate(parts) if re.search(r"[*?\[]", part)), len(parts) - 1)
    return Pattern("/".join(parts[:first]) or "/", parts[first:], recurses)


def found(pattern: Pattern) -> list[str]:
    """Return what a pattern finds now."""
    if not pattern.recurses:
        places = [pattern.folder]
        for part in pattern.parts:
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
