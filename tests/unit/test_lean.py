"""What stands in for json and typing on the shortest ways is what they are."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox.container.target import Candidate
from devbox.lean import dumps, loads

texts = st.text(st.characters(codec=None))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=20,
)


@given(values)
def test_values_are_read_and_written_as_json_does(value: Any) -> None:
    assert dumps(value) == json.dumps(value, sort_keys=True, separators=(",", ":"))
    text = json.dumps(value, ensure_ascii=False, indent=1).encode("utf-8", "surrogatepass")
    assert loads(text) == json.loads(text) == value


@given(st.text(alphabet='{}[]",:0123456789truefalsnl \\\n\t-.e', max_size=12))
def test_what_is_no_json_is_refused_as_json_does(text: str) -> None:
    try:
        known = json.loads(text)
    except ValueError:
        with pytest.raises(ValueError, match=r"."):
            loads(text)
    else:
        assert loads(text) == known or known != known  # NaN


def test_what_is_no_json_is_refused_where_json_was_never_imported() -> None:
    code = """
import sys
from devbox.lean import loads
for text in ("", "{", '{"a" 1}', '"\\x01"', "[1,]", '{"schema": 1} x'):
    try:
        loads(text)
    except ValueError:
        continue
    sys.exit(repr(text))
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stderr == ""


@pytest.mark.parametrize("opened", ["[", '{"a":'])
def test_what_is_nested_too_deep_is_refused(opened: str) -> None:
    with pytest.raises(ValueError, match="too deep"):
        loads(opened * 100_000)


def test_what_is_no_value_of_json_is_not_written() -> None:
    with pytest.raises(TypeError):
        dumps({"a": object()})


def test_named_tuples_are_as_typing_has_them() -> None:
    one = Candidate("1", "/w", config_file="c", running=True, created=2)
    assert one == ("1", "/w", "c", True, 2, True)
    assert (one.workspace, one.mounted) == ("/w", True)
    assert one._replace(running=False).running is False
    assert one._asdict()["created"] == 2
    assert repr(one).startswith("Candidate(id='1', ")
    for args, named in [
        (("1",), {}),
        (tuple("1234567"), {}),
        (tuple("12345"), {"id": "2"}),
        (tuple("12345"), {"x": 1}),
    ]:
        with pytest.raises(TypeError, match="Candidate has the fields"):
            Candidate(*args, **named)  # type: ignore[arg-type]  # on purpose
