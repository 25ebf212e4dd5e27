"""What another terminal sees of a build: while it runs, and nothing of one that was killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from devbox.agent.protocol import Phase, Progress, Tree
from devbox.builds import running
from devbox.builds.build import _Told

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEVBOX_STATE_DIR", str(tmp_path))


def step(done: int, total: int, *names: str) -> Progress:
    return Progress(done=done, total=total, running=names, finished=(), eta=3.0, least=True)


def test_a_build_is_seen_from_its_first_step_to_its_end() -> None:
    with _Told("/w/vllm") as told:
        told.take(Tree(key="k", path="/build/k"))
        told.take(Phase(title="building k"))
        # One that has nothing to do ends here.
        assert running.running() == ()
        assert not running.folder().exists()
        told.take(step(0, 2, "a.cpp", "b.cpp"))
        (one,) = running.running()
        assert (one.workspace, one.key, one.phase, one.done, one.total) == ("/w/vllm", "k", "building k", 0, 2)
        assert (one.running, one.eta, one.least) == (("a.cpp", "b.cpp"), 3.0, True)
        told.take(step(2, 2))
        assert running.running()[0].running == ()
        told.take(Phase(title="installing"))
        assert (running.running()[0].phase, running.running()[0].total) == ("installing", 0)
    assert running.running() == ()
    assert list(running.folder().iterdir()) == []


def test_configuring_counts_as_a_step() -> None:
    with _Told("/w") as told:
        told.take(Phase(title="configuring k", step="configure"))
        assert running.running()[0].phase == "configuring k"


def test_what_a_killed_build_left_counts_for_nothing() -> None:
    code = """
import sys
from devbox.agent.protocol import Phase
from devbox.builds.running import Record
record = Record("/w", "k")
record.take(Phase(title="compiling"))
print("written", flush=True)
sys.stdin.read()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"written\n"
        assert [one.phase for one in running.running()] == ["compiling"]
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert running.running() == ()
    assert list(running.folder().iterdir()) == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"workspace": "/w"}', json.dumps({"later": 1})])
def test_what_makes_no_sense_is_not_shown(text: str) -> None:
    running.folder().mkdir(parents=True)
    path = running.folder() / "k-1-1.json"
    path.write_text(text)
    with path.open("rb") as held:
        import fcntl

        fcntl.flock(held, fcntl.LOCK_EX)
        assert running.running() == ()
        assert path.exists()


def test_a_folder_that_cannot_be_written_stops_no_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEVBOX_STATE_DIR", os.devnull)
    with _Told("/w") as told:
        told.take(step(1, 2, "a"))
    assert running.running() == ()


def test_what_is_no_file_in_a_records_place_holds_nobody_up() -> None:
    running.folder().mkdir(parents=True)
    os.mkfifo(running.folder() / "k-1-2.json")
    (running.folder() / "k-1-3.json").mkdir()
    assert running.running() == ()
