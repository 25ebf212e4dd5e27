"""Merging with an image's metadata: one test a rule."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devbox.devcontainer.merge import image_metadata, merge, run_args_user
from devbox.devcontainer.read import read

if TYPE_CHECKING:
    from pathlib import Path

    from devbox.devcontainer.model import Merged


def merged(tmp_path: Path, config: dict[str, Any], *entries: dict[str, Any], user: str = "") -> Merged:
    path = tmp_path / ".devcontainer.json"
    path.write_text(json.dumps({"image": "a", **config}))
    return merge(read(path, tmp_path, {"HOST": "host"}), list(entries), {"User": user}, {"HOST": "host"})


def test_defaults(tmp_path: Path) -> None:
    found = merged(tmp_path, {})
    assert found.remote_user == "root"
    assert found.container_user is None
    assert found.override_command
    assert found.update_remote_user_uid
    assert (found.user_env_probe, found.wait_for) == ("loginInteractiveShell", "updateContentCommand")
    assert not (found.hooks)
    assert not (found.mounts)
    assert not (found.metadata)


def test_scalars_the_last_one_set_wins(tmp_path: Path) -> None:
    image = {
        "remoteUser": "image",
        "overrideCommand": False,
        "waitFor": "onCreateCommand",
        "updateRemoteUserUID": False,
    }
    found = merged(tmp_path, {}, image)
    assert (found.remote_user, found.override_command, found.wait_for) == ("image", False, "onCreateCommand")
    assert not found.update_remote_user_uid
    found = merged(tmp_path, {"remoteUser": "mine", "overrideCommand": True, "updateRemoteUserUID": True}, image)
    assert (found.remote_user, found.override_command, found.update_remote_user_uid) == ("mine", True, True)


@pytest.mark.parametrize(
    ("config", "image_user", "expected"),
    [
        ({}, "app", "app"),
        ({"containerUser": "c"}, "app", "c"),
        ({"containerUser": "c", "runArgs": ["-u", "r"]}, "app", "r"),
        ({"remoteUser": "m", "runArgs": ["-u", "r"]}, "app", "m"),
        ({}, "", "root"),
    ],
)
def test_the_remote_user(tmp_path: Path, config: dict[str, Any], image_user: str, expected: str) -> None:
    assert merged(tmp_path, config, user=image_user).remote_user == expected


def test_the_user_in_run_args() -> None:
    assert run_args_user(["-u", "a", "--user", "b"]) == "b"
    assert run_args_user(["--user=b", "--name", "x"]) == "b"
    assert run_args_user(["-u"]) is None


def test_switches_are_or_and_lists_unite(tmp_path: Path) -> None:
    found = merged(
        tmp_path,
        {"init": False, "capAdd": ["B", "A"], "securityOpt": ["x"]},
        {"init": True, "privileged": True, "capAdd": ["A"], "entrypoint": "/e"},
    )
    assert found.init
    assert found.privileged
    assert found.cap_add == ("A", "B")
    assert found.security_opt == ("x",)
    assert found.entrypoints == ("/e",)


def test_mounts_by_target_the_last_stays(tmp_path: Path) -> None:
    found = merged(
        tmp_path,
        {"mounts": ["type=volume,source=mine,dst=/a", {"type": "bind", "source": "/x,y", "target": "/c"}]},
        {"mounts": ["type=volume,source=image,target=/a", {"type": "volume", "source": "b", "target": "/b"}]},
    )
    assert found.mounts == (
        "type=volume,src=b,dst=/b",
        "type=volume,source=mine,dst=/a",
        'type=bind,"src=/x,y",dst=/c',
    )


def test_environments_unite_by_name(tmp_path: Path) -> None:
    found = merged(
        tmp_path,
        {"containerEnv": {"A": "mine"}, "remoteEnv": {"R": None}},
        {
            "containerEnv": {"A": "image", "B": "${localEnv:HOST}"},
            "remoteEnv": {"R": "image", "S": "${containerEnv:A}"},
        },
    )
    assert dict(found.container_env) == {"A": "mine", "B": "host"}
    assert dict(found.remote_env) == {"R": None, "S": "${containerEnv:A}"}


def test_hooks_in_order_and_form(tmp_path: Path) -> None:
    found = merged(
        tmp_path,
        {"initializeCommand": "i", "postCreateCommand": {"one": "a b", "two": ["c", "d"]}, "postStartCommand": ""},
        {"initializeCommand": "never", "postCreateCommand": ["x", "y"]},
    )
    assert found.hooks == (
        ("initializeCommand", ((("", "i"),),)),
        ("postCreateCommand", ((("", ("x", "y")),), (("one", "a b"), ("two", ("c", "d"))))),
    )


def test_ports(tmp_path: Path) -> None:
    assert merged(tmp_path, {"appPort": 80}).publish == ("127.0.0.1:80:80",)
    assert merged(tmp_path, {"appPort": [80, "1:2"]}).publish == ("127.0.0.1:80:80", "1:2")


@pytest.mark.parametrize(
    ("image", "mine", "expected"),
    [
        (None, "optional", "optional"),
        (True, False, True),
        ("optional", "optional", "optional"),
        ("optional", True, {}),
        ({"cores": 2, "memory": "4gb"}, {"cores": 1, "memory": "8gb"}, {"cores": 2, "memory": str(8 * 2**30)}),
    ],
)
def test_host_requirements_take_the_larger(tmp_path: Path, image: Any, mine: Any, expected: Any) -> None:
    found = merged(
        tmp_path, {"hostRequirements": {"cpus": 2, "gpu": mine}}, {"hostRequirements": {"cpus": 4, "gpu": image}}
    )
    assert found.host_requirements == {"cpus": 4, "gpu": expected}


def test_the_label_is_raw_and_complete(tmp_path: Path) -> None:
    image = {"id": "feature", "containerEnv": {"A": "${localEnv:HOST}"}}
    config = {"containerEnv": {"ID": "${devcontainerId}"}, "runArgs": ["--init"], "name": "n", "remoteUser": "u"}
    found = merged(tmp_path, config, image)
    assert found.metadata == (image, {"containerEnv": {"ID": "${devcontainerId}"}, "remoteUser": "u"})
    assert "${devcontainerId}" not in dict(found.container_env)["ID"]


@pytest.mark.parametrize(
    ("label", "expected"),
    [("[]", []), ('[{"init": true}]', [{"init": True}]), ('{"init": true}', [{"init": True}]), ("x", []), ("[1]", [])],
)
def test_reading_the_label(label: str, expected: list[Any]) -> None:
    assert image_metadata({"devcontainer.metadata": label}) == expected
    assert image_metadata(None) == image_metadata({}) == []


@pytest.mark.parametrize(
    "entry",
    [
        {"mounts": "type=volume,source=a,target=/a"},
        {"capAdd": "SYS_PTRACE"},
        {"capAdd": [1]},
        {"containerEnv": {"A": []}},
        {"containerEnv": None},
        {"remoteUser": 7},
        {"init": "yes"},
        {"entrypoint": ["a"]},
        {"postCreateCommand": {"a": 1}},
        {"hostRequirements": "gpu"},
        {"hostRequirements": {"cpus": "many"}},
        {"userEnvProbe": "shell"},
        {"waitFor": 1},
    ],
)
def test_what_is_wrong_in_an_images_label_is_left_out(tmp_path: Path, entry: dict[str, Any]) -> None:
    label = json.dumps([entry, {"containerEnv": {"KEPT": 1}}])
    plain = merged(tmp_path, {}, {"containerEnv": {"KEPT": "1"}})
    found = merged(tmp_path, {}, *image_metadata({"devcontainer.metadata": label}))
    assert dataclasses.replace(found, metadata=()) == dataclasses.replace(plain, metadata=())


# Entries of a label, with few names and targets, so that they meet.
names = st.sampled_from(["A", "B", "C"])
texts = st.sampled_from(["", "x", "a,b", "é ü", "${localEnv:HOST}"])
entries = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "containerEnv": st.dictionaries(names, texts),
            "remoteEnv": st.dictionaries(names, texts | st.none()),
            "capAdd": st.lists(names),
            "init": st.booleans(),
            "remoteUser": st.sampled_from(["", "root", "dev"]),
            "overrideCommand": st.booleans(),
            "onCreateCommand": st.sampled_from(["", "run"]) | st.lists(texts) | st.dictionaries(names, texts),
            "mounts": st.lists(st.builds("type=volume,source=s{},target=/{}".format, st.integers(1, 3), names)),
            "hostRequirements": st.fixed_dictionaries({}, optional={"cpus": st.integers(1, 9), "gpu": st.booleans()}),
        },
    ),
    max_size=4,
)


@given(entries=entries)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_merging_keeps_its_rules(tmp_path: Path, entries: list[dict[str, Any]]) -> None:
    found = merged(tmp_path, {}, *entries)
    # The label of the merged container, read back, gives the same container: so tools that read it agree.
    again = merged(tmp_path, {}, *image_metadata({"devcontainer.metadata": json.dumps(found.metadata)}))
    assert dataclasses.replace(again, metadata=found.metadata) == found
    targets = [mount.partition("target=")[2] for mount in found.mounts]
    assert len(targets) == len(set(targets))
    for name, _ in found.container_env:
        assert name in {key for entry in entries for key in entry.get("containerEnv", {})}
    assert found.init == any(entry.get("init") for entry in entries)
    assert set(found.cap_add) == {item for entry in entries for item in entry.get("capAdd", ())}
    said = [entry["overrideCommand"] for entry in entries if "overrideCommand" in entry]
    assert found.override_command == (said[-1] if said else True)
