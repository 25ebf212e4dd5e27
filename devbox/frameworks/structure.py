"""From a TOML table to a frozen dataclass: the fields are the keys, their types what a value must be.

Every mistake of a table is found, not only the first. An empty string stands for "none" where a field may be None,
because TOML has no null.
"""

from __future__ import annotations

import dataclasses
import types
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from devbox import toml
from devbox.errors import ConfigError
from devbox.frameworks.model import Alternatives, Pairs

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable

# What a value becomes that is wrong. It never leaves this module without a mistake beside it.
_WRONG: Final = object()


def structured(kind: type[Any], table: toml.Table, path: object) -> Any:
    """Return the dataclass `kind` with the values of `table`, read from `path`. Raises ConfigError for a mistake."""
    reader = Reader(path)
    made = reader.record(kind, table)
    if reader.mistakes:
        raise reader.mistakes[0]
    return made


def keys(kind: type[Any]) -> frozenset[str]:
    """Return the names of a dataclass's fields."""
    return frozenset(one.name for one in dataclasses.fields(kind))


@dataclass
class Reader:
    """Reads tables of the file `path` and collects `mistakes`.

    `say` gives the key as it is told for the dotted key that is read: a file may write it elsewhere.
    """

    path: object
    say: Callable[[str], str] = field(default=lambda key: key)
    mistakes: list[ConfigError] = field(default_factory=list)

    def record(
        self,
        kind: type[Any],
        table: object,
        at: str = "",
        *,
        hidden: Collection[str] = (),
        further: Collection[str] = (),
    ) -> Any:
        """Return the dataclass `kind` of the `table` at the dotted key `at`; of no use once there are mistakes.

        `hidden` are fields that are set by the caller and are no keys of a file, `further` keys that no field has.
        """
        if not isinstance(table, dict):
            return self._wrong(toml.wrong_type(self.path, self.say(at), "a table", table))
        dot = f"{at}." if at else ""
        known = (keys(kind) - frozenset(hidden)) | frozenset(further)
        for key in table.keys() - keys(kind):
            self._wrong(toml.unknown_key(self.path, self.say(f"{dot}{key}"), known))
        hints, values = _hints(kind), {}  # type: ignore[arg-type]
        for one in dataclasses.fields(kind):
            hint = hints[one.name]
            if one.name in table:
                values[one.name] = self.value(hint, table[one.name], f"{dot}{one.name}")
            elif one.default is not dataclasses.MISSING:
                continue
            elif type(None) in get_args(hint):
                values[one.name] = None
            elif dataclasses.is_dataclass(hint):
                values[one.name] = self.record(hint, {}, f"{dot}{one.name}")  # type: ignore[arg-type]
            else:
                key = f"{self.say(at)}.{one.name}" if at else self.say(one.name)
                missing = f"{self.path}: the key '{key}' is missing: {_expected(hint)}"
                values[one.name] = self._wrong(ConfigError(missing))
        return _WRONG if any(value is _WRONG for value in values.values()) else kind(**values)

    def value(self, hint: Any, value: object, key: str) -> Any:
        """Return `value` as the type `hint` wants it."""
        origin, choices = _shape(hint)
        if origin is Union:
            return None if value == "" else self.value(choices[0], value, key)
        if hint == Pairs:
            return self._pairs(value, key)
        if dataclasses.is_dataclass(hint):
            return self.record(hint, value, key)  # type: ignore[arg-type]
        if hint == Alternatives and isinstance(value, str):
            value = [value]
        if origin is tuple and isinstance(value, list):
            items = [self.value(choices[0], item, f"{key}[{number}]") for number, item in enumerate(value)]
            return _WRONG if any(item is _WRONG for item in items) else tuple(items)
        # A boolean is an int to Python, but not to a person.
        if (origin is Literal and value in choices) or (isinstance(hint, type) and type(value) is hint):
            return value
        return self._wrong(toml.wrong_type(self.path, self.say(key), _expected(hint), value))

    def _pairs(self, value: object, key: str) -> Any:
        """Return a table of strings as pairs in the file's order; a list of strings makes several pairs of one key."""
        if not isinstance(value, dict):
            return self._wrong(toml.wrong_type(self.path, self.say(key), "a table of strings", value))
        pairs: list[tuple[str, str]] = []
        for name, given in value.items():
            for item in given if isinstance(given, list) else [given]:
                if isinstance(item, str):
                    pairs.append((name, item))
                else:
                    self._wrong(toml.wrong_type(self.path, self.say(f"{key}.{name}"), "a string", item))
        return tuple(pairs)

    def _wrong(self, mistake: ConfigError) -> object:
        self.mistakes.append(mistake)
        return _WRONG


@cache
def _hints(kind: Hashable) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


def _shape(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return what a type is built with, and of what: `str | None` is a Union of those two."""
    if hint == Alternatives:
        return tuple, (str,)
    origin = get_origin(hint)
    return (Union if origin is types.UnionType else origin), get_args(hint)


_NAMES = {str: "a string", int: "a whole number", bool: "true or false", Alternatives: "a string or a list of strings"}


def _expected(hint: Any) -> str:
    if hint in _NAMES:
        return _NAMES[hint]
    if hint == Pairs:
        return "a table of strings"
    origin, choices = _shape(hint)
    if origin is Union:
        return _expected(choices[0])
    if origin is Literal:
        return f"one of {', '.join(repr(choice) for choice in choices)}"
    if origin is tuple:
        return "a list of strings" if choices[0] is str else f"a list, each {_expected(choices[0])}"
    return "a table"
