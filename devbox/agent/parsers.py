"""Which options a Python script takes: its calls of argparse, read and not run."""

from __future__ import annotations

import ast
import re
from typing import Any, NamedTuple

# For a script in a newer Python than the one that reads it.
_QUOTED = re.compile(r"""["'](--[A-Za-z0-9][A-Za-z0-9_-]*)["']""")


class Option(NamedTuple):
    """An option by its long names as they are written, where it is declared, and what it takes.

    `choices` and `default` are those that stand there as words; one that is computed is not known.
    """

    names: tuple[str, ...]
    line: int
    choices: tuple[str, ...] = ()
    default: str | None = None


def options(text: str) -> list[Option]:
    """Return the options that the source `text` declares by `add_argument`, in their order."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return [
            Option((found[1],), number)
            for number, line in enumerate(text.splitlines(), 1)
            for found in _QUOTED.finditer(line)
        ]
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _called(node) == "add_argument"]
    return [one for one in map(_option, sorted(calls, key=lambda call: (call.lineno, call.col_offset))) if one.names]


def _called(call: ast.Call) -> str:
    return getattr(call.func, "attr", "") or getattr(call.func, "id", "")


def _option(call: ast.Call) -> Option:
    words = [_value(word) for word in call.args]
    said = {word.arg: _value(word.value) for word in call.keywords}
    choices, default = said.get("choices"), said.get("default")
    return Option(
        tuple(word for word in words if isinstance(word, str) and word.startswith("--")),
        call.lineno,
        tuple(map(str, choices)) if isinstance(choices, (list, tuple)) else (),
        str(default) if isinstance(default, (str, int, float)) else None,
    )


def _value(node: ast.expr) -> Any:
    """Return a literal's value, None for what is computed."""
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError):  # such as a set of lists
        return None
