"""What nobody tells ninja: files that commands name, what cmake made on another branch, a cache edited after a kill."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.oracle.build_lab import CMAKE, COUNT, FILES, Lab
from tests.oracle.test_build_hostile import old, pipe_of, says

THREE = "int three(void) { return THREE; }\n"
BINARY_DIR = "target_include_directories(parts PRIVATE ${CMAKE_BINARY_DIR} late)\n"


class TestNamedInCommands:
    def test_a_script_that_is_no_dependency(self, lab: Lab) -> None:
        lab.write("tools/make.sh", 'echo "#define THREE 3" > "$1"\n')
        lab.write("three.c", f'#include "made.h"\n{THREE}')
        command = 'add_custom_command(OUTPUT made.h COMMAND sh {} "${{CMAKE_BINARY_DIR}}/made.h" {})\n'
        more = "target_sources(parts PRIVATE made.h)\n" + BINARY_DIR
        ways = ('"${CMAKE_SOURCE_DIR}/tools/make.sh"', ""), ("make.sh", 'WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}/tools"')
        for value, way in enumerate(ways, 4):
            lab.write("CMakeLists.txt", CMAKE + command.format(*way) + more)
            lab.build()
            old(lab.write("tools/make.sh", f'echo "#define THREE {value}" > "$1"\n'))
            assert says(lab.build()).endswith(f" {value}")
            assert lab.build()["commands"] == 0

    def test_a_file_that_a_command_writes_and_does_not_say_is_no_reason_to_run_it_again(self, lab: Lab) -> None:
        lab.write("count.txt", "")
        command = (
            'add_custom_command(OUTPUT made.h COMMAND echo ran >> "${CMAKE_SOURCE_DIR}/count.txt"\n'
            "  COMMAND touch made.h)\ntarget_sources(parts PRIVATE made.h)\n"
        )
        lab.write("CMakeLists.txt", CMAKE + command)
        lab.build()
        for _ in range(2):
            assert lab.build()["commands"] == 0
        assert (lab.workspace / "count.txt").read_text() == "ran\n"

    def test_what_a_step_after_linking_copies(self, lab: Lab) -> None:
        lab.write("data.txt", "1")
        step = (
            'add_custom_command(TARGET lab POST_BUILD COMMAND ${CMAKE_COMMAND} -E copy "${CMAKE_SOURCE_DIR}/data.txt"\n'
            "  ${CMAKE_BINARY_DIR})\n"
        )
        lab.write("CMakeLists.txt", CMAKE + step)
        copied = Path(lab.build()["tree"], "data.txt")
        old(lab.write("data.txt", "2"))
        result = lab.build()
        assert (copied.read_text(), result["commands"], result["compiled"]) == ("2", 1, 0)

    def test_a_script_of_the_linker(self, lab: Lab) -> None:
        lab.write("names.map", "{ global: *; };\n")
        option = 'target_link_options(lab PRIVATE "-Wl,--dynamic-list=${CMAKE_SOURCE_DIR}/names.map")\n'
        lab.write("CMakeLists.txt", CMAKE + option)
        lab.build()
        assert lab.build()["commands"] == 0
        old(lab.write("names.map", "{ one; };\n"))
        result = lab.build()
        assert (result["code"], result["commands"], result["compiled"]) == (0, 1, 0)
        assert lab.build()["commands"] == 0

    def test_a_library_that_is_found_by_its_name(self, lab: Lab, tmp_path: Path) -> None:
        lab.write("main.c", FILES["main.c"].replace("int three(void)", "int named(void)").replace("three()", "named()"))
        lab.write(
            "CMakeLists.txt",
            CMAKE + f'target_link_directories(lab PRIVATE "{tmp_path}")\ntarget_link_libraries(lab PRIVATE -lnamed)\n',
        )
        for value in (1, 2):
            source, library = tmp_path / "named.c", tmp_path / "libnamed.a"
            source.write_text(f"int named(void) {{ return {value}; }}\n")
            subprocess.run(["cc", "-c", source.name], cwd=tmp_path, check=True)
            subprocess.run(["ar", "crs", library.name, "named.o"], cwd=tmp_path, check=True)
            old(library)
            assert says(lab.build()).endswith(f" {value}")
        assert lab.build()["commands"] == 0

    def test_a_library_that_comes_to_an_earlier_folder(self, lab: Lab, tmp_path: Path) -> None:
        def library(folder: str, value: int) -> None:
            (tmp_path / folder).mkdir(exist_ok=True)
            source = f"int named(void) {{ return {value}; }}\n"
            made = tmp_path / folder / "named.o"
            subprocess.run(["cc", "-c", "-x", "c", "-", "-o", made], input=source, text=True, check=True)
            subprocess.run(["ar", "rcs", tmp_path / folder / "libnamed.a", made], check=True)

        library("late", 1)
        (tmp_path / "early").mkdir()
        folders = f'"{tmp_path}/early" "{tmp_path}/late"'
        lab.write(
            "CMakeLists.txt",
            CMAKE + f"target_link_directories(lab PRIVATE {folders})\ntarget_link_libraries(lab PRIVATE -lnamed)\n",
        )
        lab.write("one.c", "int named(void); int one(void) { return named(); }\n")
        before = says(lab.build())
        assert lab.build()["commands"] == 0
        library("early", 7)
        result = lab.build()
        assert (says(result) != before, result["compiled"]) == (True, 0)
        assert lab.build()["commands"] == 0

    def test_what_cmake_reads_itself(self, lab: Lab) -> None:
        lab.write("VERSION", "3")
        lab.write("say.sh", "printf 1")
        lab.write("three.c", THREE)
        lab.write(
            "CMakeLists.txt",
            CMAKE + 'file(READ "${CMAKE_CURRENT_SOURCE_DIR}/VERSION" V)\n'
            "execute_process(COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/say.sh OUTPUT_VARIABLE S)\n"
            "file(STRINGS VERSION AGAIN)\ntarget_compile_definitions(parts PRIVATE THREE=${V}${S}${AGAIN})\n",
        )
        assert says(lab.build()).endswith(" 313")
        old(lab.write("VERSION", "4"))
        result = lab.build()
        assert result["configured"] == ["changed: VERSION"]
        assert says(result).endswith(" 414")
        old(lab.write("say.sh", "printf 2"))
        assert says(lab.build()).endswith(" 424")
        assert lab.build()["commands"] == 0

    def test_a_version_that_comes_from_a_tag(self, lab: Lab) -> None:
        lab.write(
            "CMakeLists.txt",
            CMAKE + "execute_process(COMMAND git describe --tags OUTPUT_VARIABLE V OUTPUT_STRIP_TRAILING_WHITESPACE\n"
            "  WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})\ntarget_compile_definitions(parts PRIVATE THREE=${V})\n",
        )
        lab.write("three.c", THREE)
        lab.commit("version")
        for value, tag in enumerate((["3"], ["-f", "4"], ["-d", "3", "4"])):
            lab.git("tag", *tag)
            if value == 2:
                lab.git("tag", "5")
            assert says(lab.build()).endswith(f" {value + 3}")
            assert lab.build()["configured"] == []
            lab.git("pack-refs", "--all")
            lab.build()
            if value < 2:
                lab.git("commit", "-q", "--allow-empty", "-m", "more")


class TestOtherBranches:
    """Each configuration is another one than all before, so that none is kept."""

    @pytest.mark.parametrize("command", [
        "configure_file(config.h.in config.h)\n",
        (
            'add_custom_command(OUTPUT config.h COMMAND cp "${CMAKE_SOURCE_DIR}/config.h.in" config.h)\n'
            "target_sources(parts PRIVATE config.h)\n"
        ),
    ])  # fmt: skip
    def test_a_header_that_only_one_branch_makes(self, lab: Lab, command: str) -> None:
        lab.write("config.h.in", "#define THREE 3\n")
        lab.write("late/config.h", "#define THREE 4\n")
        lab.write("three.c", f"#include <config.h>\n{THREE}")
        for number, makes in enumerate((False, True, False, True, False)):
            lab.write("CMakeLists.txt", CMAKE + BINARY_DIR + (command if makes else "") + f"# {number}\n")
            result = lab.build()
            assert says(result).endswith(" 3" if makes else " 4")
            assert result["compiled"] == (1 if number else COUNT)

    def test_a_folder_that_only_one_branch_makes(self, lab: Lab) -> None:
        command = (
            "add_custom_command(OUTPUT made COMMAND mkdir -p made)\nadd_custom_target(all_made ALL DEPENDS made)\n"
        )
        for number, makes in enumerate((True, False)):
            lab.write("CMakeLists.txt", CMAKE + BINARY_DIR + (command if makes else "") + f"# {number}\n")
            assert lab.build()["code"] == 0

    def test_a_cache_that_is_edited_after_a_build_was_killed(self, lab: Lab) -> None:
        pipe = pipe_of(lab)
        lab.write("CMakeLists.txt", CMAKE + f'add_custom_target(wait ALL COMMAND cat "{pipe}" COMMENT "waiting")\n')
        pipe.unlink()
        pipe.write_text("")
        result = lab.build()
        pipe.unlink()
        os.mkfifo(pipe)
        running = lab.start()
        running.until_running("waiting")
        running.process.kill()
        running.close()
        pipe.unlink()
        pipe.write_text("")
        cache = Path(result["tree"], "CMakeCache.txt")
        cache.write_text(cache.read_text().replace("LOUD:BOOL=OFF", "LOUD:BOOL=ON"))
        assert not says(lab.build()).startswith("loud")


class TestCompilers:
    @pytest.mark.parametrize("how", ["by its path", "by its name"])
    def test_a_compiler_behind_a_script(self, lab: Lab, tmp_path: Path, how: str) -> None:
        """Another compiler is in its place, and the script is the same file."""
        real, scripts = tmp_path / "real/cc", tmp_path / "bin"
        for folder in (real.parent, scripts):
            folder.mkdir()
        lab.environ["PATH"] = f"{scripts}:{real.parent}:{lab.environ['PATH']}"
        call = f'"{real}"' if how == "by its path" else f'PATH="{real.parent}:$PATH" cc'
        (scripts / "cc").write_text(f'#!/bin/sh\nexec {call} "$@"\n'.replace("exec PATH", "PATH"))
        (scripts / "cc").chmod(0o755)
        for value in (1, 2):
            said = f'case "$1" in --version) echo "cc {value}.0"; exit ;; esac\n'
            real.write_text(f'#!/bin/sh\n{said}exec /usr/bin/cc -DLOUD={value - 1} "$@"\n')
            real.chmod(0o755)
            os.utime(real, (1, 1))
            assert says(lab.build()).startswith("loud") == (value == 2)
