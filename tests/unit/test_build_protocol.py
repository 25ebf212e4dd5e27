"""What host and agent say to each other: one line each, read as it was written, and refused with a sentence."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import asdict
from typing import Any

import pytest

from devbox.agent import protocol
from devbox.agent.protocol import EVENTS, REQUESTS, VERSION, Message, ProtocolError, read_event, read_request
from devbox.builds.talk import _ClientLine, _cut_by_signals, _failure
from devbox.engine.docker import Engine
from devbox.engine.kubernetes.cluster import Cluster
from devbox.engine.kubernetes.place import Place
from devbox.frameworks.model import BuildRules, PythonRules, Step


def as_it_arrives(rules: BuildRules | PythonRules) -> dict[str, Any]:
    """Return a framework's rules with lists for tuples, as JSON has them."""
    return dict(json.loads(json.dumps(asdict(rules))))


RULES = protocol.Rules.of(as_it_arrives(BuildRules(steps=(Step(("cargo", "build")),))))
PACKAGE = protocol.PythonRules.of(as_it_arrives(PythonRules()))
CACHE = protocol.CacheChoice(kind="ccache", size="20G", storage=protocol.Storage(secrets={"TOKEN": "hunter2"}))
CONFIGURED: dict[str, Any] = {
    "client": "a test", "framework": "lab", "variant": "default", "rules": RULES, "type": "Debug", "arch": None,
    "jobs": 2, "targets": ["x"], "defines": [["A", "1"]], "args": [], "mode": "clean", "heal": True, "cache": CACHE,
    "workspace": "/w", "container": "c", "volume": "/build",
}  # fmt: skip
TREE = protocol.TreeTold(
    key="k", path="/build/k", bytes=1, current=True, building=False, state="closed", created=1, built=2, code=0,
    inputs={"type": "Debug"},
)  # fmt: skip
ASKED: list[protocol.Request[Any]] = [
    protocol.Build(**CONFIGURED, watch=True),
    protocol.Python(
        **CONFIGURED, action="wheel", package=PACKAGE, force=False, deps=True,
        precompiled=protocol.Precompiled(kind="version", value="1.0"),
    ),
    protocol.Test(**CONFIGURED, words=["-k", "x"], python=True),
    protocol.List(volume="/build"),
    protocol.Look(volumes={"v": "/volumes/0"}, sizes=False),
    protocol.Remove(trees={"/volumes/0": ["k"]}),
    protocol.Seed(
        key="k", digest="d", token="t",
        sources=[protocol.Source(volume="/volumes/0", workspace="/w", sibling=True, least=0.5)],
    ),
    protocol.CountCache(cache=CACHE),
    protocol.ClearCache(cache=CACHE),
    protocol.LookAtCache(cache=CACHE),
    protocol.ExplainCache(cache=CACHE, file="/w/a.c"),
    protocol.Report(key="k"),
    protocol.Foresee(**CONFIGURED),
]  # fmt: skip
TOLD: list[tuple[protocol.Request[Any], protocol.Event]] = [
    (ASKED[0], protocol.Progress(done=1, total=2, running=["a"], finished=[])),
    (ASKED[0], protocol.Built(code=0, key="k", tree="/t", seconds=1.5, cache=protocol.CacheUse(kind="ccache"))),
    (
        ASKED[-1],
        protocol.Foreseen(
            key="k",
            tree="/t",
            there=False,
            inputs={"type": "Debug"},
            jobs=2,
            jobs_reason="CPUs",
            configure=protocol.Called(argv=["cmake"], cwd="/w"),
            build=[protocol.Called(argv=["ninja"], cwd="/t")],
        ),
    ),
    (ASKED[3], protocol.TreesTold(trees=[TREE])),
    (
        ASKED[4],
        protocol.VolumesTold(
            volumes={"v": protocol.VolumeTold(trees=[TREE], further={"f": protocol.VolumeTold(trees=[TREE])})}
        ),
    ),
    (ASKED[5], protocol.Removed(removed={"/volumes/0": [protocol.Removal(key="k", removed=True, why="")]})),
]


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: asked.KIND)
def test_a_request_is_read_as_it_was_written(asked: protocol.Request[Any]) -> None:
    line = asked.to_line()
    assert "\n" not in line
    assert read_request(line.encode()) == asked


def test_each_request_is_known() -> None:
    assert {type(asked) for asked in ASKED} == set(REQUESTS.values())


@pytest.mark.parametrize(("asked", "told"), TOLD, ids=lambda one: type(one).__name__)
def test_an_event_is_read_as_it_was_written(asked: protocol.Request[Any], told: protocol.Event) -> None:
    assert read_event(json.loads(told.to_line()), asked) == told


def test_names_of_a_newer_side_are_left_alone() -> None:
    said = {**json.loads(ASKED[3].to_line()), "colour": "red"}
    assert read_request(json.dumps(said).encode()) == ASKED[3]
    assert read_event({"event": "dance"}, ASKED[3]) is None
    assert read_event({"event": "info", "text": "x", "colour": "red"}, ASKED[3]) == protocol.Info(text="x")


@pytest.mark.parametrize("kind", [*REQUESTS.values(), *EVENTS.values()], ids=lambda kind: kind.__name__)
def test_what_has_no_default_must_be_there(kind: type[Message]) -> None:
    needed = [name for name in kind.NAMES if not hasattr(kind, name)]
    if not needed:
        assert kind.of({}) == kind()
        return
    with pytest.raises(ProtocolError) as raised:
        kind.of({})
    assert str(raised.value) == f"'{kind.KIND}' came without {', '.join(needed)}"


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (b"", "no request"),
        (b"[1]", "no request"),
        (b'{"request": "build"}', "no request"),
        (b'{"version": 1, "request": "dance"}', "no request 'dance'"),
        (b'{"version": 0, "request": "list"}', f"version 0 of the protocol, and this one version {VERSION}"),
        (b'{"version": 1, "request": "cache stats"}', "'cache stats' came without cache"),
    ],
)
def test_another_line_is_refused_with_a_sentence(line: bytes, sentence: str) -> None:
    with pytest.raises(ProtocolError, match=sentence):
        read_request(line)


def test_a_message_does_not_change_and_shows_no_secret() -> None:
    asked = protocol.CountCache(cache=CACHE)
    with pytest.raises(AttributeError):
        asked.cache = CACHE  # type: ignore[misc]
    assert "hunter2" not in repr(asked)
    assert asked.but(volume="/b") == protocol.CountCache(cache=CACHE, volume="/b") != asked


def test_a_name_that_a_message_does_not_have_is_a_mistake_of_the_program() -> None:
    with pytest.raises(TypeError, match="colour"):
        protocol.Info(text="x", colour="red")  # type: ignore[call-arg]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cuts_the_line_while_something_is_sent(number: signal.Signals) -> None:
    """The client reads no more before it has sent the signal: the other side waits in the middle of its words."""
    script = f"head -c 100000 >/dev/null; kill -{number.name.removeprefix('SIG')} $PPID; exec cat >/dev/null"
    with _ClientLine(["sh", "-c", script], os.environ) as agent, _cut_by_signals(agent):
        agent.send("x" * (8 << 20))
        assert agent.cut_by == number
        agent.send("and more")
        agent.hang_up()
    assert agent.code == 0
    with pytest.raises(KeyboardInterrupt) as raised:
        agent.raise_if_cut()
    assert getattr(raised.value, "exit_code", 130) == 128 + number


@pytest.mark.parametrize(
    ("script", "engine", "told"),
    [
        ("kill -TERM $$", Engine(environ={}), "connection to the container was cut"),
        ("kill -TERM $$", Cluster(Place("c", "n"), {}), "connection to the pod was cut"),
        ("echo error reading from error stream >&2; exit 1", Cluster(Place("c", "n"), {}), "the pod was cut"),
        ("exit 0", Cluster(Place("c", "n"), {}), "connection to the pod was cut"),
        ("echo command terminated with exit code 3 >&2; exit 3", Cluster(Place("c", "n"), {}), "exit code 3"),
        ("exit 3", Engine(environ={}), "exit code 3"),
    ],
)
def test_a_line_that_was_cut_is_told_from_an_agent_that_ended(script: str, engine: Engine, told: str) -> None:
    with _ClientLine(["sh", "-c", script], os.environ) as agent:
        assert list(agent.lines()) == []
    error = _failure(agent, engine, began=True)
    assert told in error.message
    assert ("cut" in told) == ("the same command again" in (error.hint or ""))
