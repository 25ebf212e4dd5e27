"""What is executed over the engine's socket to its end, against an engine that is a few lines here."""

from __future__ import annotations

import json
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from devbox.engine.docker import Engine
from devbox.engine.exec import Exec
from devbox.engine.process import NoAnswerError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STARTED = b"HTTP/1.1 101 UPGRADED\r\n\r\n"
SAID = b"\2\0\0\0\0\0\0\4gone"


def engine(folder: Path, *answers: Callable[[socket.socket], object]) -> Engine:
    """Return an engine whose connections are answered by `answers`, in their order, the last one again and again."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(folder / "engine"))
    listening.listen()

    def serve() -> None:
        left = list(answers)
        while True:
            connection = listening.accept()[0]
            connection.recv(1 << 16)
            (left.pop(0) if len(left) > 1 else left[0])(connection)
            connection.close()

    threading.Thread(target=serve, daemon=True).start()
    return Engine(environ={"DOCKER_HOST": f"unix://{folder}/engine"})


def said(status: int, **answer: object) -> Callable[[socket.socket], object]:
    return lambda connection: connection.sendall(f"HTTP/1.0 {status} x\r\n\r\n{json.dumps(answer)}".encode())


def test_a_command_that_reads_nothing_of_its_input_has_its_say(tmp_path: Path) -> None:
    there = engine(
        tmp_path,
        said(201, Id="one"),
        lambda connection: connection.sendall(STARTED + SAID),
        said(200, Running=False, ExitCode=3),
    )
    done = there.execute(Exec("box", ("false",)), input_text="x" * 4_000_000)
    assert (done.code, done.stderr) == (3, "gone")


def test_a_command_that_lives_on_without_its_output_has_so_many_seconds(tmp_path: Path) -> None:
    there = engine(
        tmp_path,
        said(201, Id="one"),
        lambda connection: connection.sendall(STARTED),
        said(200, Running=True),
    )
    with pytest.raises(NoAnswerError, match=r"within 0\.2 s"):
        there.execute(Exec("box", ("x",), interactive=False), timeout=0.2)


def test_an_engine_that_does_not_answer_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEVBOX_TIMEOUT", "0.1")
    over = threading.Event()
    there = engine(tmp_path, lambda _: over.wait(5))
    with pytest.raises(NoAnswerError, match="in time"):
        there.execute(Exec("box", ("x",), interactive=False))
    over.set()
