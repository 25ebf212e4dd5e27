"""Which dev container a folder means, and how `exec` reads its arguments."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox import config
from devbox.container import hot, memory
from devbox.container.inside.exec import exec_argv
from devbox.container.target import Candidate, Target, missing_user, nearest
from devbox.engine.process import Completed
from devbox.errors import DevboxError, UsageError
from devbox.paths import refused

if TYPE_CHECKING:
    from collections.abc import Callable

NONE: dict[str, str] = {}


def one(
    workspace: str, *, identifier: str = "a", config: str = "c", running: bool = True, created: int = 1
) -> Candidate:
    return Candidate(identifier, workspace, config, running, created)


def chosen(candidates: list[Candidate], folder: str, preferred: str | None = None) -> str | None:
    found = nearest(candidates, folder, preferred=lambda _: preferred)
    return found.id if found else None


def test_the_nearest_folder_above_wins() -> None:
    outer, inner = one("/w", identifier="outer"), one("/w/in", identifier="inner")
    assert chosen([outer, inner], "/w/in/deep/er") == "inner"
    assert chosen([outer, inner], "/w/inside") == "outer"
    assert chosen([outer, inner], "/elsewhere") is None


def test_of_several_contracts_the_last_used_wins_then_the_running_then_the_newest() -> None:
    old, new = one("/w", identifier="old", config="old"), one("/w", identifier="new", config="new", created=2)
    stopped = one("/w", identifier="stopped", config="stopped", running=False, created=3)
    assert chosen([old, new, stopped], "/w") == "new"
    assert chosen([old, new, stopped], "/w", "old") == "old"
    assert chosen([old, new, stopped], "/w", "stopped") == "stopped"


def test_a_folder_is_found_through_a_symlink(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    (real / "sub").mkdir(parents=True)
    link.symlink_to(real)
    assert chosen([one(str(link))], str(real / "sub")) == "a"
    assert chosen([one(str(real))], str(link / "sub")) == "a"


def test_folders_map_to_the_inside(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    target = Target("id", tmp_path, "/workspaces/x", "dev")
    assert target.inside(tmp_path) == "/workspaces/x"
    assert target.inside(tmp_path / "a b" / "c") == "/workspaces/x/a b/c"
    assert target.inside(link / "a") == "/workspaces/x/link/a"
    assert target.inside("/elsewhere") is None
    assert target.inside(f"{tmp_path}x") is None


def test_the_argv_names_what_it_must_not_show(tmp_path: Path) -> None:
    target = Target(
        "id",
        tmp_path,
        "/w",
        "dev",
        env_file=Path("/state/id.env"),
        carried=(("LINES", "a\nb"),),
        host_env=(("HF_TOKEN", (("HF_TOKEN", ""),)), ("URL", ("https://", ("USER", "nobody"), "@host"))),
    )
    argv = exec_argv(target, ["cc", "-v"], tty=True, env=(("A", "1"), ("B", None)), environ={})
    assert argv == [
        *(
            "docker",
            "exec",
            "--interactive",
            "--tty",
            "--user",
            "dev",
            "--workdir",
            "/w",
            "--env-file",
            "/state/id.env",
        ),
        *("--env", "LINES", "--env", "HF_TOKEN", "--env", "URL", "--env", "A=1", "--env", "B", "id", "cc", "-v"),
    ]
    environ = target.client_environ({"HF_TOKEN": "s3cret"})
    assert environ == {"HF_TOKEN": "s3cret", "LINES": "a\nb", "URL": "https://nobody@host"}


@pytest.mark.parametrize(
    ("argv", "workspace", "command"),
    [
        (["true"], None, ("true",)),
        (["--", "ls", "-l"], None, ("ls", "-l")),
        (["ls", "--", "x"], None, ("ls", "--", "x")),
        (["-w", "/p", "ls", "-w"], "/p", ("ls", "-w")),
        (["--workspace=/p", "--", "--odd"], "/p", ("--odd",)),
    ],
)
def test_arguments_of_exec(argv: list[str], workspace: str | None, command: tuple[str, ...]) -> None:
    assert hot.parse(argv)[:2] == (workspace, command)


@pytest.mark.parametrize("argv", [[], ["--"], ["-x", "ls"], ["--workspace"], ["-w", "/p"]])
def test_bad_arguments_of_exec_say_the_usage(argv: list[str]) -> None:
    with pytest.raises(UsageError) as raised:
        hot.parse(argv)
    assert raised.value.hint is not None
    assert "devbox exec" in raised.value.hint


def test_what_is_remembered_of_a_container_is_private_and_ends_with_its_start(tmp_path: Path) -> None:
    config = tmp_path / "devcontainer.json"
    config.write_text("{}")
    target = Target(
        "id",
        tmp_path,
        "/w",
        "dev",
        config,
        "t1",
        carried=(("A", "1\n2"),),
        host_env=(("X", ("pre", ("HOME", "h"))),),
    )
    kept = memory.remember_target(target, "PATH=/bin\n")
    assert memory.recall_target("id", "t1") == kept
    assert kept.env_file is not None
    assert kept.env_file.read_text() == "PATH=/bin\n"
    assert {path.stat().st_mode & 0o777 for path in kept.env_file.parent.iterdir()} == {0o600}
    assert memory.recall_target("id", "t2") is None
    config.write_text('{"remoteUser": "other"}')
    assert memory.recall_target("id", "t1") is None
    memory.forget_container("id")
    assert not list(kept.env_file.parent.iterdir())


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 0}', '{"schema": 1, "started_at": "t"}', '{"schema": 1}'])
def test_a_damaged_memory_is_no_memory(text: str, tmp_path: Path) -> None:
    target = memory.remember_target(Target("id", tmp_path, "/w", "dev", None, "t"), "A=1\n")
    assert target.env_file is not None
    target.env_file.with_suffix(".json").write_text(text)
    assert memory.recall_target("id", "t") is None


def test_a_workspace_is_remembered_by_its_path(tmp_path: Path) -> None:
    work = tmp_path / 'a, "b" ü'
    assert memory.recall(work) is None
    memory.remember(work, contract=work / "devcontainer.json", framework="cuda")
    assert memory.recall(work) == (str(work), str(work / "devcontainer.json"), "cuda", None)
    assert (memory.place_of(work), memory.any_on_cluster()) == (None, False)
    assert memory.known() == (memory.recall(work),)
    memory.remember_up(work, contract=work, framework="cuda", on="kubernetes:c/n")
    memory.remember(work, contract=work / "other.json", framework="cuda")
    assert (memory.place_of(work), memory.any_on_cluster()) == ("kubernetes:c/n", True)
    memory.remember_up(work, contract=work, framework="cuda", on=None)
    assert memory.place_of(work) is None


def test_a_user_that_the_container_lacks_is_named() -> None:
    lacking = Completed((), 126, "unable to find user bob: no matching entries in passwd file\n", "")
    error = missing_user("bob", lacking)
    assert error is not None
    assert "no user bob" in error.message
    assert missing_user("bob", Completed((), 1, "", "no such file")) is None


def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A user without account and home."""
    for name in ("HOME", "XDG_STATE_HOME", "DEVBOX_STATE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 4_321_098)


def in_the_way(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A file where the state directory is to be."""
    (tmp_path / "state").touch()
    monkeypatch.setenv("DEVBOX_STATE_DIR", str(tmp_path / "state"))


@pytest.mark.parametrize("without", [nobody, in_the_way])
def test_a_command_is_executed_where_nothing_can_be_remembered(
    without: Callable[[pytest.MonkeyPatch, Path], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    without(monkeypatch, tmp_path)
    assert (memory.recall_target("id", "t"), memory.known(), memory.recall(tmp_path)) == (None, (), None)
    target = Target("id", tmp_path, "/w", "dev", None, "t", carried=(("C", "x\ny"),))
    made = memory.remember_target(target, "A=1\nB=a=b\n")
    assert (made.env_file, dict(made.carried)) == (None, {"A": "1", "B": "a=b", "C": "x\ny"})
    assert config.load(None, environ={}, flags={}).framework is None
    # What has to remember something says what is missing.
    with pytest.raises((UsageError, OSError)) as raised:
        memory.remember(tmp_path, contract=None, framework="cuda")
    error = raised.value
    said = refused(error) if isinstance(error, OSError) else error
    assert isinstance(said, DevboxError)
    assert str(said.hint).startswith("export ")


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30))
def test_exec_asks_for_the_containers_of_one_folder_alone(name: str) -> None:
    asked = hot._labelled(f"/{name}")  # what the engine is asked
    filters = json.loads(parse_qs(urlsplit(asked).query)["filters"][0])
    assert filters == {"label": [f"devcontainer.local_folder=/{name}"]}
