"""A small C tree, a build volume, and the agent run on them as the container would run it, but without a container.

The oracle is the compiler itself: whatever was done to a tree, the program that was built says what one says that is
compiled from scratch from the same files.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from devbox.agent import protocol
from devbox.builds import deliver
from devbox.frameworks.model import BuildRules

if TYPE_CHECKING:
    from collections.abc import Mapping

JSON = dict[str, Any]

CMAKE = """\
cmake_minimum_required(VERSION 3.16)
project(lab C)
option(LOUD "Print more" OFF)
add_library(parts STATIC one.c two.c three.c)
add_executable(lab main.c)
target_link_libraries(lab PRIVATE parts)
if(LOUD)
  target_compile_definitions(lab PRIVATE LOUD=1)
endif()
"""
FILES = {
    "CMakeLists.txt": CMAKE,
    "shared.h": "#define SHARED 1\n",
    "one.h": "#define ONE 1\n",
    "one.c": '#include "shared.h"\n#include "one.h"\nint one(void) { return SHARED * 1000 + ONE; }\n',
    "two.c": '#include "shared.h"\nint two(void) { return SHARED * 1000 + 2; }\n',
    "three.c": "int three(void) { return 3; }\n",
    "main.c": (
        "#include <stdio.h>\nint one(void); int two(void); int three(void);\n"
        'int main(void) {\n#ifdef LOUD\n  puts(LOUD ? "loud" : "");\n#endif\n'
        '  printf("%d %d %d\\n", one(), two(), three());\n  return 0;\n}\n'
    ),
}
COUNT = 4  # objects in a full build
NEEDED = ("cmake", "ninja", "cc", "git")


def path_with_tools(*more: str) -> str:
    """Return PATH with the folder of the running Python in it, where cmake and ninja may lie.

    Skips the test where one of the tools, or of the `more` that it needs, is not there.
    """
    path = os.pathsep.join([os.environ["PATH"], str(Path(sys.executable).parent)])
    missing = [name for name in (*NEEDED, *more) if shutil.which(name, path=path) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    return path


class Running:
    """An agent at work; closing `stdin` is what the death of its client looks like."""

    def __init__(self, lab: Lab, request: protocol.Request[Any]) -> None:
        self.process = subprocess.Popen(
            lab.agent_argv(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=lab.environ,
            cwd="/",
        )
        self.events: list[JSON] = []
        self.lab = lab
        self._write(request.to_line())

    def answer(self) -> None:
        """Answer what the agent asked."""
        self._write("")

    def _write(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def until(self, kind: str, **fields: object) -> JSON:
        """Read events up to one of this kind with these fields."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            event: JSON = json.loads(line)
            self.events.append(event)
            if event["event"] == kind and all(event[name] == value for name, value in fields.items()):
                return event
        raise AssertionError(f"no {kind} in {self.events[-5:]}")

    def until_running(self, title: str) -> None:
        """Read events up to the progress that names `title` as running."""
        while title not in self.until("progress")["running"]:
            pass

    def hang_up(self) -> None:
        """Be a client that is gone."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    def result(self) -> JSON:
        """Read to the end and return the result."""
        result = self.until("result")
        self.close()
        return result

    def close(self) -> int:
        """Wait for the agent's end and return its exit code."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        if not self.process.stdout.closed:
            self.process.stdout.read()
            self.process.stdout.close()
        return self.process.wait(30)


class Lab:
    """A workspace under git with branch `main`, and its build volume. `files` are its first commit."""

    def __init__(self, folder: Path, files: Mapping[str, str] = FILES) -> None:
        self.workspace = folder / "work space"
        self.volume = folder / "build"
        self.volume.mkdir(parents=True)
        self.environ = {
            "PATH": path_with_tools(),
            "HOME": str(folder),
            "GIT_CONFIG_GLOBAL": os.devnull,
            **{f"GIT_{who}_{what}": "lab@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        }
        for name, text in files.items():
            self.write(name, text)
        self.git("init", "-q", "-b", "main")
        self.commit("first")
        bundle = json.dumps(deliver.bundle())
        receive = [sys.executable, *deliver.receive_argv(str(self.volume))[1:]]
        subprocess.run(receive, input=bundle, text=True, check=True)
        self.rules = BuildRules(memory_per_job=64, arch_define=None)
        self.request: JSON = {}
        self.started: list[Running] = []

    def agent_argv(self) -> list[str]:
        """Return the command line of the agent."""
        return [sys.executable, "-I", "-S", deliver.place(str(self.volume))]

    def write(self, name: str, text: str) -> Path:
        path = self.workspace / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def git(self, *args: str) -> str:
        done = subprocess.run(
            ["git", *args], cwd=self.workspace, env=self.environ, check=True, capture_output=True, text=True
        )
        return done.stdout

    def commit(self, message: str) -> None:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)

    def branch(self, name: str, files: dict[str, str], *, back: bool = True) -> None:
        """Make a branch with other contents, and by default leave it again."""
        self.git("switch", "-q", "-c", name)
        for path, text in files.items():
            self.write(path, text)
        self.commit(name)
        if back:
            self.git("switch", "-q", "main")

    def start(self, **fields: object) -> Running:
        return self.ask(protocol.Build, **fields)

    def ask(self, kind: type[protocol.Configured[Any]], /, **fields: object) -> Running:
        request: JSON = {
            "client": "the lab",
            "framework": "lab",
            "variant": "default",
            "rules": asdict(self.rules),
            "type": "Debug",
            "arch": None,
            "jobs": None,
            "targets": [],
            "defines": [],
            "args": [],
            "mode": "incremental",
            "heal": True,
            "cache": {"kind": "none"},
            "workspace": str(self.workspace),
            "container": "a",
            "volume": str(self.volume),
            **self.request,
            **fields,
        }
        self.started.append(Running(self, kind.of(request)))
        return self.started[-1]

    def close(self) -> None:
        """End every agent that a test left behind."""
        for running in self.started:
            running.close()

    def build(self, **fields: object) -> JSON:
        return self.start(**fields).result()

    def built(self, *, objects: int, **fields: object) -> JSON:
        """Build, and demand that it went well, compiled so many objects, and made what a build from scratch makes."""
        result = self.build(**fields)
        assert result["code"] == 0, result["failure"]
        assert result["compiled"] == objects, result
        self.check(result)
        return result

    def check(self, result: JSON) -> None:
        """Compare the program of a build with one that is compiled from the files as they are now."""
        said = subprocess.run([f"{result['tree']}/lab"], check=True, capture_output=True, text=True).stdout
        assert said == self.from_scratch()

    def from_scratch(self, *flags: str) -> str:
        program = self.volume.parent / "scratch"
        sources = [str(path) for path in sorted(self.workspace.glob("*.c"))]
        subprocess.run(["cc", *flags, *sources, "-o", str(program)], check=True)
        return subprocess.run([str(program)], check=True, capture_output=True, text=True).stdout

    def ninja(self, result: JSON, *args: str) -> None:
        """Run ninja by hand in the tree of a build, as an IDE does."""
        subprocess.run(["ninja", *args], cwd=result["tree"], env=self.environ, check=True, capture_output=True)

    def attempt(self, result: JSON) -> JSON:
        """Return the record of the last attempt at a build's tree."""
        path = self.volume / ".devbox" / "records" / result["key"] / "attempt.json"
        return dict(json.loads(path.read_text()))
