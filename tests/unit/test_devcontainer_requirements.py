"""`hostRequirements`, held against machines of many kinds."""

from __future__ import annotations

from typing import Any

import pytest

from devbox.devcontainer.requirements import gpu, size, unmet
from devbox.facts.model import EngineFacts, Gpu, Gpus, Host, User

USER = User(1000, 1000, "dev", "/home/dev")
GIB = 2**30


def host(cpus: int = 8, quota: float | None = None, memory: int = 16_000) -> Host:
    return Host(USER, cpus, quota, memory_total=memory, memory_available=memory // 2)


def engine(*, cdi: bool = False, runtime: bool = False) -> EngineFacts:
    devices = ("nvidia.com/gpu=0", "nvidia.com/gpu=all") if cdi else ()
    return EngineFacts(
        "26", rootless=False, local=True, cdi=cdi, cdi_devices=devices, nvidia_runtime=runtime, memlock=0
    )


ONE = Gpus((Gpu(0, "GPU-1", "H200", "9.0", 143_771),), "570")
NONE = Gpus(reason="nvidia-smi is not installed")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8gb", 8 * GIB),
        ("1tb", 2**40),
        ("512mb", 2**29),
        ("3kb", 3072),
        ("77", 77),
        ("8GB", 0),
        ("", 0),
        (8, 0),
        (None, 0),
    ],
)
def test_sizes(text: Any, expected: int) -> None:
    assert size(text) == expected


@pytest.mark.parametrize(
    ("requirements", "machine", "free", "said"),
    [
        ({}, host(), 0, ()),
        ({"cpus": 8, "memory": "8gb", "storage": "1gb"}, host(), GIB, ()),
        ({"cpus": 9}, host(), None, ("needs 9 CPUs, and there are 8",)),
        ({"cpus": 4}, host(quota=2.5), None, ("needs 4 CPUs, and there are 2.5",)),
        ({"memory": "32gb"}, host(), None, ("needs 32.0 GiB of memory, and there are 15.6 GiB",)),
        # A machine that is sold with 16 GB shows a little less.
        ({"memory": "16gb"}, host(), None, ()),
        ({"memory": "32gb"}, host(memory=0), None, ()),
        ({"storage": "100gb"}, host(), 20 * GIB, ("needs 100.0 GiB of storage, and 20.0 GiB are free",)),
        ({"storage": "100gb"}, host(), None, ()),
        ({"cpus": 64, "memory": "1tb"}, host(), None, ("64 CPUs", "1024.0 GiB")),
    ],
)
def test_what_the_host_lacks_is_said(requirements: Any, machine: Host, free: int | None, said: tuple[str, ...]) -> None:
    found = unmet(requirements, machine, free)
    assert len(found) == len(said)
    for sentence, part in zip(found, said, strict=True):
        assert part in sentence


@pytest.mark.parametrize(
    ("demand", "gpus", "facts", "args", "denied"),
    [
        (None, ONE, engine(runtime=True), (), False),
        (False, ONE, engine(runtime=True), (), False),
        (True, ONE, engine(runtime=True), ("--gpus=all",), False),
        ("optional", ONE, engine(runtime=True), ("--gpus=all",), False),
        ({}, ONE, engine(runtime=True), ("--gpus=all",), False),
        ({"cores": 1000, "memory": "80gb"}, ONE, engine(runtime=True), ("--gpus=all",), False),
        ({"memory": "200gb"}, ONE, engine(runtime=True), ("--gpus=all",), True),
        (True, ONE, engine(cdi=True), ("--device=nvidia.com/gpu=all",), False),
        (True, ONE, engine(cdi=True, runtime=True), ("--device=nvidia.com/gpu=all",), False),
        # A GPU that the engine cannot hand out, and an engine that could hand one out but has none.
        (True, ONE, engine(), (), True),
        ("optional", ONE, engine(), (), False),
        (True, NONE, engine(runtime=True), (), True),
        ("optional", NONE, engine(runtime=True), (), False),
    ],
)
def test_gpus(demand: Any, gpus: Gpus, facts: EngineFacts, args: tuple[str, ...], denied: bool) -> None:
    choice = gpu(demand, (), gpus, facts)
    assert (choice.args, choice.denied) == (args, denied)
    assert choice.reason


@pytest.mark.parametrize(
    "run_args", [("--gpus", "all"), ("--gpus=0",), ("--device", "nvidia.com/gpu=0"), ("--device=nvidia.com/gpu=all",)]
)
def test_run_args_that_hand_out_gpus_are_left_to_it(run_args: tuple[str, ...]) -> None:
    choice = gpu(True, run_args, ONE, engine(runtime=True))
    assert (choice.args, choice.denied) == ((), False)


def test_other_devices_hand_out_no_gpu() -> None:
    choice = gpu(True, ("--device", "/dev/fuse", "--label=--gpus"), ONE, engine(runtime=True))
    assert choice.args == ("--gpus=all",)
