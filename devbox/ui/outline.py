"""Structured values as text for people: indented keys, tables where the items are alike, nothing that is empty."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devbox.ui.tables import table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_INDENT = "  "
# Items that make a wider table are shown one below the other.
_WIDE = 130


def outline(data: Mapping[str, object]) -> str:
    """Return JSON-like `data` as lines of `key: value`; what is empty, None or "" is left out."""
    return "\n".join(_lines(data))


def _lines(data: Mapping[str, object]) -> Iterator[str]:
    for key, value in data.items():
        if value in (None, "", [], {}):
            continue
        if isinstance(value, dict):
            inner = list(_lines(value))
            yield from [f"{key}:", *_indented(inner)] if inner else []
        elif isinstance(value, list):
            yield from _list(key, value)
        else:
            yield f"{key}: {_scalar(value)}"


def _list(key: str, items: Sequence[object]) -> Iterator[str]:
    pairs = [item for item in items if isinstance(item, list) and len(item) == len(("name", "value"))]
    if len(pairs) == len(items):
        yield f"{key}:"
        yield from _indented([f"{name} = {value}" for name, value in pairs])
    elif all(isinstance(item, dict) for item in items):
        yield f"{key}:"
        yield from _indented(_records([item for item in items if isinstance(item, dict)]))
    else:
        words = [_scalar(item) for item in items]
        plain = all(word and " " not in word for word in words)
        yield from [f"{key}: {' '.join(words)}"] if plain else [f"{key}:", *_indented(words)]


def _records(items: Sequence[Mapping[str, object]]) -> list[str]:
    """Return items of the same keys as a table, or one block each where a value is no word."""
    used = [key for key in items[0] if any(item.get(key) not in (None, "", [], {}) for item in items)]
    cells = [[_cell(item.get(key)) for key in used] for item in items]
    if used and all(cell is not None for row in cells for cell in row):
        drawn = table(used, [[cell or "-" for cell in row] for row in cells]).splitlines()
        if max(map(len, drawn)) <= _WIDE:
            return drawn
    lines: list[str] = []
    for item in items:
        first, *rest = list(_lines(item)) or [""]
        lines += [f"- {first}", *_indented(rest)]
    return lines


def _cell(value: object) -> str | None:
    if isinstance(value, list):
        words = [_cell(item) for item in value]
        return None if any(word is None or " " in word for word in words) else " ".join(str(word) for word in words)
    return None if isinstance(value, dict) else "" if value is None else _scalar(value)


def _scalar(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"{_INDENT}{line}" for line in lines]
