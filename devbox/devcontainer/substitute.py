"""Variables of a devcontainer.json: `${localEnv:HOME}` and its kin, in the reference's three phases.

Phase one happens when the file is read (host environment and folders), phase two when the container's labels are
known (`${devcontainerId}`), phase three when the container runs (`${containerEnv:…}`). A variable that a phase does
not know stays as it is written, and so waits for the next phase. Only string values are touched, never keys, and what
was put in is not looked at again.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Any, overload

from devbox.errors import ContractError
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from devbox.devcontainer.jsonc import JSON
    from devbox.devcontainer.properties import Keys

    # Takes the text as written, the variable's name and its arguments; returns what goes in its place.
    Lookup = Callable[[str, str, list[str]], str]

# JavaScript's `.`, which the reference uses, stops at all four line terminators; Python's only at the first.
_VARIABLE = re.compile("\\$\\{([^\n\r\u2028\u2029]*?)\\}")


# The properties of a contract that are nothing without a value.
_NEEDED = frozenset(
    {"image", "dockerFile", "context", "dockerComposeFile", "service", "mounts", "workspaceMount", "workspaceFolder",
     "remoteUser", "containerUser", "appPort"}
)  # fmt: skip
# A word of `runArgs` that sets a variable, by itself or behind `-e`.
_ENV_WORD = re.compile(r"-e|--env|--build-arg|(?!(?:src|source)=)\w+=\$\{")


@dataclass(frozen=True, slots=True)
class HostVariables:
    """Phase one: the host's environment and the two folders.

    `container_workspace_folder` may itself hold variables of this phase; it is resolved first.
    """

    environ: Mapping[str, str]
    local_workspace_folder: str | None = None
    container_workspace_folder: str | None = None

    def lookup(self) -> Lookup:
        """Return the function that resolves one variable."""
        written = self.container_workspace_folder
        folder = None if written is None else _text(written, lambda *found: self._resolve(written, *found))
        return lambda *found: self._resolve(folder, *found)

    def _resolve(self, container_folder: str | None, match: str, name: str, arguments: list[str]) -> str:
        if name in {"env", "localEnv"}:
            return _from_environment(self.environ, match, arguments)
        local = self.local_workspace_folder
        values = {
            "localWorkspaceFolder": local,
            "localWorkspaceFolderBasename": None if local is None else posixpath.basename(local.rstrip("/")),
            "containerWorkspaceFolder": container_folder,
            "containerWorkspaceFolderBasename": (
                None if container_folder is None else posixpath.basename(container_folder.rstrip("/"))
            ),
        }
        value = values.get(name)
        return match if value is None else value


@dataclass(frozen=True, slots=True)
class IdVariables:
    """Phase two: the id of the dev container, known once its labels are."""

    devcontainer_id: str

    def lookup(self) -> Lookup:
        """Return the function that resolves one variable."""
        return lambda match, name, _: self.devcontainer_id if name == "devcontainerId" else match


@dataclass(frozen=True, slots=True)
class ContainerVariables:
    """Phase three: the environment that the running container was created with (`.Config.Env` of docker inspect)."""

    environ: Mapping[str, str]

    def lookup(self) -> Lookup:
        """Return the function that resolves one variable."""
        return lambda match, name, arguments: (
            _from_environment(self.environ, match, arguments) if name == "containerEnv" else match
        )


Variables = HostVariables | IdVariables | ContainerVariables


@overload
def substitute(value: str, variables: Variables) -> str: ...
@overload
def substitute(value: JSON, variables: Variables) -> JSON: ...
@overload
def substitute(value: Any, variables: Variables) -> Any: ...
def substitute(value: Any, variables: Variables) -> Any:
    """Return `value` with the variables of one phase replaced in every string in it; keys stay as they are.

    An unset variable without a default becomes the empty string. The default ends at the next colon:
    `${localEnv:X:a:b}` is `a`. Raises ContractError for an environment variable without a name (`${localEnv}`).
    """
    return _walk(value, variables.lookup())


def doubts(value: Any, environ: Mapping[str, str], keys: Keys = ()) -> Iterator[tuple[Keys, str]]:
    """Yield, with the keys that lead there, what a person may not have meant by the variables in `value`.

    That is a default that ends early, and a variable of the host that is not set where nothing can be made of that.
    """
    if isinstance(value, (dict, list)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if not _is_plain(item):
                yield from doubts(item, environ, (*keys, key))
    elif isinstance(value, str):
        for match in _VARIABLE.finditer(value):
            kind, *arguments = match[1].split(":")
            if kind not in {"env", "localEnv", "containerEnv"} or not arguments:
                continue
            host = kind != "containerEnv"
            if host and environ.get(arguments[0]):
                continue
            if len(arguments) > 2:
                yield keys, f"the default in {match[0]} ends at its colon: it is '{arguments[1]}'"
            elif len(arguments) == 1 and host and _needed(keys, value):
                yield keys, f"{arguments[0]} is not set on this machine, so {match[0]} is empty"


def _is_plain(value: object) -> bool:
    """Tell whether a value is a text without a variable, as most are."""
    return isinstance(value, str) and "${" not in value


def _needed(keys: Keys, value: str) -> bool:
    """Tell whether a value is none without its variables: a place, an image, a user. Variables may well be empty."""
    if keys[0] == "runArgs":
        return _ENV_WORD.match(value) is None
    return keys[0] in _NEEDED or (keys[0] == "build" and keys[1] in {"dockerfile", "context", "target"})


def _walk(value: Any, lookup: Lookup) -> Any:
    if isinstance(value, str):
        return _text(value, lookup)
    if isinstance(value, (list, tuple)):
        return type(value)(_walk(item, lookup) for item in value)
    if isinstance(value, dict):
        return {key: item if _is_plain(item) else _walk(item, lookup) for key, item in value.items()}
    return value


def _text(text: str, lookup: Lookup) -> str:
    def replace(match: re.Match[str]) -> str:
        name, *arguments = match.group(1).split(":")
        return lookup(match.group(), name, arguments)

    return _VARIABLE.sub(replace, text) if "${" in text else text


def _from_environment(environ: Mapping[str, str], match: str, arguments: list[str]) -> str:
    if not arguments:
        raise ContractError(
            f"'{match}' names no environment variable", hint="write ${localEnv:NAME} or ${localEnv:NAME:default}"
        )
    name, *default = arguments
    return environ.get(name, default[0] if default else "")
