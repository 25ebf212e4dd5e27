"""Random hostile histories of a tree that has everything: whatever was done, what is built is what a clean build makes.

Each object is compared byte for byte with that of a clean build from the same files, and the program by what it says.
A failure names its seed; `-k` with it runs that history again.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.oracle.build_lab import JSON, Lab

if TYPE_CHECKING:
    from collections.abc import Callable

STEPS = 50
CMAKE = """\
cmake_minimum_required(VERSION 3.16)
project(lab C ASM)
option(LOUD "Print more" OFF)
include(cmake/flags.cmake)
configure_file(config.h.in config.h)
file(GLOB FOUND ${CMAKE_CURRENT_SOURCE_DIR}/globbed/*.c)
add_custom_command(OUTPUT made.h COMMAND sh "${CMAKE_SOURCE_DIR}/make.sh" "${CMAKE_SOURCE_DIR}/made.in" made.h
  DEPENDS made.in make.sh)
add_custom_command(OUTPUT listed.c COMMAND sh "${CMAKE_SOURCE_DIR}/list.sh" "${CMAKE_SOURCE_DIR}" listed.c listed.d
  DEPENDS list.sh DEPFILE ${CMAKE_CURRENT_BINARY_DIR}/listed.d)
add_library(objects OBJECT object.c blob.S)
set_source_files_properties(blob.S PROPERTIES OBJECT_DEPENDS "${CMAKE_SOURCE_DIR}/blob.bin"
  COMPILE_OPTIONS "-Wa,-I,${CMAKE_SOURCE_DIR}")
add_library(parts STATIC one.c generated.c listed.c made.h ${FOUND})
target_precompile_headers(parts PRIVATE pch.h)
add_library(shared SHARED shared.c)
add_library(unity STATIC u1.c u2.c)
set_target_properties(unity PROPERTIES UNITY_BUILD ON)
add_executable(lab main.c $<TARGET_OBJECTS:objects>)
target_link_libraries(lab PRIVATE parts shared unity)
include_directories(early "late" ${CMAKE_CURRENT_BINARY_DIR} "@outside@")
if(LOUD)
  target_compile_definitions(lab PRIVATE LOUD=1)
endif()
"""
MAIN = """\
#include <stdio.h>
int one(void), generated(void), listed(void), object(void), shared(void), u1(void), u2(void), found(void);
extern const char blob[];
#ifndef LOUD
#define LOUD 0
#endif
int main(void) {
  printf("%d %d %d %d %d %d %d %d %c %d\\n", one(), generated(), listed(), object(), shared(), u1(), u2(), found(),
         blob[0], LOUD);
  return 0;
}
"""
FILES = {
    "CMakeLists.txt": CMAKE,
    "cmake/flags.cmake": "add_compile_definitions(FLAG=1)\n",
    "config.h.in": "#define CONFIG 1\n",
    "made.in": "1\n",
    "make.sh": '(printf "#define MADE "; cat "$1") > "$2"\n',
    "list.sh": 'printf "int listed(void) { return %s; }\\n" "$(cat "$1/list.txt")" > "$2"\n'
    'printf "%s: %s\\n" "$2" "$(printf %s "$1/list.txt" | sed "s/ /\\\\\\\\ /g")" > "$3"\n',
    "list.txt": "1\n",
    "pch.h": "#define PCH 1\n",
    "shared.h": "#define SHARED 1\n",
    "inc/inner.h": "#define INNER 1\n",
    "late/header.h": "#define HEADER 1\n",
    "late/next.h": "#define NEXT 1\n",
    "early/next.h": "#include_next <next.h>\n",
    "real.h": "#define LINKED 1\n",
    "other.h": "#define LINKED 2\n",
    "globbed/first.c": "int first(void) { return 1; }\n",
    "globbed/found.c": "int found(void) { return FLAG; }\n",
    "one.c": '#include "shared.h"\n#include "inc/inner.h"\n#include <header.h>\nint one(void) { return SHARED * 100 '
    "+ INNER * 10 + HEADER + PCH; }\n",
    "generated.c": '#include "made.h"\n#include "config.h"\nint generated(void) { return MADE * 10 + CONFIG; }\n',
    "object.c": '#include "linked.h"\n#include <next.h>\n#if __has_include("maybe.h")\n#include "maybe.h"\n#else\n'
    "#define MAYBE 0\n#endif\nint object(void) { return LINKED * 100 + NEXT * 10 + MAYBE; }\n",
    "blob.S": '.globl blob\n.data\nblob: .incbin "blob.bin"\n.byte 0\n.section .note.GNU-stack,"",@progbits\n',
    "blob.bin": "a",
    "shared.c": '#include "shared.h"\n#include <outside.h>\nint shared(void) { return SHARED * 10 + OUTSIDE; }\n',
    "u1.c": "int u1(void) { return 1; }\n",
    "u2.c": '#include "shared.h"\nint u2(void) { return SHARED; }\n',
    "main.c": MAIN,
}
NUMBERED = {
    "cmake/flags.cmake": "add_compile_definitions(FLAG={})\n",
    "config.h.in": "#define CONFIG {}\n",
    "made.in": "{}\n",
    "list.txt": "{}\n",
    "pch.h": "#define PCH {}\n",
    "shared.h": "#define SHARED {}\n",
    "inc/inner.h": "#define INNER {}\n",
    "late/header.h": "#define HEADER {}\n",
    "late/next.h": "#define NEXT {}\n",
    "real.h": "#define LINKED {}\n",
    "blob.bin": "{}",
    "u1.c": "int u1(void) {{ return {}; }}\n",
}
COMING = {
    "early/header.h": "#define HEADER 7\n",
    "maybe.h": "#define MAYBE 8\n",
    "inc/header.h": "#define HEADER 6\n",
    "globbed/more.c": "int more(void) { return 1; }\n",
    "header.h": "#define HEADER 5\n",
}


class Walk:
    """One random history; each method named in `run` is a step."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.random = random.Random(seed)
        self.outside = folder / "outside"
        for name in ("v1", "v2"):
            (self.outside / name).mkdir(parents=True)
            (self.outside / name / "outside.h").write_text(f"#define OUTSIDE {name[1]}\n")
        (self.outside / "now").symlink_to("v1")
        files = {**FILES, "CMakeLists.txt": CMAKE.replace("@outside@", str(self.outside / "now"))}
        self.lab = Lab(folder / "lab", files)
        (self.lab.workspace / "linked.h").symlink_to("real.h")
        self.lab.commit("link")
        changed = {name: NUMBERED[name].format(4) for name in ("shared.h", "pch.h", "late/header.h")}
        self.lab.branch("left", changed)
        changed = {name: NUMBERED[name].format(5) for name in ("cmake/flags.cmake", "config.h.in")}
        self.lab.branch("right", changed)
        self.lab.branch("loud", {"CMakeLists.txt": files["CMakeLists.txt"].replace(" OFF)", " ON)")})
        self.defines: list[list[str]] = []
        self.tree: Path | None = None
        self.done: list[str] = []
        self.builds = 0
        self.objects = 0

    @property
    def top(self) -> Path:
        return self.lab.workspace

    def number(self) -> int:
        return self.random.randrange(1, 4)

    def write(self) -> Path:
        name = self.random.choice(sorted(NUMBERED))
        return self.lab.write(name, NUMBERED[name].format(self.number()))

    def some(self) -> Path:
        return self.top / self.random.choice(sorted(NUMBERED))

    # Steps.

    def edit(self) -> None:
        self.write()

    def edit_with_an_old_time(self) -> None:
        path = self.write()
        then = self.random.choice([1, int(path.stat().st_mtime) - 1, 1_000_000_000])
        os.utime(path, (then, then))

    def a_time_in_the_future(self) -> None:
        ahead = time.time() + 3600
        os.utime(self.random.choice([self.write(), self.some()]), (ahead, ahead))

    def a_time_set_back(self) -> None:
        path = self.some()
        os.utime(path, (1, path.stat().st_mtime - self.random.choice([0.5, 100])))

    def move_over(self) -> None:
        path = self.write()
        beside = path.with_name(f"{path.name}.new")
        shutil.copy2(path, beside)
        beside.rename(path)

    def touch(self) -> None:
        self.some().touch()

    def switch(self) -> None:
        self.lab.git("switch", "-q", "--force", self.random.choice(["main", "left", "right", "loud"]))

    def stash(self) -> None:
        if self.lab.git("status", "--porcelain", "-uno"):
            self.lab.git("stash", "-q")
            if self.random.random() < 0.7:
                self.lab.git("stash", "pop", "-q")

    def exchange_a_folder(self) -> None:
        """Put a copy with other contents and old times in a folder's place."""
        folder = self.top / self.random.choice(["inc", "late"])
        copy, aside = folder.with_name("copy"), self.outside / f"aside{len(self.done)}"
        shutil.copytree(folder, copy)
        for path in copy.iterdir():
            name = str(path.relative_to(copy).as_posix())
            known = NUMBERED.get(f"{folder.name}/{name}")
            if known is not None:
                path.write_text(known.format(self.number()))
            os.utime(path, (1, 1))
        folder.rename(aside)
        copy.rename(folder)

    def rename_away_and_back(self) -> None:
        folder = self.top / self.random.choice(["inc", "late", "globbed"])
        folder.rename(folder.with_name("away"))
        folder.with_name("away").rename(folder)

    def link_names(self) -> None:
        """Have two headers be one file, older than what was made from either."""
        text = "#ifndef HEADER\n#define HEADER 9\n#endif\n#ifndef INNER\n#define INNER 9\n#endif\n"
        path = self.lab.write("late/header.h", text)
        os.utime(path, (1, 1))
        (self.top / "inc/inner.h").unlink()
        os.link(path, self.top / "inc/inner.h")

    def retarget(self) -> None:
        link, target = self.random.choice([
            (self.top / "linked.h", self.random.choice(["real.h", "other.h"])),
            (self.outside / "now", self.random.choice(["v1", "v2"])),
        ])  # fmt: skip
        link.unlink()
        link.symlink_to(target)

    def edit_outside(self) -> None:
        path = self.outside / self.random.choice(["v1", "v2"]) / "outside.h"
        path.write_text(f"#define OUTSIDE {self.number()}\n")
        os.utime(path, (1, 1))

    def come_and_go(self) -> None:
        name = self.random.choice(sorted(COMING))
        path = self.top / name
        if path.exists():
            path.unlink()
        else:
            os.utime(self.lab.write(name, COMING[name]), (1, 1))

    def step_the_clock(self) -> None:
        """Have all that the tree made look an hour older or younger."""
        if self.tree is not None:
            step = self.random.choice([-3600, 3600]) * 10**9
            for path in self.tree.rglob("*"):
                if path.suffix in {".o", ".a", ".so", ".gch"}:
                    os.utime(path, ns=(1, path.stat().st_mtime_ns + step))
            log = self.tree / ".ninja_log"
            lines = [line.split("\t") for line in log.read_text().splitlines()]
            text = "".join(
                "\t".join([*line[:2], str(max(1, int(line[2]) + step)), *line[3:]] if len(line) == 5 else line) + "\n"
                for line in lines
            )
            log.write_text(text)

    def change_what_was_made(self) -> None:
        if self.tree is not None:
            path = self.tree / self.random.choice(["made.h", "listed.c", "config.h", "libunity.a"])
            if path.exists():
                if self.random.random() < 0.5 and path.name != "config.h":
                    path.unlink()
                elif path.suffix != ".a":
                    path.write_text(path.read_text().replace("1", "3"))
                    os.utime(path, (1, 1))

    def environment(self) -> None:
        value = self.random.choice(["", str(self.outside / "v1"), str(self.outside / "v2")])
        self.lab.environ.pop("CPATH", None)
        if value:
            self.lab.environ["CPATH"] = value

    def flags(self) -> None:
        self.defines = self.random.choice([[], [["LOUD", "ON"]], [["CMAKE_C_FLAGS", "-O1"]]])

    def ninja_by_hand(self) -> None:
        self._by_hand("ninja", *self.random.choice([[], ["parts"], ["-t", "clean", "shared"]]))

    def cmake_by_hand(self) -> None:
        self._by_hand("cmake", "-DLOUD=ON", ".")

    def _by_hand(self, *argv: str) -> None:
        if self.tree is not None:
            subprocess.run(argv, cwd=self.tree, env=self.lab.environ, check=False, capture_output=True)

    def build_cut_off(self) -> None:
        running = self.lab.start(defines=self.defines, jobs=1)
        assert running.process.stdout is not None
        for _ in range(self.random.randrange(1, 14)):
            if not running.process.stdout.readline():
                break
        if self.random.random() < 0.6:
            running.process.kill()
        running.close()

    def save_while_it_builds(self) -> None:
        running = self.lab.start(defines=self.defines, jobs=1)
        assert running.process.stdout is not None
        for _ in range(self.random.randrange(2, 14)):
            if not running.process.stdout.readline():
                break
        path = self.write()
        if self.random.random() < 0.5:
            os.utime(path, (1, 1))
        running.close()

    def build_a_part(self) -> None:
        self.lab.build(defines=self.defines, targets=[self.random.choice(["parts", "shared", "unity"])])

    def build(self) -> None:
        result = self.lab.build(defines=self.defines)
        assert result["code"] == 0, result
        self.tree = Path(result["tree"])
        self.builds += 1
        self.objects += result["compiled"]
        self.check(result)

    def check(self, result: JSON) -> None:
        clean = self.lab.volume.parent / "clean"
        shutil.rmtree(clean, ignore_errors=True)
        given = [f"-D{left}={right}" for left, right in self.defines]
        argv = ["cmake", "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Debug", *given, "-S", str(self.top), "-B", str(clean)]
        subprocess.run(argv, env=self.lab.environ, check=True, capture_output=True)
        # ninja itself would run cmake a hundred times where a CMake file is of the future.
        (clean / ".ninja_log").unlink(missing_ok=True)
        ahead = time.time() + 48 * 3600
        for path in clean.rglob("*"):
            os.utime(path, (ahead, ahead))
        subprocess.run(["ninja"], cwd=clean, env=self.lab.environ, check=True, capture_output=True)
        tree = Path(result["tree"])
        said = [subprocess.run([f"{place}/lab"], check=True, capture_output=True).stdout for place in (tree, clean)]
        assert said[0] == said[1], result["reasons"]
        for path in clean.rglob("*.o"):
            ours = tree / path.relative_to(clean)
            assert _code(ours) == _code(path), (str(ours), result["reasons"])

    def run(self, steps: int) -> None:
        kinds: list[tuple[Callable[[], None], int]] = [
            (self.edit, 3), (self.edit_with_an_old_time, 3), (self.a_time_in_the_future, 2), (self.a_time_set_back, 2),
            (self.move_over, 2), (self.touch, 1), (self.switch, 4), (self.stash, 1), (self.exchange_a_folder, 2),
            (self.rename_away_and_back, 1), (self.link_names, 1), (self.retarget, 2), (self.edit_outside, 2),
            (self.come_and_go, 3), (self.step_the_clock, 2), (self.change_what_was_made, 2), (self.environment, 1),
            (self.flags, 1), (self.ninja_by_hand, 2), (self.cmake_by_hand, 1), (self.build_cut_off, 2),
            (self.save_while_it_builds, 2), (self.build_a_part, 1),
        ]  # fmt: skip
        self.build()
        for number in range(steps):
            step = self.random.choices([step for step, _ in kinds], [weight for _, weight in kinds])[0]
            self.done.append(step.__name__)
            step()
            if self.random.random() < 0.25 or number == steps - 1:
                self.done.append("build")
                self.build()
        before = self.objects
        self.build()
        assert self.objects == before, "a build with nothing to do compiled"


def _code(path: Path) -> bytes:
    """Return an object without what says where it was built."""
    stripped = path.with_suffix(".stripped")
    subprocess.run(["strip", "-g", "-o", str(stripped), str(path)], check=True)
    try:
        return stripped.read_bytes()
    finally:
        stripped.unlink()


def follow(tmp_path: Path, seed: int, steps: int) -> None:
    walk = Walk(tmp_path, seed)
    try:
        walk.run(steps)
    except (AssertionError, subprocess.CalledProcessError) as error:
        said = error.stderr if isinstance(error, subprocess.CalledProcessError) else ""
        pytest.fail(f"seed {seed}, after {', '.join(walk.done)}: {error} {said}")
    finally:
        walk.lab.close()


def test_a_hostile_history_is_built_as_from_nothing(tmp_path: Path) -> None:
    follow(tmp_path, 0, 12)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 112))
def test_many_hostile_histories_are_built_as_from_nothing(tmp_path: Path, seed: int) -> None:
    follow(tmp_path, seed, STEPS)
