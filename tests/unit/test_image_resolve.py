"""Candidates for a checkout's image, and what becomes of each: on the engine, in a registry, nowhere."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from devbox.errors import ConfigError, UsageError
from devbox.frameworks.load import available, load, variants
from devbox.frameworks.model import Prebuilt
from devbox.image.prebuilt.candidates import Candidate, candidates, of_commit
from devbox.image.prebuilt.history import History
from devbox.image.prebuilt.published import repositories
from devbox.image.prebuilt.resolve import nothing, resolve
from devbox.image.registry.client import RegistryError, UnreachableError
from devbox.image.registry.reference import parse
from devbox.image.registry.remote import Platform, Registries, RemoteImage

if TYPE_CHECKING:
    from pathlib import Path

    from devbox.frameworks.model import Framework
    from devbox.image.registry.reference import Reference

COMMITS = tuple(letter * 40 for letter in "abcdef")
HISTORY = History(COMMITS, COMMITS[2:], ("v1.1.0", "v1.0.0"))
PROPERTIES = """\
# a comment
IMAGE_NAME=r.org/team/ci
LLM_DOCKER_IMAGE=r.org/team/ci:x86_64-1
"""


def framework(*rules: Prebuilt) -> Framework:
    return replace(load("cuda", "cpu"), prebuilt=rules)


def one(rule: Prebuilt, tmp_path: Path, history: History = HISTORY) -> Candidate:
    return candidates(framework(rule), tmp_path, history, stage=rule.stage, machine="x86_64")[0]


@pytest.mark.parametrize("name", available())
def test_the_rules_of_every_framework_can_be_filled_in(name: str, tmp_path: Path) -> None:
    for known in variants(name):
        for found in candidates(known, tmp_path, HISTORY, stage=None, machine="x86_64"):
            assert found.references or found.pattern or found.skipped
            for reference in found.references:
                assert parse(reference)


def test_candidates_in_the_order_of_trust(tmp_path: Path) -> None:
    (tmp_path / "t.properties").write_text(PROPERTIES)
    rules = (
        Prebuilt(
            "devel",
            "CI",
            file=("t.properties",),
            key="LLM_DOCKER_IMAGE",
            machines=(("aarch64", "LLM_SBSA_DOCKER_IMAGE"),),
        ),
        Prebuilt("devel", "a release", reference="r.org/devel:{version}"),
        Prebuilt("release", "a release", reference="r.org/release:{tag}-{machine}"),
        Prebuilt("devel", "a commit", reference="r.org/ci:{commit}", back=2),
        Prebuilt("devel", "the main line", reference="r.org/ci:{merge_base}"),
        Prebuilt("devel", "a nightly", reference="r.org/n:dev-*-{short}", back=9),
        Prebuilt("devel", "the newest", reference="r.org/n:latest"),
        Prebuilt("devel", "made by scripts", reference="tree:latest-dev"),
    )
    known = framework(*rules)
    found = candidates(known, tmp_path, HISTORY, stage="devel", machine="x86_64")
    assert [item.references for item in found] == [
        ("r.org/team/ci:x86_64-1",),
        ("r.org/devel:1.1.0", "r.org/devel:1.0.0"),
        tuple(f"r.org/ci:{commit}" for commit in COMMITS[:3]),
        (f"r.org/ci:{COMMITS[2]}",),
        (),
        ("r.org/n:latest",),
        ("tree:latest-dev",),
        ("devbox-cuda:cpu-devel",),
    ]
    assert (found[4].pattern, found[4].commits) == ("r.org/n:dev-*-*", COMMITS[2:])
    assert [item.published for item in found[-3:]] == [True, False, False]
    assert repositories(known) == ("r.org/devel", "r.org/release", "r.org/ci", "r.org/n")
    everything = candidates(known, tmp_path, HISTORY, stage=None, machine="aarch64")
    assert everything[0].skipped == "no LLM_SBSA_DOCKER_IMAGE in t.properties of this checkout"
    assert everything[2].references == ("r.org/release:v1.1.0-aarch64", "r.org/release:v1.0.0-aarch64")
    by_commit = candidates(known, tmp_path, HISTORY, stage=None, machine="x86_64", commits_only=True, back=0)
    assert [item.commits for item in by_commit] == [COMMITS[:1], COMMITS[2:3], COMMITS[2:3]]


def test_what_a_checkout_does_not_tell_is_skipped(tmp_path: Path) -> None:
    rule = Prebuilt("devel", "x", reference="r.org/a:{commit}")
    assert one(rule, tmp_path, History()).skipped == "this checkout has no commit"
    assert one(replace(rule, reference="r.org/a:{version}"), tmp_path, History()).skipped is not None
    with pytest.raises(ConfigError, match=r"nothing fills in \{date\}"):
        one(replace(rule, reference="r.org/a:{date}"), tmp_path)


def test_an_abbreviated_commit_is_looked_for_in_the_list(tmp_path: Path) -> None:
    short = History(("abcdef1",), ("abcdef1",))
    found = one(Prebuilt("devel", "x", reference="r.org/a:nightly-{commit}-cpu"), tmp_path, short)
    assert (found.references, found.pattern, found.commits) == ((), "r.org/a:nightly-*-cpu", ("abcdef1",))


def test_one_repository_by_commit() -> None:
    found = of_commit("localhost:5000/a/b", "cu13", HISTORY, back=1)
    assert (found.pattern, found.commits) == ("localhost:5000/a/b:*cu13*", COMMITS[:2])
    assert of_commit("a/b", None, History()).skipped is not None
    with pytest.raises(UsageError, match="not a repository"):
        of_commit("a/b:1", None, HISTORY)


# What becomes of candidates


@dataclass
class Shelf(Registries):
    """Registries that hold these images, by name, each for these platforms. `failures` are hosts, by their status."""

    images: dict[str, tuple[str, ...]]
    failures: dict[str, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def _look(self, reference: Reference) -> None:
        self.asked.append(str(reference))
        if reference.registry in self.failures:
            status = self.failures[reference.registry]
            kind = RegistryError if status else UnreachableError
            raise kind(f"{reference.registry} failed", status=status)

    def digest(self, reference: Reference) -> str:
        self._look(reference)
        if str(reference) not in self.images:
            raise RegistryError("it is not there", status=404)
        return "sha256:1"

    def tags(self, repository: Reference) -> tuple[str, ...]:
        self._look(repository)
        return tuple(name.rpartition(":")[2] for name in self.images if name.startswith(f"{repository}:"))

    def image(self, reference: Reference, *, platform: str | None = None) -> RemoteImage:
        platforms = tuple(Platform(name, "sha256:2", 7) for name in self.images[str(reference)])
        return RemoteImage(str(reference), "sha256:1", platforms)


AMD = ("linux/amd64",)
SERIES = Candidate(
    "devel", "by commit", "r.org/n:{commit}", tuple(f"r.org/n:{sha}" for sha in COMMITS), commits=COMMITS
)


def looked(shelf: Shelf, *wanted: Candidate, local: tuple[str, ...] = (), everything: bool = False) -> list[str]:
    done = resolve(wanted, local=local.__contains__, registries=shelf, platform="linux/amd64", everything=everything)
    assert done.chosen == next((item for item in done.tried if item.found), None)
    return [f"{item.state} {item.reference}" for item in done.tried]


def plain(name: str) -> Candidate:
    return Candidate("devel", "x", name, (name,))


def test_the_first_that_is_there_ends_the_search() -> None:
    shelf = Shelf({"r.org/b:1": AMD, "r.org/c:1": AMD}, {"gone.org": 0, "mine.org": 403, "sick.org": 500})
    wanted = [
        plain(name) for name in ("gone.org/a:1", "mine.org/a:1", "sick.org/a:1", "r.org/a:1", "r.org/b:1", "r.org/c:1")
    ]
    expected = [
        "unreachable gone.org/a:1",
        "denied mine.org/a:1",
        "failed sick.org/a:1",
        "missing r.org/a:1",
        "registry r.org/b:1",
    ]
    assert looked(shelf, *wanted) == expected
    assert looked(shelf, *wanted, everything=True) == [*expected, "registry r.org/c:1"]


def test_what_is_on_the_engine_asks_nobody() -> None:
    shelf = Shelf({})
    assert looked(shelf, plain("r.org/a:1"), local=("r.org/a:1",)) == ["local r.org/a:1"]
    here = replace(plain("devbox-x:y"), published=False)
    assert looked(shelf, here) == ["missing devbox-x:y"]
    assert looked(shelf, replace(here, skipped="no commit")) == ["skipped devbox-x:y"]
    assert shelf.asked == []


def test_an_image_for_another_platform_does_not_count() -> None:
    shelf = Shelf({"r.org/a:1": ("linux/arm64/v8",), "r.org/b:1": ("linux/arm64", "linux/amd64")})
    done = resolve(
        [plain("r.org/a:1"), plain("r.org/b:1")], local=lambda _: False, registries=shelf, platform="linux/amd64"
    )
    assert [(item.state, item.said, item.size) for item in done.tried] == [
        ("missing", "it is for linux/arm64/v8 alone", None),
        ("registry", "it can be pulled", 7),
    ]


def test_the_nearest_commit_that_is_published() -> None:
    shelf = Shelf({f"r.org/n:{COMMITS[3]}": AMD, f"r.org/n:{COMMITS[4]}": AMD})
    done = resolve([SERIES], local=lambda _: False, registries=shelf, platform="linux/amd64")
    assert done.chosen is not None
    assert (done.chosen.reference, done.chosen.behind) == (f"r.org/n:{COMMITS[3]}", 3)
    assert looked(Shelf({}), SERIES) == [f"missing {SERIES.references[0]}"]
    # A registry that says no is asked once, not for each commit.
    shut = Shelf({}, {"r.org": 401})
    assert looked(shut, SERIES) == [f"denied {SERIES.references[0]}"]
    assert len(shut.asked) == 1


def test_tags_that_cannot_be_composed_are_looked_for_in_the_list() -> None:
    shelf = Shelf({f"r.org/n:dev-20260801-{COMMITS[2][:8]}": AMD, f"r.org/n:other-{COMMITS[0][:8]}": AMD})
    listed = Candidate("devel", "nightly", "r.org/n:dev-*-{short}", pattern="r.org/n:dev-*-*", commits=COMMITS)
    assert looked(shelf, listed) == [f"registry r.org/n:dev-20260801-{COMMITS[2][:8]}"]
    assert looked(Shelf({}), listed) == ["missing r.org/n:dev-*-*"]


def test_nothing_to_be_had_says_what_was_looked_for() -> None:
    done = resolve([plain("r.org/a:1")], local=lambda _: False, registries=Shelf({}), platform="linux/amd64")
    error = nothing(done, "image of the stage devel", "devbox image build devel")
    assert error.message == "there is no image of the stage devel to be had"
    assert error.detail == "r.org/a:1: it is not published"
    assert error.hint == "devbox image build devel"
