"""The images that devbox has made on the engine: what they are, who uses them, and which may go."""

from __future__ import annotations

import re
from collections import defaultdict
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from devbox.engine.process import CommandError
from devbox.errors import ImageError, RefusedError
from devbox.image.buildkit.inputs import LABEL as INPUTS
from devbox.image.names import made_from
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from devbox.engine.docker import Engine

JSON = dict[str, Any]

OWN = "devbox-"
_BASE = "devbox-base:"
# What `up` calls an image: the digest of its inputs.
_DEV = re.compile(r"devbox-[^:/]+:[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class OwnImage:
    """An image of devbox's. `created` is in seconds since the epoch, `size` in bytes, shared layers counted.

    `kind` is "base" for a package base, "stage" for one of `devbox image build`, "dev" for one of a dev container.
    `framework` is known of stages and of a framework's dev images, `variant` and `stage` of stages. `used_by` are the
    containers that are made from it.
    """

    id: str
    names: tuple[str, ...]
    kind: Literal["base", "stage", "dev"]
    created: float
    size: int
    framework: str | None = None
    variant: str | None = None
    stage: str | None = None
    used_by: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """Its name for people; the short id while it has none."""
        return self.names[0] if self.names else self.id.removeprefix("sha256:")[:12]


@dataclass(frozen=True, slots=True)
class Details:
    """What there is to know of one image. `env` holds names alone: a value may be a secret that somebody baked in."""

    image: OwnImage | None
    id: str
    names: tuple[str, ...]
    digests: tuple[str, ...]
    created: str
    platform: str
    size: int
    layers: int
    user: str
    workdir: str
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    ports: tuple[str, ...]
    env: tuple[str, ...]
    labels: tuple[tuple[str, str], ...]
    used_by: tuple[str, ...]


def images(engine: Engine) -> tuple[OwnImage, ...]:
    """Return devbox's images on the engine, the newest first."""
    ids = list(dict.fromkeys(engine.run(["image", "ls", "--quiet", "--no-trunc"]).stdout.split()))
    users = _users(engine)
    found = (_own(one, users) for one in engine.inspect("image", ids))
    return tuple(sorted((one for one in found if one is not None), key=lambda one: -one.created))


def details(engine: Engine, name: str) -> Details:
    """Return what there is to know of the image `name`, be it devbox's or not. Raises ImageError if it is not there."""
    found = engine.image(name)
    if found is None:
        raise ImageError(f"there is no image {name} on the engine", hint="devbox image list")
    config, users = found.get("Config") or {}, _users(engine)
    platform = "/".join(str(found[key]) for key in ("Os", "Architecture", "Variant") if found.get(key))
    return Details(
        image=_own(found, users),
        id=str(found["Id"]),
        names=tuple(found.get("RepoTags") or ()),
        digests=tuple(found.get("RepoDigests") or ()),
        created=str(found.get("Created") or ""),
        platform=platform,
        size=int(found.get("Size") or 0),
        layers=len((found.get("RootFS") or {}).get("Layers") or ()),
        user=str(config.get("User") or "root"),
        workdir=str(config.get("WorkingDir") or "/"),
        entrypoint=tuple(config.get("Entrypoint") or ()),
        command=tuple(config.get("Cmd") or ()),
        ports=tuple(config.get("ExposedPorts") or ()),
        env=tuple(str(item).partition("=")[0] for item in config.get("Env") or ()),
        labels=tuple(sorted((config.get("Labels") or {}).items())),
        used_by=users.get(str(found["Id"]), ()),
    )


def removable(engine: Engine, names: Sequence[str]) -> tuple[OwnImage, ...]:
    """Return the images called `names`, to be removed. Raises for one that is not devbox's, is in use, or not there."""
    known = images(engine)
    chosen = []
    for name in names:
        found = engine.image(name)
        if found is None:
            raise ImageError(f"there is no image {name} on the engine", hint="devbox image list")
        own = next((one for one in known if one.id == found["Id"]), None)
        if own is None:
            raise RefusedError(f"{name} is not an image of devbox's", hint=f"docker image rm {name}")
        if own.used_by:
            raise RefusedError(
                f"{name} is used by {_listed(own.used_by)}",
                hint="devbox down   # or docker rm, for what is no dev container",
            )
        chosen.append(own)
    return tuple(dict.fromkeys(chosen))


def is_of(image: OwnImage, title: str) -> bool:
    """Tell whether an image was made for the checkout `title` alone: a framework's are shared."""
    repository = f"{OWN}{title}"
    return bool(image.names) and all(_DEV.fullmatch(name) and _repository(name) == repository for name in image.names)


def prunable(
    known: Iterable[OwnImage], *, now: float, older_than: float | None, everything: bool, bases: bool
) -> tuple[tuple[OwnImage, str], ...]:
    """Return which of devbox's images may go, each with the reason; never one that a container is made from.

    Without `everything` these are images without a name, and those of dev containers beside which there is a newer one
    of the same framework; with it all others too, package bases only with `bases`. `older_than` (seconds) spares newer
    ones.
    """
    newest: dict[str, float] = defaultdict(float)
    kept = tuple(known)
    for one in kept:
        for name in filter(_DEV.fullmatch, one.names):
            newest[_repository(name)] = max(newest[_repository(name)], one.created)
    found = []
    for one in kept:
        if one.used_by or (older_than is not None and now - one.created < older_than):
            continue
        reason = _reason(one, newest, everything=everything, bases=bases)
        if reason is not None:
            found.append((one, reason))
    return tuple(found)


def remove(engine: Engine, chosen: Iterable[OwnImage]) -> tuple[OwnImage, ...]:
    """Remove images by all their names, and return those that are gone. One that something else still needs stays."""
    gone = []
    for one in chosen:
        try:
            engine.run(["image", "rm", *(one.names or (one.id,))])
        except CommandError as error:
            if "No such image" not in error.done.stderr and "conflict" not in error.done.stderr:
                raise
            continue
        gone.append(one)
    return tuple(gone)


def _reason(one: OwnImage, newest: dict[str, float], *, everything: bool, bases: bool) -> str | None:
    if one.kind == "base":
        return "a package base that nothing uses" if everything and bases else None
    if not one.names:
        return "it has no name any more"
    # A name of the user's own, given with --tag or docker tag, keeps an image.
    if not all(name.startswith(OWN) for name in one.names):
        return None
    if all(_DEV.fullmatch(name) and newest[_repository(name)] > one.created for name in one.names):
        return "no container uses it, and there is a newer one"
    return "no container uses it" if everything else None


def _repository(name: str) -> str:
    return name.rpartition(":")[0]


def _own(inspected: JSON, users: dict[str, tuple[str, ...]]) -> OwnImage | None:
    """Return an image as devbox's, None if it is not. What is built on one of them inherits its labels."""
    labels = (inspected.get("Config") or {}).get("Labels") or {}
    names = tuple(inspected.get("RepoTags") or ())
    made = made_from(inspected)
    own_names = [name for name in names if name.startswith(OWN)]
    if not own_names and not (INPUTS in labels or made):
        return None
    kind: Literal["base", "stage", "dev"] = "stage" if made else "dev"
    if any(name.startswith(_BASE) for name in names):
        kind = "base"
    elif own_names and all(_DEV.fullmatch(name) for name in own_names):
        kind = "dev"
    framework, variant, stage = made if made and kind == "stage" else (None, None, None)
    if kind == "dev" and own_names:
        framework = _framework(own_names[0])
    created = str(inspected.get("Created") or "").partition(".")[0].removesuffix("Z")
    return OwnImage(
        id=str(inspected["Id"]),
        names=names,
        kind=kind,
        created=datetime.fromisoformat(f"{created}+00:00").timestamp() if created else 0.0,
        size=int(inspected.get("Size") or 0),
        framework=framework,
        variant=variant,
        stage=stage,
        used_by=users.get(str(inspected["Id"]), ()),
    )


def _framework(name: str) -> str | None:
    """Return the framework that an image of a dev container is of, by its name; None where it is of none."""
    from devbox.frameworks.sources import built_in

    title = _repository(name).removeprefix(OWN)
    return title if (built_in() / f"{title}.toml").is_file() else None


def _users(engine: Engine) -> dict[str, tuple[str, ...]]:
    """Return the names of the containers, running or not, by the id of their image."""
    found: dict[str, list[str]] = defaultdict(list)
    for container in engine.containers({}):
        found[container.image_id].append(container.called)
    return {image: tuple(sorted(names)) for image, names in found.items()}


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
