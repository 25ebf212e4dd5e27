"""Lifecycle commands on the host: no container needed to see order, parallelism and failure."""

from __future__ import annotations

import io
import os
import subprocess
import threading
from pathlib import Path

import pytest

from devbox.cli.hooks import _text as listing
from devbox.container import memory
from devbox.container.hooks.commands import MARKERS, Hooks, awaited, host_argv, run_on_host
from devbox.container.hooks.manage import HookCommand, HookList, HookState
from devbox.container.hooks.parallel import CommandsFailedError, run_entry
from devbox.container.inside.supervise import TOKEN, supervised_here
from devbox.container.person.dotfiles import Dotfiles
from devbox.errors import EngineError, HookError
from devbox.reporter import Silent
from devbox.ui.console import Console


def test_a_line_is_for_the_shell_and_a_list_is_not() -> None:
    assert host_argv("echo $HOME") == ["/bin/sh", "-c", "echo $HOME"]
    assert host_argv(("echo", "$HOME")) == ["echo", "$HOME"]


def test_the_commands_of_one_entry_run_at_the_same_time() -> None:
    meeting = threading.Barrier(2, timeout=10)

    def meet(_label: str, _command: object) -> tuple[int, str]:
        meeting.wait()
        return 0, ""

    done = run_entry("postCreateCommand", (("a", "x"), ("b", "y")), meet, Silent())
    assert [one.label for one in done] == ["a", "b"]


def test_all_commands_of_an_entry_end_before_one_failure_is_told() -> None:
    ended: list[str] = []

    def run_one(label: str, _command: object) -> tuple[int, str]:
        ended.append(label)
        return (3, "no such thing") if label == "a" else (0, "")

    with pytest.raises(HookError, match=r"postCreateCommand 'a' failed with exit code 3") as raised:
        run_entry("postCreateCommand", (("a", "x"), ("b", "y")), run_one, Silent())
    assert raised.value.detail == "no such thing"
    assert sorted(ended) == ["a", "b"]


def test_the_host_command_runs_in_the_workspace(tmp_path: Path) -> None:
    run_on_host(((("", "pwd > here"),), (("", ("touch", "a b")),)), str(tmp_path), os.environ, Silent())
    assert (tmp_path / "here").read_text().strip() == str(tmp_path)
    assert (tmp_path / "a b").exists()


def test_a_script_with_windows_line_ends_is_named(tmp_path: Path) -> None:
    (tmp_path / "set up.sh").write_bytes(b"#!/bin/sh\r\ntrue\r\n")
    (tmp_path / "setup.sh").write_bytes(b"#!/bin/sh\r\ntrue\r\n")
    (tmp_path / "fine.sh").write_text("#!/bin/sh\nexit 1\n")
    for script in tmp_path.iterdir():
        script.chmod(0o755)
    for command in ("true; ./setup.sh", ("sh", "-c", f"'{tmp_path}/setup.sh'")):
        with pytest.raises(HookError) as raised:
            run_on_host(((("", command),),), str(tmp_path), os.environ, Silent())
        last = (raised.value.detail or "").splitlines()[-1]
        assert "setup.sh has Windows line ends (CR LF)" in last
        assert ".gitattributes" in last
    with pytest.raises(HookError) as raised:
        run_on_host(((("", "./fine.sh"),),), str(tmp_path), os.environ, Silent())
    assert "Windows" not in str(raised.value.detail)


def test_what_was_not_run_for_a_failure_is_said() -> None:
    with pytest.raises(HookError, match="failed with exit code 1; postStartCommand, postAttachCommand were not run"):
        run_entry(
            "postCreateCommand",
            (("", "x"),),
            lambda *_: (1, ""),
            Silent(),
            then=("postStartCommand", "postAttachCommand"),
        )
    with pytest.raises(HookError, match="; postStartCommand was not run"):
        run_entry("postCreateCommand", (("", "x"),), lambda *_: (1, ""), Silent(), then=("postStartCommand",))


def test_markers_hold_the_creation_or_the_start() -> None:
    hooks = Hooks((("postCreateCommand", ((("", "x"),),)), ("postAttachCommand", ((("", "y"),),))), "c", "s")
    assert hooks.moment("postCreateCommand") == "c"
    assert hooks.moment("postStartCommand") == "s"
    assert hooks.names == ("postCreateCommand", "postAttachCommand")


@pytest.mark.parametrize(
    ("wait_for", "names"),
    [
        ("initializeCommand", ""),
        ("onCreateCommand", "onCreate"),
        ("updateContentCommand", "onCreate"),
        ("postCreateCommand", "onCreate postCreate"),
        ("postStartCommand", "onCreate postCreate dotfiles postStart"),
    ],
)
def test_what_waitfor_makes_a_tool_wait_for(wait_for: str, names: str) -> None:
    due = ("onCreateCommand", "postCreateCommand", "dotfiles", "postStartCommand", "postAttachCommand")
    assert [name.removesuffix("Command") for name in awaited(due, wait_for)] == names.split()


def test_dotfiles_come_before_the_start() -> None:
    commands = tuple((name, ((("", "x"),),)) for name in ("postStartCommand", "postCreateCommand"))
    hooks = Hooks(commands, "c", "s", Dotfiles("me/dots"))
    assert hooks.names == ("postCreateCommand", "dotfiles", "postStartCommand")
    assert hooks.moment("dotfiles") == ""


def test_all_failures_of_an_entry_are_told() -> None:
    def run_one(label: str, _command: object) -> tuple[int, str]:
        return {"a": (3, "one\ntwo"), "b": (0, "fine"), "c": (4, "three")}[label]

    with pytest.raises(CommandsFailedError) as raised:
        run_entry("postCreateCommand", (("a", "x"), ("b", "y"), ("c", "z")), run_one, Silent())
    assert raised.value.message == "postCreateCommand failed: 'a' with exit code 3, 'c' with exit code 4"
    assert raised.value.detail == "a │ one\na │ two\nc │ three"
    assert raised.value.status == 3


def test_an_error_of_devbox_in_one_of_several_is_raised_as_it_is() -> None:
    def run_one(label: str, _command: object) -> tuple[int, str]:
        if label == "a":
            raise EngineError("the engine is gone")
        return 1, ""

    with pytest.raises(EngineError, match="the engine is gone"):
        run_entry("postCreateCommand", (("a", "x"), ("b", "y")), run_one, Silent())


def marks(home: Path, *requests: tuple[str, str, str]) -> list[str]:
    words = [word for request in requests for word in request]
    env = {"PATH": os.environ["PATH"], "HOME": str(home)}
    argv = ["sh", "-c", MARKERS, "markers", *words]
    return subprocess.run(argv, env=env, capture_output=True, text=True, check=True).stdout.split()


def test_marks_are_those_of_the_reference(tmp_path: Path) -> None:
    home = tmp_path / "not there yet"
    asked = (("a", "m1", "ask"), ("b", "m1", "write"), ("dotfiles", "", "ask"))
    assert marks(home, *asked) == ["a", "dotfiles"]
    folder = home / ".devcontainer"
    assert [path.name for path in folder.iterdir()] == [".bMarker"]
    assert (folder / ".bMarker").read_text() == "m1\n"
    assert marks(home, ("b", "m1", "ask")) == []
    assert marks(home, ("b", "m2", "ask")) == ["b"]
    (folder / ".aMarker").touch()
    assert marks(home, ("a", "m1", "ask"), ("a", "m1", "write")) == [], "an empty one counts as done"
    assert (folder / ".aMarker").read_text() == ""
    assert marks(home, ("dotfiles", "", "write"), ("dotfiles", "", "ask")) == []
    assert (folder / ".dotfilesMarker").read_text() == ""
    (folder / ".dotfilesMarker").write_text("of another tool")
    assert marks(home, ("dotfiles", "", "ask")) == [], "that it is there is enough"
    assert marks(home, ("b", "", "clear"), ("b", "m1", "ask"), ("none", "", "clear")) == ["b"]


@pytest.mark.parametrize("inner", [KeyboardInterrupt(), HookError("it")])
def test_what_was_started_here_ends_when_the_block_is_left_by_an_error(inner: BaseException) -> None:
    children: list[subprocess.Popen[bytes]] = []

    def start_and_fail() -> None:
        with supervised_here(os.environ) as token:
            children.append(subprocess.Popen(["sh", "-c", "sleep 600; true"], env={**os.environ, TOKEN: token}))
            raise inner

    with pytest.raises(type(inner)):
        start_and_fail()
    assert children[0].wait(timeout=10) < 0


def test_what_was_started_here_stays_when_all_went_well() -> None:
    with supervised_here(os.environ) as token:
        child = subprocess.Popen(["sleep", "600"], env={**os.environ, TOKEN: token})
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(timeout=0.3)
    finally:
        child.kill()
        child.wait()


def test_each_line_of_output_has_the_name_of_its_command_before_it(tmp_path: Path) -> None:
    stream = io.StringIO()
    run = Console(stream, environ={})
    done = run_on_host(((("a", "echo 1; echo 2 >&2"), ("b", ("printf", "3"))),), str(tmp_path), os.environ, run)
    said = stream.getvalue().splitlines()
    assert {"initializeCommand a │ 1", "initializeCommand a │ 2", "initializeCommand b │ 3"} <= set(said)
    assert [one.label for one in done.commands] == ["a", "b"]
    assert sum(line.startswith("✓ initializeCommand") for line in said) == 2


def test_the_list_shows_a_row_for_each_command() -> None:
    found = HookList(
        Path("/w"),
        "c",
        (
            HookState("onCreateCommand", "done", (HookCommand("", ("echo", "a b")),), 0.26, 0),
            HookState("postCreateCommand", "failed", (HookCommand("a", "x\ny"), HookCommand("b", "z")), 61.0, 3),
        ),
    )
    assert listing(found).splitlines() == [
        "HOOK               STATE       TOOK        COMMAND",
        "onCreateCommand    done        0.3 s       echo 'a b'",
        "postCreateCommand  failed (3)  1 min 01 s  a: x …",
        "                                           b: z",
    ]


def test_what_was_run_is_remembered_until_the_container_is_gone() -> None:
    moments = ("created", "started")
    memory.remember_hooks("c", moments)
    memory.remember_hook_run("c", "postCreateCommand", memory.HookRun("created", 3, 0.5))
    memory.remember_hook_run("c", "postStartCommand", memory.HookRun("started", 0, 1))
    assert memory.hooks_done("c", moments)
    assert not memory.hooks_done("c", moments, dotfiles=True)
    assert not memory.hooks_done("c", ("created", "later"))
    assert memory.hook_runs("c")["postCreateCommand"] == ("created", 3, 0.5)
    assert len(memory.hook_runs("c")) == 2
    memory.forget_container("c")
    assert memory.hook_runs("c") == {}
    assert not memory.hooks_done("c", moments)
