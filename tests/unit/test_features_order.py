"""The order in which Features are installed: the specification's rounds, dependencies, priorities and cycles."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox.devcontainer.features import ids
from devbox.devcontainer.features.collate import collation_key
from devbox.devcontainer.features.metadata import read
from devbox.devcontainer.features.order import Feature, installation_order
from devbox.errors import ContractError

CONTRACT = Path("/w/.devcontainer/devcontainer.json")


class Shelf:
    """Features by what they refer to. `digests` are their contents, where they are not told apart by their names."""

    def __init__(self, **features: dict[str, Any]) -> None:
        self.features = {name.replace("_", "-"): properties for name, properties in features.items()}
        self.fetched: list[str] = []

    def fetch(self, identifier: str, value: Any) -> Feature:
        self.fetched.append(identifier)
        reference = ids.parse(identifier, CONTRACT, Path("/w"))
        properties = dict(self.features.get(reference.id, {}))
        digest = properties.pop("digest", f"digest of {reference.id}")
        text = json.dumps({"id": reference.id, "version": "1.0.0", "name": reference.id, **properties})
        return Feature(identifier, value, reference, read(text, CONTRACT), Path("/f"), digest)

    def refer(self, identifier: str) -> ids.Reference | None:
        try:
            return ids.parse(identifier, CONTRACT, Path("/w"))
        except ContractError:
            return None

    def order(self, *wanted: str, override: tuple[str, ...] = (), **options: Any) -> list[str]:
        features, self.warnings = installation_order(
            {_full(name): options.get(name.partition(":")[0], {}) for name in wanted},
            [_full(name) for name in override],
            self.fetch,
            self.refer,
            CONTRACT,
        )
        return [feature.identifier.rpartition("/")[2] for feature in features]


def _full(name: str) -> str:
    return name if name.startswith(".") else f"ghcr.io/n/{name}"


def on(*names: str) -> dict[str, Any]:
    return {"dependsOn": {_full(name): {} for name in names}}


def after(*names: str) -> dict[str, Any]:
    return {"installsAfter": [_full(name) for name in names]}


def test_without_dependencies_it_is_by_name() -> None:
    assert Shelf().order("c", "a", "b") == ["a", "b", "c"]


def test_what_a_feature_depends_on_comes_first_and_is_added() -> None:
    assert Shelf(a=on("b", "c"), b=on("c")).order("a") == ["c", "b", "a"]


def test_dependencies_are_found_recursively() -> None:
    assert Shelf(a=on("d"), d=on("c"), c=on("b")).order("a") == ["b", "c", "d", "a"]


def test_a_soft_dependency_orders_only_what_is_installed_anyway() -> None:
    shelf = Shelf(a=after("b", "z"))
    assert shelf.order("a", "b") == ["b", "a"]
    assert not any(name.endswith("/z") for name in shelf.fetched)


def test_soft_dependencies_are_not_recursive() -> None:
    # b itself is not installed, so what b comes after says nothing about a.
    assert Shelf(a=after("b"), b=after("c")).order("a", "c") == ["a", "c"]


def test_a_soft_dependency_holds_for_every_version() -> None:
    assert Shelf(a=after("b")).order("a:1", "b:2.0.1") == ["b:2.0.1", "a:1"]


def test_a_renamed_feature_answers_to_its_old_name() -> None:
    renamed = {"legacyIds": ["old"], "currentId": "new"}
    assert Shelf(a=after("old"), new=renamed).order("a", "new") == ["new", "a"]
    assert Shelf(a=after("new"), old={"id": "new", **renamed}).order("a", "old") == ["old", "a"]


def test_an_override_pulls_forward() -> None:
    assert Shelf().order("a", "b", "c", override=("c", "b")) == ["c", "b", "a"]


def test_an_override_waits_for_dependencies() -> None:
    # c has the highest priority, but not before what it depends on; d is installed as soon as it may be.
    assert Shelf(c=on("b")).order("a", "b", "c", "d", override=("c", "d")) == ["d", "a", "b", "c"]


def test_an_override_of_what_is_not_there_is_a_warning() -> None:
    shelf = Shelf()
    assert shelf.order("a", override=("b",)) == ["a"]
    assert "ghcr.io/n/b, which is not among the Features" in shelf.warnings[0]


def test_one_feature_with_the_same_options_is_installed_once() -> None:
    assert Shelf(a=on("c"), b=on("c")).order("a", "b") == ["c", "a", "b"]
    assert Shelf(a=on("c:1.0")).order("a", "c") == ["c", "a"]


def test_other_options_make_another_feature() -> None:
    assert Shelf(a=on("c")).order("a", "c", c={"x": "1"}) == ["c", "c", "a"]


def test_other_contents_of_one_name_are_sorted_by_tag() -> None:
    shelf = Shelf()
    fetch = shelf.fetch
    shelf.fetch = lambda identifier, value: _with_digest(fetch(identifier, value))  # type: ignore[method-assign]
    assert shelf.order("a:2", "a", "a:1.9.9") == ["a:1.9.9", "a:2", "a"]


def _with_digest(feature: Feature) -> Feature:
    from dataclasses import replace

    return replace(feature, digest=feature.identifier)


def test_fewer_options_come_first() -> None:
    features, _ = installation_order(
        {_full("a:1"): {"x": "1", "y": "1"}, _full("a"): {"z": "1"}, _full("b"): {}},
        (),
        Shelf().fetch,
        Shelf().refer,
        CONTRACT,
    )
    # Both are one content, so that the tags decide before the options do.
    assert [feature.identifier for feature in features] == [_full("a:1"), _full("a"), _full("b")]


@pytest.mark.parametrize(
    ("shelf", "wanted", "way"),
    [
        (Shelf(a=on("a")), ("a",), "ghcr.io/n/a → ghcr.io/n/a"),
        (Shelf(a=on("b"), b=on("a")), ("a",), "ghcr.io/n/a → ghcr.io/n/b → ghcr.io/n/a"),
        (Shelf(a=after("b"), b=after("a")), ("a", "b"), "ghcr.io/n/a → ghcr.io/n/b → ghcr.io/n/a"),
        (Shelf(x=on("a"), a=on("b"), b=after("a")), ("x",), "ghcr.io/n/a → ghcr.io/n/b → ghcr.io/n/a"),
    ],
)
def test_a_circle_is_an_error_that_shows_the_way_around(shelf: Shelf, wanted: tuple[str, ...], way: str) -> None:
    with pytest.raises(ContractError) as caught:
        shelf.order(*wanted)
    assert caught.value.message.endswith(f"in a circle: {way}")


def test_what_a_person_should_know_of_a_feature() -> None:
    shelf = Shelf(gone={"deprecated": True}, old={"id": "new", "legacyIds": ["old"], "currentId": "new"}, plain={})
    assert shelf.fetch("ghcr.io/n/gone", {}).warnings == (
        "the Feature ghcr.io/n/gone is deprecated: nobody maintains it any more",
    )
    assert shelf.fetch("ghcr.io/n/old:1", {}).warnings == (
        'the Feature ghcr.io/n/old:1 was renamed; write "ghcr.io/n/new"',
    )
    assert shelf.fetch("ghcr.io/n/plain", {}).warnings == ()


def test_texts_are_sorted_as_javascript_does() -> None:
    # What node prints for these with localeCompare.
    texts = ["a", "a-b", "a:1", "a.b", "a/b", "a1", "ab", "aB", "Ab", "AB", "aB:1", "ab:2", "ABB", "abc"]
    assert sorted(sorted(texts, reverse=True), key=collation_key) == texts


names = st.sampled_from("abcdef")


@given(st.dictionaries(names, st.tuples(st.sets(names), st.sets(names))), st.sets(names, min_size=1), st.lists(names))
def test_every_feature_comes_once_and_after_what_it_depends_on(
    graph: dict[str, tuple[set[str], set[str]]], wanted: set[str], override: list[str]
) -> None:
    shelf = Shelf(**{name: {**on(*hard), **after(*soft)} for name, (hard, soft) in graph.items()})
    needed, queue = set(), list(wanted)
    while queue:
        name = queue.pop()
        if name not in needed:
            needed.add(name)
            queue += graph.get(name, (set(), set()))[0]
    try:
        order = shelf.order(*sorted(wanted), override=tuple(override))
    except ContractError as error:
        circle = [name.rpartition("/")[2] for name in error.message.partition("circle: ")[2].split(" → ")]
        assert circle[0] == circle[-1]
        for one, other in pairwise(circle):
            assert other in set().union(*graph[one])
        return
    assert sorted(order) == sorted(needed)
    for index, name in enumerate(order):
        hard, soft = graph.get(name, (set(), set()))
        assert hard <= set(order[:index])
        assert soft & needed <= set(order[:index])


def test_an_order_that_cannot_be_kept_is_said() -> None:
    shelf = Shelf(a=on("c"), b=after("a"))
    assert shelf.order("a", "b", "c", override=("b", "a", "c")) == ["c", "a", "b"]
    first, second = shelf.warnings
    assert "names ghcr.io/n/b before ghcr.io/n/a, which is installed first" in first
    assert "names ghcr.io/n/a before ghcr.io/n/c" in second
    shelf.order("a", "b", "c", override=("c", "a", "b"))
    assert shelf.warnings == ()
