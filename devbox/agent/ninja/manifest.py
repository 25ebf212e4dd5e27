"""The statements of a ninja file: what each makes, by which rule, from what."""

from __future__ import annotations

import contextlib
import os
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

# A path in a build statement: `$ `, `$:` and `$$` stand for the character itself, `$name` and `${name}` for a variable.
WORD = re.compile(r"(?:[^\s$:|]|\$\{[\w.-]+\}|\$[\w-]+|\$.)+|:|\|\|?@?")
ESCAPE = re.compile(r"\$(?:\{([\w.-]+)\}|([\w-]+)|(.))")
BARS = frozenset({"|", "||", "|@"})
PHONY = "phony"
INDENTS = frozenset(" \t")


class Statement(NamedTuple):
    """A build statement, its paths as ninja calls them.

    `outputs` holds the implicit ones too. `sources` are the explicit and the implicit inputs, `explicit` tells how
    many of them the command names; `order` are those that only have to be there before. `bindings` are the variables
    of the statement, as they are written.
    """

    outputs: list[str]
    rule: str
    sources: list[str]
    explicit: int
    order: list[str]
    bindings: dict[str, str]


class Manifest:
    """What a ninja file and those that it includes say."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.statements: list[Statement] = []
        self.rules: dict[str, dict[str, str]] = {}
        self.variables: dict[str, str] = {}

    def bound(self, statement: Statement, name: str) -> str:
        """Return what the variable `name` is for a statement: its own, else its rule's; "" where neither has it."""
        text = statement.bindings.get(name)
        if text is None:
            text = self.rules.get(statement.rule, {}).get(name, "")
        return expand(text, statement.bindings, self.variables) if "$" in text else text


def expand(text: str, *scopes: Mapping[str, str]) -> str:
    """Return a text with its escapes and variables replaced; a variable that no scope has is empty."""

    def replace(match: re.Match[str]) -> str:
        name = match.group(1) or match.group(2)
        if name is None:
            return match.group(3)
        value = next((scope[name] for scope in scopes if name in scope), "")
        return expand(value, *scopes[1:]) if "$" in value else value

    return ESCAPE.sub(replace, text)


def read(path: str) -> Manifest:
    """Read a ninja file; what cannot be read says nothing."""
    manifest = Manifest()
    _read(path, manifest)
    return manifest


def _read(path: str, manifest: Manifest) -> None:
    text = ""
    with contextlib.suppress(OSError), open(path, errors="surrogateescape") as stream:
        text = stream.read()
    # What an indented line belongs to.
    scope: dict[str, str] = {}
    for line in logical(text):
        if line[:1] in INDENTS:
            name, equals, value = line.partition("=")
            if equals:
                scope[name.strip()] = value.lstrip()
        elif line.startswith("build "):
            scope = {}
            statement = _statement(line, scope, manifest.variables)
            if statement is not None:
                manifest.statements.append(statement)
        elif line.startswith("rule "):
            scope = manifest.rules.setdefault(line[len("rule ") :].strip(), {})
        elif line.startswith(("include ", "subninja ")):
            other = expand(line.partition(" ")[2].strip(), manifest.variables)
            _read(os.path.join(os.path.dirname(path), other), manifest)
        elif not line.startswith("#"):
            scope = {}
            name, equals, value = line.partition("=")
            if equals:
                manifest.variables[name.strip()] = expand(value.lstrip(), manifest.variables)


def logical(text: str) -> list[str]:
    """Return the lines of a text that are not empty, joined where one ends with `$`."""
    if "$\n" not in text:
        return [line for line in text.split("\n") if line]
    found: list[str] = []
    rest = ""
    for line in text.split("\n"):
        whole = rest + (line.lstrip() if rest else line)
        if whole.endswith("$") and (len(whole) - len(whole.rstrip("$"))) % 2:
            rest = whole[:-1]
        else:
            rest = ""
            found.append(whole)
    return [line for line in found if line]


def _statement(line: str, bindings: dict[str, str], variables: Mapping[str, str]) -> Statement | None:
    text = line[len("build ") :]
    if "$" in text:
        raw = WORD.findall(text)
    else:
        # Nearly every line: only the colon and the bars have to be words of their own.
        made, _, read_from = text.partition(":")
        raw = [*made.split(), ":", *read_from.split()]
    if ":" not in raw[1:-1]:
        return None
    colon = raw.index(":")
    words = [expand(word, variables) if "$" in word else word for word in raw]
    # What stands behind each bar: implicit inputs, what only comes before, and what is only validated.
    kinds: dict[str, list[str]] = {"": []}
    into = kinds[""]
    for word, written in zip(words[colon + 2 :], raw[colon + 2 :]):
        if written in BARS:
            into = kinds[written] = []
        else:
            into.append(word)
    sources = [*kinds[""], *kinds.get("|", ())]
    outputs = [word for word, written in zip(words[:colon], raw) if written != "|"]
    return Statement(outputs, raw[colon + 1], sources, len(kinds[""]), kinds.get("||", []), bindings)
