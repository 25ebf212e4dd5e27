"""Is the engine fit for what devbox asks of it? The doctor says it, and so does what is about to build an image."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from devbox.errors import EngineError
from devbox.facts import engine as engine_facts
from devbox.finding import Finding, warn

if TYPE_CHECKING:
    from devbox.engine.docker import Engine
    from devbox.facts.model import EngineFacts
    from devbox.reporter import Reporter

# By the engine's flavour. BuildKit is Docker's own way to build since 23: https://docs.docker.com/engine/release-notes/23.0/
# Podman's builds know heredocs since 4.8, of Buildah 1.33: https://github.com/containers/podman/releases/tag/v4.8.0
OLDEST = {"docker": (23, 0), "podman": (4, 8)}
GIB = 1 << 30
LITTLE = 20


def age(facts: EngineFacts) -> Finding:
    """Say which engine answers, and whether it is older than what devbox is made for."""
    oldest, numbers = OLDEST[facts.flavour], re.match(r"(\d+)\.(\d+)", facts.version)
    name = "Podman" if facts.flavour == "podman" else "Docker Engine"
    if numbers and (int(numbers[1]), int(numbers[2])) < oldest:
        return Finding(
            "engine",
            "warning",
            f"{name} {facts.version} is older than {oldest[0]}{f'.{oldest[1]}' if oldest[1] else ''}",
            f"install a newer {name}",
            "it may refuse what builds and containers are told",
        )
    kind = "rootless" if facts.rootless else "rootful"
    place = "on this machine" if facts.local else "on another machine"
    return Finding("engine", "ok", f"{name.removesuffix(' Engine')} {facts.version}, {kind}, {place}")


def space(free: int | None, *, title: str | None = None, wanted: int | None = None) -> Finding | None:
    """Say whether `free` bytes are enough where the engine keeps its data; None is not known.

    `title` takes `wanted` GiB for its image and first build, where that is known.
    """
    if free is None:
        return None
    message = f"{free // GIB} GiB are free for the engine"
    if free >= (wanted or LITTLE) * GIB:
        return Finding("disk", "ok", message)
    why = f"{title} takes about {wanted} GiB" if wanted else "a framework takes 10 to 60 GiB"
    remedy = "devbox du   # shows what devbox holds, devbox prune removes some; docker system df shows the rest"
    return Finding("disk", "warning", message, remedy, f"{why} for its image and first build")


def must_build(engine: Engine) -> None:
    """See that what builds images is there: docker's plugin buildx, or a Podman. Raises EngineError."""
    if not engine.flavour.podman:
        engine.run(["buildx", "version"])
    elif engine.flavour.maker is None:
        raise EngineError(
            "the engine is Podman, and this machine has no program podman, by which it is told to build",
            hint="install podman (Debian, Ubuntu, Fedora) or podman-remote; the docker CLI alone cannot tell it",
        )


def require(engine: Engine, reporter: Reporter, *, title: str | None = None, wanted: int | None = None) -> None:
    """See before an image is built that the engine can, and warn of what it may lack. Costs two calls of docker.

    `title` and `wanted` are as in `space`. Raises EngineError for what no image can be built without.
    """
    must_build(engine)
    facts = engine_facts.gather(engine)
    warn((age(facts), space(engine_facts.free_storage(facts), title=title, wanted=wanted)), reporter)
