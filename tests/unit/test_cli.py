"""The one place where commands end: exit codes, sentences, and one envelope with `--json`, whatever happens."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from devbox.cli.app import run

if TYPE_CHECKING:
    from pathlib import Path


def interrupt(*_: Any) -> Any:
    raise KeyboardInterrupt


def test_an_interrupt_is_said_and_has_its_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("devbox.container.up.up", interrupt)
    assert run(["up", str(tmp_path)]) == 130
    assert "the same command finishes" in capsys.readouterr().err
    assert run(["up", str(tmp_path), "--json"]) == 130
    answer = json.loads(capsys.readouterr().out)
    assert (answer["status"], answer["error"]["code"], answer["error"]["exit_code"]) == ("error", "interrupted", 130)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "devbox needs a command"),
        (["frameworks"], "devbox frameworks needs a command"),
        (["nosuch"], "No such command"),
        (["up", "--nope"], "No such option"),
        (["run", "--nope", "--", "true"], "--nope is no option"),
        (["up", "/no/such/folder"], "there is no folder"),
    ],
)
def test_a_wrong_command_line_is_one_sentence(args: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(args) == 2
    written = capsys.readouterr()
    assert said in written.err.splitlines()[-2]
    assert "error: " in written.err
    assert written.out == ""


def test_no_engine_is_said_in_one_envelope(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///no/such.sock")
    assert run(["status", "--json"]) == 3
    answer = json.loads(capsys.readouterr().out)
    assert (answer["command"], answer["error"]["code"]) == ("status", "engine")
