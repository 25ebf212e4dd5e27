"""Two checkouts in one container: each at its place, with trees of its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from devbox.paths import config_dir
from tests.engine.lab import devbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from devbox.engine.docker import Engine

pytestmark = pytest.mark.engine

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


def said(*args: str, cwd: Path) -> Any:
    return json.loads(devbox(*args, "--json", cwd=cwd).stdout)["data"]


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
    devbox("down", "--volumes", "--yes", cwd=app, code=None)


def test_each_checkout_has_its_place_and_its_trees(pair: tuple[Path, Path], engine: Engine) -> None:
    app, kernels = pair
    up = said("up", "--framework", "cuda", "--repositories", "../kernels", cwd=app)
    assert said("build", cwd=app)["compiled"] == 1
    first = said("build", "--repository", "kernels", cwd=app)
    assert first["compiled"] == 1
    assert first["tree"].startswith("/build/.repositories/kernels/")
    (kernels / "a.c").write_text("int kernels(void) { return 2; }\n")
    assert said("build", cwd=app)["commands"] == 0
    assert said("build", "--repository", "kernels", cwd=app)["compiled"] == 1
    listed = engine.run(["exec", up["container"], "ls", "/workspaces/kernels/kernels.txt", first["tree"]]).stdout
    assert "libkernels.a" in listed
    wrong = devbox("build", "--repository", "vllm", cwd=app, code=2)
    assert "no repository called 'vllm' (it has: kernels)" in wrong.stderr
