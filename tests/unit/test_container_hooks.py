"""Lifecycle commands on the host: no container needed to see order, parallelism and failure."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from devbox.container.hooks import Hooks, host_argv, run_on_host, run_parallel
from devbox.errors import HookError
from devbox.reporter import Silent

if TYPE_CHECKING:
    from pathlib import Path


def test_a_line_is_for_the_shell_and_a_list_is_not() -> None:
    assert host_argv("echo $HOME") == ["/bin/sh", "-c", "echo $HOME"]
    assert host_argv(("echo", "$HOME")) == ["echo", "$HOME"]


def test_the_commands_of_one_entry_run_at_the_same_time() -> None:
    meeting = threading.Barrier(2, timeout=10)

    def meet(_label: str, _command: object) -> tuple[int, str]:
        meeting.wait()
        return 0, ""

    run_parallel("postCreateCommand", (("a", "x"), ("b", "y")), meet)


def test_all_commands_of_an_entry_end_before_one_failure_is_told() -> None:
    ended: list[str] = []

    def run_one(label: str, _command: object) -> tuple[int, str]:
        ended.append(label)
        return (3, "no such thing") if label == "a" else (0, "")

    with pytest.raises(HookError, match=r"postCreateCommand 'a' failed with exit code 3") as raised:
        run_parallel("postCreateCommand", (("a", "x"), ("b", "y")), run_one)
    assert raised.value.detail == "no such thing"
    assert sorted(ended) == ["a", "b"]


def test_the_host_command_runs_in_the_workspace(tmp_path: Path) -> None:
    run_on_host(((("", "pwd > here"),), (("", ("touch", "a b")),)), str(tmp_path), os.environ, Silent())
    assert (tmp_path / "here").read_text().strip() == str(tmp_path)
    assert (tmp_path / "a b").exists()


def test_markers_hold_the_creation_or_the_start() -> None:
    hooks = Hooks((("postCreateCommand", ((("", "x"),),)), ("postAttachCommand", ((("", "y"),),))), "c", "s")
    assert hooks.moment("postCreateCommand") == "c"
    assert hooks.moment("postStartCommand") == "s"
    assert hooks.names == ("postCreateCommand", "postAttachCommand")
