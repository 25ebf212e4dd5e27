"""Is the engine fit for what devbox asks of it? The doctor says it, and so does what is about to build an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devbox.facts import engine as engine_facts
from devbox.finding import Finding, warn

if TYPE_CHECKING:
    from devbox.engine.docker import Engine
    from devbox.facts.model import EngineFacts
    from devbox.reporter import Reporter

# BuildKit is the engine's own way to build since then: https://docs.docker.com/engine/release-notes/23.0/
OLDEST = 23
GIB = 1 << 30
LITTLE = 20


def age(facts: EngineFacts) -> Finding:
    """Say which engine answers, and whether it is older than what devbox is made for."""
    major = facts.version.partition(".")[0]
    if major.isdigit() and int(major) < OLDEST:
        return Finding(
            "engine",
            "warning",
            f"Docker Engine {facts.version} is older than {OLDEST}",
            "install a newer Docker Engine",
            "it may refuse what builds and containers are told",
        )
    kind = "rootless" if facts.rootless else "rootful"
    place = "on this machine" if facts.local else "on another machine"
    return Finding("engine", "ok", f"Docker {facts.version}, {kind}, {place}")


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


def require(engine: Engine, reporter: Reporter, *, title: str | None = None, wanted: int | None = None) -> None:
    """See before an image is built that the engine can, and warn of what it may lack. Costs two calls of docker.

    `title` and `wanted` are as in `space`. Raises EngineError for what no image can be built without.
    """
    engine.run(["buildx", "version"])
    facts = engine_facts.gather(engine)
    warn((age(facts), space(engine_facts.free_storage(facts), title=title, wanted=wanted)), reporter)
