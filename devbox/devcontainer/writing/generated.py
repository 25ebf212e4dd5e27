"""How devbox recognises what it wrote itself: a hash in the file, over everything else in it."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from devbox.devcontainer.model import JSON


def text_hash(text: str) -> str:
    """Return the SHA-256 of a text in hexadecimal."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def dump(value: JSON) -> str:
    """Return `value` as devbox writes devcontainer.json: two spaces, keys in their order, a final newline."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def sealed(devcontainer: JSON) -> JSON:
    """Return `devcontainer` with `customizations.devbox.generated` set to the hash of all the rest."""
    customizations = devcontainer.get("customizations", {})
    own = {key: value for key, value in customizations.get("devbox", {}).items() if key != "generated"}
    open_ = {**devcontainer, "customizations": {**customizations, "devbox": own}}
    return {**open_, "customizations": {**customizations, "devbox": {**own, "generated": text_hash(dump(open_))}}}


def is_generated(text: str) -> bool:
    """Whether devbox wrote this devcontainer.json and nobody touched it since, be it only to add a comment.

    This tells the user's edits from ours. It is no proof of where a file comes from: anybody can compute the hash.
    """
    try:
        value = json.loads(text)
        return isinstance(value["customizations"]["devbox"]["generated"], str) and dump(sealed(value)) == text
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False
