"""From a framework's TOML file to a `Framework`, with every mistake told by file, key and expected type.

The frozen dataclasses in `model` are the schema. On top of them a file has keys of its own: `default_variant`, the
tables `[variants.NAME]`, whose keys replace those of the file, and `extends`, which takes the rest from another
framework.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from devbox import toml
from devbox.errors import ConfigError, UsageError
from devbox.frameworks.checks import problems
from devbox.frameworks.model import Detect, Framework
from devbox.frameworks.sources import EXTENDS, NAME, Source, base_images, complete, no_such, overlaid, sources
from devbox.frameworks.structure import Reader, structured

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["available", "detection", "examine", "load", "origin", "parse", "structured", "variants"]

# The loader sets these itself.
_OWN_FIELDS = frozenset({"name", "variant", "variants", "rules"})
_FILE_KEYS = frozenset({"default_variant", "variants", EXTENDS})


def available(workspace: Path | None = None) -> tuple[str, ...]:
    """Return the names of all frameworks, sorted; those of a workspace's own devbox.toml among them."""
    return tuple(sorted(sources(workspace)))


def load(name: str, variant: str | None = None, workspace: Path | None = None) -> Framework:
    """Return the framework `name` in `variant`, or in its default variant, as it is for a workspace.

    Raises UsageError, with the choices, if there is no such framework or variant, ConfigError if its file is wrong.
    """
    places = _places(name, workspace)
    table = complete(places[name][0], places)
    names = tuple(table["variants"]) if isinstance(table.get("variants"), dict) else ()
    if variant is not None and names and variant not in names:
        raise no_such(f"variant of {name}", variant, names)
    # Only the one that is wanted is read, so that a framework of many variants costs no more than one of few.
    (one, *_) = _right(_read(places[name][0], table, only=variant or str(table.get("default_variant"))))
    return replace(one, rules=_rules(name, table, places, workspace))


def variants(name: str, workspace: Path | None = None) -> tuple[Framework, ...]:
    """Return the framework `name` in each of its variants, the default one first. Raises as `load` does."""
    places = _places(name, workspace)
    table = complete(places[name][0], places)
    rules = _rules(name, table, places, workspace)
    return tuple(replace(one, rules=rules) for one in _right(_read(places[name][0], table)))


def _rules(name: str, table: toml.Table, places: dict[str, tuple[Source, ...]], workspace: Path | None) -> str:
    """Return what tells a framework, of which the checkout says something, from all others; else ""."""
    own = {key: left for key, found in places.items() if (left := tuple(one for one in found if not one.at))}
    said = base_images(workspace)
    if not said and (own == places or (name in own and complete(own[name][0], own) == table)):
        return ""
    import hashlib
    import json

    return hashlib.sha256(json.dumps([name, table, *said], sort_keys=True, default=str).encode()).hexdigest()[:16]


def detection(workspace: Path | None = None, only: str | None = None) -> dict[str, tuple[tuple[str, Detect], ...]]:
    """Return how a checkout of each framework is known, by name: for each of its variants, the default one first.

    Of the files nothing else is looked at, so that this costs no more than to read them. `only` names the one framework
    that is wanted. Raises ConfigError for a mistake there.
    """
    places = sources(workspace)
    found = {}
    for name in sorted(places) if only is None else [only] if only in places else []:
        source = places[name][0]
        table = complete(source, places)
        overrides = _overrides(source, table)
        default = table.get("default_variant")
        names = sorted(overrides, key=lambda one: one != default)
        found[name] = tuple((one, _detect(source, one, table, overrides[one])) for one in names)
    return found


def _detect(source: Source, variant: str, table: toml.Table, override: toml.Table) -> Detect:
    base, own = ({"detect": one["detect"]} if "detect" in one else {} for one in (table, override))
    reader = Reader(source.path, _said(source, variant, override))
    rules: Detect = reader.record(Detect, overlaid(base, own).get("detect", {}), "detect")
    if reader.mistakes:
        raise reader.mistakes[0]
    return rules


def origin(name: str, workspace: Path | None = None) -> str:
    """Return the file that describes the framework `name`. Raises UsageError if there is none."""
    return str(_places(name, workspace)[name][0].path)


def parse(name: str, table: toml.Table, path: Path) -> tuple[Framework, ...]:
    """Return the framework of the TOML `table`, read from `path`, in each of its variants, the default one first.

    Raises ConfigError for the first mistake.
    """
    return _right(_read(Source(name, path), table))


def examine(path: Path) -> tuple[tuple[Framework, ...], tuple[ConfigError, ...]]:
    """Return the variants of the framework file at `path`, which may lie anywhere, and every mistake in it.

    The file's name is the framework's. With a mistake the variants are of no use. Raises FileNotFoundError.
    """
    source = Source(path.stem, path)
    if not NAME.fullmatch(source.name):
        name = "a framework's name has lower-case letters, digits, - and _"
        return (), (ConfigError(f"{path} is no file NAME.toml: {name}", hint=f"mv {path} my-framework.toml"),)
    places = sources(None)
    # As if it lay in the user's folder: it may extend the framework of its own name.
    weaker = (one for one in places.get(source.name, ()) if one.path.resolve() != path.resolve())
    places[source.name] = (source, *weaker)
    try:
        table = complete(source, places)
    except UsageError as error:
        return (), (error if isinstance(error, ConfigError) else ConfigError(error.message, hint=error.hint),)
    return _read(source, table)


def _places(name: str, workspace: Path | None) -> dict[str, tuple[Source, ...]]:
    places = sources(workspace)
    if name not in places:
        raise no_such("framework", name, tuple(sorted(places)))
    return places


_Read = tuple[tuple[Framework, ...], tuple[ConfigError, ...]]


def _right(read: _Read) -> tuple[Framework, ...]:
    found, wrong = read
    if wrong:
        raise wrong[0]
    return found


def _read(source: Source, table: toml.Table, only: str | None = None) -> _Read:
    """Return the framework in each of its variants, and the mistakes; with one of them, the variants are of no use.

    `only` names the one variant that is wanted.
    """
    base = {key: value for key, value in table.items() if key not in _FILE_KEYS}
    try:
        overrides = _overrides(source, table)
    except ConfigError as error:
        overrides, wrong = {}, [error]
    else:
        wrong = []
    default = table.get("default_variant")
    if overrides and default not in tuple(overrides):
        said = f"'{source.key('default_variant')}' must be one of the variants ({', '.join(overrides)})"
        wrong.append(ConfigError(f"{source.path}: {said}, not {default!r}"))
    names = (str(default), *(one for one in overrides if one != default))
    found = []
    # Without any variant, what the file says for all of them is looked at all the same.
    for name in (only,) if only in overrides else names if overrides else ("default",):
        override = overrides.get(name, {})
        framework, more = _variant(source, name, names, overlaid(base, override), override)
        found.append(framework)
        wrong += more
    if wrong and "title" not in table:
        wrong[0].hint = wrong[0].hint or f'{EXTENDS} = "NAME"   # takes the rest from another framework'
    # A mistake in what all variants share is one mistake.
    return tuple(found), tuple({error.message: error for error in wrong}.values())


def _overrides(source: Source, table: toml.Table) -> dict[str, toml.Table]:
    variants = table.get("variants")
    if not isinstance(variants, dict) or not variants:
        raise toml.wrong_type(source.path, source.key("variants"), "one table or more, [variants.NAME]", variants)
    for name, override in variants.items():
        if not isinstance(override, dict) or not NAME.fullmatch(name):
            raise toml.wrong_type(
                source.path, source.key(f"variants.{name}"), "a table with a lower-case name", override
            )
    return variants


def _variant(
    source: Source, variant: str, names: tuple[str, ...], table: toml.Table, override: toml.Table
) -> tuple[Framework, list[ConfigError]]:
    say = _said(source, variant, override)
    known = frozenset(Framework.__dataclass_fields__) - _OWN_FIELDS
    reader = Reader(source.path, say)
    for own in sorted(_OWN_FIELDS & table.keys()):
        reader.mistakes.append(toml.unknown_key(source.path, say(own), known))
    full = table | {"name": source.name, "variant": variant, "variants": list(names), "rules": ""}
    framework = reader.record(Framework, full, hidden=_OWN_FIELDS, further=_FILE_KEYS)
    if not reader.mistakes:
        reader.mistakes += [
            ConfigError(f"{source.path}: '{say(key)}' {problem}") for key, problem in problems(framework)
        ]
    return framework, reader.mistakes


def _said(source: Source, variant: str, override: toml.Table) -> Callable[[str], str]:
    """Return what gives a key of a variant as it stands in the file."""
    return lambda key: source.key(f"variants.{variant}.{key}" if _written(override, key) else key)


def _written(table: object, key: str) -> bool:
    """Say whether the dotted `key` stands in `table`; of a list, all items do."""
    for part in key.split("."):
        name = part.partition("[")[0]
        if not isinstance(table, dict) or name not in table:
            return False
        table = table[name]
        if isinstance(table, list):
            return True
    return True
