"""The settings in force for a checkout, each with where it comes from: files, variables, and what nobody had to say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devbox import config
from devbox.config.network import ambient
from devbox.config.table import DEFAULT, TABLE
from devbox.container import which
from devbox.container.contract.choices import asked_before
from devbox.devcontainer import record
from devbox.errors import UsageError
from devbox.frameworks.load import load
from devbox.frameworks.load import origin as framework_origin
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

DETECTED = "detected"


@dataclass(frozen=True, slots=True)
class Value:
    """A value of a setting as it may be shown, and its origin: a file, a variable, "detected" or "default"."""

    value: str | None
    origin: str


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting: the value in force, and those that it hides, strongest first."""

    key: str
    value: str | None
    origin: str
    hidden: tuple[Value, ...] = ()


def explain(workspace: Path, environ: Mapping[str, str]) -> tuple[Setting, ...]:
    """Return every setting for `workspace`, over all layers.

    Weakest are the built-in defaults, then what the host's own variables and the framework say, the settings' files,
    what a flag said when the contract was written, and DEVBOX_* variables. Raises ConfigError and UsageError for one
    that makes no sense.
    """
    found: dict[str, list[Value]] = {key: [] for key in TABLE}
    for key, value in config.Settings().items():
        found[key].append(Value(value, DEFAULT))
    for key, (text, origin) in ambient(environ).items():
        found[key].append(Value(TABLE[key].shown(text), origin))
    said = config.load(workspace, environ=environ, flags={})
    for key, value, origin in _of_framework(workspace, said):
        found[key].append(Value(value, origin))
    layers = tuple(config.layers(workspace, environ=environ, flags={}))
    made = [(one.key, TABLE[one.key].kind.write(one.value), one.origin) for one in layers]
    variables = [one for one in made if one[2] == TABLE[one[0]].variable]
    files = [one for one in made if one not in variables]
    for key, text, origin in (*files, *_of_contract(workspace), *variables):
        found[key].append(Value(TABLE[key].shown(text), origin))
    return tuple(_setting(key, values) for key, values in found.items())


def _setting(key: str, values: list[Value]) -> Setting:
    *hidden, last = values
    told = tuple(one for one in reversed(hidden) if one.value is not None)
    return Setting(key, last.value, last.origin, told)


def _of_contract(workspace: Path) -> Iterator[tuple[str, str, str]]:
    """Yield what was asked for when the personal contract that is in force was written: it stays asked for."""
    # Which of several is meant is for `up` to say; none of them would be a personal one.
    path = next(iter(which.contracts(workspace)), None)
    written = record.at(path)
    asked = asked_before(written, written.personal) if written.personal is not None else {}
    yield from ((key, value, str(path)) for key, value in asked.items() if key in TABLE)


def _of_framework(workspace: Path, settings: config.Settings) -> Iterator[tuple[str, str | None, str]]:
    """Yield what the framework's file says, of the framework that is set or that the checkout's files show."""
    found = which.frameworks(workspace, settings.framework)
    if len(found) != 1:
        return
    name, variant, why, contract = found[0]
    if why is not None:
        yield "framework", name, f"{DETECTED}: {why}" if contract is None else str(contract)
    try:
        framework = load(name, settings.variant or variant, workspace)
    except UsageError:
        # `variant` may be meant for another framework; the commands that need it say so.
        return
    said = {
        "variant": framework.variant,
        "base_image": framework.base_image,
        "gpus": "auto" if framework.gpu else "none",
        "arch": framework.default_arch,
        "build_type": framework.build.build_type,
        "services": ",".join(framework.services) or None,
    }
    for key, value in said.items():
        if value is not None:
            yield key, value, framework_origin(name, workspace)
