"""What deceives a build that believes times: each kind once, in the smallest tree that shows it."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.oracle.build_lab import CMAKE, COUNT, FILES, JSON, Lab

HOUR = 3600
# A command of the tree that waits for a pipe after it has read the file `input`.
WAITING = (
    'add_custom_command(OUTPUT made.h COMMAND ${{CMAKE_COMMAND}} -E copy "${{CMAKE_SOURCE_DIR}}/input" made.h\n'
    '  COMMAND cat "{pipe}" DEPENDS input COMMENT "waiting")\n'
    "add_custom_target(wait ALL DEPENDS made.h)\nadd_dependencies(parts wait)\n"
    "target_include_directories(parts PRIVATE ${{CMAKE_BINARY_DIR}})\n"
)


def says(result: JSON) -> str:
    """Return what the program of a build prints."""
    assert result["code"] == 0, result["failure"]
    return subprocess.run([f"{result['tree']}/lab"], check=True, capture_output=True, text=True).stdout.strip()


def old(path: Path) -> Path:
    os.utime(path, (1, 1), follow_symlinks=False)
    return path


def headers(lab: Lab) -> Path:
    """Have one.h in a folder of its own."""
    lab.write("inc/one.h", FILES["one.h"])
    (lab.workspace / "one.h").unlink()
    lab.write("one.c", FILES["one.c"].replace('"one.h"', '"inc/one.h"'))
    return lab.workspace / "inc"


def pipe_of(lab: Lab) -> Path:
    pipe = lab.volume.parent / "pipe"
    os.mkfifo(pipe)
    return pipe


class TestFiles:
    def test_a_folder_exchanged_for_a_copy_with_older_times(self, lab: Lab) -> None:
        folder = headers(lab)
        shutil.copytree(folder, lab.volume.parent / "copy")
        old(lab.volume.parent / "copy/one.h").write_text("#define ONE 9\n")
        old(lab.volume.parent / "copy/one.h")
        lab.built(objects=COUNT)
        folder.rename(lab.volume.parent / "aside")
        (lab.volume.parent / "copy").rename(folder)
        lab.built(objects=1)

    def test_two_names_of_one_file(self, lab: Lab) -> None:
        lab.write("other.h", "#define ONE 7\n")
        lab.write("three.c", '#include "other.h"\nint three(void) { return ONE; }\n')
        lab.built(objects=COUNT)
        old(lab.workspace / "other.h")
        subprocess.run(["ln", "-f", "other.h", "one.h"], cwd=lab.workspace, check=True)
        lab.built(objects=1)
        lab.write("one.h", "#define ONE 8\n")  # both of them
        old(lab.workspace / "one.h")
        lab.built(objects=2)

    def test_a_link_out_of_the_checkout_and_a_file_outside(self, lab: Lab) -> None:
        for name, value in (("v1", 1), ("v2", 2)):
            folder = lab.volume.parent / name
            folder.mkdir()
            old_one = folder / "one.h"
            old_one.write_text(f"#define ONE {value}\n")
            old(old_one)
        folder = headers(lab)
        shutil.rmtree(folder)
        folder.symlink_to(lab.volume.parent / "v1")
        lab.built(objects=COUNT)
        folder.unlink()
        folder.symlink_to(lab.volume.parent / "v2")
        lab.built(objects=1)
        (lab.volume.parent / "v2/one.h").write_text("#define ONE 3\n")
        old(lab.volume.parent / "v2/one.h")
        lab.built(objects=1)

    def test_a_link_put_into_an_unchanged_chain_costs_nothing(self, lab: Lab) -> None:
        lab.built(objects=COUNT)
        (lab.workspace / "one.h").rename(lab.workspace / "real.h")
        (lab.workspace / "one.h").symlink_to("real.h")
        assert lab.built(objects=0)["commands"] == 0

    def test_the_clock_set_back(self, lab: Lab) -> None:
        """What a tree looks like that was built an hour ahead."""
        result = lab.built(objects=COUNT)
        ahead = time.time_ns() + HOUR * 10**9
        tree = Path(result["tree"])
        for path in [*tree.rglob("*.o"), *tree.glob("*.a"), tree / "lab"]:
            os.utime(path, ns=(ahead, ahead))
        log = tree / ".ninja_log"
        log.write_text("".join(_with_time(line, ahead) for line in log.read_text().splitlines(keepends=True)))
        lab.write("one.h", "#define ONE 5\n")
        lab.check(lab.build())

    def test_folders_that_other_tools_mark(self, lab: Lab) -> None:
        places = {"node_modules/x/a.h": "", "cached/a.h": "cached/CACHEDIR.TAG", "old/build/a.h": "old/CMakeCache.txt"}
        for place, mark in places.items():
            lab.write(place, "#define THREE 3\n")
            if mark:
                lab.write(mark, "")
        for place in places:
            lab.write("three.c", f'#include "{place}"\nint three(void) {{ return THREE; }}\n')
            lab.build()
            old(lab.write(place, "#define THREE 4\n"))
            lab.built(objects=1)

    def test_times_in_the_future_cost_nothing(self, lab: Lab) -> None:
        lab.built(objects=COUNT)
        ahead = time.time() + HOUR
        path = lab.write("CMakeLists.txt", CMAKE + "# another\n")
        os.utime(path, (ahead, ahead))
        os.utime(lab.write("shared.h", "#define SHARED 3\n"), (ahead, ahead))
        running = lab.start()
        assert running.result()["compiled"] == 2
        said = [event for event in running.events if "Build files have been written" in str(event.get("line"))]
        assert len(said) == 1
        warned = [event["text"] for event in running.events if event["event"] == "warn"]
        assert [text.partition(":")[0] for text in warned] == [
            "the time of shared.h (and 1 more) is 59 min in the future"
        ]
        again = lab.start()
        assert again.result()["commands"] == 0
        assert not [event for event in again.events if event["event"] == "warn"]
        lab.write("shared.h", "#define SHARED 4\n")
        lab.built(objects=2)


def _with_time(line: str, time_ns: int) -> str:
    fields = line.split("\t")
    return "\t".join([*fields[:2], str(time_ns), *fields[3:]]) if len(fields) == 5 else line


class TestMeanwhile:
    def test_an_input_saved_while_its_command_runs(self, lab: Lab) -> None:
        pipe = pipe_of(lab)
        lab.write("input", "#define THREE 3\n")
        lab.write("three.c", '#include "made.h"\nint three(void) { return THREE; }\n')
        lab.write("CMakeLists.txt", CMAKE + WAITING.format(pipe=pipe))
        running = lab.start()
        with pipe.open("w"):  # the command has copied it by now
            old(lab.write("input", "#define THREE 4\n"))
        assert running.result()["code"] == 0
        pipe.unlink()
        pipe.write_text("")
        assert says(lab.build()).endswith(" 4")

    def test_files_of_cmake_that_are_saved_while_it_runs(self, lab: Lab) -> None:
        pipe = pipe_of(lab)
        text = (
            CMAKE
            + "configure_file(config.h.in config.h)\ntarget_include_directories(parts PRIVATE ${CMAKE_BINARY_DIR})\n"
            + f'execute_process(COMMAND cat "{pipe}")\n'
        )
        lab.write("CMakeLists.txt", text)
        lab.write("config.h.in", "#define THREE 3\n")
        lab.write("three.c", '#include "config.h"\nint three(void) { return THREE; }\n')
        running = lab.start()
        running.until("phase", step="configure")
        with pipe.open("w"):  # cmake has read both by now
            old(lab.write("config.h.in", "#define THREE 4\n"))
            old(lab.write("CMakeLists.txt", text + "add_custom_target(added)\n"))
        assert running.result()["code"] == 0
        pipe.unlink()
        pipe.write_text("")
        result = lab.build()
        assert result["configured"]
        assert says(result).endswith(" 4")
        assert "added" in Path(result["tree"], "build.ninja").read_text()

    def test_a_folder_renamed_away_and_back_around_ninja_by_hand(self, lab: Lab) -> None:
        folder = headers(lab)
        other = lab.workspace / "other"
        shutil.copytree(folder, other)
        (other / "one.h").write_text("#define ONE 9\n")
        result = lab.built(objects=COUNT)
        Path(result["tree"], "CMakeFiles/parts.dir/one.c.o").unlink()
        folder.rename(lab.workspace / "aside")
        other.rename(folder)
        lab.ninja(result)
        folder.rename(other)
        (lab.workspace / "aside").rename(folder)
        lab.built(objects=1)


class TestConfiguring:
    VERSION = (
        "execute_process(COMMAND git rev-parse HEAD OUTPUT_VARIABLE V OUTPUT_STRIP_TRAILING_WHITESPACE\n"
        "  WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})\n"
        'set_source_files_properties(three.c PROPERTIES COMPILE_DEFINITIONS "COMMIT=\\"${V}\\"")\n'
    )

    def test_a_version_that_comes_from_git(self, lab: Lab) -> None:
        lab.write("CMakeLists.txt", CMAKE + self.VERSION)
        lab.commit("version")
        result = lab.build()
        for command in (
            ["commit", "-q", "--allow-empty", "-m", "empty"],
            ["commit", "-q", "--amend", "--allow-empty", "-m", "amended"],
            ["reset", "-q", "--soft", "HEAD~1"],
            ["update-ref", "HEAD", "HEAD~1"],
        ):
            lab.git(*command)
            result = lab.build()
            assert lab.git("rev-parse", "HEAD").strip() in Path(result["tree"], "build.ninja").read_text(), command
            assert result["compiled"] == 1

    def test_defaults_of_another_branch_do_not_stay_in_the_cache(self, lab: Lab) -> None:
        lab.branch("loud", {"CMakeLists.txt": CMAKE.replace('"Print more" OFF', '"Print more" ON')})
        lab.built(objects=COUNT)
        lab.git("switch", "-q", "loud")
        assert says(lab.build()).startswith("loud")
        lab.git("switch", "-q", "main")
        assert not says(lab.build()).startswith("loud")

    def test_a_cache_that_was_changed_by_hand_is_made_good(self, lab: Lab) -> None:
        result = lab.built(objects=COUNT)
        subprocess.run(["cmake", "-DLOUD=ON", result["tree"]], env=lab.environ, check=True, capture_output=True)
        assert not says(lab.build()).startswith("loud")
        cache = Path(result["tree"], "CMakeCache.txt")
        cache.write_text(cache.read_text().replace("LOUD:BOOL=OFF", "LOUD:BOOL=ON"))
        assert not says(lab.build()).startswith("loud")

    def test_a_toolchain_file_that_is_edited(self, lab: Lab) -> None:
        lab.write("CMakeLists.txt", CMAKE)
        lab.write("tools.cmake", 'set(CMAKE_C_FLAGS_INIT "-DA=1")\n')
        given = [["CMAKE_TOOLCHAIN_FILE", str(lab.workspace / "tools.cmake")]]
        lab.built(objects=COUNT, defines=given)
        old(lab.write("tools.cmake", 'set(CMAKE_C_FLAGS_INIT "-DLOUD=1")\n'))
        assert says(lab.build(defines=given)).startswith("loud")

    def test_files_that_a_glob_finds_come_and_go(self, lab: Lab) -> None:
        lab.write("CMakeLists.txt", CMAKE.replace("one.c two.c three.c", "${FOUND}").replace(
            "option(", "file(GLOB FOUND ${PROJECT_SOURCE_DIR}/o*.c t*.c)\noption("
        ))  # fmt: skip
        lab.commit("glob")
        lab.built(objects=COUNT)
        lab.write("other.c", "int other(void) { return 40; }\n")
        lab.write("main.c", FILES["main.c"].replace("three(void)", "three(void), other(void)").replace(
            "three());", "three() + other());"
        ))  # fmt: skip
        result = lab.built(objects=2)
        assert result["configured"] == ["other files are there, which file(GLOB) finds"]
        lab.git("stash", "-q", "-u")
        assert lab.built(objects=0)["configured"] == []  # what was there before is kept
        lab.write("offset.c", "int offset(void) { return 50; }\n")
        assert lab.built(objects=1)["configured"] == ["other files are there, which file(GLOB) finds"]
        assert lab.built(objects=0)["configured"] == []

    @pytest.mark.parametrize("by_hand", [False, True])
    def test_build_files_that_are_gone(self, lab: Lab, *, by_hand: bool) -> None:
        result = lab.built(objects=COUNT)
        if by_hand:  # what ninja made before they went is known by no look
            lab.write("one.h", "#define ONE 5\n")
            lab.ninja(result, "CMakeFiles/parts.dir/one.c.o")
            lab.write("one.h", "#define ONE 6\n")
        Path(result["tree"], "build.ninja").unlink()
        result = lab.built(objects=1 if by_hand else 0)
        assert result["configured"]


class TestEnvironment:
    def test_folders_that_compilers_read_in_the_environment(self, lab: Lab, tmp_path: Path) -> None:
        for value in (1, 2):
            (tmp_path / f"v{value}").mkdir()
            (tmp_path / f"v{value}/outside.h").write_text(f"#define THREE {value}\n")
        lab.write("three.c", "#include <outside.h>\nint three(void) { return THREE; }\n")
        for name in ("CPATH", "C_INCLUDE_PATH"):
            for value in (1, 2):
                lab.environ[name] = str(tmp_path / f"v{value}")
                assert says(lab.build()).endswith(f" {value}")
            assert lab.build()["commands"] == 0
            del lab.environ[name]


class TestShadows:
    def test_a_header_that_comes_before_the_one_that_was_read(self, lab: Lab) -> None:
        for folder in ("early", "late/sub"):
            (lab.workspace / folder).mkdir(parents=True)
        lab.write("late/one.h", "#define ONE 1\n")
        lab.write("late/sub/deep.h", "#define DEEP 1\n")
        (lab.workspace / "one.h").unlink()
        lab.write("one.c", '#include <one.h>\n#include <sub/deep.h>\n#include "shared.h"\n'
                  "int one(void) { return SHARED * 1000 + ONE * 10 + DEEP; }\n")  # fmt: skip
        lab.write("CMakeLists.txt", CMAKE + "target_include_directories(parts PRIVATE early late)\n")
        assert says(lab.build()).startswith("1011 ")
        old(lab.write("early/one.h", "#define ONE 2\n"))
        result = lab.build()
        assert (says(result).split()[0], result["compiled"]) == ("1021", 1)
        old(lab.write("early/sub/deep.h", "#define DEEP 3\n"))
        result = lab.build()
        assert (says(result).split()[0], result["compiled"]) == ("1023", 1)
        old(lab.write("early/nobody.h", ""))
        assert lab.build()["commands"] == 0
        (lab.workspace / "early/one.h").unlink()
        assert says(lab.build()).startswith("1013 ")

    def test_a_header_beside_the_source_and_one_that_is_asked_for(self, lab: Lab) -> None:
        lab.write("three.c", '#include "v.h"\n#if __has_include("maybe.h")\n#include "maybe.h"\n#endif\n'
                  "#ifndef THREE\n#define THREE V\n#endif\nint three(void) { return THREE; }\n")  # fmt: skip
        lab.write("inc/v.h", "#define V 3\n")
        lab.write("CMakeLists.txt", CMAKE + "target_include_directories(parts PRIVATE inc)\n")
        assert says(lab.build()).endswith(" 3")
        old(lab.write("v.h", "#define V 4\n"))
        assert says(lab.build()).endswith(" 4")
        old(lab.write("maybe.h", "#define THREE 5\n"))
        assert says(lab.build()).endswith(" 5")
        (lab.workspace / "maybe.h").unlink()
        assert says(lab.build()).endswith(" 4")

    def test_a_header_that_macros_name(self, lab: Lab) -> None:
        lab.write("one.h", "#define ONE 1\n#define STRING(x) #x\n#define NAMED(x) STRING(x.h)\n")
        ask = "#if __has_include({0})\n#include {0}\n#endif\n#ifndef {1}\n#define {1} 3\n#endif\n"
        lab.write(
            "one.c", f'#include "one.h"\n{ask.format("NAMED(maybe)", "MAYBE")}int one(void) {{ return MAYBE; }}\n'
        )
        lab.write("three.c", f"{ask.format('TOLD', 'THREE')}int three(void) {{ return THREE; }}\n")
        more = 'set_source_files_properties(three.c PROPERTIES COMPILE_DEFINITIONS TOLD=\\"told.h\\")\n'
        more += "include_directories(${CMAKE_SOURCE_DIR})\n"
        lab.write("CMakeLists.txt", CMAKE + more)
        flags = ("-I", str(lab.workspace), '-DTOLD="told.h"')
        for name, text in [("maybe.h", "#define MAYBE 5\n"), ("told.h", "#define THREE 5\n"), ("nobody_asks.h", "")]:
            lab.build()
            old(lab.write(name, text))
            result = lab.build()
            assert result["compiled"] == (name != "nobody_asks.h"), (name, result)
            said = subprocess.run([f"{result['tree']}/lab"], check=True, capture_output=True, text=True).stdout
            assert said == lab.from_scratch(*flags)

    def test_an_old_build_in_the_source_folder_is_told(self, lab: Lab, tmp_path: Path) -> None:
        """The cache is one that answers by the files that it knows, as ccache does when it may."""
        lab.write("config.h.in", "#define THREE 8\n")
        lab.write("three.c", '#include "config.h"\nint three(void) { return THREE; }\n')
        more = "configure_file(config.h.in config.h)\ntarget_include_directories(parts PRIVATE ${CMAKE_BINARY_DIR})\n"
        lab.write("CMakeLists.txt", CMAKE + more)
        ccache = tmp_path / "bin/ccache"
        ccache.parent.mkdir()
        ccache.write_text(
            f'#!/bin/sh\ncase "$*" in *three.c*) echo "${{CCACHE_NODIRECT-direct}}" >> "{tmp_path}/asked" ;; esac\n'
            'exec "$@"\n'
        )
        ccache.chmod(0o755)
        lab.environ["PATH"] = f"{ccache.parent}:{lab.environ['PATH']}"
        cache = {"kind": "ccache", "size": "1G", "folders": {"ccache": str(tmp_path / "c"), "sccache": ""}}
        lab.write("CMakeCache.txt", "")
        lab.write("config.h", "#define THREE 9\n")
        running = lab.start(cache=cache)
        result = running.result()
        assert says(result).endswith(" 9")
        assert any("an old build lies in" in event.get("text", "") for event in running.events)
        assert (tmp_path / "asked").read_text() == "1\n"


class TestGenerated:
    def test_a_generated_file_that_was_changed_by_hand(self, lab: Lab) -> None:
        lab.write("input", "#define THREE 3\n")
        lab.write("three.c", '#include "made.h"\nint three(void) { return THREE; }\n')
        text = 'add_custom_command(OUTPUT made.h COMMAND cp "${CMAKE_SOURCE_DIR}/input" made.h DEPENDS input)\n'
        more = "target_sources(parts PRIVATE made.h)\ntarget_include_directories(parts PRIVATE ${CMAKE_BINARY_DIR})\n"
        lab.write("CMakeLists.txt", CMAKE + text + more)
        result = lab.build()
        made = Path(result["tree"], "made.h")
        old(made).write_text("#define THREE 4\n")
        old(made)
        assert says(lab.build()).endswith(" 3")
        made.write_text("#define THREE 5\n")
        old(made)
        lab.ninja(result, "-t", "restat")  # which writes other times into the log, and runs nothing
        assert says(lab.build()).endswith(" 3")
        made.unlink()
        assert says(lab.build()).endswith(" 3")
        made.write_text(made.read_text())
        assert lab.build()["compiled"] == 0

    def test_a_command_that_fails_behind_one_that_only_leaves_a_stamp(self, lab: Lab) -> None:
        lab.write("input", "3")
        lab.write("step.sh", 'cp "$1/input" hidden && touch stamp\n')
        lab.write("make.sh", 'test ! -e fail && echo "#define THREE $(cat hidden)" > made.h\n')
        lab.write("three.c", '#include "made.h"\nint three(void) { return THREE; }\n')
        run = 'add_custom_command(OUTPUT {} COMMAND sh "${{CMAKE_SOURCE_DIR}}/{}" "${{CMAKE_SOURCE_DIR}}" DEPENDS {})\n'
        more = "target_sources(parts PRIVATE made.h)\ntarget_include_directories(parts PRIVATE ${CMAKE_BINARY_DIR})\n"
        steps = run.format("stamp", "step.sh", "input") + run.format("made.h", "make.sh", "stamp")
        lab.write("CMakeLists.txt", CMAKE + steps + more)
        result = lab.build()
        assert says(result).endswith(" 3")
        fail = Path(result["tree"], "fail")
        fail.touch()
        lab.write("input", "4")
        assert lab.build()["code"] != 0
        fail.unlink()
        assert says(lab.build()).endswith(" 4")

    def test_what_ninja_says_is_the_failure(self, lab: Lab) -> None:
        lab.build()
        (lab.workspace / "three.c").unlink()
        result = lab.build()
        assert result["code"] != 0
        assert "three.c" in result["failure"]["output"]

    def test_what_cmake_made_and_somebody_changed_is_made_again(self, lab: Lab) -> None:
        lab.write("config.h.in", "#define THREE 3\n")
        lab.write("three.c", '#include "config.h"\nint three(void) { return THREE; }\n')
        more = "configure_file(config.h.in config.h)\ntarget_include_directories(parts PRIVATE ${CMAKE_BINARY_DIR})\n"
        lab.write("CMakeLists.txt", CMAKE + more)
        made = Path(lab.build()["tree"], "config.h")
        made.write_text("#define THREE 4\n")
        old(made)
        result = lab.build()
        assert result["configured"] == ["config.h was changed by hand, which cmake made"]
        assert (says(result).split()[-1], result["compiled"]) == ("3", 0)


class TestFailures:
    def test_a_header_that_is_put_back_after_a_failure_costs_what_was_compiled_from_it(self, lab: Lab) -> None:
        lab.built(objects=COUNT)
        before = (lab.workspace / "shared.h").read_text()
        lab.write("shared.h", "#define SHARED 2\n")
        lab.write("two.c", "int two(void) { return nothing; }\n")
        failed = lab.build(jobs=1, args=["-k", "0"])
        assert failed["code"] != 0
        assert Path(failed["tree"], "lab").exists()  # the last one
        lab.write("shared.h", before)
        lab.write("two.c", FILES["two.c"])
        result = lab.build()
        lab.check(result)
        assert result["compiled"] <= 2

    def test_what_a_failed_build_never_began_is_clean_when_its_header_is_put_back(self, lab: Lab) -> None:
        lab.built(objects=COUNT)
        lab.write("shared.h", "#error broken\n")
        assert lab.build(jobs=1)["code"] != 0
        lab.write("shared.h", FILES["shared.h"])
        assert lab.built(objects=0)["commands"] == 0

    def test_the_first_build_of_a_second_key_after_another_branch(self, lab: Lab) -> None:
        lab.branch("other", {"shared.h": "#define SHARED 7\n"})
        lab.built(objects=COUNT)
        lab.git("switch", "-q", "other")
        lab.built(objects=2)
        lab.git("switch", "-q", "main")
        lab.built(objects=COUNT, type="Release")
        lab.built(objects=2)
        lab.built(objects=0, type="Release")
