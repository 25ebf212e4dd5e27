"""Which driver builds a framework: its `build.driver`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .driver_build_wheel import BuildWheelDriver
from .driver_cargo import CargoDriver
from .driver_cmake import CmakeDriver
from .driver_scikit import ScikitDriver

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .context import Context
    from .driver import Driver

DRIVERS: dict[str, type[Driver]] = {
    "cmake": CmakeDriver,
    "build_wheel": BuildWheelDriver,
    "scikit": ScikitDriver,
    "cargo": CargoDriver,
}


def kind_of(rules: Mapping[str, Any]) -> type[Driver]:
    """Return the class of the driver that a framework's rules name."""
    return DRIVERS[rules["driver"]]


def driver_for(context: Context) -> Driver:
    """Return the driver of the framework that is built."""
    return kind_of(context.decided.rules)(context)
