"""Options of Features become the variables of their install scripts, or an error that says what they may be."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox.devcontainer.features.metadata import Metadata, read
from devbox.devcontainer.features.options import resolve, variable
from devbox.errors import ContractError

CONTRACT = Path("/w/.devcontainer/devcontainer.json")
OPTIONS = {
    "version": {"type": "string", "enum": ["latest", "3.10", "3.9"], "default": "latest"},
    "pip": {"type": "boolean", "default": True},
    "optimize": {"type": "boolean", "default": True},
    "proposed": {"type": "string", "proposals": ["a", "b"], "default": "a"},
    "no-default": {"type": "string"},
}


def feature(**properties: object) -> Metadata:
    text = json.dumps({"id": "python", "version": "1.0.0", "name": "Python", "options": OPTIONS, **properties})
    return read(text, Path("/f/devcontainer-feature.json"))


def resolved(value: object) -> tuple[dict[str, str], tuple[str, ...]]:
    variables, warnings = resolve("python", value, feature(), CONTRACT)  # type: ignore[arg-type]
    return dict(variables), warnings


DEFAULTS = {"VERSION": "latest", "PIP": "true", "OPTIMIZE": "true", "PROPOSED": "a"}


@pytest.mark.parametrize(
    ("value", "changed"),
    [
        ({}, {}),
        ("3.10", {"VERSION": "3.10"}),
        ({"version": "3.10", "pip": False}, {"VERSION": "3.10", "PIP": "false"}),
        ({"pip": "false"}, {"PIP": "false"}),
        ({"proposed": "something else"}, {"PROPOSED": "something else"}),
        ({"no-default": "x"}, {"NO_DEFAULT": "x"}),
    ],
)
def test_what_is_not_given_has_its_default(value: object, changed: dict[str, str]) -> None:
    assert resolved(value) == (DEFAULTS | changed, ())


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"version": "3.1"}, "must be one of latest, 3.10, 3.9, not '3.1'"),
        ("3.1", "must be one of latest"),
        ({"version": 3.10}, "must be one of latest"),
        ({"pip": "yes"}, "must be true or false, not 'yes'"),
        ({"pip": 1}, "must be true or false, not 1"),
        ({"proposed": True}, "must be a string, not true"),
        ({"proposed": 1}, "must be a string, not 1"),
        ({"unknown": []}, "must be a string, true or false"),
    ],
)
def test_a_value_that_an_option_cannot_have_is_an_error(value: object, said: str) -> None:
    with pytest.raises(ContractError, match=re.escape(said)) as caught:
        resolved(value)
    assert str(CONTRACT) in caught.value.message
    assert "Feature python" in caught.value.message


def test_the_nearest_choice_is_the_hint() -> None:
    with pytest.raises(ContractError) as caught:
        resolved({"version": "lates"})
    assert caught.value.hint == '"latest"'


def test_an_option_that_is_not_declared_is_passed_on_with_a_warning() -> None:
    variables, warnings = resolved({"versoin": "3.9"})
    assert variables == {**DEFAULTS, "VERSOIN": "3.9"}
    assert "did you mean 'version'?" in warnings[0]


def test_true_as_a_version_is_what_the_reference_passes_on() -> None:
    variables, warnings = resolved(True)
    assert variables["VERSION"] == "true"
    assert 'gets the version "true"' in warnings[0]


def test_a_version_without_versions_does_nothing() -> None:
    plain = feature(options={"a": {"type": "string", "default": "b"}})
    assert resolve("x", "1.0", plain, CONTRACT)[0] == (("A", "b"),)
    assert "does nothing" in resolve("x", "1.0", plain, CONTRACT)[1][0]
    assert resolve("x", True, plain, CONTRACT) == ((("A", "b"),), ())


@pytest.mark.parametrize(
    ("option", "name"),
    [
        ("version", "VERSION"),
        ("installZsh", "INSTALLZSH"),
        ("a-b.c d", "A_B_C_D"),
        ("1st", "_ST"),
        ("12_3x", "_X"),
        ("_x", "_X"),
        ("é", "_"),
    ],
)
def test_the_name_of_an_options_variable(option: str, name: str) -> None:
    assert variable(option) == name


@given(st.text(min_size=1))
def test_every_option_has_a_name_that_a_shell_takes(option: str) -> None:
    assert re.fullmatch(r"[A-Z_][A-Z0-9_]*", variable(option), re.ASCII)
