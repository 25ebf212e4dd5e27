"""The states that a tree was configured in: a branch with other CMake files, there and back, costs nothing."""

from __future__ import annotations

import os
from pathlib import Path

from tests.oracle.build_lab import CMAKE, COUNT, JSON, Lab

# Another source in the library, and another flag for all of them.
OTHER = {
    "CMakeLists.txt": CMAKE.replace("option(", "add_compile_definitions(OTHER=1)\noption(").replace(
        "three.c)", "three.c four.c)"
    ),
    "four.c": "int four(void) { return 4; }\n",
}


def both(lab: Lab) -> JSON:
    """Build the branches `main` and `other`, and go back to `main`; return the last build."""
    lab.branch("other", OTHER)
    lab.built(objects=COUNT)
    lab.git("switch", "-q", "other")
    result = lab.built(objects=COUNT + 1)
    lab.git("switch", "-q", "main")
    return result


def states(lab: Lab, result: JSON) -> Path:
    return lab.volume / ".devbox" / "states" / str(result["key"])


def test_a_branch_with_other_cmake_files_and_flags_there_and_back(lab: Lab) -> None:
    both(lab)
    for branch in ("main", "other", "main", "other"):
        lab.git("switch", "-q", branch)
        result = lab.built(objects=0)
        assert (result["configured"], result["commands"]) == ([], 0), result["reasons"]
        assert lab.built(objects=0)["commands"] == 0
    assert len(numbers(lab, result)) == 1


def numbers(lab: Lab, result: JSON) -> list[str]:
    """Return the names of the states that are kept beside the tree."""
    folder = states(lab, result)
    return sorted(path.name for path in folder.iterdir() if path.name.isdigit()) if folder.exists() else []


def test_a_version_from_git_keeps_a_state_for_a_branch_and_none_for_a_commit(lab: Lab) -> None:
    version = (
        "execute_process(COMMAND git rev-parse HEAD WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})\n"
        "set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/.git/index)\n"
    )
    lab.write("CMakeLists.txt", CMAKE + version)
    lab.commit("version")
    lab.branch("other", {"one.h": "#define ONE 7\n"})
    lab.built(objects=COUNT)
    lab.write("notes", "nothing that is built\n")
    lab.commit("another")
    result = lab.built(objects=0)
    assert (bool(result["configured"]), numbers(lab, result)) == (True, [])
    lab.git("switch", "-q", "other")
    assert lab.built(objects=1)["configured"]
    for branch in ("main", "other"):
        lab.git("switch", "-q", branch)
        assert lab.built(objects=0)["configured"] == []


def test_no_more_than_four_are_kept(lab: Lab) -> None:
    result = lab.built(objects=COUNT)
    for number in range(6):
        lab.write("CMakeLists.txt", CMAKE + f"# {number}\n")
        lab.built(objects=0)
    assert numbers(lab, result) == ["3", "4", "5", "6"]


def test_what_was_edited_while_it_was_away_is_compiled(lab: Lab) -> None:
    both(lab)
    lab.write("one.h", "#define ONE 7\n")
    result = lab.built(objects=1)
    assert result["configured"] == []
    lab.git("stash", "-q")
    lab.git("switch", "-q", "other")
    assert lab.built(objects=0)["configured"] == []


def test_an_object_of_a_state_that_somebody_changed(lab: Lab) -> None:
    result = both(lab)
    (path,) = states(lab, result).glob("*/tree/CMakeFiles/parts.dir/one.c.o")
    kept = path.stat()
    path.write_bytes(path.read_bytes()[::-1])
    os.utime(path, ns=(kept.st_atime_ns, kept.st_mtime_ns))
    assert lab.built(objects=1)["configured"] == []


def test_a_state_that_ninja_was_run_in_is_judged_as_the_tree_is(lab: Lab) -> None:
    lab.branch("other", OTHER)
    result = lab.built(objects=COUNT)
    lab.write("one.h", "#define ONE 5\n")
    lab.ninja(result)
    lab.write("one.h", "#define ONE 1\n")
    lab.git("switch", "-q", "other")
    lab.build()
    lab.git("switch", "-q", "main")
    assert lab.built(objects=1)["configured"] == []


def test_a_switch_that_was_cut_off_is_brought_to_its_end(lab: Lab) -> None:
    result = both(lab)
    tree, folder = Path(result["tree"]), states(lab, result)
    aside = folder / "2"
    aside.mkdir()
    (aside / "state.json").write_text((folder / "1" / "state.json").read_text())
    (folder / "switch.json").write_text('{"into":"1","aside":"2"}')
    tree.rename(aside / "tree")
    for branch in ("main", "other"):
        lab.git("switch", "-q", branch)
        assert lab.built(objects=0)["configured"] == []


def test_a_broken_configuration_does_not_take_the_place_of_one_that_works(lab: Lab) -> None:
    lab.built(objects=COUNT)
    lab.write("CMakeLists.txt", CMAKE + "message(FATAL_ERROR nothing)\n")
    assert lab.build()["code"] != 0
    lab.write("CMakeLists.txt", CMAKE)
    assert lab.built(objects=0)["configured"] == []
    result = lab.built(objects=0)
    assert numbers(lab, result) == []


def test_a_clean_build_forgets_them(lab: Lab) -> None:
    both(lab)
    result = lab.built(objects=COUNT, mode="clean")
    assert not states(lab, result).exists()
