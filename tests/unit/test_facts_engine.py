"""The engine: `docker info` and /proc from recorded text, the CLI's contexts, and the real engine's real limit."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox.engine.address import address
from devbox.engine.docker import Engine
from devbox.errors import EngineError
from devbox.facts import engine as facts

if TYPE_CHECKING:
    from pathlib import Path

# What `docker info --format '{{json .}}'` says, less what nobody reads.
ROOTFUL = {
    "ServerVersion": "26.1.5+dfsg1",
    "Name": "buildhost",
    "OperatingSystem": "Debian GNU/Linux 12 (bookworm)",
    "SecurityOptions": ["name=seccomp,profile=builtin"],
    "Runtimes": {"io.containerd.runc.v2": {"path": "runc"}, "runc": {"path": "runc"}},
    "CDISpecDirs": ["/etc/cdi", "/var/run/cdi"],
    "ServerErrors": None,
}
ROOTLESS = ROOTFUL | {
    "SecurityOptions": ["name=seccomp,profile=builtin", "name=rootless", "name=cgroupns"],
    "CDISpecDirs": [],
    "Runtimes": {"runc": {"path": "runc"}, "nvidia": {"path": "nvidia-container-runtime"}},
}
NEWER = ROOTFUL | {
    "ServerVersion": "28.3.2",
    "DiscoveredDevices": [
        {"Source": "cdi", "ID": "nvidia.com/gpu=all"},
        {"Source": "cdi", "ID": "nvidia.com/gpu=0"},
        {"Source": "other", "ID": "ignored"},
    ],
}
LIMITS = """\
Limit                     Soft Limit           Hard Limit           Units
Max open files            1024                 524288               files
Max locked memory         65536                8388608              bytes
Max address space         unlimited            unlimited            bytes
"""
UNLIMITED = LIMITS.replace("65536                8388608  ", "8388608              unlimited")
EVERY_CAPABILITY = "Name:\tcontainerd\nCapPrm:\t000001ffffffffff\nCapEff:\t000001ffffffffff\n"
NO_SYS_RESOURCE = "Name:\tcontainerd\nCapPrm:\t000001fffeffffff\nCapEff:\t000001fffeffffff\n"
FIRST_NAMESPACE = "         0          0 4294967295\n"
NESTED_NAMESPACE = "         0     100000      65536\n"


def test_a_rootful_engine_with_cdi() -> None:
    read = facts.read(ROOTFUL, local=True)
    assert (read.version, read.rootless, read.local, read.cdi) == ("26.1.5+dfsg1", False, True, True)
    assert (read.nvidia_runtime, read.cdi_devices, read.memlock) == (False, (), 0)


def test_a_rootless_engine_with_the_nvidia_runtime_and_no_cdi() -> None:
    read = facts.read(ROOTLESS, local=True)
    assert (read.rootless, read.cdi, read.nvidia_runtime) == (True, False, True)


def test_a_newer_engine_tells_its_cdi_devices() -> None:
    assert facts.read(NEWER, local=False).cdi_devices == ("nvidia.com/gpu=0", "nvidia.com/gpu=all")


def test_an_engine_that_says_next_to_nothing_is_survived() -> None:
    read = facts.read({}, local=False)
    assert (read.version, read.cdi, read.rootless) == ("", False, False)


@pytest.mark.parametrize(
    ("limits", "status", "uid_map", "rootless", "granted"),
    [
        (LIMITS, NO_SYS_RESOURCE, FIRST_NAMESPACE, False, 8388608),
        (LIMITS, EVERY_CAPABILITY, FIRST_NAMESPACE, False, None),
        (LIMITS, EVERY_CAPABILITY, NESTED_NAMESPACE, False, 8388608),
        (LIMITS, EVERY_CAPABILITY, FIRST_NAMESPACE, True, 8388608),
        (LIMITS, EVERY_CAPABILITY, "", False, 8388608),
        (UNLIMITED, NO_SYS_RESOURCE, NESTED_NAMESPACE, True, None),
        ("", "", "", False, 0),
    ],
    ids=["capped", "capable", "in a user namespace", "rootless", "no uid_map", "unlimited", "nothing readable"],
)
def test_memlock(limits: str, status: str, uid_map: str, rootless: bool, granted: int | None) -> None:
    assert facts.ceiling("memlock", limits, status, uid_map, rootless=rootless) == granted


def test_each_limit_has_its_own_line() -> None:
    limits = "Max stack size  8388608  unlimited  bytes\nMax open files  1024  20000  files\n"
    assert facts.ceiling("nofile", limits, NO_SYS_RESOURCE, FIRST_NAMESPACE) == 20000
    assert facts.ceiling("stack", limits, NO_SYS_RESOURCE, FIRST_NAMESPACE) is None
    assert facts.ceiling("memlock", limits, NO_SYS_RESOURCE, FIRST_NAMESPACE) == 0


@given(st.text())
def test_memlock_of_any_text_is_unknown_or_a_number(text: str) -> None:
    assert facts.ceiling("memlock", text, text, text) == 0


def test_the_endpoint_is_the_one_that_the_cli_would_choose(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    assert address(home).url == "unix:///var/run/docker.sock"
    assert address({"DOCKER_HOST": "ssh://me@builder"}).url == "ssh://me@builder"
    assert address({"DOCKER_HOST": "unix:///run/user/1000/docker.sock"}).url == "unix:///run/user/1000/docker.sock"
    folder = tmp_path / ".docker" / "contexts" / "meta" / hashlib.sha256(b"rootless").hexdigest()
    folder.mkdir(parents=True)
    meta = {"Name": "rootless", "Endpoints": {"docker": {"Host": "unix:///run/user/1000/docker.sock"}}}
    (folder / "meta.json").write_text(json.dumps(meta))
    assert address(home | {"DOCKER_CONTEXT": "rootless"}).url == "unix:///run/user/1000/docker.sock"
    (tmp_path / ".docker" / "config.json").write_text('{"currentContext": "rootless"}')
    assert address(home).url == "unix:///run/user/1000/docker.sock"
    assert address(home | {"DOCKER_CONTEXT": "missing"}).url == ""


def docker_that_says(tmp_path: Path, answer: str, code: int = 0) -> str:
    program = tmp_path / "docker"
    (tmp_path / "answer").write_text(answer)
    program.write_text(f"#!/bin/sh\ncat '{tmp_path}/answer'\nexit {code}\n")
    program.chmod(0o755)
    return str(program)


def test_an_engine_on_another_machine_is_not_local_and_its_memlock_is_unknown(tmp_path: Path) -> None:
    docker = docker_that_says(tmp_path, json.dumps(ROOTFUL | {"Name": os.uname().nodename}))
    remote = facts.gather(Engine(docker=docker, environ={**os.environ, "DOCKER_HOST": "tcp://10.0.0.1:2376"}))
    assert (remote.local, remote.memlock, remote.cdi_devices) == (False, 0, ())


def test_an_engine_in_a_virtual_machine_is_not_local_though_its_socket_is(tmp_path: Path) -> None:
    docker = docker_that_says(tmp_path, json.dumps(ROOTFUL | {"Name": "docker-desktop"}))
    assert not facts.gather(Engine(docker=docker)).local


def test_a_local_engine_of_version_26_has_the_devices_of_its_specification_folders(tmp_path: Path) -> None:
    specification = {"cdiVersion": "0.6.0", "kind": "nvidia.com/gpu", "devices": [{"name": "all"}]}
    (tmp_path / "nvidia.json").write_text(json.dumps(specification))
    answer = ROOTFUL | {"Name": os.uname().nodename, "CDISpecDirs": [str(tmp_path)]}
    local = facts.gather(
        Engine(docker=docker_that_says(tmp_path, json.dumps(answer)), environ={"PATH": os.environ["PATH"]})
    )
    assert local.cdi_devices == ("nvidia.com/gpu=all",)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("no json", "did not answer with JSON"),
        (json.dumps({"ServerErrors": ["Cannot connect to the Docker daemon at unix:///x"]}), "does not answer"),
        (json.dumps({"ServerErrors": ["something else"]}), "something else"),
    ],
)
def test_no_answer_is_an_engine_error(tmp_path: Path, answer: str, says: str) -> None:
    with pytest.raises(EngineError) as caught:
        facts.gather(Engine(docker=docker_that_says(tmp_path, answer)))
    assert says in caught.value.message


def test_free_storage_is_that_of_the_nearest_folder_that_is_there(tmp_path: Path) -> None:
    here = facts.read({"DockerRootDir": str(tmp_path / "gone/data")}, local=True)
    free = facts.free_storage(here)
    assert free is not None
    assert free == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.1)
    assert facts.free_storage(facts.read({"DockerRootDir": str(tmp_path)}, local=False)) is None
