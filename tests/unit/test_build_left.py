"""The time that a first build still takes: weighed by kind, and "at least" until it is known."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from devbox.agent.ninja.left import COMPILE, CUDA, OTHER, C, Estimate, kind, kinds_of
from devbox.agent.ninja.output import Progress
from devbox.ui.console import Console

if TYPE_CHECKING:
    from pathlib import Path

TAKES = {".c": 0.1, ".cpp": 2.0, ".cu": 12.0}


def followed(titles: list[str], jobs: int) -> list[tuple[float, float, bool]]:
    """Run a build whose files take what `TAKES` says; return each time what was left, what was said, and `least`."""
    objects = {name: sum(kind(title) == name for title in titles) for name in (C, COMPILE, CUDA)}
    guess = Estimate(objects, len(titles), jobs)
    waiting, running = list(titles), dict[str, float]()
    now, done, said = 0.0, 0, []
    ended: list[str] = []
    while waiting or running:
        while waiting and len(running) < jobs:
            title = waiting.pop(0)
            running[title] = now + TAKES[title[title.rindex(".") :]]
        left = guess.after(Progress(done, len(titles), list(running), []), ended, now)
        assert (left.seconds is None) == (done == 0)
        said.append((now, left.seconds or 0.0, left.least))
        first = min(running, key=lambda title: running[title])
        now, ended, done = running.pop(first), [first], done + 1
    return [(now - at, seconds, least) for at, seconds, least in said]


def test_slow_kinds_that_come_last_are_weighed_before_one_of_them_has_ended() -> None:
    titles = [f"{number}.c" for number in range(200)] + [f"{number}.cu" for number in range(40)]
    course = followed(titles, jobs=4)
    for left, seconds, least in course[8:-4]:
        # In proportion to what is done, it would be 1 s of 125 at first.
        assert seconds > 0.15 * left
        assert least or seconds == pytest.approx(left, rel=0.25, abs=13)
    half = [(seconds, left) for left, seconds, least in course if not least and left > 30]
    assert half
    assert course[8][2]


def test_a_mixed_build_is_foretold_well_once_each_kind_has_ended() -> None:
    titles = [f"{number}.{suffix}" for number in range(50) for suffix in ("c", "cpp", "cu")]
    course = followed(titles, jobs=4)
    known = [(left, seconds) for left, seconds, least in course if not least]
    assert len(known) > 100
    assert all(seconds == pytest.approx(left, rel=0.25, abs=13) for left, seconds in known)


def test_objects_are_counted_by_the_rules_of_cmake(tmp_path: Path) -> None:
    (tmp_path / "build.ninja").write_text(
        "build a.c.o: C_COMPILER__x_ /a.c\nbuild b.o c.o: CXX_COMPILER__x_unscanned_ /b.cpp | x\n"
        "build d.cu.o: CUDA_COMPILER__k_ d.cu\nbuild all: phony a.c.o\nbuild lib.a: C_STATIC_LIBRARY_LINKER__x_ a.c.o\n"
    )
    assert kinds_of(str(tmp_path)) == {C: 1, COMPILE: 1, CUDA: 1}
    assert kinds_of(str(tmp_path / "nowhere")) == {}
    assert kind("Linking CXX executable small") == OTHER


def test_a_line_of_progress_names_three_files_and_is_honest() -> None:
    stream = io.StringIO()
    console = Console(stream, environ={})
    console.progress(5, 5, running=[f"src/kernels/file{number}.cu" for number in range(16)])
    console.progress(4, 4, eta=48.0, running=["a.cu"])
    first, second = stream.getvalue().splitlines()
    assert first == "[5/5]: src/kernels/file0.cu, src/kernels/file1.cu, src/kernels/file2.cu, +13"
    assert second == "[4/4]: a.cu"
    console = Console(stream := io.StringIO(), environ={})
    console.progress(1, 4, eta=48.0, least=True)
    assert stream.getvalue() == "[1/4], at least 48 s left\n"
