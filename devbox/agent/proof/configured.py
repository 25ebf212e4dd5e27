"""What cmake reads and makes and does not say: files, which of them a `file(GLOB)` finds, git's commit, headers.

CMake's documentation asks nobody to glob; nearly everybody does. Its files are read for `file(GLOB)` and
`aux_source_directory`, for the words by which git is asked for a version, for files of the project that `file(READ)`
and its like or a command of `execute_process` names, and for what `configure_file` makes. A variable in a pattern that
is neither CMake's own for a folder nor set in the same file is taken for anything below the folder of that file; a
file that is named by one is not known.
"""

from __future__ import annotations

import os
import re
from fnmatch import fnmatch
from typing import TYPE_CHECKING, NamedTuple

from .made import hashed, together
from .sources import GIT as GIT_FOLDER
from .sources import MARKS, NOT_SOURCES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ..content import Entry
    from .git import Git
    from .look import Eye

COMMENT = re.compile(r"#.*")
GLOB = re.compile(r"\bfile\s*\(\s*GLOB(_RECURSE)?\s+[^\s)]+([^)]*)\)", re.IGNORECASE)
AUX = re.compile(r"\baux_source_directory\s*\(\s*([^\s)]+)", re.IGNORECASE)
READ = re.compile(
    r"\b(?:file\s*\(\s*(?:READ|STRINGS|MD5|SHA\d+|SHA3_\d+)\b|execute_process\s*\()([^)]*)\)", re.IGNORECASE
)
COPY = re.compile(r"\bconfigure_file\s*\(([^)]*)\)", re.IGNORECASE)
SET = re.compile(r"\bset\s*\(\s*(\w+)\s+\"?([^\s\")]+)\"?\s*\)", re.IGNORECASE)
WORD = re.compile(r'"([^"]*)"|([^\s"]+)')
VARIABLE = re.compile(r"\$\{(\w+)\}")
GIT = re.compile(
    r"rev-parse|rev-list|show-ref|symbolic-ref|\bgit\w*\b.{0,40}\b(?:describe|log|show|tag|branch|name-rev)\b",
    re.IGNORECASE,
)
TAGS = re.compile(r"\bdescribe\b|--tags\b|show-ref|\bgit\b.{0,40}\btag\b", re.IGNORECASE)
# One of these is in a file that has anything else to say.
WORDS = ("GLOB", "AUX_SOURCE", "EXECUTE_PROCESS", "CONFIGURE_FILE", "READ", "STRINGS", "MD5", "SHA")
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
    names = list(said)
    hidden = read((name for name in names if name.startswith(eye.inside)), source, tree)
    head, tags = eye.git_head if hidden.git else (), git.tags() if hidden.tags else ()
    return [*dict.fromkeys([*names, *hidden.files, *head, *tags])], hidden


def digest(names: Iterable[str], hidden: Hidden, files: Mapping[str, Entry]) -> str:
    """Return the hash of what cmake reads."""
    globs = [hashed("\0".join(one.parts), "\0".join(found(one))) for one in hidden.globs]
    return together([*globs, *(hashed(name, files[name].content) for name in names)])


def read(files: Iterable[str], source: str, tree: str) -> Hidden:
    """Read CMake files of the project whose top folder is `source`, and which is configured in `tree`."""
    globs: dict[tuple[str, str, bool], Pattern] = {}
    git = tags = False
    named: dict[str, None] = {}
    made: dict[str, None] = {}
    for path in files:
        try:
            with open(path, encoding="utf-8", errors="replace") as stream:
                text = COMMENT.sub("", stream.read())
        except OSError:
            continue
        if GIT.search(text):
            git, tags = True, tags or TAGS.search(text) is not None
        loud = text.upper()
        if not any(word in loud for word in WORDS):
            continue
        here = os.path.dirname(path)
        beside = os.path.normpath(os.path.join(tree, os.path.relpath(here, source)))
        variables = {
            **dict(SET.findall(text)),
            **dict.fromkeys(("CMAKE_SOURCE_DIR", "PROJECT_SOURCE_DIR"), source),
            **dict.fromkeys(("CMAKE_BINARY_DIR", "PROJECT_BINARY_DIR"), tree),
            **dict.fromkeys(("CMAKE_CURRENT_SOURCE_DIR", "CMAKE_CURRENT_LIST_DIR"), here),
            "CMAKE_CURRENT_BINARY_DIR": beside,
        }
        for one in _patterns(text, here, variables):
            globs[one.folder, "/".join(one.parts), one.recurses] = one
        named.update(dict.fromkeys(_named(text, here, variables, source)))
        made.update(dict.fromkeys(_made(text, beside, variables, tree)))
    return Hidden(list(globs.values()), git, tags, list(named), list(made))


def _named(text: str, here: str, variables: dict[str, str], source: str) -> Iterator[str]:
    """Yield the files of the project that CMake is told to read, or that a program is given which it runs."""
    for words in READ.findall(text):
        for quoted, bare in WORD.findall(words):
            path = os.path.normpath(os.path.join(here, _filled(quoted or bare, variables)))
            if path.startswith(source + os.sep) and os.path.isfile(path):
                yield path


def _made(text: str, beside: str, variables: dict[str, str], tree: str) -> Iterator[str]:
    """Yield what is configured from a template, by its path in the tree."""
    for words in COPY.findall(text):
        given = [_filled(quoted or bare, variables) for quoted, bare in WORD.findall(words)]
        path = os.path.normpath(os.path.join(beside, given[1])) if len(given) > 1 else ""
        if path.startswith(tree + os.sep) and "$" not in path:
            yield path[len(tree) + 1 :]


def _filled(word: str, variables: dict[str, str]) -> str:
    for _ in range(DEEPEST):
        word = VARIABLE.sub(lambda match: variables.get(match.group(1), match.group(0)), word)
    return word


def _patterns(text: str, here: str, variables: dict[str, str]) -> Iterator[Pattern]:
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
    word = _filled(word, variables)
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
