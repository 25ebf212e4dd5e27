"""Which driver builds a framework: its `build.driver`. Only that one's module is loaded: a warm build is short."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from ..context import Context
    from ..protocol import Rules
    from .base import Driver

# The module and the class of each.
DRIVERS = {
    "cmake": ("cmake", "CmakeDriver"),
    "build_wheel": ("build_wheel", "BuildWheelDriver"),
    "scikit": ("scikit", "ScikitDriver"),
    "cargo": ("cargo", "CargoDriver"),
}


def kind_of(rules: Rules) -> type[Driver]:
    """Return the class of the driver that a framework's rules name."""
    module, name = DRIVERS[rules.driver]
    return cast("type[Driver]", getattr(import_module(f".{module}", __package__), name))


def driver_for(context: Context) -> Driver:
    """Return the driver of the framework that is built."""
    return kind_of(context.decided.rules)(context)
