"""The main job on real source trees: of PyPI (llama.cpp and vLLM), and on checkouts that are named by their path.

Each tree is fetched once into a cache folder, or is where it was named, and is copied for the run: `python -m
tests.trees.real --help`. What is expected is asserted; what takes how long is printed. vLLM's build needs dependencies
that only GitHub has: where it cannot be reached, configure says so, and that is printed and no failure; with `--build`
a checkout of each can be named.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.trees.sdist import fetch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LLAMA = ("llama-cpp-python", "0.3.36")
VLLM = ("vllm", "0.33.0")
LLAMA_DEFINES = ("-D", "GGML_CUDA=ON", "-D", "GGML_CUDA_NO_VMM=ON", "-D", "LLAMA_CURL=OFF")
LLAMA_TARGETS = ("--target", "ggml-base", "--target", "ggml-cpu")
EDITED = "ggml/src/ggml-cpu/vec.cpp"
KERNELS = ("acc", "arange", "clamp")
# Of the extension _C, those that compile in a minute each.
VLLM_SOURCES = (
    *("cuda_view.cu", "cuda_utils_kernels.cu", "topk.cu", "pos_encoding_kernels.cu", "activation_kernels.cu"),
    *("layernorm_kernels.cu", "layernorm_quant_kernels.cu", "cache_kernels.cu", "cache_kernels_fused.cu"),
    *("attention/merge_attn_states.cu", "fused_qknorm_rope_kernel.cu", "sampler.cu", "custom_all_reduce.cu"),
    *(f"quantization/{one}.cu" for one in ("w8a8/int8/scaled_quant", "w8a8/fp8/common", "activation_kernels")),
    "quantization/fused_kernels/fused_layernorm_dynamic_per_token_quant.cu",
    "quantization/fused_kernels/fused_silu_mul_block_quant.cu",
    *("cutlass_extensions/common.cpp", "minimax_reduce_rms_kernel.cu", "torch_bindings.cpp"),
)


@dataclass(frozen=True, slots=True)
class Job:
    """What is built of a checkout that has the file `mark`: options of `up` and `build`, and a source of one object."""

    mark: str
    edited: str
    targets: tuple[str, ...]
    up: tuple[str, ...] = ()
    build: tuple[str, ...] = ()

    def words(self) -> list[str]:
        """Return the targets as options of `devbox build`."""
        return [word for target in self.targets for word in ("--target", target)]


# Enough of each that a mistake would show, and no more than an hour takes on two cores.
JOBS = {
    "llama.cpp": Job(
        "ggml/src/ggml-cuda/acc.cu",
        EDITED,
        ("ggml-base", "ggml-cpu", *(f"ggml/src/ggml-cuda/CMakeFiles/ggml-cuda.dir/{one}.cu.o" for one in KERNELS)),
        build=LLAMA_DEFINES,
    ),
    "oneDNN": Job(
        "src/common/dnnl_debug.cpp",
        "src/common/memory.cpp",
        tuple(
            f"src/common/CMakeFiles/dnnl_common.dir/{one}.cpp.o"
            for one in (
                "bfloat16",
                "dnnl_debug",
                "dnnl_threadpool",
                "engine",
                "fpmath_mode",
                "memory",
                "scratchpad",
                "stream",
            )
        ),
        build=("-D", "DNNL_BUILD_TESTS=OFF", "-D", "DNNL_BUILD_EXAMPLES=OFF", "-D", "DNNL_CPU_RUNTIME=SEQ"),
    ),
    "CUTLASS": Job(
        "tools/library/src/manifest.cpp",
        "tools/library/src/manifest.cpp",
        tuple(
            f"tools/library/CMakeFiles/cutlass_library_objs.dir/src/{one}.o"
            for one in ("handle.cu", "manifest.cpp", "operation_table.cu", "singleton.cu", "util.cu")
        ),
        build=(
            *("-D", "CUTLASS_ENABLE_TESTS=OFF", "-D", "CUTLASS_ENABLE_EXAMPLES=OFF"),
            *("-D", "CUTLASS_LIBRARY_KERNELS=cutlass_simt_sgemm_128x128_8x2_nn_align1"),
        ),
    ),
    "vLLM": Job(
        "csrc/cuda_view.cu",
        "csrc/cuda_view.cu",
        tuple(f"CMakeFiles/_C.dir/csrc/{one}.o" for one in VLLM_SOURCES),
    ),
    "flash-attention": Job(
        "csrc/flash_attn/flash_api_torch_lib.cpp",
        "csrc/flash_attn/flash_api_torch_lib.cpp",
        ("CMakeFiles/_vllm_fa2_C.dir/csrc/flash_attn/flash_api_torch_lib.cpp.o",),
        build=("-D", "VLLM_PYTHON_EXECUTABLE=/opt/venv/bin/python"),
    ),
    "spdlog": Job(
        "include/spdlog/spdlog.h",
        "src/color_sinks.cpp",
        ("spdlog",),
        build=("-D", "SPDLOG_BUILD_EXAMPLE=OFF"),
    ),
}


@dataclass(frozen=True, slots=True)
class Tree:
    """A checkout in which devbox commands are run, each echoed with its wall time."""

    path: Path

    def devbox(self, *args: str, check: bool = True) -> tuple[int, float]:
        """Run devbox and return its exit code and the seconds. Raises SystemExit if it fails and `check` is set."""
        print(f"\n{self.path.name}$ devbox {' '.join(args)}", flush=True)
        start = time.monotonic()
        code = subprocess.run(["devbox", *args], cwd=self.path, check=False).returncode
        seconds = time.monotonic() - start
        print(f"-- exit code {code}, {seconds:.1f} s", flush=True)
        if check and code != 0:
            raise SystemExit(f"devbox {args[0]} failed in {self.path}")
        return code, seconds

    def build(self, *args: str) -> dict[str, Any]:
        """Run `devbox build` and return its report."""
        print(f"\n{self.path.name}$ devbox build {' '.join(args)}", flush=True)
        done = subprocess.run(
            ["devbox", "build", *args, "--json"], cwd=self.path, stdout=subprocess.PIPE, text=True, check=False
        )
        answer = json.loads(done.stdout)
        if done.returncode != 0:
            raise SystemExit(f"devbox build failed in {self.path}: {json.dumps(answer, indent=1)[-4000:]}")
        report: dict[str, Any] = answer["data"]
        print(
            f"-- {report['compiled']} compiled, {report['cached']} from the cache, {report['seconds']:.1f} s",
            flush=True,
        )
        return report

    def inside(self, *argv: str) -> str:
        """Run a command in the container as its user, without the compiler cache, and return what it printed."""
        label = f"label=devcontainer.local_folder={self.path}"
        found = subprocess.run(
            ["docker", "ps", "-q", "--filter", label], stdout=subprocess.PIPE, text=True, check=True
        ).stdout.strip()
        user = ["-u", f"{os.getuid()}:{os.getgid()}", "-e", "CCACHE_DISABLE=1"]
        done = subprocess.run(["docker", "exec", *user, found, *argv], stdout=subprocess.PIPE, text=True, check=True)
        return done.stdout

    def edit(self, name: str, text: str) -> None:
        """Append a line of comment to a file."""
        path = self.path / name
        path.write_text(f"{path.read_text()}\n// {text}\n")

    def git(self, *args: str) -> None:
        """Run git in the checkout as nobody in particular."""
        who = ["-c", "user.name=trees", "-c", "user.email=trees@localhost"]
        subprocess.run(["git", *who, *args], cwd=self.path, check=True)


def expect(truth: bool, what: str) -> None:
    """Stop with `what` unless it is true; say it if it is."""
    if not truth:
        raise SystemExit(f"not true: {what}")
    print(f"-- true: {what}", flush=True)


@contextlib.contextmanager
def checkout(source: Path, place: Path, *, keep: bool) -> Iterator[Tree]:
    """Copy a source tree to `place` as a git repository; at the end take down its container and its build volume."""
    shutil.copytree(source, place, symlinks=True, ignore=lambda folder, _: {".git"} if folder == str(source) else set())
    tree = Tree(place)
    tree.git("init", "--quiet", "--initial-branch=main", ".")
    tree.git("add", "--all", "--force")
    tree.git("commit", "--quiet", "--message", "The release")
    try:
        yield tree
    finally:
        if not keep:
            tree.devbox("down", "--volumes", "--yes", check=False)


def llama(cache: Path, work: Path, *, keep: bool) -> None:
    """Build llama.cpp's core; edit; recreate the container; build a second worktree."""
    source = fetch(*LLAMA, cache) / "vendor" / "llama.cpp"
    with checkout(source, work / "llama.cpp", keep=keep) as tree:
        tree.devbox("up", "--framework", "cuda", "--yes")
        cold = tree.build(*LLAMA_DEFINES, *LLAMA_TARGETS)
        expect(cold["compiled"] > 10, "a cold build compiles the core")
        again = tree.build(*LLAMA_DEFINES, *LLAMA_TARGETS)
        expect(again["compiled"] == 0, "a second build compiles nothing")

        edited = tree.path / EDITED
        edited.write_text(edited.read_text() + "\n// an edit\n")
        one = tree.build(*LLAMA_DEFINES, *LLAMA_TARGETS)
        expect(one["compiled"] == 1, "an edit of one file compiles one object")

        tree.devbox("down", "--yes")
        tree.devbox("up", "--yes")
        recreated = tree.build(*LLAMA_DEFINES, *LLAMA_TARGETS)
        expect(recreated["compiled"] == 0, "a new container compiles nothing")

        tree.git("stash", "--quiet")
        tree.build(*LLAMA_DEFINES, *LLAMA_TARGETS)
        tree.git("stash", "pop", "--quiet")
        tree.git("stash", "--quiet")
        flipped = tree.build(*LLAMA_DEFINES, *LLAMA_TARGETS)
        expect(flipped["compiled"] == 0, "a change there and back compiles nothing")

        tree.git("worktree", "add", "--quiet", "--detach", str(work / "second"))
        second = Tree(work / "second")
        try:
            second.devbox("up", "--framework", "cuda", "--yes")
            report = second.build(*LLAMA_DEFINES, *LLAMA_TARGETS)
            hits = report["cached"] or 0
            expect(
                hits >= 0.9 * report["compiled"], f"a second worktree hits the cache ({hits} of {report['compiled']})"
            )
        finally:
            if not keep:
                second.devbox("down", "--volumes", "--yes", check=False)
        if os.getuid() != 0:
            foreign = [str(path) for path in tree.path.rglob("*") if path.lstat().st_uid == 0]
            expect(not foreign, f"no file in the checkout is owned by root {foreign[:3]}")


def vllm(cache: Path, work: Path, *, keep: bool) -> None:
    """Bring vLLM's container up, look into it, and build as far as the network allows."""
    with checkout(fetch(*VLLM, cache), work / "vllm", keep=keep) as tree:
        links = os.environ.get("PIP_FIND_LINKS")
        tree.devbox("up", "--framework", "vllm", "--yes", *(["--find-links", links] if links else []))
        tree.devbox("exec", "--", "python3", "-c", "import torch; print(torch.__version__)")
        code, _ = tree.devbox("build", check=False)
        print(f"-- vLLM's build ended with {code}")


def main_job(source: Path, job: Job, work: Path, *, up: list[str], build: list[str], keep: bool) -> dict[str, str]:
    """Do the main job on a copy of a checkout; return what each step took: objects, and seconds beside bare ninja's."""
    options = ["--no-cache", *job.build, *build, *job.words()]
    with checkout(source, work / source.name, keep=keep) as tree:

        def bare() -> float:
            begin = time.monotonic()
            tree.inside("ninja", "-C", "/build/current", *job.targets)
            return time.monotonic() - begin

        def built(what: str, expected: int | None, into: Tree = tree) -> tuple[int, float]:
            begin = time.monotonic()
            compiled = into.build(*options)["compiled"]
            expect(expected in {None, compiled}, f"{what}: {compiled} compiled")
            return compiled, time.monotonic() - begin

        tree.devbox("up", "--yes", "--trust", *job.up, *up)
        cold, seconds = built("cold", None)
        times = [(built("nothing to do", 0)[1], bare()), bare_and_devbox(tree, job, bare, built)]
        tree.git("commit", "-qam", "An edit")
        tree.git("switch", "-qc", "other")
        tree.edit(job.edited, "another branch")
        tree.git("commit", "-qam", "Another")
        tree.git("switch", "-q", "main")
        flipped, _ = built("branch there and back", 0)
        tree.git("switch", "-q", "other")
        there, _ = built("built on the branch", None)
        tree.git("switch", "-q", "main")
        back, _ = built("and back", None)
        tree.git("worktree", "add", "-q", "--detach", str(work / "second"))
        second = Tree(work / "second")
        try:
            second.devbox("up", "--yes", "--trust", *job.up, *up)
            copied, later = built("a second worktree", None, second)
        finally:
            if not keep:
                second.devbox("down", "--volumes", "--yes", check=False)
        expect(copied <= 0.1 * cold, f"a second worktree begins with the first one's objects ({copied} of {cold})")
        if os.getuid() != 0:
            expect(not any(one.lstat().st_uid == 0 for one in tree.path.rglob("*")), "no file is owned by root")
    noop, edited = (f"{mine:.2f} s, {mine / ninja:.2f} times ninja" for mine, ninja in times)
    return {
        "cold": f"{cold} objects, {seconds:.0f} s",
        "nothing to do": noop,
        "one edit": edited,
        "branch there and back": f"{flipped}",
        "built there, and back": f"{there}, {back}",
        "second worktree": f"{copied}, {later:.0f} s",
    }


def bare_and_devbox(
    tree: Tree, job: Job, bare: Callable[[], float], built: Callable[[str, int | None], tuple[int, float]]
) -> tuple[float, float]:
    """Edit one source twice; return the seconds of devbox and of bare ninja. What ninja compiled, devbox takes over."""
    tree.edit(job.edited, "ninja")
    ninja = bare()
    built("after ninja by hand", None)
    tree.edit(job.edited, "devbox")
    return built("one source edited", 1)[1], ninja


TREES: dict[str, Callable[..., None]] = {"llama": llama, "vllm": vllm}


def stated(tree: Path) -> None:
    """See that what is read of a checkout of TensorRT-LLM is what its own tools say, and what devbox's data says."""
    from devbox.agent.drivers.build_wheel import Script
    from devbox.facts.makefile import read_makefile
    from devbox.frameworks.load import load
    from devbox.frameworks.stated import version
    from tests.trees.conformance import facts

    print(f"\n{tree}")
    asked = subprocess.run(
        [sys.executable, tree / "scripts" / "build_wheel.py", "--help"], capture_output=True, text=True, check=True
    )
    options = {name for name in Script(str(tree)).options.values() if name in asked.stdout}
    expect(options == set(Script(str(tree)).options.values()), f"its script's --help has {len(options)} options")
    commit = subprocess.run(["git", "-C", tree, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout
    makefile = read_makefile(tree, "docker/Makefile", {"GIT_COMMIT": commit.strip()})
    expect(makefile is not None, "it has a Makefile")
    for prefix in makefile.prefixes() if makefile is not None else ():
        said = subprocess.run(
            ["make", "-n", "-C", tree / "docker", f"{prefix}_build"], capture_output=True, text=True, check=True
        )
        given = {fact for fact in facts(said.stdout, tree, "docker") if fact.startswith("build build-arg ")}
        read = makefile.arguments(f"{prefix}_build").values() if makefile is not None else ()
        words = " ".join(f"--build-arg {one.name}='{one.value}'" for one in read if one is not None)
        expect(given == {*facts(f"docker build {words} .", tree)} - {"build of {tree}"}, f"make {prefix}_build")
    framework = load("trtllm")
    own = version(framework, tree)
    rows = [row for row in framework.compatibility if own is not None and own.value.startswith(row.version)]
    base = [one.value if one else "" for one in map(makefile.stated, ("BASE_IMAGE", "BASE_TAG"))] if makefile else []
    for row in rows:
        expect(row.base_image == ":".join(base), f"{row.base_image} is the base of {row.version}")


def main(argv: list[str] | None = None) -> int:
    """Run the named trees, all by default."""
    parser = argparse.ArgumentParser(prog="python -m tests.trees.real", description=__doc__)
    parser.add_argument(
        "trees",
        nargs="*",
        default=sorted(TREES),
        metavar="TREE",
        help=f"of {', '.join(sorted(TREES))}; or the path of a checkout of {', '.join(JOBS)} or TensorRT-LLM",
    )
    parser.add_argument("--up", default="", metavar="WORDS", help="further options of `devbox up`, for paths")
    parser.add_argument("--build", default="", metavar="WORDS", help="further options of `devbox build`, for paths")
    parser.add_argument(
        "--cache", type=Path, default=Path.home() / ".cache" / "devbox-trees", help="where sdists are kept"
    )
    parser.add_argument("--keep", action="store_true", help="keep checkouts, containers and volumes")
    arguments = parser.parse_args(argv)
    paths = [Path(name).resolve() for name in arguments.trees if "/" in name]
    for path in paths:
        if (path / "scripts/build_wheel.py").is_file():
            stated(path)
        elif not any((path / job.mark).is_file() for job in JOBS.values()):
            parser.error(f"{path} is no checkout that a job is known for: {', '.join(JOBS)}")
    arguments.trees = [] if paths else arguments.trees
    if unknown := set(arguments.trees) - set(TREES):
        parser.error(f"no such tree: {', '.join(sorted(unknown))}")
    work = Path(tempfile.mkdtemp(prefix="devbox-trees-"))
    try:
        more = {"up": shlex.split(arguments.up), "build": shlex.split(arguments.build)}
        for path, (name, job) in itertools.product(paths, JOBS.items()):
            if (path / job.mark).is_file():
                cells = main_job(path, job, work, **more, keep=arguments.keep)
                print(f"{name}: {', '.join(f'{title}: {cell}' for title, cell in cells.items())}", flush=True)
        for name in arguments.trees:
            TREES[name](arguments.cache, work, keep=arguments.keep)
    finally:
        if arguments.keep:
            print(f"kept: {work}")
        else:
            shutil.rmtree(work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
