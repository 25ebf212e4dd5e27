"""Does an engine answer, and does it have what devbox needs of it?"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from devbox.engine.api import socket_path
from devbox.engine.trouble import PLUGINS, PODMAN_SERVICE
from devbox.errors import EngineError
from devbox.facts import fitness
from devbox.facts.cuda import number
from devbox.finding import Finding, of_error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devbox.doctor.model import Patient

# `--build-context`, by which a stage gets a part of the checkout, is there since buildx 0.8:
# https://github.com/docker/buildx/releases/tag/v0.8.0. Compose's versions begin anew with 2, which is docker's plugin.
_OLDEST = {"buildx": "0.8", "compose": "2.0"}


def check(patient: Patient) -> Iterator[Finding]:
    """Look at the engine's age, the API that the docker CLI speaks with it, and the plugins of the CLI."""
    if patient.trouble is not None:
        yield of_error("engine", patient.trouble)
    if patient.engine_facts is None:
        return
    yield fitness.age(patient.engine_facts)
    yield from _api(patient)
    if patient.engine.flavour.podman:
        try:
            fitness.must_build(patient.engine)
        except EngineError as error:
            yield of_error("engine", error)
        if socket_path(patient.engine.environ) is None:
            yield Finding(
                "engine",
                "warning",
                "Podman's service does not listen: each question starts podman",
                PODMAN_SERVICE,
                "devbox exec and a warm up take ten times as long, and docker compose cannot reach it",
            )
    for plugin in PLUGINS:
        if plugin == "buildx" and patient.engine.flavour.podman:
            continue
        try:
            said = patient.engine.run([plugin, "version"]).stdout
        except EngineError as error:
            # Most contracts have no services.
            yield replace(of_error("engine", error), severity="error" if plugin == "buildx" else "warning")
            continue
        words = (word.removeprefix("v") for word in said.split())
        version = next((word for word in words if number(word.partition("+")[0].partition("-")[0])), "")
        if version and number(version) < number(_OLDEST[plugin]):
            yield Finding(
                "engine",
                "warning",
                f"docker's plugin {plugin} is {version}, older than {_OLDEST[plugin]}",
                PLUGINS[plugin][1],
                "it lacks options that devbox gives it",
            )


def _api(patient: Patient) -> Iterator[Finding]:
    """Look at an API version that is set by hand: what came after it is refused, or is not done."""
    pinned = patient.engine.environ.get("DOCKER_API_VERSION")
    if not pinned:
        return
    said = json.loads(patient.engine.run(["version", "--format", "{{json .Server}}"]).stdout or "null") or {}
    newest = str(said.get("ApiVersion") or "")
    if number(pinned) < number(newest):
        yield Finding(
            "engine",
            "warning",
            f"DOCKER_API_VERSION makes docker speak version {pinned} of the API, and the engine knows {newest}",
            "unset DOCKER_API_VERSION",
            "what is newer than that is refused or left out",
        )
