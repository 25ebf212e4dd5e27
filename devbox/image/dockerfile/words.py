"""Words of a Dockerfile: quotes, escapes, and variables filled in as BuildKit does it (frontend/dockerfile/shell).

Only what is not a RUN: there the image's shell reads the text, at which `devbox.image.lint.shell` looks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME = re.compile(r"[A-Za-z_]\w*|\d+|[@*#?$!-]", re.ASCII)
# ${name:-word} and its kind, ${name#pattern}, ${name/pattern/replacement}.
_OPERATOR = re.compile(r":?[-+?]|##?|%%?|//?")


@dataclass(slots=True)
class Filled:
    """A text with its variables filled in: which it `named`, and which of those had no value and no default."""

    text: str = ""
    named: list[str] = field(default_factory=list)
    unset: list[str] = field(default_factory=list)


def split_words(text: str, escape: str) -> list[str] | None:
    """Return the words of `text`, quotes and escapes kept, or None where a quote is not closed."""
    words, word, quote, position = [], "", "", 0
    while position < len(text):
        character = text[position]
        position += 1
        if character == escape and quote != "'":
            word += character + text[position : position + 1]
            position += 1
        elif quote:
            word += character
            quote = "" if character == quote else quote
        elif character.isspace():
            words += [word] if word else []
            word = ""
        else:
            quote = character if character in "'\"" else ""
            word += character
    if quote:
        return None
    return [*words, word] if word else words


def unquoted(text: str, escape: str) -> str | None:
    """Return the one word that `text` is, without quotes and escapes, or None where it is none or several."""
    words = split_words(text, escape)
    return fill(words[0], None, escape).text if words is not None and len(words) == 1 else None


def assignments(keyword: str, text: str, escape: str) -> list[tuple[str, str | None]]:
    """Return (name, value) of each word of an ARG, ENV or LABEL, values as they are written: None where none is.

    `ENV NAME any words` is the old form of one assignment. The words of what looks like a comment are left out: to
    BuildKit they are names of arguments.
    """
    words = split_words(text, escape) or text.split()
    comment = next((index for index, word in enumerate(words) if word.startswith("#")), None)
    words = words[:comment]
    if len(words) > 1 and "=" not in words[0] and keyword != "ARG":
        name, _, value = text.partition(words[0])[2].partition(" ")
        return [(words[0], (name + value).strip() or None)]
    return [(name, value if equals else None) for name, equals, value in (word.partition("=") for word in words)]


def fill(text: str, values: Mapping[str, str] | None, escape: str) -> Filled:
    """Return `text` with `$name`, `${name}` and its operators filled in, quotes and escapes taken off.

    `values` None leaves variables as they are. What has no value becomes empty, and is said in `unset`.
    """
    return _Filler(text, values, escape).run()


class _Filler:
    def __init__(self, text: str, values: Mapping[str, str] | None, escape: str) -> None:
        self._text = text
        self._values = values
        self._escape = escape
        self._position = 0
        self._found = Filled()

    def run(self) -> Filled:
        self._found.text = self._until("")
        return self._found

    def _next(self) -> str:
        character = self._text[self._position : self._position + 1]
        self._position += 1
        return character

    def _until(self, ends: str) -> str:
        """Read up to one of the characters `ends`, which is consumed, or to the end."""
        parts: list[str] = []
        quote = ""
        while (character := self._next()) and (quote or character not in ends):
            if quote == "'":
                parts.append("" if character == "'" else character)
                quote = "" if character == "'" else quote
            elif character == self._escape:
                parts.append(self._escaped(quote))
            elif character == quote:
                quote = ""
            elif character in "'\"" and not quote:
                quote = character
            elif character == "$":
                parts.append(self._variable())
            else:
                parts.append(character)
        return "".join(parts)

    def _escaped(self, quote: str) -> str:
        """Return what an escaped character stands for. Between double quotes the escape itself stays before most."""
        character = self._next()
        if quote == '"' and character not in f'"${self._escape}':
            return self._escape + character
        return character

    def _variable(self) -> str:
        if self._values is None:
            return "$"
        if self._text[self._position : self._position + 1] == "{":
            self._position += 1
            return self._braced()
        match = _NAME.match(self._text, self._position)
        if match is None:
            return "$"
        self._position = match.end()
        return self._value(match[0], default=False) or ""

    def _braced(self) -> str:
        match = _NAME.match(self._text, self._position)
        if match is None:
            self._until("}")
            return ""
        self._position = match.end()
        operator = _OPERATOR.match(self._text, self._position)
        if operator is None:
            self._until("}")
            return self._value(match[0], default=False) or ""
        self._position = operator.end()
        kind = operator[0]
        value = self._value(match[0], default=kind[-1] in "-+?")
        unset = len(self._found.unset)
        word = self._until("/}" if kind[0] == "/" else "}")
        there = value is not None and (bool(value) or kind[0] != ":")
        if (kind[-1] == "+" and not there) or (kind[-1] in "-?" and there):
            # The word is not taken, so nothing is missing in it.
            del self._found.unset[unset:]
        if kind[-1] == "+":
            return word if there else ""
        if kind[-1] in "-?":
            return value if there and value is not None else (word if kind[-1] == "-" else "")
        if kind[0] == "/":
            replacement = self._until("}") if self._text[self._position - 1 : self._position] == "/" else ""
            return _replaced(value or "", word, replacement, every=kind == "//")
        return _trimmed(value or "", word, kind)

    def _value(self, name: str, *, default: bool) -> str | None:
        assert self._values is not None  # noqa: S101  # the caller has looked
        self._found.named.append(name)
        value = self._values.get(name)
        if value is None and not default:
            self._found.unset.append(name)
        return value


def _pattern(glob: str, *, greedy: bool) -> str:
    """Return a shell pattern as a regular expression. Only `*` and `?` are special, as for BuildKit."""
    star = ".*" if greedy else ".*?"
    return "".join({"*": star, "?": "."}.get(character, re.escape(character)) for character in glob)


def _trimmed(value: str, glob: str, kind: str) -> str:
    """Return `value` without the prefix (`#`) or suffix (`%`) that matches; the doubled sign takes the longest."""
    if kind[0] == "#":
        match = re.match(_pattern(glob, greedy=kind == "##"), value, re.DOTALL)
        return value[match.end() :] if match else value
    starts = range(len(value) + 1) if kind == "%%" else range(len(value), -1, -1)
    pattern = re.compile(_pattern(glob, greedy=True), re.DOTALL)
    return next((value[:start] for start in starts if pattern.fullmatch(value, start)), value)


def _replaced(value: str, glob: str, replacement: str, *, every: bool) -> str:
    pattern = re.compile(_pattern(glob, greedy=True), re.DOTALL)
    return pattern.sub(lambda _: replacement, value, count=0 if every else 1)
