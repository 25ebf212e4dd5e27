"""JSON with comments and trailing commas, as devcontainer.json is written, with errors that carry line and column.

The dialect is exactly JSONC: what VS Code would underline (single quotes, hexadecimal numbers, NaN) is an error here
too, so that no file works in devbox alone. Comments and trailing commas are replaced by spaces of the same length
before the standard library parses the text; every position in it stays what it was.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NoReturn, cast

from devbox.errors import ContractError

if TYPE_CHECKING:
    from pathlib import Path

    from devbox.devcontainer.model import JSON

# A string, a line comment, a block comment, or a comma: the first alternative that matches at a place wins, so that a
# `//` inside a string is never taken for a comment.
_TOKEN = re.compile(r'"(?:[^"\\\n]|\\.)*"|//[^\n]*|/\*.*?\*/|,', re.DOTALL)
_CLOSING = re.compile(r"\s*[\]}]")
_NOT_SPACE = re.compile(r"[^\s]")


def loads(text: str, path: Path) -> JSON:
    """Parse the text of a devcontainer.json; of a key that occurs twice, the last one counts.

    Raises ContractError with `path:line:column` where the text is not JSONC, or its top level is not an object.
    """
    text = text.removeprefix("\ufeff")
    try:
        value = _parse(text)
    except json.JSONDecodeError:
        plain = _without_comments(text)
        try:
            value = _parse(plain)
        except json.JSONDecodeError as error:
            raise _error(path, text, error.pos, _sentence(error.msg)) from None
        except RecursionError:
            raise _error(path, text, 0, "the nesting is too deep") from None
    except RecursionError:
        raise _error(path, text, 0, "the nesting is too deep") from None
    if not isinstance(value, dict):
        start = _NOT_SPACE.search(_without_comments(text))
        raise _error(path, text, start.start() if start else 0, "the top level must be an object in braces")
    return cast("JSON", value)


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


def _error(path: Path, text: str, position: int, problem: str) -> ContractError:
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    return ContractError(f"{path}:{line}:{column}: {problem}", hint=f"edit {path}, line {line}")
