"""The JSON that `--json` prints: one versioned envelope on stdout, the same shape for results and errors."""

from __future__ import annotations

import dataclasses
import json
from pathlib import PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from devbox.errors import DevboxError

SCHEMA = "devbox/1"


def plain(value: object) -> object:
    """Return `value` as JSON types: what has named fields becomes an object, tuples and sets lists, paths strings."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
    elif hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((plain(item) for item in value), key=str)
    if isinstance(value, PurePath):
        return str(value)
    return value


def envelope(
    command: str,
    data: object = None,
    *,
    warnings: Sequence[str] = (),
    error: DevboxError | None = None,
    code: int | None = None,
    mask: Callable[[object], object] | None = None,
) -> str:
    """Return the envelope as one line of JSON. `error` makes its status "error"; `code` replaces its exit code.

    `mask` is applied to what the command has to say: its data, warnings and error.
    """
    failure = None
    if error is not None:
        failure = {
            "code": error.code,
            "message": error.message,
            "hint": error.hint,
            "detail": error.detail,
            "exit_code": error.exit_code if code is None else code,
        }
    content = {"data": plain(data), "warnings": list(warnings), "error": failure}
    return json.dumps(
        {
            "schema": SCHEMA,
            "command": command,
            "status": "ok" if error is None else "error",
            **{key: value if mask is None else mask(value) for key, value in content.items()},
        },
        ensure_ascii=False,
    )
