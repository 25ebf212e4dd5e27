"""The timeline of a build: ninja's graph and critical path, the trace, and the pictures, which are golden files."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import os
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox.agent.caches.counts import Counts
from devbox.agent.ninja import graph, output
from devbox.agent.protocol import Past
from devbox.agent.timeline import describe, keep, phases
from devbox.builds.report.page import html
from devbox.builds.report.picture import history_svg, hits_svg, svg
from devbox.builds.report.timeline import Build, Phase, Step, Timeline, history, lanes, parallelism, slower, timeline
from devbox.builds.report.trace import chrome

GOLDEN = Path(__file__).parents[1] / "golden" / "build"
NINJA = """\
ninja_required_version = 1.5
include CMakeFiles/rules.ninja
build CMakeFiles/a.dir/a.cpp.o: CXX /w/a.cpp || order
  FLAGS = -O3
build gen.h: GEN /w/gen.py
build order: phony || gen.h
build b$ c.o | side.txt: CXX $
    /w/b$ c.cpp $
    | gen.h
build lib.a: AR CMakeFiles/a.dir/a.cpp.o b$ c.o
build prog: LINK main.o | lib.a |@ check
build all: phony prog
"""


def command(name: str, start: float, end: float) -> output.Command:
    return output.Command((name,), start, end)


class TestGraph:
    @pytest.fixture
    def tree(self, tmp_path: Path) -> Path:
        tree = tmp_path / "release-1"
        (tree / "CMakeFiles").mkdir(parents=True)
        (tree / "build.ninja").write_text(NINJA)
        (tree / "CMakeFiles/rules.ninja").write_text("build included: CXX x.c\nrule CXX\n  command = c++\n")
        return tree

    def test_statements(self, tree: Path) -> None:
        found = {edge.outputs[0]: edge for edge in graph.edges(str(tree / "build.ninja"))}
        assert found["b c.o"] == graph.Edge(["b c.o", "side.txt"], "CXX", ["/w/b c.cpp"], ["/w/b c.cpp", "gen.h"])
        assert found["CMakeFiles/a.dir/a.cpp.o"].inputs == ["/w/a.cpp", "order"]
        assert found["prog"].inputs == ["main.o", "lib.a"]  # what only validates is not waited for
        assert "included" in found

    def test_sources_of_objects(self, tree: Path) -> None:
        made = graph.read(str(tree))
        assert made.source["side.txt"] == "/w/b c.cpp"
        assert "order" not in made.source

    def test_the_critical_path_goes_through_what_did_not_run(self, tree: Path) -> None:
        commands = [
            command("gen.h", 0, 4), command("b c.o", 4, 5), command("CMakeFiles/a.dir/a.cpp.o", 4, 7),
            command("main.o", 0, 8), command("lib.a", 7, 7.5), command("prog", 8, 9),
        ]  # fmt: skip
        path = graph.critical_path(commands, graph.read(str(tree)).inputs)
        assert [commands[index].output for index in path] == ["main.o", "prog"]
        commands[3] = command("main.o", 0, 6)
        path = graph.critical_path(commands, graph.read(str(tree)).inputs)
        assert [commands[index].output for index in path] == ["gen.h", "CMakeFiles/a.dir/a.cpp.o", "lib.a", "prog"]

    def test_nothing_ran(self) -> None:
        assert graph.critical_path([], {}) == []

    def test_a_tree_without_ninja_has_no_graph(self, tmp_path: Path) -> None:
        assert graph.read(str(tmp_path)) == graph.Graph({}, {})

    @given(st.text(max_size=200))
    def test_any_text_is_read(self, text: str) -> None:
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "build.ninja"
            path.write_text(f"build {text}", encoding="utf-8", errors="surrogatepass")
            for edge in graph.edges(str(path)):
                assert edge.rule

    @given(st.lists(st.tuples(st.floats(0.01, 9), st.lists(st.integers(0, 11), max_size=4)), max_size=12))
    def test_it_is_the_longest_of_all_chains(self, given_: list[tuple[float, list[int]]]) -> None:
        commands, inputs, end = [], {}, 0.0
        for index, (seconds, before) in enumerate(given_):
            end += seconds
            commands.append(command(f"o{index}", end - seconds, end))
            inputs[f"o{index}"] = [f"o{one}" for one in before if one < index]

        def longest(index: int) -> float:
            return commands[index].seconds + max((longest(int(one[1:])) for one in inputs[f"o{index}"]), default=0.0)

        path = graph.critical_path(commands, inputs)
        best = max((longest(index) for index in range(len(commands))), default=0.0)
        assert sum(commands[index].seconds for index in path) == pytest.approx(best)


class TestLog:
    def test_runs_of_ninja_follow_each_other(self, tmp_path: Path) -> None:
        log = "# ninja log v5\n0\t900\t1\tbuild.ninja\ta\n0\t2000\t1\ta.o\tb\n100\t2500\t1\tb.o\tc\n0\t300\t1\tc.o\td\n"
        (tmp_path / ".ninja_log").write_text(log)
        found = output.commands_since(str(tmp_path), output.LogMark((tmp_path / ".ninja_log").stat().st_ino, 0))
        times = [(one.output, one.start, one.end) for one in found]
        assert times == [("build.ninja", 0, 0.9), ("a.o", 0, 2), ("b.o", 0.1, 2.5), ("c.o", 2.5, 2.8)]

    def test_what_is_kept_becomes_a_timeline(self, tmp_path: Path) -> None:
        tree = tmp_path / "k"
        tree.mkdir()
        (tree / "build.ninja").write_text("build a.o: CXX /w/a.cpp\nbuild a: LINK a.o\n")
        kept = {
            "key": "k", "begun": 5.0, "jobs": 2, "cache": "ccache", "steps": [[0, 1.5, "a.o"], [1.5, 2, "a"]],
            "outcomes": {"/w/a.cpp": "miss"}, "phases": {"a.o": [["cicc", "compute_90", 12.5]]},
        }  # fmt: skip
        (tmp_path / "timelines").mkdir()
        (tmp_path / "timelines/k.json").write_text(json.dumps(kept))
        said = describe(str(tmp_path), str(tree))
        assert said is not None
        found = timeline(said)
        assert found.steps[0] == Step("a.o", 0, 1.5, "/w/a.cpp", "miss", True, (Phase("cicc", "compute_90", 12.5),))
        assert [step.kind for step in found.critical_path()] == ["compile", "link"]
        assert describe(str(tmp_path), str(tmp_path / "other")) is None

    def test_a_command_is_compared_with_its_last_run_that_had_the_same_answer_of_the_cache(
        self, tmp_path: Path
    ) -> None:
        tree = tmp_path / "k"
        tree.mkdir()
        (tree / "build.ninja").write_text("build a.o: CXX /w/a.cpp\nbuild a: LINK a.o\n")
        told = SimpleNamespace(state=str(tmp_path), key="k", cache=SimpleNamespace(kind="ccache", phases=""))

        def ran(outcome: str, *commands: output.Command) -> None:
            answered = Counts(0, 0, {}, 0, {"/w/a.cpp": outcome}, 0)
            keep(told, {"jobs": 2}, commands, answered, start_ns=0)  # type: ignore[arg-type]

        def before() -> list[float | None]:
            said = describe(str(tmp_path), str(tree))
            assert said is not None
            return [step.before for step in timeline(said).steps]

        ran("miss", command("a.o", 0, 3), command("a", 3, 4))
        assert before() == [None, None]
        ran("hit", command("a.o", 0, 0.1), command("a", 1, 3))
        assert before() == [None, 1]
        ran("miss", command("a.o", 0, 5))
        assert before() == [3]
        (tmp_path / "timelines/k/damaged.json").write_text('{"outcomes": {}, "steps": [[1]]}')
        ran("miss", command("a.o", 0, 2))
        assert before() == [5]
        for _ in range(30):
            ran("miss", command("a", 1, 2))
        # The small ones go first.
        kept = [json.loads(path.read_text()) for path in sorted((tmp_path / "timelines/k").glob("0*.json"))]
        assert len(kept) <= 12
        assert len(kept[0]["steps"]) == 2

    def test_nvcc_s_table_of_phases(self, tmp_path: Path) -> None:
        head = "source file name , phase name , phase input files , phase output file , arch , tool, metric , unit\n"
        (tmp_path / "12.csv").write_text(
            f"{head}/w/a.cu , cudafe++ ,  /t/a.ii  , /t/a.cpp , compute_90 , nvcc , 512.16 , ms\n"
            "/w/a.cu , ptxas , /t/a.ptx  , /t/a.cubin , sm_90 , nvcc , 21.7 , ms\nhalf a line\n"
            " , nvcc (driver) ,  , b/a.o ,  , nvcc , 3.4 , ms\n"
        )
        (tmp_path / "13.csv").write_text("")
        found = phases(str(tmp_path))
        assert found == {
            "b/a.o": [["cudafe++", "compute_90", 512.16], ["ptxas", "sm_90", 21.7], ["nvcc (driver)", "", 3.4]]
        }


# As ninja logs them.
MILLISECONDS = st.integers(0, 1_000_000).map(lambda value: value / 1000)
STEPS = st.lists(
    st.builds(
        lambda name, start, length, outcome, critical, parts: Step(
            name, start, start + length, "", outcome, critical, tuple(Phase("cicc", "sm_90", part) for part in parts)
        ),
        st.sampled_from(["a.o", "dir/b.cu.o", "libx.so", "x.h", "<&>"]),
        MILLISECONDS,
        MILLISECONDS,
        st.sampled_from(["", "hit", "miss", "a precompiled header"]),
        st.booleans(),
        st.lists(st.floats(0, 1e5), max_size=4),
    ),
    max_size=20,
)


class TestTimeline:
    @given(STEPS)
    def test_no_two_steps_share_a_lane_at_a_time(self, steps: list[Step]) -> None:
        found = lanes(steps)
        assert sorted(id(step) for lane in found for step in lane) == sorted(map(id, steps))
        for lane in found:
            assert all(one.end <= other.start for one, other in itertools.pairwise(lane))

    @given(STEPS)
    def test_parallelism_is_the_work_spread_over_time(self, steps: list[Step]) -> None:
        width = max((step.end for step in steps), default=0.0)
        found = parallelism(steps, width, 50)
        work = sum(step.seconds for step in steps)
        assert sum(found) * width / 50 == pytest.approx(work, rel=1e-6, abs=1e-6)

    def test_what_a_command_did(self) -> None:
        kinds = {name: Step(name, 0, 1).kind for name in ("x.cu.o", "bin/prog", "libx.so.1", "libx.a", "gen.h")}
        assert list(kinds.values()) == ["compile", "link", "link", "link", "other"]


class TestTrace:
    @given(STEPS)
    def test_it_is_valid_events_nest_and_none_is_negative(self, steps: list[Step]) -> None:
        found = json.loads(json.dumps(chrome(Timeline("k", 0, 4, "ccache", tuple(steps)))))
        threads: dict[int, list[dict[str, Any]]] = {}
        for event in found["traceEvents"]:
            assert event["ph"] in {"X", "M"}
            if event["ph"] == "X":
                assert event["ts"] >= 0
                assert event["dur"] >= 0
                threads.setdefault(event["tid"], []).append(event)
        for events in threads.values():
            inside: dict[str, Any] | None = None
            for event in events:
                if event["cat"] == "nvcc":
                    assert inside is not None
                    assert inside["ts"] <= event["ts"]
                    assert event["ts"] + event["dur"] <= inside["ts"] + inside["dur"] + 1
                else:
                    assert inside is None or inside["ts"] + inside["dur"] <= event["ts"]
                    inside = event

    def test_hits_and_the_critical_path_are_tagged(self) -> None:
        step = Step("a.o", 0, 1, "/w/a.cpp", "hit", critical=True)
        event = chrome(Timeline("k", 0, 1, "ccache", (step,)))["traceEvents"][-1]
        assert event["cat"] == "compile,critical,cache hit"
        assert event["args"]["cache"] == "hit"
        assert event["cname"] == "good"


def example() -> Timeline:
    """A small build with every kind of step."""
    return Timeline(
        "release-90-ab12cd34",
        1_760_000_000.0,
        3,
        "ccache",
        (
            Step("gen.h", 0.0, 0.4, critical=True),
            Step("o/kernels/attention_fwd_hdim128.cu.o", 0.4, 41.0, "/w/kernels/attention_fwd_hdim128.cu", "miss", True,
                 (Phase("cudafe++", "compute_90", 9000.0), Phase("cicc", "compute_90", 30000.0))),
            Step("o/kernels/softmax.cu.o", 0.4, 12.5, "/w/kernels/softmax.cu", "miss"),
            Step("o/src/a<b>&c.cpp.o", 0.4, 0.6, "/w/src/a<b>&c.cpp", "hit"),
            Step("o/src/tokens.cpp.o", 0.6, 0.9, "/w/src/tokens.cpp", "hit"),
            Step("o/src/engine.cpp.o", 0.9, 22.0, "/w/src/engine.cpp", "a precompiled header"),
            Step("libkernels.a", 41.0, 41.6, critical=True),
            Step("bin/serve", 41.6, 44.2, critical=True),
        ),
    )  # fmt: skip


PAST = (
    Build(1_759_000_000.0, 610.0, 0, 400, 380, 0, 380),
    Build(1_759_100_000.0, 80.0, 0, 400, 380, 371, 9),
    Build(1_759_200_000.0, 12.0, 1, 3, 2, 0, 2),
    Build(1_760_000_000.0, 44.2, 0, 8, 5, 2, 2),
)


@pytest.fixture
def _utc(monkeypatch: pytest.MonkeyPatch) -> Any:
    import time

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("_utc")
@pytest.mark.parametrize("name", ["timeline.svg", "history.svg", "hits.svg", "report.html"])
def test_pictures(name: str) -> None:
    text = {
        "timeline.svg": lambda: svg(example()),
        "history.svg": lambda: history_svg(PAST),
        "hits.svg": lambda: hits_svg(PAST),
        "report.html": lambda: html(example(), PAST, title="small <&> · cuda", place="build tree <release-90>"),
    }[name]()
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), f"UPDATE_GOLDEN=1 pytest {__file__} writes it anew"


@given(STEPS)
def test_every_picture_is_well_formed(steps: list[Step]) -> None:
    root = ET.fromstring(svg(Timeline("k<&>", 0, 2, "sccache", tuple(steps))))
    boxes = list(root.iter("{http://www.w3.org/2000/svg}g"))
    assert len(boxes) == len(steps)


def test_a_page_loads_nothing_and_escapes_names() -> None:
    text = html(example(), PAST, title="<x>", place="<x>")
    assert "<x>" not in text
    assert "a<b>" not in text
    assert text.count("http") == text.count("http://www.w3.org/2000/svg") + text.count("http-equiv")
    assert re.findall(r"\b(?:src|href|on\w+)=|@import|url\(", text) == []


def test_the_page_runs_one_script_and_its_policy_no_other() -> None:
    evil = '</script></style><script>alert(1)</script>" onload="x'
    steps = (Step(evil, 0, 9, evil, evil, critical=True, before=1.0), Step("b.o", 0, 1))
    text = html(Timeline(evil, 0, 2, evil, steps), PAST, title=evil, place=evil)
    (script,) = re.findall(r"<script.*?>(.*?)</script>", text, re.DOTALL)
    (said,) = re.findall(r"script-src '(.*?)'", text)
    assert said == f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"
    assert "default-src 'none'" in text
    assert "alert(1)" not in text.replace("&lt;script&gt;alert(1)&lt;/script&gt;", "")


def test_what_took_longer_than_before() -> None:
    def step(seconds: float, before: float | None) -> Step:
        return Step(f"{seconds}.o", 0, seconds, before=before)

    lost, most, much = step(2.0, 1.0), step(30.0, 20.0), step(21.0, 20.4)
    assert slower([step(0.6, 0.2), lost, step(5, None), step(1, 3), most, much]) == (most, lost)
    text = html(Timeline("k", 0, 2, "ccache", (lost, most, much)), (), title="t")
    assert "3 of these commands are known from an earlier build" in text
    assert text.count('class="compile slower miss"') == 4  # twice in each of two tables
    assert "None of them" in html(Timeline("k", 0, 2, "ccache", (much,)), (), title="t")
    assert "Slower" not in html(Timeline("k", 0, 2, "ccache", (step(1, None),)), (), title="t")


def test_history_of_older_versions_is_read() -> None:
    assert history([Past(start=5_000_000_000, seconds=2.0)]) == (Build(5.0, 2.0, 0, 0, 0, None, None),)


def test_that_a_tree_was_seeded_is_no_build() -> None:
    assert history([Past(start=5_000_000_000, reasons=["seeded from /w"])]) == ()
