"""Settings: what a person has chosen, in layers, each value with the place it came from.

Weakest first: built-in defaults, the user's config.toml, devbox.toml and devbox.local.toml of the workspace, DEVBOX_*
variables, flags. Framework files hold no settings; they say what a framework is.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from devbox import toml
from devbox.config.table import TABLE, Settings
from devbox.errors import ConfigError, UsageError
from devbox.paths import config_dir

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["TABLE", "Layer", "Settings", "layers", "load", "read"]

# A table of a checkout's files that holds no settings: `devbox.frameworks.sources` reads it.
_FRAMEWORKS = "frameworks"
_OWN_FILE = "config.toml"


class Layer(NamedTuple):
    """A value that a setting is given somewhere, and the place: a file, a variable or a flag."""

    key: str
    value: Any
    origin: str


def load(
    workspace: Path | None, *, environ: Mapping[str, str], flags: Mapping[str, object], personal: bool = True
) -> Settings:
    """Return the settings for `workspace` (None: no workspace, so no file of it).

    `flags` maps keys to what was typed, to the items of a list; None means that the flag was not given. Without
    `personal` the files of one person alone are left out. Raises ConfigError for a file with an unknown key or a wrong
    type, UsageError for a value that makes no sense, wherever it stands.
    """
    found = {one.key: one for one in layers(workspace, environ=environ, flags=flags, personal=personal)}
    values = {key: one.value for key, one in found.items()}
    return Settings(**values, origins=tuple((key, one.origin) for key, one in found.items()))


def layers(
    workspace: Path | None, *, environ: Mapping[str, str], flags: Mapping[str, object], personal: bool = True
) -> Iterator[Layer]:
    """Yield every setting that is made anywhere, weakest first. Raises as `load` does."""
    paths = [config_dir() / _OWN_FILE] if personal else []
    if workspace is not None:
        paths += [workspace / "devbox.toml", *([workspace / "devbox.local.toml"] if personal else [])]
    for path in paths:
        yield from _of_file(path)
    for key, setting in TABLE.items():
        # An empty variable is how a shell or a CI file says "not set".
        if text := environ.get(setting.variable):
            yield Layer(key, read(key, text, setting.variable), setting.variable)
    for key, given in flags.items():
        if key not in TABLE:
            raise toml.unknown_key(f"--{key.replace('_', '-')}", key, TABLE)
        if given is not None:
            yield Layer(key, read(key, given, TABLE[key].flag), TABLE[key].flag)


def read(key: str, given: object, origin: object, folder: Path | None = None) -> Any:
    """Return the value of a setting from what was written for it in `origin`; paths are relative to `folder`, or here.

    Raises ConfigError for a wrong type, UsageError where it makes no sense.
    """
    kind = TABLE[key].kind
    try:
        return kind.read(given, folder or Path.cwd())
    except TypeError:
        raise toml.wrong_type(origin, key, kind.words, given) from None
    except UsageError as error:
        raise UsageError(f"{origin}: {error.message}", hint=error.hint) from None


def _flat(table: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield keys and values of a file; `[devcontainer] trust` is another way to write `devcontainer_trust`."""
    for key, given in table.items():
        if isinstance(given, dict) and any(known.startswith(f"{key}_") for known in TABLE):
            yield from ((f"{key}_{inner}", value) for inner, value in given.items())
        else:
            yield key, given


def _of_file(path: Path) -> Iterator[Layer]:
    try:
        table = toml.read(path)
    except FileNotFoundError:
        return
    own = path.name == _OWN_FILE
    for key, given in _flat(table):
        if key == _FRAMEWORKS and not own:
            continue
        if key not in TABLE:
            raise toml.unknown_key(path, key, TABLE)
        value = read(key, given, path, path.parent)
        reach = TABLE[key].reach
        if reach is not None and not own and (why := reach(value)) is not None:
            raise ConfigError(
                f"{path}: '{key}' {why}, and a container can write this file",
                hint=f"devbox up {TABLE[key].flag} …   # or {key} in {config_dir() / _OWN_FILE}",
            )
        yield Layer(key, value, str(path))
