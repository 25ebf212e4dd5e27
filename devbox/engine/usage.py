"""What things on the engine take; adding it up may take the engine a while."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

from devbox.engine.address import PROGRAM
from devbox.engine.api import FOUND
from devbox.errors import EngineError

if TYPE_CHECKING:
    from devbox.engine.docker import Engine

JSON = dict[str, Any]
Kind = Literal["Images", "Containers", "Volumes", "BuildCache"]

_TYPES: dict[Kind, str] = {
    "Images": "image",
    "Containers": "container",
    "Volumes": "volume",
    "BuildCache": "build-cache",
}
# What a container has written is not what it is made from.
_SIZES: dict[Kind, str] = {"Containers": "SizeRw"}


def of_kind(engine: Engine, kind: Kind, *, seconds: float) -> list[JSON] | None:
    """Return the engine's things of a kind, each with its `Size` in bytes where that is told, as its API has them.

    None where there is no answer within `seconds`, and from Podman's program, which has no such list.
    """
    if engine.address.url == PROGRAM:
        return None
    try:
        code, body = engine.ask(f"/system/df?type={_TYPES[kind]}", timeout=seconds)
        found = json.loads(body)[kind] or [] if code == FOUND else None
    except (EngineError, ValueError, KeyError, TypeError):
        return None
    if found is None:
        return None
    return [{**item, "Size": (item.get("UsageData") or item).get(_SIZES.get(kind, "Size"))} for item in found]


def told(size: object) -> int | None:
    """Return a size in bytes as the engine told it; None for what it has not counted."""
    return size if isinstance(size, int) and size >= 0 else None
