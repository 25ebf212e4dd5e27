"""compile_commands.json, rewritten for the host."""

from __future__ import annotations

import json
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox.builds.compile_commands import Places, compilers, rewrite, toolkits

PLACES = Places((("/workspaces/vllm", "/home/ada/wt/vllm"), ("/data", "/mnt/big")), hidden=("/build", "/cache/ccache"))
COPIED = Places(PLACES.pairs, "/home/ada/headers", PLACES.hidden)
BUILD = "/build/release-90"
SOURCE = "/workspaces/vllm/csrc/a.cpp"


def command(text: str, file: str = SOURCE) -> dict[str, str]:
    return {"directory": BUILD, "command": text, "file": file, "output": "a.o"}


def arguments(text: str, places: Places = PLACES, file: str = SOURCE) -> list[str]:
    (entry,) = rewrite([command(text, file)], places, workspace="/home/ada/wt/vllm").entries
    result: list[str] = entry["arguments"]
    return result


def test_paths_of_the_checkout_and_of_mounts_become_the_hosts() -> None:
    assert arguments(
        f"/usr/bin/c++ -DX='a b' -I/workspaces/vllm/csrc -isystem /data/inc -include ../../workspaces/vllm/pre.h "
        f"-std=c++17 -MD -MT a.o -MF a.d -o a.o -c {SOURCE}"
    ) == [
        "/usr/bin/c++",
        "-DX=a b",
        "-I/home/ada/wt/vllm/csrc",
        "-isystem",
        "/mnt/big/inc",
        "-include",
        "/home/ada/wt/vllm/pre.h",
        "-std=c++17",
        "--",
        "/home/ada/wt/vllm/csrc/a.cpp",
    ]


def test_what_only_the_container_has_is_counted_and_keeps_its_path() -> None:
    texts = [f"c++ -I. -I/usr/local/cuda/include -c {SOURCE}", f"c++ -I/usr/local/cuda/include -c {SOURCE}"]
    done = rewrite(map(command, texts), PLACES, workspace="/home/ada/wt/vllm")
    assert done.missing == (("/usr/local/cuda/include", 2), (BUILD, 1))
    assert "-I/usr/local/cuda/include" in done.entries[0]["arguments"]
    assert f"-I{BUILD}" in done.entries[0]["arguments"]
    assert done.entries[0]["directory"] == "/home/ada/wt/vllm"


def test_with_copies_it_is_found_there_and_so_are_the_standard_headers() -> None:
    done = rewrite(
        [command(f"c++ -Igen -isystem/opt/x -c {SOURCE}")],
        COPIED,
        workspace="/w",
        builtin={"c++": ("/usr/include/c++/12", "/usr/include")},
    )
    assert done.entries[0]["arguments"][1:-2] == [
        f"-I/home/ada/headers{BUILD}/gen",
        *("-isystem", "/home/ada/headers/opt/x"),
        *("-isystem", "/home/ada/headers/usr/include/c++/12"),
        *("-isystem", "/home/ada/headers/usr/include"),
        "-nostdlibinc",
        "-nostdinc++",
    ]


def test_generated_sources_are_left_out() -> None:
    done = rewrite([command("c++ -c gen.cpp", "gen.cpp")], PLACES, workspace="/w")
    assert done.entries == ()
    assert done.left_out == (f"{BUILD}/gen.cpp",)


def test_a_volume_inside_the_checkout_is_not_the_hosts() -> None:
    places = Places((("/w", "/home/w"),), hidden=("/w/build",))
    assert places.on_host("/w/src/a.h") == "/home/w/src/a.h"
    assert places.on_host("/w/build/a.h") is None
    assert places.on_host("/wider/a.h") is None


NVCC = (
    "/usr/bin/ccache /usr/local/cuda/bin/nvcc -forward-unknown-to-host-compiler -ccbin=g++ -DNDEBUG "
    "-isystem=/workspaces/vllm/cutlass --expt-relaxed-constexpr -Xcompiler=-fPIC,-Wall -Xcompiler -fopenmp "
    '"--generate-code=arch=compute_80,code=[sm_80]" -gencode arch=compute_90a,code=sm_90a --threads 4 -lineinfo '
    "-Xptxas -v --use_fast_math -rdc=true -diag-suppress=20012 -std=c++17 -x cu -c /workspaces/vllm/csrc/k.cu -o k.o"
)
KERNEL = "/workspaces/vllm/csrc/k.cu"


def test_a_command_of_nvcc_becomes_one_of_clang() -> None:
    made = arguments(NVCC, COPIED, KERNEL)
    assert made == [
        "clang++",
        "--cuda-path=/home/ada/headers/usr/local/cuda",
        "-Wno-unknown-cuda-version",
        "-DNDEBUG",
        *("-isystem", "/home/ada/wt/vllm/cutlass"),
        "-fPIC",
        "-Wall",
        "-fopenmp",
        "-ffast-math",
        "-std=c++17",
        *("-x", "cuda"),
        "--cuda-gpu-arch=sm_80",
        "--",
        "/home/ada/wt/vllm/csrc/k.cu",
    ]


def test_without_the_toolkit_clang_is_told_not_to_look_for_one() -> None:
    done = rewrite([command(NVCC, KERNEL)], PLACES, workspace="/w")
    assert done.entries[0]["arguments"][1:3] == ["-nocudainc", "-nocudalib"]
    assert ("/usr/local/cuda/include", 1) in done.missing


def test_compilers_and_toolkits_are_told_once() -> None:
    entries = [command(NVCC, KERNEL), command(NVCC, KERNEL), command(f"ccache /opt/gcc/bin/g++ -c {SOURCE}")]
    assert compilers(entries) == ("c++", "/opt/gcc/bin/g++")
    assert toolkits(entries) == ("/usr/local/cuda",)


@pytest.mark.parametrize("form", ["command", "arguments"])
def test_both_forms_of_an_entry_are_read(form: str) -> None:
    words = ["c++", "-I/workspaces/vllm/a b", "-c", SOURCE]
    entry = {"directory": BUILD, "file": SOURCE, form: words if form == "arguments" else shlex.join(words)}
    (made,) = rewrite([entry], PLACES, workspace="/w").entries
    assert made["arguments"] == ["c++", "-I/home/ada/wt/vllm/a b", "--", "/home/ada/wt/vllm/csrc/a.cpp"]
    assert json.loads(json.dumps(made)) == made


@given(st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8")), max_size=12))
def test_any_arguments_are_read_without_a_failure(words: list[str]) -> None:
    entry = {"directory": BUILD, "file": SOURCE, "arguments": words}
    for places in (PLACES, COPIED):
        (made,) = rewrite([entry], places, workspace="/w").entries
        assert made["arguments"][-1] == "/home/ada/wt/vllm/csrc/a.cpp"
