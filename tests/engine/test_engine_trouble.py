"""What an engine lacks is said in one sentence with its remedy, by the doctor and by the commands that need it.

Each trouble is a real one: plugins are hidden from the docker CLI, sockets lead nowhere or are another user's, and a
disk is full.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import shutil
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from devbox.engine.docker import Engine
from devbox.facts import fitness
from devbox.reporter import Silent
from tests.engine.lab import Daemon

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ORDINARY = 61234
# Where docker looks for plugins beside its configuration: cli/cli-plugins/manager/manager_unix.go.
PLUGINS = ["/usr/local/lib", "/usr/local/libexec", "/usr/lib", "/usr/libexec"]
HIDING = """#!/bin/sh
exec unshare --map-root-user --mount sh -c '
for folder in {folders}; do [ ! -d "$folder" ] || mount -t tmpfs none "$folder" || exit 99; done
exec {docker} "$@"' docker "$@"
"""
CONTRACTS = {
    "buildx": {"build": {"dockerfile": "Dockerfile"}},
    "compose": {"dockerComposeFile": "compose.yaml", "service": "app", "workspaceFolder": "/src"},
}
HELP = "docker [OPTIONS]"


@dataclass
class Lab:
    """A checkout, and an environment in which something is wrong with docker. `prefix` is put before each command."""

    checkout: Path
    environ: dict[str, str] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()

    def devbox(self, *args: str, check: int | None = 3) -> subprocess.CompletedProcess[str]:
        """Run devbox in the checkout; no trouble may end in a traceback or in docker's help."""
        done = subprocess.run(
            [*self.prefix, sys.executable, "-m", "devbox", *args],
            cwd=self.checkout,
            env={**os.environ, **self.environ},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert "Traceback" not in done.stderr, done.stderr
        assert HELP not in done.stderr
        assert check is None or done.returncode == check, done.stderr + done.stdout
        return done

    def said(self, *args: str) -> tuple[str, str]:
        """Return the message and the hint that a command fails with."""
        error = json.loads(self.devbox(*args, "--json").stdout.splitlines()[-1])["error"]
        return error["message"], error["hint"]

    def doctor(self) -> list[tuple[str, str]]:
        """Return message and remedy of what the doctor finds wrong."""
        found = json.loads(self.devbox("doctor", "--json", check=None).stdout)["data"]["findings"]
        return [(one["message"], one["remedy"]) for one in found if one["severity"] in {"error", "warning"}]


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    checkout = tmp_path / "checkout"
    (checkout / ".devcontainer").mkdir(parents=True)
    (checkout / ".devcontainer/Dockerfile").write_text("FROM nowhere.invalid/never:pulled\n")
    (checkout / ".devcontainer/compose.yaml").write_text("services: {app: {image: 'nowhere.invalid/never:pulled'}}\n")
    (checkout / "CMakeLists.txt").write_text("project(x LANGUAGES CXX)\n")
    return Lab(checkout)


def write_contract(lab: Lab, kind: str) -> None:
    (lab.checkout / ".devcontainer/devcontainer.json").write_text(json.dumps(CONTRACTS[kind]))


@pytest.mark.engine
class TestPlugins:
    @pytest.fixture
    def without(self, lab: Lab, tmp_path: Path, engine: Engine) -> Lab:
        folders = " ".join(f"{folder}/docker/cli-plugins" for folder in PLUGINS)
        wrapper = tmp_path / "bin/docker"
        wrapper.parent.mkdir()
        wrapper.write_text(HIDING.format(folders=folders, docker=shutil.which("docker")))
        wrapper.chmod(0o755)
        lab.environ = {"PATH": f"{wrapper.parent}:{os.environ['PATH']}", "DOCKER_CONFIG": str(tmp_path / "none")}
        if subprocess.run([str(wrapper), "ps"], capture_output=True, check=False).returncode != 0:
            pytest.skip("folders cannot be hidden from a program here")
        return lab

    def test_no_buildx(self, without: Lab) -> None:
        write_contract(without, "buildx")
        # Before the base image is asked for, which no registry has.
        expected = without.said("up", "--trust")
        assert expected[0] == "docker's plugin buildx is missing, which builds images"
        assert "docker-buildx" in expected[1]
        assert without.said("image", "build", "--framework", "cuda") == expected
        assert expected in without.doctor()
        assert without.devbox("up", "--trust").stderr.splitlines()[-2:] == [
            f"error: {expected[0]}",
            f"hint: {expected[1]}",
        ]

    def test_no_compose(self, without: Lab) -> None:
        write_contract(without, "compose")
        expected = without.said("up", "--trust")
        assert expected[0] == "docker's plugin compose is missing, which starts the services of a contract"
        assert "compose" in expected[1]
        assert expected in without.doctor()


COMMANDS = [
    ("up", "--trust"),
    ("build",),
    ("image", "build", "--framework", "cuda"),
    ("status",),
    ("exec", "--", "true"),
]


def talk_of(lab: Lab, args: tuple[str, ...]) -> tuple[str, str]:
    """Return message and hint as a person reads them."""
    error, hint = lab.devbox(*args).stderr.splitlines()[-2:]
    return error.removeprefix("error: "), hint.removeprefix("hint: ")


@pytest.mark.parametrize("args", COMMANDS, ids=" ".join)
def test_an_engine_that_does_not_run(lab: Lab, args: tuple[str, ...], tmp_path: Path) -> None:
    write_contract(lab, "buildx")
    lab.environ = {"DOCKER_HOST": f"unix://{tmp_path}/none.sock"}
    found = talk_of(lab, args)
    assert found[0] == f"the Docker engine at unix://{tmp_path}/none.sock (DOCKER_HOST) does not answer"
    assert found[1].startswith("unset DOCKER_HOST")
    assert found in lab.doctor()


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 4000\r\n\r\n"


@pytest.fixture(params=[None, b"\x07\x00 no http\xff", HEAD + b'[{"Id": "abc",'], ids=["silent", "garbage", "cut off"])
def liar(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A socket that takes every question, and never answers, answers something else, or in half."""
    kept: list[socket.socket] = []

    def serve(listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                asking = listening.accept()[0]
                kept.append(asking)
                if request.param is not None:
                    threading.Thread(target=lie, args=(asking,), daemon=True).start()

    def lie(asking: socket.socket) -> None:
        with contextlib.suppress(OSError), asking:
            asking.recv(1 << 16)
            asking.sendall(request.param)

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "liar.sock"))
        listening.listen(64)
        threading.Thread(target=serve, args=(listening,), daemon=True).start()
        yield tmp_path / "liar.sock"
        listening.shutdown(socket.SHUT_RDWR)
    for one in kept:
        one.close()


ASKING = [*COMMANDS, ("generate", "--framework", "cuda", "--variant", "cpu"), ("image", "list"), ("down",)]


@pytest.mark.skipif(shutil.which("docker") is None, reason="docker is not installed")
def test_an_engine_that_never_answers_or_makes_no_sense(lab: Lab, liar: Path) -> None:
    write_contract(lab, "buildx")
    lab.environ = {"DOCKER_HOST": f"unix://{liar}", "DEVBOX_TIMEOUT": "1"}
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda args: talk_of(lab, args), ASKING))
    said = f"the Docker engine at unix://{liar} (DOCKER_HOST) does not answer"
    assert [message for message, _ in found] == [said] * len(ASKING)
    assert {hint.partition(" ")[0] for _, hint in found} == {"unset"}


@pytest.mark.skipif(shutil.which("docker") is None, reason="docker is not installed")
def test_a_context_is_named_with_what_chose_it(lab: Lab, tmp_path: Path) -> None:
    write_contract(lab, "buildx")
    lab.environ = {"DOCKER_CONFIG": str(tmp_path / "config")}
    environ = {**os.environ, **lab.environ}
    address = f"host=unix://{tmp_path}/far.sock"
    subprocess.run(["docker", "context", "create", "far", "--docker", address], env=environ, check=True)
    for chosen, by in (({"DOCKER_CONTEXT": "far"}, "DOCKER_CONTEXT"), ({}, "docker context use")):
        lab.environ |= chosen
        for args in COMMANDS[:3]:
            assert talk_of(lab, args)[0] == (
                f"the Docker engine at unix://{tmp_path}/far.sock (the docker context 'far', by {by}) does not answer"
            )
        lab.environ.pop("DOCKER_CONTEXT", None)
        subprocess.run(["docker", "context", "use", "far"], env=environ, check=True)
    lab.environ["DOCKER_CONTEXT"] = "missing"
    assert "(the docker context 'missing', by DOCKER_CONTEXT) does not answer" in talk_of(lab, COMMANDS[0])[0]


@pytest.fixture
def closed() -> Iterator[Path]:
    """A socket that only its owner may use, in a folder that everybody may enter."""
    folder = Path(tempfile.mkdtemp(prefix="devbox-test-"))
    folder.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "docker.sock"))
        listening.listen()
        (folder / "docker.sock").chmod(0o600 if os.getuid() == 0 else 0)
        yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("args", COMMANDS[:3], ids=" ".join)
def test_a_socket_that_one_may_not_use(lab: Lab, closed: Path, args: tuple[str, ...]) -> None:
    write_contract(lab, "buildx")
    lab.environ = {"DOCKER_HOST": f"unix://{closed}/docker.sock"}
    if os.getuid() == 0:
        home = closed / "home"
        shutil.copytree(lab.checkout, home)
        for path in (home, *home.rglob("*")):
            os.chown(path, ORDINARY, ORDINARY)
        lab.checkout = home
        lab.environ |= {
            "HOME": str(home),
            **{f"DEVBOX_{name}_DIR": f"{home}/own" for name in ("STATE", "CACHE", "CONFIG")},
        }
        lab.prefix = ("setpriv", f"--reuid={ORDINARY}", f"--regid={ORDINARY}", "--clear-groups")
        if subprocess.run([*lab.prefix, sys.executable, "-c", "import devbox"], check=False).returncode != 0:
            pytest.skip("another user cannot run this python")
    found = talk_of(lab, args)
    assert found[0] == f"you may not use the Docker engine at unix://{closed}/docker.sock (DOCKER_HOST)"
    assert found[1].startswith("sudo usermod -aG docker $USER")
    assert found in lab.doctor()


@pytest.mark.parametrize("args", [*COMMANDS[:3], ("doctor",)], ids=" ".join)
def test_no_docker_program(lab: Lab, tmp_path: Path, args: tuple[str, ...]) -> None:
    write_contract(lab, "buildx")
    (tmp_path / "bin").mkdir()
    git = shutil.which("git")
    assert git is not None
    (tmp_path / "bin/git").symlink_to(git)
    # No socket is found either, so that the program is the only way.
    lab.environ = {"PATH": str(tmp_path / "bin"), "DOCKER_HOST": "tcp://127.0.0.1:1"}
    if args == ("doctor",):
        assert lab.doctor()[0][0] == "'docker' is not installed, or not on PATH"
    else:
        found = talk_of(lab, args)
        assert found[0] == "'docker' is not installed, or not on PATH"
        assert "docker-cli (Debian)" in found[1]


@pytest.mark.engine
def test_a_client_that_is_too_old(lab: Lab, engine: Engine) -> None:
    write_contract(lab, "buildx")
    lab.environ = {"DOCKER_API_VERSION": "1.12"}
    message, hint = lab.said("image", "build", "--framework", "cuda")
    assert message.startswith(
        "the docker CLI speaks version 1.12 of the engine's API, and the engine takes none before"
    )
    assert "DOCKER_API_VERSION" in hint
    assert (message, hint) in lab.doctor()


class Old(http.server.BaseHTTPRequestHandler):
    """An engine of years ago, as far as `docker info` and `docker version` ask."""

    def do_HEAD(self) -> None:
        self._answer({})

    def do_GET(self) -> None:
        self._answer({"ServerVersion": "20.10.24", "Version": "20.10.24", "ApiVersion": "1.41", "Name": "old"})

    def _answer(self, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Api-Version", "1.41")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass

    def address_string(self) -> str:
        return "local"


@pytest.mark.engine
def test_an_engine_that_is_too_old_is_told_before_a_build(lab: Lab, engine: Engine, tmp_path: Path) -> None:
    address = f"{tmp_path}/old.sock"
    with socketserver.ThreadingUnixStreamServer(address, Old) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        lab.environ = {"DOCKER_HOST": f"unix://{address}"}
        old = Engine(environ={**os.environ, **lab.environ})
        heard = Silent()
        fitness.require(old, heard)
        assert [text for text in heard.warnings if "Docker Engine 20.10.24 is older than 23" in text]
        assert ("Docker Engine 20.10.24 is older than 23", "install a newer Docker Engine") in lab.doctor()
        server.shutdown()


@pytest.mark.engine
def test_a_full_disk(lab: Lab, engine: Engine, tmp_path: Path, engine_name: Callable[[str], str]) -> None:
    if os.getuid() != 0 or None in {shutil.which("dockerd"), shutil.which("unshare")}:
        pytest.skip("a daemon of its own needs root and dockerd")
    folder = tmp_path / "engine"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "none", str(folder)], check=True)
    daemon = Daemon(folder)
    try:
        daemon.start()
        (lab.checkout / ".devcontainer/Dockerfile").write_text("FROM scratch\nCOPY big /big\n")
        (lab.checkout / ".devcontainer/big").write_bytes(os.urandom(40 << 20))
        write_contract(lab, "buildx")
        lab.environ = {"DOCKER_HOST": daemon.engine.environ["DOCKER_HOST"]}
        assert lab.said("up", "--trust") == ("the engine's disk is full", "docker system df   # shows what fills it")
    finally:
        daemon.stop()
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
