"""GPUs from recorded answers of nvidia-smi, of the kernel driver and of the engine."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox.engine.docker import Engine
from devbox.facts import gpu
from devbox.facts.model import EngineFacts, Gpu

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

UUID = "GPU-5a3f9c1e-77b2-4d08-9e6a-0c41d2b7e815"
INFORMATION = f"""\
Model: \t\t NVIDIA H200
IRQ:   \t\t 41
GPU UUID: \t {UUID}
Video BIOS: \t 96.00.a5.00.1a
Bus Type: \t PCIe
Bus Location: \t 0000:00:06.0
Device Minor: \t 0
GPU Excluded:\t No
"""
OPEN_MODULE = """\
NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.159.04  Release Build  (dvs-builder@host)
GCC version:  gcc version 12.2.0
"""
OLD_MODULE = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\n"


def engine_facts(*, local: bool = True, devices: Sequence[str] = ()) -> EngineFacts:
    return EngineFacts("26.1", False, local, bool(devices), tuple(devices), False, 0)


def test_one_gpu_as_nvidia_smi_tells_it() -> None:
    found = gpu.from_smi(f"0, {UUID}, NVIDIA H200, 143771, 580.159.04, 9.0\n")
    assert found.devices == (Gpu(0, UUID, "NVIDIA H200", "9.0", 143771),)
    assert found.driver == "580.159.04"


def test_an_older_driver_tells_no_compute_capability() -> None:
    found = gpu.from_smi(f"0, {UUID}, Tesla T4, 15360, 450.80.02\n1, GPU-2, Tesla T4, [N/A], 450.80.02\n")
    assert [device.compute_capability for device in found.devices] == [None, None]
    assert found.devices[1].memory is None


@pytest.mark.parametrize("text", ["", "No devices were found\n", "a, b\n", "\n\n"])
def test_no_gpu_is_a_normal_answer(text: str) -> None:
    found = gpu.from_smi(text)
    assert found.devices == ()
    assert found.reason


@given(st.text())
def test_any_answer_is_survived(text: str) -> None:
    gpu.from_smi(text)
    gpu.from_driver([text], text)


@pytest.mark.parametrize(("version", "driver"), [(OPEN_MODULE, "580.159.04"), (OLD_MODULE, "550.54.15"), ("", None)])
def test_the_kernel_drivers_files(version: str, driver: str | None) -> None:
    found = gpu.from_driver([INFORMATION], version)
    assert found.devices == (Gpu(0, UUID, "NVIDIA H200", None),)
    assert found.driver == driver


def test_an_excluded_gpu_does_not_count_and_an_unopened_one_has_no_uuid() -> None:
    excluded = INFORMATION.replace("GPU Excluded:\t No", "GPU Excluded:\t Yes")
    unopened = INFORMATION.replace(UUID, "GPU-????????-????-????-????-????????????")
    assert gpu.from_driver([excluded, unopened], OPEN_MODULE).devices == (Gpu(0, None, "NVIDIA H200", None),)


def test_cdi_names_count_each_gpu_once() -> None:
    names = [
        "nvidia.com/gpu=all",
        f"nvidia.com/gpu={UUID}",
        "nvidia.com/gpu=0",
        "nvidia.com/gpu=10",
        "nvidia.com/gpu=2",
    ]
    assert [device.index for device in gpu.from_cdi(names, "").devices] == [0, 2, 10]
    assert gpu.from_cdi(["nvidia.com/gpu=all", f"nvidia.com/gpu={UUID}"], "").devices[0].uuid == UUID
    assert gpu.from_cdi(["vendor.com/net=0"], "none here").reason == "none here"


def test_a_remote_engine_is_asked_and_this_machine_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "_nvidia_smi", lambda: pytest.fail("this machine was asked about another one's GPUs"))
    engine = Engine(environ={"DOCKER_HOST": "ssh://builder"})
    found = gpu.gather(engine, engine_facts(local=False, devices=["nvidia.com/gpu=0"]))
    assert len(found.devices) == 1
    assert "ssh://builder" in gpu.gather(engine, engine_facts(local=False)).reason


@pytest.fixture
def smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put an nvidia-smi of the test's own making before everything else on PATH."""

    def install(script: str) -> None:
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setattr(gpu, "_DRIVER", tmp_path / "proc")

    return install


def test_nvidia_smi_is_asked_again_without_what_an_old_driver_does_not_know(smi: Callable[[str], None]) -> None:
    smi(
        'case "$1" in *compute_cap*) echo "Field \\"compute_cap\\" is not a valid field to query."; exit 2;; esac\n'
        f'echo "0, {UUID}, Tesla T4, 15360, 450.80.02"'
    )
    assert gpu.gather(Engine(), engine_facts()).devices == (Gpu(0, UUID, "Tesla T4", None, 15360),)


def test_a_failing_nvidia_smi_gives_way_to_the_driver_and_then_to_the_engine(
    smi: Callable[[str], None], tmp_path: Path
) -> None:
    smi("echo NVIDIA-SMI has failed because it could not talk to the driver.; exit 9")
    facts = engine_facts(devices=["nvidia.com/gpu=0"])
    assert gpu.gather(Engine(), facts).devices[0].name == "nvidia.com/gpu=0"
    reason = gpu.gather(Engine(), engine_facts()).reason
    assert "could not talk to the driver" in reason
    folder = tmp_path / "proc" / "gpus" / "0000:00:06.0"
    folder.mkdir(parents=True)
    (folder / "information").write_text(INFORMATION)
    assert gpu.gather(Engine(), facts).devices[0].uuid == UUID


def test_a_machine_without_nvidia_smi_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(gpu, "_DRIVER", tmp_path / "proc")
    found = gpu.gather(Engine(), engine_facts())
    assert found.devices == ()
    assert found.reason.startswith("nvidia-smi is not installed")
