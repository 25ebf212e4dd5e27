"""The benchmark's arithmetic: medians, ratios, budgets, and the page that shows them."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Literal
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import cases, chart, engine, measure, report, scale, trees
from bench.measure import FailedError, Sample, Subject
from bench.report import Budget, Counted, Skipped, Verdict

if TYPE_CHECKING:
    from pathlib import Path

seconds = st.lists(st.floats(0.001, 100), min_size=1, max_size=30).map(tuple)


@given(seconds)
def test_median_and_spread_lie_within_what_was_measured(values: tuple[float, ...]) -> None:
    sample = Sample("a", values)
    assert min(values) <= sample.median <= max(values)
    assert 0 <= sample.spread <= (max(values) - min(values)) / 2 + 1e-9


@given(seconds, seconds)
def test_a_ratio_and_a_difference_judge_the_medians(mine: tuple[float, ...], other: tuple[float, ...]) -> None:
    subject, baseline = Sample("devbox", mine), Sample("other", other)
    ratio = Verdict("case", subject, baseline, Budget("ratio", 2.0))
    added = Verdict("case", subject, baseline, Budget("added", 0.25))
    assert ratio.value == pytest.approx(subject.median / baseline.median)
    assert added.value == pytest.approx(subject.median - baseline.median)
    for one in (ratio, added):
        low, high, limit = one.interval.low, one.interval.high, one.budget.limit
        assert low <= high
        assert one.state == ("kept" if high <= limit else "missed" if low > limit else "undecided")


def test_one_outlier_changes_no_verdict() -> None:
    verdict = Verdict("case", Sample("devbox", (*[1.0] * 8, 60.0)), Sample("other", (1.0,) * 9), Budget("ratio", 1.1))
    assert verdict.state == "kept"


@pytest.mark.parametrize("count", [1, 5, 6, 9, 15, 40])
def test_the_interval_holds_the_median_and_narrows(count: int) -> None:
    found = measure.interval([float(value) for value in range(count)])
    assert found.low <= (count - 1) / 2 <= found.high
    # 95 % of the binomial distribution: 1 to 6 of 6, 4 to 12 of 15, 14 to 27 of 40, counted from 1.
    known = {1: (0, 0), 5: (0, 4), 6: (0, 5), 9: (1, 7), 15: (3, 11), 40: (13, 26)}
    assert (found.low, found.high) == known[count]


def test_a_miss_within_the_noise_of_the_machine_is_undecided() -> None:
    subject, baseline = Sample("devbox", (1.2,) * 9), Sample("other", (1.0,) * 9)
    states = [Verdict("case", subject, baseline, Budget("ratio", 1.1), noise).state for noise in (0.05, 0.2)]
    assert states == ["missed", "undecided"]
    states = [Verdict("case", subject, baseline, Budget("added", 0.1), noise).state for noise in (0.05, 0.2)]
    assert states == ["missed", "undecided"]


def test_what_is_not_decided_is_timed_again(tmp_path: Path) -> None:
    order: list[str] = []
    subjects = [Subject(name, (sys.executable, "-c", ""), partial(order.append, name)) for name in "ab"]
    samples = measure.interleaved(
        subjects, 2, cwd=tmp_path, warm_up=0, enough=lambda samples: len(samples["a"].seconds) == 4
    )
    assert order == ["a", "b"] * 4
    assert len(samples["b"].seconds) == 4


def test_the_engine_is_waited_for_from_a_question_to_the_last_of_its_answer(tmp_path: Path) -> None:
    place = str(tmp_path / "engine")
    with (
        socket.socket(socket.AF_UNIX) as server,
        engine.between({"DOCKER_HOST": f"unix://{place}"}) as (found, environ),
    ):
        server.bind(place)
        server.listen()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(environ["DOCKER_HOST"].removeprefix("unix://"))
            behind = server.accept()[0]
            times = [time.perf_counter()]
            for said in (b"first", b"second"):
                client.sendall(b"GET /")
                assert behind.recv(16) == b"GET /"
                behind.sendall(said)
                assert client.recv(16) == said
                times.append(time.perf_counter())
            behind.close()
            assert client.recv(16) == b""
    assert found.requests == 2
    whole = found.waited(times[0], times[2])
    assert 0 < whole <= times[2] - times[0]
    assert found.waited(times[0], times[1]) + found.waited(times[1], times[2]) == pytest.approx(whole)
    assert [found.waited(*none) for none in ((times[0] - 60, times[0]), (times[2], times[2] + 60))] == [0.0, 0.0]


def test_a_command_that_is_the_same_each_time_has_no_noise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "timed", lambda *_, **__: 0.5)
    assert measure.noise(Subject("a", ("a",)), 9, cwd=tmp_path) == 0


@pytest.mark.parametrize(("files", "limit"), [(1000, 0.25), (5000, 0.25), (6000, 0.275), (9000, 0.35)])
def test_the_no_op_budget_grows_beyond_five_thousand_files(files: int, limit: float) -> None:
    assert cases.no_op(files).limit == pytest.approx(limit)


def test_subjects_run_in_turn_and_the_warm_up_does_not_count(tmp_path: Path) -> None:
    order: list[str] = []
    subjects = [Subject(name, (sys.executable, "-c", ""), partial(order.append, name)) for name in "ab"]
    samples = measure.interleaved(subjects, 2, cwd=tmp_path, warm_up=1)
    assert order == ["a", "b"] * 3
    assert {name: len(sample.seconds) for name, sample in samples.items()} == {"a": 2, "b": 2}


def test_a_failing_command_is_no_measurement(tmp_path: Path) -> None:
    with pytest.raises(FailedError, match="broken failed with 3"):
        measure.timed(Subject("broken", (sys.executable, "-c", "raise SystemExit(3)")), cwd=tmp_path)


def test_the_page_shows_kept_broken_and_skipped_budgets() -> None:
    results: list[Verdict | Skipped | Counted] = [
        Verdict("fast", Sample("devbox", (0.02,)), Sample("other", (0.1,)), Budget("ratio", 0.4)),
        Verdict("slow", Sample("devbox", (0.6,)), Sample("ninja", (0.1,)), Budget("added", 0.25)),
        Skipped("absent", "not installed"),
        Counted("up", 1, 11),
    ]
    page = report.markdown(results, [("rounds", "1")])
    assert "| fast | 0.020 s ± 0.000 | other | 0.100 s ± 0.000 | 0.20 x | ≤ 0.40 x | yes |" in page
    assert "| slow | 0.600 s ± 0.000 | ninja | 0.100 s ± 0.000 | +0.500 s | ≤ + 0.250 s | **no** |" in page
    assert "- absent: not installed" in page
    assert "| up | 1 | 11 |" in page
    data = json.loads(report.as_json(results, [("rounds", "1")]))
    assert [row.get("state") for row in data["results"]] == ["kept", "missed", None, None]
    # What is published holds ratios and counts, and no times.
    published = report.ratios(results, "2030-01-02", "2 cores")
    assert "2030-01-02, 2 cores" in published
    assert "| fast | other | 0.20 | ≤ 0.40 x |" in published
    assert "| up | 1 | 11 |" in published
    assert " s " not in published.partition("| case")[2]


def test_a_generated_tree_builds_and_an_edit_recompiles_one_file(tmp_path: Path) -> None:
    source, build = trees.generate(tmp_path / "tree", 3), tmp_path / "build"

    def run(*argv: str) -> str:
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout

    run("cmake", "-G", "Ninja", "-S", str(source), "-B", str(build))
    run("ninja", "-C", str(build))
    assert "no work to do" in run("ninja", "-C", str(build))
    edited = source / "part0" / "file0.c"
    before = edited.read_text()
    for number in (1, 2):
        trees.edit(edited, number)
        assert edited.read_text().startswith(before)
        assert run("ninja", "-C", str(build)).count("Building") == 1


def test_a_heavy_tree_has_its_costly_file(tmp_path: Path) -> None:
    source = trees.generate(tmp_path / "tree", 1, heavy=7)
    assert "busy<7>" in (source / trees.EDITED).read_text()
    assert "CXX" in (source / "CMakeLists.txt").read_text()


@pytest.mark.parametrize("name", [name for name, value in vars(cases).items() if isinstance(value, Budget)])
def test_the_architecture_page_has_each_budget(repository: Path, name: str) -> None:
    page = (repository / "docs/architecture.md").read_text()
    table = page.partition("## Budgets")[2].partition("\n## ")[0]
    limits = {float(number) for number in re.findall(r"at most ([0-9.]+) ?\u00d7", table)}
    assert getattr(cases, name).limit in limits


@pytest.mark.parametrize(
    ("form", "last", "kept"),
    [("flat", 1.5, True), ("flat", 1.7, False), ("linear", 79.0, True), ("linear", 81.0, False)],
)
def test_a_curve_may_grow_as_its_form_has_it(form: Literal["flat", "linear"], last: float, kept: bool) -> None:
    curve = scale.relative("containers", "status", {500: 2.0 * last, 10: 2.0, 50: 2.0}, form)
    assert curve.points == ((10, 1.0), (50, 1.0), (500, last))
    assert curve.kept is kept


@given(st.lists(st.floats(0.01, 1000), min_size=1, max_size=5))
def test_a_chart_stays_within_its_picture(values: list[float]) -> None:
    points = [(10**place, value) for place, value in enumerate([1.0, *values])]
    drawn = ET.fromstring(chart.svg("files <&>", {"up & down": points}))
    (line,) = drawn.iter("{http://www.w3.org/2000/svg}polyline")
    for pair in line.attrib["points"].split():
        x, y = map(float, pair.split(","))
        assert 0 <= x <= chart.WIDTH
        assert 0 <= y <= chart.HEIGHT
