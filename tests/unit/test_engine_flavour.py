"""Docker or Podman: told by the program, else by what the engine's socket answers; and what each is told."""

from __future__ import annotations

import os
import socketserver
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from devbox.engine.api import is_podman, socket_path
from devbox.engine.docker import Engine
from devbox.engine.spec import ImageBuild
from devbox.errors import EngineError
from devbox.facts import engine as facts
from devbox.facts.fitness import age, must_build

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# What `GET /libpod/_ping` is answered with.
PODMAN = b"200 OK\r\nLibpod-Api-Version: 5.4.2\r\n\r\nOK\n"
DOCKER = b'404 Not Found\r\n\r\n{"message":"page not found"}\n'
# And `podman info --format '{{json .}}'`.
INFO = {
    "host": {
        "hostname": "buildhost",
        "security": {"rootless": True},
        "distribution": {"distribution": "debian", "version": "13"},
    },
    "store": {"graphRoot": "/home/dev/.local/share/containers/storage"},
    "version": {"Version": "5.4.2"},
}
BUILD = ImageBuild("/d/Dockerfile", "/d", tags=("t:1",), secrets=(("ca", "/ca.pem"),), args=(("A", "1"),))


@contextmanager
def answering(folder: Path, answer: bytes) -> Iterator[str]:
    """Answer every request at a socket, as an engine does; yield what DOCKER_HOST is then."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.rfile.readline()
            self.wfile.write(b"HTTP/1.0 " + answer)

    with socketserver.UnixStreamServer(str(folder / "s"), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"unix://{folder / 's'}"
        finally:
            server.shutdown()
            thread.join()


def program(folder: Path, name: str, text: str = "#!/bin/sh\n") -> str:
    """Put a program into a folder, and return the folder."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)
    return str(folder)


def test_podman_behind_a_socket_makes_images_and_containers_by_its_own_program(tmp_path: Path) -> None:
    path = program(tmp_path / "bin", "podman")
    with answering(tmp_path, PODMAN) as host:
        engine = Engine(environ={"DOCKER_HOST": host, "PATH": path})
        assert engine.flavour.podman
        assert engine.argv(["run", "x"]) == ["podman", "--url", host, "run", "x"]
        assert engine.argv(["ps"]) == ["docker", "ps"]
        words = "build --format docker --file /d/Dockerfile --tag t:1 --build-arg A=1 --secret id=ca,src=/ca.pem /d"
        assert engine.build_args(BUILD) == words.split()
        must_build(engine)
        alone = Engine(environ={"DOCKER_HOST": host, "PATH": str(tmp_path)})
        assert alone.argv(["run", "x"]) == ["docker", "run", "x"]
        with pytest.raises(EngineError, match="no program podman"):
            must_build(alone)


@pytest.mark.parametrize("answer", [DOCKER, b'200 OK\r\n\r\n{"ApiVersion":"1.47"}'])
def test_docker_stays_docker_and_so_does_what_does_not_answer(tmp_path: Path, answer: bytes) -> None:
    with answering(tmp_path, answer) as host:
        engine = Engine(environ={"DOCKER_HOST": host, "PATH": program(tmp_path / "bin", "podman")})
        assert engine.argv(["run", "x"]) == ["docker", "run", "x"]
        assert engine.build_args(BUILD)[:3] == ["buildx", "build", "--load"]
    for host in (f"unix://{tmp_path}/none", "tcp://127.0.0.1:1"):
        assert not Engine(environ={"DOCKER_HOST": host, "PATH": ""}).flavour.podman


def test_docker_by_name_is_podman_where_it_leads_there(tmp_path: Path) -> None:
    script = {"PATH": program(tmp_path / "script", "docker", '#!/bin/sh\nexec /usr/bin/podman "$@"\n')}
    program(tmp_path / "linked", "podman", "\x7fELF")
    (tmp_path / "linked" / "docker").symlink_to("podman")
    linked = {"PATH": f"{tmp_path}/missing:{tmp_path}/linked"}
    other = {"PATH": program(tmp_path / "other", "docker", "\x7fELF podman")}
    assert [is_podman("docker", environ) for environ in (script, linked, other, {})] == [True, True, False, False]
    assert Engine(environ=script).argv(["run", "x"]) == ["docker", "run", "x"]
    assert Engine(environ=script).build_args(BUILD)[0] == "build"
    # What docker's own default is, is another engine's.
    expected = "/run/podman/podman.sock" if os.geteuid() == 0 else f"{tmp_path}/podman/podman.sock"
    assert socket_path({**script, "XDG_RUNTIME_DIR": str(tmp_path)}) in {expected, None}
    assert socket_path(other) == "/var/run/docker.sock"


def test_what_podman_says_of_itself_is_read_and_judged_by_its_own_age() -> None:
    read = facts.read(facts.in_dockers_words(INFO), local=True, flavour="podman")
    assert (read.version, read.rootless, read.cdi, read.nvidia_runtime) == ("5.4.2", True, True, False)
    assert age(read).message == "Podman 5.4.2, rootless, on this machine"
    old = facts.read({"ServerVersion": "4.3.1"}, local=True, flavour="podman")
    assert age(old).message == "Podman 4.3.1 is older than 4.8"
    assert "Docker Engine 20.10.5 is older than 23" in age(facts.read({"ServerVersion": "20.10.5"}, local=True)).message
