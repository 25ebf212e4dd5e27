"""A command's streams: frames however they are cut, and the keys that leave a terminal."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox.container.inside.attached import DetachKeys
from devbox.container.inside.unrunnable import BEGINNING, unrunnable
from devbox.engine.attach import Frames

if TYPE_CHECKING:
    from collections.abc import Sequence


def frame(stream: int, data: bytes) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(data).to_bytes(4, "big") + data


@given(
    st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=40)), max_size=8),
    st.lists(st.integers(1, 60), max_size=30),
)
def test_frames_are_put_together_however_they_are_cut(sent: Sequence[tuple[int, bytes]], cuts: Sequence[int]) -> None:
    data = memoryview(b"".join(frame(stream, part) for stream, part in sent))
    found = {1: b"", 2: b""}
    frames = Frames()
    for size in [*cuts, len(data)]:
        for stream, part in frames.split(data[:size]):
            found[stream] += part
        data = data[size:]
    assert found == {number: b"".join(part for stream, part in sent if stream == number) for number in (1, 2)}


@pytest.mark.parametrize(
    ("keys", "typed", "passed", "left"),
    [
        ("", [b"ab\x10\x11cd"], b"ab", True),
        ("", [b"a\x10", b"\x11"], b"a", True),
        ("", [b"\x10x\x10", b"\x10y"], b"\x10x\x10\x10y", False),
        ("ctrl-e,e", [b"\x10\x11\x05", b"e"], b"\x10\x11", True),
        ("ctrl-@,ctrl-[,a", [b"\x00\x1ba"], b"", True),
        ("ctrl-", [b"x\x10\x11"], b"x", True),
        ("ctrl-ä,nonsense", [b"x\x10\x11"], b"x", True),
    ],
)
def test_the_keys_that_leave_a_terminal(keys: str, typed: list[bytes], passed: bytes, left: bool) -> None:
    looking = DetachKeys(keys)
    results = [looking.feed(one) for one in typed]
    assert b"".join(data for data, _ in results) == passed
    assert results[-1][1] == left


@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=8))
def test_what_is_typed_arrives_unless_it_leaves(typed: bytes, cuts: list[int]) -> None:
    looking = DetachKeys()
    places = sorted({0, *cuts, len(typed)})
    passed, left = b"", False
    for start, end in pairwise(places):
        data, left = looking.feed(typed[start:end])
        passed += data
        if left:
            break
    if left:
        assert typed.startswith(passed + b"\x10\x11")
    else:
        assert passed in {typed, typed[:-1]}


@pytest.mark.parametrize(
    ("said", "code", "message"),
    [
        (
            'exec: "no\\"such": executable file not found in $PATH: unknown\r\n',
            127,
            'no"such: command not found in the container',
        ),
        (
            'exec: "/opt/x": stat /opt/x: no such file or directory: unknown',
            127,
            "/opt/x: no such file in the container",
        ),
        (
            'exec: "/etc/passwd": permission denied: unknown',
            126,
            "/etc/passwd: it cannot be executed in the container: permission denied",
        ),
        (
            'chdir to cwd ("/gone") set in config.json failed: no such file or directory: unknown',
            126,
            "ls: the folder /gone of the container, in which it is to start: no such file or directory",
        ),
        ("something new", 126, "ls: it cannot be executed in the container: something new"),
    ],
)
def test_what_the_engine_could_not_start_is_said_as_by_a_shell(said: str, code: int, message: str) -> None:
    error = unrunnable(f"{BEGINNING}{said}", "ls")
    assert (error.exit_code, error.message) == (code, message)
