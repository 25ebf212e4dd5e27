"""What people and programs see: plain lines in logs, one envelope for JSON."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from devbox.errors import UsageError
from devbox.finding import Finding
from devbox.ui.console import Console, counted, seconds, size
from devbox.ui.envelope import envelope
from devbox.ui.findings import shown
from devbox.ui.tables import age, table


@dataclass(frozen=True)
class Thing:
    path: Path
    names: tuple[str, ...]
    pairs: dict[str, frozenset[str]]


def test_the_envelope_has_the_same_keys_for_results_and_errors() -> None:
    good = json.loads(envelope("up", Thing(Path("/a"), ("b",), {"c": frozenset({"e", "d"})}), warnings=["w"]))
    bad = json.loads(envelope("up", error=UsageError("no", hint="try")))
    assert good.keys() == bad.keys() == {"schema", "command", "status", "data", "warnings", "error"}
    assert good["data"] == {"path": "/a", "names": ["b"], "pairs": {"c": ["d", "e"]}}
    assert bad["error"] == {"code": "usage", "message": "no", "hint": "try", "detail": None, "exit_code": 2}


def test_a_log_gets_plain_whole_lines() -> None:
    stream = io.StringIO()
    console = Console(stream, environ={})
    with console.step("build"):
        console.output("line one", prefix="hook")
    console.warn("careful")
    console.warn("careful")
    console.progress(3, 3, running=["a.cu"])
    text = stream.getvalue()
    assert "\x1b" not in text
    assert "\r" not in text
    assert text.splitlines()[:2] == ["• build …", "hook │ line one"]
    assert text.count("careful") == 1
    assert "[3/3]: a.cu" in text
    assert console.warnings == ["careful"]


def test_a_finding_is_said_in_one_way_and_read_in_one_form() -> None:
    seen = Finding("engine", "error", "the plugin is missing", "apt install it", "images are built with it")
    placed = Finding("unused-arg", "warning", "nothing reads A", "delete it", path="Dockerfile", line=3)
    assert shown([seen, placed], Console(io.StringIO(), environ={})).splitlines() == [
        "✗ engine: the plugin is missing: images are built with it",
        "    apt install it",
        "Dockerfile:3: warning: nothing reads A [unused-arg]",
        "    delete it",
    ]
    keys = {"check", "severity", "message", "why", "remedy", "path", "line", "fix"}
    assert all(one.keys() == keys for one in json.loads(envelope("doctor", [seen, placed]))["data"])


def test_quiet_leaves_warnings() -> None:
    stream = io.StringIO()
    console = Console(stream, environ={}, quiet=True)
    console.info("a")
    console.output("b")
    with console.step("c"):
        pass
    console.warn("d")
    assert stream.getvalue() == "warning: d\n"


def test_nobody_is_asked_without_a_terminal() -> None:
    console = Console(io.StringIO(), environ={})
    assert console.confirm("really") is None
    assert console.choose("which", ["a", "b"]) is None
    assert Console(io.StringIO(), environ={}, yes=True).confirm("really") is True


@pytest.mark.parametrize(
    ("value", "text"), [(0.04, "0.0 s"), (9.94, "9.9 s"), (59.4, "59 s"), (61, "1 min 01 s"), (7380, "2 h 03 min")]
)
def test_durations(value: float, text: str) -> None:
    assert seconds(value) == text


@pytest.mark.parametrize(("value", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (3 << 40, "3.0 TiB")])
def test_sizes(value: float, text: str) -> None:
    assert size(value) == text


def test_a_number_of_things() -> None:
    assert [counted(number, "object") for number in (0, 1, 2)] == ["0 objects", "1 object", "2 objects"]


def test_a_table_is_aligned_and_empty_when_there_is_nothing() -> None:
    assert table(["a", "bb"], []) == ""
    assert table(["a", "bb"], [["xxx", "y"]]) == "A    BB\nxxx  y"


WIDE = [["release-90-4825ad1f", "built, and then some more", "5.6 MiB"], ["debug", "ok", "-"]]


@pytest.mark.parametrize("room", [60, 44, 40])
def test_a_table_fits_the_terminal_and_loses_nothing(room: int) -> None:
    shown = table(["build tree", "state", "size"], WIDE, room=room)
    assert max(map(len, shown.splitlines())) <= room
    assert all(word in shown for word in " ".join(WIDE[0]).split())
    assert "5.6 MiB" in shown


def test_a_row_of_words_that_are_too_wide_is_a_list() -> None:
    assert table(["build tree", "state", "size"], WIDE, room=30) == (
        "release-90-4825ad1f\n  state  built, and then some more\n  size   5.6 MiB\ndebug\n  state  ok"
    )


def test_ages() -> None:
    assert [age(0.5, 100.0), age(None), age(1000.0, 1000.0 + 7200), age(1.0, 1.0 + 200_000)] == [
        "1 min",
        "-",
        "2 h",
        "2 d",
    ]
