"""`userEnvProbe`: what each of its four forms takes from the start-up files of the user's shell."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from devbox.container.inside import probe
from devbox.devcontainer.merge import merge
from devbox.devcontainer.read import read

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from devbox.engine.docker import Engine

pytestmark = pytest.mark.engine

# Each start-up file says its name, and prints what must not be taken for the environment.
FILES = r"""
printf 'echo hello from profile\nexport FROM_PROFILE=1 WEIRD="a=b
c"\n' > /root/.bash_profile
printf 'echo hello from bashrc\nexport FROM_BASHRC=1\n' > /root/.bashrc
"""


@pytest.fixture(scope="module")
def container(engine: Engine, base_image: str) -> Iterator[str]:
    """A container whose root has a shell with start-up files of both kinds."""
    args = ["run", "--detach", "--init", "--env", "SHELL=/bin/bash", "--env", "OWN=container", base_image]
    made = engine.run([*args, "sleep", "600"]).stdout.strip()
    engine.run(["exec", made, "sh", "-c", FILES])
    yield made
    engine.run(["rm", "--force", made])


@pytest.mark.parametrize(
    ("kind", "seen"),
    [
        ("none", set()),
        ("loginShell", {"FROM_PROFILE"}),
        ("interactiveShell", {"FROM_BASHRC"}),
        # bash reads the profile alone where it is a login shell; a profile may read the other file.
        ("loginInteractiveShell", {"FROM_PROFILE"}),
    ],
)
def test_each_form_reads_the_files_of_its_shell(
    kind: str, seen: set[str], engine: Engine, container: str, tmp_path: Path
) -> None:
    inspected = engine.container(container)
    assert inspected is not None
    (tmp_path / ".devcontainer.json").write_text(json.dumps({"image": "x", "userEnvProbe": kind}))
    merged = merge(read(tmp_path / ".devcontainer.json", tmp_path, {}), (), {})
    found, warning, _ = probe.user_environ(engine, probe.Reading(inspected, None, merged))
    assert warning is None
    assert {name for name in found if name.startswith("FROM_")} == seen
    if kind != "none":
        assert found["OWN"] == "container"
    if "FROM_PROFILE" in seen:
        assert found["WEIRD"] == "a=b\nc"
