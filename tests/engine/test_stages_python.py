"""The stages of the Python frameworks, really built on the package base."""

from __future__ import annotations

import itertools
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from devbox.frameworks import load
from devbox.image.assembly import stage_files
from tests.engine.lab import Recorder, Yard, running_redis

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devbox.engine.docker import Engine

pytestmark = pytest.mark.engine
TREES = Path(__file__).resolve().parents[1] / "trees"
# A CPU build of torch, as a site keeps it; without one the tests would fetch gigabytes.
WHEELS = Path(os.environ.get("DEVBOX_TEST_WHEELS") or os.environ.get("PIP_FIND_LINKS") or "wheels")
# With a torch among the wheels, nothing asks the index of another one.
NOWHERE = "https://torch.invalid/whl"
RUN = """\
RUN --mount=type=bind,from=helpers,target=/run/devbox \\
    --mount=type=secret,id=sccache,required=false \\
    --mount=type=cache,target=/var/cache/ccache,id={cache} <<'EOT'
. /run/devbox/lib.sh
mkdir /tree && cd /tree
echo 'int answer() {{ return 42; }}' >answer.cpp
printf 'cmake_minimum_required(VERSION 3.20)\\nproject(x CXX)\\nadd_library(x answer.cpp)\\n' >CMakeLists.txt
compiler_cache_begin
cmake -G Ninja -S . -B build >/dev/null && cmake --build build
compiler_cache_end
[ ! -e /tmp/cache.json ] && [ ! -e /tmp/ccache.log ] && [ ! -e /tmp/sccache.log ]
EOT
"""
# What cargo's compiler wrapper does, without Rust.
CRATES = """\
RUN --mount=type=bind,from=helpers,target=/run/devbox \\
    --mount=type=bind,from=crates,target=/run/crates \\
    --mount=type=secret,id=sccache,required=false \\
    --mount=type=cache,target=/var/cache/sccache,id={cache} <<'EOT'
. /run/devbox/lib.sh
. /run/crates/cargo.sh
cargo_begin 1
echo 'int answer() {{ return 42; }}' >/tmp/answer.cpp
"$RUSTC_WRAPPER" c++ -c /tmp/answer.cpp -o /tmp/answer.o
compiler_cache_end
EOT
"""


def compiling(yard: Yard, base_image: str, cache: str) -> str:
    """Return a Dockerfile whose stage `x` compiles one file, in a RUN that no build had before."""
    text = stage_files.concatenate("test", base_image, ("toolchain",))
    return f"{text}\nFROM toolchain AS x\nARG MARK={yard.name('mark')}\n{RUN.format(cache=cache)}"


def expect_hits(first: Recorder, second: Recorder, cache: str) -> None:
    """The first build fills the cache, the second one is answered. CMake's own probes are compiles, too."""
    (one,), (other,) = first.caches(), second.caches()
    assert one["cache"] == other["cache"] == cache
    assert one["hits"] == 0
    assert one["misses"] in (1, 2)
    assert other["hits"] in (1, 2)


def test_compiles_of_an_image_build_hit_the_cache_of_the_build_before(yard: Yard, base_image: str) -> None:
    cache = yard.name("ccache")
    _, first = yard.build(compiling(yard, base_image, cache), "x")
    _, second = yard.build(compiling(yard, base_image, cache), "x")
    expect_hits(first, second, "ccache")


def test_a_storage_out_of_reach_fails_no_build_and_its_password_is_in_no_log(
    yard: Yard, base_image: str, tmp_path: Path
) -> None:
    secret = tmp_path / "sccache"
    secret.write_text("SCCACHE_REDIS_ENDPOINT=redis://:hunter2@127.0.0.1:9\n", encoding="utf-8")
    _, said = yard.build(compiling(yard, base_image, yard.name("c")), "x", secrets=(("sccache", str(secret)),))
    assert [use["cache"] for use in said.caches()] == ["ccache"]
    assert any("ccache is taken instead" in line for line in said.lines)
    assert not any("hunter2" in line for line in said.lines)


def test_a_storage_out_of_reach_fails_no_crate_either(yard: Yard, base_image: str, tmp_path: Path) -> None:
    """What builds crates has no ccache: there sccache does without the storage."""
    secret = tmp_path / "sccache"
    secret.write_text("SCCACHE_REDIS_ENDPOINT=redis://127.0.0.1:9\nSCCACHE_REDIS_PASSWORD=hunter2\n", encoding="utf-8")
    text = stage_files.concatenate("test", base_image, ("toolchain", "rust"))
    text += f"\nFROM toolchain AS x\nARG MARK={yard.name('mark')}\n{CRATES.format(cache=yard.name('d'))}"
    _, said = yard.build(text, "x", secrets=(("sccache", str(secret)),))
    assert [use["cache"] for use in said.caches()] == ["sccache"]


@pytest.fixture
def redis(engine: Engine, tmp_path: Path) -> Iterator[str]:
    with running_redis(engine, tmp_path, "hunter2") as url:
        yield url


def test_sccache_with_redis(yard: Yard, base_image: str, redis: str, tmp_path: Path) -> None:
    secret = tmp_path / "sccache"
    secret.write_text(f"SCCACHE_REDIS_ENDPOINT={redis}\nSCCACHE_REDIS_PASSWORD=hunter2\n", encoding="utf-8")
    secrets = (("sccache", str(secret)),)
    _, first = yard.build(compiling(yard, base_image, yard.name("a")), "x", secrets=secrets)
    image, second = yard.build(compiling(yard, base_image, yard.name("b")), "x", secrets=secrets)
    expect_hits(first, second, "sccache")
    history = yard.engine.run(["history", "--no-trunc", image]).stdout
    assert not any("hunter2" in line for line in [*first.lines, *second.lines, history])


@pytest.fixture
def torch_wheels() -> Path:
    if not list(WHEELS.glob("torch-*+cpu-*.whl")):
        pytest.skip("no folder with a CPU build of torch: name one by DEVBOX_TEST_WHEELS")
    return WHEELS


def requirements(folder: Path, extra: str = "") -> Path:
    """Return a stand-in for a checkout of vLLM, of which a devel stage reads its lists alone."""
    (folder / "requirements/build").mkdir(parents=True)
    (folder / "requirements/build/cpu.txt").write_text(f"cmake>=3.26\nwheel\nsetuptools\n{extra}", encoding="utf-8")
    (folder / "requirements/common.txt").write_text("regex\n", encoding="utf-8")
    return folder


@pytest.mark.slow
def test_devel_stages_share_the_layer_with_torch(
    yard: Yard, base_image: str, torch_wheels: Path, tmp_path: Path
) -> None:
    """Compilers and torch work for a user who is not root, and a changed requirement rebuilds its own layer alone."""
    wheels = ("--build-context", f"wheels={torch_wheels}")
    args = (("BASE_IMAGE", base_image), ("TORCH_INDEX", NOWHERE), ("BUILD_REQUIREMENTS", "build/cpu.txt"))
    checkout = requirements(tmp_path / "first") / "requirements"
    builds: dict[str, dict[str, object]] = {
        "vllm": {"args": args, "options": (*wheels, "--build-context", f"checkout={checkout}")},
        "sglang": {"args": args[:2], "options": wheels},
        "trtllm": {"args": args[:2], "options": wheels},
    }
    images = {}
    for name, fields in builds.items():
        text = stage_files.assemble(load.load(name))
        images[name], _ = yard.build(text, "user", **fields)
        count, hits = yard.build(text, "user", **fields)[1].cached()
        assert count == hits > 0
    together = zip(*(yard.layers(image) for image in images.values()), strict=False)
    shared = [same[0] for same in itertools.takewhile(lambda same: len(set(same)) == 1, together)]
    sizes = yard.engine.run(["history", "--human=false", "--format", "{{.Size}}", images["vllm"]]).stdout.split()
    filled = [int(size) for size in reversed(sizes) if size != "0"]
    assert sum(filled[: len(shared)]) > sum(filled) * 3 / 4
    for image in images.values():
        said = yard.sh(
            image,
            "id -u; cd /tmp; echo 'int main() { return 0; }' >x.cpp; c++ x.cpp -o x; ./x; cmake --version | head -n 1;"
            "python -c 'import torch; print(torch.__version__)'; touch /opt/venv/lib/mine; uv --version >/dev/null",
        ).splitlines()
        assert said[0] == "1001"
        assert said[1].startswith("cmake version 3.31")
        assert said[2].endswith("+cpu")
    assert yard.sh(images["trtllm"], "mpicc --version")

    other = requirements(tmp_path / "second", f"six  # {yard.name('new')}\n") / "requirements"
    options = (*wheels, "--build-context", f"checkout={other}")
    changed, recorder = yard.build(stage_files.assemble(load.load("vllm")), "devel", args=args, options=options)
    assert yard.layers(changed)[: len(shared)] == shared
    count, hits = recorder.cached()
    assert count - hits == 2  # the build requirements, and the RUN behind them, which installs nothing


PROJECT = """\
[build-system]
requires = ["setuptools>=61"]
build-backend = "setuptools.build_meta"
[project]
name = "sglang"
version = "1.2"
dependencies = ["six", "sglang-kernel==9"]
[tool.setuptools]
packages = ["sglang"]
"""


EXTENSION = """\
echo '#include <Python.h>' >/tmp/x.c
gcc -shared -fPIC -I"$(python -c 'import sysconfig; print(sysconfig.get_path("include"))')" /tmp/x.c -o /tmp/x.so
"""


@pytest.mark.slow
def test_wheel_release_and_test_of_a_tree(yard: Yard, base_image: str, torch_wheels: Path, tmp_path: Path) -> None:
    """From sources with C++ to an image that any user runs; an edit of Python compiles nothing."""
    tree = tmp_path / "sglang"
    shutil.copytree(TREES / "sglang", tree)
    (tree / "python/pyproject.toml").write_text(PROJECT, encoding="utf-8")
    with (tree / "sgl-kernel/csrc/norm.cpp").open("a", encoding="utf-8") as stream:
        stream.write(f"// {yard.name('new')}: BuildKit has seen no such tree\n")
    text = stage_files.assemble(load.load("sglang", "cpu"), images=True)
    args = (
        ("BASE_IMAGE", base_image),
        ("RUNTIME_IMAGE", base_image),
        ("TORCH_INDEX", NOWHERE),
        ("COMMAND", "python3 -c"),
        ("REQUIREMENTS", "python/pyproject.toml"),
        ("BUILT", "sglang-kernel"),
        ("SOURCE_COMMIT", "abc"),
    )
    options = ("--build-context", f"wheels={torch_wheels}", "--build-context", f"source={tree}")
    image, recorder = yard.build(text, "release", args=args, options=options)
    assert [use["cache"] for use in recorder.caches()] == ["ccache"]
    code = "import sgl_kernel, sglang, six, torch, os; print(os.getuid(), os.getgid())"
    run = ["run", "--rm", "--network=none"]
    assert yard.engine.run([*run, image, code]).stdout.strip() == "1000 0"
    assert yard.engine.run([*run, "--user=4321:0", image, code]).stdout.strip() == "4321 0"
    assert yard.engine.run([*run, image, "echo", "a program"]).stdout.strip() == "a program"
    yard.sh(image, "! command -v gcc; ! command -v uv; test ! -e /dist -a ! -e /workspaces; touch ~/x ~/.cache/x")
    labels = (yard.engine.image(image) or {})["Config"]["Labels"]
    assert labels["org.opencontainers.image.revision"] == "abc"

    # What compiles kernels while it serves finds a compiler and the headers of its Python.
    jit, _ = yard.build(text, "release", args=(*args, ("COMPILERS", "1")), options=options)
    yard.sh(jit, EXTENSION)

    (tree / "python/sglang/__init__.py").write_text(f"NEW = 1  # {yard.name('edit')}\n", encoding="utf-8")
    newer, recorder = yard.build(text, "test", args=args, options=options)
    assert recorder.caches() == []
    assert yard.layers(newer)[:4] == yard.layers(image)[:4]  # the base, the system's packages, torch, requirements
    assert (
        yard.sh(newer, "python -c 'import sglang; print(sglang.NEW)'; pytest --version >/dev/null; id -u") == "1\n1000"
    )
