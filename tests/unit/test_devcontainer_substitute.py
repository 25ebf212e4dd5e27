"""Variables: the table of the reference, with its oddities."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox.devcontainer.substitute import ContainerVariables, HostVariables, IdVariables, substitute
from devbox.errors import ContractError

HOST = HostVariables(
    {"SET": "value", "EMPTY": "", "LIKE": "${localWorkspaceFolder}"}, "/home/ada/my tree", "/workspaces/tree"
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${localEnv:SET}", "value"),
        ("${env:SET}", "value"),
        ("${localEnv:UNSET}", ""),
        ("${localEnv:UNSET:default}", "default"),
        ("${localEnv:SET:default}", "value"),
        ("${localEnv:EMPTY:default}", ""),
        ("${localEnv:UNSET:a:b}", "a"),
        ("${localEnv:}", ""),
        ("${localEnv:set}", ""),
        ("${localEnv: SET}", ""),
        ("${localEnv:LIKE}", "${localWorkspaceFolder}"),
        ("${localWorkspaceFolder}", "/home/ada/my tree"),
        ("${localWorkspaceFolderBasename}", "my tree"),
        ("${containerWorkspaceFolder}/x", "/workspaces/tree/x"),
        ("${containerWorkspaceFolderBasename}", "tree"),
        ("${localWorkspaceFolder:x}", "/home/ada/my tree"),
        ("${devcontainerId}", "${devcontainerId}"),
        ("${containerEnv:PATH}", "${containerEnv:PATH}"),
        ("${config:x}", "${config:x}"),
        ("${}", "${}"),
        ("$HOME ${", "$HOME ${"),
        ("$${localEnv:SET}", "$value"),
        ("${a ${localEnv:SET}}", "${a ${localEnv:SET}}"),
        ("${LOCALENV:SET}", "${LOCALENV:SET}"),
        ("${localEnv\n:SET}", "${localEnv\n:SET}"),
        ("${localEnv:\u2028}", "${localEnv:\u2028}"),
        ("${localEnv:SET}${localEnv:SET}", "valuevalue"),
    ],
)
def test_first_phase(text: str, expected: str) -> None:
    assert substitute(text, HOST) == expected


def test_a_name_is_needed() -> None:
    with pytest.raises(ContractError, match="names no environment variable"):
        substitute({"a": ["${localEnv}"]}, HOST)


def test_an_unknown_folder_stays_as_written() -> None:
    assert substitute("${localWorkspaceFolder}", HostVariables({})) == "${localWorkspaceFolder}"


def test_the_folder_inside_may_hold_variables_itself() -> None:
    variables = HostVariables({"X": "y"}, "/a/b", "/w/${localWorkspaceFolderBasename}/${localEnv:X}")
    assert substitute("${containerWorkspaceFolder}", variables) == "/w/b/y"
    assert substitute("${containerWorkspaceFolderBasename}", variables) == "y"


def test_second_and_third_phase() -> None:
    assert substitute("v-${devcontainerId}-${containerEnv:A}", IdVariables("id")) == "v-id-${containerEnv:A}"
    running = ContainerVariables({"A": "a"})
    assert substitute("${containerEnv:A} ${containerEnv:B:b} [${containerEnv:B}] ${localEnv:A}", running) == (
        "a b [] ${localEnv:A}"
    )


def test_values_of_any_depth_but_no_keys() -> None:
    value = {"${localEnv:SET}": ["${localEnv:SET}", {"x": "${localEnv:SET}"}, 1, None, True]}
    assert substitute(value, HOST) == {"${localEnv:SET}": ["value", {"x": "value"}, 1, None, True]}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet=st.characters(exclude_characters="$")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(json_values)
def test_without_a_variable_nothing_changes(value: Any) -> None:
    for variables in (HOST, IdVariables("x"), ContainerVariables({})):
        assert substitute(value, variables) == value


@given(st.text(alphabet="a${}:localEnvSET \n", max_size=30), st.text(max_size=10))
def test_phases_do_not_disturb_each_other(text: str, identifier: str) -> None:
    """The text outside variables is kept, and a later phase's variables survive an earlier phase."""
    marked = f"{text}\n${{containerEnv:X}}"
    try:
        early = substitute(substitute(marked, HOST), IdVariables(identifier))
    except ContractError:
        return
    assert early.endswith("\n${containerEnv:X}")
    assert substitute(early, ContainerVariables({"X": "x"})).endswith("\nx")


# Text that holds no variable of its own.
plain = st.text(st.characters(exclude_characters="${}:\n\r\u2028\u2029", exclude_categories=["Cs"]), max_size=10)


@given(st.lists(st.tuples(plain, st.sampled_from(["SET", "EMPTY", "UNSET"]), st.none() | plain), max_size=4), plain)
def test_each_variable_is_replaced_where_it_stands(parts: list[tuple[str, str, str | None]], end: str) -> None:
    values = {"SET": "value", "EMPTY": ""}
    written = "".join(
        f"{text}${{localEnv:{name}{'' if default is None else f':{default}'}}}" for text, name, default in parts
    )
    expected = "".join(f"{text}{values.get(name, default or '')}" for text, name, default in parts)
    assert substitute(written + end, HOST) == expected + end
