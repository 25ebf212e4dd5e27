"""Where Features come from: the checkout, or a registry or server by way of a cache that is addressed by content.

What is in the cache is not asked for again: a Feature that a lock file or a digest holds needs no network. A tag is
looked up once, as for images; `pull` looks for what it means now.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError

from devbox import lean
from devbox.devcontainer.features import ids, metadata
from devbox.devcontainer.features.ids import Archive, Artifact, Local
from devbox.devcontainer.features.order import Feature
from devbox.errors import ContractError, ImageError
from devbox.files import write_atomically
from devbox.image.features.archive import unpack
from devbox.image.registry.client import Registry, RegistryError, Web, copy
from devbox.paths import cache_dir

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from devbox.config.network import Network
    from devbox.devcontainer.features.ids import Reference, Value
    from devbox.devcontainer.features.lock import Lock

_ARTIFACT_TYPE = "application/vnd.devcontainers"
_ARCHIVE_TYPE = "application/vnd.devcontainers.layer.v1+tar"
_ANNOTATION = "dev.containers.metadata"
_GITHUB = ("https://github.com/", "https://api.github.com/")


@dataclass(slots=True)
class FeatureStore:
    """The Features that one contract may refer to. `warn` takes what a person should know.

    `lock` holds some of them at a digest. `pull` looks up again what tags and URLs mean that it does not hold.
    """

    contract: Path
    workspace: Path
    lock: Lock
    network: Network
    environ: Mapping[str, str]
    warn: Callable[[str], None]
    pull: bool = False
    _root: Path = field(default_factory=lambda: cache_dir() / "features")
    _web: Web | None = None
    _registries: dict[str, Registry] = field(default_factory=dict)
    _found: dict[Reference, tuple[metadata.Metadata, Path, str | None]] = field(default_factory=dict)

    def refer(self, identifier: str) -> Reference | None:
        """Return what an identifier of `installsAfter` refers to, None where that is nothing."""
        try:
            return ids.parse(identifier, self.contract, self.workspace)
        except ContractError:
            return None

    def fetch(self, identifier: str, value: Value) -> Feature:
        """Return a Feature with its files on the host. Raises ContractError, RegistryError and ImageError."""
        reference = ids.parse(identifier, self.contract, self.workspace)
        if reference not in self._found:
            try:
                self._found[reference] = self._get(identifier, reference)
            except ImageError as error:
                # Its first words are the reference's, which tools look for.
                problem = f"Could not resolve Feature '{identifier}': {error.message}"
                hint = error.hint
                if isinstance(reference, Archive) and reference.released:
                    hint = hint or f"name it by its registry, such as ghcr.io/{identifier.partition('@')[0]}"
                raise type(error)(problem, hint=hint, detail=error.detail) from None
        found, folder, digest = self._found[reference]
        return Feature(identifier, value, reference, found, folder, digest)

    def _get(self, identifier: str, reference: Reference) -> tuple[metadata.Metadata, Path, str | None]:
        published = None
        digest = None
        if isinstance(reference, Local):
            folder = reference.folder
            if not folder.is_dir():
                raise ContractError(
                    f"{self.contract}: the Feature {identifier} is not there: {folder} is no folder",
                    hint=f"edit {self.contract}",
                )
        elif isinstance(reference, Archive):
            folder, digest = self._archive(identifier, reference)
        else:
            folder, digest, published = self._artifact(identifier, reference)
        return self._read(identifier, folder, published), folder, digest

    def _read(self, identifier: str, folder: Path, published: str | None) -> metadata.Metadata:
        path = folder / metadata.FILE_NAME
        try:
            text = lean.text(path)
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
            raise ContractError(f"the Feature {identifier} has no {metadata.FILE_NAME} in {folder}: {reason}") from None
        if not (folder / metadata.SCRIPT).is_file():
            raise ContractError(f"the Feature {identifier} has no {metadata.SCRIPT} in {folder}")
        return metadata.read(text, path, published=published)

    # Archives

    def _archive(self, identifier: str, archive: Archive) -> tuple[Path, str | None]:
        """Return the folder of an archive, and the digest of one that was downloaded."""
        if not archive.remote:
            try:
                content = lean.stored(archive.place)
            except OSError as error:
                raise ContractError(f"the Feature {identifier} cannot be read: {error.strerror or error}") from None
            # It is in the checkout, as a folder would be, so the lock file does not hold it.
            return self._unpacked(Path(archive.place), _digest(content)), None
        noted = self._root / "urls" / hashlib.sha256(archive.place.encode()).hexdigest()
        held = self.lock.digest(identifier)
        digest = held or (None if self.pull else _noted(noted))
        if digest is not None and (folder := self._tree(digest)).is_dir():
            return folder, digest

        with TemporaryDirectory(prefix="devbox-") as scratch:
            file = Path(scratch, "feature.tgz")
            now = self._download(archive.place, file)
            if held is not None and now != held:
                raise self._changed(identifier, held, now)
            folder = self._unpacked(file, now)
        write_atomically(noted, now)
        return folder, now

    def _download(self, url: str, file: Path) -> str:
        """Download `url` and return its digest."""
        token = self.environ.get("GITHUB_TOKEN", "") if url.startswith(_GITHUB) else ""
        try:
            with self._http().get(url, {}, authorization=token and f"Bearer {token}") as answer, file.open("wb") as out:
                return copy(answer, out, url)
        except HTTPError as error:
            error.close()
            raise RegistryError(f"{url} cannot be had: HTTP {error.code}: {error.reason}", status=error.code) from None

    def _changed(self, identifier: str, held: str, found: str) -> ContractError:
        return ContractError(
            f"the Feature {identifier} is not what {self.lock.path} holds it at: {held} is now {found}",
            hint=f"rm {self.lock.path}   # if you trust the new one",
        )

    # Artifacts

    def _artifact(self, identifier: str, artifact: Artifact) -> tuple[Path, str, str | None]:
        """Return the folder of an artifact, the digest of its manifest, and the metadata that this holds."""
        held = artifact.digest or self.lock.digest(identifier) or self.lock.digest(ids.modern(identifier)[0])
        digest, manifest = self._manifest(artifact, held)
        data = json.loads(manifest)
        layer = _layer(data)
        if layer is None:
            raise ImageError("it is an artifact of another kind", hint=f"edit {self.contract}")
        folder = self._tree(layer)
        if not folder.is_dir():
            with TemporaryDirectory(prefix="devbox-") as scratch:
                file = Path(scratch, "feature.tgz")
                with file.open("wb") as out:
                    self._registry(artifact.registry).blob(artifact.name, layer, out)
                self._unpacked(file, layer)
        return folder, digest, annotated(data)

    def _manifest(self, artifact: Artifact, held: str | None) -> tuple[str, bytes]:
        """Return digest and bytes of an artifact's manifest, from the cache where that knows it."""
        noted = self._root / "tags" / artifact.resource.replace(":", "_") / (artifact.tag or "latest")
        known = _noted(noted)
        digest = held or (None if self.pull else known)
        if digest is not None and (content := self._kept(digest)) is not None:
            return digest, content

        try:
            found = self._registry(artifact.registry).manifest(artifact.name, digest or artifact.reference)
        except RegistryError as error:
            if held and not artifact.digest and error.status == 404:
                raise RegistryError(
                    f"{artifact.resource} has no {held} any more, at which {self.lock.path} holds it",
                    hint=f"rm {self.lock.path}   # and take what the tag means now",
                ) from None
            if held is None and known is not None and (content := self._kept(known)) is not None:
                self.warn(f"no newer {artifact.resource}:{artifact.reference} could be had: {error.message}")
                return known, content
            raise
        write_atomically(self._manifest_path(found.digest), found.content.decode("utf-8"))
        if held is None:
            write_atomically(noted, found.digest)
        return found.digest, found.content

    def _kept(self, digest: str) -> bytes | None:
        try:
            content = lean.stored(self._manifest_path(digest))
        except OSError:
            return None
        return content if _digest(content) == digest else None

    def _manifest_path(self, digest: str) -> Path:
        return self._root / "manifests" / f"{digest.removeprefix('sha256:')}.json"

    def _registry(self, host: str) -> Registry:
        if host not in self._registries:
            self._registries[host] = Registry(host, self._http(), self.environ)
        return self._registries[host]

    def _http(self) -> Web:
        if self._web is None:
            self._web = Web(self.network)
        return self._web

    # The cache

    def _tree(self, digest: str) -> Path:
        return self._root / "trees" / digest.removeprefix("sha256:")

    def _unpacked(self, file: Path, digest: str) -> Path:
        folder = self._tree(digest)
        unpack(file, folder, "its archive")
        return folder


def annotated(manifest: Mapping[str, Any]) -> str | None:
    """Return what a Feature says about itself in its manifest, where its publisher put it there."""
    annotations = manifest.get("annotations")
    said = annotations.get(_ANNOTATION) if isinstance(annotations, dict) else None
    return said if isinstance(said, str) else None


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _layer(manifest: dict[str, Any]) -> str | None:
    """Return the digest of a Feature's archive, None where a manifest is not that of a Feature."""
    try:
        layer = manifest["layers"][0]
        fits = manifest["config"]["mediaType"] == _ARTIFACT_TYPE and layer["mediaType"] == _ARCHIVE_TYPE
    except (LookupError, TypeError):
        return None
    digest = layer.get("digest")
    return str(digest) if fits and ids.is_digest(digest) else None


def _noted(path: Path) -> str | None:
    """Return the digest that is noted in a file of the cache."""
    try:
        text = lean.stored(path).decode("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return text if ids.is_digest(text) else None
