"""What the drivers read and write: presets as cmake prints them, the build script's options, cargo's talk."""

from __future__ import annotations

import itertools
import os
from dataclasses import asdict
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox.agent.drivers import architectures, presets
from devbox.agent.drivers.build_wheel import NOT_PASSED, OWN, Script, plain
from devbox.agent.drivers.cargo import Conversation, only
from devbox.agent.drivers.choose import DRIVERS, kind_of
from devbox.agent.events import AgentError
from devbox.agent.parsers import Option, options
from devbox.agent.protocol import Rules
from devbox.frameworks.load import available, load, variants
from devbox.frameworks.model import BuildRules

if TYPE_CHECKING:
    from pathlib import Path

NAMES = st.from_regex(r"[A-Z][A-Z0-9_]{0,12}", fullmatch=True)
VALUES = st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters="\n\r"), max_size=12).map(
    lambda text: f'{text} "x"'
)
# As the options stand in the scripts of 2024 and of 2026.
OLD = """
parser.add_argument("--build_type", "-b", default="Release")
parser.add_argument("--build_dir", type=Path)
parser.add_argument("--extra-cmake-vars", "-D", action="append")
parser.add_argument("--benchmarks", action="store_true")
parser.add_argument("--nvtx", action="store_true")
"""
NEW = (
    OLD.replace("--benchmarks", "--micro_benchmarks")
    + """
parser.add_argument("--cpp_only", "-l", action="store_true")
parser.add_argument('--configure-only', action="store_true")
parser.add_argument("--nixl_root", help="Directory")
f'cmake --build . --target build_wheel_targets'
"""
)


def script(folder: Path, text: str) -> Script:
    (folder / "scripts").mkdir()
    (folder / "scripts" / "build_wheel.py").write_text(text)
    return Script(str(folder))


def test_every_framework_names_a_driver_that_exists() -> None:
    for name in available():
        for framework in variants(name):
            kind = kind_of(Rules.of(asdict(framework.build)))
            assert bool(framework.build.steps) == (kind.__name__ == "CargoDriver"), (name, framework.variant)
    assert BuildRules().driver in DRIVERS


class TestPresets:
    @given(st.dictionaries(NAMES, VALUES, max_size=5), st.dictionaries(NAMES, VALUES, max_size=5))
    def test_what_cmake_prints_is_read_back(self, defines: dict[str, str], environ: dict[str, str]) -> None:
        lines = [presets.VARIABLES, "", *(f'  {name}:STRING="{value}"' for name, value in defines.items()), ""]
        lines += [presets.ENVIRONMENT, "", *(f'  {name}="{value}"' for name, value in environ.items()), ""]
        found = presets.parse("\n".join(lines))
        assert {left.partition(":")[0]: right for left, right in found.defines} == defines
        assert found.environ == environ

    def test_launchers_are_devbox_s_own(self) -> None:
        text = f'{presets.VARIABLES}\n\n  CMAKE_CUDA_COMPILER_LAUNCHER:STRING="sccache"\n  NVCC_THREADS="4"\n'
        assert presets.parse(text).defines == [("NVCC_THREADS", "4")]

    def test_the_names_are_read_from_cmakes_list(self) -> None:
        text = 'Available configure presets:\n\n  "default"   - The usual one\n  "debug"\n  "a-long name" - x\n'
        assert presets.LISTED.findall(text) == ["default", "debug", "a-long name"]

    def test_a_define_is_taken_out(self) -> None:
        preset = presets.Preset([("CMAKE_BUILD_TYPE:STRING", "Debug"), ("A", "1")], {})
        assert preset.take("CMAKE_BUILD_TYPE") == "Debug"
        assert preset.take("CMAKE_BUILD_TYPE") == ""
        assert preset.defines == [("A", "1")]


# As CUTLASS, TensorRT, OpenCV and extensions of torch ask for them, and as some leave nothing to ask for.
OWN_ARCHS = """\
set(LAB_NVCC_ARCHS_SUPPORTED "")
# set(LAB_CUDA_ARCHS 70 CACHE STRING "a comment")
list(APPEND LAB_NVCC_ARCHS_SUPPORTED 75 80 90a)
set(LAB_NVCC_ARCHS ${LAB_NVCC_ARCHS_SUPPORTED} CACHE STRING "The architectures.")
set(LAB_NVCC_ARCHS_ENABLED ${LAB_NVCC_ARCHS} CACHE STRING "Derived.")
"""
GUARDED = "if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)\n set(CMAKE_CUDA_ARCHITECTURES 70 80)\nendif()\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (OWN_ARCHS, "LAB_NVCC_ARCHS=90;100a, which CMakeLists.txt:4 reads"),
        ("if(DEFINED GPU_ARCHS)\nendif()\n", "GPU_ARCHS=90;100a, which CMakeLists.txt:1 reads"),
        ('set(CUDA_ARCH_BIN "7.5 8.0" CACHE STRING "x")\n', "CUDA_ARCH_BIN=9.0 10.0a, which CMakeLists.txt:1 reads"),
        ("include(cmake/Own.cmake)\n", "OWN_CUDA_ARCHITECTURES=90-real;100a-real, which cmake/Own.cmake:2 reads"),
        ("include(Own)\n", "OWN_CUDA_ARCHITECTURES=90-real;100a-real, which cmake/Own.cmake:2 reads"),
        ("\nfind_package(Torch REQUIRED)\nif(NOT CUDA_ARCHS)\nendif()\n",
         "TORCH_CUDA_ARCH_LIST=9.0;10.0a, which CMakeLists.txt:2 reads"),
        ("include(../outside.cmake)\nset(CUDA_ARCHS_FOUND 1)\n" + GUARDED, None),
        ('set(CMAKE_CUDA_ARCHITECTURES 70 CACHE STRING "a default")\n', None),
        ("set(CMAKE_CUDA_ARCHITECTURES ${MINE})\n", None),
    ],
)  # fmt: skip
def test_the_variable_by_which_a_project_is_told_its_architectures(tmp_path: Path, text: str, told: str | None) -> None:
    (tmp_path / "outside.cmake").write_text("if(DEFINED GPU_ARCHS)\n")
    source = tmp_path / "source"
    (source / "cmake").mkdir(parents=True)
    (source / "cmake/Own.cmake").write_text('\nset(OWN_CUDA_ARCHITECTURES 75-real CACHE STRING "x")\n')
    (source / "CMakeLists.txt").write_text(text)
    rules = Rules.of(asdict(load("cuda").build))
    found = architectures.read(rules, str(source), "90-real;100a-real")
    assert found.notes([]) == ([] if told is None else [f"architectures go by {told}"])
    # Whoever names the variable says what it is.
    assert found.notes([one.name for one in found if one is not None]) == []
    given = architectures.told(rules, found)
    assert {**dict(given.defines), **dict(given.env)} == ({} if told is None else dict([told.split(",")[0].split("=")]))
    assert not architectures.read(rules, str(source), None).notes([])
    # A framework that says its own way is not guessed at.
    assert architectures.read(Rules.of(asdict(load("vllm").build)), str(source), "9.0") == architectures.Read()


@pytest.mark.parametrize(
    "text",
    [
        "ARCH set ( CMAKE_CUDA_ARCHITECTURES " + " " * 60_000,
        "ARCH set(CMAKE_CUDA_ARCHITECTURES " + "CACHE " * 20_000 + "FORCE)",
        "set(GPU_ARCHS " + "".join(f"${{v{number}}}" for number in range(20_000)) + " CACHE STRING x)",
        "set(GPU_ARCHS " + "${v}" * 3000 + " CACHE STRING x)\n" + "set(v a)\n" * 3000,
        "include(a)\n" * 50_000 + "include(" * 50_000,
        "include(pipe)",
    ],
    ids=range(6),
)
def test_no_project_takes_long_to_be_looked_through(tmp_path: Path, text: str) -> None:
    (tmp_path / "CMakeLists.txt").write_text(text)
    os.mkfifo(tmp_path / "pipe.cmake")
    architectures.read(Rules.of(asdict(load("cuda").build)), str(tmp_path), "90-real")


@pytest.mark.parametrize("more", ["", ' CACHE STRING "x" FORCE'])
def test_a_project_that_sets_its_architectures_whatever_it_is_told(tmp_path: Path, more: str) -> None:
    (tmp_path / "CMakeLists.txt").write_text(
        f'{GUARDED}if(MSVC)\n set(CMAKE_CUDA_ARCHITECTURES "70"\n  80{more})\nendif()\n'
    )
    found = architectures.read(Rules.of(asdict(load("cuda").build)), str(tmp_path), "90-real")
    (said,) = found.notes([])
    assert said == "CMakeLists.txt:5 sets CMAKE_CUDA_ARCHITECTURES to 70;80 itself: --arch does not change that"


class TestScript:
    def test_options_are_known_by_either_spelling(self, tmp_path: Path) -> None:
        found = script(tmp_path, NEW)
        assert [*found.has("configure-only", "build-dir", "build-root")] == ["--configure-only", "--build_dir"]
        assert found.chosen([["nixl-root", "/opt/nixl"], ["nvtx", None]]) == ["--nixl_root=/opt/nixl", "--nvtx"]
        assert found.chosen([["nixl_root", ""]]) == ["--nixl_root="]
        assert found.has_target

    @pytest.mark.parametrize(
        ("text", "option"),
        [
            (OLD, "--benchmarks"),
            (NEW, "--micro_benchmarks"),
            (NEW.replace('"--nvtx"', '"--benchmarks"'), "--benchmarks"),
        ],
    )
    def test_benchmarks_were_renamed(self, tmp_path: Path, text: str, option: str) -> None:
        assert script(tmp_path, text).chosen([["benchmarks", None]]) == [option]

    def test_nothing_is_said_that_its_parser_does_not_take(self, tmp_path: Path) -> None:
        found = script(tmp_path, OLD.replace('parser.add_argument("--nvtx"', "# parser.add_argument('--nvtx'"))
        assert found.said("build-dir", "/b") == ["--build_dir=/b"]
        assert found.said("extra-cmake-vars", "A=1", "B=2") == ["--extra-cmake-vars=A=1", "--extra-cmake-vars=B=2"]
        assert found.said("nvtx", "1") == found.said("generator", "Ninja") == []

    def test_what_an_older_script_has_not(self, tmp_path: Path) -> None:
        found = script(tmp_path, OLD)
        assert not found.has_target
        with pytest.raises(AgentError, match="no option --cpp-only") as caught:
            found.chosen([["cpp-only", None]])
        assert caught.value.hint == "--option nvtx"

    @pytest.mark.parametrize("name", ["build_dir", "job-count", "D", "extra_cmake_vars"])
    def test_what_devbox_says_itself_is_refused(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(AgentError) as caught:
            script(tmp_path, NEW).chosen([[name, "1"]])
        assert caught.value.hint

    def test_every_own_option_says_how(self) -> None:
        assert all(name == plain(name) for name in OWN)
        assert all(hint.startswith(("devbox build", "build.")) for hint in OWN.values())

    @pytest.mark.parametrize("value", ["a;b", '"', "$HOME", "`id`", "\\", "a\nb"])
    def test_a_value_that_the_shell_would_change(self, value: str) -> None:
        assert NOT_PASSED.search(value)
        assert not NOT_PASSED.search("/a b/c=d,90-real")


def test_a_parser_s_options_are_read_and_not_run() -> None:
    """As they stand in two scripts: by name, over several lines, with what is computed."""
    text = dedent(
        """
        def add(parser):
            parser.add_argument(
                "--device", "-d",
                choices=["cuda", "xpu"],
                default="cuda",
                help="--no-option",
            )
            parser.add_argument("name"); parser.add_argument("--jobs", default=cpu_count(), choices=CHOICES)
        """
    )
    assert options(text) == [Option(("--device",), 3, ("cuda", "xpu"), "cuda"), Option(("--jobs",), 9)]
    assert options("add_argument('--odd', choices=[{[]}])\n") == [Option(("--odd",), 1)]
    # A newer Python's script is read by its lines.
    assert options("match a:\n  case = 'x'\nadd('--jobs')\n") == [Option(("--jobs",), 3)]


TALK = (
    "   Compiling runtime v0.1.0 (/w/lib/runtime)\n"
    "    Building [                             ] 0/3: runtime                \r"
    "   Compiling llm v0.1.0 (/w/lib/llm)\n"
    "    Building [========>                    ] 1/3: llm, llm(build.rs)     \r"
    "warning: unused variable\n"
    "    Building [=================>           ] 2/3: llm(bin)               \r"
    "    Finished `dev` profile [unoptimized] target(s) in 0.79s\n"
)


class TestCargoTalk:
    @given(st.lists(st.integers(0, len(TALK)), max_size=20))
    def test_it_is_followed_however_it_is_cut(self, cuts: list[int]) -> None:
        told: list[dict[str, Any]] = []
        lines: list[str] = []
        talk = Conversation(lambda **now: told.append(now), lines.append)
        for start, end in itertools.pairwise(sorted({0, *cuts, len(TALK)})):
            talk.feed(TALK[start:end])
        talk.end()
        assert [one.output for one in talk.commands] == ["runtime", "llm"]
        assert [(one["done"], one["total"]) for one in told] == [(0, 3), (1, 3), (2, 3)]
        assert [one["finished"] for one in told] == [[], ["runtime"], []]
        assert talk.tail == ["warning: unused variable", "    Finished `dev` profile [unoptimized] target(s) in 0.79s"]
        assert len(lines) == 4

    def test_a_cut_list_of_names_ends_nothing(self) -> None:
        talk = Conversation(lambda **_: None, lambda _: None)
        talk.feed("   Compiling one v1.0.0\n    Building [=> ] 1/9: two, ...   \r")
        assert talk.commands == []


@pytest.mark.parametrize(
    ("packages", "expected"),
    [
        ([], ["cargo", "build", "--features", "llm/blocks,gpu"]),
        (["llm"], ["cargo", "build", "--features", "llm/blocks,gpu", "--package", "llm"]),
        (["runtime"], ["cargo", "build", "--features", "gpu", "--package", "runtime"]),
    ],
)
def test_features_of_other_packages_are_left_out(packages: list[str], expected: list[str]) -> None:
    assert only(["cargo", "build", "--features", "llm/blocks,gpu"], packages) == expected


def test_a_flag_without_features_goes() -> None:
    argv = ["cargo", "build", "--features", "llm/blocks", "--locked"]
    assert only(argv, ["runtime"]) == ["cargo", "build", "--locked", "--package", "runtime"]
