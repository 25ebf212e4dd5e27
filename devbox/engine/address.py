"""Which engine the docker CLI reaches: its address, and what chose it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devbox.engine.api import socket_path
from devbox.lean import loads

if TYPE_CHECKING:
    from collections.abc import Mapping


def endpoint(environ: Mapping[str, str]) -> str:
    """Return the address of the engine as the docker CLI would choose it, such as `unix:///var/run/docker.sock`.

    The order is the CLI's: DOCKER_HOST, DOCKER_CONTEXT, `currentContext` of its config file. Empty where a context is
    named that is not there.
    """
    path = socket_path(environ)
    if path is not None:
        return f"unix://{path}"
    if environ.get("DOCKER_HOST"):
        return environ["DOCKER_HOST"]
    try:
        # The CLI keeps each context under the hash of its name.
        key = hashlib.sha256(_context(environ).encode()).hexdigest()
        return str(_read(environ, "contexts", "meta", key, "meta.json")["Endpoints"]["docker"]["Host"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def origin(environ: Mapping[str, str]) -> str:
    """Return what chose the engine, in words: `DOCKER_HOST`, a context and what named it, or docker's default."""
    if environ.get("DOCKER_HOST"):
        return "DOCKER_HOST"
    name = _context(environ)
    if name in {"", "default"}:
        return "docker's default"
    by = "DOCKER_CONTEXT" if environ.get("DOCKER_CONTEXT") else "docker context use"
    return f"the docker context '{name}', by {by}"


def _context(environ: Mapping[str, str]) -> str:
    if environ.get("DOCKER_CONTEXT"):
        return environ["DOCKER_CONTEXT"]
    try:
        return str(_read(environ, "config.json").get("currentContext") or "")
    except (OSError, ValueError, AttributeError):
        return ""


def _read(environ: Mapping[str, str], *names: str) -> Any:
    folder = environ.get("DOCKER_CONFIG") or Path(environ.get("HOME", "/"), ".docker")
    return loads(Path(folder, *names).read_bytes())
