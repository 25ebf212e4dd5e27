"""What a registry says of an image: its platforms, size and date, from an index or a single manifest."""

from __future__ import annotations

import hashlib
import json
from typing import Any, BinaryIO

import pytest

from devbox.config.network import Network
from devbox.image.prebuilt.published import list_tags
from devbox.image.registry.client import Manifest, Registry, RegistryError, UnreachableError
from devbox.image.registry.reference import parse
from devbox.image.registry.remote import Platform, Registries

CREATED = "2026-08-01T10:00:00Z"


class Shelf(Registry):
    """A registry of JSON documents: manifests by digest or tag, blobs by digest."""

    documents: dict[str, bytes]
    asked: list[str]

    def __init__(self) -> None:
        self.documents, self.asked, self.host = {}, [], "r.org"

    def add(self, document: dict[str, Any], *tags: str) -> str:
        content = json.dumps(document).encode()
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        self.documents |= dict.fromkeys((digest, *tags), content)
        return digest

    def image(self, architecture: str, *tags: str, variant: str = "", created: str = CREATED) -> str:
        config = {"os": "linux", "architecture": architecture, "created": created}
        layers = [{"size": 40}, {"size": 2}]
        named = {"variant": variant} if variant else {}
        return self.add({"config": {"digest": self.add(config | named)}, "layers": layers}, *tags)

    def manifest(self, name: str, reference: str, *, accept: str = "") -> Manifest:
        self.asked.append(reference)
        if reference not in self.documents:
            raise RegistryError("it is not there", status=404)
        content = self.documents[reference]
        return Manifest(f"sha256:{hashlib.sha256(content).hexdigest()}", content, json.loads(content))

    def blob(self, name: str, digest: str, target: BinaryIO) -> None:
        target.write(self.documents[digest])

    def tags(self, name: str) -> tuple[str, ...]:
        return tuple(tag for tag in self.documents if not tag.startswith("sha256:"))


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> Shelf:
    one = Shelf()
    monkeypatch.setattr("devbox.image.registry.remote.Registry", lambda *_: one)
    return one


def registries() -> Registries:
    return Registries(Network(), {})


def test_a_single_manifest(shelf: Shelf) -> None:
    digest = shelf.image("arm", "1", variant="v7")
    found = registries().image(parse("r.org/a:1"))
    assert (found.digest, found.created, found.index) == (digest, CREATED, False)
    assert found.platforms == (Platform("linux/arm/v7", digest, 42),)


def test_an_index_with_attestations(shelf: Shelf) -> None:
    amd, arm = shelf.image("amd64"), shelf.image("arm64")
    member = {"os": "linux", "architecture": "amd64"}
    entries = [
        {"digest": amd, "platform": member},
        {"digest": arm, "platform": member | {"architecture": "arm64", "variant": "v8"}},
        {"digest": amd, "platform": {"os": "unknown", "architecture": "unknown"}},
    ]
    digest = shelf.add({"manifests": entries}, "1")
    found = registries().image(parse("r.org/a:1"))
    assert (found.digest, found.index, found.created) == (digest, True, None)
    assert found.platforms == (Platform("linux/amd64", amd), Platform("linux/arm64/v8", arm))
    # The index is all that was asked for; one platform's size takes its own manifest.
    assert shelf.asked == ["1"]
    found = registries().image(parse("r.org/a:1"), platform="linux/arm64")
    assert found.platforms == (Platform("linux/amd64", amd), Platform("linux/arm64/v8", arm, 42))
    assert found.created == CREATED
    assert registries().image(parse("r.org/a:1"), platform="linux/s390x").platform("linux/s390x") is None
    assert registries().created(parse("r.org/a:1")) == CREATED


@pytest.mark.parametrize("created", ["", "1970-01-01T00:00:00Z", "0001-01-01T00:00:00Z"])
def test_an_image_that_does_not_say_when_it_was_made(created: str, shelf: Shelf) -> None:
    shelf.image("amd64", "1", created=created)
    assert registries().created(parse("r.org/a:1")) is None


def test_what_is_no_image(shelf: Shelf) -> None:
    shelf.add({"layers": []}, "artifact")
    assert registries().image(parse("r.org/a:artifact")).platforms[0].name == "unknown/unknown"
    assert shelf.add({"manifests": []}, "empty")
    assert registries().created(parse("r.org/a:empty")) is None


def test_tags_by_the_date_of_their_images(shelf: Shelf) -> None:
    shelf.image("amd64", "v2", created="2026-01-01T00:00:00Z")
    shelf.image("amd64", "v1", created="2026-02-01T00:00:00Z")
    shelf.image("amd64", "v3", created="")
    found = list_tags("r.org/a", registries(), created=True, limit=2)
    assert [tag.name for tag in found.tags] == ["v1", "v2"]
    assert (found.matching, found.total) == (3, 3)
    assert [tag.name for tag in list_tags("r.org/a", registries()).tags] == ["v3", "v2", "v1"]


def test_a_registry_that_does_not_answer_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def silent(registry: Registry, *_: object, **__: object) -> str:
        asked.append(registry.host)
        raise UnreachableError(f"{registry.host} cannot be reached")

    monkeypatch.setattr(Registry, "digest", silent)
    one = registries()
    for name in ("gone.org/a:1", "gone.org/b:1", "r.org/a:1"):
        with pytest.raises(UnreachableError):
            one.digest(parse(name))
    with pytest.raises(UnreachableError):
        one.tags(parse("gone.org/a"))
    assert asked == ["gone.org", "r.org"]
