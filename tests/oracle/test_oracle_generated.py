"""The committed definitions, copied into a checkout: devbox and the reference CLI read the same, without a warning."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from devbox.devcontainer.read import read
from devbox.devcontainer.substitute import IdVariables, substitute

DEFINITIONS = sorted(path.parent for path in Path(__file__).parents[2].glob("devcontainers/*/devcontainer.json"))


def reference(cli: str, workspace: Path, scratch: Path) -> Any:
    """Return how the reference CLI reads the configuration of a workspace. It asks no engine, and no network."""
    # The CLI fetches this file from its web site when the copy is older than five minutes.
    manifest = scratch / f"devcontainercli-{getpass.getuser()}" / "control-manifest.json"
    manifest.parent.mkdir(parents=True)
    manifest.write_text('{"disallowedFeatures":[],"featureAdvisories":[]}')
    argv = [cli, "read-configuration", "--workspace-folder", str(workspace), "--docker-path", "true"]
    environ = {**os.environ, "TMPDIR": str(scratch)}
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "warn" not in done.stderr.lower()
    return json.loads(done.stdout)


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda path: path.name)
def test_a_committed_definition(definition: Path, tmp_path: Path, reference_cli: str) -> None:
    workspace = tmp_path / "tree"
    shutil.copytree(definition, workspace / ".devcontainer")
    path = workspace / ".devcontainer/devcontainer.json"
    contract = read(path, workspace, os.environ)
    assert contract.warnings == ()
    assert contract.generated
    assert contract.build is not None
    assert contract.build.dockerfile.is_file()

    # Reading leaves out the phase that fills in the id.
    answer = substitute(
        reference(reference_cli, workspace, tmp_path / "scratch"), IdVariables(contract.devcontainer_id)
    )
    theirs = {key: value for key, value in answer["configuration"].items() if key != "configFilePath"}
    assert theirs == contract.config
    folders = {"workspaceFolder": contract.workspace_folder, "workspaceMount": contract.workspace_mount}
    assert answer["workspace"] == folders


def test_there_is_one_for_each_framework(repository: Path) -> None:
    from devbox.frameworks.load import available, load

    names = {path.name for path in DEFINITIONS}
    for framework in map(load, available()):
        kinds = ("-gpu", "-cpu") if framework.gpu else ("",)
        assert {f"{framework.name}-{framework.variant}{kind}" for kind in kinds} <= names
    page = (repository / "devcontainers/README.md").read_text()
    assert all(f"[{name}]({name}/)" in page for name in names)
