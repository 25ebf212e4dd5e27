"""Questions to the Engine API over its unix socket, without starting the docker CLI.

In a module of its own, with next to no imports, because `exec` asks one before it does anything else.
"""

from __future__ import annotations

import json
import os
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_SOCKET = "/var/run/docker.sock"
SOCKET_SECONDS = 10.0


def socket_path(environ: Mapping[str, str]) -> str | None:
    """Return the engine's unix socket as the docker CLI would choose it, or None where only the CLI knows the way.

    The order is the CLI's own: DOCKER_HOST, DOCKER_CONTEXT, `currentContext` of its config file, the default socket.
    """
    host = environ.get("DOCKER_HOST")
    if host:
        return host.removeprefix("unix://") if host.startswith("unix://") else None
    context = environ.get("DOCKER_CONTEXT")
    if not context:
        folder = environ.get("DOCKER_CONFIG") or os.path.join(environ.get("HOME", "/"), ".docker")  # noqa: PTH118
        try:
            with open(os.path.join(folder, "config.json"), "rb") as stream:  # noqa: PTH118, PTH123
                context = json.load(stream).get("currentContext")
        except (OSError, ValueError, AttributeError):
            context = None
    return DEFAULT_SOCKET if context in {None, "", "default"} else None


def ask_socket(path: str, request: str, *, timeout: float = SOCKET_SECONDS) -> tuple[int, bytes]:
    """GET `request` from the Engine API at the unix socket `path`; return the status and the body.

    HTTP/1.0 makes the engine close the connection after the body, so that no header has to be understood. Raises
    OSError.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        connection.connect(path)
        connection.sendall(f"GET {request} HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
        chunks = []
        while chunk := connection.recv(1 << 16):
            chunks.append(chunk)
    head, _, body = b"".join(chunks).partition(b"\r\n\r\n")
    words = head.split(b" ", 2)
    return (int(words[1]) if len(words) > 1 else 0), body
