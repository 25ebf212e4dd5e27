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

# A NUL is refused, and hypothesis makes no half surrogate pairs.
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(texts, values, max_size=5)
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
        ('{"a": NaN}', "1:7"),
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


@pytest.mark.parametrize(
    ("text", "value", "place"),
    [
        ("{'a': 1}", {"a": 1}, (1, 2)),
        ("{a: 1}", {"a": 1}, (1, 2)),
        ('{"a": 0x10}', {"a": 16}, (1, 8)),
        ('{"a": +1}', {"a": 1}, (1, 7)),
        ('{"a": 1, "b": {\n "c": 1, "c": 2}}', {"a": 1, "b": {"c": 2}}, (2, 15)),
        ('{"a": [{"x": 1, "x": 1}]} // c', {"a": [{"x": 1}]}, (1, 22)),
    ],
)
def test_what_another_reader_takes_otherwise_is_told(text: str, value: object, place: tuple[int, int]) -> None:
    assert jsonc.loads(text, PATH) == value
    (doubt,) = jsonc.doubts(text)
    assert doubt[:2] == place
    jsonc.locate(text, ("a", 0, "x"))


@given(objects)
def test_both_readers_see_the_same_document(value: dict[str, object]) -> None:
    text = json.dumps(value, indent=1, ensure_ascii=False).replace("\n", " // c, ] }\r\n")
    assert jsonc.loads(text, PATH) == value == plain(jsonc._strict(text))
    assert jsonc.doubts(text) == ()


def plain(value: object) -> object:
    if isinstance(value, jsonc._Pairs):
        return {key: plain(item) for key, item in value}
    return [plain(item) for item in value] if isinstance(value, list) else value


def test_more_than_any_contract_has_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonc, "LARGEST", 10)
    with pytest.raises(ContractError, match="more than 10 characters"):
        jsonc.loads('{"a": 12345}', PATH)


def test_a_byte_order_mark_is_no_content() -> None:
    assert jsonc.loads('\ufeff{"a": 1}', PATH) == {"a": 1}


def test_what_looks_like_a_comment_in_a_string_is_none() -> None:
    assert jsonc.loads('{"u": "http://x/*y*/", "q": "\\"//,]", /**/}', PATH) == {"u": "http://x/*y*/", "q": '"//,]'}


@pytest.mark.parametrize("depth", [jsonc.DEEPEST, 500, 100_000])
def test_deep_nesting_is_refused(depth: int) -> None:
    for text in ('{"a":' + "[" * depth, '{"a":' + "[" * depth + "]" * depth + "}"):
        with pytest.raises(ContractError):
            jsonc.loads(text, PATH)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (r'{"a": "x\u0000"}', "a NUL or half"),
        (r'{"\u0000": 1}', "a NUL or half"),
        (r'{"a": ["\ud800"]}', "a NUL or half"),
        ('{"a": 1' + "0" * 5000 + "}", "too many digits"),
    ],
)
def test_what_no_command_could_be_given_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ContractError, match=problem):
        jsonc.loads(text, PATH)
    assert jsonc.loads(r'{"a": "\ud83d\udc0b"}', PATH) == {"a": "🐋"}


@given(values)
def test_every_value_is_found_in_the_text(value: object) -> None:
    text = json.dumps({"top": value}, indent=1, ensure_ascii=False).replace("\n", " // c, ] }\n")

    def places(item: object, keys: tuple[str | int, ...]) -> list[tuple[object, tuple[str | int, ...]]]:
        found = [(item, keys)]
        inner = item.items() if isinstance(item, dict) else enumerate(item) if isinstance(item, list) else ()
        for key, each in inner:
            found += places(each, (*keys, key))
        return found

    lines = text.split("\n")
    for item, keys in places({"top": value}, ()):
        line, column = jsonc.locate(text, keys)
        start = lines[line - 1][column - 1 :]
        assert start.startswith(json.dumps(item, ensure_ascii=False)[:1])


def test_keys_that_lead_nowhere_are_the_last_place_on_the_way() -> None:
    assert jsonc.locate('{"a": {"b": 1}}', ("a", "nope", "x")) == (1, 7)
    assert jsonc.locate('{"a": [1, [2]]}', ("a", 1, 0)) == (1, 12)
