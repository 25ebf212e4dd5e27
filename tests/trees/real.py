"""The main job on real source trees from PyPI: llama.cpp and vLLM. `python -m tests.trees.real --help`.

Each tree is fetched once into a cache folder and copied for the run. What is expected is asserted; what takes how long
is printed. vLLM's build needs dependencies that only GitHub has: where it cannot be reached, configure says so, and
that is printed and no failure.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
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
    shutil.copytree(source, place, symlinks=True)
    stray = place / ".git"
    if stray.is_file():
        stray.unlink()
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
        help=f"of {', '.join(sorted(TREES))}; or the path of a checkout of TensorRT-LLM",
    )
    parser.add_argument(
        "--cache", type=Path, default=Path.home() / ".cache" / "devbox-trees", help="where sdists are kept"
    )
    parser.add_argument("--keep", action="store_true", help="keep checkouts, containers and volumes")
    arguments = parser.parse_args(argv)
    paths = [Path(name).resolve() for name in arguments.trees if (Path(name) / "scripts/build_wheel.py").is_file()]
    for path in paths:
        stated(path)
    arguments.trees = [] if paths else arguments.trees
    if unknown := set(arguments.trees) - set(TREES):
        parser.error(f"no such tree: {', '.join(sorted(unknown))}")
    work = Path(tempfile.mkdtemp(prefix="devbox-trees-"))
    try:
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
