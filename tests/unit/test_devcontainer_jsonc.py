"""JSON with comments: the same values as JSON, and errors where they are."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox.devcontainer import jsonc
from devbox.errors import ContractError

PATH = Path("/w/.devcontainer/devcontainer.json")

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(st.text(), values, max_size=5)
noise = st.sampled_from(["", " ", "\n", "\t", '/* a, ] } " */', '// b, ] } "\n', "/**/", "/* c\n * d */"])


@given(objects)
def test_json_reads_as_itself(value: dict[str, object]) -> None:
    assert jsonc.loads(json.dumps(value), PATH) == value
    assert jsonc.loads(json.dumps(value, indent=2, ensure_ascii=False), PATH) == value


@given(objects, st.data())
def test_comments_and_trailing_commas_change_nothing(value: dict[str, object], data: st.DataObject) -> None:
    def write(item: object) -> str:
        gap = data.draw(noise)
        if isinstance(item, dict):
            parts = [f"{json.dumps(key)}{gap}:{write(inner)}" for key, inner in item.items()]
            opening, closing = "{", "}"
        elif isinstance(item, list):
            parts = [write(inner) for inner in item]
            opening, closing = "[", "]"
        else:
            return f"{gap}{json.dumps(item)}{gap}"
        trailing = data.draw(st.sampled_from(["", ",", f",{gap}"])) if parts else ""
        return f"{gap}{opening}{gap}{f',{gap}'.join(parts)}{gap}{trailing}{gap}{closing}{gap}"

    assert jsonc.loads(write(value), PATH) == value


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(ContractError):
        assert isinstance(jsonc.loads(text, PATH), dict)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "1:1"),
        ("// only a comment\n", "2:1"),
        ('{"a": 1', "1:8"),
        ('{\n  "a": tru\n}', "2:8"),
        ('{\n  // c\n  "a" 1\n}', "3:7"),
        ('{"a": 1,, }', "1:9"),
        ('{"a": [,]}', "1:8"),
        ("{,}", "1:2"),
        ("{'a': 1}", "1:2"),
        ('{"a": NaN}', "1:7"),
        ('{"a": 0x10}', "1:8"),
        ('{"a": "x\n"}', "1:9"),
        ('{"a": "x}', "1:7"),
        ('{"a": 1} /* open', "1:10"),
        ('{"a": 1} b', "1:10"),
        ("\n [1]", "2:2"),
        ('// c\n"text"', "2:1"),
        ("null", "1:1"),
    ],
)
def test_an_error_says_where(text: str, place: str) -> None:
    with pytest.raises(ContractError) as caught:
        jsonc.loads(text, PATH)
    assert caught.value.message.startswith(f"{PATH}:{place}: ")


def test_of_a_key_given_twice_the_last_counts() -> None:
    assert jsonc.loads('{"a": 1, "a": 2} // x', PATH) == {"a": 2}


def test_a_byte_order_mark_is_no_content() -> None:
    assert jsonc.loads('\ufeff{"a": 1}', PATH) == {"a": 1}


def test_what_looks_like_a_comment_in_a_string_is_none() -> None:
    assert jsonc.loads('{"u": "http://x/*y*/", "q": "\\"//,]", /**/}', PATH) == {"u": "http://x/*y*/", "q": '"//,]'}


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(ContractError, match="nesting"):
        jsonc.loads('{"a":' + "[" * 100_000, PATH)
