"""`devbox config contract`: what is read, as JSON on stdout, with nothing in it that must not be seen."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from devbox.cli.app import run

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def write(workspace: Path, text: str) -> Path:
    path = workspace / ".devcontainer/devcontainer.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_the_contract_is_shown_with_its_variables_filled_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_abcdef")
    # Nothing is asked of an engine.
    monkeypatch.setenv("DOCKER_HOST", "unix:///no/such.sock")
    text = (
        '{"image": "a", /* c */ "remoteEnv": {"T": "${localEnv:HF_TOKEN}"}, "name": "${localWorkspaceFolderBasename}"}'
    )
    path = write(tmp_path, text)
    assert run(["config", "contract", str(tmp_path)]) == 0
    written = capsys.readouterr()
    assert json.loads(written.out) == {"image": "a", "remoteEnv": {"T": "********"}, "name": tmp_path.name}

    assert run(["config", "contract", str(tmp_path), "--json"]) == 0
    answer = capsys.readouterr().out
    data = json.loads(answer)["data"]
    assert "hf_abcdef" not in answer
    assert (data["contract"], data["kind"], data["merged"]) == (str(path), "image", None)
    assert data["labels"]["devcontainer.config_file"] == str(path)


def test_warnings_are_said_once_and_not_on_stdout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, '{"image": "a", "mount": []}')
    assert run(["config", "contract", str(tmp_path)]) == 0
    written = capsys.readouterr()
    assert json.loads(written.out) == {"image": "a", "mount": []}
    assert written.err.count("did you mean 'mounts'?") == 1


def test_a_broken_contract_says_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "contract", str(tmp_path)]) == 4
    assert "has no devcontainer.json" in capsys.readouterr().err
    path = write(tmp_path, '{\n  "image": 1\n}')
    # From a part of the checkout as well.
    for folder in (tmp_path, tmp_path / ".devcontainer"):
        assert run(["config", "contract", str(folder), "--json"]) == 4
        error = json.loads(capsys.readouterr().out)["error"]
        assert error["message"] == f"{path}:2:12: 'image' must be a string"


def test_in_a_sub_folder_a_command_means_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/HEAD").touch()
    part = tmp_path / "src/deep"
    part.mkdir(parents=True)
    monkeypatch.chdir(part)
    words = ["generate", "--shared", "--framework", "cuda", "--variant", "cpu"]
    assert run(words) == 0
    assert (tmp_path / ".devcontainer/devcontainer.json").is_file()
    assert run(["config", "contract"]) == run(["config", "contract", str(part)]) == 0
    # Whoever names the folder makes it one of its own.
    assert not (part / ".devcontainer").exists()
    assert run([*words, "."]) == 0
    assert (part / ".devcontainer/devcontainer.json").is_file()
