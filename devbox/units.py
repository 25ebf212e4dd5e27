"""Sizes as people and tools write them."""

from __future__ import annotations

import re

_POWERS = {"": 0, "b": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def size(text: str, *, base: int = 1024) -> int | None:
    """Return the bytes of a size such as `50G`, `1.5T`, `800MiB`, `8gb` or `7`; None if it is none.

    Units are binary; docker prints decimal ones, which is a `base` of 1000.
    """
    match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,9})?)\s*([bkmgt]?)i?b?", text.strip(), re.ASCII | re.IGNORECASE)
    return None if match is None else round(float(match[1]) * base ** _POWERS[match[2].lower()])
