"""Random hostile histories of a tree that has everything: whatever was done, what is built is what a clean build makes.

Each object, library and program is compared with that of a clean build from the same files, without debug information,
which says where it was built. An object that is made anew has a reason. A failure names its seed; `-k` with it runs
that history again, but for what hangs on the moment at which something is killed.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from devbox.agent.ninja import log as ninja_log
from devbox.agent.proof.edges import Edges
from tests.oracle.build_lab import JSON, Lab
from tests.oracle.test_build_seed import Second
from tests.oracle.walk_tree import CMAKE, COMING, FILES, KERNELS, MODULES, NUMBERED, SUBMODULE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from devbox.agent.ninja.log import Line

STEPS = 50
OTHER_GCC = ("11", "10", "13", "14", "9")
WITH_MODULES = [f"clang++-{number}" for number in range(24, 16, -1)]
MADE = (".o", ".a", ".so")
# What holds names that nvcc makes from the number of a process.
NVCC = (".cu.o", "cmake_device_link.o")


def _program(*names: str) -> str | None:
    return next((found for name in names if (found := shutil.which(name)) is not None), None)


def _cmake_with_modules() -> str | None:
    """Return a cmake that knows C++ modules, from whichever folder of PATH."""
    for folder in os.environ["PATH"].split(os.pathsep):
        path = shutil.which("cmake", path=folder)
        if path is not None:
            said = subprocess.run([path, "--version"], check=True, capture_output=True, text=True).stdout
            if tuple(map(int, re.findall(r"\d+", said)[:2])) >= (3, 28):
                return path
    return None


class Tools:
    """A folder of compilers at the head of PATH: they are exchanged as another image brings others to their place."""

    def __init__(self, folder: Path, wanted: set[str]) -> None:
        self.folder = folder
        folder.mkdir()
        self.parts = {"VERSIONED"} & wanted
        self.compilers = [("gcc", "g++")]
        if "MODULES" in wanted and (clang := _program(*WITH_MODULES)) and (cmake := _cmake_with_modules()):
            self.parts.add("MODULES")
            (folder / "cmake").symlink_to(cmake)
            self.compilers = [("gcc", clang)]
        elif "KERNELS" in wanted and _program("nvcc"):
            self.parts.add("KERNELS")
        else:
            self.compilers += [
                pair for number in OTHER_GCC if _program((pair := (f"gcc-{number}", f"g++-{number}"))[1])
            ]
        self.use(self.compilers[0])

    def use(self, compilers: tuple[str, str]) -> None:
        for name, program in zip(("cc", "c++"), compilers, strict=True):
            (self.folder / name).unlink(missing_ok=True)
            (self.folder / name).symlink_to(_program(program) or program)


class Walk:
    """One random history; each method in the table of `kinds` is a step."""

    def __init__(self, folder: Path, seed: int, wanted: set[str]) -> None:
        self.random = random.Random(seed)
        self.folder = folder
        self.tools = Tools(folder / "bin", wanted)
        self.outside = folder / "outside"
        for name in ("v1", "v2"):
            (self.outside / name).mkdir(parents=True)
            (self.outside / name / "outside.h").write_text(f"#define OUTSIDE {name[1]}\n")
            (self.outside / f"environment-{name}").mkdir()
            (self.outside / f"environment-{name}/environment.h").write_text(f"#define ENVIRONMENT {name[1]}\n")
        (self.outside / "now").symlink_to("v1")
        self.texts = {**NUMBERED}
        for name, texts in (("MODULES", MODULES), ("KERNELS", KERNELS)):
            self.texts.update(texts if name in self.tools.parts else {})
        cmake = CMAKE.replace("@outside@", str(self.outside / "now"))
        for name in self.tools.parts:
            cmake = re.sub(rf'option\({name} (".*") OFF\)', rf"option({name} \1 ON)", cmake)
        self.lab = Lab(folder / "lab", {**FILES, "CMakeLists.txt": cmake})
        self.lab.environ["PATH"] = f"{self.tools.folder}:{self.lab.environ['PATH']}"
        self.lab.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        self.add_the_submodule()
        (self.top / "linked.h").symlink_to("real.h")
        self.lab.commit("link")
        numbers = {name: text.format(4) for name, text in self.texts.items() if not name.startswith("sub/")}
        self.lab.branch("left", {name: numbers[name] for name in ("shared.h", "pch.h", "late/header.h")})
        self.lab.branch("right", {name: numbers[name] for name in ("cmake/flags.cmake", "config.h.in", "table.txt")})
        self.lab.branch("loud", {"CMakeLists.txt": cmake.replace('more" OFF)', 'more" ON)')})
        self.type = "Debug"
        self.defines: list[list[str]] = []
        self.trees: dict[str, Path] = {}
        self.done: list[str] = []
        self.seeds = 0
        self.counts: Counter[str] = Counter()

    def add_the_submodule(self) -> None:
        origin = self.outside / "sub"
        git = ["git", "-C", str(origin)]
        for name, text in SUBMODULE.items():
            (origin / name).parent.mkdir(parents=True, exist_ok=True)
            (origin / name).write_text(text)
        for args in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "first"]):
            subprocess.run([*git, *args], env=self.lab.environ, check=True)
        (origin / "include/sub.h").write_text("#define SUB 5\n")
        subprocess.run([*git, "commit", "-qam", "second"], env=self.lab.environ, check=True)
        self.lab.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(origin), "sub")
        self.lab.commit("submodule")

    @property
    def top(self) -> Path:
        return self.lab.workspace

    def number(self) -> int:
        return self.random.randrange(1, 4)

    def write(self) -> Path:
        name = self.random.choice(sorted(self.texts))
        return self.lab.write(name, self.texts[name].format(self.number()))

    def some(self) -> Path:
        return self.top / self.random.choice(sorted(self.texts))

    def a_tree(self) -> Path | None:
        return self.random.choice(sorted(self.trees.values())) if self.trees else None

    # Files and their times.

    def edit(self) -> None:
        self.write()

    def edit_with_an_old_time(self) -> None:
        path = self.write()
        then = self.random.choice([1, 0, -3600, int(path.stat().st_mtime) - 1, 1_000_000_000])
        os.utime(path, (then, then))

    def edit_and_keep_the_time(self) -> None:
        path = self.some()
        then = path.stat().st_mtime_ns
        name = str(path.relative_to(self.top))
        self.lab.write(name, self.texts[name].format(self.number()))
        os.utime(path, ns=(then, then))

    def a_time_in_the_future(self) -> None:
        ahead = time.time() + 3600
        os.utime(self.random.choice([self.write(), self.some()]), (ahead, ahead))

    def a_time_set_back(self) -> None:
        path = self.some()
        os.utime(path, (1, path.stat().st_mtime - self.random.choice([0.5, 100])))

    def move_over(self) -> None:
        path = self.write()
        beside = path.with_name(f"{path.name}.new")
        shutil.copy2(path, beside)
        beside.rename(path)

    def exchange_two_files(self) -> None:
        """Swap a header with a copy that has another content and the same time, by renaming."""
        path = self.top / self.random.choice(["shared.h", "pch.h", "late/header.h"])
        name = str(path.relative_to(self.top))
        other = path.with_name("other-one")
        other.write_text(self.texts[name].format(self.number()))
        os.utime(other, ns=(1, path.stat().st_mtime_ns))
        aside = self.outside / f"file{len(self.done)}"
        path.rename(aside)
        other.rename(path)

    def touch(self) -> None:
        self.some().touch()

    def a_build_that_fails(self) -> None:
        """Break a header, build, and put it back with the time that it had."""
        path = self.top / self.random.choice(["shared.h", "late/next.h", "config.h.in", "made.in"])
        text, then = path.read_text(), path.stat().st_mtime_ns
        path.write_text("#error broken\n")
        result = self.lab.build(type=self.type, defines=self.defines)
        assert result["code"] != 0
        path.write_text(text)
        if self.random.random() < 0.7:
            os.utime(path, ns=(1, then))

    # Folders and links.

    def exchange_a_folder(self) -> None:
        """Put a copy with other contents and old times in a folder's place."""
        folder = self.top / self.random.choice(["inc", "late"])
        copy, aside = folder.with_name("copy"), self.outside / f"aside{len(self.done)}"
        shutil.copytree(folder, copy)
        for path in copy.iterdir():
            known = self.texts.get(f"{folder.name}/{path.name}")
            if known is not None:
                path.write_text(known.format(self.number()))
            os.utime(path, (1, 1))
        folder.rename(aside)
        copy.rename(folder)

    def rename_away_and_back(self) -> None:
        folder = self.top / self.random.choice(["inc", "late", "globbed"])
        folder.rename(folder.with_name("away"))
        folder.with_name("away").rename(folder)

    def link_names(self) -> None:
        """Have two headers be one file, older than what was made from either."""
        text = "#ifndef HEADER\n#define HEADER 9\n#endif\n#ifndef INNER\n#define INNER 9\n#endif\n"
        path = self.lab.write("late/header.h", text)
        os.utime(path, (1, 1))
        (self.top / "inc/inner.h").unlink()
        os.link(path, self.top / "inc/inner.h")

    def retarget(self) -> None:
        link, target = self.random.choice([
            (self.top / "linked.h", self.random.choice(["real.h", "other.h"])),
            (self.outside / "now", self.random.choice(["v1", "v2"])),
        ])  # fmt: skip
        link.unlink()
        link.symlink_to(target)

    def a_link_for_a_folder(self) -> None:
        """Put a link to a folder elsewhere in a folder's place, or a folder in that of the link."""
        folder, elsewhere = self.top / "late", self.outside / f"late{len(self.done)}"
        if folder.is_symlink():
            target = folder.resolve()
            folder.unlink()
            shutil.copytree(target, folder)
        else:
            shutil.copytree(folder, elsewhere)
            shutil.rmtree(folder)
            folder.symlink_to(elsewhere)

    def edit_outside(self) -> None:
        path = self.outside / self.random.choice(["v1/outside.h", "v2/outside.h"])
        path.write_text(f"#define OUTSIDE {self.number()}\n")
        os.utime(path, (1, 1))

    def come_and_go(self) -> None:
        name = self.random.choice(sorted(COMING))
        path = self.top / name
        if path.exists():
            path.unlink()
        else:
            os.utime(self.lab.write(name, COMING[name]), (1, 1))

    # Git.

    def switch(self) -> None:
        self.lab.git("switch", "-q", "--force", self.random.choice(["main", "left", "right", "loud"]))

    def there_and_back(self) -> None:
        if not self.lab.git("status", "--porcelain", "-uno"):
            here = self.lab.git("branch", "--show-current").strip()
            self.lab.git("switch", "-q", "--force", self.random.choice(["left", "right", "loud"]))
            self.lab.git("switch", "-q", here)

    def stash(self) -> None:
        if self.lab.git("status", "--porcelain", "-uno", "--ignore-submodules"):
            self.lab.git("stash", "-q")
            if self.random.random() < 0.7:
                self.lab.git("stash", "pop", "-q")

    def commit(self) -> None:
        more = self.random.choice([[], ["--amend"], ["--allow-empty"]])
        self.lab.git("commit", "-q", "-a", "--allow-empty", *more, "-m", f"step {len(self.done)}")
        if self.random.random() < 0.3:
            self.lab.git("reset", "-q", "--soft", "HEAD~1")

    def submodule(self) -> None:
        self.lab.git("-C", "sub", "checkout", "-q", "--force", self.random.choice(["main", "main~1"]))

    # What the tree made, and what it keeps.

    def step_the_clock(self) -> None:
        """Have all that the tree made, and its record, look an hour older or younger."""
        tree = self.a_tree()
        if tree is None:
            return
        step = self.random.choice([-3600, 3600]) * 10**9
        record = self.lab.volume / ".devbox/records" / tree.name
        for path in [*tree.rglob("*"), *record.iterdir()]:
            if path.suffix in {*MADE, ".gch", ".json", ".pcm"} or path.name == "lab":
                os.utime(path, ns=(1, path.stat().st_mtime_ns + step))
        log = tree / ".ninja_log"
        lines = [line.split("\t") for line in log.read_text().splitlines()]
        text = "".join(
            "\t".join([*line[:2], str(max(1, int(line[2]) + step)), *line[3:]] if len(line) == 5 else line) + "\n"
            for line in lines
        )
        log.write_text(text)

    def change_what_was_made(self) -> None:
        tree = self.a_tree()
        path = (tree or self.top) / self.random.choice(["made.h", "listed.c", "table.h", "config.h", "libunity.a"])
        if tree is not None and path.exists():
            if self.random.random() < 0.5 and path.name != "config.h":
                path.unlink()
            elif path.suffix != ".a":
                path.write_text(path.read_text().replace("1", "3"))
                os.utime(path, (1, 1))

    # Environment, compilers, image.

    def environment(self) -> None:
        name = self.random.choice(["CPATH", "CPLUS_INCLUDE_PATH", "CFLAGS", "NVCC_APPEND_FLAGS"])
        values = ["-DENVIRONMENT_SAYS=1", "-DENVIRONMENT_SAYS=2"]
        if name.endswith("PATH"):
            values = [str(self.outside / f"environment-{one}") for one in ("v1", "v2")]
        value = self.random.choice([None, *values])
        self.lab.environ.pop(name, None)
        if value is not None:
            self.lab.environ[name] = value

    def edit_what_the_environment_names(self) -> None:
        path = self.outside / self.random.choice(["environment-v1", "environment-v2"]) / "environment.h"
        if path.exists() and self.random.random() < 0.3:
            path.unlink()
        else:
            path.write_text(f"#define ENVIRONMENT {self.number()}\n")
            os.utime(path, (1, 1))

    def another_compiler(self) -> None:
        self.tools.use(self.random.choice(self.tools.compilers))

    def another_image(self) -> None:
        """Write the same headers anew, with other inodes and times, as another image has them."""
        for name in ("v1", "v2"):
            folder = self.outside / name
            folder.rename(self.outside / f"{name}-{len(self.done)}")
            shutil.copytree(self.outside / f"{name}-{len(self.done)}", folder, copy_function=shutil.copy)

    def another_key(self) -> None:
        self.type = self.random.choice(["Debug", "Release"])

    def flags(self) -> None:
        self.defines = self.random.choice([[], [["LOUD", "ON"]], [["CMAKE_C_FLAGS", "-O1"]]])

    # Tools that a person runs.

    def ninja_by_hand(self) -> None:
        self._by_hand("ninja", *self.random.choice([[], ["parts"], ["-t", "clean", "shared"], ["-t", "restat"]]))

    def ninja_by_hand_killed(self) -> None:
        """Kill all of it at any moment, or ninja alone."""
        tree = self.a_tree()
        if tree is not None:
            self.write()
            running = subprocess.Popen(
                ["ninja"], cwd=tree, env=self.lab.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.wait(self.random.random())
            with contextlib.suppress(ProcessLookupError):
                self.random.choice([os.kill, os.killpg])(running.pid, signal.SIGKILL)
            running.wait()

    def cmake_by_hand(self) -> None:
        self._by_hand("cmake", *self.random.choice([["-DLOUD=ON", "."], ["."]]))

    def _by_hand(self, *argv: str) -> None:
        tree = self.a_tree()
        if tree is not None:
            subprocess.run(argv, cwd=tree, env=self.lab.environ, check=False, capture_output=True)

    # Builds that are not looked at.

    def build_cut_off(self) -> None:
        """Kill the agent, or let it know that its client is gone, after some of its words or at any moment."""
        running = self.lab.start(type=self.type, defines=self.defines, jobs=self.random.choice([1, None]))
        assert running.process.stdout is not None
        if self.random.random() < 0.5:
            for _ in range(self.random.randrange(1, 14)):
                if not running.process.stdout.readline():
                    break
        else:
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.process.wait(self.random.random() * 2)
        if self.random.random() < 0.6:
            running.process.kill()
        running.close()

    def something_while_it_builds(self) -> None:
        running = self.lab.start(type=self.type, defines=self.defines, jobs=1)
        assert running.process.stdout is not None
        for _ in range(self.random.randrange(2, 14)):
            if not running.process.stdout.readline():
                break
        meanwhile = [self.edit, self.edit_with_an_old_time, self.rename_away_and_back, self.switch, self.retarget,
                     self.exchange_a_folder, self.come_and_go]  # fmt: skip
        step = self.random.choice(meanwhile)
        self.done.append(f"({step.__name__})")
        step()
        running.close()

    def two_builds_at_once(self) -> None:
        self.write()
        running = [self.lab.start(type=self.type, defines=self.defines) for _ in range(2)]
        closing = [threading.Thread(target=one.close) for one in running]
        for one in closing:
            one.start()
        for one in closing:
            one.join()

    def build_a_part(self) -> None:
        target = self.random.choice(["parts", "shared", "unity", "CMakeFiles/parts.dir/one.c.o"])
        self.lab.build(type=self.type, defines=self.defines, targets=[target])

    def build_without_healing(self) -> None:
        self.lab.build(type=self.type, defines=self.defines, heal=False)

    def reconfigure(self) -> None:
        self.lab.build(type=self.type, defines=self.defines, mode="reconfigure")

    def seed_another_workspace(self) -> None:
        """Go on in a second checkout at the same place, whose tree starts as a copy of this one's."""
        self.seeds += 1
        for path in self.lab.volume.parent.glob("first-*"):
            shutil.rmtree(path)
        second = Second(self.lab, self.seeds)
        how = self.random.choice(["-a", "-r"])
        shutil.copytree(
            second.first / "workspace",
            self.top,
            symlinks=True,
            copy_function=shutil.copy2 if how == "-a" else shutil.copy,
        )
        self.trees.clear()
        if self.random.random() < 0.5:
            self.random.choice([self.edit, self.edit_with_an_old_time, self.switch, self.come_and_go])()
        self.build(second.build(type=self.type, defines=self.defines))

    # Builds that are looked at.

    def build(self, result: JSON | None = None) -> None:
        before = {tree: self.objects(tree) for tree in self.trees.values()}
        logs = {tree: ninja_log.read(str(tree)).lines for tree in self.trees.values()}
        if result is None:
            result = self.lab.build(type=self.type, defines=self.defines)
        assert result["code"] == 0, result
        tree = Path(result["tree"])
        self.trees[result["key"]] = tree
        self.counts += Counter(builds=1, objects=result["compiled"], configures=bool(result["configured"]))
        self.check(tree, result)
        if tree in before:
            self.look_for_waste(tree, before[tree], logs[tree], result)

    def check(self, tree: Path, result: JSON) -> None:
        clean = self.folder / "clean"
        shutil.rmtree(clean, ignore_errors=True)
        given = [f"-D{left}={right}" for left, right in self.defines]
        argv = [
            "cmake",
            "-G",
            "Ninja",
            f"-DCMAKE_BUILD_TYPE={self.type}",
            *given,
            "-S",
            str(self.top),
            "-B",
            str(clean),
        ]
        environ = {**self.lab.environ, "CC": str(self.tools.folder / "cc"), "CXX": str(self.tools.folder / "c++")}
        subprocess.run(argv, env=environ, check=True, capture_output=True)
        # ninja itself would run cmake a hundred times where a CMake file is of the future.
        (clean / ".ninja_log").unlink(missing_ok=True)
        ahead = time.time() + 48 * 3600
        for path in clean.rglob("*"):
            os.utime(path, (ahead, ahead))
        subprocess.run(["ninja"], cwd=clean, env=environ, check=True, capture_output=True)
        said = [subprocess.run([f"{place}/lab"], check=True, capture_output=True).stdout for place in (tree, clean)]
        assert said[0] == said[1], result["reasons"]
        for path in [*clean.rglob("*"), clean / "lab"]:
            if (path.suffix in MADE or path.name == "lab") and path.is_file() and not path.name.endswith(NVCC):
                ours = tree / path.relative_to(clean)
                assert ours.read_bytes() == path.read_bytes() or _code(ours) == _code(path), (
                    str(ours),
                    result["reasons"],
                )

    def objects(self, tree: Path) -> dict[str, bytes]:
        return {str(path.relative_to(tree)): path.read_bytes() for path in tree.rglob("*.o")}

    def look_for_waste(self, tree: Path, before: dict[str, bytes], log: dict[str, Line], result: JSON) -> None:
        """Demand a reason for each object that was made anew as it was before."""
        now = ninja_log.read(str(tree)).lines
        ran = {name for name, line in now.items() if name not in log or log[name][:2] != line[:2]}
        if not ran:
            return
        edges = Edges(str(tree))
        plain = {edges.plain(name) for name in ran}
        told = {reason.rpartition(": ")[2]: reason for reason in result["reasons"] if reason.startswith("made anew")}
        for name, content in before.items():
            if name not in ran or name not in log or name.endswith(NVCC) or (tree / name).read_bytes() != content:
                continue
            edge = edges.maker[name]
            why = "nothing"
            if name in told:
                why = "its " + re.sub(
                    r"\S+ (?=changed|came)|, [^:]*", "", told[name][len("made anew, ") :].rpartition(": ")[0]
                )
            elif log[name].command != now[name].command:
                why = "another command"
            elif plain.intersection(_all_inputs(edges, edge.names[0])):
                why = "what it is made from was made anew"
            elif len(told) >= 20:
                why = "not told, there are so many"
            self.counts[f"same again: {why}"] += 1
            assert why != "nothing", f"{name} was made anew for nothing: {result}"

    def run(self, steps: int) -> None:
        kinds: list[tuple[Callable[[], None], int]] = [
            (self.edit, 3), (self.edit_with_an_old_time, 3), (self.edit_and_keep_the_time, 2), (self.move_over, 2),
            (self.a_time_in_the_future, 2), (self.a_time_set_back, 2), (self.exchange_two_files, 1), (self.touch, 1),
            (self.a_build_that_fails, 1),
            (self.exchange_a_folder, 2), (self.rename_away_and_back, 1), (self.link_names, 1), (self.retarget, 2),
            (self.a_link_for_a_folder, 1), (self.edit_outside, 2), (self.come_and_go, 3),
            (self.switch, 3), (self.there_and_back, 2), (self.stash, 1), (self.commit, 1), (self.submodule, 1),
            (self.step_the_clock, 2), (self.change_what_was_made, 2),
            (self.environment, 2), (self.edit_what_the_environment_names, 1), (self.another_compiler, 1),
            (self.another_image, 1), (self.another_key, 2), (self.flags, 1),
            (self.ninja_by_hand, 2), (self.ninja_by_hand_killed, 2), (self.cmake_by_hand, 1),
            (self.build_cut_off, 3), (self.something_while_it_builds, 3), (self.two_builds_at_once, 1),
            (self.build_a_part, 1), (self.build_without_healing, 1), (self.reconfigure, 1),
            (self.seed_another_workspace, 1),
        ]  # fmt: skip
        self.build()
        for number in range(steps):
            step = self.random.choices([step for step, _ in kinds], [weight for _, weight in kinds])[0]
            self.done.append(step.__name__)
            self.counts[step.__name__] += 1
            step()
            if self.random.random() < 0.25 or number == steps - 1:
                self.done.append("build")
                self.build()
        result = self.lab.build(type=self.type, defines=self.defines)
        assert (result["commands"], result["configured"]) == (0, []), f"a build with nothing to do: {result}"


def _all_inputs(edges: Edges, name: str) -> Iterator[str]:
    """Yield all that an output is made from, directly or not, by our names."""
    pending, seen = [edges.plain(name)], set[str]()
    while pending:
        edge = edges.maker.get(pending.pop())
        for one in edge.inputs if edge is not None else ():
            if one not in seen:
                seen.add(one)
                pending.append(one)
                yield one


def _code(path: Path) -> bytes:
    """Return an object, a library or a program without what says where it was built, and by which process."""
    stripped = path.with_suffix(".stripped")
    how = "-s" if path.name == "libkernels.so" else "-g"
    subprocess.run(["strip", how, "-o", str(stripped), str(path)], check=True)
    try:
        return stripped.read_bytes()
    finally:
        stripped.unlink()


# What a walk may have more, and what it needs on this machine.
PARTS = {
    "VERSIONED": "git",
    "MODULES": "clang 17 and cmake 3.28, or later ones, on PATH",
    "KERNELS": "nvcc",
    "GCC": "a second gcc, such as g++-11",
}


def follow(tmp_path: Path, seed: int, steps: int, part: str = "") -> None:
    walk = Walk(tmp_path, seed, {part})
    there = {*walk.tools.parts, *(["GCC"] if len(walk.tools.compilers) > 1 else ())}
    if part and part not in there:
        pytest.skip(f"there is not {PARTS[part]}")
    try:
        walk.run(steps)
    except (AssertionError, subprocess.CalledProcessError) as error:
        said = error.stderr if isinstance(error, subprocess.CalledProcessError) else ""
        pytest.fail(f"seed {seed} with {sorted(walk.tools.parts)}, after {', '.join(walk.done)}: {error} {said}")
    finally:
        walk.lab.close()
    print(seed, sorted(walk.tools.parts), dict(walk.counts))


def test_a_hostile_history_is_built_as_from_nothing(tmp_path: Path) -> None:
    follow(tmp_path, 0, 12)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", list(PARTS))
@pytest.mark.parametrize("seed", range(100, 104))
def test_many_hostile_histories_are_built_as_from_nothing(tmp_path: Path, seed: int, part: str) -> None:
    follow(tmp_path, seed, STEPS, part)
