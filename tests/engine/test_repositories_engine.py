"""Two checkouts in one container: each at its place, with trees of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from devbox.paths import config_dir

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from devbox.engine.docker import Engine

pytestmark = pytest.mark.engine

DEVBOX = [sys.executable, "-m", "devbox"]
# Known by a file of its own, and mounted elsewhere than any other CMake tree.
KERNELS = """
extends = "cuda"
title = "Kernels"
default_variant = "cpu"
workspace_path = "/workspaces/kernels"
[detect]
all = ["kernels.txt"]
weight = 50
"""


def devbox(*args: str, cwd: Path) -> Any:
    done = subprocess.run([*DEVBOX, *args, "--json"], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)["data"]


@pytest.fixture
def pair(tmp_path: Path, base_image: str) -> Iterator[tuple[Path, Path]]:
    (config_dir() / "frameworks").mkdir(parents=True)
    (config_dir() / "frameworks" / "kernels.toml").write_text(KERNELS)
    app, kernels = tmp_path / "app", tmp_path / "kernels"
    for folder in (app, kernels):
        folder.mkdir()
        (folder / "CMakeLists.txt").write_text(
            f"cmake_minimum_required(VERSION 3.20)\nproject({folder.name} C)\nadd_library({folder.name} a.c)\n"
        )
        (folder / "a.c").write_text(f"int {folder.name}(void) {{ return 1; }}\n")
    (kernels / "kernels.txt").touch()
    (app / "devbox.toml").write_text(f'variant = "cpu"\nbase_image = "{base_image}"\n')
    yield app, kernels
    subprocess.run([*DEVBOX, "down", "--volumes", "--yes"], cwd=app, capture_output=True, check=False)


def test_each_checkout_has_its_place_and_its_trees(pair: tuple[Path, Path], engine: Engine) -> None:
    app, kernels = pair
    up = devbox("up", "--framework", "cuda", "--repositories", "../kernels", cwd=app)
    assert devbox("build", cwd=app)["compiled"] == 1
    first = devbox("build", "--repository", "kernels", cwd=app)
    assert first["compiled"] == 1
    assert first["tree"].startswith("/build/.repositories/kernels/")
    (kernels / "a.c").write_text("int kernels(void) { return 2; }\n")
    assert devbox("build", cwd=app)["commands"] == 0
    assert devbox("build", "--repository", "kernels", cwd=app)["compiled"] == 1
    listed = engine.run(["exec", up["container"], "ls", "/workspaces/kernels/kernels.txt", first["tree"]]).stdout
    assert "libkernels.a" in listed
    wrong = subprocess.run(
        [*DEVBOX, "build", "--repository", "vllm"], cwd=app, capture_output=True, text=True, check=False
    )
    assert wrong.returncode == 2
    assert "no repository called 'vllm' (it has: kernels)" in wrong.stderr
