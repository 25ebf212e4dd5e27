"""The agent's smaller parts: keys, cmake's arguments, jobs, ninja's talk, and what makes it run in any container."""

from __future__ import annotations

import ast
import itertools
import os
import struct
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox import agent
from devbox.agent import jobs, placeholders
from devbox.agent.content import await_tick
from devbox.agent.drivers import cmake_call
from devbox.agent.files import stamp
from devbox.agent.key import KEYED, digest, key
from devbox.agent.ninja import deps as ninja_deps
from devbox.agent.ninja.output import (
    ERASE,
    MARK,
    Conversation,
    LogMark,
    Progress,
    commands_since,
    compiled,
    mark_log,
    short,
)
from devbox.agent.protocol import Rules
from devbox.agent.tools import version_tuple
from devbox.builds import deliver
from devbox.frameworks.model import BuildRules

VALUES = {
    "source": "/w/s", "build": "/b/k", "python": "/v/bin/python3", "type": "Release", "arch": "90-real", "threads": "2",
    "jobs": "8", "prefix": "/w",
}  # fmt: skip


class TestDelivery:
    def test_every_module_is_understood_by_the_oldest_python(self) -> None:
        for name, text in deliver.bundle().items():
            ast.parse(text, name, feature_version=(3, 8))

    def test_only_the_standard_library_is_imported(self) -> None:
        for name, text in deliver.bundle().items():
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.Import):
                    found = {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.level == 0:
                    found = {str(node.module).partition(".")[0]}
                else:
                    continue
                # `_sha2` is of Python 3.12 and later, `_sha256` of those before.
                assert found <= sys.stdlib_module_names | {"agent", "_sha2", "_sha256"}, name

    def test_a_warm_build_loads_nothing_that_it_does_not_need(self) -> None:
        code = (
            "import sys; sys.path.insert(0, sys.argv[1]); import agent.main, agent.attempt, agent.drivers.cmake; "
            "print(*sys.modules)"
        )
        folder = Path(agent.__file__).parent.parent
        argv = [sys.executable, "-I", "-S", "-c", code, str(folder)]
        loaded = set(subprocess.check_output(argv, text=True).split())
        slow = {"socket", "shutil", "zipfile", "glob", "tempfile", "urllib", "email", "dataclasses", "inspect"}
        others = {
            *(f"drivers.{name}" for name in ("build_wheel", "cargo", "scikit", "presets")),
            *("package", "python.wheel", "ninja.graph", "ninja.manifest"),
            *(f"proof.{name}" for name in ("judge", "arrange", "edges", "by_time")),
        }
        assert not loaded & (slow | {f"agent.{name}" for name in others})

    def test_the_name_is_made_from_the_source(self) -> None:
        assert deliver.place("/build").startswith("/build/.devbox/agent/")
        assert len(deliver.name()) == 16
        assert "agent/proof/judge.py" in deliver.bundle()


class TestKey:
    def test_it_is_short_stable_and_says_type_and_architectures(self) -> None:
        inputs = {"type": "Release", "arch": "90-real;100-real", "c": ["/usr/bin/cc", "12.2", "abc"]}
        assert key(inputs) == key(dict(reversed(inputs.items()))) == f"release-90+100-{digest(inputs)[:8]}"
        assert key({**inputs, "arch": "9.0 10.0a"}).startswith("release-90+100a-")
        assert key({**inputs, "arch": None}).startswith("release-")

    @given(st.text(), st.text())
    def test_it_is_always_a_plain_folder_name(self, kind: str, arch: str) -> None:
        name = key({"type": kind, "arch": arch})
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789+-")
        assert 8 <= len(name) <= 58

    @pytest.mark.parametrize(
        "name", ["CMAKE_BUILD_TYPE", "CMAKE_CUDA_COMPILER", "CMAKE_CXX_COMPILER_LAUNCHER", "Python_EXECUTABLE"]
    )
    def test_definitions_that_choose_the_toolchain_belong_to_it(self, name: str) -> None:
        assert KEYED.fullmatch(name)
        assert cmake_call.keyed([("OTHER", "1"), (f"{name}:STRING", "x")]) == [[name, "x"]]


class TestCmake:
    def test_placeholders(self) -> None:
        assert placeholders.fill("-j{jobs} {source}/x ${source} {other}", VALUES) == "-j8 /w/s/x ${source} {other}"

    def test_the_user_s_definitions_replace_the_framework_s(self) -> None:
        rules = Rules.of(asdict(BuildRules(defines=(("A:BOOL", "ON"), ("B", "{build}")))))
        found = cmake_call.defines(rules, VALUES, [("A", "OFF"), ("C:STRING", "x")])
        assert list(found.items()) == [
            ("CMAKE_BUILD_TYPE", "Release"),
            ("CMAKE_EXPORT_COMPILE_COMMANDS", "ON"),
            ("CMAKE_CUDA_ARCHITECTURES", "90-real"),
            ("B", "/b/k"),
            ("A", "OFF"),
            ("C:STRING", "x"),
        ]

    def test_variables_that_cmake_reads_once(self) -> None:
        environ = {
            "CFLAGS": "-g", "CMAKE_PREFIX_PATH": "/p", "Torch_DIR": "/t", "PATH": "/bin", "CCACHE_DIR": "/c",
            "HIPFLAGS": "-O1", "MKLROOT": "/m",
            "CMAKE_CXX_COMPILER_LAUNCHER": "ccache", "MINE": "1",
        }  # fmt: skip
        assert sorted(cmake_call.environment(environ, ["MINE"])) == [
            "CFLAGS", "CMAKE_PREFIX_PATH", "HIPFLAGS", "MINE", "MKLROOT", "Torch_DIR",
        ]  # fmt: skip


class TestJobs:
    @pytest.mark.parametrize(
        ("cpus", "quota", "available", "per_job", "number", "reason"),
        [
            (8, None, None, 2048, 8, "CPUs"),
            (8, 2.5, 64000, 2048, 3, "quota"),
            (64, None, 16000, 4096, 3, "memory"),
            (8, 0.3, 100, 4096, 1, "quota"),
            (8, None, 100, 4096, 1, "memory"),
        ],
    )
    def test_the_scarcest_decides(
        self, cpus: int, quota: float | None, available: int | None, per_job: int, number: int, reason: str
    ) -> None:
        found = jobs.choose(cpus, quota, available, per_job)
        assert found.number == number
        assert reason in found.reason

    def test_limits_of_cgroup_v2(self, tmp_path: Path) -> None:
        self.mount(tmp_path, "0::/", "/sys/fs/cgroup rw - cgroup2 cgroup2 rw")
        self.write(tmp_path, "sys/fs/cgroup/cpu.max", "150000 100000")
        self.write(tmp_path, "sys/fs/cgroup/memory.max", str(4 << 30))
        self.write(tmp_path, "sys/fs/cgroup/memory.current", str(3 << 30))
        self.write(tmp_path, "sys/fs/cgroup/memory.stat", f"anon 1\ninactive_file {1 << 30}\n")
        self.write(tmp_path, "proc/meminfo", "MemTotal: 99999999 kB\nMemAvailable: 88888888 kB\n")
        assert jobs.cpu_quota(str(tmp_path)) == 1.5
        assert jobs.available_memory(str(tmp_path)) == 2048

    def test_limits_of_cgroup_v1(self, tmp_path: Path) -> None:
        self.mount(tmp_path, *self.V1)
        self.write(tmp_path, "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "400000")
        self.write(tmp_path, "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000")
        self.write(tmp_path, "sys/fs/cgroup/memory/memory.limit_in_bytes", str(2 << 30))
        self.write(tmp_path, "sys/fs/cgroup/memory/memory.usage_in_bytes", str(1 << 30))
        assert jobs.cpu_quota(str(tmp_path)) == 4
        assert jobs.available_memory(str(tmp_path)) == 1024

    def test_no_limit(self, tmp_path: Path) -> None:
        self.mount(tmp_path, "0::/", "/sys/fs/cgroup rw - cgroup2 cgroup2 rw")
        self.write(tmp_path, "sys/fs/cgroup/cpu.max", "max 100000")
        self.write(tmp_path, "sys/fs/cgroup/memory.max", "max")
        self.write(tmp_path, "sys/fs/cgroup/memory.current", "1")
        assert jobs.cpu_quota(str(tmp_path)) is None
        assert jobs.available_memory(str(tmp_path)) is None
        self.mount(tmp_path, *self.V1)
        self.write(tmp_path, "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1")
        assert jobs.cpu_quota(str(tmp_path)) is None

    @pytest.mark.parametrize(
        "output",
        [
            "c++: fatal error: Killed signal terminated program cc1plus",
            "nvcc error   : 'cicc' died due to signal 9 (Kill signal)",
            "[code=137]",
            "virtual memory exhausted: Cannot allocate memory",
        ],
    )
    def test_a_compiler_that_was_killed_for_memory(self, output: str) -> None:
        assert jobs.out_of_memory(output)
        assert not jobs.out_of_memory("error: 'x' undeclared")

    V1 = (
        "4:memory:/\n5:cpu:/",
        "/sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu",
        "/sys/fs/cgroup/memory rw - cgroup cgroup rw,memory",
    )

    def mount(self, root: Path, groups: str, *mounts: str) -> None:
        """Write what the kernel says of a container that sees its own group as the top of the hierarchy."""
        self.write(root, "proc/self/cgroup", f"{groups}\n")
        self.write(root, "proc/self/mountinfo", "".join(f"32 23 0:28 / {mount}\n" for mount in mounts))

    @staticmethod
    def write(root: Path, name: str, text: str) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def status(started: int, finished: int, total: int, title: str) -> str:
    return f"\r{MARK}{started} {finished} {total}{MARK}{title}{ERASE}"


TALK = (
    status(1, 0, 3, "Building C object CMakeFiles/x.dir/src/a.c.o")
    + status(2, 0, 3, "Building C object CMakeFiles/x.dir/b.c.o")
    + status(2, 1, 3, "Building C object CMakeFiles/x.dir/src/a.c.o")
    + "\na.c:1: warning: héllo\n\n  1 | int a;\n"
    + status(2, 2, 3, "Building C object CMakeFiles/x.dir/b.c.o")
    + "\n\x1b[31mFAILED: \x1b[0m[code=1] CMakeFiles/x.dir/b.c.o \n/usr/bin/cc -c b.c\nb.c:1: error: no\n"
    + "ninja: build stopped: subcommand failed.\n"
)


class TestNinjaTalk:
    @given(st.lists(st.integers(0, len(TALK)), max_size=30))
    def test_it_is_followed_however_it_is_cut(self, cuts: list[int]) -> None:
        seen: list[Progress] = []
        lines: list[str] = []
        talk = Conversation(seen.append, lines.append)
        places = sorted({0, *cuts, len(TALK)})
        for start, end in itertools.pairwise(places):
            talk.feed(TALK[start:end])
        talk.end()
        assert [title for one in seen for title in one.finished] == [
            "[1/3] Building C object CMakeFiles/x.dir/src/a.c.o",
            "[2/3] Building C object CMakeFiles/x.dir/b.c.o",
        ]
        assert (seen[-1].done, seen[-1].total, seen[-1].running) == (2, 3, [])
        assert lines == [
            "a.c:1: warning: héllo", "  1 | int a;", "FAILED: [code=1] CMakeFiles/x.dir/b.c.o ", "/usr/bin/cc -c b.c",
            "b.c:1: error: no", "ninja: build stopped: subcommand failed.",
        ]  # fmt: skip
        assert talk.failure is not None
        assert talk.failure.outputs == "CMakeFiles/x.dir/b.c.o"
        assert talk.failure.command == "/usr/bin/cc -c b.c"
        assert talk.failure.output == "b.c:1: error: no"

    def test_what_runs_is_named_by_its_source(self) -> None:
        seen: list[Progress] = []
        talk = Conversation(seen.append, lambda _: None)
        talk.feed(status(1, 0, 9, "Building CUDA object CMakeFiles/k.dir/csrc/attention/paged.cu.o"))
        assert seen[-1].running == ["csrc/attention/paged.cu"]
        assert short("Linking CXX shared library libx.so") == "Linking CXX shared library libx.so"

    def test_counts_begin_anew_after_ninja_ran_cmake(self) -> None:
        seen: list[Progress] = []
        talk = Conversation(seen.append, lambda _: None)
        talk.feed(status(1, 0, 1, "Re-running CMake...") + status(1, 1, 1, "Re-running CMake..."))
        talk.feed(status(1, 0, 5, "Building C object a.c.o"))
        assert (seen[-1].done, seen[-1].total, seen[-1].running) == (0, 5, ["a.c"])


class TestNinjaFiles:
    def test_the_commands_since_a_place_in_the_log(self, tmp_path: Path) -> None:
        log = tmp_path / ".ninja_log"
        log.write_text("# ninja log v5\n0\t100\t1\told.o\taa\n")
        mark = mark_log(str(tmp_path))
        with log.open("a") as stream:
            stream.write("0\t5000\t1\ta.o\tbb\n0\t5000\t1\ta.d\tbb\n10\t30\t1\tlibx.so\tcc\n")
        found = commands_since(str(tmp_path), mark)
        assert [(one.output, one.seconds) for one in found] == [("a.o", 5.0), ("libx.so", 0.02)]
        assert compiled(found) == 1

    def test_a_log_that_was_written_anew_counts_what_is_new(self, tmp_path: Path) -> None:
        (tmp_path / "old.o").touch()
        ahead = time.time() + 3600  # as its source, which is of the future
        os.utime(tmp_path / "old.o", (ahead, ahead))
        before = stamp((tmp_path / "old.o").stat())
        mark = LogMark(1, 0, before.ctime + 1)
        await_tick([before])
        (tmp_path / "new.o").touch()
        (tmp_path / ".ninja_log").write_text("# ninja log v5\n0\t1\t1\told.o\taa\n0\t2\t1\tnew.o\tbb\n")
        found = commands_since(str(tmp_path), mark)
        assert [one.output for one in found] == ["new.o"]

    def test_dependencies(self, tmp_path: Path) -> None:
        def path_record(name: bytes, number: int) -> bytes:
            padded = name + b"\0" * (-len(name) % 4)
            return struct.pack("<I", len(padded) + 4) + padded + struct.pack("<i", ~number)

        def deps_record(output: int, *inputs: int) -> bytes:
            body = struct.pack("<iII", output, 0, 0) + struct.pack(f"<{len(inputs)}i", *inputs)
            return struct.pack("<I", len(body) | 1 << 31) + body

        data = b"# ninjadeps\n" + struct.pack("<i", 4)
        data += path_record(b"a.o", 0) + path_record(b"/usr/include/x.h", 1) + deps_record(0, 1)
        data += path_record(b"../y.h", 2) + deps_record(0, 1, 2)
        (tmp_path / ".ninja_deps").write_bytes(data + b"\x20\x00\x00\x00cut off")
        deps = ninja_deps.read(str(tmp_path))
        assert deps.paths == ["a.o", "/usr/include/x.h", "../y.h"]
        assert [(output, list(inputs)) for output, inputs in deps.outputs] == [(0, [1, 2])]
        ninja_deps.set_times(str(tmp_path), {"a.o": 7, "../y.h": 8, "other.o": 9})
        later = (tmp_path / ".ninja_deps").read_bytes()
        old, new = (struct.pack("<iqi", 0, time, 1) for time in (0, 7))
        assert later == data.replace(old, new) + b"\x20\x00\x00\x00cut off"
        ninja_deps.set_times(str(tmp_path), {"a.o": 6})
        assert (tmp_path / ".ninja_deps").read_bytes() == later
        (tmp_path / ".ninja_deps").write_bytes(data.replace(struct.pack("<i", 4), struct.pack("<i", 9), 1))
        assert ninja_deps.read(str(tmp_path)).paths == []


def test_versions() -> None:
    assert version_tuple("1.13.2.git.kitware.jobserver-pipe-1") >= (1, 12)
    assert version_tuple("1.8.2.git.kitware.jobserver-1") < (1, 12)
    assert version_tuple("none") == ()
