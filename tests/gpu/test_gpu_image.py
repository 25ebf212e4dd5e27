"""GPUs and limits of containers that are no dev containers: `image run`, and a task that names a folder by the GPU."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from devbox.paths import config_dir
from tests.gpu.test_gpu_up import IMAGE, NODE, devbox

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.engine, pytest.mark.gpu]

TASK = """
extends = "cuda"

[[tasks]]
name = "compile"
title = "Write where engines lie"
image = "{image}"
shell = true
command = ["test", "-e", "{node}", "&&", "id", "-u", ">", "/engine/uid"]
mounts = ["{engines}/{{gpu}}:/engine"]
"""


@pytest.fixture
def image(request: pytest.FixtureRequest) -> str:
    """An image to work in."""
    return IMAGE or str(request.getfixturevalue("cuda_base_image"))


def test_an_image_runs_with_gpus_and_locks_memory(tmp_path: Path, image: str) -> None:
    script = f"test -e {NODE} && ulimit -l && stat -fc %T /dev/shm"
    said = devbox(tmp_path, "image", "run", image, "--framework", "cuda", "--gpus", "all", "--", "sh", "-c", script)
    assert said.split() == ["unlimited", "tmpfs"]
    without = devbox(
        tmp_path,
        "image",
        "run",
        image,
        "--framework",
        "cuda",
        "--gpus",
        "none",
        "--",
        "sh",
        "-c",
        f"ls {NODE}",
        check=False,
    )
    assert without == ""


def test_an_engines_folder_is_called_by_the_gpu(tmp_path: Path, image: str) -> None:
    folder = config_dir() / "frameworks"
    folder.mkdir(parents=True)
    (folder / "gputest.toml").write_text(TASK.format(image=image, node=NODE, engines=tmp_path / "engines"))
    devbox(tmp_path, "task", "run", "compile", "--framework", "gputest")
    asked = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader", "--id=0"]
    name = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip().replace(" ", "-")
    assert (tmp_path / "engines" / name / "uid").read_text().strip() == str(os.getuid())
