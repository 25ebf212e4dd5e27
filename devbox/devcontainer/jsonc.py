"""JSON with comments and trailing commas, as devcontainer.json is written, with errors that carry line and column.

The dialect is exactly JSONC: what VS Code would underline (single quotes, hexadecimal numbers, NaN) is an error here
too, so that no file works in devbox alone. Comments and trailing commas are replaced by spaces of the same length
before the standard library parses the text; every position in it stays what it was.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NoReturn, cast

from devbox.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


JSON = dict[str, Any]

# A string, a line comment, a block comment, or a comma: the first alternative that matches at a place wins, so that a
# `//` inside a string is never taken for a comment.
_TOKEN = re.compile(r'"(?:[^"\\\n]|\\.)*"|//[^\n]*|/\*.*?\*/|,', re.DOTALL)
_CLOSING = re.compile(r"\s*[\]}]")
_NOT_SPACE = re.compile(r"[^\s]")
# What no argv and no file can carry: JSON can escape both.
_UNFIT = re.compile("[\0\ud800-\udfff]")
_TOO_DEEP = "the nesting is too deep"
# Deeper than any contract is, and far from the interpreter's own limit.
DEEPEST = 100


def loads(text: str, path: Path) -> JSON:
    """Parse the text of a devcontainer.json; of a key that occurs twice, the last one counts.

    Raises ContractError with `path:line:column` where the text is not JSONC, or its top level is not an object.
    """
    text = text.removeprefix("\ufeff")
    try:
        try:
            value = _parse(text)
        except json.JSONDecodeError:
            value = _parse(_without_comments(text))
    except json.JSONDecodeError as error:
        raise _error(path, text, error.pos, _sentence(error.msg)) from None
    except ValueError:
        raise _error(path, text, 0, "a number has too many digits") from None
    except RecursionError:
        raise _error(path, text, 0, _TOO_DEEP) from None
    problem = unfit(value)
    if problem is not None:
        raise _error(path, text, 0, problem)
    if not isinstance(value, dict):
        start = _NOT_SPACE.search(_without_comments(text))
        raise _error(path, text, start.start() if start else 0, "the top level must be an object in braces")
    return cast("JSON", value)


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
                return "a string has a NUL or half of a surrogate pair, which no command can be given"
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
        found = _child(plain, position, key)
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

    return json.loads(text, parse_constant=constant)


def _without_comments(text: str) -> str:
    """Blank comments, then the commas that only blanks separate from a closing bracket; line breaks stay."""

    def blank(match: re.Match[str]) -> str:
        token = match.group()
        return _NOT_SPACE.sub(" ", token) if token.startswith("/") else token

    uncommented = _TOKEN.sub(blank, text)

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
