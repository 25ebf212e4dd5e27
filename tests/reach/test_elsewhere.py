"""The main job on an engine of another machine, by TLS and by ssh: it sees nothing of this one's folders.

devbox runs here; the box is the other machine. What it compiles is compared with a clean build of an engine that sees
the checkout.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import statistics
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from devbox.container.checkout.elsewhere import volume_of
from tests.reach.checkout import Here, edit_somehow, must_be_clean, small
from tests.reach.conftest import ARCHIVE, BASE, measured

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.reach.box import Box
    from tests.reach.conftest import Figures

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.reach]

SSH = """
Host *
  User dev
  IdentityFile {0}/key
  StrictHostKeyChecking no
  UserKnownHostsFile {0}/known
  LogLevel ERROR
"""


@pytest.fixture(scope="session")
def ways(box: Box, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """Let a person of this machine in: by TLS, and as `dev` by ssh. Returns the variables that name either way."""
    tools = tmp_path_factory.mktemp("ssh")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tools / "key")], check=True)
    (tools / "config").write_text(SSH.format(tools))
    (tools / "ssh").write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {tools}/config "$@"\n')
    (tools / "ssh").chmod(0o755)
    key = (tools / "key.pub").read_text().strip()
    box.sh(f"install -d -o dev -m 700 /home/dev/.ssh; echo '{key}' >>/home/dev/.ssh/authorized_keys")
    box.sh("usermod --append --groups docker dev; mkdir -p /run/sshd; ssh-keygen -A >/dev/null")
    box.sh("pgrep -x sshd || /usr/sbin/sshd")
    box.sh(f"docker image inspect {BASE} >/dev/null 2>&1 || docker load --quiet --input {ARCHIVE}")
    address = box.sh("hostname -i").split()[0]
    tls = {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(box.share / "tls")}
    return {
        "TLS": {"DOCKER_HOST": f"tcp://{address}:2376", **tls},
        "ssh": {"DOCKER_HOST": f"ssh://dev@{address}", "PATH": f"{tools}:{os.environ['PATH']}"},
    }


@pytest.fixture
def here(request: pytest.FixtureRequest, ways: dict[str, dict[str, str]], tmp_path: Path) -> Iterator[Here]:
    """A small checkout, on the engine of the test's parameter; what it left on that is removed."""
    yield from placed(tmp_path, ways[getattr(request, "param", "ssh")])


@pytest.fixture(scope="session")
def local(box: Box, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Here]:  # which has the image
    """The same checkout on this machine's own engine, by which the others are measured."""
    for at in placed(tmp_path_factory.mktemp("local"), {}):
        up(at)
        at.compiled()
        yield at


def placed(place: Path, engine: dict[str, str]) -> Iterator[Here]:
    """Yield a small checkout in a folder of `place`, on an engine, and remove what it has left there."""
    folder = place / "small"
    environ = {name: value for name, value in os.environ.items() if not name.startswith("DOCKER_")}
    at = small(folder, {**environ, "DEVBOX_STATE_DIR": str(place / "state"), **engine})
    try:
        yield at
    finally:
        at.devbox("down", "--volumes", "--yes", code=None)
        at.run("docker", "volume", "rm", "--force", volume_of(folder))


def up(at: Here, *more: str) -> str:
    return at.devbox("up", "--yes", "--variant", "cpu", "--base-image", BASE, *more)


@pytest.mark.parametrize("here", ["TLS", "ssh"], indirect=True)
def test_the_main_job(request: pytest.FixtureRequest, here: Here, local: Here, figures: Figures) -> None:
    planned = up(here, "--dry-run")
    assert f"type=bind,source={here.folder}" not in planned
    assert f"type=volume,source={volume_of(here.folder)}" in planned
    up(here)
    assert here.compiled() == 3
    here.write("src/b.cpp", "int b() { return 2; }\n")
    assert here.compiled() == 1
    assert here.compiled() == 0
    here.git("checkout", "--quiet", "src/b.cpp")
    here.compiled()
    here.git("checkout", "--quiet", "other")
    here.git("checkout", "--quiet", "main")
    assert here.compiled() == 0, "a branch there and back"
    up(here, "--recreate")
    assert here.compiled() == 0, "a new container"
    assert here.devbox("exec", "--", "git", "log", "--format=%s").strip() == "Small"
    here.devbox("exec", "--", "sh", "-c", "exit 7", code=7)
    assert "Up" in here.devbox("status")
    figures.times[request.node.callspec.params["here"]] = measured(here, local)
    here.devbox("down", "--volumes", "--yes")
    assert "no dev container" in here.devbox("status")


def test_what_was_edited_there_is_kept(here: Here) -> None:
    up(here)
    here.devbox("exec", "--", "sh", "-c", "echo 'int b() { return 9; }' >src/b.cpp")
    assert "src/b.cpp" in here.devbox("sync", "--status")
    here.write("src/b.cpp", "int b() { return 8; }\n")
    assert "stays as it is there" in here.devbox("build")
    assert "return 9" in here.devbox("exec", "--", "cat", "src/b.cpp")
    here.devbox("sync", "--back", "src/b.cpp")
    assert "return 9" in (here.folder / "src/b.cpp").read_text()
    assert "the copy is this checkout" in here.devbox("sync", "--status")


def test_after_any_history_objects_are_those_of_a_clean_build(here: Here) -> None:
    """200 edits, deletions, branches and times of other clocks; what is compiled over there is what is here."""
    chance = random.Random(11)
    up(here)
    for number in range(20):
        for _ in range(10):
            edit_somehow(here, chance)
        here.devbox("build")
        must_be_clean(here, BASE, number)


@pytest.mark.parametrize("how", ["killed", "connection cut"])
def test_a_sync_that_is_cut_off_is_finished_by_the_next(here: Here, how: str) -> None:
    up(here)
    (here.folder / "large.bin").write_bytes(random.Random(1).randbytes(1 << 20) * 256)
    with here.started("sync") as running:
        await_line(running, "Sending")
        if how == "killed":
            running.send_signal(signal.SIGKILL)
        else:
            masters = [path.parent for path in Path(here.environ["DEVBOX_STATE_DIR"]).rglob("control")]
            masters += [path.parent for path in Path(f"/tmp/devbox-{os.getuid()}").rglob("control")]
            for folder in masters:
                here.run("ssh", "-S", f"{folder}/control", "-O", "exit", "x", code=None)
        assert running.stderr is not None
        said = running.stderr.read()
        assert running.wait() != 0
    assert how == "killed" or "devbox sync" in said
    here.devbox("sync")
    assert "the copy is this checkout" in here.devbox("sync", "--status")
    there = here.devbox("exec", "--", "sha256sum", "large.bin").split()[0]
    assert there == here.run("sha256sum", "large.bin").split()[0]


def test_a_full_disk_there_is_told(here: Here) -> None:
    options = ("--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", "o=size=4m")
    here.run("docker", "volume", "create", *options, volume_of(here.folder))
    up(here)
    (here.folder / "large.bin").write_bytes(random.Random(1).randbytes(8 << 20))
    assert "the engine's disk is full" in here.devbox("sync", code=3)
    (here.folder / "large.bin").unlink()
    assert here.compiled() == 3


def test_a_first_sync_takes_what_its_bytes_take(here: Here, figures: Figures) -> None:
    """REACH_MIB (128) MiB in files of 32 KiB, half of it in git, as loose objects: no file costs a round of its own.

    What tar takes for the same bytes over the same connection is measured beside it. Users of others complain of a
    `.git` that takes 15 minutes (SkyPilot), and of first syncs of 1 GiB (Okteto).
    """
    size = int(os.environ.get("REACH_MIB", "128")) << 20
    data = random.Random(2)
    up(here)
    inside = here.devbox("exec", "--", "pwd").strip()
    for number in range(size // 2 >> 15):
        (here.folder / f"data/{number % 50}").mkdir(parents=True, exist_ok=True)
        (here.folder / f"data/{number % 50}/{number}").write_bytes(data.randbytes(32 << 10))
    here.git("add", "--all")
    here.git("commit", "--quiet", "--message", "Data")
    (here.folder / "large.bin").write_bytes(data.randbytes(1 << 20) * (size // 2 >> 20))
    here.run("docker", "exec", here.container(), "sh", "-c", f"cd {inside}; rm -rf .git .devbox-sync * .[a-z]*")
    places = (here.environ["DEVBOX_STATE_DIR"], f"/tmp/devbox-{os.getuid()}")
    engine = max((one for place in places for one in Path(place).rglob("engine")), key=lambda one: one.stat().st_mtime)
    there = f"docker exec --interactive {here.container()} sh -c 'mkdir /t; tar x -C /t'"
    tar = f"tar c . | DOCKER_HOST=unix://{engine} {there}"
    taken = {"tar": here.seconds(tar)}
    here.run("docker", "exec", here.container(), "rm", "-r", "/t")
    taken["first"] = here.seconds("devbox sync")
    here.write("data/1/1", "edited")
    taken["edit"] = here.seconds("devbox sync")
    taken["nothing"] = here.seconds("devbox sync")
    figures.notes.append(
        f"a first sync of {size >> 20} MiB: {taken['first']:.1f} s ({taken['first'] / taken['tar']:.2f} x tar, "
        f"{taken['tar']:.1f} s); one edit: {taken['edit']:.1f} s; nothing: {taken['nothing']:.1f} s"
    )
    assert "the copy is this checkout" in here.devbox("sync", "--status")
    status = here.devbox("exec", "--", "git", "status", "--porcelain").split()
    assert status == ["M", "data/1/1", "??", "large.bin"]


def test_each_save_of_many_is_brought_over_one_connection(here: Here, figures: Figures) -> None:
    """200 saves under `--watch`. Users of SkyPilot complain of seconds a file, through connections in connections."""
    chance = random.Random(5)
    up(here)
    took = []
    with here.started("sync", "--watch") as running:
        await_line(running, "watching")
        for number in range(200):
            begun = time.monotonic()
            # In one step, as editors save: else half of it may be brought first.
            saved = here.folder.with_name("saved")
            saved.write_text(f"int v{number}() {{ return {chance.random()}; }}\n")
            saved.rename(here.folder / f"src/{chance.choice('abcdef')}.cpp")
            await_line(running, "sent to the engine:")
            took.append(time.monotonic() - begun)
            await_line(running, "watching")
        running.send_signal(signal.SIGINT)
        assert running.wait(60) == 0
    figures.notes.append(f"200 saves under --watch: {statistics.median(took):.2f} s each, {max(took):.2f} s at most")
    assert "the copy is this checkout" in here.devbox("sync", "--status")


def await_line(running: subprocess.Popen[str], words: str) -> None:
    assert running.stderr is not None
    while words not in (line := running.stderr.readline()):
        assert line, f"it has ended with {running.wait()}"


def test_an_end_that_stands_still_is_given_up_and_holds_nothing_up(here: Here, figures: Figures) -> None:
    """Users of SkyPilot complain of a transfer that never ends, because a stream has no deadline."""
    up(here)
    (here.folder / "large.bin").write_bytes(random.Random(1).randbytes(1 << 20) * 256)
    patient = Here(here.folder, {**here.environ, "DEVBOX_TIMEOUT": "3"})
    with patient.started("sync") as running:
        await_line(running, "Sending")
        here.run("docker", "pause", here.container())
        begun = time.monotonic()
        assert running.stderr is not None
        assert "for 3 s: the connection is lost" in running.stderr.read()
        assert running.wait() == 3
    figures.notes.append(f"an end that stands still: given up after {time.monotonic() - begun:.1f} s of a limit of 3 s")
    here.run("docker", "unpause", here.container())
    here.devbox("sync")
    assert "the copy is this checkout" in here.devbox("sync", "--status")


@pytest.mark.parametrize("here", ["TLS", "ssh"], indirect=True)
def test_a_compose_project_has_the_copy_in_the_place_of_the_checkout(here: Here) -> None:
    service = {"image": BASE, "command": "sleep infinity", "user": "1000", "volumes": [".:/work"]}
    reader = {"image": BASE, "command": "sleep infinity", "volumes": [".:/srv:ro"]}
    here.write("compose.yaml", json.dumps({"services": {"dev": service, "web": reader}}))
    contract = {"dockerComposeFile": "compose.yaml", "service": "dev", "workspaceFolder": "/work"}
    here.write(".devcontainer.json", json.dumps(contract))
    here.devbox("up", "--yes")
    here.write("src/h.h", "#define V 7\n")
    told = here.devbox("exec", "--", "sh", "-c", "cat src/h.h; id -u; git status --porcelain src")
    assert told == "#define V 7\n1000\n M src/h.h\n"
    web = here.run("docker", "ps", "--quiet", "--filter", "label=com.docker.compose.service=web").strip()
    assert here.run("docker", "exec", web, "cat", "/srv/src/h.h") == "#define V 7\n"
    assert here.devbox("run", "--", "cat", "src/h.h").endswith("#define V 7\n")
    here.write("compose.yaml", json.dumps({"services": {"dev": {**service, "volumes": ["./src:/work"]}}}))
    assert f"the service dev mounts {here.folder}/src" in here.devbox("up", "--yes", code=4)
    here.devbox("down", "--volumes", "--yes")


@pytest.mark.parametrize("here", ["ssh", "TLS"], indirect=True)
def test_ports_lead_here_by_ssh_until_the_container_is_stopped(here: Here) -> None:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        published, forwarded = one.getsockname()[1], other.getsockname()[1]
    contract = {
        "image": BASE,
        "appPort": f"127.0.0.1:{published}:80",
        "forwardPorts": [forwarded],
        "remoteUser": "root",
    }
    here.write(".devcontainer.json", json.dumps(contract))
    said = here.devbox("up", "--yes")
    numbers = ", ".join(map(str, sorted((published, forwarded))))
    if not here.environ["DOCKER_HOST"].startswith("ssh:"):
        assert f"ports {numbers}: on the engine's machine; a connection by TLS carries no ports" in said
        return
    assert f"ports {numbers}: forwarded from 127.0.0.1 here" in said
    for inside in (80, forwarded):
        here.devbox("exec", "--", "sh", "-c", f"setsid python3 -m http.server {inside} >/dev/null 2>&1 </dev/null &")
    assert [got(port) for port in (published, forwarded)] == [True, True]
    assert "forwarded" not in here.devbox("up")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        here.write(".devcontainer.json", json.dumps({**contract, "forwardPorts": [number]}))
        assert f"the port {number} of this machine is taken" in here.devbox("up", "--yes", "--recreate")
    here.devbox("stop")
    assert [got(port, tries=1) for port in (published, forwarded)] == [False, False]


def got(port: int, *, tries: int = 100) -> bool:
    """Tell whether a web server answers at a port of this machine, which may have to start first."""
    for _ in range(tries):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
                return bool(answer.status == 200)
        except OSError:
            time.sleep(0.1)
    return False
