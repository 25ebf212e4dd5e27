"""What a contract records for devbox: read back as it was written, and never a reason to fail."""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox.devcontainer import record
from devbox.devcontainer.record import NOTHING, SCHEMA, Form, Further, Record

if TYPE_CHECKING:
    from pathlib import Path

TEXT = st.text(min_size=1, max_size=8)
PAIRS = st.dictionaries(TEXT, TEXT, max_size=3)
RECORDS = st.builds(
    Record,
    framework=TEXT,
    variant=st.none() | TEXT,
    shared=st.none() | TEXT,
    form=st.builds(Form, compose=st.booleans(), inline=st.booleans()),
    arch=st.none() | st.lists(TEXT, max_size=2).map(tuple),
    choices=PAIRS,
    settings=PAIRS,
    repositories=st.dictionaries(TEXT, st.builds(Further, TEXT, TEXT, TEXT, TEXT), max_size=2),
    base_image=st.none() | TEXT,
    dockerfile=st.none() | TEXT,
    compose=st.none() | TEXT,
).map(lambda one: replace(one, form=replace(one.form, shared=one.shared is not None)))
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
KEYS = ["generated" if one.name == "seal" else one.name for one in fields(Record)]


def holding(own: object) -> dict[str, Any]:
    return {"image": "x", "customizations": {"devbox": own}}


@given(RECORDS)
def test_a_record_is_read_as_it_was_written(written: Record) -> None:
    assert record.of(json.loads(json.dumps(holding(written.json())))) == written


@given(st.dictionaries(st.sampled_from([*KEYS, "schema"]), ANYTHING) | ANYTHING)
def test_whatever_somebody_forged_is_a_record(own: Any) -> None:
    for devcontainer in (holding(own), {"customizations": own}, {"build": own}, own):
        found = record.of(devcontainer)
        json.dumps(found.json())
        for key, value in asdict(found).items():
            if key in {"choices", "settings"}:
                assert all(isinstance(one, str) for pair in value.items() for one in pair)
            elif key == "arch":
                assert value is None or (isinstance(value, tuple) and all(isinstance(one, str) for one in value))
            elif key not in {"repositories", "form"}:
                assert value is None or (isinstance(value, str) and value)


def test_nothing_is_said_where_there_is_nothing_to_say() -> None:
    assert Record("cuda").json() == {"schema": SCHEMA, "framework": "cuda"}
    # Nothing to compile for is something.
    assert Record("tgi", arch=()).json()["arch"] == []


def test_the_base_image_is_where_the_form_has_it() -> None:
    args = {"build": {"args": {"BASE_IMAGE": "a"}}}
    assert record.of(args).base_image == "a"
    assert record.of({**args, **holding({"base_image": "b"})}).base_image == "b"


def test_only_what_devbox_wrote_for_one_person_is_personal() -> None:
    def found(**own: str) -> Record:
        return record.of(holding({"framework": "cuda", **own}))

    assert (found().personal, found().definition) == (None, None)
    assert (found(generated="x").personal, found(generated="x").definition) == ("cuda", None)
    shared = found(generated="x", shared="cuda-cuda13-gpu")
    assert (shared.personal, shared.definition) == (None, ("cuda", "cuda-cuda13-gpu"))


def test_the_first_versions_record_is_read() -> None:
    own = {
        "framework": "cuda",
        "variant": "cuda13",
        "arch": ["90"],
        "choices": {"gpus": "none"},
        "dockerfile": "d",
        "generated": "g",
    }
    wanted = Record("cuda", "cuda13", arch=("90",), choices={"gpus": "none"}, dockerfile="d", seal="g")
    assert record.of(holding(own)) == record.of(holding({**own, "schema": 1})) == wanted


def test_a_later_devboxes_record_is_left_alone() -> None:
    assert record.of(holding({"schema": SCHEMA + 1, "framework": "cuda", "generated": "g"})) == NOTHING


@pytest.mark.parametrize("text", ["", "[]", "{", "{" * 5000, '{"a": "\\u0000"}', "\udcff", '{"customizations": 3}'])
def test_an_unreadable_file_says_nothing(tmp_path: Path, text: str) -> None:
    path = tmp_path / "devcontainer.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert record.at(path) == record.at(tmp_path / "none") == record.at(tmp_path) == record.at(None) == NOTHING
