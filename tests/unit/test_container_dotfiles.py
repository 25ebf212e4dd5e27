"""Dotfiles: which repository is meant, and what the script does; it is the host's shell and git that run it here."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from devbox import config
from devbox.container.person.dotfiles import Dotfiles, of
from devbox.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


@pytest.mark.parametrize(
    ("repository", "url"),
    [
        ("me/dots", "https://github.com/me/dots.git"),
        ("https://host/me/dots", "https://host/me/dots"),
        ("https://me:pass%40word@host:8443/dots.git", "https://host:8443/dots.git"),
        ("ssh://git@host/dots", "ssh://git@host/dots"),
        ("git@host:me/dots.git", "git@host:me/dots.git"),
        ("/srv/dots", "/srv/dots"),
        ("./dots", "./dots"),
        ("../dots", "../dots"),
        ("file:///srv/dots", "file:///srv/dots"),
    ],
)
def test_what_is_cloned(repository: str, url: str) -> None:
    assert Dotfiles(repository).url == url


def test_a_password_is_told_to_git_when_it_asks_and_is_in_no_argv(tmp_path: Path) -> None:
    dotfiles = Dotfiles("https://me:pass%40word@host/dots.git")
    said = subprocess.run(
        ["git", "credential", "fill"],
        input="protocol=https\nhost=host\n\n",
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **dotfiles.environ()},
        capture_output=True,
        text=True,
        check=True,
    )
    assert {"username=me", "password=pass@word"} <= set(said.stdout.split())
    assert "word" not in " ".join(dotfiles.argv()) + dotfiles.environ()["DEVBOX_DOTFILES"] + repr(dotfiles)
    assert dotfiles.secrets() == ("pass@word",)
    assert Dotfiles("https://token@host/dots").secrets() == ("token",)


def test_the_settings_name_them(tmp_path: Path) -> None:
    file = tmp_path / "devbox.toml"
    file.write_text('dotfiles_repository = "https://me:word@host/dots"\ndotfiles_target_path = "~/.dots"\n')
    settings = config.load(tmp_path, environ={"DEVBOX_DOTFILES_INSTALL_COMMAND": "make"}, flags={})
    found = of(settings)
    assert found == Dotfiles("https://me:word@host/dots", "make", "~/.dots")
    assert "word@" not in repr(settings)
    assert of(config.load(tmp_path, environ={}, flags={"dotfiles_repository": "none"})) is None
    file.write_text('dotfiles_repo = "x"\n')
    with pytest.raises(ConfigError, match="dotfiles_repo"):
        config.load(tmp_path, environ={}, flags={})


def repository(folder: Path, **files: str) -> Path:
    """Make a git repository of these files; `__` in a name is a slash, and a leading `_` a dot."""
    folder.mkdir()
    for name, text in files.items():
        path = folder / (f".{name[1:]}" if name.startswith("_") else name).replace("__", "/")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    git = ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@localhost"]
    for args in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "x"]):
        subprocess.run([*git, *args], check=True)
    return folder


def install(home: Path, dotfiles: Dotfiles, **environ: str) -> subprocess.CompletedProcess[str]:
    home.mkdir(exist_ok=True)
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "GIT_CONFIG_SYSTEM": os.devnull, **environ}
    return subprocess.run(
        dotfiles.argv(), env={**env, **dotfiles.environ()}, capture_output=True, text=True, check=False, cwd="/"
    )


SCRIPT = '#!/bin/sh\necho "$0 $PWD $A ${DEVBOX_DOTFILES-gone}" > ~/log\n'


@pytest.mark.parametrize("name", ["install.sh", "setup", "script__setup"])
def test_an_install_script_is_run_in_the_clone_though_not_executable(tmp_path: Path, name: str) -> None:
    source = repository(tmp_path / "dots", **{name: SCRIPT, "_bashrc": "x"})
    done = install(tmp_path / "home", Dotfiles(str(source)), A="a")
    assert done.returncode == 0, done.stderr
    clone = tmp_path / "home/dotfiles"
    said = f"./{name.replace('__', '/')} {clone} a gone"
    assert (tmp_path / "home/log").read_text().strip() == said
    assert not (tmp_path / "home/.bashrc").exists()


def test_the_first_script_of_the_references_list_wins(tmp_path: Path) -> None:
    source = repository(tmp_path / "dots", setup=SCRIPT, **{"bootstrap.sh": SCRIPT})
    install(tmp_path / "home", Dotfiles(str(source), target="~/a b"))
    assert (tmp_path / "home/log").read_text().startswith(f"./bootstrap.sh {tmp_path}/home/a b")


@pytest.mark.parametrize(
    ("command", "said"), [("mine", "./mine"), ("sh mine --quiet", "mine"), ("~/dotfiles/mine", "dotfiles/mine")]
)
def test_an_install_command_is_a_file_or_a_line_for_the_shell(tmp_path: Path, command: str, said: str) -> None:
    source = repository(tmp_path / "dots", mine=SCRIPT, **{"install.sh": "exit 9"})
    done = install(tmp_path / "home", Dotfiles(str(source), command))
    assert done.returncode == 0, done.stderr
    assert said in (tmp_path / "home/log").read_text().split()[0]


def test_without_a_script_the_files_are_linked(tmp_path: Path) -> None:
    source = repository(tmp_path / "dots", _bashrc="new", _config__x="y", README="z")
    home = tmp_path / "home"
    (home / ".config").mkdir(parents=True)
    (home / ".bashrc").write_text("old")
    done = install(home, Dotfiles(str(source)))
    assert done.returncode == 0, done.stderr
    assert (home / ".bashrc").read_text() == "new"
    assert (home / ".bashrc").readlink() == home / "dotfiles/.bashrc"
    assert f"kept the folder {home}/.config" in done.stdout
    assert sorted(path.name for path in home.iterdir()) == [".bashrc", ".config", "dotfiles"]


def test_what_fails_is_a_failure_and_a_clone_that_is_there_is_used(tmp_path: Path) -> None:
    home = tmp_path / "home"
    done = install(home, Dotfiles(str(tmp_path / "none")))
    assert done.returncode != 0
    assert "none" in done.stderr
    source = repository(tmp_path / "dots", **{"install.sh": "exit 3"})
    assert install(home, Dotfiles(str(source))).returncode == 3
    (home / "dotfiles/install.sh").write_text(SCRIPT)
    assert install(home, Dotfiles("/nowhere")).returncode == 0
    assert (home / "log").exists()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/sh").symlink_to("/bin/sh")
    done = install(tmp_path / "other", Dotfiles(str(source)), PATH=str(tmp_path / "bin"))
    assert done.returncode == 127
    assert "no git" in done.stderr
