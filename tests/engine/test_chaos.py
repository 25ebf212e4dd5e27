"""Commands that are killed, interrupted or left alone anywhere: no traceback, nothing left over, the same one finishes.

`make chaos SEED=7 ROUNDS=500` chooses moments, faults and commands; one seed gives the same ones again, though not the
same moments of the work. What was done to which command is printed at the end.
"""

from __future__ import annotations

import json
import os
import random
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from devbox.paths import config_dir, state_dir
from tests.engine.lab import REPOSITORY, small_tree, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from devbox.engine.docker import Engine

pytestmark = [pytest.mark.engine, pytest.mark.slow]

SEED = int(os.environ.get("SEED") or 1)
ROUNDS = int(os.environ.get("ROUNDS") or 60)
# Besides signals: nobody reads any more what the command says, and its dev containers are killed below it.
FAULTS = ("SIGKILL", "SIGINT", "SIGTERM", "SIGHUP", "unread", "container")
ASKING = """
status; status --all --fast; ps; builds list; builds list --all; hooks list; config contract
config contract --merged; config show; logs; doctor; image list; image prune --dry-run; task list; trust list
trust show; frameworks list; frameworks show cuda; prepare; du; prune --all --dry-run; down --dry-run; up --dry-run
run --dry-run -- true; generate --dry-run --framework cuda --variant cpu
"""
LIFE = """
up --trust; up --trust; up --trust; up --trust --recreate --yes; stop; down; down --volumes --yes; prune --yes
hooks run postCreateCommand
exec -- sh -c 'echo begun && sleep 0.2'; run -- sh -c 'echo begun && sleep 0.2'
"""
# What only one kind of yard has.
MORE = {
    "run": "generate --framework cuda --variant cpu --force --name chaos",
    "compose": "logs --services; prebuild --trust --tag {name}:made",
    "features": "prebuild --trust --tag {name}:made; prebuild --trust --tag {name}:made --no-cache",
    "build": """
build; build; build --clean; build --reconfigure; build --type Debug; build --target small; build --explain
test --build; builds prune --keep 1 --yes; builds list --fast; compile-commands --force; cache stats; cache doctor
builds report; image build {variant} --tag {name}:made; image build {variant} --dry-run; image dockerfile {variant}
image lint {variant}; image graph {variant}; image prune --yes; task run wait --framework {name}
task run wait --framework {name} --dry-run; task show wait --framework {name}
""",
}
# What a command says where the one before it has left nothing for it.
NOTHING = ("there is no dev container", "is stopped", "no build tree", "is not running", "has no devcontainer.json")
TASK = """
extends = "cuda"
title = "A framework of tests"
[[tasks]]
name = "wait"
title = "Wait"
image = "{image}"
command = ["sleep", "0.3"]
"""


@dataclass
class Yard:
    """A checkout whose container comes and goes, and how long each command took, and ended, when it was let be."""

    path: Path
    engine: Engine
    commands: tuple[tuple[str, ...], ...]
    up: tuple[str, ...] = ("up", "--trust")
    took: dict[tuple[str, ...], float] = field(default_factory=dict)
    usual: dict[tuple[str, ...], int] = field(default_factory=dict)
    done: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def containers(self) -> list[str]:
        return [one.id for one in self.engine.containers({"devcontainer.local_folder": str(self.path)})]

    def start(self, command: tuple[str, ...]) -> subprocess.Popen[str]:
        environ = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        return subprocess.Popen(
            [sys.executable, "-m", "devbox", *command], cwd=self.path, env=environ, text=True, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def finish(self, command: tuple[str, ...]) -> None:
        """Run a command to its end. It ends as it always does, or says that there is nothing to do it with."""
        begun = time.monotonic()
        process = self.start(command)
        out, said = process.communicate(timeout=300)
        self.took[command] = time.monotonic() - begun
        assert "Traceback" not in said, (command, said)
        if not any(words in said for words in NOTHING):
            assert process.returncode == self.usual.setdefault(command, process.returncode), (command, out, said)

    def cut(self, command: tuple[str, ...], fault: str, part: float) -> None:
        """Run a command, and do to it what `fault` says when that `part` of its usual time is over."""
        process = self.start(command)
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            process.wait(timeout=part * self.took[command])
        except subprocess.TimeoutExpired:
            self.done[command[0] if command[0] != "image" else " ".join(command[:2]), fault] += 1
        said = ""
        if fault == "unread":
            process.stdout.close()
            process.stderr.close()
            process.wait(timeout=120)
        else:
            if fault.startswith("SIG"):
                process.send_signal(getattr(signal, fault))
            elif found := self.containers:
                self.engine.run(["kill", *found], check=False)
            _, said = process.communicate(timeout=120)
        # An interpreter that has not come to devbox yet has its own words.
        assert f"{REPOSITORY}/devbox/" not in said, (command, fault, part, said)

    def must_be_tidy(self) -> None:
        """See that there is at most one container, no one-shot one, and no file that was to become another."""
        found = self.engine.inspect("container", self.containers)
        assert [one["Name"] for one in found if one["Name"].endswith("-next")] == []
        assert len(found) <= 1
        until(lambda: not self.engine.containers({"devbox.run": str(self.path)}), 30)
        for folder in (self.path, state_dir()):
            assert list(folder.rglob(".*.devbox-*")) == []

    def must_hold_what_was_built(self) -> None:
        """See that the program in the tree that was built last is what its sources say."""
        self.finish(("build",))
        process = self.start(("exec", "--", "sh", "-c", '"$(ls -t /build/*/small | head -n1)"'))
        assert process.communicate(timeout=60) == ("3\n", "")


def commands_of(kind: str, name: str) -> tuple[tuple[str, ...], ...]:
    texts = (ASKING, LIFE, MORE[kind])
    filled = ";".join(texts).replace("\n", ";").replace("{name}", name).replace("{variant}", "--variant cpu")
    return tuple(tuple(shlex.split(one)) for one in filled.split(";") if one.strip())


HOOKS = {"postCreateCommand": "sleep 0.1; touch made", "postStartCommand": {"a": "sleep 0.1", "b": "true"}}
SERVICE = {"command": "sleep infinity", "init": True}


def write_contract(kind: str, folder: Path, image: str) -> dict[str, Any]:
    """Write what a contract of that kind consists of beside its own file, which is returned."""
    if kind == "compose":
        services = {
            "app": {"image": image, **SERVICE, "volumes": ["..:/work"], "depends_on": ["db"]},
            "db": {"image": image, **SERVICE},
        }
        (folder / "compose.yaml").write_text(json.dumps({"services": services}))
        return {"dockerComposeFile": "compose.yaml", "service": "app", "workspaceFolder": "/work"}
    if kind == "features":
        (folder / "Dockerfile").write_text(f"FROM {image}\nRUN sleep 0.2 && touch /made\n")
        (folder / "one").mkdir()
        (folder / "one/devcontainer-feature.json").write_text('{"id": "one", "version": "1.0.0", "name": "one"}')
        (folder / "one/install.sh").write_text("#!/bin/sh\nsleep 0.3; touch /installed\n")
        return {"build": {"dockerfile": "Dockerfile"}, "features": {"./one": {}}}
    return {"image": image, "mounts": [f"type=volume,source={folder.parent.name}-data,target=/data"]}


@pytest.fixture(params=["run", "compose", "features", "build"])
def yard(
    request: pytest.FixtureRequest, engine: Engine, base_image: str, tmp_path: Path, engine_name: Callable[[str], str]
) -> Iterator[Yard]:
    kind, name = request.param, engine_name("chaos")
    made = Yard(tmp_path / name, engine, commands_of(kind, name))
    if kind == "build":
        small_tree(made.path)
        file = config_dir() / f"frameworks/{name}.toml"
        file.parent.mkdir(parents=True)
        file.write_text(TASK.format(image=base_image))
        user = ("--user", "1000:1000:dev") if os.getuid() == 0 else ()
        made.up += ("--framework", "cuda", "--variant", "cpu", "--base-image", base_image, *user)
    else:
        folder = made.path / ".devcontainer"
        folder.mkdir(parents=True)
        config = write_contract(kind, folder, base_image)
        (folder / "devcontainer.json").write_text(json.dumps({**config, **HOOKS}))
    yield made
    sys.stdout.write(f"\n{kind}, SEED={SEED}: {made.done.total()} commands were cut\n")
    for (command, fault), number in sorted(made.done.items()):
        sys.stdout.write(f"  {command:<18} {fault:<10} {number}\n")
    if made.containers:
        engine.run(["rm", "--force", "--volumes", *made.containers], check=False)
    engine.run(["compose", "-p", f"{made.path.name}_devcontainer", "down", "--timeout", "0"], check=False)
    engine.run(["volume", "rm", f"{made.path.name}-data"], check=False)
    images = engine.run(["image", "ls", "--quiet", f"devbox-{name}"], check=False).stdout.split()
    engine.run(["image", "rm", "--force", f"{name}:made", *images], check=False)


def test_a_command_that_was_cut_anywhere_is_finished_by_the_same_command(yard: Yard) -> None:
    chance = random.Random(SEED)
    for command in (yard.up, *yard.commands, yard.up):
        yard.finish(command)
    for number in range(ROUNDS):
        command = chance.choice(yard.commands)
        yard.cut(command, chance.choice(FAULTS), chance.uniform(0, 1.1))
        yard.finish(command)
        if number % 5 == 4:
            yard.finish(yard.up)
            yard.must_be_tidy()
            if ("build",) in yard.commands:
                yard.must_hold_what_was_built()
    yard.finish(("down", "--volumes", "--yes"))
    yard.must_be_tidy()
    assert not yard.containers
