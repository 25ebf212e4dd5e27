"""TOML files that people write: read with errors that name the file, the key and the nearest key that exists."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from devbox.errors import ConfigError
from devbox.lean import stored

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

Table = dict[str, Any]


def read(path: Path) -> Table:
    """Return the content of the TOML file `path`.

    Raises ConfigError, naming the file and the line, if it is no TOML or cannot be read; FileNotFoundError if it is not
    there.
    """
    try:
        text = stored(path).decode("utf-8")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text") from None
    # Most checkouts have no such file, and pay nothing.
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from None


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the one of `known` that `word` most likely meant, or None if none is near."""
    return next(iter(difflib.get_close_matches(word, sorted(known), n=1)), None)


def unknown_key(path: object, key: str, known: Iterable[str]) -> ConfigError:
    """Return the error for a key that the file `path` may not have; `key` is dotted ("build.driver")."""
    prefix, _, last = key.rpartition(".")
    names = sorted(known)
    near = nearest(last, names)
    if near is not None:
        hint = f"did you mean '{prefix}.{near}'?" if prefix else f"did you mean '{near}'?"
    else:
        hint = f"the keys are: {', '.join(names)}"
    return ConfigError(f"{path}: there is no key '{key}'", hint=hint)


def wrong_type(path: object, key: str, expected: str, value: object) -> ConfigError:
    """Return the error for a value of the wrong type; `expected` is in words ("a string")."""
    return ConfigError(f"{path}: '{key}' must be {expected}, not {_in_words(value)}")


def _in_words(value: object) -> str:
    if isinstance(value, bool):
        return f"the boolean {str(value).lower()}"
    if isinstance(value, (int, float)):
        return f"the number {value}"
    if isinstance(value, str):
        return f"'{value}'"
    names = {list: "a list", dict: "a table", type(None): "nothing"}
    return names.get(type(value), f"a {type(value).__name__}")
