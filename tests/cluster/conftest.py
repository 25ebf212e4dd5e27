"""A namespace of the cluster that KUBECONFIG names, and small checkouts for it.

The environment says how an image gets to the nodes: TEST_REGISTRY is where it is pushed to, or TEST_LOAD the command
that takes it to a node of this machine.
"""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.engine.conftest import image  # noqa: F401  # the development image, which no test here builds anew
from tests.reach.checkout import Here, small

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from devbox.engine.docker import Engine

BASE = "devbox-cluster-base:1"
# Little, so that several pods fit a small node.
ASKED = {
    "DEVBOX_KUBERNETES_CPUS": "100m",
    "DEVBOX_KUBERNETES_MEMORY": "256Mi",
    "DEVBOX_KUBERNETES_CLAIM_SIZE": "1Gi",
}
_WAYS = {"TEST_REGISTRY": "DEVBOX_KUBERNETES_REGISTRY", "TEST_LOAD": "DEVBOX_KUBERNETES_LOAD"}


def kubectl(*args: str, check: bool = True) -> str:
    """Run kubectl and return what it wrote to stdout."""
    return subprocess.run(["kubectl", *args], check=check, capture_output=True, text=True).stdout


def _ways() -> dict[str, str]:
    return {setting: os.environ[name] for name, setting in _WAYS.items() if name in os.environ}


@pytest.fixture(scope="session")
def namespace() -> Iterator[str]:
    """A namespace of its own, removed in the end. Skips where no cluster answers."""
    if "KUBECONFIG" not in os.environ or subprocess.run(["kubectl", "get", "--raw", "/readyz"], check=False).returncode:
        pytest.skip("KUBECONFIG names no cluster that answers")
    if not _ways():
        pytest.skip(f"neither {' nor '.join(_WAYS)} says how an image gets to the nodes")
    name = f"devbox-test-{os.getpid()}"
    kubectl("create", "namespace", name)
    try:
        yield name
    finally:
        kubectl("delete", "namespace", name, "--wait=false", check=False)


@pytest.fixture(scope="session")
def base(namespace: str, engine: Engine, image: str) -> Iterator[str]:  # noqa: F811
    """What contracts here start from."""
    engine.run(["tag", image, BASE])
    yield BASE
    engine.run(["image", "rm", BASE], check=False)


@pytest.fixture
def place(namespace: str) -> str:
    """Where pods are made: the current context, and the namespace."""
    return f"kubernetes:{json.loads(kubectl('config', 'view', '--output=json'))['current-context']}/{namespace}"


@pytest.fixture
def checkout(place: str, base: str, tmp_path: Path) -> Iterator[Callable[..., Here]]:
    """Make small checkouts, each for somebody with a memory of their own; what they have in the cluster is removed."""
    made: list[Here] = []

    def make(name: str = "small", **environ: str) -> Here:
        own = {"DEVBOX_STATE_DIR": str(tmp_path / f"state-{len(made)}"), "DEVBOX_ON": place}
        made.append(small(tmp_path / name, {**os.environ, **ASKED, **_ways(), **own, **environ}))
        return made[-1]

    yield make
    for at in made:
        at.devbox("down", "--volumes", "--yes", code=None)


@pytest.fixture
def here(checkout: Callable[..., Here]) -> Here:
    """One such checkout."""
    return checkout()


def up(at: Here, *more: str, code: int | None = 0) -> str:
    return at.devbox("up", "--yes", "--variant", "cpu", "--base-image", BASE, *more, code=code)
