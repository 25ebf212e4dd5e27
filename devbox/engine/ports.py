"""Published ports: what a person asks for, as `docker run -p` takes it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from devbox.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

LOOPBACK = "127.0.0.1"

_PORT = re.compile(r"(?:(?:(?P<host>[0-9.]+|\[[0-9a-fA-F:]+\]):)?(?P<outer>\d+):)?(?P<inner>\d+)", re.ASCII)


def ports(asked: Iterable[str], own: Iterable[int]) -> tuple[str, ...]:
    """Return what is published, for `-p`: `asked` as docker takes it, else the framework's `own` ports.

    Without an address it is this machine's own: a server without a password is nobody else's. Raises UsageError.
    """
    words = list(asked) or [str(port) for port in own]
    if words == ["none"]:
        return ()
    found = []
    for word in words:
        match = _PORT.fullmatch(word)
        numbers = [int(match[key]) for key in ("outer", "inner") if match[key]] if match else []
        if match is None or not all(0 < number < 1 << 16 for number in numbers):
            raise UsageError(
                f"'{word}' is no port", hint="--port 8000, --port 9000:8000, --port 0.0.0.0:8000:8000, --port none"
            )
        found.append(f"{match['host'] or LOOPBACK}:{match['outer'] or match['inner']}:{match['inner']}")
    return tuple(found)
