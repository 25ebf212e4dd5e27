"""Mounts of awkward paths, as devbox writes and reads them, are what the engine makes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from devbox.config.network import Network
from devbox.devcontainer.find import place
from devbox.devcontainer.merge import merge
from devbox.devcontainer.read import read
from devbox.devcontainer.users import ContainerUser
from devbox.devcontainer.writing.draft import generate
from devbox.devcontainer.writing.limits import limit_args
from devbox.devcontainer.writing.request import GenerateRequest
from devbox.devcontainer.writing.write import write
from devbox.facts import engine as engine_facts
from devbox.facts.model import Checkout
from devbox.frameworks.arch import Arch
from devbox.frameworks.load import load
from devbox.image.assembly.recipe import recipe

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from devbox.engine.docker import Engine

pytestmark = pytest.mark.engine


@pytest.fixture
def empty_image(engine: Engine, engine_name: Callable[[str], str], tmp_path: Path) -> object:
    """An image without a file in it: enough for a container that is never started."""
    archive = tmp_path / "empty.tar"
    archive.write_bytes(bytes(10240))
    name = engine_name("empty")
    engine.run(["import", str(archive), name])
    yield name
    engine.run(["image", "rm", "--force", name], check=False)


@pytest.mark.parametrize("name", ["plain", "a, b", 'a "b"', 'a "b", c', "é ü=x", "$HOME ${x}"])
def test_the_engine_mounts_the_workspace_whatever_its_name(
    name: str, tmp_path: Path, engine: Engine, empty_image: str, engine_name: Callable[[str], str]
) -> None:
    workspace, bundle = tmp_path / name, tmp_path / f"{name}.pem"
    workspace.mkdir()
    bundle.touch()
    framework, user, network = load("cuda", "cpu"), ContainerUser("ada", 1000, 1000, "/home/ada"), Network(bundle)
    checkout = Checkout(workspace)
    limits, _ = limit_args(engine_facts.gather(engine))
    made = generate(
        GenerateRequest(
            checkout=checkout,
            framework=framework,
            recipe=recipe(
                framework, base_image=empty_image, user=user, find_links=None, network=network, checkout=workspace
            ),
            arch=Arch((), ""),
            user=user,
            owner=1000,
            network=network,
            placement=place(checkout, framework.name),
            limits=limits,
        )
    )
    written = write(checkout, made)
    contract = read(written.paths[0], workspace, {})
    merged = merge(contract, [], {"User": ""})
    assert contract.workspace_mount is not None
    binds = [mount for mount in merged.mounts if mount.startswith("type=bind")]
    container = engine_name("mounts")
    mounts = [word for mount in (contract.workspace_mount, *binds) for word in ("--mount", mount)]
    engine.run(["create", "--name", container, *mounts, *merged.run_args, empty_image, "/none"])
    try:
        inspected = engine.container(container)
        assert inspected is not None
        assert {mount["Destination"]: mount["Source"] for mount in inspected["Mounts"]} == {
            "/workspaces/cuda": str(workspace),
            "/etc/devbox/ca-bundle.pem": str(bundle),
        }
    finally:
        engine.run(["rm", "--force", container], check=False)


def test_the_engine_starts_a_container_with_the_limits_that_are_written(engine: Engine, base_image: str) -> None:
    limits, _ = limit_args(engine_facts.gather(engine))
    started = engine.run(["run", "--rm", *limits, base_image, "sh", "-c", "ulimit -Hn"])
    assert int(started.stdout) <= 65536
