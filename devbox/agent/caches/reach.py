"""Whether a shared storage answers where it is said to be: asked when it has failed, to say why."""

from __future__ import annotations

import contextlib
import os
import socket
from urllib.parse import parse_qs, urlsplit

SECONDS = 3.0
PORTS = {"redis": 6379, "rediss": 6379, "http": 80, "https": 443}


def unreachable(url: str) -> str:
    """Return why nothing answers at the address of a storage, in the system's words; "" where something does.

    "" also where the address is not known: buckets are found by their service.
    """
    parts = urlsplit(url)
    endpoint = parse_qs(parts.query).get("endpoint", [""])[0]
    if parts.scheme == "s3" and endpoint:
        parts = urlsplit(endpoint if "://" in endpoint else f"//{endpoint}", scheme="https")
    path = parts.path
    try:
        if parts.scheme == "file":
            return "" if os.access(path, os.W_OK | os.X_OK) else f"{path} is not there, or may not be written to"
        if parts.scheme == "redis+unix":
            with contextlib.closing(socket.socket(socket.AF_UNIX)) as probe:
                probe.settimeout(SECONDS)
                probe.connect(path)
        elif parts.hostname and (parts.port or PORTS.get(parts.scheme)):
            socket.create_connection((parts.hostname, parts.port or PORTS[parts.scheme]), SECONDS).close()
    except (OSError, ValueError) as error:
        return str(getattr(error, "strerror", None) or error)
    return ""
