"""The listed sequences on llama.cpp with CUDA, without a compiler cache: `python -m tests.trees.sequences [SOURCE]`.

Prints, for each step, the objects that were compiled and the wall time, beside bare ninja in the same container where
that does the same work. SOURCE is an unpacked llama.cpp; by default it is fetched.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.trees.real import LLAMA, LLAMA_DEFINES, Tree, checkout, expect
from tests.trees.sdist import fetch

KERNELS = ("acc", "arange", "clamp")
OBJECTS = [f"ggml/src/ggml-cuda/CMakeFiles/ggml-cuda.dir/{name}.cu.o" for name in KERNELS]
TARGETS = ["ggml-base", "ggml-cpu", *OBJECTS]
HEADER, SOURCE, KERNEL = "ggml/src/ggml-cpu/vec.h", "ggml/src/ggml-quants.c", "ggml/src/ggml-cuda/acc.cu"


@dataclass
class Sequence:
    """The tree, and the steps done with what they took."""

    tree: Tree
    rows: list[tuple[str, int, float, float | None]] = field(default_factory=list)

    def build(self, *more: str, tree: Tree | None = None) -> dict[str, Any]:
        """Run `devbox build` on the targets, and return its report with the wall time of the whole command."""
        targets = [word for target in TARGETS for word in ("--target", target)]
        argv = ["devbox", "build", "--no-cache", "--json", *LLAMA_DEFINES, *(more or targets)]
        begin = time.monotonic()
        done = subprocess.run(argv, cwd=(tree or self.tree).path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              text=True, check=False)  # fmt: skip
        report: dict[str, Any] = json.loads(done.stdout)["data"] or {}
        report["wall"] = time.monotonic() - begin
        return report

    def step(self, title: str, expected: int | None, *, bare: float | None = None, tree: Tree | None = None) -> None:
        """Build, note the step, and demand the number of compiled objects."""
        report = self.build(tree=tree)
        self.rows.append((title, report["compiled"], report["wall"], bare))
        ratio = f", {report['wall'] / bare:.2f} times bare ninja ({bare:.2f} s)" if bare else ""
        print(f"{title:<48} {report['compiled']:>3} compiled, {report['wall']:.2f} s{ratio}", flush=True)
        expect(report["code"] == 0 and expected in {None, report["compiled"]}, f"{title}: {expected} compiled")

    def ninja(self) -> float:
        """Run bare ninja in the container on the same tree, and return the seconds."""
        label = f"label=devcontainer.local_folder={self.tree.path}"
        container = subprocess.run(
            ["docker", "ps", "-q", "--filter", label], stdout=subprocess.PIPE, text=True, check=True
        ).stdout.strip()
        begin = time.monotonic()
        argv = ["docker", "exec", "-u", "dev", "-e", "CCACHE_DISABLE=1", container, "ninja", "-C", "/build/current"]
        subprocess.run([*argv, *TARGETS], stdout=subprocess.DEVNULL, check=True)
        return time.monotonic() - begin

    def edit(self, name: str, text: str) -> None:
        """Append a line to a file."""
        path = self.tree.path / name
        path.write_text(f"{path.read_text()}\n// {text}\n")


def run(tree: Tree, work: Path) -> Sequence:
    """Do every step."""
    one = Sequence(tree)
    tree.devbox("up", "--framework", "cuda", "--yes", "--trust")
    one.step("cold", None)
    cold = one.rows[0][2]
    one.step("no-op", 0, bare=one.ninja())
    one.edit(SOURCE, "bare")
    bare = one.ninja()
    one.step("after ninja by hand", None)
    one.edit(SOURCE, "devbox")
    one.step("one source edited", 1, bare=bare)
    one.edit(KERNEL, "devbox")
    one.step("one .cu edited", 1)
    one.edit(HEADER, "devbox")
    one.step("one header edited", None)
    tree.git("commit", "-qam", "edits")
    one.step("committed: the tree compiles its commit in", None)
    tree.git("switch", "-qc", "other", "HEAD~1")
    tree.git("switch", "-q", "-")
    one.step("branch there and back", 0)
    tree.git("switch", "-q", "other")
    one.step("branch, built there", None)
    tree.git("switch", "-q", "-")
    one.step("and back", None)
    one.edit(SOURCE, "stashed")
    one.step("edited", 1)
    tree.git("stash", "-q")
    tree.git("stash", "pop", "-q")
    one.step("stash there and back", 0)
    tree.git("checkout", "-q", "--", ".")
    one.build("--target", OBJECTS[0])
    one.step("after a build of one target", 1)
    tree.devbox("down")
    tree.devbox("up", "--yes", "--trust")
    one.step("container recreated", 0)
    tree.git("worktree", "add", "-q", "--detach", str(work / "second"))
    second = Tree(work / "second")
    try:
        second.devbox("up", "--framework", "cuda", "--yes", "--trust")
        one.step("second worktree, seeded", None, tree=second)
        # The tree compiles in whether git called the checkout dirty when cmake last ran: that may be one object.
        expect(one.rows[-1][1] <= 1, "a seeded worktree compiles at most the file with the commit")
        expect(one.rows[-1][2] <= 0.10 * cold, f"a seeded worktree takes {one.rows[-1][2] / cold:.3f} of a cold build")
    finally:
        second.devbox("down", "--volumes", "--yes", check=False)
    return one


def main(argv: list[str]) -> int:
    """Run the sequences on a copy of the tree."""
    source = Path(argv[0]) if argv else fetch(*LLAMA, Path.home() / ".cache/devbox-trees") / "vendor" / "llama.cpp"
    with tempfile.TemporaryDirectory(prefix="devbox-sequences-") as folder:
        work = Path(folder)
        with checkout(source, work / "llama.cpp", keep=False) as tree:
            run(tree, work)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
