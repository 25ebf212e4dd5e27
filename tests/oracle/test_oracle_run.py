"""What the reference CLI would tell `docker run` for a contract, against what devbox derives from it."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from devbox.devcontainer.identity import METADATA
from devbox.devcontainer.merge import merge
from devbox.devcontainer.read import read
from devbox.engine.spec import ContainerSpec, container_args

HERE = Path(__file__).parent
ENVIRON = {"ORACLE_SET": "a value", "ORACLE_EMPTY": "", "ORACLE_VARIABLE": "x"}
CASES = (
    "app-port-number",
    "capabilities",
    "customizations",
    "environment",
    "hooks-objects",
    "mounts",
    "mounts-one-target",
    "ports",
    "run-args",
    "switches",
    "users",
    "user-in-run-args",
    "variables-id",
    "variables-local",
    "workspace-mount",
    "workspace-mount-none",
    "workspace-mount-quoted",
)
SHORT = {"--label": "-l", "--env": "-e", "--user": "-u"}


def reference_argv(reference_cli: str, workspace: Path, scratch: Path) -> list[str]:
    """Return what the reference CLI's `up` gives to `docker run`."""
    manifest = scratch / f"devcontainercli-{getpass.getuser()}" / "control-manifest.json"
    manifest.parent.mkdir(parents=True)
    manifest.write_text('{"disallowedFeatures":[],"featureAdvisories":[]}')
    log = scratch / "argv"
    subprocess.run(
        [
            *(reference_cli, "up", "--workspace-folder", str(workspace)),
            *("--docker-path", str(HERE / "recorder.py"), "--update-remote-user-uid-default", "never"),
        ],
        env={**os.environ, **ENVIRON, "TMPDIR": str(scratch), "RECORDER_LOG": str(log)},
        capture_output=True,
        check=False,
        timeout=60,
    )
    calls = [json.loads(line) for line in log.read_text().splitlines()]
    return next(call for call in calls if call[0] == "run")[1:]


@pytest.mark.parametrize("name", CASES)
def test_docker_is_told_what_the_reference_tells_it(name: str, reference_cli: str, tmp_path: Path) -> None:
    workspace = tmp_path / "a b é"
    path = workspace / ".devcontainer/devcontainer.json"
    path.parent.mkdir(parents=True)
    shutil.copy(HERE / f"corpus/{name}.json", path)
    theirs = reference_argv(reference_cli, workspace, tmp_path / "scratch")

    contract = read(path, workspace, {**os.environ, **ENVIRON})
    merged = merge(contract, [], {"User": ""}, {**os.environ, **ENVIRON})
    spec = ContainerSpec(
        image="debian:12",
        publish=merged.publish,
        mounts=(*([contract.workspace_mount] if contract.workspace_mount else []), *merged.mounts),
        labels=contract.labels,
        env=merged.container_env,
        user=merged.container_user,
        run_args=merged.run_args,
        init=merged.init,
        privileged=merged.privileged,
        cap_add=merged.cap_add,
        security_opt=merged.security_opt,
        entrypoint="/bin/sh",
    )
    ours = [SHORT.get(word, word) for word in container_args(spec)]

    start = theirs.index("--entrypoint")
    assert theirs[:4] == ["--sig-proxy=false", "-a", "STDOUT", "-a"]
    assert ours[: ours.index("--entrypoint")] == theirs[5:start]
    label = theirs[start + 3].removeprefix(f"{METADATA}=")
    assert json.loads(label) == list(merged.metadata)
