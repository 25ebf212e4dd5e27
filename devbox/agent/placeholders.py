"""Placeholders, `{name}`, of framework files and tags: which a text has, and what stands in their place."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# What a build has a value for.
BUILD = frozenset({"source", "build", "python", "type", "arch", "threads", "jobs", "prefix", "profile"})
# `${name}` is a variable of somebody else's.
_PLACEHOLDER = re.compile(r"(?<!\$)\{([\w-]+)\}")


def names(text: str) -> list[str]:
    """Return the names of the placeholders in a text."""
    return _PLACEHOLDER.findall(text)


def fill(text: str, values: Mapping[str, str]) -> str:
    """Return a text with `values` in the place of their names; a name without one stays."""
    return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), text)


def of_build(text: str) -> bool:
    """Tell whether a text has a placeholder that a build fills in."""
    return not BUILD.isdisjoint(names(text))
