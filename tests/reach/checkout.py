"""A small checkout, what is done to it, and what a clean build of it is: for any engine and cluster."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from pathlib import Path

CMAKE = """
cmake_minimum_required(VERSION 3.16)
project(small CXX)
add_library(small SHARED src/a.cpp src/b.cpp src/c.cpp)
"""
# The compiler's command for each source is the same in both places, and so are the paths.
CLEAN = """
mkdir -p /workspaces; cp -r /here {0}
cmake -S {0} -B /tmp/b -G Ninja -DCMAKE_BUILD_TYPE=Release >/dev/null
ninja -C /tmp/b >/dev/null
cd /tmp/b
"""
SUM = "cat CMakeFiles/small.dir/src/*.o | sha256sum"


@dataclass(frozen=True)
class Here:
    """A checkout of this machine, and the environment that names the engine."""

    folder: Path
    environ: dict[str, str]

    def run(self, *argv: str, code: int | None = 0) -> str:
        done = subprocess.run(
            argv,
            cwd=self.folder,
            env=self.environ,
            text=True,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        assert code in {None, done.returncode}, f"{argv}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def devbox(self, *args: str, code: int | None = 0) -> str:
        return self.run(sys.executable, "-m", "devbox", *args, code=code)

    def started(self, *args: str) -> subprocess.Popen[str]:
        argv = [sys.executable, "-m", "devbox", *args]
        return subprocess.Popen(
            argv, cwd=self.folder, env=self.environ, text=True, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
        )

    def compiled(self) -> int:
        report = self.run(sys.executable, "-m", "devbox", "build", "--json")
        return int(json.loads(report.splitlines()[0])["data"]["compiled"])

    def seconds(self, script: str) -> float:
        begun = time.perf_counter()
        self.run("sh", "-ec", script.replace("devbox ", f"{sys.executable} -m devbox "))
        return time.perf_counter() - begun

    def container(self) -> str:
        label = f"label=devcontainer.local_folder={self.folder}"
        return self.run("docker", "ps", "--quiet", "--filter", label).strip()

    def write(self, name: str, text: str) -> None:
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_text(text)

    def git(self, *args: str) -> None:
        self.run("git", "-c", "user.name=t", "-c", "user.email=t@localhost", *args)


def small(folder: Path, environ: dict[str, str]) -> Here:
    """Make a small checkout with two branches, or take the one that is there."""
    at = Here(folder, environ)
    if folder.exists():
        return at
    folder.mkdir()
    at.write("CMakeLists.txt", CMAKE)
    for name in "abc":
        at.write(f"src/{name}.cpp", f'#include "h.h"\nint {name}() {{ return V; }}\n')
    at.write("src/h.h", "#define V 1\n")
    at.git("init", "--quiet", "--initial-branch=main")
    at.git("add", "--all")
    at.git("commit", "--quiet", "--message", "Small")
    at.git("checkout", "--quiet", "-b", "other")
    at.write("src/c.cpp", "int c() { return 3; }\n")
    at.git("commit", "--quiet", "--all", "--message", "Other")
    at.git("checkout", "--quiet", "main")
    return at


def edit_somehow(here: Here, chance: random.Random) -> None:
    """Edit, delete or switch something, with times of other clocks."""
    path = here.folder / f"src/{chance.choice('abc')}.cpp"
    match chance.choice(("edit", "header", "old", "future", "branch", "delete")):
        case "header":
            here.write("src/h.h", f"#define V {chance.randint(1, 3)}\n")
        case "branch":
            here.git("add", "--all")
            here.git("commit", "--quiet", "--allow-empty", "--message", "x")
            here.git("checkout", "--quiet", chance.choice(("main", "other")))
        case "delete":
            path.unlink()
            here.git("checkout", "--quiet", "HEAD", "--", "src")
        case kind:
            path.write_text(f'#include "h.h"\nint {path.stem}() {{ return V + {chance.randint(1, 3)}; }}\n')
            if kind != "edit":
                at = 10**9 if kind == "old" else 4 * 10**9
                os.utime(path, (at, at))


def must_be_clean(here: Here, image: str, what: object) -> None:
    """See that what is compiled over there is what a clean build of the checkout gives on this machine's engine."""
    tree = here.devbox("exec", "--", "sh", "-c", f"pwd; cd /build/release-*; {SUM}")
    inside, made = tree.split()[:2]
    argv = ["docker", "run", "--rm", "--volume", f"{here.folder}:/here:ro", image, "sh", "-ec"]
    local = {name: value for name, value in os.environ.items() if not name.startswith("DOCKER_")}
    clean = subprocess.run(
        [*argv, f"{CLEAN.format(inside)}{SUM}"], env=local, check=True, capture_output=True, text=True
    )
    assert clean.stdout.split()[0] == made, what
