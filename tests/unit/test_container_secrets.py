"""Where secrets come from, and what is said when their file is not what it should be."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from devbox.container.contract.reach import reach_of
from devbox.container.desired import Image, desired
from devbox.container.hooks import secrets
from devbox.container.hooks.commands import Hooks, Inside, lines
from devbox.container.target import Target
from devbox.devcontainer.merge import merge
from devbox.devcontainer.read import read
from devbox.engine.docker import Engine
from devbox.errors import UsageError
from devbox.masking import MASK
from devbox.reporter import Silent
from devbox.trust import grants

if TYPE_CHECKING:
    from devbox.devcontainer.model import Contract


def contract(folder: Path, **config: Any) -> Contract:
    file = folder / ".devcontainer/devcontainer.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"image": "i", **config}))
    return read(file, folder, {})


def test_the_file_wins_over_the_environment_and_only_declared_names_are_taken(tmp_path: Path) -> None:
    declared = contract(tmp_path, secrets={"A_KEY": {}, "B_KEY": {"description": "b"}, "UNSET": {}, "BAD-NAME": {}})
    file = tmp_path / "secrets.json"
    file.write_text('{\n  // one\n  "B_KEY": "from the file", "MORE": "",\n}')
    file.chmod(0o600)
    environ = {"A_KEY": "from here", "B_KEY": "from here too", "OTHER_KEY": "not asked for", "BAD-NAME": "x"}
    said = Silent()
    found = secrets.gather(declared, environ, file, said)
    assert found == {"A_KEY": "from here", "B_KEY": "from the file", "MORE": ""}
    assert said.mask("from the file, from here") == f"{MASK}, {MASK}"
    assert not said.warnings


def test_a_file_that_others_may_read_is_told(tmp_path: Path) -> None:
    file = tmp_path / "secrets.json"
    file.write_text('{"A": "b"}')
    file.chmod(0o644)
    said = Silent()
    secrets.gather(None, {}, file, said)
    assert said.warnings == [f"others may read the secrets in {file}: chmod 600 {file}"]


def test_secrets_come_by_stdin_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO('{"A": "b\\nc"}'))
    assert secrets.read(secrets.STDIN) == {"A": "b\nc"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"TOKEN": 1}', "the value of TOKEN must be a string"),
        ('{"TOKEN": {"a": "tellnobody"}}', "the value of TOKEN must be a string"),
        ('{"A-B": "tellnobody"}', "'A-B' is no name of a variable"),
        ('{"": "tellnobody"}', "'' is no name of a variable"),
        ('{"DOCKER_HOST": "tellnobody"}', "DOCKER_HOST is for the docker client"),
        ('{"PATH": "tellnobody"}', "PATH is for the docker client"),
        ('{"A": "tell\\u0000nobody"}', "secrets.json:1:1: a string has a NUL"),
        ('{"A": "tell\\ud800nobody"}', "secrets.json:1:1: a string has a NUL"),
        ('{"A": "tellnobody" "B"}', "secrets.json:1:20: "),
        ('["tellnobody"]', "secrets.json:1:1: "),
        ("A=tellnobody", "secrets.json:1:1: "),
        ("", "secrets.json:1:1: "),
    ],
)
def test_a_wrong_file_is_told_with_its_key_and_without_its_values(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "secrets.json"
    file.write_text(text)
    with pytest.raises(UsageError) as raised:
        secrets.read(file)
    assert said in raised.value.message
    assert str(file) in raised.value.message
    assert "nobody" not in f"{raised.value.message}{raised.value.hint}{raised.value.detail}"


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.json cannot be read: No such file"):
        secrets.read(tmp_path / "none.json")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="is not UTF-8"):
        secrets.read(tmp_path / "binary")


def test_what_a_contract_takes_of_the_hosts_secrets_is_masked(tmp_path: Path) -> None:
    found = contract(
        tmp_path,
        containerEnv={"X": "${localEnv:MY_TOKEN}"},
        build={"args": {"K": "${localEnv:API_KEY:none}"}},
        remoteEnv={"E": "${localEnv:EDITOR}", "N": "${localEnv:GIT_AUTHOR_NAME}", "S": "${localEnv:SSH_AUTH_SOCK}"},
    )
    environ = {
        "MY_TOKEN": "my-token",
        "API_KEY": "my-key",
        "EDITOR": "nano",
        "GIT_AUTHOR_NAME": "A. Person",
        "SSH_AUTH_SOCK": "/run/agent",
    }
    said = Silent()
    secrets.gather(found, environ, None, said)
    assert said.mask("my-token my-key nano A. Person /run/agent") == f"{MASK} {MASK} nano A. Person /run/agent"


def test_declared_names_need_consent(tmp_path: Path) -> None:
    found = contract(tmp_path, secrets={"HF_TOKEN": {}})
    reach = reach_of(found, {})
    assert [one.said for one in reach] == ["gives the host's variable HF_TOKEN to lifecycle commands"]
    said = Silent()
    engine = Engine(environ={"HF_TOKEN": "tellnobody"})
    assert secrets.for_container(engine, found, {}, None, said) == {}
    assert "HF_TOKEN" in said.warnings[0]
    grants.grant(found.workspace, reach, "asked")
    assert secrets.for_container(engine, found, {}, None, Silent()) == {"HF_TOKEN": "tellnobody"}


def test_a_command_gets_them_by_name_alone() -> None:
    target = Target("c", Path("/w"), "/w", "dev")
    inside = Inside(Engine(environ={"HOME": "/h"}), target, Silent(), {"HF_TOKEN": "tellnobody"})
    (line,) = lines(inside, Hooks((("postCreateCommand", ((("", "make"),),)),), "c", "s"), ("postCreateCommand",))
    assert line == "docker exec --user dev --workdir /w --env HF_TOKEN c /bin/sh -c make"
    assert inside.environ() == {"HOME": "/h", "HF_TOKEN": "tellnobody"}
    assert "tellnobody" not in repr(inside)


def test_what_is_made_from_a_hosts_secret_is_not_recorded(tmp_path: Path) -> None:
    found = contract(tmp_path, containerEnv={"PLAIN": "${localEnv:MY_TOKEN}", "OTHER": "x"})
    environ = {"MY_TOKEN": "tellnobody"}
    merged = merge(read(found.path, tmp_path, environ), (), {}, environ)
    assert dict(merged.container_env)["PLAIN"] == "tellnobody"
    state = desired(found, merged, Image("i", "sha256:1", "")).state
    assert state["env"] == {"PLAIN": "(hidden)", "OTHER": "x"}
    assert "tellnobody" not in json.dumps(state)
