"""Commands that are killed or interrupted anywhere: no traceback, nothing left over, and the same command finishes.

`make chaos SEED=7 ROUNDS=500` chooses moments, signals and commands; one seed gives the same ones again, though not the
same moments of the work.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from devbox.paths import state_dir
from tests.engine.lab import REPOSITORY, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from devbox.engine.docker import Engine

pytestmark = [pytest.mark.engine, pytest.mark.slow]

SEED = int(os.environ.get("SEED") or 1)
ROUNDS = int(os.environ.get("ROUNDS") or 60)
SIGNALS = (signal.SIGKILL, signal.SIGINT, signal.SIGTERM)
COMMANDS = (
    ("up", "--trust"),
    ("up", "--trust", "--recreate", "--yes"),
    ("exec", "--", "sh", "-c", "echo begun; sleep 0.2"),
    ("run", "--", "sh", "-c", "echo begun; sleep 0.2"),
    ("status",),
    ("status", "--all", "--fast"),
    ("builds", "list"),
    ("hooks", "list"),
    ("hooks", "run", "postCreateCommand"),
    ("config", "contract"),
    ("stop",),
    ("down",),
    ("down", "--volumes", "--yes"),
)
# What a command says where the one before it has left nothing for it.
NOTHING = ("there is no dev container", "is stopped")


@dataclass
class Yard:
    """A checkout whose container comes and goes, and how long each command took when it was let be."""

    path: Path
    engine: Engine
    took: dict[tuple[str, ...], float] = field(default_factory=dict)

    def start(self, command: tuple[str, ...]) -> subprocess.Popen[str]:
        environ = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        return subprocess.Popen(
            [sys.executable, "-m", "devbox", *command], cwd=self.path, env=environ, text=True, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def finish(self, command: tuple[str, ...]) -> None:
        """Run a command to its end. It succeeds, or says that there is nothing to do it with."""
        begun = time.monotonic()
        process = self.start(command)
        _, said = process.communicate(timeout=300)
        self.took[command] = time.monotonic() - begun
        assert process.returncode == 0 or any(words in said for words in NOTHING), (command, said)

    def cut(self, command: tuple[str, ...], number: signal.Signals, part: float) -> None:
        """Run a command, and send it a signal when that `part` of its usual time is over."""
        process = self.start(command)
        try:
            process.wait(timeout=part * self.took[command])
        except subprocess.TimeoutExpired:
            process.send_signal(number)
        _, said = process.communicate(timeout=120)
        # An interpreter that has not come to devbox yet has its own words.
        assert f"{REPOSITORY}/devbox/" not in said, (command, number, part, said)

    def must_be_tidy(self) -> None:
        """See that there is at most one container, no one-shot one, and no file that was to become another."""
        labels = {"devcontainer.local_folder": str(self.path)}
        found = self.engine.inspect("container", [one.id for one in self.engine.containers(labels)])
        assert [one["Name"] for one in found if one["Name"].endswith("-next")] == []
        assert len(found) <= 1
        until(lambda: not self.engine.containers({"devbox.run": str(self.path)}), 30)
        for folder in (self.path, state_dir()):
            assert list(folder.rglob(".*.devbox-*")) == []


@pytest.fixture(params=["run", "compose"])
def yard(
    request: pytest.FixtureRequest, engine: Engine, base_image: str, tmp_path: Path, engine_name: Callable[[str], str]
) -> Iterator[Yard]:
    made = Yard(tmp_path / engine_name("chaos"), engine)
    folder = made.path / ".devcontainer"
    folder.mkdir(parents=True)
    hooks = {"postCreateCommand": "sleep 0.1; touch made", "postStartCommand": {"a": "sleep 0.1", "b": "true"}}
    config: dict[str, Any]
    if request.param == "compose":
        app = {
            "image": base_image,
            "command": "sleep infinity",
            "init": True,
            "volumes": ["..:/work"],
            "depends_on": ["db"],
        }
        services = {"app": app, "db": {"image": base_image, "command": "sleep infinity", "init": True}}
        (folder / "compose.yaml").write_text(json.dumps({"services": services}))
        config = {"dockerComposeFile": "compose.yaml", "service": "app", "workspaceFolder": "/work"}
    else:
        config = {"image": base_image, "mounts": [f"type=volume,source={made.path.name}-data,target=/data"]}
    (folder / "devcontainer.json").write_text(json.dumps({**config, **hooks}))
    yield made
    for one in engine.containers({"devcontainer.local_folder": str(made.path)}):
        engine.run(["rm", "--force", "--volumes", one.id], check=False)
    engine.run(["compose", "-p", f"{made.path.name}_devcontainer", "down", "--timeout", "0"], check=False)
    engine.run(["volume", "rm", f"{made.path.name}-data"], check=False)


def test_a_command_that_was_cut_anywhere_is_finished_by_the_same_command(yard: Yard) -> None:
    chance = random.Random(SEED)
    for command in (("up", "--trust"), *COMMANDS, ("up", "--trust")):
        yard.finish(command)
    for number in range(ROUNDS):
        command = chance.choice(COMMANDS)
        yard.cut(command, chance.choice(SIGNALS), chance.uniform(0, 1.1))
        yard.finish(command)
        if number % 5 == 4:
            yard.finish(("up", "--trust"))
            yard.must_be_tidy()
    yard.finish(("down", "--volumes", "--yes"))
    yard.must_be_tidy()
    assert not yard.engine.containers({"devcontainer.local_folder": str(yard.path)})
