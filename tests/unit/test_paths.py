"""devbox's own folders: where they are for whoever runs it, and what is said where they cannot be used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from devbox import paths
from devbox.__main__ import main
from devbox.cli.app import run
from devbox.cli.builds.request import _client
from devbox.config import kinds
from devbox.container import hot
from devbox.errors import UsageError
from devbox.image.registry.credentials import _config

NOBODY = 43210


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the user be one without an account, as in a container or where a directory service is down."""
    monkeypatch.setattr(os, "getuid", lambda: NOBODY)
    for name in ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME", "DOCKER_CONFIG", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("nobody")
def test_a_user_without_an_account_is_called_by_the_number(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _client().startswith(f"devbox build of u{NOBODY} on ")
    assert kinds.path("~/x", Path("/w")) == Path("/w/~/x")
    monkeypatch.delenv("DEVBOX_STATE_DIR")
    for home in ("", "relative"):
        monkeypatch.setenv("HOME", home)
        for ask in (paths.home, paths.state_dir, lambda: _config({})):
            with pytest.raises(UsageError, match=f"{NOBODY} has no account") as caught:
                ask()
            assert caught.value.hint == "export HOME=FOLDER"
    monkeypatch.setenv("HOME", "/home/x")
    assert paths.state_dir() == Path("/home/x/.local/state/devbox")


@pytest.mark.parametrize("base", [None, "", "relative", "/elsewhere", "/else where/"])
@pytest.mark.parametrize("chosen", ["", "/chosen"])
@pytest.mark.parametrize(("kind", "fallback"), [("state", ".local/state"), ("config", ".config"), ("cache", ".cache")])
def test_the_quick_rule_is_that_of_platformdirs(
    monkeypatch: pytest.MonkeyPatch, kind: str, fallback: str, chosen: str, base: str | None
) -> None:
    monkeypatch.setenv(f"DEVBOX_{kind.upper()}_DIR", chosen)
    monkeypatch.setenv("HOME", "/home/x")
    monkeypatch.delenv(f"XDG_{kind.upper()}_HOME", raising=False)
    if base is not None:
        monkeypatch.setenv(f"XDG_{kind.upper()}_HOME", base)
    assert Path(paths._quickly(kind, fallback)) == Path(paths._user_dir(kind))


def test_nobodys_home_stays_as_it_is_written() -> None:
    assert paths.expanded("~no-such-user-here/x") == Path("~no-such-user-here/x")


def test_a_folder_that_cannot_be_made_is_said_with_what_moves_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("DEVBOX_STATE_DIR", str(file / "state"))
    monkeypatch.chdir(tmp_path)

    def refuse(*_: object) -> None:
        (file / "state").mkdir(parents=True)

    monkeypatch.setattr(hot, "running", refuse)
    assert hot.main(["true"]) == 1
    said = capsys.readouterr().err
    assert f"error: devbox cannot use its folder {file}/state ({file}" in said
    assert "hint: export DEVBOX_STATE_DIR=FOLDER" in said
    monkeypatch.setattr("devbox.cli.app._invoke", refuse)
    assert run(["status"]) == 1
    assert capsys.readouterr().err == said
    assert "--debug" in str(paths.refused(PermissionError(13, "Permission denied", "/elsewhere")).hint)


@pytest.mark.parametrize("args", [["up"], ["build"], ["exec", "true"], ["status"]])
def test_a_current_folder_that_is_gone_is_named(
    args: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert main(args) != 0
    said = capsys.readouterr().err
    assert "error: the current folder is gone" in said
    assert "hint: cd " in said
