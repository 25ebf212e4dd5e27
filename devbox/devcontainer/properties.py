"""The properties of a devcontainer.json and the type of each: the specification's reference page as a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from devbox.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from devbox.devcontainer.model import JSON


@dataclass(frozen=True, slots=True)
class Type:
    """A type as a person would name it, and the check of a value."""

    name: str
    accepts: Callable[[Any], bool]


def _one_of(*words: str) -> Type:
    return Type(f"one of {', '.join(words)}", lambda value: value in words)


def _integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _command(value: Any) -> bool:
    simple = (str, list)
    if isinstance(value, dict):
        return all(isinstance(item, simple) and _command(item) for item in value.values())
    return isinstance(value, str) or _strings(value)


def _mount(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(item, str) for item in value.values()) and {"type", "target"} <= value.keys()
    return isinstance(value, str)


STRING = Type("a string", lambda value: isinstance(value, str))
BOOLEAN = Type("true or false", lambda value: isinstance(value, bool))
OBJECT = Type("an object", lambda value: isinstance(value, dict))
STRINGS = Type("a list of strings", _strings)
STRING_OR_STRINGS = Type("a string or a list of strings", lambda value: isinstance(value, str) or _strings(value))
STRING_MAP = Type(
    "an object with string values",
    lambda value: isinstance(value, dict) and all(isinstance(item, str) for item in value.values()),
)
NULLABLE_STRING_MAP = Type(
    "an object whose values are strings or null",
    lambda value: isinstance(value, dict) and all(item is None or isinstance(item, str) for item in value.values()),
)
COMMAND = Type("a string, a list of strings, or an object of these", _command)
MOUNTS = Type(
    "a list whose items are strings or objects with type, source and target",
    lambda value: isinstance(value, list) and all(_mount(item) for item in value),
)
PORTS = Type(
    "a list of port numbers and strings",
    lambda value: isinstance(value, list) and all(_integer(item) or isinstance(item, str) for item in value),
)
APP_PORT = Type(
    "a port number, a string, or a list of these",
    lambda value: _integer(value) or isinstance(value, str) or PORTS.accepts(value),
)

LIFECYCLE: Final = (
    "initializeCommand",
    "onCreateCommand",
    "updateContentCommand",
    "postCreateCommand",
    "postStartCommand",
    "postAttachCommand",
)

# In the order of the specification's reference page; what devbox writes keeps this order.
PROPERTIES: Final[Mapping[str, Type]] = {
    "name": STRING,
    "forwardPorts": PORTS,
    "portsAttributes": OBJECT,
    "otherPortsAttributes": OBJECT,
    "containerEnv": STRING_MAP,
    "remoteEnv": NULLABLE_STRING_MAP,
    "remoteUser": STRING,
    "containerUser": STRING,
    "updateRemoteUserUID": BOOLEAN,
    "userEnvProbe": _one_of("none", "loginShell", "loginInteractiveShell", "interactiveShell"),
    "overrideCommand": BOOLEAN,
    "shutdownAction": _one_of("none", "stopContainer", "stopCompose"),
    "init": BOOLEAN,
    "privileged": BOOLEAN,
    "capAdd": STRINGS,
    "securityOpt": STRINGS,
    "mounts": MOUNTS,
    "features": OBJECT,
    "overrideFeatureInstallOrder": STRINGS,
    "customizations": OBJECT,
    "image": STRING,
    "build": OBJECT,
    "appPort": APP_PORT,
    "workspaceMount": STRING,
    "workspaceFolder": STRING,
    "runArgs": STRINGS,
    "dockerComposeFile": STRING_OR_STRINGS,
    "service": STRING,
    "runServices": STRINGS,
    "initializeCommand": COMMAND,
    "onCreateCommand": COMMAND,
    "updateContentCommand": COMMAND,
    "postCreateCommand": COMMAND,
    "postStartCommand": COMMAND,
    "postAttachCommand": COMMAND,
    "waitFor": _one_of(*LIFECYCLE[:-1]),
    "hostRequirements": OBJECT,
    "secrets": OBJECT,
    # Older names that the reference still reads.
    "dockerFile": STRING,
    "context": STRING,
    "extensions": STRINGS,
    "settings": OBJECT,
    "devPort": Type("a port number", _integer),
    "$schema": STRING,
}

BUILD: Final[Mapping[str, Type]] = {
    "dockerfile": STRING,
    "context": STRING,
    "args": STRING_MAP,
    "options": STRINGS,
    "target": STRING,
    "cacheFrom": STRING_OR_STRINGS,
}


def check(config: JSON, path: Path) -> tuple[str, ...]:
    """Check the type of each property; return warnings about keys that no tool knows, with the nearest known one.

    Raises ContractError for a value of another type, naming the file, the key and what is expected.
    """
    warnings = _check(config, PROPERTIES, path, "")
    if "build" in config:
        warnings += _check(config["build"], BUILD, path, "build.")
    return tuple(warnings)


def _check(config: JSON, types: Mapping[str, Type], path: Path, prefix: str) -> list[str]:
    warnings = []
    for key, value in config.items():
        expected = types.get(key)
        if expected is None:
            import difflib

            nearest = difflib.get_close_matches(key, types, 1)
            guess = f"; did you mean '{prefix}{nearest[0]}'?" if nearest else ""
            warnings.append(f"{path}: '{prefix}{key}' is no property of devcontainer.json and does nothing{guess}")
        elif not expected.accepts(value):
            raise ContractError(f"{path}: '{prefix}{key}' must be {expected.name}", hint=f"edit {path}")
    return warnings
