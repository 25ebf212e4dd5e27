"""What registries say of images, without pulling one: whether it is there, for which platforms, how large, how old."""

from __future__ import annotations

import io
import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from devbox.image.registry.client import IMAGE, Registry, UnreachableError, Web
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from devbox.config.network import Network
    from devbox.image.registry.reference import Reference

# A registry that does not answer a small question within this many seconds is not worth a wait: another may have it.
SECONDS = 8.0


@dataclass(frozen=True, slots=True)
class Platform:
    """An image for one platform (`linux/arm64`), by its manifest's digest. `size` is what is downloaded, in bytes."""

    name: str
    digest: str
    size: int | None = None


@dataclass(frozen=True, slots=True)
class RemoteImage:
    """An image in a registry. `digest` is that of the whole, an index of several platforms or the only manifest.

    `created` is when the first platform's image was made, in ISO 8601, where it says so.
    """

    reference: str
    digest: str
    platforms: tuple[Platform, ...]
    created: str | None = None
    index: bool = False

    def platform(self, wanted: str) -> Platform | None:
        """Return the image for the platform `wanted`, None where there is none.

        `linux/arm64` and `linux/arm64/v8` are the same platform; for what else has a variant, any variant will do.
        """
        for one in self.platforms:
            if one.name == wanted:
                return one
        return next((one for one in self.platforms if one.name.split("/")[:2] == wanted.split("/")[:2]), None)


class Registries:
    """The registries that one command asks, each by its host, and which of them did not answer."""

    def __init__(self, network: Network, environ: Mapping[str, str]) -> None:
        self._web = Web(network, timeout=SECONDS, attempts=2)
        self._environ = environ
        self._registries: dict[str, Registry] = {}
        self._silent: dict[str, UnreachableError] = {}

    def digest(self, reference: Reference) -> str:
        """Return the digest of an image by asking for its manifest's head. Raises RegistryError; 404: not there."""
        with self._asking(reference.registry) as registry:
            return registry.digest(reference.name, reference.wanted)

    def tags(self, repository: Reference) -> tuple[str, ...]:
        """Return all tags of a repository in the registry's order. Raises RegistryError."""
        with self._asking(repository.registry) as registry:
            return registry.tags(repository.name)

    def image(self, reference: Reference, *, platform: str | None = None) -> RemoteImage:
        """Return what a registry says of an image.

        The platforms of an index are read from it alone; the size of one of them, and when it was made, are looked up
        where it is the `platform` asked for, or the only one. Raises RegistryError.
        """
        with self._asking(reference.registry) as registry:
            return self._image(registry, reference, platform)

    def _image(self, registry: Registry, reference: Reference, platform: str | None) -> RemoteImage:
        found = registry.manifest(reference.name, reference.wanted, accept=IMAGE)
        members = _members(found.data)
        if members is None:
            config = self._config(registry, reference, found.data)
            only = Platform(_name(config), found.digest, _size(found.data))
            return RemoteImage(str(reference), found.digest, (only,), _created(config))
        image = RemoteImage(str(reference), found.digest, members, index=True)
        chosen = image.platform(platform) if platform else members[0] if len(members) == 1 else None
        if chosen is None:
            return image
        manifest = registry.manifest(reference.name, chosen.digest, accept=IMAGE).data
        sized = Platform(chosen.name, chosen.digest, _size(manifest))
        created = _created(self._config(registry, reference, manifest))
        platforms = tuple(sized if one == chosen else one for one in members)
        return RemoteImage(str(reference), found.digest, platforms, created, index=True)

    def created(self, reference: Reference) -> str | None:
        """Return when an image was made, in ISO 8601, by that of its first platform. Raises RegistryError."""
        image = self.image(reference)
        if image.created is None and image.platforms:
            image = self.image(reference, platform=image.platforms[0].name)
        return image.created

    def _config(self, registry: Registry, reference: Reference, manifest: dict[str, Any]) -> dict[str, Any]:
        """Return an image's configuration; {} for what has none, such as an artifact that is no image."""
        digest = (manifest.get("config") or {}).get("digest")
        if not digest:
            return {}
        content = io.BytesIO()
        registry.blob(reference.name, str(digest), content)
        try:
            data = json.loads(content.getvalue())
        except ValueError:
            return {}
        return data if isinstance(data, dict) else {}

    @contextmanager
    def _asking(self, host: str) -> Iterator[Registry]:
        """Hand out the registry at `host`. One that did not answer a question will not answer the next one either."""
        if host in self._silent:
            raise self._silent[host]
        if host not in self._registries:
            self._registries[host] = Registry(host, self._web, self._environ)
        try:
            yield self._registries[host]
        except UnreachableError as error:
            self._silent[host] = error
            raise


def _members(data: dict[str, Any]) -> tuple[Platform, ...] | None:
    """Return the platforms of an index, None where a manifest is none. Attestations are no platform ("unknown")."""
    manifests = data.get("manifests")
    if not isinstance(manifests, list):
        return None
    found = [Platform(_name(one.get("platform") or {}), str(one.get("digest"))) for one in manifests]
    return tuple(one for one in found if not one.name.startswith("unknown/"))


def _name(data: Mapping[str, Any]) -> str:
    """Return `os/architecture[/variant]` as an index's `platform` and an image's configuration both spell it."""
    words = [
        str(data.get("os") or "unknown"),
        str(data.get("architecture") or "unknown"),
        str(data.get("variant") or ""),
    ]
    return "/".join(word for word in words if word)


def _size(manifest: dict[str, Any]) -> int:
    return sum(int(layer.get("size") or 0) for layer in manifest.get("layers") or ())


def _created(config: Mapping[str, Any]) -> str | None:
    created = str(config.get("created") or "")
    # Builds that are reproducible date themselves to the epoch, or to the year 1.
    return None if created < "1971" else created
