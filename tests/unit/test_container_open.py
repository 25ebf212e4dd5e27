"""The addresses and steps by which IDEs are opened."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from devbox.container.inside.probe import Reading
from devbox.container.open import IDES, folder_uri, ide_of, opening, start
from devbox.errors import DevboxError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = "/home/ada/a b/.devcontainer/devcontainer.json"
LABELS = {"devcontainer.local_folder": "/home/ada/a b", "devcontainer.config_file": CONFIG}


def reading(labels: dict[str, str] = LABELS) -> Reading:
    inspected: dict[str, Any] = {
        "Id": "c" * 64,
        "Config": {"Labels": labels},
        "Mounts": [{"Source": "/home/ada/a b", "Destination": "/workspaces/a b"}],
    }
    return Reading(inspected, None, None)


def program(folder: Path, name: str, script: str = "exit 0") -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def decoded(uri: str) -> Any:
    digits = uri.removeprefix("vscode-remote://dev-container%2B").partition("/")[0].partition("@")[0]
    return json.loads(bytes.fromhex(digits))


def test_the_address_names_the_folder_the_contract_and_the_folder_inside() -> None:
    uri = folder_uri(LABELS, "/workspaces/a b")
    assert uri.endswith("/workspaces/a%20b")
    assert decoded(uri) == {
        "hostPath": "/home/ada/a b",
        "localDocker": False,
        "configFile": {"$mid": 1, "path": CONFIG, "scheme": "file"},
    }


def test_the_address_of_a_wsl_window_is_the_recorded_one() -> None:
    # Taken from a window that VS Code opened, with other names.
    labels = {
        "devcontainer.local_folder": "\\\\wsl.localhost\\Ubuntu-22.04\\home\\user\\code\\my-app-name",
        "devcontainer.config_file": "/home/user/code/my-app-name/.devcontainer/devcontainer.json",
    }
    uri = folder_uri(labels, "/tmp/app", distribution="Ubuntu-22.04")
    assert decoded(uri) == {
        "hostPath": "\\\\wsl.localhost\\Ubuntu-22.04\\home\\user\\code\\my-app-name",
        "localDocker": False,
        "configFile": {
            "$mid": 1,
            "path": "/home/user/code/my-app-name/.devcontainer/devcontainer.json",
            "scheme": "vscode-fileHost",
        },
    }
    assert uri.startswith("vscode-remote://dev-container%2B7b22686f737450617468223a22")


def test_a_container_without_a_contract_is_named_by_its_folder_alone() -> None:
    uri = folder_uri({"devcontainer.local_folder": "/w"}, "/w")
    assert decoded(uri) == {"hostPath": "/w", "localDocker": False}


def test_over_ssh_both_machines_are_named() -> None:
    uri = folder_uri(LABELS, "/w", ssh_host="gpu-7")
    assert uri.endswith("@ssh-remote%2Bgpu-7/w")
    assert decoded(uri)["configFile"]["scheme"] == "vscode-fileHost"


def test_an_installed_ide_is_started_with_the_address(tmp_path: Path) -> None:
    cursor = program(tmp_path, "cursor")
    made = opening("cursor", reading(), {"PATH": str(tmp_path)})
    assert made.argv == (str(cursor), "--folder-uri", made.uri)
    assert made.steps == ()


def test_one_that_is_not_installed_leaves_the_command_to_type(tmp_path: Path) -> None:
    made = opening("code", reading(), {"PATH": str(tmp_path)})
    assert made.argv == ()
    assert made.uri is not None
    assert f"code --folder-uri {made.uri}" in "\n".join(made.steps).replace("'", "")


def test_in_an_ssh_session_nothing_is_started_here(tmp_path: Path) -> None:
    program(tmp_path, "code")
    environ = {"PATH": str(tmp_path), "SSH_CONNECTION": "10.0.0.1 2 10.0.0.2 22"}
    assert "--ssh-host" in "\n".join(opening("code", reading(), environ).steps)
    named = opening("code", reading(), environ, ssh_host="gpu-7")
    assert named.argv == ()
    assert "@ssh-remote%2Bgpu-7" in named.steps[-1]
    # In VS Code's own terminal its program talks to the window at the other end.
    attached = opening("code", reading(), {**environ, "VSCODE_IPC_HOOK_CLI": "/run/x.sock"}, ssh_host="gpu-7")
    assert attached.argv[1:] == ("--folder-uri", named.uri)
    # With a display forwarded, the IDE is here.
    assert opening("code", reading(), {**environ, "DISPLAY": ":10"}).argv


def test_clion_is_opened_on_the_folder_and_told_the_rest_in_steps(tmp_path: Path) -> None:
    clion = program(tmp_path, "clion.sh")
    made = opening("clion", reading(), {"PATH": str(tmp_path)})
    assert made.uri is None
    assert made.argv == (str(clion), "/home/ada/a b")
    assert CONFIG in made.steps[0]
    assert len(opening("clion", reading(), {"PATH": "/nowhere"}).steps) == len(made.steps) + 1


def test_an_unknown_ide_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="emacs") as caught:
        ide_of("emacs")
    assert caught.value.hint == f"devbox open {'|'.join(IDES)}"


def test_an_ide_that_fails_at_once_is_told_with_its_words(tmp_path: Path) -> None:
    program(tmp_path, "code", "echo no display >&2; exit 3")
    made = opening("code", reading(), {"PATH": f"{tmp_path}:/bin:/usr/bin"})
    with pytest.raises(DevboxError, match="exit code 3") as caught:
        start(made, {"PATH": "/bin:/usr/bin"})
    assert caught.value.detail == "no display"


def test_an_ide_gets_its_address_and_no_terminal(tmp_path: Path) -> None:
    program(tmp_path, "code", f'printf "%s\\n" "$@" > {tmp_path}/given; ps -o sid= -p $$ > {tmp_path}/session')
    made = opening("code", reading(), {"PATH": f"{tmp_path}:/bin:/usr/bin"})
    start(made, {"PATH": "/bin:/usr/bin"})
    assert (tmp_path / "given").read_text().split() == ["--folder-uri", made.uri]
    assert sys.platform != "linux" or (tmp_path / "session").exists()
