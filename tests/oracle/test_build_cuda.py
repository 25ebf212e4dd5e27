"""The sequences that a build must survive, with nvcc in a container: what is compiled, and that it is never stale.

Each step says how many objects it compiles; after each the stripped program is the one of a build from scratch.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from devbox.builds.build import build
from devbox.builds.caches.choose import CompilerCache
from devbox.builds.request import BuildRequest
from devbox.container.target import Target
from devbox.container.up.up import UpRequest, up
from devbox.frameworks.load import load
from devbox.reporter import Silent
from tests.asked import asked
from tests.oracle.cuda_lab import INSIDE, VOLUME, CudaLab

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from devbox.engine.docker import Engine

pytestmark = [pytest.mark.engine, pytest.mark.slow]

COUNT, KERNELS = 7, 4
PROGRAM = "saxpy_check"


@pytest.fixture(scope="module")
def image(engine: Engine, cuda_base_image: str, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The development image of the framework `cuda`, as `devbox up` makes it."""
    work = tmp_path_factory.mktemp("image") / "saxpy"
    shutil.copytree(repository / "tests/trees/saxpy", work)
    if os.getuid() == 0:
        subprocess.run(["chown", "-R", "1000:1000", str(work)], check=True)
    user = "1000:1000:dev" if os.getuid() == 0 else None
    up(
        UpRequest(path=work, trust=True, **asked(framework="cuda", base_image=cuda_base_image, user=user)),
        engine,
        Silent(),
    )
    return engine.containers({"devcontainer.local_folder": str(work)})[0].image_id


@pytest.fixture
def lab(
    engine: Engine, image: str, repository: Path, tmp_path: Path, engine_name: Callable[[str], str]
) -> Iterator[CudaLab]:
    work = tmp_path / "checkouts" / "saxpy"
    shutil.copytree(repository / "tests/trees/saxpy", work)
    one = CudaLab(work, engine, image, engine_name, program=PROGRAM)
    yield one
    one.close()


def edit(lab: CudaLab, name: str, mark: str) -> None:
    """Append a constant that ends up in the program, to a kernel's file or a header."""
    lab.write(name, (lab.workspace / name).read_text() + f'\nnamespace {{ const char* volatile {mark} = "{mark}"; }}\n')


def test_edits_branches_and_stashes(lab: CudaLab) -> None:
    lab.built(objects=COUNT)
    assert lab.built(objects=0)["commands"] == 0
    edit(lab, "kernels/axpy.cu", "one")
    lab.built(objects=1)
    edit(lab, "kernels/device.cuh", "two")
    lab.built(objects=KERNELS)
    lab.commit("second")
    lab.git("switch", "-q", "-c", "other")
    edit(lab, "kernels/dot.cu", "three")
    edit(lab, "include/saxpy/reference.hpp", "four")
    lab.commit("other")
    lab.git("switch", "-q", "main")
    assert lab.built(objects=0)["commands"] == 0
    lab.git("switch", "-q", "other")
    lab.git("switch", "-q", "main")
    assert lab.built(objects=0)["commands"] == 0
    lab.git("switch", "-q", "other")
    lab.built(objects=4)  # dot.cu, and the three that include the header
    lab.git("switch", "-q", "main")
    lab.built(objects=4)
    edit(lab, "kernels/softmax.cu", "five")
    lab.built(objects=1)
    lab.git("stash", "-q")
    lab.git("stash", "pop", "-q")
    lab.built(objects=0)
    lab.git("stash", "-q")
    lab.built(objects=1)


def test_containers_images_and_toolchains(lab: CudaLab, engine_name: Callable[[str], str]) -> None:
    first = lab.built(objects=COUNT)
    lab.start_container()
    assert lab.built(objects=0)["commands"] == 0
    old = lab.image
    # The same toolchain in another image: its headers are as new as an installation makes them.
    rebuilt = engine_name("image")
    headers = "find /usr/include /usr/local/cuda/include/ -name '*.h' -exec touch {} +"
    lab.run("sh", "-c", headers, user="root")
    lab.engine.run(["commit", lab.container, rebuilt])
    changed = engine_name("image")
    try:
        lab.start_container(rebuilt)
        result = lab.built(objects=0)
        assert result["key"] == first["key"]
        assert any("newer, but its content is as built" in reason for reason in result["reasons"])
        # Another compiler: a tree of its own, and the old one stays as it is.
        another = "cp /usr/bin/c++ /tmp/c++ && printf x >> /tmp/c++ && cp /tmp/c++ $(readlink -f /usr/bin/c++)"
        lab.run("sh", "-c", another, user="root")
        lab.engine.run(["commit", lab.container, changed])
        lab.start_container(changed)
        result = lab.built(objects=COUNT)
        assert result["key"] != first["key"]
        assert any("cxx changed" in reason for reason in result["reasons"])
        lab.start_container(old)
        assert lab.built(objects=0)["key"] == first["key"]
    finally:
        lab.engine.run(["rm", "--force", lab.container])
        lab.engine.run(["image", "rm", "--force", rebuilt, changed], check=False)


def test_a_second_worktree_is_seeded(lab: CudaLab, engine_name: Callable[[str], str]) -> None:
    lab.built(objects=COUNT)
    lab.git("worktree", "add", "-q", "-b", "second", str(lab.workspace.parent / "second"))
    lab.git("worktree", "add", "-q", "-b", "third", str(lab.workspace.parent / "third"))
    for name, objects in (("second", 0), ("third", 2)):
        other = CudaLab(lab.workspace.parent / name, lab.engine, lab.image, engine_name, program=PROGRAM, commit=False)
        if objects:
            edit(other, "kernels/dot.cu", "one")
            edit(other, "src/compare.cpp", "two")
        running = other.start(seed=True)
        copy(lab, other, running.until("seed"))
        running.answer()
        result = running.result()
        assert result["code"] == 0, result
        assert (result["compiled"], result["configured"]) == (objects, [])
        assert result["seeded"]
        other.check(result)
        other.built(objects=0)
        other.close()
    lab.built(objects=0)


def copy(lab: CudaLab, other: CudaLab, asked: dict[str, object]) -> None:
    """Copy the tree through a helper that mounts both volumes, as the client does."""
    from devbox.agent.protocol import Seed, Source
    from devbox.builds.helper import ask_helper
    from devbox.engine.spec import Mount

    source = Source(volume="/volumes/0", workspace=str(lab.workspace), sibling=True, least=0.0)
    mounts = [Mount("volume", VOLUME, other.volume_name), Mount("volume", "/volumes/0", lab.volume_name, readonly=True)]
    request = Seed.of({**asked, "volume": VOLUME, "sources": [vars(source)]})
    assert ask_helper(request, mounts, lab.engine, images=[lab.image], user="1000:1000").seeded == str(lab.workspace)


def test_a_submodule_that_moves(lab: CudaLab) -> None:
    origin = lab.workspace.parent.parent / "origin"
    origin.mkdir()

    def commit(value: int) -> None:
        (origin / "pinned.hpp").write_text(f"#define PINNED {value}\n")
        for args in (["add", "-A"], ["commit", "-q", "-m", str(value)]):
            subprocess.run(["git", *args], cwd=origin, env=lab.environ, check=True)

    subprocess.run(["git", "init", "-q", "-b", "main"], cwd=origin, env=lab.environ, check=True)
    commit(1)
    lab.git("submodule", "--quiet", "add", str(origin), "pinned")
    for name in ("kernels/axpy.cu", "src/compare.cpp"):
        text = (lab.workspace / name).read_text()
        lab.write(name, f'#include "../pinned/pinned.hpp"\nextern const int pinned_{name[0]};\n{text}\n'
                        f"const int pinned_{name[0]} = PINNED;\n")  # fmt: skip
    lab.commit("pin")
    lab.built(objects=COUNT)
    commit(2)
    lab.git("-C", "pinned", "pull", "-q", "origin", "main")
    lab.built(objects=2)
    lab.git("-C", "pinned", "checkout", "-q", "HEAD~1")
    lab.git("-C", "pinned", "checkout", "-q", "main")
    lab.built(objects=0)
    lab.git("submodule", "--quiet", "update")  # back to what is committed
    lab.built(objects=2)


def test_two_trees_branch_flips_and_ninja_by_hand(lab: CudaLab) -> None:
    lab.git("switch", "-q", "-c", "other")
    edit(lab, "kernels/dot.cu", "one")
    lab.commit("other")
    lab.git("switch", "-q", "main")
    lab.built(objects=COUNT)
    lab.built(objects=COUNT, type="Debug")
    for branch, kind in (("other", "Release"), ("main", "Debug"), ("other", "Debug"), ("main", "Release")):
        lab.git("switch", "-q", branch)
        result = lab.build(type=kind)
        assert result["code"] == 0
        assert result["compiled"] <= 1
        lab.check(result)
    # ninja by hand, between an edit and its revert, and between a flip and the way back.
    result = lab.build()
    edit(lab, "kernels/axpy.cu", "two")
    lab.own()
    lab.ninja(result)
    lab.git("checkout", "-q", "--", "kernels/axpy.cu")
    result = lab.built(objects=1)
    assert any("by hand" in reason for reason in result["reasons"])
    lab.git("switch", "-q", "other")
    lab.ninja(result, PROGRAM)
    lab.git("switch", "-q", "main")
    result = lab.build()
    assert result["code"] == 0
    lab.check(result)
    lab.built(objects=0)


def test_attempts_that_fail_or_build_a_part(lab: CudaLab) -> None:
    lab.built(objects=COUNT)
    good = (lab.workspace / "kernels/axpy.cu").read_text()
    edit(lab, "kernels/device.cuh", "one")
    lab.write("kernels/axpy.cu", good + "\nthis is no kernel\n")
    result = lab.build(args=["-k", "0"])
    assert result["code"] != 0
    assert "axpy.cu" in result["failure"]["outputs"]
    lab.write("kernels/axpy.cu", good)
    lab.built(objects=1)
    lab.git("checkout", "-q", "--", "kernels/device.cuh")
    result = lab.build(targets=["CMakeFiles/saxpy_kernels.dir/kernels/dot.cu.o"])
    assert (result["code"], result["compiled"]) == (0, 1)
    edit(lab, "kernels/device.cuh", "one")
    lab.built(objects=KERNELS)
    lab.git("checkout", "-q", "--", "kernels/device.cuh")
    assert lab.build(targets=["saxpy_reference"])["compiled"] == 0
    lab.built(objects=KERNELS)
    cmake = lab.write("CMakeLists.txt", (lab.workspace / "CMakeLists.txt").read_text() + "message(FATAL_ERROR no)\n")
    assert lab.build(mode="reconfigure")["code"] != 0
    cmake.write_text(cmake.read_text().replace("message(FATAL_ERROR no)\n", ""))
    lab.built(objects=0)


@pytest.mark.parametrize("who", ["agent", "container", "client"])
def test_a_kill_between_an_edit_and_its_revert(lab: CudaLab, who: str) -> None:
    lab.built(objects=COUNT)
    edit(lab, "kernels/device.cuh", "one")
    running = lab.start(jobs=2)
    done = 0
    while done < 2:  # objects of the edit are there, others are not
        done = running.until("progress")["done"]
    if who == "agent":
        lab.kill_agent()
    elif who == "container":
        lab.engine.run(["kill", lab.container])
    else:
        running.process.kill()
    running.close()
    lab.git("checkout", "-q", "--", "kernels/device.cuh")
    if who == "container":
        lab.start_container()
    result = lab.build()
    assert result["code"] == 0
    lab.check(result)
    lab.built(objects=0)


def test_the_client_s_own_path_is_the_same(lab: CudaLab) -> None:
    """Once through `devbox build`'s own function, with its report."""
    target = Target(lab.container, lab.workspace, INSIDE, "1000:1000")
    lab.own()
    request = BuildRequest(load("cuda", "cuda13"), arch="75-real", cache=CompilerCache("none"), seed="none")
    report = build(request, target, lab.engine, Silent())
    assert (report.ok, report.compiled) == (True, COUNT)
    edit(lab, "kernels/dot.cu", "one")
    assert build(request, target, lab.engine, Silent()).compiled == 1
