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

from tests.trees.real import KERNELS, LLAMA, LLAMA_DEFINES, Tree, checkout, expect
from tests.trees.sdist import fetch

OBJECTS = [f"ggml/src/ggml-cuda/CMakeFiles/ggml-cuda.dir/{name}.cu.o" for name in KERNELS]
TARGETS = ["ggml-base", "ggml-cpu", *OBJECTS]
# Prints the digest of each product, stripped, and its name. An object is linked first, to be done with its symbols:
# and in these nvcc writes a process's number.
STRIPPED = f"""
cd /build/current
for product in bin/libggml-base.so bin/libggml-cpu.so {" ".join(OBJECTS)}; do
  case $product in
  *.o) c++ -shared -Wl,--unresolved-symbols=ignore-all -Wl,--build-id=none -Wl,-soname,x -o /tmp/linked "$product" ;;
  *) cp "$product" /tmp/linked ;;
  esac
  strip --strip-all --remove-section=.note.gnu.build-id -o /tmp/stripped /tmp/linked
  printf '%s %s\\n' "$(sha256sum </tmp/stripped)" "$product"
done"""
GCC = ("-D", "CMAKE_C_COMPILER=/usr/bin/gcc-12")
HEADER, SOURCE, KERNEL = "ggml/src/ggml-cpu/vec.h", "ggml/src/ggml-quants.c", "ggml/src/ggml-cuda/acc.cu"


@dataclass
class Sequence:
    """The tree, and the steps done with what they took."""

    tree: Tree
    rows: list[tuple[str, int, float, float | None]] = field(default_factory=list)

    @property
    def targets(self) -> tuple[str, ...]:
        """The targets as options of `devbox build`."""
        return tuple(word for target in TARGETS for word in ("--target", target))

    def build(self, *more: str, tree: Tree | None = None) -> dict[str, Any]:
        """Run `devbox build` on the targets, and return its report with the wall time of the whole command."""
        argv = ["devbox", "build", "--no-cache", "--json", *LLAMA_DEFINES, *(more or self.targets)]
        begin = time.monotonic()
        done = subprocess.run(argv, cwd=(tree or self.tree).path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              text=True, check=False)  # fmt: skip
        report: dict[str, Any] = json.loads(done.stdout)["data"] or {}
        report["wall"] = time.monotonic() - begin
        return report

    def step(
        self,
        title: str,
        expected: int | None,
        *,
        bare: float | None = None,
        tree: Tree | None = None,
        more: tuple[str, ...] = (),
    ) -> None:
        """Build, note the step, and demand the number of compiled objects."""
        report = self.build(*(*more, *self.targets) if more else (), tree=tree)
        self.rows.append((title, report["compiled"], report["wall"], bare))
        ratio = f", {report['wall'] / bare:.2f} times bare ninja ({bare:.2f} s)" if bare else ""
        print(f"{title:<48} {report['compiled']:>3} compiled, {report['wall']:.2f} s{ratio}", flush=True)
        expect(report["code"] == 0 and expected in {None, report["compiled"]}, f"{title}: {expected} compiled")

    def ninja(self) -> float:
        """Run bare ninja in the container on the same tree, and return the seconds."""
        begin = time.monotonic()
        self.tree.inside("ninja", "-C", "/build/current", *TARGETS)
        return time.monotonic() - begin

    def products(self) -> dict[str, str]:
        """Return the digest of each product, stripped, by its name."""
        lines = self.tree.inside("sh", "-euc", STRIPPED).splitlines()
        return {line.split()[-1]: line.split()[0] for line in lines}

    def killed(self) -> None:
        """Start a build, and kill its client while compilers run."""
        argv = ["devbox", "build", "--no-cache", "--json-events", *LLAMA_DEFINES, *self.targets]
        with subprocess.Popen(
            argv, cwd=self.tree.path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as client:
            assert client.stdout is not None
            for line in client.stdout:
                if json.loads(line).get("event") == "progress":
                    client.kill()
                    break


def run(tree: Tree, work: Path) -> Sequence:
    """Do every step."""
    one = Sequence(tree)
    tree.devbox("up", "--framework", "cuda", "--yes", "--trust")
    one.step("cold", None, more=("--seed-from", "none"))
    cold = one.rows[0][2]
    one.step("no-op", 0, bare=one.ninja())
    tree.edit(SOURCE, "bare")
    bare = one.ninja()
    one.step("after ninja by hand", None)
    tree.edit(SOURCE, "devbox")
    one.step("one source edited", 1, bare=bare)
    tree.edit(KERNEL, "devbox")
    one.step("one .cu edited", 1)
    tree.edit(HEADER, "devbox")
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
    tree.edit(SOURCE, "stashed")
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
    more(one)
    # A time is set back only where no other tree has seen another content.
    others = [report["key"] for report in (one.build("--type", "Debug", *one.targets), one.build(*GCC, *one.targets))]
    one.step("the first again", 0)
    tree.devbox("builds", "rm", *others, "--yes")
    submodule(one, work)
    compared(one)
    return one


def more(one: Sequence) -> None:
    """Take the steps that go wrong on the way, and those of other keys."""
    tree, path = one.tree, one.tree.path / SOURCE
    good = path.read_text()
    tree.edit(SOURCE, "broken")
    path.write_text(f"{path.read_text()}\n#error stop here\n")
    one.rows.append(("a failed attempt", int(one.build()["compiled"]), 0.0, None))
    path.write_text(good)
    one.step("reverted after a failed attempt", None)
    one.step("again", 0)
    tree.edit(HEADER, "killed")
    one.killed()
    tree.git("checkout", "-q", "--", HEADER)
    one.step("reverted after a kill", None)
    one.step("again", 0)
    one.step("another key: Debug", None, more=("--type", "Debug"))
    one.step("and back to the first", 0)
    tree.git("switch", "-q", "other")
    one.step("branch, built with the other key", None, more=("--type", "Debug"))
    tree.git("switch", "-q", "-")
    one.step("branch back, built with the first key", None)
    one.step("and with the other", None, more=("--type", "Debug"))
    one.step("and the first again", 0)
    one.step("another compiler", None, more=GCC)
    one.step("and the first again", 0)
    tree.edit(SOURCE, "by hand")
    one.ninja()
    one.step("after ninja by hand", None)
    tree.git("checkout", "-q", "--", ".")
    one.step("reverted after ninja by hand", None)
    one.step("again", 0)


def submodule(one: Sequence, work: Path) -> None:
    """Make ggml/ a submodule, move it by one commit that touches one source, and back."""
    tree, origin = one.tree, Tree(work / "ggml-origin")
    tree.path.joinpath("ggml").rename(origin.path)
    origin.git("init", "-q", "-b", "main")
    origin.git("add", "--all", "--force")
    origin.git("commit", "-qm", "ggml")
    tree.git("rm", "-rq", "--cached", "ggml")
    tree.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(origin.path), "ggml")
    tree.git("commit", "-qm", "ggml as a submodule")
    one.step("ggml/ is now a submodule, with the same content", None)
    inner = Tree(tree.path / "ggml")
    path = tree.path / SOURCE
    path.write_text(f"{path.read_text()}\n// moved\n")
    inner.git("commit", "-qam", "moved")
    one.step("submodule moved", 1)
    inner.git("checkout", "-q", "HEAD~1")
    inner.git("checkout", "-q", "-")
    one.step("submodule there and back", 0)
    inner.git("checkout", "-q", "HEAD~1")
    one.step("submodule moved back, and built", 1)


def compared(one: Sequence) -> None:
    """Demand that what all these steps left equals what a build from nothing makes.

    The tree compiles in its commit and whether it was dirty, as cmake finds it when it runs; so it runs first.
    """
    one.step("configured again", None, more=("--reconfigure",))
    after = one.products()
    one.step("from nothing", None, more=("--clean",))
    clean = one.products()
    others = [name for name in clean if clean[name] != after[name]]
    expect(not others, f"the stripped products equal those of a build from nothing {others}")


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
