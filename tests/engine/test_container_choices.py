"""A contract that devbox wrote is written again from what was asked for before, and is never taken from its editor."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from devbox import config
from devbox.container.contract.inforce import in_force
from devbox.container.request import UpRequest
from devbox.container.up.apply import Journal
from devbox.reporter import Silent
from tests.asked import asked

if TYPE_CHECKING:
    from pathlib import Path

    from devbox.container.contract.inforce import InForce
    from devbox.engine.docker import Engine

pytestmark = pytest.mark.engine


def write(engine: Engine, tree: Path, **flags: Any) -> InForce:
    request = UpRequest(tree, **asked(**flags))
    return in_force(request, config.load(tree, environ={}, flags=request.flags), Journal(engine, Silent()))


def test_a_second_run_keeps_the_choices_of_the_first(saxpy: Path, engine: Engine, base_image: str) -> None:
    wheels = saxpy.parent / "wheels"
    wheels.mkdir()
    write(engine, saxpy, framework="cuda", base_image=base_image, gpus="none", user="2000:3000:bob", find_links=wheels)
    again = write(engine, saxpy, arch="100", name="devbox-test-mine").contract
    assert again.config["remoteUser"] == "bob"
    assert any(f"wheels={wheels}" in option for option in again.config["build"]["options"])
    assert again.config["build"]["args"]["BASE_IMAGE"] == base_image
    assert again.record.choices == {
        "base_image": base_image, "gpus": "none", "arch": "100", "user": "2000:3000:bob",
        "find_links": str(wheels), "name": "devbox-test-mine",
    }  # fmt: skip
    assert "--name=devbox-test-mine" in write(engine, saxpy, arch="90").contract.config["runArgs"]


def test_an_edited_contract_is_used_and_force_alone_writes_it_again(
    saxpy: Path, engine: Engine, base_image: str
) -> None:
    path = write(engine, saxpy, framework="cuda", base_image=base_image, gpus="none").contract.path
    path.write_text(path.read_text().replace('"init": true', '"init": false'))
    assert write(engine, saxpy, arch="90").contract.config["init"] is False
    assert write(engine, saxpy).contract.config["init"] is False
    forced = write(engine, saxpy, force=True).contract
    assert (forced.config["init"], forced.generated, forced.record.choices["gpus"]) == (True, True, "none")
    assert json.loads(path.read_text()) == forced.raw
