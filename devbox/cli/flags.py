"""Options that make settings: from the table of settings, where each is declared once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from inspect import Parameter, Signature, signature
from typing import Annotated, Any

import typer

from devbox.config import read
from devbox.config.table import TABLE, Flags

__all__ = ["Flags", "from_settings"]

Command = Callable[..., None]


def from_settings(*keys: str) -> Callable[[Command], Command]:
    """Give a command the options of settings, in the place of its parameter `flags`, which gets those that were given.

    The command goes on with them to `devbox.config.load`, which reads their values.
    """

    def decorate(command: Command) -> Command:
        options = [Parameter(key, Parameter.KEYWORD_ONLY, default=None, annotation=_option(key)) for key in keys]
        own = [
            one.replace(kind=Parameter.KEYWORD_ONLY) for one in signature(command, eval_str=True).parameters.values()
        ]
        at = [one.name for one in own].index("flags")
        parameters = [*own[:at], *options, *own[at + 1 :]]

        @functools.wraps(command)
        def with_flags(**values: Any) -> None:
            given = {key: value for key in keys if (value := values.pop(key))}
            for key, value in given.items():
                # Before anything is looked for that the value may not have anything to do with.
                read(key, value, TABLE[key].flag)
            command(**values, flags=given)

        # typer looks at both.
        with_flags.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
        with_flags.__annotations__ = {one.name: one.annotation for one in parameters}
        return with_flags

    return decorate


def _option(key: str) -> Any:
    """Return the option of a setting as typer reads it: a string, or several."""
    setting = TABLE[key]
    names = [setting.flag, *([setting.short] if setting.short else [])]
    more = " May be repeated." if setting.kind.repeated else ""
    # What a contract records of a choice is stronger than its default.
    default = setting.default if setting.default and not setting.choice else False
    option = typer.Option(*names, metavar=setting.metavar, help=f"{setting.help}{more}", show_default=default)
    return Annotated[list[str] | None if setting.kind.repeated else str | None, option]
