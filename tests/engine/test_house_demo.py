"""The demo is the main job: it works from nothing, compiles what was edited, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from devbox.engine.docker import Engine

pytestmark = pytest.mark.engine


def left_behind(engine: Engine, folder: Path) -> set[str]:
    """Return the workspaces below `folder` that have a container."""
    containers = engine.run(["ps", "--all", "--format", '{{.Label "devcontainer.local_folder"}}']).stdout.splitlines()
    return {line for line in containers if line.startswith(f"{folder}/")}


def test_the_demo_runs_and_cleans_up(engine: Engine, cuda_base_image: str, repository: Path, tmp_path: Path) -> None:
    program = tmp_path / "bin/devbox"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m devbox "$@"\n')
    program.chmod(0o755)
    environ = {
        **os.environ,
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(repository),
        "TMPDIR": str(tmp_path),
        # What the registry has is not what this is about.
        "DEVBOX_BASE_IMAGE": cuda_base_image,
    }
    done = subprocess.run(
        [repository / "tests/trees/demo.sh"],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout
    first, second = done.stdout.split("$ devbox build --incremental")[1:]
    assert "7 objects compiled" in first, done.stdout
    assert re.search(r"\b1 objects? compiled", second), done.stdout
    assert left_behind(engine, tmp_path) == set()
    volumes = set(re.findall(r"devbox-\d+-build-\w+", done.stdout.rpartition("$ devbox down")[2]))
    assert volumes
    assert [name for name in volumes if engine.volume(name)] == []
    assert not list(tmp_path.glob("devbox-demo.*"))
