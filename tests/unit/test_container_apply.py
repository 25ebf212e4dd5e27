"""Limits that the engine refuses, and what docker says when it does not start a container."""

from __future__ import annotations

import pytest

from devbox import units
from devbox.container.up.apply import clamped, refused, refused_limit


@pytest.mark.parametrize(
    ("before", "hard", "after"),
    [
        (("--ipc=host", "--ulimit=memlock=-1"), 64, ("--ipc=host", "--ulimit=memlock=64")),
        (("--ulimit=memlock=-1:-1", "-q"), 64, ("--ulimit=memlock=64", "-q")),
        (("--ulimit=memlock=-1",), None, ()),
        (("--ulimit=memlock=64",), 64, ()),
        (("--ulimit=nofile=1", "--ulimit=memlock=-1"), None, ("--ulimit=nofile=1",)),
        (("--ulimit=nofile=1",), 64, ("--ulimit=nofile=1",)),
        (("--ulimit=memlock=-1", "--ulimit=memlock=-1"), 64, ("--ulimit=memlock=64",)),
    ],
)
def test_a_refused_limit_is_lowered_or_left_out(
    before: tuple[str, ...], hard: int | None, after: tuple[str, ...]
) -> None:
    lowered, note = clamped(before, "memlock", lambda: hard)
    assert lowered == after
    assert ("memlock" in note) is (before != after)


@pytest.mark.parametrize(
    ("stderr", "name"),
    [
        ("runc create failed: error setting rlimit type 8: operation not permitted", "memlock"),
        ("Error: crun: setrlimit `RLIMIT_NOFILE`: Operation not permitted: OCI permission denied", "nofile"),
        ("error setting rlimit type 99: operation not permitted", None),
        ("something else", None),
    ],
)
def test_both_runtimes_say_which_limit_they_may_not_set(stderr: str, name: str | None) -> None:
    assert refused_limit(stderr) == name


def test_a_limit_is_lowered_at_most_twice() -> None:
    args: tuple[str, ...] = ("--ulimit=memlock=-1",)
    rounds = 0
    while args:
        args, _ = clamped(args, "memlock", lambda: 64)
        rounds += 1
    assert rounds == 2


@pytest.mark.parametrize(
    ("stderr", "words"),
    [
        (
            'Conflict. The container name "/x-1" is already in use by container "abc".',
            "another container is called x-1",
        ),
        ('could not select device driver "" with capabilities: [[gpu]].', "GPUs"),
        ("Bind for 127.0.0.1:80 failed: port is already allocated.", "port"),
        ("invalid mount config for type bind: bind source path does not exist: /no/where", "/no/where"),
        ("unknown or invalid runtime name: nvidia", "GPUs"),
        ('exec: "/bin/sh": stat /bin/sh: no such file or directory: unknown', "the image has no /bin/sh"),
        ('error gathering device information while adding custom device "/dev/nvidia0": no such file', "GPUs"),
        (
            'error gathering device information while adding custom device "/dev/kvm": no such',
            "the device /dev/kvm, wh",
        ),
        ("Error response from daemon: network mine not found", "the engine has no network mine"),
        ("Error: unable to find network with name or ID mine: network not found", "the engine has no network mine"),
        ("Error: stat /dev/kvm: no such file or directory", "the device /dev/kvm, wh"),
        ("Error: setting up CDI devices: unresolvable CDI devices nvidia.com/gpu=all", "GPUs"),
        ("Error: crun: executable file `/bin/sh` not found: No such file or directory", "the image has no /bin/sh"),
        ("something else", "could not start the container c"),
    ],
)
def test_a_refusal_is_a_sentence(stderr: str, words: str) -> None:
    assert words in refused(stderr, "c").message


@pytest.mark.parametrize(("text", "size"), [("0B", 0), ("1.5kB", 1500), ("2GB", 2_000_000_000), ("N/A", None)])
def test_sizes_as_docker_prints_them(text: str, size: int | None) -> None:
    assert units.size(text, base=1000) == size


def test_the_usage_that_docker_prints_is_left_out() -> None:
    said = (
        'invalid argument "x" for "--mount" flag\n\nUsage:  docker run [OPTIONS]\n\nRun \'docker run --help\' for more'
    )
    assert refused(said, "devbox-w").detail == 'invalid argument "x" for "--mount" flag'


@pytest.mark.parametrize(
    ("said", "message", "hint"),
    [
        ("Bind for 0.0.0.0:8080 failed: port is already allocated", "the port 8080 that", "docker ps"),
        ("listen tcp4 127.0.0.1:8081: bind: address already in use", "the port 8081 that", "ss -ltnp 'sport = :8081'"),
        ("address already in use", "a port that", "docker ps"),
    ],
)
def test_a_port_that_is_taken_is_named(said: str, message: str, hint: str) -> None:
    error = refused(f"docker: Error response from daemon: {said}.", "x")
    assert error.message.startswith(message)
    assert str(error.hint).startswith(hint)
