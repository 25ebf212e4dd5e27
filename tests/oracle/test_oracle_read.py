"""devbox reads a devcontainer.json as the reference CLI does: every file of the corpus, compared value by value."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from devbox.devcontainer.merge import image_metadata, merge, mount_value
from devbox.devcontainer.read import read
from devbox.devcontainer.substitute import IdVariables, substitute
from devbox.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Callable

    from devbox.devcontainer.model import Merged
    from devbox.engine.docker import Engine

CORPUS = sorted(Path(__file__).with_name("corpus").glob("*.json"))
ENVIRON = {"ORACLE_SET": "a value", "ORACLE_EMPTY": "", "ORACLE_VARIABLE": "${localWorkspaceFolder}"}
DEFAULTS = {"userEnvProbe": "loginInteractiveShell", "waitFor": "updateContentCommand"}
IMAGE = "devbox-test-oracle"
# An image that brings metadata of its own: something for every merge rule.
IMAGE_METADATA = [
    {"id": "feature", "init": True, "capAdd": ["SYS_PTRACE"], "mounts": ["type=volume,source=image,target=/a"]},
    {
        "remoteUser": "nobody",
        "containerEnv": {"A": "image", "IMAGE": "${localWorkspaceFolderBasename}-${devcontainerId}"},
        "remoteEnv": {"C": "image"},
        "postCreateCommand": "from the image",
        "onCreateCommand": {"one": ["a", "b"]},
        "mounts": [{"type": "volume", "source": "image", "target": "/d"}],
        "overrideCommand": False,
        "forwardPorts": [8000, 9000],
        "hostRequirements": {"cpus": 8, "memory": "4gb", "gpu": True},
    },
]


@pytest.fixture(scope="session")
def oracle(reference_cli: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, Any]]:
    """Return a function that asks the reference CLI to read a configuration. It reaches no network."""
    scratch = tmp_path_factory.mktemp("reference")
    # The CLI fetches this file from its web site when the copy is older than five minutes.
    manifest = scratch / f"devcontainercli-{getpass.getuser()}" / "control-manifest.json"
    manifest.parent.mkdir(parents=True)

    def ask(workspace: Path, *options: str, docker: str) -> dict[str, Any]:
        manifest.write_text('{"disallowedFeatures":[],"featureAdvisories":[]}')
        argv = [reference_cli, "read-configuration", "--workspace-folder", str(workspace), "--docker-path", docker]
        environ = {**os.environ, **ENVIRON, "TMPDIR": str(scratch)}
        done = subprocess.run([*argv, *options], env=environ, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    return ask


def prepare(folder: Path, case: Path) -> Path:
    """Make a workspace of the corpus file; the name has what is awkward in a path."""
    workspace = folder / "a, b é"
    (workspace / ".devcontainer").mkdir(parents=True)
    return Path(shutil.copy(case, workspace / ".devcontainer/devcontainer.json"))


@pytest.mark.parametrize("case", CORPUS, ids=lambda case: case.stem)
def test_a_configuration_reads_as_the_reference_reads_it(
    case: Path, tmp_path: Path, oracle: Callable[..., dict[str, Any]]
) -> None:
    path = prepare(tmp_path, case)
    workspace = path.parents[1]

    theirs = oracle(workspace, docker="true")
    ours = read(path, workspace, {**os.environ, **ENVIRON})

    # `read-configuration` leaves out the phase that fills in the id; `up`, below, does not.
    theirs = substitute(theirs, IdVariables(ours.devcontainer_id))
    assert theirs["configuration"].pop("configFilePath")["fsPath"] == dict(ours.labels)["devcontainer.config_file"]
    assert ours.config == theirs["configuration"]
    assert ours.workspace_folder == theirs["workspace"]["workspaceFolder"]
    assert ours.workspace_mount == (theirs["workspace"].get("workspaceMount") or None)


@pytest.mark.parametrize("inside", ["", "sub/folder"])
@pytest.mark.parametrize("kind", ["repository", "worktree"])
def test_the_default_mount_is_the_whole_repository(
    inside: str, kind: str, tmp_path: Path, oracle: Callable[..., dict[str, Any]]
) -> None:
    top = tmp_path / "top"
    for args in (["init", "--quiet", str(top)], ["-C", str(top), *_commit()]):
        subprocess.run(["git", *args], check=True)
    if kind == "worktree":
        subprocess.run(["git", "-C", str(top), "worktree", "add", "--quiet", str(tmp_path / "other")], check=True)
        top = tmp_path / "other"
    workspace = top / inside
    (workspace / ".devcontainer").mkdir(parents=True)
    path = workspace / ".devcontainer/devcontainer.json"
    path.write_text('{"image": "debian:12"}')

    theirs = oracle(workspace, docker="true")["workspace"]
    ours = read(path, workspace, os.environ)

    assert (ours.workspace_folder, ours.workspace_mount) == (theirs["workspaceFolder"], theirs["workspaceMount"])


def test_a_symlinked_workspace_keeps_the_name_it_was_given(
    tmp_path: Path, oracle: Callable[..., dict[str, Any]]
) -> None:
    path = prepare(tmp_path, CORPUS[0].with_name("variables-id.json"))
    link = tmp_path / "link"
    link.symlink_to(path.parents[1])

    theirs = oracle(link, docker="true")
    ours = read(link / ".devcontainer/devcontainer.json", link, os.environ)

    assert dict(ours.labels)["devcontainer.config_file"] == theirs["configuration"]["configFilePath"]["fsPath"]
    assert ours.workspace_folder == theirs["workspace"]["workspaceFolder"] == "/workspaces/link"


@pytest.fixture(scope="session")
def metadata_image(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Make an image that holds nothing but metadata."""
    empty = tmp_path_factory.mktemp("image") / "empty.tar"
    empty.write_bytes(bytes(10240))
    label = json.dumps(json.dumps(IMAGE_METADATA)).replace("$", "\\$")
    engine.run(
        ["import", "--change", f"LABEL devcontainer.metadata={label}", "--change", "USER daemon", str(empty), IMAGE]
    )
    yield IMAGE
    engine.run(["image", "rm", "--force", IMAGE], check=False)


@pytest.mark.engine
@pytest.mark.parametrize("case", [case for case in CORPUS if "compose" not in case.stem], ids=lambda case: case.stem)
def test_a_configuration_merges_with_its_image_as_the_reference_merges_it(
    case: Path, tmp_path: Path, engine: Engine, metadata_image: str, oracle: Callable[..., dict[str, Any]]
) -> None:
    path = prepare(tmp_path, case)
    workspace = path.parents[1]
    path.write_text(case.read_text().replace('"debian:12"', f'"{metadata_image}"').replace('"debian:11"', '"none"'))
    for dockerfile in (workspace / ".devcontainer/Dockerfile", workspace / "docker/Dockerfile"):
        dockerfile.parent.mkdir(exist_ok=True)
        dockerfile.write_text(f"FROM {metadata_image} AS dev\nFROM dev AS user\n")

    theirs = oracle(workspace, "--include-merged-configuration", docker=engine.docker)["mergedConfiguration"]
    contract = read(path, workspace, {**os.environ, **ENVIRON})
    inspected = engine.image(metadata_image)
    assert inspected is not None
    entries = image_metadata(inspected["Config"]["Labels"])
    assert entries == IMAGE_METADATA
    ours = merge(contract, entries, inspected["Config"], {**os.environ, **ENVIRON})

    theirs = substitute(theirs, IdVariables(contract.devcontainer_id))
    assert _comparable(ours, contract.config) == _comparable_reference(theirs)


def _comparable(ours: Merged, config: dict[str, Any]) -> dict[str, Any]:
    return {
        "remoteUser": ours.remote_user if "remoteUser" in config else "nobody",
        "containerUser": ours.container_user,
        "containerEnv": dict(ours.container_env),
        "remoteEnv": dict(ours.remote_env),
        "mounts": list(ours.mounts),
        "init": ours.init,
        "privileged": ours.privileged,
        "capAdd": list(ours.cap_add),
        "securityOpt": list(ours.security_opt),
        "overrideCommand": ours.override_command,
        "userEnvProbe": ours.user_env_probe,
        "updateRemoteUserUID": ours.update_remote_user_uid,
        "waitFor": ours.wait_for,
        "hooks": {
            name: [dict(entry) for entry in entries] for name, entries in ours.hooks if name != "initializeCommand"
        },
        "hostRequirements": ours.host_requirements,
    }


def _comparable_reference(theirs: dict[str, Any]) -> dict[str, Any]:
    def commands(value: Any) -> dict[str, Any]:
        named = value if isinstance(value, dict) else {"": value}
        return {name: tuple(item) if isinstance(item, list) else item for name, item in named.items() if item}

    hooks = ("onCreateCommand", "updateContentCommand", "postCreateCommand", "postStartCommand", "postAttachCommand")
    return {
        "remoteUser": theirs.get("remoteUser"),
        "containerUser": theirs.get("containerUser"),
        "containerEnv": theirs["containerEnv"],
        "remoteEnv": theirs["remoteEnv"],
        "mounts": [
            # Not the reference's: it forgets the quotes, and docker refuses a path with a comma then.
            mount if isinstance(mount, str) else mount_value(mount)
            for mount in theirs["mounts"]
        ],
        "init": theirs["init"],
        "privileged": theirs["privileged"],
        "capAdd": theirs.get("capAdd", []),
        "securityOpt": theirs.get("securityOpt", []),
        "overrideCommand": theirs.get("overrideCommand") is not False,
        "userEnvProbe": theirs.get("userEnvProbe") or DEFAULTS["userEnvProbe"],
        "updateRemoteUserUID": theirs.get("updateRemoteUserUID") is not False,
        "waitFor": theirs.get("waitFor") or DEFAULTS["waitFor"],
        "hooks": {
            # An empty command is listed there, and runs nothing.
            name: [found for item in theirs[f"{name}s"] if (found := commands(item))]
            for name in hooks
            if theirs.get(f"{name}s")
        },
        "hostRequirements": {
            key: value for key, value in (theirs.get("hostRequirements") or {}).items() if value not in (0, None)
        },
    }


def test_the_reference_refuses_an_environment_variable_without_a_name_too(reference_cli: str, tmp_path: Path) -> None:
    workspace = tmp_path / "w"
    workspace.mkdir()
    path = workspace / ".devcontainer.json"
    path.write_text('{"image": "debian:12", "name": "${localEnv}"}')

    argv = [reference_cli, "read-configuration", "--workspace-folder", str(workspace), "--docker-path", "true"]
    theirs = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)

    assert theirs.returncode != 0
    with pytest.raises(ContractError, match="names no environment variable"):
        read(path, workspace, os.environ)


def _commit() -> list[str]:
    return ["-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "--quiet", "--allow-empty", "-m", "One"]
