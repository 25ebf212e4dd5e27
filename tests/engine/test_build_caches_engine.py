"""Compiler caches in real containers: chosen, changed, explained, and shared by containers, users and Redis."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from devbox.builds.caches import choose, explain
from devbox.builds.caches.choose import CompilerCache
from devbox.builds.caches.doctor import findings
from devbox.builds.caches.storage import storage
from devbox.builds.report.reading import read
from devbox.builds.report.trace import chrome
from tests.engine.lab import COUNT, Place, part, running_redis, small_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from devbox.engine.docker import Engine

pytestmark = pytest.mark.engine

SCCACHE = CompilerCache("sccache")
PASSWORD = "a-password-for-this-test"


def test_another_cache_changes_nothing_in_a_tree(place: Place) -> None:
    assert place.build().missed == COUNT
    assert place.build(cache=SCCACHE).commands == 0
    assert place.build(cache=CompilerCache("none")).commands == 0
    (place.workspace / "one.cpp").write_text(part("one", 5))
    report = place.build(cache=SCCACHE)
    assert (report.configured, report.compiled, report.missed) == ((), 1, 1)
    assert place.run(f"{report.tree}/small") == "7\n"
    assert place.build().commands == 0


def test_sccache_gives_back_what_it_was_given(place: Place) -> None:
    first = place.build(cache=SCCACHE)
    assert (first.cache, first.cached, first.missed) == ("sccache", 0, COUNT)
    again = place.build(cache=SCCACHE, mode="clean")
    assert (again.cached, again.missed) == (COUNT, 0)
    assert place.run(f"{again.tree}/small") == "3\n"
    servers = place.run("sh", "-c", "cat /proc/[0-9]*/comm | grep -c '^sccache$'").strip()
    assert servers == "1"


def test_the_cache_is_asked_explained_and_cleared(place: Place) -> None:
    cache, inside, engine = CompilerCache(), place.inside, place.engine
    place.build()
    source = place.workspace / "one.cpp"
    found = explain.explain(cache, inside, engine, source)
    assert (found.hit, found.last) == (True, "miss")
    source.write_text(f"{source.read_text()}// a comment\n")
    assert explain.explain(cache, inside, engine, source).hit
    source.write_text(part("one", 9))
    assert not explain.explain(cache, inside, engine, source).hit
    assert place.build().missed == 1
    stats = choose.stats(cache, inside, engine)
    assert stats.misses >= COUNT + 1
    assert stats.size > 0
    assert [one.severity for one in findings(cache, inside, engine)] == ["ok"]
    assert choose.clear(cache, inside, engine) > 0
    assert choose.stats(cache, inside, engine).misses == 0
    assert place.build(mode="clean").cached == 0


def test_a_build_s_trace_has_every_command_and_changes_none(place: Place) -> None:
    report = place.build(cache=CompilerCache("none"), trace=True)
    assert report.timeline is not None
    assert len(report.timeline.steps) == report.commands
    assert [step.title for step in report.timeline.critical_path()][-1] == "small"
    assert json.loads(json.dumps(chrome(report.timeline)))["traceEvents"]
    assert place.build().commands == 0
    past = read(place.inside, place.engine)
    assert past.timeline == report.timeline
    assert [build.compiled for build in past.builds] == [COUNT]


def test_two_users_of_a_group_share_one_cache(
    engine: Engine,
    image: str,
    engine_name: Callable[[str], str],
    tmp_path: Path,
) -> None:
    cache = CompilerCache(group=True)
    shared = engine_name("group")
    rates = []
    for uid, name in ((1000, "dev"), (1700, "other")):
        work = small_tree(tmp_path / name)
        member = Place(engine, image, engine_name, work, engine_name("build"), shared).start()
        account = f"getent passwd {uid} || useradd --uid {uid} {name}; echo 'shared:x:4242:{name}' >> /etc/group"
        member.run("sh", "-c", f"{account}; chown {uid} /build; chgrp 4242 /cache/ccache; chmod 2775 /cache/ccache")
        member.target = member.inside._replace(user=name)
        report = member.build(cache=cache)
        assert report.ok, report.failure
        rates.append((report.cached, report.missed))
    assert rates == [(0, COUNT), (COUNT, 0)]


@pytest.fixture
def redis(engine: Engine, tmp_path: Path) -> Iterator[str]:
    with running_redis(engine, tmp_path, PASSWORD) as url:
        yield url


@pytest.mark.parametrize("kind", ["sccache", "ccache"])
def test_machines_share_a_cache_through_redis(
    kind: str,
    redis: str,
    place: Place,
    engine_name: Callable[[str], str],
    tmp_path: Path,
) -> None:
    cache = CompilerCache(kind, storage=storage(kind, redis, {"SCCACHE_REDIS_PASSWORD": PASSWORD}))
    assert place.build(cache=cache).missed == COUNT
    other = Place(
        place.engine, place.image, engine_name, small_tree(tmp_path / "other"), engine_name("build"), engine_name("cc")
    ).start()
    report = other.build(cache=cache)
    assert (report.cached, report.missed) == (COUNT, 0)
    (told,) = (one for one in findings(cache, other.inside, other.engine) if "shared storage" in one.message)
    assert f"{redis} took an object and gave it back" in told.message
    assert other.run(f"{report.tree}/small") == "3\n"
    assert PASSWORD not in other.engine.run(["inspect", other.inside.container]).stdout
    assert other.run("sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '").count(PASSWORD) == 0
    kept = ["sh", "-c", 'grep -rl "$0" /build /cache /tmp /home 2>/dev/null; true']
    assert other.run(*kept, PASSWORD) == ""
    assert report.log is not None
    assert PASSWORD not in report.log.read_text()


@pytest.mark.parametrize("kind", ["sccache", "ccache"])
def test_two_users_that_build_at_once_share_without_harm(
    kind: str,
    redis: str,
    engine: Engine,
    image: str,
    engine_name: Callable[[str], str],
    tmp_path: Path,
) -> None:
    """Two users with a worktree and a container each, and nothing in common but Redis."""
    cache = CompilerCache(kind, storage=storage(kind, redis, {"SCCACHE_REDIS_PASSWORD": PASSWORD}))
    places = []
    for uid, name in ((1000, "dev"), (1700, "other")):
        work = small_tree(tmp_path / name)
        one = Place(engine, image, engine_name, work, engine_name("build"), engine_name("cache")).start()
        account = f"getent passwd {uid} || useradd --uid {uid} {name}"
        one.run("sh", "-c", f"{account}; chown {uid} /build /cache/ccache")
        one.target = one.inside._replace(user=name)
        places.append(one)
    with ThreadPoolExecutor() as pool:
        first = list(pool.map(lambda one: one.build(cache=cache), places))
    assert all(report.ok for report in first)
    # Either user may have made an object, or both, but what one stored last serves both from then on.
    assert all((report.cached or 0) + (report.missed or 0) == COUNT for report in first)
    assert sum(report.missed or 0 for report in first) >= COUNT
    with ThreadPoolExecutor() as pool:
        again = list(pool.map(lambda one: one.build(cache=cache, mode="clean"), places))
    assert [(report.cached, report.missed) for report in again] == [(COUNT, 0), (COUNT, 0)]
    assert [one.run(f"{report.tree}/small") for one, report in zip(places, again, strict=True)] == ["3\n", "3\n"]


def test_a_storage_that_refuses_costs_the_cache_and_not_the_build(redis: str, place: Place) -> None:
    cache = CompilerCache("ccache", storage=storage("ccache", redis, {"SCCACHE_REDIS_PASSWORD": "sesame7"}))
    report = place.build(cache=cache)
    assert (report.ok, report.missed) == (True, COUNT)
    found = findings(cache, place.inside, place.engine)
    assert any("failed" in one.message for one in found)
    (told,) = (one for one in found if f"the shared storage {redis} takes nothing" in one.message)
    assert "WRONGPASS" in str(told.why)
    assert "sesame7" not in str(told)
