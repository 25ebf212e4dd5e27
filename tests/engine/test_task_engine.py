"""Tasks on a real engine: one that writes for its user, one that serves, and what goes wrong with them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.request
from typing import TYPE_CHECKING

import pytest

from devbox.paths import config_dir
from tests.engine.lab import DEVBOX, devbox, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from devbox.engine.docker import Engine

pytestmark = pytest.mark.engine

FRAMEWORK = """
extends = "cuda"
title = "A framework of tests"

[[tasks]]
name = "compile"
title = "Write an engine"
image = "{image}"
shell = true
command = [
    "echo", "{{text}}", ">", "/engine/model.plan", "&&", "echo", "token=${{HF_TOKEN:-none}}", "&&", "exit", "{{code}}",
]
mounts = ["{{engines}}/{{gpu}}:/engine"]
ipc = "private"
shm = "64m"

[[tasks.options]]
name = "engines"
help = "Where."
kind = "path"

[[tasks.options]]
name = "text"
help = "What."
default = "plan"

[[tasks.options]]
name = "code"
help = "Exit code."
kind = "number"
default = "0"
minimum = 0

[[tasks]]
name = "serve"
title = "Serve it"
image = "{image}"
command = ["perl", "-e", '''{server}''', "{{status}}"]
mounts = ["{{engines}}/{{gpu}}:/data:ro"]
ports = [3000]
ready = "/health"

[[tasks.options]]
name = "engines"
help = "Where."
kind = "path"

[[tasks.options]]
name = "status"
help = "What it answers with."
default = "200"
"""
# Answers 503 to the first two requests, as a server that loads a model does; "crash" ends after a line.
SERVER = r"""
use IO::Socket::INET; $| = 1; print "loading\n";
if ($ARGV[0] eq "crash") { print "no such engine\n"; exit 3 }
my $s = IO::Socket::INET->new(LocalPort => 3000, Listen => 5, ReuseAddr => 1) or die;
use sigtrap 'handler' => sub { exit 0 }, 'TERM'; my $n = 0;
while (my $c = $s->accept) { my $l = <$c>; my $code = $n++ < 2 ? 503 : $ARGV[0];
  print $c "HTTP/1.0 $code x\r\nContent-Length: 2\r\n\r\nok"; close $c }
"""


@pytest.fixture
def framework(engine: Engine, base_image: str, engine_name: Callable[[str], str]) -> Iterator[str]:
    name = engine_name("fw")
    file = config_dir() / "frameworks" / f"{name}.toml"
    file.parent.mkdir(parents=True)
    file.write_text(FRAMEWORK.format(image=base_image, server=SERVER))
    yield name
    for one in engine.containers({"devbox.task": None}):
        if one.labels["devbox.task"].startswith(f"{name}/"):
            engine.run(["rm", "--force", one.id], check=False)


def test_what_a_task_writes_is_its_users_and_its_exit_code_is_passed_on(
    framework: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    words = ["task", "run", "compile", "--framework", framework, "--engines", "my engines", "--text", "a 'b' $c"]
    done = devbox(*words, cwd=tmp_path)
    assert "token=hf_secret" in done.stdout
    (plan,) = (tmp_path / "my engines").glob("*/model.plan")
    assert plan.read_text() == "a 'b' $c\n"
    assert plan.stat().st_uid == os.getuid()
    said = devbox(*words, "--code", "7", "--dry-run", cwd=tmp_path).stdout
    assert "--env HF_TOKEN" not in said
    assert "target=/run/devbox/environment,readonly" in said
    assert "hf_secret" not in said
    assert "--shm-size=64m" in said
    assert f"--user {os.getuid()}:{os.getgid()}" in said
    devbox(*words, "--code", "7", cwd=tmp_path, code=7)


def test_a_server_is_waited_for_shown_and_stopped(
    framework: str, tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    port = str(free_port())
    words = ["task", "run", "serve", "--framework", framework, "--engines", "engines", "--port", f"{port}:3000"]
    missing = devbox(*words, cwd=tmp_path, code=2)
    assert "there is no folder" in missing.stderr
    (tmp_path / "engines" / "gpu").mkdir(parents=True)
    done = devbox(*words, "--json", cwd=tmp_path)
    answer = json.loads(done.stdout)
    assert answer["data"]["url"] == f"http://127.0.0.1:{port}", done.stderr
    assert urllib.request.urlopen(answer["data"]["url"], timeout=10).status == 200
    name = answer["data"]["name"]
    assert "hf_secret" not in json.dumps(engine.container(name))
    assert engine.run(["exec", name, "sh", "-c", "grep -lz HF_TOKEN=hf_secret /proc/[0-9]*/environ"]).ok
    taken = devbox(*words, cwd=tmp_path, code=2)
    assert f"taken by the container {name}" in taken.stderr
    listed = json.loads(devbox("task", "list", "--framework", framework, "--json", cwd=tmp_path).stdout)
    assert [task["state"][:2] for task in listed["data"]["tasks"]] == ["", "Up"]
    assert devbox("task", "logs", "serve", cwd=tmp_path).stdout == "loading\n"
    devbox("task", "stop", f"{framework}/serve", cwd=tmp_path)
    assert engine.container(name) is None


def test_a_server_that_ends_first_says_why(framework: str, tmp_path: Path, engine: Engine) -> None:
    (tmp_path / "engines" / "gpu").mkdir(parents=True)
    words = ["--framework", framework, "--engines", "engines", "--port", f"{free_port()}:3000", "--status", "crash"]
    done = devbox("task", "run", "serve", *words, cwd=tmp_path, code=1)
    assert "ended with exit code 3 before it served" in done.stderr
    assert "no such engine" in done.stderr
    assert "no such engine" in devbox("task", "logs", "serve", cwd=tmp_path).stdout


def test_ctrl_c_while_it_starts_leaves_nothing(
    framework: str, tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    (tmp_path / "engines" / "gpu").mkdir(parents=True)
    words = ["--framework", framework, "--engines", "engines", "--port", f"{free_port()}:3000", "--status", "503"]
    with subprocess.Popen(
        [*DEVBOX, "task", "run", "serve", *words], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "loading" in line:
                process.send_signal(signal.SIGINT)
                break
        process.stderr.read()
        assert process.wait(timeout=60) == 130
    deadline = time.monotonic() + 10
    while any(one.labels["devbox.task"] == f"{framework}/serve" for one in engine.containers({"devbox.task": None})):
        assert time.monotonic() < deadline


def test_the_options_of_a_task_are_shown(framework: str, tmp_path: Path) -> None:
    said = devbox("task", "show", "compile", "--framework", framework, cwd=tmp_path).stdout
    assert "--engines  path" in said
    wrong = devbox("task", "run", "compile", "--framework", framework, "--engine", "x", cwd=tmp_path, code=2)
    assert "did you mean --engines?" in wrong.stderr
