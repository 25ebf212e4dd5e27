"""GPUs in a dev container, on a machine that has one: asked for by hand, in compose, and in a generated contract."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from devbox.container.up.up import UpRequest, up
from devbox.reporter import Silent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devbox.engine.docker import Engine

pytestmark = [pytest.mark.engine, pytest.mark.gpu]

# An image with nvcc, cmake and ninja, for machines that can make none from packages. Read before settings are hidden.
IMAGE = os.environ.get("DEVBOX_GPU_IMAGE")
NODE = "/dev/nvidiactl"


@pytest.fixture
def image(request: pytest.FixtureRequest) -> str:
    """An image to work in."""
    return IMAGE or str(request.getfixturevalue("cuda_base_image"))


@pytest.fixture
def work(tmp_path: Path, engine: Engine) -> Iterator[Path]:
    """An empty checkout; its container is removed."""
    (tmp_path / "work/.devcontainer").mkdir(parents=True)
    yield tmp_path / "work"
    devbox(tmp_path / "work", "down", check=False)


def devbox(folder: Path, *args: str, check: bool = True) -> str:
    """Run devbox in a folder and return its output."""
    done = subprocess.run(
        [sys.executable, "-m", "devbox", *args],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2]), "PWD": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 or not check, done.stdout + done.stderr
    return done.stdout


def write(work: Path, image: str, kind: str, gpu: object) -> None:
    """Write a contract that asks for `gpu`."""
    contract: dict[str, object] = {"image": image}
    if kind == "compose":
        service = {"image": image, "command": ["sleep", "infinity"], "init": True}
        (work / ".devcontainer/compose.yaml").write_text(json.dumps({"services": {"dev": service}}))
        contract = {"dockerComposeFile": "compose.yaml", "service": "dev", "workspaceFolder": "/"}
    contract |= {"userEnvProbe": "none", "hostRequirements": {"gpu": gpu}}
    (work / ".devcontainer/devcontainer.json").write_text(json.dumps(contract))


def has_gpu(work: Path, engine: Engine) -> bool:
    """Bring the container up, and tell whether it has a GPU."""
    made = up(UpRequest(path=work, trust=True, yes=True), engine, Silent())
    return engine.run(["exec", made.container, "test", "-e", NODE], check=False).ok


@pytest.mark.parametrize("kind", ["image", "compose"])
def test_a_contract_gets_the_gpu_that_it_asks_for(work: Path, engine: Engine, image: str, kind: str) -> None:
    write(work, image, kind, gpu=False)
    assert not has_gpu(work, engine)
    # What is asked for is a part of what the container was made from, so a change of it replaces the container.
    write(work, image, kind, gpu=True)
    assert has_gpu(work, engine)


@pytest.mark.parametrize("form", ["--no-compose", "--compose"])
def test_kernels_run_on_it(saxpy: Path, engine: Engine, image: str, form: str) -> None:
    devbox(saxpy, "generate", form, "--framework", "cuda", "--base-image", image, "--gpus", "all", "--arch", "auto")
    try:
        devbox(saxpy, "up", "--yes", "--trust")
        assert devbox(saxpy, "exec", "--", "sh", "-c", "ulimit -l").strip() == "unlimited"
        devbox(saxpy, "build", "--no-cache", "--seed-from", "none")
        assert "100% tests passed" in devbox(saxpy, "exec", "--", "ctest", "--test-dir", "/build/current")
    finally:
        devbox(saxpy, "down", "--volumes", "--yes", check=False)


def said(work: Path, *checks: str) -> dict[str, list[str]]:
    """Return what doctor says of these checks, by severity."""
    found: dict[str, list[str]] = {}
    for one in json.loads(devbox(work, "doctor", *checks, "--json", check=False))["data"]["findings"]:
        found.setdefault(one["severity"], []).append(one["message"])
    return found


@pytest.mark.skipif(os.getuid() != 0, reason="only root may write below /etc/cdi")
def test_doctor_knows_the_gpu_and_a_specification_of_a_driver_that_is_gone(
    work: Path, engine: Engine, image: str
) -> None:
    write(work, image, "image", gpu=True)
    assert has_gpu(work, engine)
    name = subprocess.run(
        ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader", "--id=0"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    healthy = said(work, "gpu", "cuda", "limits")
    assert f"GPU 0: {name}" in "".join(healthy["ok"])
    assert "error" not in healthy
    device = {
        "name": "gone",
        "containerEdits": {"mounts": [{"hostPath": "/nowhere/libcuda.so.1", "containerPath": "/x"}]},
    }
    stale = Path("/etc/cdi/devbox-test.json")
    stale.parent.mkdir(exist_ok=True)
    try:
        stale.write_text(json.dumps({"cdiVersion": "0.5.0", "kind": "nvidia.com/gpu", "devices": [device]}))
        (error,) = said(work, "gpu")["error"]
    finally:
        stale.unlink()
    assert str(stale) in error
    assert "error" not in said(work, "gpu")
