"""Limits and GPUs: what the engine can do decides what is asked of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from devbox.devcontainer.gpu import gpu_args
from devbox.devcontainer.writing.limits import UNCLAMPED, limit_args, memlock_arg
from devbox.errors import UsageError
from devbox.facts.model import EngineFacts, Gpu, Gpus

PLAIN = EngineFacts("26.1", rootless=False, local=True, cdi=False, cdi_devices=(), nvidia_runtime=False, memlock=None)
RUNTIME = replace(PLAIN, nvidia_runtime=True)
CDI = replace(
    RUNTIME,
    cdi=True,
    cdi_devices=("nvidia.com/gpu=0", "nvidia.com/gpu=GPU-b", "nvidia.com/gpu=all", "nvidia.com/gpu=1:0"),
)
TWO = Gpus((Gpu(0, "GPU-a", "H200", "9.0"), Gpu(1, "GPU-b", "H200", "9.0")), "580", "nvidia-smi lists 2")
NONE = Gpus(reason="there is no NVIDIA driver")


@pytest.mark.parametrize(
    ("memlock", "argument", "note"),
    [
        (None, "--ulimit=memlock=-1", None),
        (0, "--ulimit=memlock=-1", "could not be learned"),
        (8 * 2**20, "--ulimit=memlock=8388608", "8 MiB"),
        (65536, "--ulimit=memlock=65536", "64 KiB"),
    ],
)
def test_memlock(memlock: int | None, argument: str, note: str | None) -> None:
    written, said = memlock_arg(replace(PLAIN, memlock=memlock))
    assert written == argument
    assert (said is None) == (note is None)
    assert note is None or note in str(said)


def test_all_limits() -> None:
    unlimited = replace(PLAIN, memlock=None, stack=None, nofile=None)
    assert limit_args(unlimited) == (UNCLAMPED, ())
    args, notes = limit_args(replace(PLAIN, memlock=2**20, stack=2**23, nofile=20000))
    assert args == ("--ulimit=memlock=1048576", "--ulimit=stack=8388608", "--ulimit=nofile=20000:20000")
    assert [note.partition(" limited to ")[2].partition(":")[0] for note in notes] == ["1 MiB", "8 MiB", "20000"]
    unknown = replace(PLAIN, memlock=0, stack=0, nofile=0)
    assert limit_args(unknown)[0] == UNCLAMPED
    roomy = replace(PLAIN, memlock=None, stack=2**30, nofile=2**20)
    assert limit_args(roomy) == (UNCLAMPED, ())


@pytest.mark.parametrize(
    ("requested", "gpus", "engine", "expected"),
    [
        ("none", TWO, CDI, ()),
        ("auto", NONE, CDI, ()),
        ("auto", TWO, CDI, ("--device=nvidia.com/gpu=all",)),
        ("auto", TWO, RUNTIME, ("--gpus=all",)),
        ("auto", TWO, PLAIN, ()),
        ("all", NONE, CDI, ("--device=nvidia.com/gpu=all",)),
        ("ALL", TWO, RUNTIME, ("--gpus=all",)),
        ("0", TWO, CDI, ("--device=nvidia.com/gpu=0",)),
        ("0,1", TWO, CDI, ("--device=nvidia.com/gpu=0", "--device=nvidia.com/gpu=GPU-b")),
        ("GPU-a", TWO, CDI, ("--device=nvidia.com/gpu=0",)),
        ("1:0", TWO, CDI, ("--device=nvidia.com/gpu=1:0",)),
        ("0", TWO, RUNTIME, ("--gpus=device=0",)),
        ("1, 0,1", TWO, RUNTIME, ('--gpus="device=1,0"',)),
        ("MIG-12-ab", TWO, RUNTIME, ("--gpus=device=MIG-12-ab",)),
        ("3", Gpus(reason="remote"), RUNTIME, ("--gpus=device=3",)),
    ],
)
def test_gpus(requested: str, gpus: Gpus, engine: EngineFacts, expected: tuple[str, ...]) -> None:
    choice = gpu_args(requested, gpus, engine)
    assert choice.args == expected
    assert choice.reason
    assert not choice.denied


@pytest.mark.parametrize("requested", ["all", "0", "GPU-a"])
def test_a_gpu_that_cannot_be_had_is_said(requested: str) -> None:
    assert gpu_args(requested, TWO, PLAIN).denied
    assert gpu_args("all", NONE, PLAIN).reason == NONE.reason


@pytest.mark.parametrize("requested", ["2", "GPU-x", "", "two", "0;1", "--privileged", "0,all"])
def test_a_wrong_choice_is_refused(requested: str) -> None:
    with pytest.raises(UsageError):
        gpu_args(requested, TWO, CDI)


@pytest.mark.parametrize(
    ("requested", "engine", "expected"),
    [
        ("all", CDI, {"driver": "cdi", "device_ids": ["nvidia.com/gpu=all"]}),
        ("1,0", CDI, {"driver": "cdi", "device_ids": ["nvidia.com/gpu=GPU-b", "nvidia.com/gpu=0"]}),
        ("all", RUNTIME, {"driver": "nvidia", "count": "all"}),
        ("1,GPU-a", RUNTIME, {"driver": "nvidia", "device_ids": ["1", "GPU-a"]}),
    ],
)
def test_compose_reserves_the_same_gpus(requested: str, engine: EngineFacts, expected: dict[str, object]) -> None:
    grant = gpu_args(requested, TWO, engine).grant
    assert grant is not None
    assert grant.reservation() == {**expected, "capabilities": ["gpu"]}
