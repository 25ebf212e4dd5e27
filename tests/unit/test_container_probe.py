"""The environment of commands in the container."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox.container.inside.probe import env_file, joined_path, parse_environ, recorded, remote_env
from devbox.devcontainer.merge import merge
from devbox.devcontainer.read import read

if TYPE_CHECKING:
    from pathlib import Path

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="=\0"), min_size=1, max_size=8)
VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


@given(st.dictionaries(NAMES, VALUES))
def test_an_environment_is_read_back(environ: dict[str, str]) -> None:
    text = "".join(f"{name}={value}\0" for name, value in environ.items())
    assert parse_environ(text) == environ


@given(st.dictionaries(NAMES, VALUES))
def test_an_env_file_holds_each_variable_on_a_line_or_has_it_carried(environ: dict[str, str]) -> None:
    text, carried = env_file(environ)
    lines = dict(line.partition("=")[::2] for line in text.split("\n") if line)
    assert not set(lines) & set(carried)
    assert {**lines, **carried} == {
        name: value for name, value in environ.items() if name[0] != "#" and not any(map(str.isspace, name))
    }


@pytest.mark.parametrize(
    ("shell", "container", "root", "expected"),
    [
        ("/usr/bin:/bin", "/usr/bin:/bin", True, "/usr/bin:/bin"),
        ("/usr/bin:/bin", "/opt/venv/bin:/cuda/bin:/usr/bin:/bin", True, "/opt/venv/bin:/cuda/bin:/usr/bin:/bin"),
        ("/home/x/bin:/usr/bin:/bin", "/usr/bin:/cuda/bin:/bin", True, "/home/x/bin:/usr/bin:/cuda/bin:/bin"),
        ("/usr/bin:/bin", "/usr/sbin:/usr/bin:/sbin:/bin", False, "/usr/bin:/bin"),
        ("/usr/bin:/bin", "/usr/sbin:/usr/bin:/sbin:/bin", True, "/usr/sbin:/usr/bin:/sbin:/bin"),
        ("/usr/bin", "/usr/bin:/x/sbinary", False, "/usr/bin:/x/sbinary"),
    ],
)
def test_a_login_shell_does_not_lose_the_images_folders(
    shell: str, container: str, *, root: bool, expected: str
) -> None:
    assert joined_path(shell, container, root=root) == expected


def test_values_from_the_host_are_kept_as_their_form_alone(tmp_path: Path) -> None:
    path = tmp_path / ".devcontainer.json"
    env = {
        "TOKEN": "${localEnv:HF_TOKEN}",
        "MIXED": "a ${localEnv:X:def:ignored} ${containerEnv:IN} ${localWorkspaceFolderBasename} ${env:Y}",
        "FIXED": "${containerEnv:IN}/x",
        "GONE": None,
    }
    path.write_text(json.dumps({"image": "i", "remoteEnv": env}))
    host = {"HF_TOKEN": "hf_secret", "X": "secret-x", "Y": "secret-y"}
    contract = read(path, tmp_path, host)
    fixed, from_host = remote_env(contract, merge(contract, (), {}, host), {"IN": "inner"})
    assert fixed == {"FIXED": "inner/x", "GONE": None}
    assert from_host == {
        "TOKEN": (("HF_TOKEN", ""),),
        "MIXED": ("a ", ("X", "def"), f" inner {tmp_path.name} ", ("Y", "")),
    }
    assert "secret" not in repr((fixed, from_host))


@pytest.mark.parametrize("label", ["", "{", "[]", "null", "3"])
def test_a_broken_record_is_no_record(label: str) -> None:
    assert recorded({"devbox.contract": label}) == {}
    assert recorded({}) == {}
