"""Which builder of buildx builds, and what it can do: found out before a build that it would refuse at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devbox.errors import EngineError
from devbox.values import dataclass

if TYPE_CHECKING:
    from devbox.engine.docker import Engine
    from devbox.engine.spec import BuildOptions

_CREATE = "docker buildx create --name devbox --driver docker-container --bootstrap   # then add --builder devbox"
_CONTAINERD = "io.containerd.snapshotter"


@dataclass(frozen=True, slots=True)
class Builder:
    """A builder. `driver` is buildx's word; `docker` is the engine's own BuildKit, which sees the engine's images.

    `containerd` is whether that engine keeps its images in containerd, which can do what the older store cannot.
    """

    name: str
    driver: str
    containerd: bool = False

    @property
    def own(self) -> bool:
        """Whether it is the engine's own."""
        return self.driver in {"docker", "podman"}


def gather(engine: Engine, name: str | None) -> Builder:
    """Return the builder `name`, or the one that would be used. Raises EngineError where there is none."""
    if engine.flavour.podman:
        if name:
            raise EngineError(
                f"Podman builds by itself: there is no builder {name} of buildx", hint="leave --builder out"
            )
        return Builder("podman", "podman")
    done = engine.run(["buildx", "inspect", *([name] if name else [])], check=False)
    fields = dict(_field(line) for line in reversed(done.stdout.splitlines()) if ":" in line)
    if not done.ok or "Driver" not in fields:
        raise EngineError(
            f"there is no builder {name}" if name else "docker buildx has no builder",
            hint="docker buildx ls",
            detail=done.stderr.strip() or None,
        )
    driver = fields["Driver"]
    store = engine.run(["info", "--format", "{{json .DriverStatus}}"]).stdout if driver == "docker" else ""
    return Builder(fields["Name"], driver, _CONTAINERD in store)


def _field(line: str) -> tuple[str, str]:
    key, _, value = line.partition(":")
    return key.strip(), value.strip().removesuffix("*")


def check(builder: Builder, common: BuildOptions) -> None:
    """Raise EngineError for what `builder` cannot do of the options that were asked for, with one that can."""
    wanted = _beyond(common) if builder.own and not builder.containerd else None
    if wanted is not None:
        what, instead = wanted
        if builder.driver == "podman":
            raise EngineError(f"Podman, which builds here, cannot {what}", hint=instead or "docker context ls")
        raise EngineError(
            f"the builder '{builder.name}' is the engine's own, which cannot {what}",
            hint=f"{_CREATE}{f'; or {instead}' if instead else ''}",
        )


def _beyond(common: BuildOptions) -> tuple[str, str | None] | None:
    """Return what only a builder with a store of its own can do, and what may serve instead."""
    caches = [kind for kind in map(_kind, common.cache_to) if kind != "inline"]
    if caches:
        return f"export its cache as type={caches[0]}", "--cache-to type=inline, which writes it into the pushed image"
    if len(common.platforms) > 1:
        return "build for several platforms at once", "one --target-platform at a time, then devbox image manifest"
    if any("disabled=true" not in words for words in common.attest):
        return "attach attestations (--sbom, --provenance)", None
    if any(_kind(output) == "oci" for output in common.outputs):
        return "write an OCI archive", "--output type=docker,dest=FILE"
    return None


def _kind(words: str) -> str:
    """Return the type of a cache or an output. A bare name is a registry's."""
    found = [item.partition("=")[2] for item in words.split(",") if item.startswith("type=")]
    return found[0] if found else "registry"
