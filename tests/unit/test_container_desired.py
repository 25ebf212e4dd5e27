"""The desired container and what counts as a change of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from devbox.container.desired import (
    HIDDEN,
    Image,
    container_name,
    desired,
    differences,
    entry_script,
    in_short,
    run_args_value,
)
from devbox.container.steps import Actual, CreateContainer, RemoveContainer, Replace, StartContainer
from devbox.container.up.plan import adopt, plan
from devbox.devcontainer.merge import merge
from devbox.devcontainer.read import read
from devbox.masking import is_secret

if TYPE_CHECKING:
    from pathlib import Path

    from devbox.devcontainer.model import Contract

IMAGE = Image("debian:bookworm", "sha256:1", "sha256:1", {"Entrypoint": ["/entry"], "Cmd": ["serve"]})


def contract_of(folder: Path, **config: Any) -> Contract:
    path = folder / ".devcontainer" / "devcontainer.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"image": "debian:bookworm", **config}))
    return read(path, folder, {"SECRET": "s3cret"})


def wanted(folder: Path, image: Image = IMAGE, *, name: str | None = None, **config: Any) -> Any:
    contract = contract_of(folder, **config)
    return desired(contract, merge(contract, (), image.config, {}), image, name=name)


def test_labels_and_metadata_are_what_other_tools_look_for(tmp_path: Path) -> None:
    spec = wanted(tmp_path, postCreateCommand="make", remoteEnv={"T": "${localEnv:SECRET}"}).spec
    labels = dict(spec.labels)
    assert labels["devcontainer.local_folder"] == str(tmp_path)
    assert labels["devcontainer.config_file"] == str(tmp_path / ".devcontainer/devcontainer.json")
    assert json.loads(labels["devcontainer.metadata"]) == [
        {"postCreateCommand": "make", "remoteEnv": {"T": "${localEnv:SECRET}"}}
    ]
    assert labels["devbox.workspace"] == str(tmp_path)
    assert "s3cret" not in str(spec)


def test_a_contract_without_metadata_still_gets_the_label(tmp_path: Path) -> None:
    assert dict(wanted(tmp_path).spec.labels)["devcontainer.metadata"] == "[]"


def test_the_images_command_runs_only_where_it_is_not_overridden(tmp_path: Path) -> None:
    assert wanted(tmp_path).spec.command[2:] == ("-",)
    assert wanted(tmp_path, overrideCommand=False).spec.command[2:] == ("-", "/entry", "serve")


def test_feature_entrypoints_come_before_the_command() -> None:
    assert entry_script(("/start-a", "/start-b")).splitlines()[2:4] == ["/start-a", "/start-b"]


def test_secrets_are_not_recorded(tmp_path: Path) -> None:
    found = wanted(
        tmp_path,
        containerEnv={"HF_TOKEN": "hf_123", "PROXY": "http://me:pw@proxy:3128", "PLAIN": "seen"},
        runArgs=["--env=API_KEY=k123", "-e", "DB_PASSWORD=pw2", "--ulimit=core=0"],
    )
    text = json.dumps(found.state)
    for secret in ("hf_123", "pw@proxy", "k123", "pw2"):
        assert secret not in text
    assert found.state["env"] == {"HF_TOKEN": HIDDEN, "PROXY": HIDDEN, "PLAIN": "seen"}
    assert found.state["runArgs"] == [f"--env=API_KEY={HIDDEN}", "-e", f"DB_PASSWORD={HIDDEN}", "--ulimit=core=0"]


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("HF_TOKEN", "x", True),
        ("AWS_SECRET_ACCESS_KEY", "x", True),
        ("https_proxy", "http://u:p@h:1", True),
        ("https_proxy", "http://h:1", False),
        ("PATH", "/bin", False),
        ("CUDA_CACHE_PATH", "/c", False),
        ("TOKENIZERS_PARALLELISM", "false", False),
        ("MAX_NUM_TOKENS", "8192", False),
        ("TOKENIZER_API_KEY", "x", True),
        ("HF_TOKENS", "x", True),
    ],
)
def test_what_looks_like_a_secret(name: str, value: str, *, secret: bool) -> None:
    assert is_secret(name, value) is secret


def test_names_differ_for_equal_folder_names(tmp_path: Path) -> None:
    one, two = (contract_of(tmp_path / parent / "Ünïcode & vllm", name="n") for parent in ("a", "b"))
    names = {container_name(one), container_name(two)}
    assert len(names) == 2
    assert all(name.startswith("devbox-n-code-vllm-") for name in names)


def test_a_name_in_run_args_is_the_only_one(tmp_path: Path) -> None:
    assert wanted(tmp_path, runArgs=["--name", "mine"]).spec.name is None
    assert wanted(tmp_path).spec.name is not None
    assert wanted(tmp_path, name="other").spec.name == "other"
    assert run_args_value(["--name=x"], "--name") == "x"
    assert run_args_value(["--rm"], "--name") is None


def state(folder: Path, **config: Any) -> dict[str, Any]:
    found: dict[str, Any] = wanted(folder, **config).state
    return found


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ({"runArgs": ["--ipc=host"]}, {"runArgs": ["--ipc=host", "--gpus=all"]}, ["runArgs", "+ --gpus=all"]),
        ({"containerEnv": {"A": "1"}}, {"containerEnv": {"A": "2"}}, ["containerEnv A: 1 → 2"]),
        ({"mounts": ["type=volume,source=v,target=/v"]}, {}, ["mounts /v", "→ nothing"]),
        ({}, {"postCreateCommand": "make"}, ["postCreateCommand", "make"]),
        ({}, {"privileged": True}, ["privileged"]),
        ({}, {"hostRequirements": {"gpu": "optional", "cpus": 2}}, ["hostRequirements.gpu: nothing → optional"]),
        ({"remoteUser": "a"}, {"remoteUser": "b"}, ["remoteUser: a → b"]),
    ],
)
def test_a_change_is_told_with_its_reason(
    before: dict[str, Any], after: dict[str, Any], words: list[str], tmp_path: Path
) -> None:
    (reason,) = differences(state(tmp_path, **before), state(tmp_path, **after))
    assert all(word in reason for word in words), reason


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {}),
        ({}, {"customizations": {"vscode": {"extensions": ["a.b"]}}}),
        ({}, {"postStartCommand": "x", "postAttachCommand": "y", "remoteEnv": {"A": "1"}, "forwardPorts": [1]}),
        ({"capAdd": ["A", "B"]}, {"capAdd": ["B", "A"]}),
        ({"hostRequirements": {"gpu": False}}, {"hostRequirements": {"cpus": 2}}),
        ({"mounts": [{"type": "volume", "source": "s", "target": "/t"}]}, {"mounts": ["type=volume,src=s,dst=/t"]}),
    ],
)
def test_what_takes_effect_in_a_running_container_or_means_the_same_is_no_change(
    before: dict[str, Any], after: dict[str, Any], tmp_path: Path
) -> None:
    assert differences(state(tmp_path, **before), state(tmp_path, **after)) == ()


def test_ids_are_told_as_a_person_writes_them() -> None:
    assert differences({"ids": [1000, 1000]}, {"ids": [0, 0]}) == ("the remote user's ids: 1000:1000 → 0:0",)
    assert differences({"ids": [1000, 1000]}, {}) == ("the remote user's ids: 1000:1000 → nothing",)


def test_long_values_of_a_reason_are_folded_each_by_itself(tmp_path: Path) -> None:
    before, after = {"containerEnv": {"A": "a" * 400}}, {"containerEnv": {"A": "b" * 400}}
    (reason,) = differences(state(tmp_path, **before), state(tmp_path, **after))
    assert f"{'a' * 400} → {'b' * 400}" in reason
    short = in_short(reason)
    assert len(short) < len(reason) / 2
    assert all(f"{letter * 120}" in short for letter in "ab")
    plain = "runArgs: - --ipc=host, + --gpus=all"
    assert in_short(plain) == plain


def test_another_image_id_of_the_same_inputs_is_no_change(tmp_path: Path) -> None:
    one = wanted(tmp_path, Image("x:1", "sha256:1", "digest")).state
    two = wanted(tmp_path, Image("x:1", "sha256:2", "digest")).state
    other = wanted(tmp_path, Image("x:1", "sha256:1", "another")).state
    assert differences(one, two) == ()
    assert len(differences(one, other)) == 1


def test_a_plan_for_each_state(tmp_path: Path) -> None:
    new = wanted(tmp_path)
    same, old = new.state, {**new.state, "init": True}

    def steps(state: str, recorded: Any, *sessions: str, recreate: bool = False) -> list[type]:
        return [
            type(step)
            for step in plan(
                new, Actual("i", "n", state, recorded, sessions), recreate="it was asked for" if recreate else None
            ).steps
        ]

    assert [type(step) for step in plan(new, None).steps] == [CreateContainer]
    assert steps("running", same) == []
    assert steps("exited", same) == [StartContainer]
    assert steps("paused", same) == [StartContainer]
    assert steps("created", same) == [RemoveContainer, CreateContainer]
    assert steps("running", old) == [Replace]
    assert steps("exited", old) == [Replace]
    assert steps("running", old, "bash") == []
    assert steps("running", same, recreate=True) == [Replace]
    kept = plan(new, Actual("i", "n", "running", old, ("bash",)))
    assert kept.outcome == "running"
    assert kept.pending == ("init: true → nothing",)
    assert [type(step) for step in adopt(Actual("i", "n", "exited", {})).steps] == [StartContainer]


def test_another_form_is_one_reason(tmp_path: Path) -> None:
    one = state(tmp_path, init=True)
    project = {"project": "w", "service": {"init": True}, "runArgs": []}
    assert differences(one, project) == ("the contract is now a compose project",)
    assert differences(project, one) == ("the contract is no longer a compose project",)
