"""What a person adds to a container is really there, and stays without being said again."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.engine.lab import devbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from devbox.engine.docker import Engine

pytestmark = pytest.mark.engine

VOLUME = f"devbox-test-models-{os.getpid()}"


def up(*args: str, cwd: Path) -> Any:
    return json.loads(devbox("up", *args, "--json", cwd=cwd).stdout)["data"]


@pytest.fixture
def checkout(saxpy: Path, base_image: str, engine: Engine) -> Iterator[Path]:
    (saxpy / "devbox.toml").write_text(f'framework = "cuda"\nvariant = "cpu"\nbase_image = "{base_image}"\n')
    yield saxpy
    devbox("down", "--volumes", "--yes", cwd=saxpy, code=None)
    engine.run(["volume", "rm", "--force", VOLUME], check=False)


def test_a_mount_a_variable_and_a_word_for_docker_run(checkout: Path, engine: Engine) -> None:
    data = checkout.parent / "my data, all"
    data.mkdir()
    (data / "weights").write_text("1")
    mount = f'type=bind,"source={data}",target=/data,readonly'
    first = up(
        "--mount", mount, "--env", "DYN_LOG=a, b", "--env", "HF_TOKEN", "--run-arg=--hostname=deep",
        "--port", "18473:80", cwd=checkout,
    )  # fmt: skip
    script = 'cat /data/weights; touch /data/x 2>&1; echo "$DYN_LOG|$HF_TOKEN|$(hostname)"'
    said = devbox("exec", "--", "sh", "-c", script, cwd=checkout, HF_TOKEN="from-here").stdout
    assert said.startswith("1")
    assert "Read-only file system" in said
    assert said.endswith("a, b|from-here|deep\n")
    inspected = engine.container(first["container"])
    assert inspected is not None
    assert inspected["HostConfig"]["PortBindings"] == {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "18473"}]}
    assert "from-here" not in json.dumps(inspected)

    second = up(cwd=checkout)
    assert (second["container"], second["outcome"], second["written"]) == (first["container"], "running", [])
    # Another choice is made, and the contract is written again: what was asked for stays.
    third = up("--env", "none", cwd=checkout)
    assert third["outcome"] == "created"
    assert third["reasons"] == ["containerEnv DYN_LOG: a, b → nothing"]
    assert devbox("exec", "--", "sh", "-c", script, cwd=checkout, HF_TOKEN="from-here").stdout.endswith("||deep\n")
    shown = devbox("config", "show", "--show-origin", cwd=checkout).stdout
    assert "--hostname=deep" in shown


def texts(checkout: Path) -> dict[Path, str]:
    return {path: path.read_text() for path in (checkout / ".devcontainer").rglob("*") if path.is_file()}


def test_a_choice_that_docker_refuses_is_not_recorded(checkout: Path, tmp_path: Path) -> None:
    said = devbox("up", "--run-arg=--nope", cwd=checkout, code=3).stderr
    assert "not recorded" in said
    assert not (checkout / ".devcontainer").exists()
    assert "no container's name" in devbox("up", "--name", "bad name", cwd=checkout, code=2).stderr

    first = up("--env", "A=1", "--run-arg=--cgroupns=host", cwd=checkout)
    before = texts(checkout)
    said = devbox("up", "--run-arg=--nope", "--env", "A=2", cwd=checkout, code=3).stderr
    assert "the old container still runs" in said
    assert texts(checkout) == before
    again = up(cwd=checkout)
    assert (again["container"], again["outcome"]) == (first["container"], "running")
    # Killed when the contract is written: the next one goes on with it, and takes it back.
    docker = tmp_path / "docker"
    docker.write_text(f'#!/bin/sh\n[ "$1" != create ] || kill -9 $PPID\nexec {shutil.which("docker")} "$@"\n')
    docker.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    devbox("up", "--run-arg=--nope", cwd=checkout, code=-9, PATH=path)
    assert texts(checkout) != before
    devbox("up", cwd=checkout, code=3)
    assert texts(checkout) == before
    # What was asked for before is known again, so that the next contract may be made from it.
    assert up("--port", "18474:80", cwd=checkout)["outcome"] == "created"


def test_a_volume_of_ones_own_in_a_compose_project_outlives_it(checkout: Path, engine: Engine) -> None:
    found = up("--compose", "--services", "none", "--mount", f"{VOLUME}:/models", "--env", "A=$HOME x", cwd=checkout)
    assert devbox("exec", "--", "sh", "-c", 'ls -d /models; echo "$A"', cwd=checkout).stdout == "/models\n$HOME x\n"
    assert up(cwd=checkout)["container"] == found["container"]
    refused = devbox("up", "--run-arg=--privileged", cwd=checkout, code=2).stderr
    assert "docker compose" in refused
    assert "--run-arg none" in refused
    assert VOLUME not in devbox("down", "--volumes", "--yes", cwd=checkout).stderr
    assert engine.volume(VOLUME) is not None
