"""Dockerfiles, read line by line as BuildKit reads them.

The rules are those of BuildKit's parser (frontend/dockerfile/parser in moby/buildkit) and of the Dockerfile reference:
parser directives, continued lines with comments between them, flags, heredocs, ONBUILD. What a line *means* is told by
`devbox.image.dockerfile.stages`.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from devbox.errors import DockerfileError
from devbox.image.dockerfile.words import split_words, unquoted
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from devbox.frameworks.model import Pairs

_DIRECTIVE = re.compile(r"#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*")
_DIRECTIVES = {"syntax", "escape", "check"}
_HEREDOC = re.compile(r"\d*<<(-?)([^<]+)")
_WITH_HEREDOC = {"RUN", "COPY", "ADD"}
# `# devbox ignore=rule,rule` above an instruction: the linter passes over these rules there.
_IGNORE = re.compile(r"#\s*devbox\s+ignore=([\w,-]+)\s*")
_BLANK = " \t\v\f\r"


@dataclass(frozen=True, slots=True)
class Heredoc:
    """A text that stands in the Dockerfile itself. `line` is that of its first line, `expand` whether variables are."""

    name: str
    text: str
    line: int
    expand: bool


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction. Lines count from 1.

    `text` is what follows the flags, its lines joined; `lines` are (number, text) of what it was joined from, comments
    left out, the keyword and flags still in. `trigger` is what an ONBUILD holds. `ignored` are rules of the linter.
    """

    keyword: str
    text: str
    line: int
    end_line: int
    flags: Pairs = ()
    heredocs: tuple[Heredoc, ...] = ()
    lines: tuple[tuple[int, str], ...] = ()
    trigger: Instruction | None = None
    ignored: tuple[str, ...] = ()

    def flag(self, name: str) -> str | None:
        """Return the last value of the flag `name`: "" where it has none, None where it is not there."""
        return next((value for flag, value in reversed(self.flags) if flag == name), None)

    def written(self) -> Iterator[tuple[int, str]]:
        """Yield (line, text) of everything in it, its heredocs included."""
        yield from self.lines
        for heredoc in self.heredocs:
            yield from enumerate(heredoc.text.split("\n")[:-1], heredoc.line)

    def line_of(self, pattern: str) -> int:
        """Return the line on which a regular expression matches first, or the instruction's own."""
        return next((line for line, text in self.written() if re.search(pattern, text)), self.line)


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """All instructions of a Dockerfile in order. `directives` are those at its top, such as ("escape", "`")."""

    instructions: tuple[Instruction, ...]
    directives: Pairs = ()

    @property
    def escape(self) -> str:
        """The character that continues a line and keeps a `$` as it is."""
        return dict(self.directives).get("escape", "\\")


@dataclass(slots=True)
class _Lines:
    """The lines of the file `name`, and how many have been read."""

    name: str
    lines: Sequence[str]
    read: int = 0

    def error(self, reason: str, line: int) -> DockerfileError:
        return DockerfileError(f"{self.name}:{line}: {reason}")

    def __iter__(self) -> Iterator[str]:
        while self.read < len(self.lines):
            self.read += 1
            yield self.lines[self.read - 1]


def parse(text: str, name: str = "Dockerfile") -> Dockerfile:
    """Read a Dockerfile, which errors call `name`.

    Raises DockerfileError, which names the line, where a heredoc or a directive is wrong.
    """
    lines = text.removeprefix("\ufeff").split("\n")
    if lines and not lines[-1]:
        lines.pop()
    source = _Lines(name, [line.removesuffix("\r") for line in lines])
    directives = _directives(source)
    escape = dict(directives).get("escape", "\\")
    if escape not in {"\\", "`"}:
        raise source.error(f"the escape character '{escape}' is neither \\ nor `", 1)
    instructions: list[Instruction] = []
    ignored: tuple[str, ...] = ()
    for line in source:
        start = line.strip(_BLANK)
        if not start or start.startswith("#"):
            if match := _IGNORE.fullmatch(start):
                ignored += tuple(match[1].split(","))
            continue
        first = source.read
        bare = _continued(start, escape)
        parts = [(first, start)] if bare is None else [(first, bare), *_rest(source, escape)]
        instruction = _instruction("".join(part for _, part in parts), first)
        heredocs = tuple(_heredocs(instruction, source))
        instructions.append(
            replace(instruction, end_line=source.read, heredocs=heredocs, lines=tuple(parts), ignored=ignored)
        )
        ignored = ()
    return Dockerfile(tuple(instructions), directives)


def _directives(source: _Lines) -> Pairs:
    """Return the parser directives. The first line that is none ends them."""
    found: dict[str, str] = {}
    for number, line in enumerate(source.lines, 1):
        match = _DIRECTIVE.fullmatch(line)
        if match is None:
            break
        name = match[1].lower()
        if name in found:
            raise source.error(f"the directive '{name}' is there twice", number)
        if name in _DIRECTIVES:
            found[name] = match[2]
    return tuple(found.items())


def _continued(line: str, escape: str) -> str | None:
    """Return `line` without its continuation character, or None where it has none. A doubled one is text."""
    bare = line.rstrip(" \t")
    if not bare.endswith(escape) or bare.endswith(2 * escape):
        return None
    return bare[:-1]


def _rest(source: _Lines, escape: str) -> Iterator[tuple[int, str]]:
    """Yield (number, text) of the lines that continue an instruction. Comments and empty lines are none."""
    for line in source:
        if line.lstrip(_BLANK).startswith("#") or not line.strip(_BLANK):
            continue
        bare = _continued(line, escape)
        yield source.read, line if bare is None else bare
        if bare is None:
            return


def _instruction(text: str, line: int) -> Instruction:
    """Return the instruction that a joined line is. Only ONBUILD holds another one."""
    keyword, rest = _cut(text.strip())
    flags, rest = _flags(rest)
    keyword = keyword.upper()
    trigger = _instruction(rest, line) if keyword == "ONBUILD" and rest else None
    return Instruction(keyword, rest.strip(), line, line, flags, trigger=trigger)


def _cut(text: str) -> tuple[str, str]:
    match = re.search(f"[{_BLANK}]+", text)
    return (text, "") if match is None else (text[: match.start()], text[match.end() :])


def _flags(text: str) -> tuple[Pairs, str]:
    """Return the words at the start of `text` that begin with `--`, and what follows them. A bare `--` ends them."""
    flags: list[tuple[str, str]] = []
    rest = text
    while True:
        rest = rest.lstrip()
        if not rest.startswith("--"):
            return tuple(flags), rest
        word, rest = _flag_word(rest)
        if word == "--":
            return tuple(flags), rest
        name, _, value = word.removeprefix("--").partition("=")
        flags.append((name.lower(), value))


def _flag_word(text: str) -> tuple[str, str]:
    """Return the first word of `text` without its quotes and backslashes, and what follows it."""
    word, quote, position = "", "", 0
    while position < len(text):
        character = text[position]
        position += 1
        if character == "\\":
            word += text[position : position + 1]
            position += 1
        elif quote:
            word, quote = (word, "") if character == quote else (word + character, quote)
        elif character in "'\"":
            quote = character
        elif character.isspace():
            break
        else:
            word += character
    return word, text[position:]


def _heredocs(instruction: Instruction, source: _Lines) -> Iterator[Heredoc]:
    """Take the heredocs that an instruction begins off the lines that follow it."""
    holder = instruction.trigger or instruction
    if holder.keyword not in _WITH_HEREDOC or "<<" not in holder.text or json_words(holder.text) is not None:
        return
    for word in split_words(holder.text, "\\") or ():
        match = _HEREDOC.fullmatch(word)
        if match is None:
            continue
        name = unquoted(match[2], "\\")
        if name is None:
            continue
        first = source.read + 1
        lines = []
        for line in source:
            if (line.lstrip("\t") if match[1] else line) == name:
                break
            lines.append(f"{line}\n")
        else:
            raise source.error(f"the heredoc '{name}' does not end", instruction.line)
        yield Heredoc(name, "".join(lines), first, expand=name == match[2])


def json_words(text: str) -> list[str] | None:
    """Return the words of the JSON form of a command, or None where the text is not in that form."""
    if not text.startswith("["):
        return None

    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, list) and all(isinstance(item, str) for item in data) else None
