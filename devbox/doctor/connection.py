"""Which engine is meant, and how is it reached?"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from devbox.engine.address import tls_folder
from devbox.engine.api import client_setting
from devbox.errors import EngineError
from devbox.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devbox.doctor.model import Patient

# `up` asks the engine a few dozen things, one after the other.
_SLOW_SECONDS = 0.5


def check(patient: Patient) -> Iterator[Finding]:
    """Look at what chooses the engine, at a connection that anybody could listen to, and how long an answer takes."""
    environ = patient.engine.named
    address, chosen, named = patient.engine.address
    context = client_setting(environ, "currentContext")
    by = next((name for name in ("DOCKER_HOST", "DOCKER_CONTEXT") if environ.get(name)), None)
    if by is not None and context not in {None, "", "default", environ.get("DOCKER_CONTEXT")}:
        yield Finding(
            "connection",
            "warning",
            f"{by} is set to {environ[by]}, so the context {context}, which docker is set to use, is not used",
            f"unset {by}   # to use the context; or docker context use default",
        )
    verified = environ.get("DOCKER_TLS_VERIFY") if named is None else Path(tls_folder(environ, named)).is_dir()
    if urlsplit(address).scheme == "tcp" and not verified:
        yield Finding(
            "connection",
            "warning",
            f"the engine at {address} ({chosen}) is reached without TLS",
            "docker context create NAME --docker host=ssh://HOST   # then: docker context use NAME",
            "whoever listens on the way may use it, which is to be root on its machine",
        )
    if patient.engine_facts is None:
        return
    begun = time.monotonic()
    try:
        patient.engine.containers({"devbox.none": None})
    except EngineError:
        return
    took = time.monotonic() - begun
    if took > _SLOW_SECONDS:
        yield Finding(
            "connection", "warning", f"the engine at {address} took {took:.1f} s for a small answer",
            "docker system df   # many containers and volumes make it slow; so do a busy disk and a far machine",
        )  # fmt: skip
    else:
        yield Finding("connection", "ok", f"{address or 'the engine'} ({chosen}) answers within {took * 1000:.0f} ms")
    yield from _contexts(patient)


def _contexts(patient: Patient) -> Iterator[Finding]:
    """Name the contexts that lead to an engine which docker cannot describe."""
    done = patient.engine.run(["context", "ls", "--format", "{{json .}}"], check=False)
    for line in done.stdout.splitlines():
        try:
            one = json.loads(line)
        except ValueError:
            continue
        if one.get("Error"):
            yield Finding(
                "connection", "warning", f"the docker context {one.get('Name')} cannot be used: {one['Error']}",
                f"docker context rm {one.get('Name')}",
            )  # fmt: skip
