"""Reads CMake's files for what cmake reads and makes and does not say.

That is `file(GLOB)` and `aux_source_directory`, the words by which git is asked for a version, files of the project
that `file(READ)` and its like or a command of `execute_process` names, and what `configure_file` makes. A variable in a
pattern that is neither CMake's own for a folder nor set in the same file is taken for what any of the files sets it to,
and for anything below the folder of that file.
"""

from __future__ import annotations

import contextlib
import os
import re
from typing import TYPE_CHECKING

from .configured import Hidden, Pattern, found

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

COMMENT = re.compile(r"#.*")
GLOB = re.compile(r"\bfile\s*\(\s*GLOB(_RECURSE)?\s+[^\s)]+([^)]*)\)", re.IGNORECASE)
AUX = re.compile(r"\baux_source_directory\s*\(\s*([^\s)]+)", re.IGNORECASE)
READ = re.compile(
    r"\b(?:file\s*\(\s*(?:READ|STRINGS|MD5|SHA\d+|SHA3_\d+|COPY_FILE)\b|execute_process\s*\()([^)]*)\)", re.IGNORECASE
)
COPIES = re.compile(r"\bfile\s*\(\s*(?:COPY|INSTALL)\b((?:(?!\bDESTINATION\b)[^)])*)", re.IGNORECASE)
ASKED = re.compile(
    r"\b(?:EXISTS|IS_DIRECTORY)\s+(\"[^\"]*\"|[^\s)]+)|\binclude\s*\(\s*(\"[^\"]*\"|[^\s)]+)(?=\s[^)]*\bOPTIONAL\b)",
    re.IGNORECASE,
)
FIND = re.compile(r"\bfind_(?:file|path|library|program)\s*\(([^)]*)\)", re.IGNORECASE)
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
WORDS = (
    "GLOB", "AUX_SOURCE", "EXECUTE_PROCESS", "CONFIGURE_FILE", "READ", "STRINGS", "MD5", "SHA", "COPY", "INSTALL",
    "EXISTS", "IS_DIRECTORY", "OPTIONAL", "FIND_",
)  # fmt: skip
FLAGS = frozenset({"CONFIGURE_DEPENDS", "FOLLOW_SYMLINKS"})
WITH_VALUE = frozenset({"LIST_DIRECTORIES", "RELATIVE"})
DEEPEST = 8
# What a word is taken for, at most.
WAYS = 64


class _Variables:
    """What variables may hold in one file: CMake's own for folders, what the file sets, and what others set."""

    def __init__(
        self, text: str, here: str, source: str, tree: str, others: Callable[[], Mapping[str, Iterable[str]]]
    ) -> None:
        """Take the file's text and folder, the project's, the tree, and what is asked where the file sets nothing."""
        self.here = here
        self.beside = os.path.normpath(os.path.join(tree, os.path.relpath(here, source)))
        self._own = {
            **dict.fromkeys(("CMAKE_SOURCE_DIR", "PROJECT_SOURCE_DIR"), source),
            **dict.fromkeys(("CMAKE_BINARY_DIR", "PROJECT_BINARY_DIR"), tree),
            **dict.fromkeys(("CMAKE_CURRENT_SOURCE_DIR", "CMAKE_CURRENT_LIST_DIR"), here),
            "CMAKE_CURRENT_BINARY_DIR": self.beside,
        }
        self.set: dict[str, list[str]] = {}
        for name, value in SET.findall(text):
            filled = VARIABLE.sub(lambda match: self._own.get(match.group(1), match.group(0)), value)
            self.set.setdefault(name, []).append(filled)
        self._others = others

    def ways(self, word: str) -> list[str]:
        """Return what a word may stand for. A variable that the file does not set stays, beside what others set."""
        found: dict[str, None] = {}
        whole = word
        pending = [(word, 0)]
        while pending and len(found) + len(pending) < WAYS:
            word, depth = pending.pop()
            match = VARIABLE.search(word)
            if match is None or depth == DEEPEST:
                found[word] = None
                continue
            name = match.group(1)
            values: Iterable[str] = [self._own[name]] if name in self._own else self.set.get(name, ())
            if not values:
                found[word] = None
                values = self._others().get(name, ())
            pending += [(word[: match.start()] + value + word[match.end() :], depth + 1) for value in values]
        if pending:
            # Of so many it stands for any.
            found[whole] = None
        return list(found)

    def paths(self, words: str, source: str) -> list[str]:
        """Return which places in the project the words may name, whether something is there or not."""
        ways = [way for quoted, bare in WORD.findall(words) for way in self.ways(quoted or bare) if "$" not in way]
        paths = (os.path.normpath(os.path.join(self.here, way)) for way in ways)
        return [path for path in paths if path.startswith(source + os.sep)]


def read(files: Iterable[str], source: str, tree: str) -> Hidden:
    """Read CMake files of the project whose top folder is `source`, and which is configured in `tree`."""
    globs: dict[tuple[str, str, bool], Pattern] = {}
    git = tags = False
    named: dict[str, None] = {}
    made: dict[str, None] = {}
    texts = dict(_texts(files))
    values: dict[str, dict[str, None]] = {}

    def others() -> Mapping[str, Iterable[str]]:
        if not values:
            for path, text in texts.items():
                for name, each in _Variables(text, os.path.dirname(path), source, tree, others).set.items():
                    values.setdefault(name, {}).update(dict.fromkeys(each))
        return values

    for path, text in texts.items():
        if GIT.search(text):
            git, tags = True, tags or TAGS.search(text) is not None
        loud = text.upper()
        if not any(word in loud for word in WORDS):
            continue
        variables = _Variables(text, os.path.dirname(path), source, tree, others)
        copied = list(_copied(text, variables, source))
        for one in (*_patterns(text, variables), *_asked(text, variables, source), *copied):
            globs[one.folder, "/".join(one.parts), one.recurses] = one
        named.update(dict.fromkeys(_named(text, variables, source)))
        named.update(dict.fromkeys(path for one in copied for path in found(one) if os.path.isfile(path)))
        made.update(dict.fromkeys(_made(text, variables, tree)))
    return Hidden(list(globs.values()), git, tags, list(named), list(made))


def _texts(files: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield files that can be read, without comments."""
    for path in files:
        with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as stream:
            yield path, COMMENT.sub("", stream.read())


def _named(text: str, variables: _Variables, source: str) -> Iterator[str]:
    """Yield the files of the project that CMake is told to read, or that a program is given which it runs."""
    for words in READ.findall(text):
        yield from filter(os.path.isfile, variables.paths(words, source))


def _copied(text: str, variables: _Variables, source: str) -> Iterator[Pattern]:
    """Yield what of the project is copied: a file, or all below a folder."""
    for words in COPIES.findall(text):
        for path in variables.paths(words, source):
            yield Pattern(path, ["*"], recurses=True, guessed=True) if os.path.isdir(path) else _exactly(path)


def _asked(text: str, variables: _Variables, source: str) -> Iterator[Pattern]:
    """Yield patterns of what CMake asks for in the project, whether it is there or not."""
    for given in ASKED.findall(text):
        yield from map(_exactly, variables.paths("".join(given), source))
    for words in FIND.findall(text):
        ways = [way for quoted, bare in WORD.findall(words)[1:] for way in variables.ways(quoted or bare)]
        names = [_literal(way) for way in ways if "/" not in way and "$" not in way and not way.isupper()]
        for folder in variables.paths(words, source):
            yield from (Pattern(folder, [f"*{name}*"], recurses=False) for name in names)


def _exactly(path: str) -> Pattern:
    return Pattern(os.path.dirname(path), [_literal(os.path.basename(path))], recurses=False)


def _literal(name: str) -> str:
    return re.sub(r"([*?\[])", r"[\1]", name)


def _made(text: str, variables: _Variables, tree: str) -> Iterator[str]:
    """Yield what is configured from a template, by its path in the tree."""
    for words in COPY.findall(text):
        given = [quoted or bare for quoted, bare in WORD.findall(words)]
        for way in variables.ways(given[1]) if len(given) > 1 else ():
            path = os.path.normpath(os.path.join(variables.beside, way))
            if path.startswith(tree + os.sep) and "$" not in path:
                yield path[len(tree) + 1 :]


def _patterns(text: str, variables: _Variables) -> Iterator[Pattern]:
    for recurses, words in GLOB.findall(text):
        skip = False
        for quoted, bare in WORD.findall(words):
            word = quoted or bare
            if skip or word in FLAGS:
                skip = False
            elif word in WITH_VALUE:
                skip = True
            else:
                ways = [way for one in word.split(";") for way in variables.ways(one)]
                yield from (_pattern(way, variables.here, recurses=bool(recurses)) for way in ways)
    for folder in AUX.findall(text):
        for way in variables.ways(folder.strip('"')):
            yield _pattern(f"{way}/*", variables.here, recurses=False)


def _pattern(word: str, here: str, *, recurses: bool) -> Pattern:
    if "$" in word:
        return Pattern(
            here, [word.rsplit("/", 1)[-1] if "$" not in word.rsplit("/", 1)[-1] else "*"], recurses=True, guessed=True
        )
    parts = os.path.normpath(os.path.join(here, word)).split("/")
    first = next((index for index, part in enumerate(parts) if re.search(r"[*?\[]", part)), len(parts) - 1)
    return Pattern("/".join(parts[:first]) or "/", parts[first:], recurses)
