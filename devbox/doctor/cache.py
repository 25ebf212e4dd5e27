"""Does the compiler cache work, and does the storage answer that machines share?"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from devbox.builds.caches.choose import compiler_cache
from devbox.builds.caches.doctor import findings
from devbox.container.inside.find import running_container
from devbox.container.target import VOLUME
from devbox.errors import BuildError
from devbox.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devbox.doctor.model import Patient

_SECONDS = 3.0
_PORTS = {"redis": 6379, "rediss": 6380, "http": 80, "https": 443, "memcached": 11211}


def check(patient: Patient) -> Iterator[Finding]:
    """Ask in the dev container, as `devbox cache doctor` does; without one, see that the shared storage answers."""
    cache = compiler_cache(patient.settings, patient.engine.environ)
    if cache.kind == "none":
        return
    mounts = (patient.container or {}).get("Mounts") or ()
    if any(mount.get("Destination") == VOLUME for mount in mounts):
        try:
            yield from findings(cache, running_container(patient.engine, patient.workspace), patient.engine)
        except BuildError as error:
            yield Finding("cache", "info", f"the cache cannot be asked: {error.message}", error.hint)
        return
    place = urlsplit(cache.storage.url) if cache.storage is not None else None
    if place is None or not place.hostname:
        return
    try:
        with socket.create_connection((place.hostname, place.port or _PORTS.get(place.scheme, 443)), _SECONDS):
            yield Finding("cache", "ok", f"the shared storage at {place.hostname} answers")
    except OSError as error:
        yield Finding(
            "cache", "warning", f"the shared storage at {place.hostname} does not answer: {error.strerror or error}",
            "devbox config show   # cache_remote", "builds go on without it, after they have waited",
        )  # fmt: skip
