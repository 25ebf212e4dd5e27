"""Where frameworks are written: devbox's own TOML files, the user's, and the tables of a checkout's devbox.toml."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from devbox import toml
from devbox.errors import ConfigError, UsageError
from devbox.paths import config_dir
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = re.compile(r"[a-z][a-z0-9_-]*")
TABLE = "frameworks"
EXTENDS = "extends"
# Each of these files of a checkout may have tables `[frameworks.NAME]`; a later one's comes before an earlier one's.
WORKSPACE_FILES = ("devbox.toml", "devbox.local.toml")
# What reaches the host when a container starts: devices, capabilities, mounts, tokens. It is for the user's own files,
# as are the values that `_reaching` tells.
_HOST_KEYS = frozenset({"run", "tasks"})
_HOST_VARIABLE = re.compile(r"\$\{[^}]*env\s*:", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Source:
    """One place that describes the framework `name`: the file `path`, or there the table at the dotted key `at`."""

    name: str
    path: Path
    at: str = ""

    def table(self) -> toml.Table:
        """Return what is written there. Raises ConfigError if it is no table, or says what a checkout may not."""
        table = toml.read(self.path)
        for key in self.at.split(".") if self.at else ():
            table = table[key]
        if not isinstance(table, dict):
            raise toml.wrong_type(self.path, self.at, "a table", table)
        if self.at:
            self._refuse_host_keys(table)
        return table

    def key(self, key: str) -> str:
        """Return the dotted `key` of the framework as it stands in the file."""
        return f"{self.at}.{key}" if self.at and key else key or self.at

    def _refuse_host_keys(self, table: toml.Table) -> None:
        variants = table.get("variants")
        tables = {"": table}
        if isinstance(variants, dict):
            tables |= {f"variants.{name}.": one for name, one in variants.items() if isinstance(one, dict)}
        for dot, one in tables.items():
            for name in filter(None, (*sorted(_HOST_KEYS & one.keys()), _reaching(one))):
                raise ConfigError(
                    f"{self.path}: '{self.key(dot + name)}' reaches the host, so a checkout cannot set it",
                    hint=f"write it into {config_dir() / TABLE / f'{self.name}.toml'}",
                )


def _reaching(table: toml.Table) -> str | None:
    """Return the key that takes a variable of the host, or the build volume of a workspace; None where none does.

    All of a framework may get into a contract that devbox writes, where such a variable would be filled in.
    """
    caches = table.get("caches")
    named = isinstance(caches, list) and any(str(one).startswith("build-") for one in caches)
    return next(_of_host(table), "caches" if named else None)


def _of_host(value: object, at: str = "") -> Iterator[str]:
    """Yield the dotted keys of the strings, names of keys too, in which a variable of the host stands."""
    if isinstance(value, str) and _HOST_VARIABLE.search(value):
        yield at
    for key, inner in value.items() if isinstance(value, dict) else ():
        yield from _of_host(key, at)
        yield from _of_host(inner, f"{at}.{key}" if at else key)
    for inner in value if isinstance(value, list) else ():
        yield from _of_host(inner, at)


def files() -> dict[str, Path]:
    """Return the TOML file of each framework by name: the built-in ones, and the user's, which come before those."""
    return {name: places[0].path for name, places in sources(None).items()}


def built_in() -> Path:
    """Return the folder of devbox's own files."""
    return Path(__file__).resolve().parent


def sources(workspace: Path | None) -> dict[str, tuple[Source, ...]]:
    """Return the places of each framework by name, strongest first: the checkout's, the user's own, devbox's own.

    Only the first one counts, unless it says `extends`. Raises ConfigError for a file of the checkout that is no TOML.
    """
    found: dict[str, list[Source]] = {}
    for folder in (built_in(), config_dir() / TABLE):
        for file in sorted(folder.glob("*.toml")):
            if NAME.fullmatch(file.stem):
                found.setdefault(file.stem, []).insert(0, Source(file.stem, file))
    for path in () if workspace is None else (workspace / name for name in WORKSPACE_FILES):
        for name in _tables(path):
            found.setdefault(name, []).insert(0, Source(name, path, f"{TABLE}.{name}"))
    return {name: tuple(places) for name, places in found.items()}


def _tables(path: Path) -> tuple[str, ...]:
    try:
        tables = toml.read(path).get(TABLE, {})
    except FileNotFoundError:
        return ()
    if not isinstance(tables, dict):
        raise toml.wrong_type(path, TABLE, "tables, [frameworks.NAME]", tables)
    for name, table in tables.items():
        if not isinstance(table, dict) or not NAME.fullmatch(name):
            raise toml.wrong_type(path, f"{TABLE}.{name}", "a table with a lower-case name", table)
    return tuple(tables)


def base_images(workspace: Path | None) -> list[str]:
    """Return the base images that a checkout's own files set, whatever framework it is; "package" is devbox's own."""
    found = []
    for path in () if workspace is None else (workspace / name for name in WORKSPACE_FILES):
        try:
            found.append(str(toml.read(path).get("base_image") or "package"))
        except FileNotFoundError:
            continue
    return found if any(one != "package" for one in found) else []


def complete(source: Source, places: dict[str, tuple[Source, ...]], below: tuple[Source, ...] = ()) -> toml.Table:
    """Return the table at `source`, laid over the one that it `extends`, if any; `below` are those that extend it.

    `extends` with its own name means the next weaker place of that name. Raises ConfigError for a framework that is not
    there, or extends itself.
    """
    table = dict(source.table())
    parent = table.pop(EXTENDS, None)
    if parent is None:
        return table
    key = source.key(EXTENDS)
    if not isinstance(parent, str):
        raise toml.wrong_type(source.path, key, "the name of a framework", parent)
    candidates = places.get(parent, ())
    if source in candidates:
        candidates = candidates[candidates.index(source) + 1 :]
    if not candidates:
        others = tuple(sorted(name for name in places if name != source.name))
        raise no_such("framework", parent, others, f"{source.path}: '{key}': ")
    if candidates[0] in below:
        raise ConfigError(f"{source.path}: '{key}': {parent} extends {source.name} in its turn")
    return overlaid(complete(candidates[0], places, (*below, source)), table)


def overlaid(base: toml.Table, override: toml.Table) -> toml.Table:
    """Return `base` with the keys of `override` in the place of its own.

    Tables are merged key by key, lists of tables that have a `name` by that name; other lists are replaced.
    """
    merged = dict(base)
    for key, value in override.items():
        under = merged.get(key)
        if isinstance(value, dict) and isinstance(under, dict):
            merged[key] = overlaid(under, value)
        elif (given := _by_name(value)) and (there := _by_name(under)):
            merged[key] = [
                *(there | {name: overlaid(there.get(name, {}), one) for name, one in given.items()}).values()
            ]
        else:
            merged[key] = value
    return merged


def _by_name(value: object) -> dict[str, toml.Table]:
    """Return a list of tables by their names, if each has one; else nothing."""
    tables = value if isinstance(value, list) else []
    if not all(isinstance(one, dict) and isinstance(one.get("name"), str) for one in tables):
        return {}
    return {one["name"]: one for one in tables}


def no_such(kind: str, word: str, choices: tuple[str, ...], prefix: str = "") -> UsageError:
    """Return the error for a `word` that is none of the `choices`."""
    near = toml.nearest(word, choices)
    meant = f"did you mean '{near}'? " if near else ""
    hint = f"{meant}the choices are: {', '.join(choices)}"
    return (ConfigError if prefix else UsageError)(f"{prefix}there is no {kind} called '{word}'", hint=hint)
