"""What compilers, linkers and CMake complain of, out of what they really wrote, and out of anything else."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox.agent.protocol import Called, Foreseen
from devbox.builds.diagnostics import Collector, Diagnostic, first_error, sarif
from devbox.builds.foresee import lines
from devbox.cli.builds import told
from devbox.reporter import Silent
from devbox.ui.envelope import envelope

DATA = Path(__file__).parent.parent / "data" / "diagnostics"
FOLDER, TREE = "/workspaces/x", "/build/release-1"
TITLE = "Building CXX object csrc/CMakeFiles/_C.dir/a.cu.o"


def collected(*lines: str, source: str = "ninja", step: str = TITLE) -> tuple[Diagnostic, ...]:
    taking = Collector(FOLDER, TREE)
    for line in lines:
        taking.take(line, source, step)
    return taking.found()


def test_what_gcc_nvcc_ptxas_and_ld_wrote() -> None:
    found = collected(*(DATA / "compilers.txt").read_text().splitlines())
    assert [(one.severity, one.place, one.option, one.text) for one in found] == [
        ("error", "/build/release-1/gcc.cpp:2:10", "", "missing.h: No such file or directory"),
        ("warning", "gcc2.cpp:2:32", "-Wunused-variable", "unused variable 'c'"),
        ("warning", "gcc2.cpp:2:23", "-Wunused-parameter", "unused parameter 'b'"),
        ("error", "gcc2.cpp:3:18", "", "'undeclared' was not declared in this scope"),
        ("error", "h.h:1:42", "", "request for member 'nothing' in 't', which is of non-class type 'int'"),
        ("error", "nv.cu:1", "", 'identifier "undeclared" is undefined'),
        ("error", "nv.cu:2", "", 'expected a ";"'),
        ("error", "", "", "Unknown modifier '.instruction'"),
        ("error", "", "", "Not a name of any known instruction: 'nosuch'"),
        ("error", "", "", "Ptx assembly aborted due to errors"),
        ("error", "link.cpp:1", "", "undefined reference to `other()'"),
        ("error", "", "", "cannot find -lnot_there: No such file or directory"),
    ]
    assert {(one.target, one.object) for one in found} == {("_C", "csrc/CMakeFiles/_C.dir/a.cu.o")}
    assert found[3].source == "int g() { return undeclared; }"
    assert found[6].source == "int main() { k<<<1,1>>>(0) int x; }"
    assert first_error(found) == found[0]


def test_what_cmake_wrote() -> None:
    found = collected(*(DATA / "cmake.txt").read_text().splitlines(), source="cmake", step="")
    assert [(one.severity, one.place, one.text) for one in found] == [
        ("warning", "CMakeLists.txt:5", "careful: two lines"),
        ("error", "CMakeLists.txt:6", "include could not find requested file: no_such_file"),
        ("error", "CMakeLists.txt:7", "this is broken in two lines"),
    ]


@pytest.mark.parametrize(
    ("line", "severity", "place", "text", "option"),
    [
        (
            "\x1b[01m\x1b[K/workspaces/x/a b.c:3:1:\x1b[m\x1b[K \x1b[01;31m\x1b[Kerror: \x1b[m\x1b[Kx",
            "error",
            "a b.c:3:1",
            "x",
            "",
        ),
        (
            '/workspaces/x/a.cu(7): warning #177-D: variable "u" was declared',
            "warning",
            "a.cu:7",
            'variable "u" was declared',
            "#177-D",
        ),
        ("/usr/include/x.h:1:2: note: declared here", "note", "/usr/include/x.h:1:2", "declared here", ""),
        ("ld.lld: error: undefined symbol: other()", "error", "", "undefined symbol: other()", ""),
        (
            "link.cpp:(.text+0x5): undefined reference to `f'",
            "error",
            "/build/release-1/link.cpp",
            "undefined reference to `f'",
            "",
        ),
        (
            "ninja: error: 'a.cpp', needed by 'a.o', missing and no known rule to make it",
            "error",
            "",
            "'a.cpp', needed by 'a.o', missing and no known rule to make it",
            "",
        ),
        (
            "ptxas fatal   : Value 'sm_1' is not defined for option 'gpu-name'",
            "error",
            "",
            "Value 'sm_1' is not defined for option 'gpu-name'",
            "",
        ),
    ],
)
def test_one_line(line: str, severity: str, place: str, text: str, option: str) -> None:
    (one,) = collected(line)
    assert (one.severity, one.place, one.text, one.option) == (severity, place, text, option)


@pytest.mark.parametrize(
    "line",
    [
        "In file included from /workspaces/x/a.c:1:",
        "                 from /workspaces/x/b.c:2:3: error: no",
        "ptxas info    : Used 8 registers",
        '2 errors detected in the compilation of "a.cu".',
        "ninja: build stopped: subcommand failed.",
        "/usr/bin/ld: /tmp/ccydpAlz.o: in function `main':",
        "[3/4] Linking CXX executable error: x",
        "note: something",
    ],
)
def test_what_is_no_complaint(line: str) -> None:
    assert collected(line) == ()


def test_the_linker_s_last_word_counts_only_where_it_is_the_only_one() -> None:
    last = "collect2: error: ld returned 1 exit status"
    step = "Linking CXX shared library csrc/libfoo.so"
    assert [one.text for one in collected(last, step=step)] == ["ld returned 1 exit status"]
    before = "/usr/bin/ld: cannot find -lx: No such file or directory"
    (one,) = collected(before, last, step=step)
    assert (one.target, one.object, one.text) == ("foo", "csrc/libfoo.so", "cannot find -lx: No such file or directory")


def test_each_is_told_once_and_named_by_what_failed() -> None:
    told: list[Diagnostic] = []
    taking = Collector(FOLDER, TREE, told.append)
    for step in ("", "x"):
        taking.take("FAILED: [code=1] CMakeFiles/app.dir/a.c.o", "ninja", step)
        taking.take("/workspaces/x/h.h:1:1: error: same", "ninja", step)
        taking.take("    1 | int;", "ninja", step)
    assert tuple(told) == taking.found()
    assert [(one.target, one.source) for one in told] == [("app", "int;")]


@given(
    st.lists(
        st.text(st.characters(blacklist_categories=[]), max_size=60)
        | st.sampled_from(
            [
                "a.c:1:2: error: x",
                "CMake Error at a:1 (x):",
                "  more",
                "",
                "    1 | x",
                "ld: cannot find -lx",
                "FAILED: ",
            ]
        ),
        max_size=12,
    )
)
def test_any_output_is_taken(lines: list[str]) -> None:
    for source in ("ninja", "cmake"):
        found = collected(*lines, source=source, step="")
        assert len(set(found)) == len(found)
        log = sarif(found, "1.0")
        assert len(log["runs"][0]["results"]) == len(found)


def test_a_sarif_log_names_places_below_the_root() -> None:
    found = collected("/workspaces/x/a b.c:3:4: warning: text [-Wx]", "/usr/x.h:1:1: error: y")
    (run,) = sarif(found, "1.0")["runs"]
    first, second = run["results"]
    assert first["ruleId"] == "-Wx"
    assert first["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "a%20b.c", "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": 3, "startColumn": 4},
    }
    assert second["locations"][0]["physicalLocation"]["artifactLocation"] == {"uri": "file:///usr/x.h"}
    assert run["tool"]["driver"]["rules"] == [{"id": "-Wx"}]


def test_a_long_line_takes_no_longer_than_it_is() -> None:
    """Of 100 KB: a pattern that looks at each part of it again would take minutes."""
    begun = time.monotonic()
    (found,) = collected(f"x.c:1: error: {' [-W' * 25_000} [-Wall]")
    assert (found.option, time.monotonic() - begun < 5) == ("-Wall", True)


def test_what_a_container_says_breaks_no_file_and_no_shell(tmp_path: Path) -> None:
    """Names that are no UTF-8, and a variable whose name is a command."""
    report: Any = SimpleNamespace(
        diagnostics=(Diagnostic("error", "no \udcff", "javascript:\udcff", 1, 1, "", "", "", ""),)
    )
    run: Any = SimpleNamespace(console=Silent())
    told.write_files(run, report, trace=None, sarif=tmp_path / "log.sarif")
    (result,) = json.loads((tmp_path / "log.sarif").read_text())["runs"][0]["results"]
    assert result["message"]["text"] == "no ?"
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "javascript%3A%FF"
    said = Foreseen(
        key="k", tree="/t", there=True, inputs={}, jobs=1, jobs_reason="",
        environment={"A": "b c", "X=1; touch fired #": ""},
        build=[Called(argv=["a b"], cwd="/t", environ={"$(x)": "y"})],
    )  # fmt: skip
    assert lines(said) == ["export A='b c'", "env -C /t '$(x)=y' 'a b'"]
    assert json.loads(envelope("build", said))["data"]["build"] == [
        {"argv": ["a b"], "cwd": "/t", "environ": {"$(x)": "y"}}
    ]
