"""`devcontainer-feature.json` is read, checked, and turned into an entry of the image's metadata."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from devbox.devcontainer.features.metadata import Metadata, read
from devbox.errors import ContractError

PATH = Path("/f/devcontainer-feature.json")


def feature(published: dict[str, Any] | None = None, **properties: Any) -> Metadata:
    text = json.dumps({"id": "x", "version": "1.0.0", "name": "X", **properties})
    return read(text, PATH, published=None if published is None else json.dumps(published))


def test_the_entry_holds_what_counts_in_the_order_of_the_reference() -> None:
    found = feature(
        customizations={"vscode": {}},
        mounts=["type=volume,source=a,target=/a"],
        init=True,
        postCreateCommand="true",
        containerEnv={"A": "b"},
        remoteUser="nobody",
        description="not in the label",
        onCreateCommand=["true"],
    )
    assert list(found.entry("./x").items()) == [
        ("id", "./x"),
        ("onCreateCommand", ["true"]),
        ("postCreateCommand", "true"),
        ("init", True),
        ("mounts", ["type=volume,source=a,target=/a"]),
        ("customizations", {"vscode": {}}),
    ]
    assert found.container_env == (("A", "b"),)


def test_what_is_published_has_the_last_word() -> None:
    found = feature({"id": "x", "version": "2.0.0", "capAdd": ["A"]}, capAdd=["B"], init=True)
    assert (found.version, found.entry("x")) == ("2.0.0", {"id": "x", "init": True, "capAdd": ["A"]})


def test_comments_and_missing_names_are_fine() -> None:
    found = read('{ // a comment\n "id": "x", }', PATH)
    assert (found.id, found.version, found.name) == ("x", "", "x")


def test_the_editors_old_properties_move() -> None:
    found = feature(extensions=["a.b"], settings={"k": 1}, customizations={"vscode": {"extensions": ["c.d"]}})
    vscode = {"extensions": ["c.d", "a.b"], "settings": {"k": 1}}
    assert found.entry("x") == {"id": "x", "customizations": {"vscode": vscode}}


@pytest.mark.parametrize(
    ("properties", "said"),
    [
        ({"id": ""}, "must have an 'id'"),
        ({"id": "../x"}, "must have an 'id'"),
        ({"id": 1}, "'id' must be a string"),
        ({"options": []}, "'options' must be an object"),
        ({"options": {"a": "b"}}, "the option 'a' must be an object"),
        ({"containerEnv": {"A": 1}}, "'A' of 'containerEnv'"),
        ({"containerEnv": {"A": "x\nRUN evil"}}, "'A' of 'containerEnv'"),
        ({"containerEnv": {"A=1 B": "x"}}, "'A=1 B' of 'containerEnv'"),
        ({"dependsOn": {"a/b": 1}}, "'a/b' in 'dependsOn'"),
        ({"dependsOn": ["a/b"]}, "'dependsOn' must be an object"),
        ({"installsAfter": "a/b"}, "'installsAfter' must be a list of strings"),
        ({"mounts": [{"source": "a"}]}, "'mounts' must be"),
        ({"capAdd": "SYS_PTRACE"}, "'capAdd' must be a list of strings"),
        ({"privileged": "yes"}, "'privileged' must be true or false"),
    ],
)
def test_another_type_is_an_error_that_names_file_and_property(properties: dict[str, Any], said: str) -> None:
    with pytest.raises(ContractError, match=said) as caught:
        feature(**properties)
    assert str(PATH) in caught.value.message


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(
    ["id", "version", "options", "containerEnv", "dependsOn", "installsAfter", "legacyIds", "mounts", "currentId",
     "extensions", "settings", "customizations", "postCreateCommand", "entrypoint", "name", "documentationURL"]
)  # fmt: skip


@given(st.dictionaries(KEYS, json_values))
@example({"settings": 1})
@example({"extensions": 1})
@example({"extensions": ["a.b"], "customizations": {"vscode": 1}})
def test_whatever_it_says_is_metadata_or_a_clean_error(properties: dict[str, Any]) -> None:
    with contextlib.suppress(ContractError):
        assert feature(**properties).entry("x")["id"] == "x"
