"""The facts of the engine that runs here, held against what the engine really does."""

from __future__ import annotations

import subprocess

import pytest

from devbox.engine.docker import Engine
from devbox.facts import engine as engine_facts
from devbox.facts import gpu

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def facts():
    return engine_facts.gather(Engine())


@pytest.fixture(scope="module")
def image():
    """Return an image that holds nothing: limits are set before anything of it would run."""
    name = "devbox-test-facts:empty"
    # Two blocks of zeros are an archive without members.
    subprocess.run(["docker", "import", "-", name], input=bytes(1024), capture_output=True, check=True)
    yield name
    subprocess.run(["docker", "image", "rm", "--force", name], capture_output=True, check=True)


def start(image, memlock):
    """Start a container with this limit; return what the engine had against it: the limit, or the missing program."""
    argv = ["docker", "run", "--rm", "--network", "none", "--ulimit", f"memlock={memlock}", image, "/none"]
    return subprocess.run(argv, capture_output=True, text=True, check=False).stderr


def refused(text):
    return "rlimit" in text


def test_the_engine_says_what_it_is(facts):
    version = subprocess.run(
        ["docker", "version", "--format", "{{.Server.Version}}"], capture_output=True, text=True, check=True
    )
    assert facts.version == version.stdout.strip()


def test_memlock_is_exactly_what_the_engine_grants(facts, image):
    if facts.memlock == 0:
        pytest.skip("this engine's limit cannot be learned")
    granted = -1 if facts.memlock is None else facts.memlock
    said = start(image, granted)
    assert not refused(said), said
    assert "/none" in said
    if facts.memlock is not None:
        assert refused(start(image, facts.memlock + 1))
        assert refused(start(image, -1))


def test_gpus_are_some_or_none_with_a_reason(facts):
    found = gpu.gather(Engine(), facts)
    assert found.reason
