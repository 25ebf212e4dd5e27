"""`devcontainer-feature.json`: what a Feature says about itself."""

from __future__ import annotations

import re
from dataclasses import field
from typing import TYPE_CHECKING

from devbox.devcontainer import jsonc
from devbox.devcontainer.properties import (
    BOOLEAN,
    COMMAND,
    MOUNTS,
    OBJECT,
    STRING,
    STRING_MAP,
    STRINGS,
    Type,
    migrated,
)
from devbox.errors import ContractError
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from devbox.devcontainer.features.ids import Value
    from devbox.devcontainer.jsonc import JSON

_ID = re.compile(r"[a-zA-Z0-9_-][a-zA-Z0-9._-]*", re.ASCII)
_VARIABLE = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)
FILE_NAME = "devcontainer-feature.json"
SCRIPT = "install.sh"

# What of a Feature goes into the label `devcontainer.metadata`, in the reference's order. containerEnv becomes ENV.
_LABELLED: dict[str, Type] = {
    "onCreateCommand": COMMAND,
    "updateContentCommand": COMMAND,
    "postCreateCommand": COMMAND,
    "postStartCommand": COMMAND,
    "postAttachCommand": COMMAND,
    "init": BOOLEAN,
    "privileged": BOOLEAN,
    "capAdd": STRINGS,
    "securityOpt": STRINGS,
    "entrypoint": STRING,
    "mounts": MOUNTS,
    "customizations": OBJECT,
}
_TYPES: dict[str, Type] = {
    **_LABELLED,
    "id": STRING,
    "version": STRING,
    "name": STRING,
    "description": STRING,
    "documentationURL": STRING,
    "options": OBJECT,
    "containerEnv": STRING_MAP,
    "dependsOn": OBJECT,
    "installsAfter": STRINGS,
    "legacyIds": STRINGS,
    "deprecated": BOOLEAN,
    "extensions": STRINGS,
    "settings": OBJECT,
}
# A Feature's `devPort` was never read.
_OLD = frozenset({"extensions", "settings"})


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a Feature says about itself. `raw` is the whole of it; `aliases` its present id and those it had before."""

    id: str
    version: str
    name: str
    documentation: str
    options: Mapping[str, JSON] = field(hash=False)
    container_env: tuple[tuple[str, str], ...]
    depends_on: Mapping[str, Value] = field(hash=False)
    installs_after: tuple[str, ...]
    aliases: tuple[str, ...]
    deprecated: bool
    raw: JSON = field(hash=False)

    def entry(self, identifier: str) -> JSON:
        """Return the Feature's entry in the label `devcontainer.metadata`; `identifier` is how it was asked for."""
        return {"id": identifier, **{key: self.raw[key] for key in _LABELLED if key in self.raw}}


def read(text: str, path: Path, *, published: str | None = None) -> Metadata:
    """Read the text of a `devcontainer-feature.json`; `path` is what errors name.

    `published` is the same as its publisher wrote it into the registry, which has the last word. Raises ContractError
    where a property has another type than the specification says.
    """
    raw: JSON = jsonc.loads(text, path)
    if published:
        raw = {**raw, **jsonc.loads(published, path)}
    for key, expected in _TYPES.items():
        if key in raw and not expected.accepts(raw[key]):
            raise ContractError(f"{path}: '{key}' must be {expected.name}")
    if not _ID.fullmatch(raw.get("id", "")):
        raise ContractError(f"{path}: a Feature must have an 'id' of letters, digits, '-', '_' and '.'")
    for name, option in raw.get("options", {}).items():
        if not isinstance(option, dict):
            raise ContractError(f"{path}: the option '{name}' must be an object")
    for name, value in raw.get("containerEnv", {}).items():
        if not isinstance(value, str) or "\n" in value or not _VARIABLE.fullmatch(name):
            raise ContractError(f"{path}: the variable '{name}' of 'containerEnv' must be a name with a line of text")
    for name, value in raw.get("dependsOn", {}).items():
        if not isinstance(value, (str, bool, dict)):
            raise ContractError(f"{path}: the options of '{name}' in 'dependsOn' must be an object")
    raw = migrated(raw, _OLD)
    current = str(raw.get("currentId") or raw["id"])
    legacy = tuple(raw.get("legacyIds", ()))
    return Metadata(
        id=raw["id"],
        version=raw.get("version", ""),
        name=raw.get("name") or raw["id"],
        documentation=raw.get("documentationURL", ""),
        options=raw.get("options", {}),
        container_env=tuple(raw.get("containerEnv", {}).items()),
        depends_on=raw.get("dependsOn", {}),
        installs_after=tuple(raw.get("installsAfter", ())),
        aliases=tuple(dict.fromkeys((current, *legacy, raw["id"]))),
        deprecated=bool(raw.get("deprecated")),
        raw=raw,
    )
