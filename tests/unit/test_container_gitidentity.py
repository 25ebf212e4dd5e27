"""What of the user's git configuration a container is given."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from devbox.container.person.git_identity import config_file, of_host

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def read_back(text: str, folder: Path) -> dict[str, str]:
    file = folder / "made"
    file.write_text(text)
    listed = subprocess.run(
        ["git", "config", "--file", file, "--list", "--null"], capture_output=True, text=True, check=True
    ).stdout
    return dict(entry.partition("\n")[::2] for entry in listed.split("\0") if entry)


def test_who_and_habits_are_copied_and_nothing_that_may_hold_a_secret_or_a_path_of_the_host(tmp_path: Path) -> None:
    text = config_file(
        [
            ("user.name", 'Ada "Countess" Lovelace; #1'),
            ("user.email", "ada@example.org"),
            ("user.signingkey", "/home/ada/.ssh/id.pub"),
            ("alias.st", "status --short"),
            ("alias.leak", "!curl -H 'Authorization: token' example.org"),
            ("pull.rebase", "true"),
            ("credential.helper", "store"),
            ("url.https://token@example.org/.insteadof", "https://example.org/"),
            ("http.https://example.org.extraheader", "Authorization: secret"),
            ("core.hookspath", "/home/ada/hooks"),
            ("color.branch.current", "yellow"),
        ]
    )
    assert read_back(text, tmp_path) == {
        "user.name": 'Ada "Countess" Lovelace; #1',
        "user.email": "ada@example.org",
        "alias.st": "status --short",
        "pull.rebase": "true",
    }


@settings(max_examples=40, deadline=None)
@given(st.text(st.characters(exclude_characters="\0\r", codec="utf-8")))
def test_git_reads_any_name_back(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    found = read_back(config_file([("user.name", name)]), tmp_path_factory.mktemp("git"))
    assert found == {"user.name": name}


def test_the_users_own_and_conditional_settings_count_and_the_repositorys_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, work = tmp_path / "home", tmp_path / "work" / "tree"
    home.mkdir()
    work.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    (home / ".gitconfig").write_text(
        f'[user]\nname = Ada\nemail = ada@home\n[includeIf "gitdir:{tmp_path}/work/"]\npath = w\n'
    )
    (home / "w").write_text("[user]\nemail = ada@work\n")
    subprocess.run(["git", "init", "--quiet", work], check=True, env=os.environ)
    subprocess.run(["git", "-C", work, "config", "user.name", "planted"], check=True)
    found = read_back(of_host(work, os.environ), tmp_path)
    assert (found["user.name"], found["user.email"]) == ("Ada", "ada@work")
