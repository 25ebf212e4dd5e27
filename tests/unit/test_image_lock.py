"""`devbox.lock`: what is held, what is read back, and what is told of a file that makes no sense."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from devbox.errors import ConfigError, UsageError
from devbox.frameworks.load import load
from devbox.image.base import lock, pin
from devbox.image.registry.client import RegistryError
from devbox.image.registry.remote import Registries

if TYPE_CHECKING:
    from pathlib import Path

    from devbox.image.registry.reference import Reference

ONE, TWO = (f"sha256:{digit * 64}" for digit in "12")


class Shelf(Registries):
    """A registry in which every image has the digest TWO."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def digest(self, reference: Reference) -> str:
        self.asked.append(str(reference))
        return TWO


def test_what_is_written_is_held(tmp_path: Path) -> None:
    held = {"ubuntu:24.04": TWO, "nvidia/cuda:13.0.3-devel-ubuntu24.04": ONE, "localhost:5000/a/b": ONE}
    path = lock.write(tmp_path, held)
    assert path == tmp_path / "devbox.lock"
    assert lock.read(tmp_path) == tomllib.loads(path.read_text())["images"] == held
    assert list(lock.read(tmp_path)) == sorted(held)
    assert lock.locked("ubuntu:24.04", tmp_path) == f"ubuntu:24.04@{TWO}"
    # The same image, spelled in another way.
    assert lock.locked("docker.io/library/ubuntu:24.04", tmp_path) == f"docker.io/library/ubuntu:24.04@{TWO}"
    assert lock.locked("localhost:5000/a/b:latest", tmp_path).endswith(f":latest@{ONE}")


def test_what_is_not_held_stays_as_it_is(tmp_path: Path) -> None:
    assert lock.locked("ubuntu:24.04", None) == lock.locked("ubuntu:24.04", tmp_path) == "ubuntu:24.04"
    lock.write(tmp_path, {"ubuntu:24.04": ONE})
    assert lock.locked("ubuntu:22.04", tmp_path) == "ubuntu:22.04"
    assert lock.locked(f"ubuntu:24.04@{TWO}", tmp_path) == f"ubuntu:24.04@{TWO}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[images", "not valid TOML"),
        ("[image]", "no key 'image'"),
        ("images = 1", "'images' must be a table of digests"),
        ('[images]\n"a:1" = "sha256:12"', "'images.a:1' must be a digest"),
        ('[images]\n"a:1" = 1', "'images.a:1' must be a digest"),
        (f'[images]\n"A:1" = "{ONE}"', "'A:1' is no name of an image"),
    ],
)
def test_a_file_that_makes_no_sense(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "devbox.lock").write_text(text)
    with pytest.raises(ConfigError) as caught:
        lock.locked("ubuntu:24.04", tmp_path)
    assert str(tmp_path / "devbox.lock") in caught.value.message
    assert said in caught.value.message


def test_an_image_that_cannot_be_looked_up_is_named() -> None:
    class Far(Shelf):
        def digest(self, reference: Reference) -> str:
            raise RegistryError(f"{reference.registry} cannot be reached", hint="a hint")

    assert pin.look(("ubuntu:24.04",), {"ubuntu:24.04": ONE}, Far())[0].digest == ONE
    with pytest.raises(RegistryError, match=r"^far\.example/a:1 cannot be locked: far\.example cannot be") as caught:
        pin.look(("far.example/a:1",), {}, Far())
    assert caught.value.hint == "a hint"


def test_what_is_locked() -> None:
    framework = replace(load("cuda", "cpu"), base_image="ubuntu:24.04", runtime_image="ubuntu:24.04")
    assert pin.wanted({}, framework, ()) == ("ubuntu:24.04",)
    held = {"docker.io/ubuntu:24.04": ONE, "r.org/old:1": ONE}
    assert pin.wanted(held, framework, ("r.org/more",)) == (*held, "r.org/more")
    with pytest.raises(UsageError, match="has a digest already"):
        pin.wanted({}, framework, (f"r.org/a:1@{ONE}",))


def test_what_is_held_is_looked_up_again_only_when_asked(tmp_path: Path) -> None:
    shelf, held = Shelf(), {"a/b:1": ONE}
    pins = pin.look(("a/b:1", "a/b:2"), held, shelf)
    assert [(one.digest, one.changed) for one in pins] == [(ONE, False), (TWO, True)]
    assert shelf.asked == ["a/b:2"]
    assert pin.drift(pins[:1], tmp_path) is None
    pins = pin.look(("a/b:1",), held, shelf, update=True)
    error = pin.drift(pins, tmp_path)
    assert error is not None
    assert error.exit_code == 8
    assert "a/b:1" in error.message
