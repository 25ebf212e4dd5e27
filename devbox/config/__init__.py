"""Settings: what a person has chosen, in layers, each value with the place it came from.

Weakest first: built-in defaults, the user's config.toml, devbox.toml and devbox.local.toml of the workspace, the tables
of the user's config.toml that are for this workspace, DEVBOX_* variables, flags. Framework files hold no settings; they
say what a framework is.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from devbox import toml
from devbox.config import kinds
from devbox.config.table import TABLE, Settings
from devbox.errors import ConfigError, UsageError
from devbox.paths import config_dir, expanded

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["TABLE", "Layer", "Settings", "layers", "load", "read"]

# A table of a checkout's files that holds no settings: `devbox.frameworks.sources` reads it.
_FRAMEWORKS = "frameworks"
# A table of the user's file, of tables for workspaces by their paths.
_WORKSPACE = "workspace"
_OWN_FILE = "config.toml"
# The files of a checkout: whoever can write into it can write them.
_SHARED, _LOCAL = "devbox.toml", "devbox.local.toml"


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
    own = own_file() if personal else None
    if own is not None:
        yield from _of_file(own)
    if workspace is not None:
        yield from _of_file(workspace / _SHARED)
        if own is not None:
            yield from _of_file(workspace / _LOCAL)
            yield from _of_workspace(own, workspace)
    for key, setting in TABLE.items():
        # An empty variable is how a shell or a CI file says "not set".
        if text := environ.get(setting.variable):
            yield Layer(key, read(key, text, setting.variable), setting.variable)
    for key, given in flags.items():
        if key not in TABLE:
            raise toml.unknown_key(f"--{key.replace('_', '-')}", key, TABLE)
        if given is not None:
            yield Layer(key, read(key, given, TABLE[key].flag), TABLE[key].flag)


def context_for(workspace: Path | None, environ: Mapping[str, str]) -> str | None:
    """Return the docker context that the person has set for `workspace`, or for all; None where docker's choice holds.

    What the environment says to docker comes first. No file of a checkout counts, and it may not say one. Raises as
    `load` does.
    """
    if environ.get("DOCKER_HOST") or environ.get("DOCKER_CONTEXT"):
        return None
    return environ.get(TABLE["context"].variable) or own("context", workspace)


def own(key: str, workspace: Path | None) -> str | None:
    """Return what the person has set for `workspace`, or for all, in files of the own: none of a checkout counts."""
    file = own_file()
    found = [*_of_file(file), *(_of_workspace(file, workspace) if workspace is not None else ())]
    said = [one.value for one in found if one.key == key]
    return str(said[-1]) if said else None


def place_for(workspace: Path | None, environ: Mapping[str, str]) -> dict[str, str]:
    """Return where the person has set that the containers of `workspace` run, and whose they are, as variables.

    Those that `environ` has are left out. Raises as `load` does.
    """
    keys = [key for key in ("on", "kubernetes_owner") if not environ.get(TABLE[key].variable)]
    return {TABLE[key].variable: said for key in keys if (said := own(key, workspace)) is not None}


def own_file() -> Path:
    """Return the file of the user's own settings."""
    return config_dir() / _OWN_FILE


def is_checkouts(origin: str, workspace: Path) -> bool:
    """Tell whether a setting comes from a file that lies in the checkout."""
    return origin in {str(workspace / _SHARED), str(workspace / _LOCAL)}


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
        if isinstance(given, dict) and key not in TABLE and any(known.startswith(f"{key}_") for known in TABLE):
            yield from ((f"{key}_{inner}", value) for inner, value in given.items())
        else:
            yield key, given


def _of_file(path: Path) -> Iterator[Layer]:
    table = _table(path)
    own = path.name == _OWN_FILE
    for key, given in _flat(table):
        if key == (_WORKSPACE if own else _FRAMEWORKS):
            continue
        if key not in TABLE:
            raise toml.unknown_key(path, key, (*TABLE, _WORKSPACE) if own else TABLE)
        value = read(key, given, path, path.parent)
        checkouts = TABLE[key].checkouts
        if checkouts.how == "refused" and not own and (why := checkouts.why(value, {})) is not None:
            raise ConfigError(
                f"{path}: '{key}' {why}, and a container can write this file",
                hint=f"devbox up {TABLE[key].flag} …   # or {key} in {own_file()}",
            )
        if not own and (names := kinds.secrets_of_host(TABLE[key].kind.write(value))):
            raise ConfigError(
                f"{path}: '{key}' takes {', '.join(names)} of the host, and a container can write this file",
                hint=f"write it into {own_file()}",
            )
        yield Layer(key, value, str(path))


def _of_workspace(path: Path, workspace: Path) -> Iterator[Layer]:
    """Yield what the user's file says of this workspace alone; of several tables that mean it, the last one counts."""
    tables = _table(path).get(_WORKSPACE, {})
    if not isinstance(tables, dict):
        raise toml.wrong_type(path, _WORKSPACE, "a table of tables, by the path of a workspace", tables)
    for pattern, table in tables.items():
        origin = f'{path} [{_WORKSPACE}."{pattern}"]'
        if not isinstance(table, dict):
            raise toml.wrong_type(path, f"{_WORKSPACE}.{pattern}", "a table", table)
        means = _means(pattern, workspace)
        for key, given in _flat(table):
            if key not in TABLE:
                raise toml.unknown_key(origin, key, TABLE)
            value = read(key, given, origin, path.parent)
            if means:
                yield Layer(key, value, origin)


def _means(pattern: str, workspace: Path) -> bool:
    """Tell whether a path, in which `*` stands for any part, means the workspace, by its name or what that leads to."""
    import fnmatch
    import os

    wanted = str(expanded(pattern))
    return any(fnmatch.fnmatchcase(name, wanted) for name in (str(workspace), os.path.realpath(workspace)))


def _table(path: Path) -> toml.Table:
    try:
        return toml.read(path)
    except FileNotFoundError:
        return {}
