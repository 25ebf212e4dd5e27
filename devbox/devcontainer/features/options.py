"""The options of a Feature: checked against what it declares, and turned into the variables of its install script.

Source: the specification's "Option Resolution".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from devbox.errors import ContractError
from devbox.toml import nearest

if TYPE_CHECKING:
    from pathlib import Path

    from devbox.devcontainer.features.ids import Value
    from devbox.devcontainer.features.metadata import Metadata
    from devbox.devcontainer.jsonc import JSON


def variable(option: str) -> str:
    """Return the environment variable of an option."""
    return re.sub(r"^[\d_]+", "_", re.sub(r"\W", "_", option, flags=re.ASCII), flags=re.ASCII).upper()


def resolve(
    identifier: str, value: Value, feature: Metadata, contract: Path
) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """Return the variables of a Feature's install script, in the order of its options, and warnings.

    `value` is what the contract gives it: an object of options, or a version. What is not given has its default. Raises
    ContractError for a value that the option cannot have.
    """
    defaults = {name: option["default"] for name, option in feature.options.items() if "default" in option}
    warnings = []
    given: dict[str, object]
    if isinstance(value, dict):
        given = value
    else:
        given = {"version": value} if "version" in feature.options else {}
        if isinstance(value, bool) and given:
            warnings.append(
                f'{contract}: the Feature {identifier} gets the version "{_text(value)}", as for the reference; '
                "{} asks for its default"
            )
        elif not isinstance(value, bool) and not given:
            warnings.append(f"{contract}: the Feature {identifier} has no versions: '{value}' does nothing")
    for name, item in given.items():
        option = feature.options.get(name)
        where = f"{contract}: the option '{name}' of the Feature {identifier}"
        if option is None:
            meant = nearest(name, feature.options)
            guess = f"; did you mean '{meant}'?" if meant else ""
            warnings.append(f"{where} is none that it declares{guess}")
        # A version of true or false is what the reference passes on, and is warned about above.
        if option is not None and not isinstance(value, bool):
            _check(item, option, where)
        elif not isinstance(item, (str, bool)):
            raise ContractError(f"{where} must be a string, true or false")
    return tuple((variable(name), _text(item)) for name, item in {**defaults, **given}.items()), tuple(warnings)


def _check(value: object, option: JSON, where: str) -> None:
    """Raise ContractError where an option cannot have a value."""
    if option.get("type") == "boolean":
        if not isinstance(value, bool) and value not in {"true", "false"}:
            raise ContractError(f"{where} must be true or false, not {_shown(value)}")
        return
    choices = option.get("enum")
    if isinstance(choices, list):
        texts = [str(choice) for choice in choices]
        if not isinstance(value, (str, bool)) or _text(value) not in texts:
            meant = nearest(str(value), texts)
            raise ContractError(
                f"{where} must be one of {', '.join(texts)}, not {_shown(value)}", hint=f'"{meant}"' if meant else None
            )
    elif not isinstance(value, str):
        raise ContractError(
            f"{where} must be a string, not {_shown(value)}", hint=f'put it in quotes: "{_text(value)}"'
        )


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _shown(value: object) -> str:
    return f"'{value}'" if isinstance(value, str) else _text(value)
