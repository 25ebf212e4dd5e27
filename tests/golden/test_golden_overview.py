"""The overview at several widths, as text: `UPDATE_GOLDEN=1` writes it anew. And what a terminal must never be sent."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from devbox.builds.running import Running
from devbox.container.status import ContainerStatus, ServiceStatus, VolumeStatus
from devbox.facts.gpu_use import GpuUse, Holder
from devbox.overview import Disk, Overview
from devbox.ui.overview import frame

GOLDEN = Path(__file__).parent / "overview"
NOW = 1_800_000_000.0
GIB = 1 << 30


def container(
    name: str, state: str, status: str, workspace: str, framework: str | None, **more: Any
) -> ContainerStatus:
    said = {"workspace_exists": True, "ours": True, "contract": "", **more}
    return ContainerStatus(f"{name}-id", name, state, status, 0, "image", workspace, framework=framework, **said)


def volume(kind: Literal["build", "cache"], title: str, workspace: str | None, *used_by: str) -> VolumeStatus:
    name = f"devbox-1000-{title}{workspace or ''}"
    return VolumeStatus(name, kind, title, None, 0, workspace, workspace is not None, used_by)


VLLM = "/home/a-team/vllm"
BUSY = Overview(
    at=NOW,
    builds=(
        Running(VLLM, "9c41d2aa07", NOW - 95, "building", 124, 1904, 754.0, running=("flash_fwd.cu", "gemm.cu")),
        Running("/home/llama.cpp", "3fe07711b2", NOW - 7, "configuring 3fe07711b2 (there is no record of it)"),
    ),
    containers=(
        container("vllm-9c41", "running", "Up 3 hours", VLLM, "vllm", services=(
            ServiceStatus("redis", "vllm-redis-1", "running", "Up 3 hours (healthy)", "redis"),
        )),
        container("llama-cpp-debugging-77aa12", "exited", "Exited (137) 2 days ago", "/w/llama.cpp", None, ours=False),
        container("old", "running", "Up 2 weeks", "/tmp/old", "cuda", workspace_exists=False),
    ),
    gpus=(
        GpuUse(0, "NVIDIA H200", 5647, 143771, 97, (
            Holder(451, "python3", 5000, "alice", "vllm-9c41"), Holder(77, "Xorg", None, "root"),
        )),
        GpuUse(1, "NVIDIA H200", None, 143771, None),
    ),
    volumes=(
        volume("cache", "ccache", None, "vllm-9c41", "old"), volume("cache", "pip", None),
        volume("build", "build", VLLM, "vllm-9c41"), volume("build", "build", None),
    ),
    disks=(Disk("/var/lib/docker", 80 * GIB, 900 * GIB), Disk("/home/alice/.cache/devbox", 300 * GIB, 400 * GIB)),
    sizes={"devbox-1000-ccache": 18 * GIB, "devbox-1000-pip": 4096, f"devbox-1000-build{VLLM}": 41 * GIB},
    sized=NOW - 3000,
)  # fmt: skip
LOST = Overview(
    at=NOW,
    builds=(),
    disks=(Disk("/home/alice/.cache/devbox", 300 * GIB, 400 * GIB),),
    trouble={
        "containers": "the Docker engine at unix:///var/run/docker.sock does not answer: connection refused",
        "gpus": "no answer for 12 s",
    },
)


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("name", ["busy", "lost"])
def test_a_frame_is_as_it_was(name: str, width: int) -> None:
    text = "\n".join(frame({"busy": BUSY, "lost": LOST}[name], width)) + "\n"
    path = GOLDEN / f"{name}-{width}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), f"UPDATE_GOLDEN=1 pytest {__file__} writes it anew"


@pytest.mark.parametrize("width", [20, 40, 60, 77, 99, 200])
def test_no_line_is_wider_than_the_screen_and_none_is_below_it(width: int) -> None:
    from rich.cells import cell_len

    for facts in (BUSY, LOST, Overview(at=NOW)):
        assert all(cell_len(line) <= width for line in frame(facts, width))
    short = frame(BUSY, width, 7)
    assert len(short) == 7
    assert short[-1].startswith("… ")


def test_names_from_outside_move_no_cursor() -> None:
    evil = "\x1b[2J\x9b\n[red]x[/red]\u202e"
    builds = (Running(f"/w/{evil}", "k", NOW, evil, running=(evil,), total=3),)
    containers = (container(evil, "running", evil, f"/w/{evil}", evil),)
    gpus = (GpuUse(0, evil, 1, 2, 3, (Holder(1, evil, 2, evil, evil),)),)
    facts = replace(BUSY, builds=builds, containers=containers, gpus=gpus, trouble={"disks": evil})
    text = "\n".join(frame(facts, 120))
    assert not {"\x1b", "\x9b", "\u202e", "\r"} & set(text)
    assert "[red]" in text
