"""devcontainer.json and its kin: their values, and where these stand.

The values come from pyjson5, which is tolerant, as the reference is. The scanner here knows places. It reads JSONC
alone, which is what VS Code's reader takes: comments and trailing commas are replaced by spaces of the same length
before the standard library parses the text, so every position in it stays what it was. What only one of the two
takes, and a key that occurs twice, are told as doubts, with their place.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any, NoReturn, cast

from devbox.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


JSON = dict[str, Any]

# A string, a line comment, a block comment, or a comma: the first alternative that matches at a place wins, so that a
# `//` inside a string is never taken for a comment.
_TOKEN = re.compile(r'"(?:[^"\\\n]|\\.)*"|//[^\n]*|/\*.*?\*/|,', re.DOTALL)
_CLOSING = re.compile(r"\s*[\]}]")
_TRAILING = re.compile(r",\s*[\]}]")
_NOT_SPACE = re.compile(r"[^\s]")
# What no argv and no file can carry: JSON can escape both.
_UNFIT = re.compile("[\0\ud800-\udfff]")
_UNFIT_SAID = "a string has a NUL or half of a surrogate pair, which no command can be given"
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
# pyjson5 says in words where it stopped, counted from 1, to within a character.
_NEAR = re.compile(r"near (\d+)")
# No contract has as many characters.
LARGEST = 1 << 22
_TOO_DEEP = "the nesting is too deep"
# Deeper than any contract is, and far from the interpreter's own limit.
DEEPEST = 100


def loads(text: str, path: Path) -> JSON:
    """Return the values of a text; of a key that occurs twice, the last one counts.

    Raises ContractError with `path:line:column` where it cannot be read, or its top level is not an object.
    """
    from pyjson5 import Json5DecoderException, Json5NestingTooDeep, decode

    text = text.removeprefix("\ufeff")
    if len(text) > LARGEST:
        raise _error(path, text, 0, f"it has more than {LARGEST:,} characters")
    try:
        value = decode(text, maxdepth=DEEPEST)
    except Json5NestingTooDeep:
        raise _error(path, text, 0, _TOO_DEEP) from None
    except Json5DecoderException as error:
        raise _error(path, text, *_trouble(text, str(error.args[0]))) from None
    problem = unfit(value)
    if problem is not None:
        strict = _strict(text)
        raise _error(path, text, strict.pos if isinstance(strict, json.JSONDecodeError) else 0, problem)
    if not isinstance(value, dict):
        start = _NOT_SPACE.search(_without_comments(text))
        raise _error(path, text, start.start() if start else 0, "the top level must be an object in braces")
    return cast("JSON", value)


def _trouble(text: str, said: str) -> tuple[int, str]:
    """Return where a text cannot be read, and why. The scanner knows it to the letter, unless it stops before."""
    near = _NEAR.search(said)
    position = max(int(near[1]) - 1, 0) if near else 0
    if _HALF.search(text) and "U+005c" in said:
        return 0, _UNFIT_SAID
    strict = _strict(text)
    if isinstance(strict, ValueError) and not isinstance(strict, json.JSONDecodeError):
        return 0, "a number has too many digits"
    if isinstance(strict, json.JSONDecodeError) and strict.pos >= min(position, len(text)) - 2:
        return strict.pos, _sentence(strict.msg)
    return position, f"it cannot be read here ({said})"


def doubts(text: str) -> tuple[tuple[int, int, str], ...]:
    """Return (line, column, sentence) of what another reader takes otherwise, in a text that `loads` has read.

    That is what VS Code's reader does not take, and each key that occurs twice.
    """
    text = text.removeprefix("\ufeff")
    value = _strict(text)
    if isinstance(value, Exception):
        position = value.pos if isinstance(value, json.JSONDecodeError) else 0
        said = _sentence(value.msg) if isinstance(value, json.JSONDecodeError) else str(value)
        return ((*_line_and_column(text, position), f"VS Code's reader does not take this: {said}"),)
    return tuple(
        (*locate(text, keys), f"the key '{keys[-1]}' is there twice, and the last one counts")
        for keys in _twice(value, ())
    )


class _Pairs(list[tuple[str, object]]):
    """An object with all its keys, as they stand."""


def _strict(text: str) -> object:
    """Return what the scanner reads, with objects as `_Pairs`; or the error that it stops at."""
    try:
        try:
            return _parse(text)
        except json.JSONDecodeError:
            return _parse(_without_comments(text))
    except (ValueError, RecursionError) as error:
        return error


def _twice(value: object, keys: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    """Yield where a key occurs twice."""
    if isinstance(value, _Pairs):
        seen: set[str] = set()
        for key, item in value:
            if key in seen:
                yield (*keys, key)
            seen.add(key)
            if isinstance(item, list):
                yield from _twice(item, (*keys, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if isinstance(item, list):
                yield from _twice(item, (*keys, index))


def unfit(value: object) -> str | None:
    """Say why a parsed value cannot be worked with, or return None: its nesting, or a character that no argv holds."""
    level: list[object] = [value]
    for _ in range(DEEPEST):
        inner: list[object] = []
        for item in level:
            if isinstance(item, dict):
                inner += item
                inner += item.values()
            elif isinstance(item, list):
                inner += item
            elif isinstance(item, str) and _UNFIT.search(item):
                return _UNFIT_SAID
            elif isinstance(item, float) and not math.isfinite(item):
                return "a number is none, or has no end"
        if not inner:
            return None
        level = inner
    return _TOO_DEEP


def locate(text: str, keys: Sequence[str | int]) -> tuple[int, int]:
    """Return line and column, from 1, of the value that `keys` lead to in a text that `loads` has read.

    Of a key that occurs twice it is the last one, as in `loads`. For keys that lead nowhere it is the last place on the
    way.
    """
    text = text.removeprefix("\ufeff")
    plain = _without_comments(text)
    position = _skip(plain, 0)
    for key in keys:
        try:
            found = _child(plain, position, key)
        except (ValueError, IndexError):
            # What the scanner does not take has no place further in.
            break
        if found is None:
            break
        position = found
    return _line_and_column(text, position)


def _child(text: str, position: int, key: str | int) -> int | None:
    """Return where the value of `key` starts in the object or list that starts at `position`."""
    decoder = json.JSONDecoder()
    found = None
    named = text[position] == "{"
    index, position = 0, _skip(text, position + 1)
    while text[position] not in "]}":
        name: object = index
        if named:
            name, position = decoder.raw_decode(text, position)
            # What follows is the colon.
            position = _skip(text, _skip(text, position) + 1)
        if name == key:
            found = position
        _, position = decoder.raw_decode(text, position)
        position = _skip(text, position)
        if text[position] == ",":
            position = _skip(text, position + 1)
        index += 1
    return found


def _skip(text: str, position: int) -> int:
    """Return the place of the next character that is no space."""
    found = _NOT_SPACE.search(text, position)
    return found.start() if found else len(text)


def _parse(text: str) -> object:
    def constant(name: str) -> NoReturn:
        raise json.JSONDecodeError(f"{name} is not JSON", text, max(text.find(name), 0))

    return json.loads(text, parse_constant=constant, object_pairs_hook=_Pairs)


def _without_comments(text: str) -> str:
    """Blank comments, then the commas that only blanks separate from a closing bracket; line breaks stay."""

    def blank(match: re.Match[str]) -> str:
        token = match.group()
        return _NOT_SPACE.sub(" ", token) if token.startswith("/") else token

    uncommented = _TOKEN.sub(blank, text) if "//" in text or "/*" in text else text
    if _TRAILING.search(uncommented) is None:
        return uncommented

    def drop(match: re.Match[str]) -> str:
        trailing = (
            match.group() == ","
            and _CLOSING.match(uncommented, match.end())
            and _follows_item(uncommented, match.start())
        )
        return " " if trailing else match.group()

    return _TOKEN.sub(drop, uncommented)


def _follows_item(text: str, position: int) -> bool:
    """Whether something stands between the opening bracket, or the comma before, and `position`."""
    while position > 0 and text[position - 1].isspace():
        position -= 1
    return position > 0 and text[position - 1] not in "[{,"


def _sentence(message: str) -> str:
    """Turn the standard library's phrase into the rest of a sentence."""
    return message.removesuffix(":").replace("enclosed in double quotes", "in double quotes").lower()


def _line_and_column(text: str, position: int) -> tuple[int, int]:
    return text.count("\n", 0, position) + 1, position - text.rfind("\n", 0, position)


def _error(path: Path, text: str, position: int, problem: str) -> ContractError:
    line, column = _line_and_column(text, position)
    return ContractError(f"{path}:{line}:{column}: {problem}", hint=f"edit {path}, line {line}")
