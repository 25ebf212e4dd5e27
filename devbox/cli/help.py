"""What `--help` says of a command: its parameters in panels by theme, the common ones first, and examples."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    import typer

# How typer writes what is said in words of a default, and the lower bound of a number.
_DEFAULT = re.compile(r"default: \((.*)\)(?=[];])")
_LEAST = re.compile(r"x>=(\d+)")
# An example stands above what it does, and not beside it: most are long.
_BESIDE = 4


def panels(command: Any, context: typer.Context) -> dict[str, list[tuple[str, str]]]:
    """Return what the help of a command says of each parameter, by the title of its panel, in the panel's order."""
    titles: Mapping[str, str] = getattr(command.callback, "panels", {})
    order = [*titles]
    found: dict[str, list[tuple[str, str]]] = {title: [] for title in ("Arguments", *titles.values(), "Options")}
    # What no panel names comes last, in its own order.
    for one in sorted(
        command.get_params(context), key=lambda one: order.index(one.name) if one.name in order else len(order)
    ):
        title = "Arguments" if one.param_type_name == "argument" else titles.get(one.name, "Options")
        found[title] += [_record(one, said) for said in [one.get_help_record(context)] if said]
    return {title: rows for title, rows in found.items() if rows}


def _record(parameter: Any, said: tuple[str, str]) -> tuple[str, str]:
    """Return what is said of a parameter, without typer's own notation."""
    names, text = said
    if parameter.param_type_name == "argument":
        # The usage line says it.
        text = re.sub(r" *\[required\]$", "", text)
    text = _LEAST.sub(r"\1 or more", _DEFAULT.sub(r"default: \1", text))
    return re.sub(r"<([^<>]*)>", r"\1", names), text


def examples(command: Any) -> dict[str, str]:
    """Return the examples of a command, each with what it does."""
    return getattr(command.callback, "examples", {})


def format_options(command: Any, context: typer.Context, formatter: Any) -> None:
    """Write the panels of a command, and its examples below them."""
    for title, rows in panels(command, context).items():
        with formatter.section(title):
            formatter.write_dl(rows)
    shown = examples(command)
    if shown:
        with formatter.section("Examples"):
            formatter.write_dl([*shown.items()], col_max=_BESIDE)


def format_commands(themes: Mapping[str, str], command: Any, formatter: Any) -> None:
    """Write the commands of a group by theme."""
    for title, names in themes.items():
        with formatter.section(title):
            formatter.write_dl([(name, command.commands[name].short_help) for name in names.split()])
