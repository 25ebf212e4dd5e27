"""What reaches the host is shown, and agreed to once per content."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from devbox.container.contract.reach import reach_of
from devbox.devcontainer.identity import workspace_hash
from devbox.devcontainer.read import read
from devbox.engine.run_args import parse
from devbox.engine.spec import ContainerSpec
from devbox.errors import ContractError, RefusedError
from devbox.trust import grants
from devbox.trust.containers import is_devboxes, of_container, of_volume
from devbox.trust.projects import of_project
from devbox.trust.sources import Source, must_stay, of_spec
from tests.oracle.up_lab import CASES, CORPUS, ENVIRON, Lab

if TYPE_CHECKING:
    from devbox.devcontainer.jsonc import JSON
    from devbox.devcontainer.model import Contract
    from devbox.trust.reach import Reach


DEFINITIONS = Path(__file__).parents[2] / "devcontainers"


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
        {"build": {"dockerfile": "Dockerfile", "options": ["--shm-size=1g", "--add-host", "x:1.2.3.4", "--no-cache"]}},
        {
            "build": {
                "dockerfile": "Dockerfile",
                "options": [
                    "--build-context",
                    "a=${localWorkspaceFolder}/a",
                    "--build-context=b=docker-image://debian",
                ],
                "cacheFrom": ["ghcr.io/a/b:c", "type=registry,ref=ghcr.io/a/b:c"],
            }
        },
        {"mounts": ["source=devbox-build-${devcontainerId},target=/build", "source=a-${devcontainerId},target=/a"]},
    ],
)
def test_what_stays_inside_needs_no_consent(tmp_path: Path, config: dict[str, Any]) -> None:
    found = contract(tmp_path / "w", **config)
    assert host_reach(found) == ()
    assert granted(found)


def test_devbox_s_volumes_are_somebody_s_by_their_names(tmp_path: Path) -> None:
    me, group, folder = os.getuid(), os.getgid(), workspace_hash(tmp_path)
    mine = [
        f"devbox-{me}-ccache",
        f"devbox-{me}-build-{folder}",
        f"devbox-{me}-pip-as-0",
        f"devbox-group{group}-ccache",
    ]
    other = [f"devbox-{me + 1}-ccache", f"devbox-{me + 1}-build-{folder}", "devbox-group65433-ccache"]
    other += [f"devbox-{me}-build-0123456789ab", f"devbox-{me}0-pip-as-0"]
    for names, asked in ((mine, False), (other, True)):
        for name in names:
            assert bool([*of_volume(name, tmp_path)]) is asked, name
            assert is_devboxes(name)
    assert not any(map(is_devboxes, ("devbox-data", "devbox-1000", "my-devbox-1-a", "devbox-groups-1-a")))


@pytest.mark.parametrize(
    ("service", "top"),
    [
        ({"build": {"context": "{w}", "tags": ["mine:1"], "additional_contexts": {"a": "docker-image://debian"}}}, {}),
        ({"build": {"context": "{w}", "cache_from": ["ghcr.io/a/b:c", "type=registry,ref=x"]}, "image": "mine"}, {}),
        ({"develop": {"watch": [{"path": "{w}/src", "action": "sync", "target": "/src"}]}}, {}),
        ({"post_start": [{"command": ["chown", "dev", "/data"], "user": "root"}]}, {}),
        ({"logging": {"driver": "json-file", "options": {"max-size": "1m"}}}, {}),
        ({"networks": {"back": None}}, {"networks": {"back": {"name": "mine"}}}),
        ({"gpus": [{"count": -1}]}, {"volumes": {"cache": {"name": "pip-cache", "external": True}}}),
    ],
)
def test_what_stays_in_a_project_needs_no_consent(tmp_path: Path, service: JSON, top: JSON) -> None:
    text = json.dumps({"services": {"a": {"image": "debian", **service}}, **top})
    assert list(of_project(json.loads(text.replace("{w}", str(tmp_path))), tmp_path)) == []


def test_a_dockerfile_counts_where_its_build_reaches_the_host(tmp_path: Path) -> None:
    def key(**build: Any) -> set[tuple[str, ...]]:
        service = {"build": {"context": str(tmp_path), "ssh": ["default"], **build}}
        return {one.key for one in of_project({"services": {"a": service}}, tmp_path)}

    (tmp_path / "Dockerfile").write_text("FROM debian")
    before = key()
    assert before == key()
    (tmp_path / "Dockerfile").write_text("FROM debian\nRUN --mount=type=ssh evil")
    assert before.isdisjoint(key())
    assert key(dockerfile_inline="FROM a").isdisjoint(key(dockerfile_inline="FROM b"))


# What else than the ssh-agent the contracts of the corpus ask for. A line more is a question more for everybody.
ASKED = {
    "build-cache-list": {"build"},
    "build-everything": {"capability", "namespace", "security"},
    "build-full": {"build"},
    "build-labelled": {"capability"},
    "build-options": {"build"},
    "capabilities": {"capability", "security"},
    "comments-and-commas": {"capability"},
    "hooks-merged": {"command"},
    "hooks-mixed": {"command"},
    "hooks-strings": {"command"},
    "init-merged": {"capability"},
    "metadata-image-overridden": {"capability"},
    "mount-socket": {"socket"},
    "mount-volume-options": {"path"},
    "mounts": {"path"},
    "mounts-cache": {"path"},
    "mounts-merged": {"path"},
    "personal": {"namespace"},
    "privileged": {"privileged"},
    "run-args": {"namespace"},
    "run-args-cdi": {"device"},
    "run-args-device": {"device", "namespace"},
    "run-args-env": {"path"},
    "run-args-hpc": {"device", "namespace"},
    "run-args-network": {"namespace"},
    "run-args-privileged-twice": {"capability", "privileged"},
    "run-args-security": {"capability", "security"},
    "run-args-volume": {"path"},
    "secrets": {"variable"},
    "secrets-described": {"variable"},
    "security": {"capability", "security"},
    "template-cpp": {"capability", "security"},
    "template-cuda": {"capability", "namespace", "security"},
    "variables-everywhere": {"path"},
}


def test_the_corpus_asks_nothing_more(tmp_path: Path) -> None:
    asked = {}
    environ = {**os.environ, **ENVIRON}
    for case in CASES:
        lab = Lab.of(tmp_path / case, CORPUS / f"{case}.json")
        found = read(lab.contract, lab.workspace, environ)
        if found.kind != "compose" and (kinds := {one.kind for one in reach_of(found, environ)}):
            asked[case] = kinds
    assert asked == ASKED


def test_the_definitions_ask_for_what_they_say(tmp_path: Path) -> None:
    for folder in sorted(DEFINITIONS.iterdir()):
        if folder.is_dir():
            shutil.copytree(folder, tmp_path / folder.name / ".devcontainer")
            found = read(tmp_path / folder.name / ".devcontainer/devcontainer.json", tmp_path / folder.name, {})
            assert {one.value for one in reach_of(found, {})} == {"SYS_PTRACE", "ipc host"}, folder.name


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


@pytest.mark.parametrize(
    "option",
    [
        "--secret=id=x,src=/etc/passwd\n/../../..{workspace}/x",
        "--secret=id=x,src={workspace}/x\r",
        "--build-context=host=docker-image:/etc",
        "--build-context=host=docker-image:",
    ],
)
def test_an_option_that_docker_reads_in_another_way_is_asked_for(tmp_path: Path, option: str) -> None:
    (tmp_path / "Dockerfile").touch()
    said = option.format(workspace=tmp_path)
    found = contract(tmp_path, image=None, build={"dockerfile": "Dockerfile", "options": [said]})
    assert host_reach(found)


@pytest.mark.parametrize("value", ['driver=cdi,"device=vendor.com/net=all"', "DRIVER=cdi"])
def test_a_driver_of_gpus_is_asked_for(tmp_path: Path, value: str) -> None:
    assert host_reach(contract(tmp_path, runArgs=[f"--gpus={value}"]))
    assert not host_reach(contract(tmp_path, runArgs=["--gpus=device=0,1"]))


@pytest.mark.parametrize(
    "words",
    [["--env=*"], ["-e", "HF_*"], ["-eHF_TOKEN*"], ["-it", "-e*"], ["--env", ""], ["--env==x"], ["--env=HF*=x"],
     ["--env= HF_TOKEN"], ["--env=HF_TOKEN "], ["--env=HF_TOKEN\n"], ["-e", "HF-TOKEN"], ["--env=\ufeffHF_TOKEN"]],
)  # fmt: skip
def test_a_variable_that_is_no_plain_name_is_refused(tmp_path: Path, words: list[str]) -> None:
    with pytest.raises(ContractError, match=r"no variable|control character"):
        host_reach(contract(tmp_path, runArgs=words))


def test_the_files_of_variables_and_labels_are_read_as_docker_reads_them(tmp_path: Path) -> None:
    (tmp_path / "plain.env").write_text("# a TOKEN of none\nA=1\nHOME\n")
    (tmp_path / "evil.env").write_text("A=1\n  HF_TOKEN\n")
    (tmp_path / "evil.labels").write_text("a=b\nDevcontainer.local_folder=/other\n")
    (tmp_path / "there").symlink_to("/etc")

    def reach(word: str) -> list[Reach]:
        return [*of_container(spec(tmp_path, [word]), tmp_path)]

    (one,) = reach("--env-file=plain.env")
    assert (one.value, one.mode) == (str(tmp_path / "plain.env"), "read-only")
    (tmp_path / "plain.env").write_text("A=2\n")
    assert reach("--env-file=plain.env")[0].content != one.content
    assert [one.kind for one in reach("--env-file=evil.env")] == ["path", "variable"]
    assert [one.kind for one in reach("--label-file=evil.labels")] == ["path", "name"]
    assert reach("--env-file=there/hosts")[0].value == "/etc/hosts"
    assert [one.kind for one in reach("--group-add=keep-groups")] == ["security"]
    with pytest.raises(RefusedError, match="link out of the workspace"):
        must_stay(of_spec(spec(tmp_path, [f"--env-file={tmp_path}/there/hosts"])), str(tmp_path))


def spec(workspace: Path, words: list[str]) -> ContainerSpec:
    return ContainerSpec(image="x", run_args=tuple(one.word for one in parse(words, str(workspace))))


@pytest.mark.parametrize(
    "words",
    [
        ["--mount=type=bind,source={me},target=/x,bind-propagation=RSHARED"],
        ["--mount", "type=bind,source={me},target=/x,Bind-Propagation=Shared"],
        ["-v", "{me}:/x:rshared"],
        ["-v={me}:/x:ro,shared"],
    ],
)
def test_a_mount_that_is_shared_with_the_host_is_asked_for_however_it_is_written(
    tmp_path: Path, words: list[str]
) -> None:
    filled = [word.replace("{me}", str(tmp_path)) for word in words]
    assert [one.kind for one in of_container(spec(tmp_path, filled), tmp_path)] == ["option"]
    with pytest.raises(ContractError, match=r"no propagation"):
        parse([f"--mount=type=bind,source={tmp_path},target=/x,bind-propagation=ishared"], str(tmp_path))
