"""`devbox build --install`, `--wheel` and `devbox test` in a real container, which the environment outlives."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from devbox.container.up.up import UpRequest, up
from devbox.reporter import Silent
from tests.asked import asked
from tests.engine.lab import devbox, remove

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

    from devbox.engine.docker import Engine

pytestmark = pytest.mark.engine

FRAMEWORK = """\
extends = "cuda"
title = "A package with a C part"
default_variant = "cpu"

[build]
install = true
install_prefix = "{source}"
test = ["python3", "-m", "unittest", "checks/answer.py"]

[python.env]
PYEXT_PREBUILT = "{empty}"
"""
CONTRACT = {
    "image": "",
    "remoteUser": "dev",
    "userEnvProbe": "none",
    "workspaceFolder": "/workspaces/pyext",
    "workspaceMount": "type=bind,source=${localWorkspaceFolder},target=/workspaces/pyext",
    # As devbox writes it for a framework with a Python package.
    "remoteEnv": {"PATH": "/build/python/bin:${containerEnv:PATH}", "VIRTUAL_ENV": "/build/python"},
    "customizations": {"devbox": {"framework": "pyext", "variant": "cpu"}},
}


@pytest.fixture(scope="module")
def image(engine: Engine, base_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The development image of the framework `cuda`, with pip beside its Python, as those with torch have it."""
    pip = pytest.importorskip("pip")
    folder = tmp_path_factory.mktemp("image")
    work = folder / "small"
    work.mkdir()
    (work / "CMakeLists.txt").touch()
    user = "1000:1000:dev" if os.getuid() == 0 else None
    up(
        UpRequest(path=work, **asked(framework="cuda", variant="cpu", base_image=base_image, user=user)),
        engine,
        Silent(),
    )
    parent = engine.containers({"devcontainer.local_folder": str(work)})[0].image_id
    context = folder / "context"
    shutil.copytree(Path(pip.__file__).parent, context / "pip", ignore=shutil.ignore_patterns("__pycache__"))
    name = f"devbox-test-{os.getpid()}-python"
    engine.run(["tag", parent, f"{name}:parent"])
    (context / "Dockerfile").write_text(f"FROM {name}:parent\nCOPY pip /usr/lib/python3/dist-packages/pip\n")
    engine.run(["build", "--quiet", "--tag", name, str(context)])
    yield name
    engine.run(["image", "rm", "--force", name, f"{name}:parent"], check=False)


@dataclass
class Checkout:
    """The tree `pyext` with a contract of its own."""

    engine: Engine
    path: Path

    def devbox(self, *args: str, code: int = 0, framework: str | None = None) -> subprocess.CompletedProcess[str]:
        environ = {"DEVBOX_FRAMEWORK": framework, "DEVBOX_VARIANT": "cpu"} if framework else {}
        return devbox(*args, cwd=self.path, code=code, **environ)


@pytest.fixture
def checkout(
    engine: Engine,
    image: str,
    repository: Path,
    tmp_path: Path,
    engine_name: Callable[[str], str],
) -> Iterator[Checkout]:
    frameworks = Path(os.environ["DEVBOX_CONFIG_DIR"], "frameworks")
    frameworks.mkdir(parents=True)
    (frameworks / "pyext.toml").write_text(FRAMEWORK)
    work = tmp_path / "pyext"
    shutil.copytree(repository / "tests/trees/pyext", work, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    contract = {**CONTRACT, "image": image, "mounts": [f"type=volume,source={engine_name('build')},target=/build"]}
    (work / ".devcontainer.json").write_text(json.dumps(contract))
    if os.getuid() == 0:
        for path in (work, *work.rglob("*")):
            os.chown(path, 1000, 1000)
    made = Checkout(engine, work)
    made.devbox("up", "--yes", "--trust")
    yield made
    remove(engine, made.path)


def test_the_environment_outlives_the_container(checkout: Checkout) -> None:
    checkout.devbox("test", code=1)
    report = json.loads(checkout.devbox("build", "--install", "--json").stdout)["data"]
    assert report["compiled"] == 1
    assert [one["did"] for one in report["python"]] == ["installed"]
    remove(checkout.engine, checkout.path)
    checkout.devbox("up", "--yes", "--trust")
    answer = checkout.devbox("exec", "--", "sh", "-c", "cd / && python3 -c 'import pyext; print(pyext.answer())'")
    assert answer.stdout == "42\n"
    again = json.loads(checkout.devbox("build", "--install", "--json").stdout)["data"]
    assert (again["commands"], again["configured"]) == (0, [])
    assert [one["did"] for one in again["python"]] == ["nothing"]


def test_tests_pass_their_exit_code_on(checkout: Checkout) -> None:
    assert "FAILED" in checkout.devbox("test", "--build", code=1).stderr
    checkout.devbox("test", "--", "-k", "test_answer")


def test_a_wheel_in_dist_and_back_as_a_prebuilt_one(checkout: Checkout, tmp_path: Path) -> None:
    report = json.loads(checkout.devbox("build", "--wheel", "--json").stdout)["data"]["python"][0]
    wheel = checkout.path / report["wheel"]
    assert wheel.parent == checkout.path / "dist"
    assert wheel.stat().st_uid == checkout.path.stat().st_uid
    outside = shutil.copy(wheel, tmp_path)
    (checkout.path / "pyext/answer.so").unlink()
    framework = Path(os.environ["DEVBOX_CONFIG_DIR"], "frameworks/pyext.toml")
    framework.write_text(f'{FRAMEWORK}\n[python.precompiled_location]\nPYEXT_PREBUILT = "{{precompiled}}"\n')
    checkout.devbox("build", f"--precompiled={outside}")
    checkout.devbox("test", "--", "-k", "test_answer")


def test_a_framework_without_a_python_package_is_told_before_anything_is_built(checkout: Checkout) -> None:
    failed = checkout.devbox("build", "--wheel", code=2, framework="cuda")
    assert "has no Python package" in failed.stderr
    assert "configuring" not in failed.stderr


def test_what_pip_says_is_told_when_it_fails(checkout: Checkout) -> None:
    (checkout.path / "backend.py").write_text("raise SystemExit('compiling for an hour')\n")
    failed = checkout.devbox("build", "--python", code=1)
    assert "compiling for an hour" in failed.stderr
    assert "error: pip failed, exit code 1" in failed.stderr
