"""The facts of the engine that runs here, held against what the engine really does."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from devbox.engine.docker import Engine
from devbox.facts import engine as engine_facts
from devbox.facts import gpu

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devbox.facts.model import EngineFacts

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def facts() -> EngineFacts:
    return engine_facts.gather(Engine())


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    """Return an image that holds nothing: limits are set before anything of it would run."""
    name = "devbox-test-facts:empty"
    # Two blocks of zeros are an archive without members.
    subprocess.run(["docker", "import", "-", name], input=bytes(1024), capture_output=True, check=True)
    yield name
    subprocess.run(["docker", "image", "rm", "--force", name], capture_output=True, check=True)


def start(image: str, limit: str) -> str:
    """Start a container with this limit; return what the engine had against it: the limit, or the missing program."""
    argv = ["docker", "run", "--rm", "--network", "none", "--ulimit", limit, image, "/none"]
    return subprocess.run(argv, capture_output=True, text=True, check=False).stderr


def refused(text: str) -> bool:
    return "rlimit" in text


def test_the_engine_says_what_it_is(facts: EngineFacts) -> None:
    version = subprocess.run(
        ["docker", "version", "--format", "{{.Server.Version}}"], capture_output=True, text=True, check=True
    )
    assert facts.version == version.stdout.strip()


@pytest.mark.parametrize("name", ["memlock", "stack", "nofile"])
def test_a_limit_is_exactly_what_the_engine_grants(facts: EngineFacts, image: str, name: str) -> None:
    highest = getattr(facts, name)
    if highest == 0:
        pytest.skip("this engine's limit cannot be learned")
    # No kernel grants unlimited open files, whoever asks.
    granted = highest or (65536 if name == "nofile" else -1)
    said = start(image, f"{name}={granted}")
    assert not refused(said), said
    assert "/none" in said
    if highest is not None:
        assert refused(start(image, f"{name}={highest + 1}"))


def test_gpus_are_some_or_none_with_a_reason(facts: EngineFacts) -> None:
    found = gpu.gather(Engine(), facts)
    assert found.reason
