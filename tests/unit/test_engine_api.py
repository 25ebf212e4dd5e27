"""Questions to the engine's socket: how long they wait, and what a damaged file of the docker CLI says of it."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from devbox.engine.address import address
from devbox.engine.api import DEFAULT_SOCKET, patience, socket_path
from devbox.engine.docker import _only_asks

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        *[("", 30.0), ("soon", 30.0), ("nan", 30.0), ("-nan", 30.0), ("2.5", 2.5), (" 60 ", 60.0)],
        *[("0", 0.1), ("-5", 0.1), ("-inf", 0.1), ("1e30", 86400.0), ("inf", 86400.0), ("9" * 400, 86400.0)],
    ],
)
def test_whatever_is_set_is_a_time_that_can_be_waited_for(said: str, seconds: float) -> None:
    assert patience({"DEVBOX_TIMEOUT": said}, 30.0) == seconds
    with socket.socket() as connection:
        connection.settimeout(seconds)


@pytest.mark.parametrize("content", ["[" * 100_000, "{", "[]"])
def test_a_damaged_file_of_the_docker_cli_chooses_no_engine(content: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(content)
    environ = {"DOCKER_CONFIG": str(tmp_path)}
    assert socket_path(environ) == DEFAULT_SOCKET
    assert address(environ).origin == "docker's default"


@pytest.mark.parametrize(
    ("args", "asks"),
    [(["ps"], True), (["image", "ls"], True), (["image", "rm"], False), (["buildx", "ls"], False), (["pull"], False)],
)
def test_only_what_the_engine_answers_by_itself_has_a_limit(args: list[str], asks: bool) -> None:
    assert _only_asks(args) is asks
