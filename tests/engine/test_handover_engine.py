"""Tokens reach what `devbox image run` starts, and the container's configuration does not know them."""

from __future__ import annotations

import io
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from devbox.config.network import Network
from devbox.errors import EngineError
from devbox.facts import engine as facts
from devbox.oneshot import handover, image_run, launch
from devbox.oneshot.image_run import RunPlan, RunRequest
from devbox.paths import state_dir
from devbox.reporter import Silent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from devbox.engine.docker import Engine

pytestmark = pytest.mark.engine

DEVBOX = [sys.executable, "-m", "devbox", "image", "run"]
TOKEN = "hf_q'u\"o$HOME\\n\nsecond"
SHOW = 'printf %s "$HF_TOKEN"'


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    yield
    assert list((state_dir() / "run").glob("*")) == []


@pytest.fixture
def name(engine: Engine, engine_name: Callable[[str], str]) -> Iterator[str]:
    """The name of a container, which is gone after the test."""
    chosen = engine_name("run")
    yield chosen
    engine.run(["rm", "--force", "--volumes", chosen], check=False)


def run(*words: str, cwd: Path, **options: Any) -> subprocess.CompletedProcess[bytes]:
    argv = [*DEVBOX, "--gpus", "none", *words]
    return subprocess.run(argv, cwd=cwd, capture_output=True, check=False, timeout=60, **options)


def sh(script: str) -> tuple[str, ...]:
    return ("--entrypoint", "sh", "--", "-c", script)


def test_attached_and_the_standard_input_is_the_users(base_image: str, name: str, tmp_path: Path) -> None:
    done = run(base_image, "--name", name, *sh(f"{SHOW}; cat; exit 7"), cwd=tmp_path, input=b"\nmine")
    assert done.stdout == TOKEN.encode() + b"\nmine", done.stderr
    assert done.returncode == 7


@pytest.mark.parametrize("user", ["4321:77", "nobody"])
def test_another_user_inside(base_image: str, tmp_path: Path, user: str) -> None:
    done = run(base_image, "--user", user, *sh(f"{SHOW}; id -u >&2"), cwd=tmp_path)
    assert done.stdout == TOKEN.encode(), done.stderr
    assert done.stderr.splitlines()[-1] in {b"4321", b"65534"}


def test_with_a_terminal(base_image: str, tmp_path: Path) -> None:
    leader, follower = pty.openpty()
    argv = [*DEVBOX, "--gpus", "none", base_image, *sh("test -t 0 && echo token=${#HF_TOKEN}")]
    with subprocess.Popen(argv, cwd=tmp_path, stdin=follower, stdout=follower, stderr=subprocess.DEVNULL) as process:
        assert process.wait(60) == 0
    os.close(follower)
    assert f"token={len(TOKEN)}" in os.read(leader, 65536).decode()
    os.close(leader)


def test_detached_and_docker_inspect_knows_nothing(
    base_image: str, name: str, tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_PASSWORD", "swordfish")
    monkeypatch.setenv("PLAIN", "seen")
    monkeypatch.setenv("https_proxy", "http://me:sesame@proxy.example:3128")
    names = ("--env", "DB_PASSWORD", "--env", "PLAIN")
    script = f'{SHOW}; printf %s "-$DB_PASSWORD-$https_proxy-$PLAIN"; echo; exec sleep 60'
    done = run(base_image, "--name", name, "--detach", *names, *sh(script), cwd=tmp_path)
    assert done.stdout.decode() == f"{name}\n", done.stderr
    deadline = time.monotonic() + 20
    wanted = f"{TOKEN}-swordfish-http://me:sesame@proxy.example:3128-seen\n"
    while engine.run(["logs", name]).stdout != wanted:
        assert time.monotonic() < deadline
    described = engine.container(name)
    assert described is not None
    shown = json.dumps(described)
    assert not [word for word in ("hf_q", "swordfish", "sesame") if word in shown]
    assert "PLAIN=seen" in described["Config"]["Env"]
    assert engine.run(["exec", name, "cat", "/proc/1/comm"]).stdout  # it runs, and has not to be stopped first


def test_a_container_that_ends_at_once(base_image: str, name: str, tmp_path: Path) -> None:
    assert run(base_image, "--name", name, "--entrypoint", "true", cwd=tmp_path).returncode == 0
    assert run(base_image, "--name", name, "--detach", "--entrypoint", "true", cwd=tmp_path).returncode == 0
    unknown = run(base_image, "--name", f"{name}-b", "--entrypoint", "nosuchprogram", cwd=tmp_path)
    assert unknown.returncode == 127
    # docker refuses it, and nobody ever comes to the pipe
    refused = run(base_image, "--name", f"{name}-c", "--network", "no-such-network", *sh("true"), cwd=tmp_path)
    assert refused.returncode == 125


def test_ctrl_c_ends_it(base_image: str, name: str, tmp_path: Path, engine: Engine) -> None:
    argv = [*DEVBOX, "--gpus", "none", base_image, "--name", name, *sh("echo ready; sleep 60 & wait")]
    with subprocess.Popen(argv, cwd=tmp_path, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    assert engine.container(name) is None


def test_an_image_without_a_shell_gets_them_openly_and_that_is_said(
    engine: Engine, engine_name: Callable[[str], str], tmp_path: Path
) -> None:
    static = shutil.which("docker-init")
    if static is None:
        pytest.skip("no static program to make an image of")
    image, archive = f"{engine_name('shellless')}:1", io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", dereference=True) as tar:
        tar.add(Path(static).resolve(), "init")
    subprocess.run(["docker", "import", "-", image], input=archive.getvalue(), check=True, capture_output=True)
    try:
        done = run(image, "--entrypoint", "/init", "--", "--version", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(b"tini")
        assert b"docker inspect will show HF_TOKEN: the image has no /bin/sh" in done.stderr
        assert b"hf_q" not in done.stderr
    finally:
        engine.run(["image", "rm", image], check=False)


def test_a_container_that_never_reads(
    engine: Engine, base_image: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(script: str) -> None:
        monkeypatch.setattr(handover, "_SCRIPT", script)
        request = RunRequest(base_image, None, ("true",), gpus="none", name=name)
        plan = image_run.plan(engine, request, engine.image(base_image) or {}, Network())
        launch.detached(engine, plan, ["--detach"], name, Silent())

    with pytest.raises(EngineError, match="ended before it had read its variables"):
        start("exit 3")
    engine.run(["rm", name])

    def interrupt() -> None:
        while not ((engine.container(name) or {}).get("State") or {}).get("Running"):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt, daemon=True)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        start("sleep 60")
    thread.join(10)
    assert engine.container(name) is None


def test_what_a_pipe_cannot_do_is_foreseen(engine: Engine, base_image: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def plan(*env: str, request_image: dict[str, Any] | None = None) -> RunPlan:
        request = RunRequest(base_image, None, ("true",), gpus="none", env=env)
        return image_run.plan(engine, request, request_image or {}, Network())

    assert plan().handover is not None
    assert plan().exposed is None
    for odd in (plan("spring.name=x"), plan(request_image={"Config": {"Env": ["spring.name=x"], "Cmd": ["a"]}})):
        assert odd.handover is None
        assert odd.forwarded == ("HF_TOKEN",)
        assert odd.exposed == "docker inspect will show HF_TOKEN: a shell does not pass on spring.name"
    here = facts.gather(engine)
    monkeypatch.setattr(facts, "gather", lambda _: replace(here, local=False))
    assert plan().exposed == "docker inspect will show HF_TOKEN: the engine runs on another machine"
    assert plan().args()[:3] == ["run", "--env", "HF_TOKEN"]
    monkeypatch.delenv("HF_TOKEN")
    assert plan().exposed is None


def test_a_dry_run_shows_the_pipe_alone_and_makes_none(base_image: str, tmp_path: Path) -> None:
    done = run(base_image, "--dry-run", *sh("true"), cwd=tmp_path)
    line = done.stdout.decode()
    assert "/environment,target=/run/devbox/environment,readonly" in line
    assert line.endswith("devbox sh -c true\n")
    assert "hf_q" not in line
