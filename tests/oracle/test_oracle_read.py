"""devbox reads a devcontainer.json as the reference CLI does: every file of the corpus, compared value by value."""

from __future__ import annotations

import json
import os
import subprocess
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from devbox.container.describe import describe
from devbox.devcontainer.merge import LABEL_PROPERTIES, image_metadata, merge, mount_value
from devbox.devcontainer.read import read
from devbox.devcontainer.substitute import IdVariables, substitute
from devbox.dropin.configuration import configuration as written
from devbox.dropin.configuration import filled, merged, workspace
from devbox.errors import ContractError
from devbox.reporter import Silent
from tests.oracle.up_lab import CASES, CORPUS, ENVIRON, Lab, selected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from devbox.devcontainer.model import Merged

    Read = Callable[[str], tuple[Lab, dict[str, Any]]]

DEFAULTS = {"userEnvProbe": "loginInteractiveShell", "waitFor": "updateContentCommand"}
# An image that brings metadata of its own: something for every merge rule.
LABELLED = json.loads((CORPUS / "images.json").read_text())["labelled:1"]
# The reference ends with an error of its own code, or passes on what devbox mends; see differences.toml.
NOT_READ = {"nulls", "env-numbers", "build-args-numbers", "host-requirements-upper-case", "metadata-wrong-types"}
READ = [case for case in CASES if case not in NOT_READ]


@pytest.fixture(scope="session")
def answers(
    request: pytest.FixtureRequest, reference_cli: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Read]:
    """Return a function that says how the reference CLI reads a case, merged with an image that has metadata.

    It starts slowly, so it runs in the background for all cases that were selected.
    """
    top = tmp_path_factory.mktemp("read")
    labs: dict[str, Lab] = {}
    theirs: dict[str, Future[subprocess.CompletedProcess[str]]] = {}
    wanted = selected(request, __file__)
    with ThreadPoolExecutor(2) as pool:
        for case in READ:
            if case in wanted:
                lab = labs[case] = Lab.of(top / case, CORPUS / f"{case}.json", base="labelled:1")
                options = () if "compose" in case else ("--include-merged-configuration",)
                theirs[case] = pool.submit(lab.reference, reference_cli, "read-configuration", *options)

        def answer(case: str) -> tuple[Lab, dict[str, Any]]:
            done = theirs[case].result()
            assert done.returncode == 0, done.stderr
            return labs[case], json.loads(done.stdout)

        yield answer


@pytest.mark.parametrize("case", READ)
def test_a_configuration_reads_as_the_reference_reads_it(case: str, answers: Read) -> None:
    lab, theirs = answers(case)
    ours = read(lab.contract, lab.workspace, {**os.environ, **ENVIRON})

    # `read-configuration` leaves out the phase that fills in the id; `up` does not.
    theirs = substitute(theirs, IdVariables(ours.devcontainer_id))
    assert theirs["configuration"].pop("configFilePath")["fsPath"] == dict(ours.labels)["devcontainer.config_file"]
    # What does nothing beside a compose file is left out, with a warning.
    idle = {"runArgs", "appPort", "workspaceMount"} if ours.kind == "compose" else set()
    assert ours.config == {key: value for key, value in theirs["configuration"].items() if key not in idle}
    assert ours.workspace_folder == theirs["workspace"]["workspaceFolder"]
    if ours.kind != "compose":
        assert ours.workspace_mount == (theirs["workspace"].get("workspaceMount") or None)


@pytest.mark.parametrize("case", [case for case in READ if "compose" not in case])
def test_a_configuration_merges_with_its_image_as_the_reference_merges_it(case: str, answers: Read) -> None:
    lab, answer = answers(case)
    contract = read(lab.contract, lab.workspace, {**os.environ, **ENVIRON})
    image = lab.image(contract.image or "built")
    ours = merge(contract, image_metadata(image["Labels"]), image, {**os.environ, **ENVIRON})

    theirs: Any = substitute(answer["mergedConfiguration"], IdVariables(contract.devcontainer_id))
    assert _comparable(ours, theirs) == _comparable_reference(theirs)


@pytest.mark.parametrize("inside", ["", "sub/folder"])
@pytest.mark.parametrize("kind", ["repository", "worktree"])
def test_the_default_mount_is_the_whole_repository(inside: str, kind: str, tmp_path: Path, reference_cli: str) -> None:
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

    theirs = ask(reference_cli, workspace, tmp_path)["workspace"]
    ours = read(path, workspace, os.environ)

    assert (ours.workspace_folder, ours.workspace_mount) == (theirs["workspaceFolder"], theirs["workspaceMount"])


def test_a_symlinked_workspace_keeps_the_name_it_was_given(tmp_path: Path, reference_cli: str) -> None:
    lab = Lab.of(tmp_path, CORPUS / "variables-id.json")
    link = tmp_path / "link"
    link.symlink_to(lab.workspace)

    theirs = ask(reference_cli, link, tmp_path)
    ours = read(link / ".devcontainer/devcontainer.json", link, os.environ)

    assert dict(ours.labels)["devcontainer.config_file"] == theirs["configuration"]["configFilePath"]["fsPath"]
    assert ours.workspace_folder == theirs["workspace"]["workspaceFolder"] == "/workspaces/link"


def ask(reference_cli: str, workspace: Path, scratch: Path) -> dict[str, Any]:
    """Return how the reference CLI reads the configuration of a workspace. It asks no engine."""
    argv = [reference_cli, "read-configuration", "--workspace-folder", str(workspace), "--docker-path", "true"]
    environ = {**os.environ, "TMPDIR": str(scratch)}
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=True, timeout=60)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _comparable(ours: Merged, theirs: dict[str, Any]) -> dict[str, Any]:
    return {
        # There it is left open where the container decides.
        "remoteUser": ours.remote_user if theirs.get("remoteUser") else None,
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
        "containerEnv": theirs.get("containerEnv", {}),
        "remoteEnv": theirs.get("remoteEnv", {}),
        "mounts": [
            # Not the reference's: it forgets the quotes, and docker refuses a path with a comma then.
            mount if isinstance(mount, str) else mount_value(mount)
            for mount in theirs.get("mounts", [])
        ],
        "init": theirs.get("init", False),
        "privileged": theirs.get("privileged", False),
        "capAdd": theirs.get("capAdd", []),
        "securityOpt": theirs.get("securityOpt", []),
        "overrideCommand": theirs.get("overrideCommand") is not False,
        "userEnvProbe": theirs.get("userEnvProbe") or DEFAULTS["userEnvProbe"],
        "updateRemoteUserUID": theirs.get("updateRemoteUserUID") is not False,
        "waitFor": theirs.get("waitFor") or DEFAULTS["waitFor"],
        "hooks": {
            # An empty command is listed there, and runs nothing.
            name: listed
            for name in hooks
            if (listed := [found for item in theirs.get(f"{name}s", ()) if (found := commands(item))])
        },
        "hostRequirements": {
            key: value
            for key, value in (theirs.get("hostRequirements") or {}).items()
            if value not in (0, None, "-Infinity")
        },
    }


def test_the_command_line_shows_what_is_read(tmp_path: Path) -> None:
    lab = Lab.of(tmp_path, CORPUS / "environment.json", base="labelled:1")
    engine = lab.engine("log")

    alone = describe(engine, lab.workspace, Silent())
    assert (alone.source, alone.merged) == (None, None)
    contract = read(lab.contract, lab.workspace, engine.environ)
    assert alone.configuration == contract.config

    found = describe(engine, lab.workspace, Silent(), merged=True)
    image = lab.image("debian:12")
    merged = merge(contract, image_metadata(image["Labels"]), image, engine.environ)
    assert found.source == "the image debian:12"
    assert found.merged is not None
    assert found.merged["container_env"] == dict(merged.container_env)
    assert found.merged["hooks"] == {name: [dict(entry) for entry in entries] for name, entries in merged.hooks}


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


@pytest.mark.parametrize("case", READ)
def test_read_configuration_writes_what_the_reference_writes(case: str, answers: Read) -> None:
    lab, theirs = answers(case)
    environ = {**os.environ, **ENVIRON}
    contract = read(lab.contract, lab.workspace, environ)

    ours = written(contract, environ)

    assert ours == theirs["configuration"]
    assert workspace(contract, ours) == theirs["workspace"]
    if contract.kind != "compose":
        image = image_metadata(lab.image(contract.image or "built")["Labels"])
        own = {key: contract.raw[key] for key in LABEL_PROPERTIES if key in contract.raw}
        entries = [filled(contract, entry, environ) for entry in (*image, own) if entry]
        expected = theirs["mergedConfiguration"]
        if not entries:
            # There the largest of nothing is -Infinity.
            del expected["hostRequirements"]
        assert merged(ours, entries) == expected
