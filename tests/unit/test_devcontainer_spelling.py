"""How WSL's folders are spelled in labels, as VS Code on Windows was seen to write them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox.devcontainer.identity import id_labels
from devbox.devcontainer.read import read
from devbox.devcontainer.spelling import host_spelling, windows_spelling, wsl_distribution

if TYPE_CHECKING:
    from pathlib import Path

WSL2 = "5.15.90.1-microsoft-standard-WSL2"
WSL1_VERSION = "Linux version 4.4.0-19041-Microsoft (Microsoft@Microsoft.com) (gcc version 5.4.0 (GCC) )"
# From a window's address that was published in microsoft/vscode-remote-release and elsewhere, decoded.
RECORDED = "\\\\wsl.localhost\\Ubuntu-22.04\\home\\user\\code\\my-app-name"


@pytest.mark.parametrize(
    ("environ", "kernel", "name"),
    [
        ({"WSL_DISTRO_NAME": "Ubuntu-22.04"}, WSL2, "Ubuntu-22.04"),
        ({"WSL_DISTRO_NAME": "Debian"}, WSL1_VERSION, "Debian"),
        ({"WSL_DISTRO_NAME": "Debian"}, "6.1.0-28-amd64", None),  # the variable came along through ssh
        ({}, WSL2, None),  # a container, or sudo
        ({"WSL_DISTRO_NAME": ""}, WSL2, None),
    ],
)
def test_wsl_is_recognised_by_its_kernel_and_its_variable(
    environ: dict[str, str], kernel: str, name: str | None
) -> None:
    assert wsl_distribution(environ, kernel) == name


def test_the_recorded_spelling_is_written_and_read() -> None:
    folder = "/home/user/code/my-app-name"
    assert windows_spelling(folder, "Ubuntu-22.04") == RECORDED
    assert host_spelling(RECORDED) == folder
    assert host_spelling(RECORDED.replace("wsl.localhost", "wsl$")) == folder
    assert host_spelling("//wsl.localhost/Ubuntu-22.04/home/user/code/my-app-name") == folder


@pytest.mark.parametrize("label", ["/home/me/vllm", "", "c:\\Users\\me\\vllm", "\\\\server\\share\\vllm", "//server/x"])
def test_other_labels_stay_as_they_are(label: str) -> None:
    assert host_spelling(label) == label


@given(st.text(st.characters(exclude_characters="/\\\0", codec="utf-8"), min_size=1).map(lambda name: f"/home/{name}"))
def test_what_is_spelled_for_windows_is_read_back(folder: str) -> None:
    assert host_spelling(windows_spelling(folder, "Ubuntu")) == folder


def test_the_folder_is_spelled_for_windows_and_the_file_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = id_labels("/home/me/vllm", "/home/me/vllm/.devcontainer/devcontainer.json", distribution="Ubuntu")
    assert labels == (
        ("devcontainer.local_folder", "\\\\wsl.localhost\\Ubuntu\\home\\me\\vllm"),
        ("devcontainer.config_file", "/home/me/vllm/.devcontainer/devcontainer.json"),
    )


def test_a_contract_that_is_read_inside_wsl_has_these_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / ".devcontainer.json"
    file.write_text(json.dumps({"image": "debian"}))
    monkeypatch.setattr("os.uname", lambda: type("uname", (), {"release": WSL2, "sysname": "Linux"}))
    inside = read(file, tmp_path, {"WSL_DISTRO_NAME": "Ubuntu"})
    outside = read(file, tmp_path, {})
    assert dict(inside.labels)["devcontainer.local_folder"] == windows_spelling(str(tmp_path), "Ubuntu")
    assert dict(outside.labels)["devcontainer.local_folder"] == str(tmp_path)
    assert inside.devcontainer_id != outside.devcontainer_id
    assert inside.workspace == outside.workspace == tmp_path
