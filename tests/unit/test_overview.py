"""The overview's sources: who holds a GPU, one that fails or hangs, what wakes them; and `devbox top` itself."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import queue
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
from typing import TYPE_CHECKING

import pytest

from devbox.builds import running
from devbox.engine.docker import Engine
from devbox.errors import EngineError
from devbox.facts.gpu_use import GpuUse, Holder, gather, read
from devbox.overview import Watch, _Source

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GPUS = "0, GPU-1, NVIDIA H200, 5647, 143771, 97\n1, GPU-2, NVIDIA H200, [N/A], 143771, [N/A]\nno line\n"
PROCESSES = (
    "GPU-1, 451, 638, /usr/bin/python3\nGPU-1, 77, 5000, a, b\nGPU-1, 78, 5000, tritonserver\nGPU-1, 9, [N/A], x\n"
)


def test_what_nvidia_smi_says_of_gpus_and_who_holds_them() -> None:
    first, second = read(GPUS, PROCESSES, {"78": ("alice", "c" * 64)})
    assert first == GpuUse(
        0, "NVIDIA H200", 5647, 143771, 97,
        (Holder(78, "tritonserver", 5000, "alice", "c" * 64), Holder(451, "python3", 638), Holder(9, "x", None)),
    )  # fmt: skip
    assert second == GpuUse(1, "NVIDIA H200", None, 143771, None)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'NVIDIA-SMI has failed.'; exit 9", "nvidia-smi failed: NVIDIA-SMI has failed"),
        ("exec sleep 60", "nvidia-smi gave no answer within 0.2 s"),
    ],
)
def test_what_is_wrong_with_nvidia_smi_is_said_in_a_sentence(
    script: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(EngineError) as caught:
        gather(0.2 if "sleep" in script else 30)
    assert caught.value.message == said


def test_a_source_that_fails_or_hangs_says_so_in_its_place() -> None:
    def fail() -> None:
        raise ValueError("odd")

    failing = _Source(fail, every=1, patience=1)
    failing.look()
    assert failing.problem == "ValueError: odd"
    release, begun = threading.Event(), threading.Event()

    def hang() -> str:
        begun.set()
        release.wait()
        return "at last"

    hanging = _Source(hang, every=1, patience=0.0)
    thread = threading.Thread(target=hanging.look)
    thread.start()
    begun.wait()
    assert hanging.problem is not None
    assert hanging.problem.startswith("no answer for ")
    release.set()
    thread.join()
    assert hanging.found == "at last"
    assert hanging.trouble is None


@pytest.fixture
def lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the socket of an engine that is not there, in an environment of its own."""
    for name in ("STATE", "CACHE", "CONFIG"):
        monkeypatch.setenv(f"DEVBOX_{name}_DIR", str(tmp_path / name.lower()))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/engine.sock")
    return tmp_path / "engine.sock"


def test_an_engine_that_is_not_there_hides_nothing_else(lost: Path) -> None:
    facts = Watch(Engine()).once()
    assert (facts.builds, facts.containers) == ((), None)
    assert facts.disks
    assert facts.trouble is not None
    assert str(lost) in facts.trouble["containers"]


def test_a_build_that_begins_wakes_the_overview(lost: Path) -> None:
    changes: queue.SimpleQueue[None] = queue.SimpleQueue()
    watch = Watch(Engine())
    watch._sources["builds"].every = 3600
    watch.start(lambda: changes.put(None))
    try:
        until = time.monotonic() + 30
        while watch.overview().builds is None or not running.folder().exists():
            changes.get(timeout=until - time.monotonic())
        record = running.Record("/w", "k")
        # The watch may not stand yet: what is written then is told of by what is written after it.
        while not watch.overview().builds:
            from devbox.agent.protocol import Phase

            record.take(Phase(title="compiling"))
            try:
                changes.get(timeout=0.5)
            except queue.Empty:
                assert time.monotonic() < until
        record.close()
    finally:
        watch.stop()


def test_what_the_engine_tells_of_wakes_the_question_for_containers(lost: Path) -> None:
    watch = Watch(Engine())
    containers = watch._sources["containers"]
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(lost))
        server.listen()
        threading.Thread(target=watch._hear_engine, daemon=True).start()
        connection, _ = server.accept()
        with connection:
            assert b"GET /events?filters=" in connection.recv(4096)
            assert not containers.wake.is_set()
            connection.sendall(b'HTTP/1.0 200 OK\r\n\r\n{"Action": "start"}\n')
            assert containers.wake.wait(30)
            watch.stop()


def test_json_has_the_facts_and_their_troubles(lost: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "devbox", "top", "--json"], capture_output=True, text=True, check=True, timeout=60
    )
    data = json.loads(done.stdout)["data"]
    assert data["builds"] == []
    assert str(lost) in data["trouble"]["containers"]
    assert {"containers", "gpus", "volumes", "disks", "sizes", "sized", "at"} <= data.keys()


@pytest.fixture
def terminal(lost: Path) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """Run `devbox top` on a terminal of 60 by 20, and give the terminal's other end and the process."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 20, 60, 0, 0))
    environ = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES", "NO_COLOR"}}
    child = subprocess.Popen(
        ["setsid", "--ctty", sys.executable, "-m", "devbox", "top"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**environ, "TERM": "xterm-256color"},
    )
    try:
        yield ours, child
    finally:
        child.kill()
        child.wait()
        os.close(theirs)
        os.close(ours)


def until(terminal: int, text: bytes) -> bytes:
    """Read what is drawn up to `text`."""
    seen = b""
    while text not in seen:
        seen += os.read(terminal, 4096)
    return seen


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("key", "code"), [(b"q", 0), (b"\x03", 0), (signal.SIGTERM, 143)])
def test_a_key_ends_it_and_the_terminal_is_as_it_was(
    terminal: tuple[int, subprocess.Popen[bytes]], key: bytes | signal.Signals, code: int
) -> None:
    ours, child = terminal
    before = termios.tcgetattr(ours)
    begun = until(ours, b"BUILDS")
    assert b"\x1b[?1049h" in begun
    # Drawn again for another size.
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 10, 40, 0, 0))
    until(ours, b"more lines")
    if isinstance(key, bytes):
        os.write(ours, key)
    else:
        child.send_signal(key)
    rest = until(ours, b"\x1b[?1049l")
    assert b"\x1b[2J" not in begun + rest
    assert child.wait(30) == code
    assert termios.tcgetattr(ours) == before
