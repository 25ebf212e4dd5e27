"""What reaches the host is shown, and agreed to once per content."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from devbox.container.contract.reach import reach_of
from devbox.devcontainer.read import read
from devbox.errors import ContractError, RefusedError
from devbox.trust import grants
from devbox.trust.projects import of_project
from devbox.trust.sources import Source, must_stay

if TYPE_CHECKING:
    from pathlib import Path

    from devbox.devcontainer.jsonc import JSON
    from devbox.devcontainer.model import Contract


def host_reach(contract: Contract, entries: list[JSON] | None = None) -> tuple[str, ...]:
    return tuple(one.said for one in reach_of(contract, {}, entries or []))


def granted(contract: Contract, entries: list[JSON] | None = None) -> bool:
    return not grants.missing(contract.workspace, reach_of(contract, {}, entries or []))


def grant(contract: Contract) -> None:
    grants.grant(contract.workspace, reach_of(contract, {}), "asked")


def contract(workspace: Path, **config: Any) -> Contract:
    workspace.mkdir(exist_ok=True)
    path = workspace / ".devcontainer.json"
    path.write_text(json.dumps({"image": "a", **config}))
    return read(path, workspace, {"HOME": "/home/ada"})


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"initializeCommand": "curl x | sh"}, "runs on the host, at each start: curl x | sh"),
        ({"initializeCommand": ["a", "b"]}, 'runs on the host, at each start: ["a", "b"]'),
        ({"privileged": True}, "runs privileged"),
        ({"capAdd": ["SYS_ADMIN"]}, "has the capability SYS_ADMIN"),
        ({"securityOpt": ["seccomp=unconfined"]}, "sets the security option seccomp=unconfined"),
        ({"mounts": ["type=bind,source=/var/run/docker.sock,target=/x"]}, "the container engine's socket"),
        ({"mounts": ["type=bind,source=${localEnv:HOME}/.ssh,target=/x"]}, "mounts /home/ada/.ssh of the host at /x"),
        ({"mounts": [{"type": "bind", "source": "/etc", "target": "/x"}]}, "mounts /etc of the host"),
        ({"mounts": ["type=bind,source=${localWorkspaceFolder}/..,target=/x"]}, "mounts "),
        ({"mounts": ["type=volume,source=v,target=/x,volume-opt=type=none,volume-opt=device=/etc"]}, "driver options"),
        ({"workspaceMount": "type=bind,source=/,target=/x"}, "mounts / of the host at /x"),
        ({"runArgs": ["--privileged"]}, "passes to docker run: --privileged"),
        ({"runArgs": ["--cap-add=ALL"]}, "passes to docker run: --cap-add=ALL"),
        ({"runArgs": ["--device", "/dev/kvm"]}, "passes to docker run: --device=/dev/kvm"),
        ({"runArgs": ["--network", "host"]}, "passes to docker run: --network=host"),
        ({"runArgs": ["--pid=host"]}, "passes to docker run: --pid=host"),
        ({"runArgs": ["--net=container:db"]}, "--network=container:db"),
        ({"runArgs": ["--env-file=/etc/x"]}, "--env-file=/etc/x"),
        ({"runArgs": ["-v", "/:/host"]}, "mounts / of the host at /host"),
        ({"runArgs": ["-v/:/host"]}, "mounts / of the host at /host"),
        ({"runArgs": ["--volume=/root:/r:ro"]}, "mounts /root of the host at /r"),
        ({"runArgs": ["--mount", "type=bind,src=/root,dst=/r"]}, "mounts /root of the host at /r"),
        ({"runArgs": ["--volumes-from", "x"]}, "--volumes-from=x"),
        ({"runArgs": ["-itv", "/:/host"]}, "mounts / of the host at /host"),
        ({"runArgs": ["-e", "HF_TOKEN"]}, "reads the host's variable HF_TOKEN"),
        ({"remoteEnv": {"X": "${localEnv:AWS_SECRET_ACCESS_KEY}"}}, "variable AWS_SECRET_ACCESS_KEY"),
        ({"containerEnv": {"X": "${env:GITHUB_TOKEN:none}"}}, "variable GITHUB_TOKEN"),
        ({"build": {"dockerfile": "D", "options": ["--ssh=default"]}}, "passes to docker build: --ssh=default"),
        ({"build": {"dockerfile": "D", "context": "/"}}, "takes the build context / from outside"),
        ({"build": {"dockerfile": "../D", "context": "."}}, "takes the Dockerfile "),
    ],
)
def test_what_reaches_the_host_is_said(tmp_path: Path, config: dict[str, Any], said: str) -> None:
    reach = host_reach(contract(tmp_path / "w", **config))
    assert any(said in line for line in reach), reach


@pytest.mark.parametrize(
    "config",
    [
        {"mounts": ["type=what,target=/x"]},
        {"runArgs": ["--name", "--privileged"]},
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(tmp_path: Path, config: dict[str, Any]) -> None:
    with pytest.raises(ContractError):
        host_reach(contract(tmp_path / "w", **config))


@pytest.mark.parametrize(
    "config",
    [
        {},
        {
            "containerEnv": {"HOME_OF": "${localEnv:HOME}", "KEYBOARD": "${localEnv:KEYBOARD}"},
            "postCreateCommand": "make",
        },
        {"mounts": ["type=volume,source=v,target=/v", "type=tmpfs,target=/t"]},
        {"mounts": ["type=bind,source=${localWorkspaceFolder}/sub,target=/x"]},
        {
            "runArgs": [
                "--gpus=all",
                "--shm-size",
                "8g",
                "--name",
                "x",
                "--ulimit=memlock=-1",
                "-v",
                "cache:/c",
                "-e",
                "A=b",
            ]
        },
        {"runArgs": ["--network=bridge", "--ipc=private", "--init", "--cpus", "4"]},
        {"build": {"dockerfile": "Dockerfile", "context": ".", "args": {"A": "1"}}},
        {"remoteUser": "dev", "hostRequirements": {"gpu": True}, "features": {}},
    ],
)
def test_what_stays_inside_needs_no_consent(tmp_path: Path, config: dict[str, Any]) -> None:
    found = contract(tmp_path / "w", **config)
    assert host_reach(found) == ()
    assert granted(found)


def test_a_symlink_out_of_the_workspace_is_seen(tmp_path: Path) -> None:
    found = contract(tmp_path / "w", mounts=["type=bind,source=${localWorkspaceFolder}/link,target=/x"])
    assert granted(found)
    (tmp_path / "w/link").symlink_to("/etc")
    assert not granted(found)


def test_the_images_metadata_counts_too(tmp_path: Path) -> None:
    found = contract(tmp_path / "w")
    assert host_reach(found, [{"privileged": True}])
    assert not granted(found, [{"privileged": True}])


def test_consent_holds_for_one_content_in_one_workspace(tmp_path: Path) -> None:
    found = contract(tmp_path / "w", privileged=True)
    assert not granted(found)
    grant(found)
    assert granted(found)
    assert not granted(contract(tmp_path / "w", privileged=True, name="changed"))
    assert not granted(contract(tmp_path / "other", privileged=True))
    assert granted(contract(tmp_path / "w", privileged=True))
    assert not granted(found, [{"capAdd": ["SYS_ADMIN"]}])


def test_a_comment_asks_nobody_again(tmp_path: Path) -> None:
    found = contract(tmp_path / "w", privileged=True)
    grant(found)
    found.path.write_text(found.path.read_text() + " // a comment\n")
    assert granted(read(found.path, found.workspace, {}))


def test_a_symlink_to_the_workspace_is_the_same_workspace(tmp_path: Path) -> None:
    config: dict[str, Any] = {"mounts": ["type=bind,source=${localWorkspaceFolder}/../x,target=/x"]}
    grant(contract(tmp_path / "w", **config))
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "w")
    assert granted(read(link / ".devcontainer.json", link, {}))
    assert not granted(contract(tmp_path / "other", **config))


def test_a_word_that_can_be_no_file_is_no_script(tmp_path: Path) -> None:
    long = "x" * 300
    assert host_reach(contract(tmp_path / "w", initializeCommand=f"test -f {long} || true")) == (
        f"runs on the host, at each start: test -f {long} || true",
    )


@pytest.mark.parametrize("readonly", [False, True])
def test_a_service_s_link_out_of_the_workspace_holds_as_it_was_agreed_to(tmp_path: Path, *, readonly: bool) -> None:
    workspace = tmp_path / "w"
    workspace.mkdir()
    (tmp_path / "data").mkdir()
    (workspace / "data").symlink_to(tmp_path / "data")
    source = [Source(str(workspace / "data"), readonly)]
    with pytest.raises(RefusedError, match="link out of the workspace"):
        must_stay(source, str(workspace))
    mount = {"type": "bind", "source": str(workspace / "data"), "target": "/data", "read_only": readonly}
    # A name is no way of mounting: a service may be called so.
    reach = tuple(of_project({"services": {"read-only": {"image": "a", "volumes": [mount]}}}, workspace))
    grants.grant(workspace, reach, "asked")
    must_stay(source, str(workspace))
    with pytest.raises(RefusedError, match="link out of the workspace"):
        must_stay([Source(str(workspace / "data"), not readonly)], str(workspace))
