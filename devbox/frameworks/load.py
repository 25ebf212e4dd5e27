"""From a framework's TOML file to a `Framework`, with every mistake told by file, key and expected type.

The frozen dataclasses in `model` are the schema: their fields are the keys and their types what a value must be. On top
of them a file has two keys of its own: `default_variant`, and the tables `[variants.NAME]`, whose keys replace those of
the file. An empty string stands for "none" where a field may be None, because TOML has no null.
"""

from __future__ import annotations

import dataclasses
import re
import types
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from devbox import toml
from devbox.errors import ConfigError, UsageError
from devbox.frameworks import arch
from devbox.frameworks.model import Framework, Pairs
from devbox.paths import config_dir

_NAME = re.compile(r"[a-z][a-z0-9_-]*")
# The loader sets these itself.
_OWN_FIELDS = frozenset({"name", "variant", "variants"})
_FILE_KEYS = frozenset({"default_variant", "variants"})


def files() -> dict[str, Path]:
    """Return the TOML file of each framework by name: the built-in ones, and the user's, which come before those."""
    found = {}
    for folder in (Path(__file__).resolve().parent, config_dir() / "frameworks"):
        for file in sorted(folder.glob("*.toml")):
            if _NAME.fullmatch(file.stem):
                found[file.stem] = file
    return found


def available() -> tuple[str, ...]:
    """Return the names of all frameworks, sorted."""
    return tuple(sorted(files()))


def load(name: str, variant: str | None = None) -> Framework:
    """Return the framework `name` in `variant`, or in its default variant.

    Raises UsageError, with the choices, if there is no such framework or variant, ConfigError if its file is wrong.
    """
    every = variants(name)
    if variant is None:
        return every[0]
    for one in every:
        if one.variant == variant:
            return one
    raise _no_such(f"variant of {name}", variant, every[0].variants)


def variants(name: str) -> tuple[Framework, ...]:
    """Return the framework `name` in each of its variants, the default one first. Raises as `load` does."""
    known = files()
    if name not in known:
        raise _no_such("framework", name, tuple(sorted(known)))
    return parse(name, toml.read(known[name]), known[name])


def parse(name: str, table: toml.Table, path: Path) -> tuple[Framework, ...]:
    """Return the framework of the TOML `table`, read from `path`, in each of its variants, the default one first.

    Raises ConfigError for the first mistake.
    """
    base = {key: value for key, value in table.items() if key not in _FILE_KEYS}
    overrides = _overrides(table, path)
    default = table.get("default_variant")
    if default not in overrides:
        choices = ", ".join(overrides)
        raise ConfigError(f"{path}: 'default_variant' must be one of the variants ({choices}), not {default!r}")
    names = (str(default), *(one for one in overrides if one != default))
    return tuple(_framework(name, one, names, _overlaid(base, overrides[one]), path) for one in names)


def _no_such(kind: str, word: str, choices: tuple[str, ...]) -> UsageError:
    near = toml.nearest(word, choices)
    meant = f"did you mean '{near}'? " if near else ""
    return UsageError(f"there is no {kind} called '{word}'", hint=f"{meant}the choices are: {', '.join(choices)}")


def _overrides(table: toml.Table, path: Path) -> dict[str, toml.Table]:
    variants = table.get("variants")
    if not isinstance(variants, dict) or not variants:
        raise toml.wrong_type(path, "variants", "one table or more, [variants.NAME]", variants)
    for name, override in variants.items():
        if not isinstance(override, dict) or not _NAME.fullmatch(name):
            raise toml.wrong_type(path, f"variants.{name}", "a table with a lower-case name", override)
    return variants


def _overlaid(base: toml.Table, override: toml.Table) -> toml.Table:
    """Return `base` with the keys of `override` in the place of its own; tables are merged key by key."""
    merged = dict(base)
    for key, value in override.items():
        under = merged.get(key)
        merged[key] = _overlaid(under, value) if isinstance(value, dict) and isinstance(under, dict) else value
    return merged


def _framework(name: str, variant: str, names: tuple[str, ...], table: toml.Table, path: Path) -> Framework:
    for own in sorted(_OWN_FIELDS & table.keys()):
        raise toml.unknown_key(path, own, _keys(Framework) - _OWN_FIELDS)
    full = table | {"name": name, "variant": variant, "variants": list(names)}
    framework: Framework = _dataclass(Framework, full, path, "")
    if not framework.stages:
        raise ConfigError(f"{path}: 'stages' must name at least one stage")
    if not framework.workspace_path.startswith("/"):
        raise ConfigError(f"{path}: 'workspace_path' must be an absolute path in the container")
    if framework.build.build_type not in framework.build.build_types:
        raise ConfigError(f"{path}: 'build.build_type' must be one of {', '.join(framework.build.build_types)}")
    if framework.default_arch is not None:
        try:
            arch.parse(framework.default_arch)
        except UsageError as error:
            raise ConfigError(f"{path}: 'default_arch': {error.message}") from None
    return framework


def _keys(kind: type[Any]) -> set[str]:
    return {field.name for field in dataclasses.fields(kind)}


def structured(kind: type[Any], table: toml.Table, path: Path) -> Any:
    """Return the dataclass `kind` with the values of `table`, read from `path`. Raises ConfigError for a mistake."""
    return _dataclass(kind, table, path, "")


def _dataclass(kind: type[Any], table: object, path: Path, at: str) -> Any:
    """Return the dataclass `kind` with the values of `table`, which stands at the dotted key `at` of the file."""
    if not isinstance(table, dict):
        raise toml.wrong_type(path, at, "a table", table)
    dot = f"{at}." if at else ""
    for key in table:
        if key not in _keys(kind):
            known = _keys(kind) - _OWN_FIELDS if kind is Framework else _keys(kind)
            raise toml.unknown_key(path, f"{dot}{key}", known | (_FILE_KEYS if kind is Framework else set()))
    hints = get_type_hints(kind)
    values = {key: _value(hints[key], value, path, f"{dot}{key}") for key, value in table.items()}
    for field in dataclasses.fields(kind):
        if field.name in values or field.default is not dataclasses.MISSING:
            continue
        if type(None) in get_args(hints[field.name]):
            values[field.name] = None
        elif dataclasses.is_dataclass(hints[field.name]):
            values[field.name] = _dataclass(hints[field.name], {}, path, f"{dot}{field.name}")
        else:
            raise ConfigError(f"{path}: the key '{dot}{field.name}' is missing: {_expected(hints[field.name])}")
    return kind(**values)


def _value(hint: Any, value: object, path: Path, key: str) -> Any:
    """Return `value` as the type `hint` wants it. Raises ConfigError that says what was expected."""
    if hint == Pairs:
        return _pairs(value, path, key)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _dataclass(hint, value, path, key)
    origin, choices = get_origin(hint), get_args(hint)
    if origin in {Union, types.UnionType}:
        return None if value == "" else _value(choices[0], value, path, key)
    if origin is Literal and value in choices:
        return value
    if origin is tuple and isinstance(value, list):
        return tuple(_value(choices[0], item, path, f"{key}[{number}]") for number, item in enumerate(value))
    # A boolean is an int to Python, but not to a person.
    if isinstance(hint, type) and type(value) is hint:
        return value
    raise toml.wrong_type(path, key, _expected(hint), value)


def _pairs(value: object, path: Path, key: str) -> Pairs:
    """Return a table of strings as pairs in the order of the file; a list of strings makes several pairs of one key."""
    if not isinstance(value, dict):
        raise toml.wrong_type(path, key, "a table of strings", value)
    pairs = []
    for name, given in value.items():
        for item in given if isinstance(given, list) else [given]:
            if not isinstance(item, str):
                raise toml.wrong_type(path, f"{key}.{name}", "a string", item)
            pairs.append((name, item))
    return tuple(pairs)


def _expected(hint: Any) -> str:
    if hint == Pairs:
        return "a table of strings"
    if dataclasses.is_dataclass(hint):
        return "a table"
    origin, choices = get_origin(hint), get_args(hint)
    if origin in {Union, types.UnionType}:
        return _expected(choices[0])
    if origin is Literal:
        return f"one of {', '.join(repr(choice) for choice in choices)}"
    if origin is tuple:
        return "a list of strings" if choices[0] is str else f"a list, each {_expected(choices[0])}"
    return {str: "a string", int: "a whole number", bool: "true or false"}.get(hint, "another value")
