"""The properties of a devcontainer.json and the type of each: the specification's reference page as a table.

Source: the reference page of the specification, https://containers.dev/implementors/json_reference/, its JSON schema,
and what the reference CLI accepts beyond it.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any, Final

from devbox.errors import ContractError
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from devbox.devcontainer.jsonc import JSON

    # The keys and indices that lead to a value, and the place of that value in the file, as a person reads it.
    Keys = tuple[str | int, ...]
    Where = Callable[[Keys], str]


@dataclass(frozen=True, slots=True)
class Type:
    """A type as a person would name it, and the check of a value.

    Of an object, `keys` are those that it may have, `values` the type of each value where its keys are free. `text`:
    numbers and booleans stand for their text, as they do for the reference. `advisory`: devbox can do without the
    value, so a wrong one is a warning and is left out.
    """

    name: str
    accepts: Callable[[Any], bool]
    keys: Mapping[str, Type] | None = None
    values: Type | None = None
    text: bool = False
    advisory: bool = False


def _one_of(*words: str, advisory: bool = False) -> Type:
    return Type(f"one of {', '.join(words)}", lambda value: value in words, advisory=advisory)


def _integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _object(value: Any) -> bool:
    return isinstance(value, dict)


def _strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _command(value: Any) -> bool:
    simple = (str, list)
    if isinstance(value, dict):
        return all(item is None or (isinstance(item, simple) and _command(item)) for item in value.values())
    return isinstance(value, str) or _strings(value)


def _mount(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(item, str) for item in value.values()) and {"type", "target"} <= value.keys()
    return isinstance(value, str)


def _port(value: Any) -> bool:
    return isinstance(value, str) or (_integer(value) and 0 <= value <= 65535)


def _ports(value: Any) -> bool:
    return isinstance(value, list) and all(_port(item) for item in value)


def _size(value: Any) -> bool:
    return isinstance(value, str) and SIZE.fullmatch(value) is not None


# The schema's pattern: lower case only.
SIZE: Final = re.compile(r"(\d{1,15})([tgmk]b)?", re.ASCII)

STRING = Type("a string", lambda value: isinstance(value, str))
TEXT = Type("a string", lambda value: isinstance(value, str), text=True)
BOOLEAN = Type("true or false", lambda value: isinstance(value, bool))
OBJECT = Type("an object", _object)
STRINGS = Type("a list of strings", _strings)
STRING_OR_STRINGS = Type("a string or a list of strings", lambda value: isinstance(value, str) or _strings(value))
STRING_MAP = Type("an object with string values", _object, values=TEXT)
NULLABLE_STRING_MAP = Type(
    "an object whose values are strings or null",
    _object,
    values=Type("a string or null", lambda value: value is None or isinstance(value, str), text=True),
)
COMMAND = Type("a string, a list of strings, or an object of these", _command)
MOUNTS = Type(
    "a list whose items are strings or objects with type, source and target",
    lambda value: isinstance(value, list) and all(_mount(item) for item in value),
)
PORTS = Type("a list of port numbers and strings", _ports)
APP_PORT = Type("a port number, a string, or a list of these", lambda value: _port(value) or _ports(value))
SIZED = Type("a size in lower case, such as 8gb", _size, advisory=True)
COUNT = Type("a whole number of at least 1", lambda value: _integer(value) and value >= 1, advisory=True)

_NOTE = Type("a string", STRING.accepts, advisory=True)
_SWITCH = Type("true or false", BOOLEAN.accepts, advisory=True)
PORT_ATTRIBUTES = Type(
    "an object",
    _object,
    keys={
        "label": _NOTE,
        "protocol": _one_of("http", "https", advisory=True),
        "onAutoForward": _one_of(
            "notify", "openBrowser", "openBrowserOnce", "openPreview", "silent", "ignore", advisory=True
        ),
        "requireLocalPort": _SWITCH,
        "elevateIfNeeded": _SWITCH,
    },
    advisory=True,
)
BUILD = Type(
    "an object",
    _object,
    keys={
        "dockerfile": STRING,
        "context": STRING,
        "args": STRING_MAP,
        "options": STRINGS,
        "target": STRING,
        "cacheFrom": STRING_OR_STRINGS,
    },
)
HOST_REQUIREMENTS = Type(
    "an object",
    _object,
    keys={
        "cpus": COUNT,
        "memory": SIZED,
        "storage": SIZED,
        "gpu": Type(
            'true, false, "optional", or an object with cores and memory',
            lambda value: isinstance(value, (bool, dict)) or value == "optional",
            keys={"cores": COUNT, "memory": SIZED},
            advisory=True,
        ),
    },
)
SECRETS = Type(
    "an object",
    _object,
    values=Type("an object", _object, keys={"description": _NOTE, "documentationUrl": _NOTE}, advisory=True),
)
FEATURES = Type(
    "an object",
    _object,
    values=Type("a string, true or false, or an object of options", lambda value: isinstance(value, (str, bool, dict))),
)

LIFECYCLE: Final = (
    "initializeCommand",
    "onCreateCommand",
    "updateContentCommand",
    "postCreateCommand",
    "postStartCommand",
    "postAttachCommand",
)

# What stood at the top once, and is VS Code's own now.
OLD_OF_VSCODE: Final = frozenset({"extensions", "settings", "devPort"})

# In the order of the specification's reference page; what devbox writes keeps this order.
PROPERTIES: Final[Mapping[str, Type]] = {
    "name": STRING,
    "forwardPorts": PORTS,
    "portsAttributes": Type("an object", _object, values=PORT_ATTRIBUTES),
    "otherPortsAttributes": PORT_ATTRIBUTES,
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
    "features": FEATURES,
    "overrideFeatureInstallOrder": STRINGS,
    "customizations": OBJECT,
    "image": STRING,
    "build": BUILD,
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
    "hostRequirements": HOST_REQUIREMENTS,
    "secrets": SECRETS,
    # Older names that the reference still reads.
    "dockerFile": STRING,
    "context": STRING,
    "extensions": STRINGS,
    "settings": OBJECT,
    "devPort": Type("a port number", _integer),
    "$schema": STRING,
}

# What an image's metadata may hold: the same types, and what a Feature adds.
METADATA: Final[Mapping[str, Type]] = {**PROPERTIES, "entrypoint": STRING, "id": STRING}


def check(config: JSON, path: Path, where: Where | None = None) -> tuple[JSON, tuple[str, ...]]:
    """Check the type of each property; return what of it counts, and warnings.

    A warning names a key that no tool knows with the nearest known one, or a value that is left out. `where` says where
    in the file a value stands (the file's path by default). Raises ContractError for a value of another type, naming
    the place, the key and what is expected.
    """
    found = _Check(where or (lambda _: str(path)), path)
    return found.object(config, PROPERTIES, ()), tuple(found.warnings)


def usable(entry: JSON) -> JSON:
    """Return what of an entry of an image's metadata has the type that it should have.

    Nobody who uses the image can mend it, so what is wrong in it is left out, as if it were not written.
    """
    kept: JSON = {}
    for key, value in entry.items():
        try:
            checked = _Check(lambda _: "", None).value(value, METADATA[key], (key,)) if key in METADATA else value
        except ContractError:
            continue
        if checked is not None:
            kept[key] = checked
    return kept


class _Check:
    """One check under way: what is found on the way is collected."""

    def __init__(self, where: Where, path: Path | None) -> None:
        self.where = where
        self.path = path
        self.warnings: list[str] = []

    def object(self, value: JSON, types: Mapping[str, Type], at: Keys) -> JSON:
        """Return an object without what does not count. `types` are the keys that it may have."""
        kept: JSON = {}
        for key, item in value.items():
            expected = types.get(key)
            if expected is None:
                self.unknown((*at, key), types)
                kept[key] = item
            elif (checked := self.value(item, expected, (*at, key))) is not None:
                kept[key] = checked
        return kept

    def value(self, value: Any, expected: Type, at: Keys) -> Any:
        """Return a value as it counts; None where it does not."""
        name = _name(at)
        if expected.text and isinstance(value, (bool, int, float)):
            text = _javascript(value)
            self.warnings.append(f"{self.where(at)}: '{name}' should be a string; it is taken as \"{text}\"")
            return text
        if value is None and len(at) == 1:
            self.warnings.append(f"{self.where(at)}: '{name}' is null, which says nothing")
            return None
        if not expected.accepts(value):
            problem = f"{self.where(at)}: '{name}' must be {expected.name}"
            if not expected.advisory:
                raise ContractError(problem, hint=f"edit {self.path}" if self.path else None)
            self.warnings.append(f"{problem}; what is there now does nothing")
            return None
        if isinstance(value, dict) and expected.keys is not None:
            return self.object(value, expected.keys, at)
        if isinstance(value, dict) and expected.values is not None:
            return self.items(value, expected.values, at)
        return value

    def items(self, value: JSON, each: Type, at: Keys) -> JSON:
        """Return an object with free keys without those values that do not count."""
        kept: JSON = {}
        for key, item in value.items():
            checked = self.value(item, each, (*at, key))
            if checked is not None or (item is None and each.accepts(None)):
                kept[key] = checked
        return kept

    def unknown(self, at: Keys, types: Mapping[str, Type]) -> None:
        """Warn about a key that no tool knows."""
        name = _name(at)
        nearest = difflib.get_close_matches(str(at[-1]), types, 1)
        guess = f"; did you mean '{_name((*at[:-1], nearest[0]))}'?" if nearest else ""
        self.warnings.append(f"{self.where(at)}: '{name}' is no property of devcontainer.json and does nothing{guess}")


def _name(at: Keys) -> str:
    return ".".join(str(key) for key in at)


def _javascript(value: float) -> str:
    """Return the text of a scalar as the reference, which is JavaScript, would put it on a command line."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() and abs(value) < 1e21 else str(value)


def migrated(raw: JSON, old: frozenset[str] = OLD_OF_VSCODE) -> JSON:
    """Move VS Code's `old` top-level properties to where they belong now, as the reference does."""
    moved = {key: raw[key] for key in raw if key in old and (raw[key] or key == "devPort")}
    if not moved:
        return raw
    kept = {key: value for key, value in raw.items() if key not in old}
    customizations = dict(raw.get("customizations", {}))
    # Customizations are free in form, so what is of another form than these is the newer one, and wins.
    vscode = customizations.get("vscode", {})
    if not isinstance(vscode, dict):
        return {**kept, "customizations": customizations}
    vscode = dict(vscode)
    if "extensions" in moved and isinstance(vscode.get("extensions", []), list):
        vscode["extensions"] = [*vscode.get("extensions", []), *moved["extensions"]]
    if "settings" in moved and isinstance(vscode.get("settings", {}), dict):
        vscode["settings"] = {**moved["settings"], **vscode.get("settings", {})}
    if "devPort" in moved:
        vscode.setdefault("devPort", moved["devPort"])
    return {**kept, "customizations": {**customizations, "vscode": vscode}}
