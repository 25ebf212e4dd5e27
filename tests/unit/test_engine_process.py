"""Running other programs: exit codes, secrets, interruption, and programs that are not there."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from devbox.engine import process
from devbox.engine.api import socket_path
from devbox.engine.docker import Engine
from devbox.errors import EngineError

if TYPE_CHECKING:
    from pathlib import Path


def test_a_failure_names_the_program_and_shows_the_end_of_its_stderr() -> None:
    with pytest.raises(process.CommandError) as caught:
        process.run([sys.executable, "-c", "import sys; sys.stderr.write('no such thing'); sys.exit(7)"])
    assert caught.value.done.code == 7
    assert caught.value.detail == "no such thing"


def test_a_signal_becomes_the_shells_exit_code() -> None:
    done = process.run([sys.executable, "-c", "import os; os.kill(os.getpid(), 15)"], check=False)
    assert done.code == 143


def test_a_missing_program_is_a_sentence() -> None:
    with pytest.raises(EngineError, match="'no-such-program' is not installed"):
        process.run(["no-such-program"])


def test_a_missing_docker_is_a_sentence() -> None:
    with pytest.raises(EngineError, match="'no-docker' is not installed"):
        Engine(docker="no-docker", environ={"DOCKER_HOST": "tcp://127.0.0.1:1"}).run(["info"])


def test_stream_passes_on_lines_and_keeps_the_end() -> None:
    seen: list[str] = []
    done = process.stream([sys.executable, "-c", "for i in range(1000): print(i)"], seen.append, keep=3)
    assert seen == [str(number) for number in range(1000)]
    assert done.stderr.splitlines() == ["997", "998", "999"]


def test_a_timeout_is_a_sentence() -> None:
    with pytest.raises(EngineError, match="gave no answer within"):
        process.run([sys.executable, "-c", "input()"], input_text=None, timeout=0.0)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"HOME": "/nowhere"}, "/var/run/docker.sock"),
        ({"HOME": "/nowhere", "DOCKER_HOST": "unix:///run/user/1/docker.sock"}, "/run/user/1/docker.sock"),
        ({"HOME": "/nowhere", "DOCKER_HOST": "ssh://host"}, None),
        ({"HOME": "/nowhere", "DOCKER_CONTEXT": "far"}, None),
        ({"HOME": "/nowhere", "DOCKER_CONTEXT": "default"}, "/var/run/docker.sock"),
    ],
)
def test_the_socket_is_the_one_the_docker_cli_would_use(environ: dict[str, str], expected: str | None) -> None:
    assert socket_path(environ) == expected


def test_a_context_in_the_cli_config_leaves_the_way_to_the_cli(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"currentContext": "remote"}')
    assert socket_path({"DOCKER_CONFIG": str(tmp_path)}) is None


@pytest.mark.parametrize(
    ("stderr", "environ", "sentence"),
    [
        (
            "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock",
            {},
            "you may not use the Docker engine at unix:///var/run/docker.sock (docker's default)",
        ),
        (
            "failed to connect to the docker API at unix:///x; check if the path is correct",
            {"DOCKER_HOST": "unix:///x"},
            "the Docker engine at unix:///x (DOCKER_HOST) does not answer",
        ),
        ("Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?", {}, "does not answer"),
        ("write /x: no space left on device", {}, "disk is full"),
        (
            'unable to resolve docker endpoint: context "x": context not found',
            {"DOCKER_CONTEXT": "x"},
            "the Docker engine (the docker context 'x', by DOCKER_CONTEXT) does not answer",
        ),
        (
            'error during connect: Get "http://x:2375/info": dial tcp: lookup x: no such host',
            {"DOCKER_HOST": "tcp://x:2375"},
            "at tcp://x:2375 (DOCKER_HOST)",
        ),
        ("client version 1.52 is too new. Maximum supported API version is 1.41", {}, "knows none after 1.41"),
        ("client version 1.40 is too old. Minimum supported API version is 1.44, please", {}, "takes none before 1.44"),
    ],
)
def test_known_troubles_are_explained_with_a_remedy(stderr: str, environ: dict[str, str], sentence: str) -> None:
    error = Engine(environ=environ).trouble(stderr)
    assert error is not None
    assert sentence in error.message
    assert error.hint


@pytest.mark.parametrize(
    "said",
    [
        "unknown flag: --progress\n\nUsage:  docker [OPTIONS] COMMAND\n\nRun 'docker --help'",
        "unknown shorthand flag: 'f' in -f\nSee 'docker --help'.\n\nUsage:  docker [OPTIONS] COMMAND\n\nA self",
        "docker: 'buildx' is not a docker command.\nSee 'docker --help'",
        "docker: unknown command: docker buildx\n\nRun 'docker --help' for more information",
    ],
)
def test_a_missing_plugin_is_told_from_a_flag_that_the_plugin_does_not_know(said: str) -> None:
    engine = Engine(environ={})
    error = engine.trouble(said, ["buildx", "build", "--progress=plain"])
    assert error is not None
    assert error.message == "docker's plugin buildx is missing, which builds images"
    assert engine.trouble(said, ["run", "--progress"]) is None
    assert engine.trouble("unknown flag: --new\nSee 'docker buildx build --help'.", ["buildx", "build"]) is None


def test_an_unknown_trouble_is_not_explained_away() -> None:
    assert Engine(environ={}).trouble("invalid reference format") is None
