"""Random histories of a small CUDA tree in a container, at least 200 steps: no build is ever stale.

The tree is small enough that nvcc takes a second a file; what its program says follows from the files alone.
"""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.oracle.cuda_lab import CudaLab
from tests.oracle.history import TYPES, History
from tests.oracle.test_build_cuda import image

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from devbox.engine.docker import Engine

pytestmark = [pytest.mark.engine, pytest.mark.slow]
__all__ = ["image"]

STEPS = 220
CMAKE = """\
cmake_minimum_required(VERSION 3.24)
project(tiny LANGUAGES CXX CUDA)
add_library(parts STATIC one.cu two.cu)
add_executable(tiny main.cpp)
target_link_libraries(tiny PRIVATE parts)
"""
KERNEL = """\
#include "shared.h"
{include}
__global__ void {name}_kernel(int* out) {{ *out = SHARED + {value}; }}
int {name}() {{ return SHARED * 1000 + {value}; }}
"""
FILES = {
    "CMakeLists.txt": CMAKE,
    "shared.h": "#define SHARED 1\n",
    "one.h": "#define ONE 1\n",
    "one.cu": KERNEL.format(name="one", include='#include "one.h"', value="ONE"),
    "two.cu": KERNEL.format(name="two", include="", value="2"),
    "main.cpp": '#include <cstdio>\nint one(); int two();\nint main() { std::printf("%d %d\\n", one(), two()); }\n',
}
TEXTS = {
    "shared.h": [f"#define SHARED {n}\n" for n in (1, 2, 3)],
    "one.h": [f"#define ONE {n}\n" for n in (1, 2, 3)],
    "two.cu": [KERNEL.format(name="two", include="", value=str(n)) for n in (2, 3, 4)],
}


class TinyLab(CudaLab):
    """The program is asked what it says, which is known from the files."""

    def check(self, result: dict[str, object]) -> None:
        value = {name: self.number(name) for name in TEXTS}
        expected = f"{value['shared.h'] * 1000 + value['one.h']} {value['shared.h'] * 1000 + value['two.cu']}\n"
        assert self.run(f"{result['tree']}/{self.program}") == expected

    def number(self, name: str) -> int:
        found = re.findall(r"(?:define \w+|\+) (\d+)", (self.workspace / name).read_text())
        return int(found[-1])


class TinyHistory(History[TinyLab]):
    """A history of the tiny CUDA tree, whose container comes and goes."""

    def steps(self) -> list[tuple[Callable[[], object], int]]:
        return [
            (self.edit, 6), (self.edit_with_an_old_time, 3), (self.move_over, 3), (self.touch, 1), (self.switch, 8),
            (self.stash, 2), (self.build, 10), (self.build_cut_off, 2), (self.ninja_by_hand, 2), (self.recreate, 1),
        ]  # fmt: skip

    def build(self) -> None:
        kind = self.random.choice(TYPES)
        targets = self.random.choice([[], [], [], ["parts"], ["CMakeFiles/parts.dir/one.cu.o"]])
        result = self.lab.build(type=kind, targets=targets)
        assert result["code"] == 0, result
        self.trees[kind] = result
        if not targets:
            self.lab.check(result)

    def ways_to_end(self) -> list[Callable[[subprocess.Popen[bytes]], None] | None]:
        return [*super().ways_to_end(), lambda _: self.lab.kill_agent()]

    def ninja_by_hand(self) -> None:
        self.lab.own()
        super().ninja_by_hand()

    def recreate(self) -> None:
        if self.random.random() < 0.3:
            self.lab.engine.run(["kill", self.lab.container])
        self.lab.start_container()

    def ended(self, result: dict[str, object]) -> None:
        self.lab.check(result)
        # And byte for byte, stripped.
        CudaLab.check(self.lab, result)


@pytest.fixture
def lab(engine: Engine, image: str, tmp_path: Path, engine_name: Callable[[str], str]) -> Iterator[TinyLab]:
    assert shutil.which("git")
    work = tmp_path / "checkouts" / "tiny"
    work.mkdir(parents=True)
    for name, text in FILES.items():
        (work / name).write_text(text)
    one = TinyLab(work, engine, image, engine_name, program="tiny")
    yield one
    one.close()


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", [1])
def test_no_build_is_stale(lab: TinyLab, seed: int) -> None:
    TinyHistory(lab, seed, TEXTS).run(STEPS, seed)
