"""Incremental builds with real git, cmake and ninja: what is rebuilt, and that it is what a fresh build makes."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from devbox.agent.configuration import START_COUNTS_SINCE
from devbox.agent.proof.kept import contents
from devbox.agent.tools import version_tuple
from tests.oracle.build_lab import CMAKE, COUNT, FILES, Lab

OTHER = {"shared.h": "#define SHARED 7\n"}
# A command of the tree that waits until somebody writes into a pipe: the test decides how long a build takes.
WAITING = (
    'add_custom_command(OUTPUT waited COMMAND cat "{pipe}" > waited COMMENT "waiting")\n'
    "add_custom_target(wait ALL DEPENDS waited)\n"
)
FIRST = "add_dependencies(parts wait)\n"
LAST = 'add_custom_target(linger ALL COMMAND cat "{pipe}" COMMENT "lingering")\nadd_dependencies(linger lab)\n'


def waiting_tree(lab: Lab, more: str = "") -> Path:
    """Add a target to the tree that waits for the pipe which is returned."""
    pipe = lab.volume.parent / "pipe"
    os.mkfifo(pipe)
    lab.write("CMakeLists.txt", CMAKE + (WAITING + more).format(pipe=pipe))
    return pipe


class TestRebuilds:
    def test_nothing_to_do_runs_no_command(self, lab: Lab) -> None:
        lab.built(objects=COUNT)
        result = lab.built(objects=0)
        assert result["commands"] == 0
        assert result["configured"] == []

    def test_an_edit_rebuilds_what_depends_on_it(self, lab: Lab) -> None:
        lab.built(objects=COUNT)
        lab.write("one.h", "#define ONE 5\n")
        lab.built(objects=1)
        lab.write("shared.h", "#define SHARED 2\n")
        lab.built(objects=2)
        lab.built(objects=0)

    def test_a_branch_there_and_back_rebuilds_nothing(self, lab: Lab) -> None:
        lab.branch("other", {**OTHER, "CMakeLists.txt": CMAKE + "# other\n"})
        lab.built(objects=COUNT)
        lab.git("switch", "-q", "other")
        lab.git("switch", "-q", "main")
        result = lab.built(objects=0)
        assert result["commands"] == 0
        assert result["healed"]["lowered"] == 2

    def test_a_stash_there_and_back_rebuilds_nothing(self, lab: Lab) -> None:
        lab.write("one.h", "#define ONE 9\n")
        lab.built(objects=COUNT)
        lab.git("stash", "-q")
        lab.git("stash", "pop", "-q")
        assert lab.built(objects=0)["commands"] == 0

    def test_a_branch_that_was_built_in_between_is_not_forgotten(self, lab: Lab) -> None:
        lab.branch("other", OTHER)
        lab.built(objects=COUNT)
        lab.git("switch", "-q", "other")
        lab.built(objects=2)
        lab.git("switch", "-q", "main")
        lab.built(objects=2)

    def test_without_git_a_file_that_was_restored_rebuilds_nothing(self, lab: Lab) -> None:
        subprocess.run(["rm", "-rf", str(lab.workspace / ".git")], check=True)
        lab.built(objects=COUNT)
        lab.write("shared.h", OTHER["shared.h"])
        lab.write("shared.h", FILES["shared.h"])
        lab.built(objects=0)

    def test_another_content_with_an_old_time_is_rebuilt(self, lab: Lab) -> None:
        lab.built(objects=COUNT)
        path = lab.write("one.h", "#define ONE 6\n")
        os.utime(path, (1, 1))
        assert lab.built(objects=1)["healed"]["raised"] == 1

    def test_a_file_moved_over_another_is_rebuilt(self, lab: Lab) -> None:
        new = lab.write("one.h.new", "#define ONE 8\n")
        lab.built(objects=COUNT)
        new.rename(lab.workspace / "one.h")
        lab.built(objects=1)

    def test_a_link_to_another_file_is_rebuilt(self, lab: Lab) -> None:
        lab.write("v1.h", "#define ONE 1\n")
        lab.write("v2.h", "#define ONE 2\n")
        (lab.workspace / "one.h").unlink()
        (lab.workspace / "one.h").symlink_to("v1.h")
        lab.built(objects=COUNT)
        (lab.workspace / "one.h").unlink()
        (lab.workspace / "one.h").symlink_to("v2.h")
        lab.built(objects=1)
        lab.built(objects=0)

    def test_an_edit_while_the_build_runs_is_built_next_time(self, lab: Lab) -> None:
        pipe = waiting_tree(lab, FIRST)
        running = lab.start()
        running.until_running("waiting")
        lab.write("shared.h", OTHER["shared.h"])
        pipe.write_text("go on\n")
        result = running.result()
        assert result["code"] == 0
        lab.check(result)
        # Back to what the build saw when it began: but the objects were made from the edit.
        lab.git("checkout", "-q", "--", "shared.h")
        result = lab.build()
        assert result["code"] == 0
        lab.check(result)

    def test_an_edit_while_its_compiler_runs_is_built_next_time(self, lab: Lab, tmp_path: Path) -> None:
        """The object is newer than the edit, but made from what was there before."""
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        compiler = tmp_path / "bin" / "cc"
        compiler.parent.mkdir()
        compiler.write_text(
            '#!/bin/sh\n/usr/bin/cc "$@" || exit\n'
            f'case "$*" in *three.c*) [ -p "{pipe}" ] || exit 0 ;; *) exit 0 ;; esac\n'
            f'cat "{pipe}"\ntouch CMakeFiles/parts.dir/three.c.o\n'
        )
        compiler.chmod(0o755)
        lab.environ["CC"] = str(compiler)
        running = lab.start(jobs=1)
        running.until_running("three.c")
        with pipe.open("w") as stream:  # the compiler waits at the other end, its object written
            lab.write("three.c", "int three(void) { return 33; }\n")
            stream.write("go on\n")
        assert running.result()["code"] == 0
        pipe.unlink()
        result = lab.build()
        lab.check(result)
        assert lab.build()["commands"] == 0

    def test_times_are_left_alone_without_healing_and_made_good_later(self, lab: Lab) -> None:
        lab.built(objects=COUNT)
        path = lab.write("one.h", "#define ONE 6\n")
        os.utime(path, (1, 1))
        result = lab.build(heal=False)
        assert result["compiled"] == 0
        assert path.stat().st_mtime == 1
        lab.built(objects=1)


class TestSeveralTrees:
    def test_a_branch_there_and_back_rebuilds_nothing_in_either(self, lab: Lab) -> None:
        lab.branch("other", OTHER)
        lab.built(objects=COUNT)
        lab.built(objects=COUNT, type="Release")
        lab.git("switch", "-q", "other")
        lab.git("switch", "-q", "main")
        lab.built(objects=0)
        lab.built(objects=0, type="Release")
        lab.built(objects=0)

    def test_each_is_right_when_branches_and_trees_alternate(self, lab: Lab) -> None:
        lab.branch("other", OTHER)
        for branch, kind in [
            ("main", "Debug"), ("other", "Release"), ("main", "Release"), ("other", "Debug"), ("main", "Debug"),
            ("other", "Debug"), ("main", "Release"), ("main", "Debug"), ("other", "Release"), ("other", "Debug"),
        ]:  # fmt: skip
            lab.git("switch", "-q", branch)
            result = lab.build(type=kind)
            assert result["code"] == 0
            lab.check(result)

    def test_a_part_that_was_not_built_stays_to_be_built(self, lab: Lab) -> None:
        """One tree sets a time back to where the other's unbuilt object would look made."""
        lab.built(objects=COUNT)
        result = lab.built(objects=COUNT, type="Release")
        lab.write("shared.h", OTHER["shared.h"])
        lab.built(objects=2, type="Release")
        lab.write("shared.h", FILES["shared.h"])
        lab.build(type="Release", targets=["CMakeFiles/parts.dir/one.c.o"])
        assert lab.built(objects=0)["healed"]["lowered"] == 1
        result = lab.built(objects=1, type="Release")
        assert "two.c.o" in str(result["slowest"])

    def test_no_time_of_a_source_is_touched_also_while_another_tree_is_built(self, lab: Lab) -> None:
        pipe = waiting_tree(lab)
        lab.build(targets=["lab"])
        running = lab.start(type="Release")
        running.until_running("waiting")
        path = lab.write("three.c", FILES["three.c"])
        before = path.stat().st_mtime_ns
        result = lab.build(targets=["lab"])
        assert (result["compiled"], result["healed"]["lowered"]) == (0, 1)
        assert path.stat().st_mtime_ns == before
        pipe.write_text("go on\n")
        running.result()

    def test_what_another_tree_was_built_from_does_not_matter(self, lab: Lab) -> None:
        lab.branch("other", OTHER)
        lab.built(objects=COUNT)
        lab.git("switch", "-q", "other")
        lab.built(objects=COUNT, type="Release")
        lab.git("switch", "-q", "main")
        lab.built(objects=0)


class TestNinjaByHand:
    def test_its_objects_are_not_taken_for_the_record_s(self, lab: Lab) -> None:
        result = lab.built(objects=COUNT)
        lab.write("shared.h", OTHER["shared.h"])
        lab.ninja(result)
        lab.git("checkout", "-q", "--", "shared.h")
        result = lab.built(objects=2)
        assert any("by hand" in reason for reason in result["reasons"])

    def test_what_it_built_is_not_built_again(self, lab: Lab) -> None:
        version = subprocess.run(["ninja", "--version"], env=lab.environ, check=True, capture_output=True, text=True)
        if version_tuple(version.stdout) < START_COUNTS_SINCE:
            pytest.skip("an edit while this ninja runs cannot be told from one before: it is built again")
        result = lab.built(objects=COUNT)
        lab.write("shared.h", OTHER["shared.h"])
        time.sleep(0.05)  # more than a tick of the clock that files have
        lab.ninja(result)
        lab.built(objects=0)

    def test_what_it_built_from_what_a_build_has_seen_is_not_built_again(self, lab: Lab) -> None:
        result = lab.built(objects=COUNT)
        Path(result["tree"], "CMakeFiles/parts.dir/one.c.o").unlink()
        lab.ninja(result)
        lab.built(objects=0)

    def test_a_time_that_another_tree_set_back_does_not_hide_it(self, lab: Lab) -> None:
        lab.built(objects=COUNT, type="Release")
        result = lab.built(objects=COUNT)
        lab.write("shared.h", OTHER["shared.h"])
        lab.ninja(result)
        lab.git("checkout", "-q", "--", "shared.h")
        lab.built(objects=0, type="Release")
        lab.built(objects=2)


class TestMakefiles:
    def test_nothing_is_lowered_where_no_log_shows_who_built(self, lab: Lab) -> None:
        lab.rules = replace(lab.rules, generator="Unix Makefiles")
        result = lab.build()
        assert result["code"] == 0
        lab.check(result)
        lab.write("shared.h", OTHER["shared.h"])
        lab.write("shared.h", FILES["shared.h"])
        result = lab.build()
        assert result["healed"]["lowered"] == 0
        assert result["configured"] == []
        path = lab.write("one.h", "#define ONE 6\n")
        os.utime(path, (1, 1))
        lab.check(lab.build())
        lab.write("two.c", "int two(void) { return nothing; }\n")
        result = lab.build()
        assert result["code"] != 0
        assert "nothing" in result["failure"]["output"]


class TestConfigure:
    def test_a_changed_definition_configures_the_same_tree(self, lab: Lab) -> None:
        plain = lab.built(objects=COUNT)
        result = lab.build(defines=[["LOUD", "ON"]])
        assert result["key"] == plain["key"]
        assert result["compiled"] == 1
        said = subprocess.run([f"{result['tree']}/lab"], check=True, capture_output=True, text=True).stdout
        assert said == lab.from_scratch("-DLOUD=1")

    def test_a_dropped_definition_is_unset(self, lab: Lab) -> None:
        lab.build(defines=[["LOUD:BOOL", "ON"]])
        result = lab.built(objects=1)
        assert any("LOUD" in reason for reason in result["configured"])
        lab.built(objects=0)

    def test_the_record_of_a_failed_configure_says_so_and_proves_nothing(self, lab: Lab) -> None:
        lab.write("CMakeLists.txt", CMAKE + "message(FATAL_ERROR broken)\n")
        failed = lab.build()
        kept = lab.attempt(failed)
        assert (kept["state"], kept["code"], kept["configured"]) == ("open", failed["code"], False)
        assert failed["code"] > 0

    def test_nvcc_has_a_place_for_its_phases_already_when_a_tree_is_configured(self, lab: Lab) -> None:
        check = 'if(NOT IS_DIRECTORY "$ENV{DEVBOX_NVCC_PHASES}")\n  message(FATAL_ERROR "no folder")\nendif()\n'
        lab.write("CMakeLists.txt", CMAKE + check)
        assert lab.build(trace=True)["code"] == 0

    def test_one_that_was_given_to_a_failed_configure_is_unset_too(self, lab: Lab) -> None:
        lab.built(objects=COUNT)
        good = (lab.workspace / "CMakeLists.txt").read_text()
        lab.write("CMakeLists.txt", good + "message(FATAL_ERROR no)\n")
        assert lab.build(defines=[["LOUD", "ON"]])["code"] != 0
        lab.write("CMakeLists.txt", good)
        result = lab.build()
        assert result["code"] == 0
        lab.check(result)

    def test_a_failed_one_says_why_and_is_tried_again(self, lab: Lab) -> None:
        good = (lab.workspace / "CMakeLists.txt").read_text()
        lab.write("CMakeLists.txt", good + 'message(FATAL_ERROR "the reason")\n')
        result = lab.build()
        assert result["failure"]["step"] == "configure"
        assert "the reason" in result["failure"]["output"]
        assert lab.attempt(result)["state"] == "open"
        lab.write("CMakeLists.txt", good)
        lab.built(objects=COUNT)

    def test_a_changed_cmake_file_configures(self, lab: Lab) -> None:
        lab.built(objects=COUNT)
        lab.write("CMakeLists.txt", CMAKE + "target_compile_definitions(lab PRIVATE UNUSED)\n")
        result = lab.built(objects=1)
        assert result["configured"] == ["changed: CMakeLists.txt"]
        assert lab.built(objects=0)["configured"] == []

    def test_a_cache_edited_by_hand_configures(self, lab: Lab) -> None:
        result = lab.built(objects=COUNT)
        subprocess.run(["cmake", "-DLOUD=ON", result["tree"]], env=lab.environ, check=True, capture_output=True)
        assert any("by hand" in reason for reason in lab.build()["configured"])

    def test_reconfigure_starts_from_an_empty_cache_and_keeps_the_objects(self, lab: Lab) -> None:
        result = lab.built(objects=COUNT)
        subprocess.run(["cmake", "-DLEFT=over", result["tree"]], env=lab.environ, check=True, capture_output=True)
        result = lab.built(objects=0, mode="reconfigure")
        assert "LEFT" not in Path(result["tree"], "CMakeCache.txt").read_text()

    def test_variables_that_cmake_reads_once_start_from_an_empty_cache(self, lab: Lab) -> None:
        lab.built(objects=COUNT)
        lab.environ["CFLAGS"] = "-DEXTRA"
        result = lab.built(objects=COUNT)
        assert result["configured"] == ["environment changed: CFLAGS"]
        lab.built(objects=0)

    def test_the_number_of_jobs_is_no_reason(self, lab: Lab) -> None:
        lab.rules = replace(lab.rules, defines=(("CMAKE_JOB_POOLS", "compile={jobs}"),))
        lab.built(objects=COUNT, jobs=1)
        result = lab.built(objects=0, jobs=3)
        assert result["configured"] == []
        assert result["jobs"] == 3

    def test_clean_empties_this_tree_alone(self, lab: Lab) -> None:
        lab.built(objects=COUNT)
        other = lab.built(objects=COUNT, type="Release")
        lab.built(objects=COUNT, mode="clean")
        lab.built(objects=0, type="Release")
        assert Path(other["tree"], "lab").exists()

    def test_what_fetchcontent_has_checked_out_counts_as_source(self, lab: Lab) -> None:
        origin = lab.volume.parent / "origin"
        origin.mkdir()
        (origin / "fetched.h").write_text("#define FETCHED 1\n")
        (origin / "CMakeLists.txt").write_text("")
        archive = lab.volume.parent / "origin.tar"
        subprocess.run(["tar", "-C", str(origin), "--mtime=2001-01-01", "-cf", str(archive), "."], check=True)
        fetch = (
            f'include(FetchContent)\nFetchContent_Declare(origin URL "{archive}")\n'
            "FetchContent_MakeAvailable(origin)\ntarget_include_directories(parts PUBLIC ${origin_SOURCE_DIR})\n"
        )
        lab.write("CMakeLists.txt", CMAKE + fetch)
        lab.write("three.c", '#include "fetched.h"\nint three(void) { return FETCHED + 2; }\n')
        result = lab.build()
        assert result["code"] == 0, result["failure"]
        assert lab.build()["compiled"] == 0
        fetched = Path(result["tree"], "_deps/origin-src/fetched.h")
        fetched.write_text("#define FETCHED 9\n")
        os.utime(fetched, (1, 1))
        assert lab.build()["compiled"] == 1

    def test_git_s_index_is_healed_where_cmake_depends_on_it(self, lab: Lab) -> None:
        lab.write(
            "CMakeLists.txt",
            CMAKE
            + 'set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/.git/index")\n',
        )
        lab.commit("depend")
        lab.branch("other", OTHER)
        lab.built(objects=COUNT)
        lab.git("switch", "-q", "other")
        lab.git("switch", "-q", "main")
        running = lab.start()
        result = running.result()
        assert result["compiled"] == 0
        assert not [event for event in running.events if "CMake" in str(event.get("line"))]
        lab.git("commit", "-q", "--allow-empty", "-m", "another commit, the same entries")
        lab.git("update-index", "-q", "--force-write-index")
        running = lab.start()
        running.result()
        assert [event for event in running.events if "Build files have been written" in str(event.get("line"))]


class TestKeys:
    def test_inputs_that_name_another_tree(self, lab: Lab, tmp_path: Path) -> None:
        seen = {lab.build()["key"]}

        def another(**fields: object) -> None:
            key = lab.build(**fields)["key"]
            assert key not in seen
            seen.add(key)

        another(type="Release")
        another(arch="90-real")
        another(variant="another")
        another(framework="another")
        another(defines=[["CMAKE_C_COMPILER", "gcc"]])
        wrapper = tmp_path / "bin" / "cc"
        wrapper.parent.mkdir()
        wrapper.write_text('#!/bin/sh\nexec /usr/bin/cc "$@"\n')
        wrapper.chmod(0o755)
        before = lab.environ["PATH"]
        lab.environ["PATH"] = f"{wrapper.parent}:{before}"
        another()
        wrapper.write_text('#!/bin/sh\n# another file\nexec /usr/bin/cc "$@"\n')
        another()
        lab.environ["PATH"] = before
        lab.rules = replace(lab.rules, nvcc_threads=2)
        another()

    def test_inputs_that_do_not(self, lab: Lab) -> None:
        key = lab.built(objects=COUNT)["key"]
        for fields in ({"container": "b"}, {"jobs": 1}, {"targets": ["parts"]}, {"defines": [["ANY", "1"]]}):
            assert lab.build(**fields)["key"] == key

    def test_the_key_says_type_and_architectures(self, lab: Lab) -> None:
        assert lab.build(arch="90-real;100-real")["key"].startswith("debug-90+100-")

    def test_current_is_the_tree_that_was_built_last(self, lab: Lab) -> None:
        lab.build()
        result = lab.build(type="Release")
        assert (lab.volume / "current").readlink() == Path(result["key"])
        assert (lab.volume / "current" / "compile_commands.json").exists()


class TestOutsideTheWorkspace:
    """A folder outside the workspace stands for the image's headers, another container id for another image."""

    @pytest.fixture
    def header(self, lab: Lab) -> Path:
        header = lab.volume.parent / "include" / "image.h"
        header.parent.mkdir()
        header.write_text("#define IMAGE 3\n")
        lab.write("three.c", '#include "image.h"\nint three(void) { return IMAGE; }\n')
        lab.write("CMakeLists.txt", CMAKE + f'target_include_directories(parts PRIVATE "{header.parent}")\n')
        return header

    def test_a_newer_header_with_the_same_content_rebuilds_nothing(self, lab: Lab, header: Path) -> None:
        lab.build()
        header.write_text(header.read_text())
        assert lab.build(container="b")["compiled"] == 0

    def test_an_older_header_with_another_content_is_rebuilt(self, lab: Lab, header: Path) -> None:
        lab.build()
        header.write_text("#define IMAGE 4\n")
        os.utime(header, (1, 1))
        result = lab.build(container="b")
        assert result["compiled"] == 1
        assert any("image.h" in reason for reason in result["reasons"])
        assert lab.build(container="b")["compiled"] == 0
        assert lab.build(container="c")["compiled"] == 0

    def test_a_library_that_is_linked_by_its_path_counts(self, lab: Lab) -> None:
        library = lab.volume.parent / "usr lib" / "libx.a"
        library.parent.mkdir()

        def make(value: int) -> None:
            source = library.with_suffix(".c")
            source.write_text(f"int three(void) {{ return {value}; }}\n")
            subprocess.run(["cc", "-c", str(source), "-o", f"{library}.o"], check=True)
            library.unlink(missing_ok=True)
            subprocess.run(["ar", "qc", str(library), f"{library}.o"], check=True)
            os.utime(library, (1, 1))

        make(3)
        lab.write("CMakeLists.txt", CMAKE.replace(" three.c", "") + f'target_link_libraries(lab PRIVATE "{library}")\n')
        result = lab.build()
        assert subprocess.check_output([f"{result['tree']}/lab"], text=True).endswith(" 3\n")
        make(4)
        result = lab.build()
        assert result["compiled"] == 0
        assert subprocess.check_output([f"{result['tree']}/lab"], text=True).endswith(" 4\n")
        assert lab.build()["commands"] == 0

    def test_in_the_same_container_ninja_s_own_judgement_holds(self, lab: Lab, header: Path) -> None:
        lab.build()
        header.write_text("#define IMAGE 4\n")
        assert lab.build()["compiled"] == 1


class TestEnds:
    def test_a_command_that_misses_the_signal_gets_it_again(self, lab: Lab) -> None:
        pipe = lab.volume.parent / "pipe"
        os.mkfifo(pipe)
        script = f"trap 'trap - INT' INT; cat {pipe}; cat {pipe}; cat {pipe}"
        lab.write(
            "CMakeLists.txt",
            f'{CMAKE}add_custom_target(deaf ALL COMMAND sh -c "{script}" VERBATIM COMMENT "deaf")\n',
        )
        running = lab.start()
        running.until_running("deaf")
        pipe.write_text("the trap is set\n")
        running.hang_up()
        result = running.until("result")
        assert running.process.wait(10) == 0
        assert lab.attempt(result)["state"] == "closed"

    def test_a_client_that_goes_away_ends_the_build_and_closes_the_record(self, lab: Lab) -> None:
        waiting_tree(lab)
        running = lab.start()
        running.until_running("waiting")
        running.hang_up()
        result = running.until("result")
        assert result["code"] == 130
        assert running.process.wait(10) == 0
        assert lab.attempt(result)["state"] == "closed"
        assert not processes_in(result["tree"])
        lab.write("CMakeLists.txt", CMAKE)
        lab.check(lab.build())

    def test_a_killed_agent_takes_its_compilers_with_it(self, lab: Lab) -> None:
        waiting_tree(lab)
        running = lab.start(targets=["wait", "lab"], jobs=4)
        tree = running.until("tree")["path"]
        running.until_running("waiting")
        running.process.kill()
        running.close()
        lab.write("CMakeLists.txt", CMAKE)
        lab.write("shared.h", OTHER["shared.h"])
        result = lab.build()  # it gets the lock only when nothing of the killed build lives
        assert result["tree"] == tree
        assert result["code"] == 0
        assert any("cut off" in reason for reason in result["reasons"])
        lab.check(result)
        assert not processes_in(tree)

    def test_a_cut_off_build_lowers_nothing(self, lab: Lab) -> None:
        """Objects of the other content were made in the build that was killed; only the record could hide them."""
        pipe = waiting_tree(lab, FIRST + LAST)
        running = lab.start()
        running.until_running("waiting")
        lab.write("shared.h", OTHER["shared.h"])
        pipe.write_text("go on\n")
        running.until_running("lingering")
        running.process.kill()
        running.close()
        lab.git("checkout", "-q", "--", "shared.h")
        result = lab.build(targets=["lab"])
        assert result["healed"]["lowered"] == 0
        lab.check(result)

    def test_a_signal_to_the_agent_ends_the_build(self, lab: Lab) -> None:
        waiting_tree(lab)
        running = lab.start()
        running.until_running("waiting")
        running.process.send_signal(signal.SIGTERM)
        assert running.result()["code"] == 130

    def test_a_second_build_waits_and_says_for_whom(self, lab: Lab) -> None:
        pipe = waiting_tree(lab)
        first = lab.start(client="the first client")
        first.until_running("waiting")
        second = lab.start()
        assert "the first client" in second.until("info")["text"]
        pipe.write_text("go on\n")
        assert first.result()["code"] == 0
        assert second.result()["code"] == 0

    def test_a_client_that_goes_away_while_it_waits_leaves_the_first_alone(self, lab: Lab) -> None:
        pipe = waiting_tree(lab)
        first = lab.start()
        first.until_running("waiting")
        second = lab.start()
        second.until("info")
        second.hang_up()
        assert second.until("result")["code"] == 130
        second.close()
        pipe.write_text("go on\n")
        assert first.result()["code"] == 0

    def test_a_failed_command_is_shown_with_its_output(self, lab: Lab) -> None:
        lab.write("two.c", "int two(void) { return nothing; }\n")
        result = lab.build(jobs=1)
        assert result["code"] != 0
        assert result["failure"]["step"] == "build"
        assert "two.c.o" in result["failure"]["outputs"]
        assert "two.c" in result["failure"]["command"]
        assert "nothing" in result["failure"]["output"]
        lab.write("two.c", FILES["two.c"])
        result = lab.build()
        assert result["code"] == 0
        lab.check(result)

    def test_compilers_killed_for_memory_get_half_the_jobs(self, lab: Lab, tmp_path: Path) -> None:
        compiler = tmp_path / "bin" / "cc"
        compiler.parent.mkdir()
        compiler.write_text(
            "#!/bin/sh\n"
            f'case "$*" in *two.c*) [ -e "{tmp_path}/killed" ] || {{ : > "{tmp_path}/killed"; kill -9 $$; }} ;; esac\n'
            'exec /usr/bin/cc "$@"\n'
        )
        compiler.chmod(0o755)
        lab.environ["CC"] = str(compiler)
        running = lab.start(jobs=4)
        result = running.result()
        assert result["code"] == 0
        assert result["jobs"] == 2
        assert any("killed for memory" in event.get("text", "") for event in running.events)
        lab.check(result)

    def test_what_is_missing_is_said(self, lab: Lab) -> None:
        (lab.workspace / "CMakeLists.txt").unlink()
        fault = lab.start().until("fault")
        assert "CMakeLists.txt" in fault["message"]
        assert fault["hint"]


class TestInstall:
    @pytest.fixture
    def installing(self, lab: Lab) -> Lab:
        lab.rules = replace(lab.rules, install=True, install_prefix="{source}")
        install = (
            "install(TARGETS lab DESTINATION out COMPONENT lab)\n"
            "install(FILES one.h DESTINATION out COMPONENT headers)\n"
        )
        lab.write("CMakeLists.txt", CMAKE + install)
        return lab

    def test_it_runs_when_an_output_changed(self, installing: Lab) -> None:
        result = installing.built(objects=COUNT)
        assert result["installed"] == ["out/lab", "out/one.h"]
        before = (installing.workspace / "out/lab").stat().st_ino
        result = installing.built(objects=0)
        assert "installed" not in result
        installing.write("two.c", FILES["two.c"] + "/* nothing that shows */\n")
        assert installing.built(objects=1)["installed"] in ([], ["out/lab"])
        installing.write("two.c", "int two(void) { return 22; }\n")
        assert installing.built(objects=1)["installed"] == ["out/lab"]
        assert (installing.workspace / "out/lab").stat().st_ino != before

    def test_it_runs_when_an_installed_file_is_gone_or_another_tree_installs(self, installing: Lab) -> None:
        installing.built(objects=COUNT)
        (installing.workspace / "out/lab").unlink()
        assert installing.built(objects=0)["installed"] == ["out/lab"]
        assert installing.built(objects=COUNT, type="Release")["installed"] == ["out/lab"]
        assert installing.built(objects=0)["installed"] == ["out/lab"]

    def test_a_target_installs_its_component(self, installing: Lab) -> None:
        assert installing.build(targets=["lab"])["installed"] == ["out/lab"]
        assert installing.build()["installed"] == ["out/one.h"]

    def test_what_is_installed_is_no_source(self, installing: Lab) -> None:
        result = installing.built(objects=COUNT)
        installing.built(objects=0)
        known = contents(str(installing.volume / ".devbox" / "records" / result["key"]))
        assert known
        assert not [name for name in known if name.endswith("out/lab")]


def processes_in(folder: str) -> list[str]:
    """Return the processes whose working directory is `folder` or below it."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if str((entry / "cwd").readlink()).startswith(folder):
                    found.append(entry.name)
            except OSError:
                continue
    return found


def test_a_define_that_feeds_another_variable_of_the_cache_counts_at_once(lab: Lab) -> None:
    derived = (
        'set(A 1 CACHE STRING "")\nset(B ${A} CACHE STRING "derived")\ntarget_compile_definitions(lab PRIVATE B=${B})\n'
    )
    lab.write("CMakeLists.txt", CMAKE + derived)
    for defines, value in (([], 1), ([["A", "2"]], 2), ([["A", "3"]], 3), ([["B", "9"]], 9), ([], 1)):
        built = lab.build(defines=defines)
        assert f"-DB={value} " in (Path(built["tree"]) / "compile_commands.json").read_text(), defines
