"""What a test asks of `up` and `generate`, as their requests have it."""

from __future__ import annotations

from typing import Any

from devbox.config import TABLE


def asked(**values: Any) -> dict[str, Any]:
    """Return the fields of a request for `values`: settings become its flags."""
    flags = {key: value for key, value in values.items() if key in TABLE and value is not None}
    return {"flags": flags, **{key: value for key, value in values.items() if key not in TABLE}}
