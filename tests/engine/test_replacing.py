"""A container is replaced by its successor: the old one stays until that has started, whatever goes wrong."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from devbox.container.steps import REPLACES
from devbox.container.up.up import UpRequest, UpResult, up
from devbox.errors import DevboxError, EngineError
from devbox.image.base.package import reference
from devbox.reporter import Silent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from devbox.engine.docker import Engine

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("base_image")]

IMAGE = reference(None, "debian:12")
# A docker that dies with the devbox that called it, in front of the command that $STOP_AT begins.
DEADLY = """#!/bin/sh
case "$*" in {at}*) kill -9 $PPID; exit 1;; esac
exec {docker} "$@"
"""
RUN_UP = """
import sys
from pathlib import Path
from devbox.container.up.up import UpRequest, up
from devbox.engine.docker import Engine
from devbox.reporter import Silent
up(UpRequest(path=Path(sys.argv[2]), trust=True), Engine(docker=sys.argv[1]), Silent())
"""


@dataclass
class Work:
    """A checkout whose container is made by `docker run`, or is the service `app` of a compose project."""

    path: Path
    engine: Engine
    compose: bool

    def write(self, *, more: dict[str, Any] | None = None, **mistake: Any) -> None:
        """Write the contract; `mistake` are keys of the service, or of devcontainer.json."""
        folder = self.path / ".devcontainer"
        folder.mkdir(exist_ok=True)
        config: dict[str, Any] = {"userEnvProbe": "none"}
        if self.compose:
            config |= {"dockerComposeFile": "c.yaml", "service": "app", "overrideCommand": True}
            app = {"image": IMAGE, "depends_on": ["db"], "volumes": ["..:/work", "/anonymous"], **mistake}
            services = {"app": app, "db": {"image": IMAGE, "command": "sleep infinity", "init": True}}
            (folder / "c.yaml").write_text(json.dumps({"services": services}))
        else:
            config |= {"image": IMAGE, **mistake}
        (folder / "devcontainer.json").write_text(json.dumps(config | (more or {})))

    def up(self, **options: Any) -> UpResult:
        return up(UpRequest(path=self.path, trust=True, **options), self.engine, Silent())

    def killed_up(self, at: str) -> None:
        """Run `up`, and kill it in front of the docker command that begins with `at`."""
        docker = self.path.parent / "docker"
        docker.write_text(DEADLY.format(at=at, docker=shutil.which("docker")))
        docker.chmod(0o755)
        environ = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
        argv = [sys.executable, "-c", RUN_UP, str(docker), str(self.path)]
        assert subprocess.run(argv, env=environ, check=False, capture_output=True).returncode == -9

    def containers(self) -> list[tuple[str, str, bool]]:
        """Return id, name and whether it runs of each container, inspected: the engine's list may be a moment old."""
        listed = self.engine.containers({"devcontainer.local_folder": str(self.path)})
        found = self.engine.inspect("container", [one.id for one in listed])
        return [(one["Id"], one["Name"].removeprefix("/"), one["State"]["Running"]) for one in found]

    def has(self, container: str, path: str) -> bool:
        return self.engine.run(["exec", container, "test", "-e", path], check=False).ok


@pytest.fixture(params=[False, True], ids=["run", "compose"])
def work(
    request: pytest.FixtureRequest, tmp_path: Path, engine: Engine, engine_name: Callable[[str], str]
) -> Iterator[Work]:
    path = tmp_path / engine_name("swap")
    path.mkdir()
    made = Work(path, engine, request.param)
    made.write()
    yield made
    for identifier, _, _ in made.containers():
        engine.run(["rm", "--force", "--volumes", identifier])
    engine.run(["compose", "-p", f"{path.name}_devcontainer", "down", "--volumes", "--timeout", "0"], check=False)


def mistakes(*, compose: bool) -> list[dict[str, Any]]:
    """Return keys that docker refuses when it creates a container, or at its start; and what only a start shows."""
    if compose:
        return [
            {"runtime": "nope"},
            {"volumes": [{"type": "bind", "source": "/nope", "target": "/d", "bind": {"create_host_path": False}}]},
            {"container_name": "no name"},
            {"more": {"workspaceFolder": "/", "containerUser": "nobody-here"}},
            {"more": {"remoteUser": "nobody-here"}},
            {"more": {"workspaceFolder": "/not-there"}},
            {"command": "false", "more": {"overrideCommand": False}},
        ]
    return [
        {"mounts": ["type=bind,source=/nope,target=/d"]},
        {"runArgs": ["--nope"]},
        {"runArgs": ["--runtime=nope"]},
        {"runArgs": ["--network=nope"]},
        {"containerUser": "nobody-here"},
        {"remoteUser": "nobody-here"},
        {"workspaceFolder": "/not-there"},
        {"overrideCommand": False},
    ]


def test_the_old_container_outlives_every_mistake_in_its_contract(work: Work) -> None:
    made = work.up()
    work.engine.run(["exec", made.container, "touch", "/tmp/precious"])
    for mistake in mistakes(compose=work.compose):
        work.write(**mistake)
        with pytest.raises(DevboxError, match=r"the old container (still runs|was started again)") as refused:
            work.up()
        assert "-next" not in refused.value.message
        assert work.containers() == [(made.container, made.name, True)], mistake
        assert work.has(made.container, "/tmp/precious")
    work.write()
    assert (work.up().outcome, work.up().container) == ("running", made.container)


def test_a_port_is_passed_on_and_one_that_is_taken_brings_the_old_container_back(work: Work) -> None:
    def port(number: int) -> dict[str, Any]:
        return {"ports": [f"127.0.0.1:{number}:80"]} if work.compose else {"appPort": number}

    with socket.socket() as taken, socket.socket() as free:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        free.bind(("127.0.0.1", 0))
        mine = free.getsockname()[1]
        free.close()
        work.write(**port(mine))
        first = work.up()
        work.engine.run(["exec", first.container, "touch", "/tmp/precious"])
        work.write(**port(taken.getsockname()[1]))
        with pytest.raises(EngineError, match=r"the port \d+ .*; the old container was started again"):
            work.up()
        assert work.containers() == [(first.container, first.name, True)]
        assert work.has(first.container, "/tmp/precious")
        work.write(more={"init": True}, **port(mine))
        second = work.up()
    assert second.outcome == "created"
    assert work.containers() == [(second.container, first.name, True)]


@pytest.mark.parametrize("at", ["rename", "stop", "start", "rm"])
def test_a_killed_swap_is_finished_by_the_next_up(work: Work, at: str) -> None:
    first = work.up()
    work.write(more={"init": True})
    work.killed_up(at)
    assert len(work.containers()) == (2 if (at, work.compose) != ("rename", False) else 1)
    second = work.up()
    assert work.containers() == [(second.container, first.name, True)]
    inspected = work.engine.container(second.container)
    assert inspected is not None
    assert inspected["Config"]["Labels"][REPLACES] == first.container
    assert work.up().outcome == "running"


def test_a_service_with_a_name_of_its_own_is_replaced(work: Work, engine_name: Callable[[str], str]) -> None:
    if not work.compose:
        pytest.skip("a matter of docker compose")
    name = engine_name("named")
    work.write(container_name=name)
    first = work.up()
    work.engine.run(["stop", "--time", "1", *(one.id for one in work.engine.containers(
        {"com.docker.compose.project": f"{work.path.name}_devcontainer"}))])  # fmt: skip
    work.write(container_name=name, more={"init": True})
    second = work.up()
    assert (first.name, second.name, second.outcome) == (name, name, "created")
    assert work.containers() == [(second.container, name, True)]
    assert work.up().outcome == "running"
