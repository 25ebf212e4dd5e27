"""The rules of healing, as a pure function of entries and records."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox.agent.proof import rules
from devbox.agent.proof.rules import FOREVER, Base, Change, plan
from devbox.agent.proof.sources import UNKNOWN, Entry, Sources

if TYPE_CHECKING:
    from pathlib import Path

START, END = 1000, 2000


def entry(content: str = "a", mtime: int = 500, *, ctime: int | None = None, inode: int = 1) -> Entry:
    return Entry(content, mtime, 10, mtime if ctime is None else ctime, inode)


def base(known: Entry | None, *, trusted: bool = True, start_counts: bool = True) -> Base:
    return Base({"f": known} if known else {}, trusted, START, END if trusted else FOREVER, start_counts)


def one(now: Entry, known: Base, *, agreed: bool = True) -> Change | None:
    return next(iter(plan({"f": now}, known, lambda *_: agreed)), None)


def test_a_file_that_nobody_touched_is_left_alone_whatever_the_record_is_worth() -> None:
    for trusted in (True, False):
        assert one(entry(), base(entry(), trusted=trusted)) is None


def test_the_recorded_content_gets_the_recorded_time() -> None:
    assert one(entry(mtime=3000), base(entry())) == Change("f", 500, "a", lowers=True)


def test_it_keeps_its_newer_time_if_another_tree_disagrees() -> None:
    assert one(entry(mtime=3000), base(entry()), agreed=False) is None


def test_a_time_below_the_recorded_one_is_raised_to_it_unasked() -> None:
    assert one(entry(mtime=400, ctime=3000), base(entry()), agreed=False) == Change("f", 500, "a", lowers=False)


@pytest.mark.parametrize(
    ("mtime", "ctime", "start_counts", "raised"),
    [
        (900, 900, True, True),  # older than the attempt
        (900, 3000, True, True),  # set back after it
        (1500, 1500, True, False),  # written while it ran: ninja sees that by the start of the command
        (1500, 1500, False, True),  # an old ninja does not
        (1500, 1600, True, True),  # came by a rename while it ran
        (2500, 2600, True, False),  # newer than all that it made
    ],
)
def test_another_content_is_made_newer_if_ninja_could_miss_it(
    mtime: int, ctime: int, start_counts: bool, raised: bool
) -> None:
    change = one(entry("b", mtime, ctime=ctime), base(entry("a"), start_counts=start_counts))
    assert change == (Change("f", None, "b", lowers=False) if raised else None)
    fresh = one(entry("b", mtime, ctime=ctime), base(None, start_counts=start_counts))
    assert fresh == change


def test_without_trust_nothing_is_lowered_and_what_was_set_is_raised() -> None:
    assert one(entry(mtime=3000), base(entry(), trusted=False)) is None
    assert one(entry(mtime=3000, ctime=3001), base(entry(), trusted=False)) == Change("f", None, "a", lowers=False)
    assert one(entry(mtime=500, ctime=3000), base(entry(), trusted=False)) == Change("f", None, "a", lowers=False)


def test_unknown_content_equals_nothing() -> None:
    assert one(entry(UNKNOWN, 3000), base(entry(UNKNOWN))) is None
    assert one(entry(UNKNOWN, 400, ctime=3000), base(entry(UNKNOWN))) == Change("f", None, UNKNOWN, lowers=False)


def test_a_link_that_points_elsewhere_is_raised_and_one_that_does_not_is_left() -> None:
    assert one(entry("@a", 3000), base(entry("@a"))) is None
    assert one(entry("@b", 3000), base(entry("@a"))) == Change("f", None, "@b", lowers=False)


times = st.integers(0, 4000)
entries = st.builds(
    Entry, st.sampled_from(["a", "b", UNKNOWN]), times, st.just(10), st.integers(0, 5000), st.integers(1, 2)
)


@given(now=entries, known=st.none() | entries, trusted=st.booleans(), agreed=st.booleans(), counts=st.booleans())
def test_a_time_is_lowered_only_on_proof(
    now: Entry, known: Entry | None, trusted: bool, agreed: bool, counts: bool
) -> None:
    change = one(now, base(known, trusted=trusted, start_counts=counts), agreed=agreed)
    if change is not None and change.mtime is not None and change.mtime < now.mtime:
        assert change.lowers
        assert trusted
        assert agreed
        assert known is not None
        assert known.content == now.content != UNKNOWN
        assert change.mtime == known.mtime


@given(now=entries, known=st.none() | entries, trusted=st.booleans(), counts=st.booleans())
def test_what_is_left_alone_is_newer_than_the_attempt_or_as_it_saw_it(
    now: Entry, known: Entry | None, trusted: bool, counts: bool
) -> None:
    if one(now, base(known, trusted=trusted, start_counts=counts), agreed=False) is None:
        untouched = known is not None and known[1:] == now[1:]
        as_recorded = trusted and known is not None and known.content == now.content and now.mtime >= known.mtime
        newer = now.mtime > (END if trusted else FOREVER)
        written = counts and now.mtime == now.ctime > START
        assert untouched or as_recorded or newer or written


def test_a_write_in_the_tick_of_the_clock_that_raised_the_file_is_not_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f"
    path.write_text("one")
    os.utime(path, (1, 1))
    sources = Sources(str(tmp_path), str(tmp_path / "none"))
    files = sources.entries({}, list)

    def write_with_an_equal_stamp(_: object) -> None:
        status = path.stat()
        path.write_text("two")
        os.utime(path, ns=(status.st_mtime_ns, status.st_mtime_ns))

    monkeypatch.setattr(rules, "await_tick", write_with_an_equal_stamp)
    done = rules.apply([Change("f", None, files["f"].content, lowers=False)], sources, files)
    assert done.raised == ["f"]
    assert files == {}


def test_a_file_that_was_older_than_recorded_is_not_told_as_changed(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("one")
    os.utime(path, ns=(400, 400))
    sources = Sources(str(tmp_path), str(tmp_path / "none"))
    files = sources.entries({}, list)
    done = rules.apply([Change("f", 500, files["f"].content, lowers=False)], sources, files)
    assert (done.lowered, done.lifted, done.raised) == ([], ["f"], [])
    assert (path.stat().st_mtime_ns, files["f"].mtime) == (500, 500)


def test_a_write_while_a_time_is_set_back_is_not_hidden(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("one")
    sources = Sources(str(tmp_path), str(tmp_path / "none"))
    files = sources.entries({}, list)
    content = files["f"].content
    path.write_text("two")
    done = rules.apply([Change("f", 500, content, lowers=True)], sources, files)
    assert (done.lowered, done.raised) == ([], ["f"])
    assert path.stat().st_mtime_ns > 500
    assert files == {}


def test_a_file_of_another_user_is_told_only_where_it_matters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("low", "high"):
        (tmp_path / name).write_text(name)
    sources = Sources(str(tmp_path), str(tmp_path / "none"))
    files = sources.entries({}, list)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "utime", refuse)
    changes = [Change("low", 500, files["low"].content, lowers=True), Change("high", None, "", lowers=False)]
    assert rules.apply(changes, sources, files).failed == ["high"]
    assert set(files) == {"low"}
