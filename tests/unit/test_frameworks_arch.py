"""GPU architectures: every way to write them comes to one form."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox.errors import UsageError
from devbox.facts.model import Gpu, Gpus
from devbox.frameworks import arch, load

if TYPE_CHECKING:
    from random import Random

CUDA = load.load("cuda")
CPU = load.load("cuda", "cpu")
H200 = Gpu(0, "GPU-1", "NVIDIA H200", "9.0", 143771)
B200 = Gpu(1, "GPU-2", "NVIDIA B200", "10.0", 183359)


@pytest.mark.parametrize(
    ("text", "capabilities"),
    [
        ("90", ("9.0",)),
        ("9.0", ("9.0",)),
        ("sm_90", ("9.0",)),
        ("sm90", ("9.0",)),
        ("SM_90", ("9.0",)),
        ("90-real", ("9.0",)),
        ("90a", ("9.0a",)),
        ("9.0a", ("9.0a",)),
        ("sm_100f", ("10.0f",)),
        ("100f-real", ("10.0f",)),
        ("100", ("10.0",)),
        ("121", ("12.1",)),
        ("10.3", ("10.3",)),
        ("100,90", ("9.0", "10.0")),
        ("8.9 9.0;10.0,  9.0", ("8.9", "9.0", "10.0")),
        ("90a,90", ("9.0", "9.0a")),
    ],
)
def test_ways_to_write_it(text: str, capabilities: tuple[str, ...]) -> None:
    assert arch.parse(text) == capabilities


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("90,hopper", "hopper"),
        ("9", "9"),
        ("999", "999"),
        ("20.0", "20.0"),
        ("90,95", "95"),
        ("8.1", "8.1"),
        ("10", "10"),
        ("3.5", "3.5"),
        ("9.0.1", "9.0.1"),
        ("9.", "9."),
        ("90b", "90b"),
        ("90 1e3", "1e3"),
        ("-90", "-90"),
        ("٩٠", "٩٠"),
        ("auto,90", "auto"),
        ("9.0+PTX", "9.0+ptx"),
        ("90-virtual", "90-virtual"),
        ("compute_90", "compute_90"),
    ],
)
def test_the_error_names_the_word(text: str, word: str) -> None:
    with pytest.raises(UsageError) as caught:
        arch.parse(text)
    assert f"'{word}'" in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("text", ["", " ", ",;"])
def test_nothing_is_not_an_architecture(text: str) -> None:
    with pytest.raises(UsageError, match="names no GPU architecture"):
        arch.parse(text)


CAPABILITIES = st.lists(
    st.builds(
        lambda generation, suffix: f"{generation}{suffix}",
        st.sampled_from(["5.3", "7.5", "8.0", "8.9", "9.0", "10.0", "10.3", "11.0", "12.0", "12.1", "13.0", "19.9"]),
        st.sampled_from(["", "a", "f"]),
    ),
    min_size=1,
    max_size=6,
)


@given(CAPABILITIES, st.sampled_from([",", ";", " ", ", "]))
def test_both_notations_read_back_as_the_same(capabilities: list[str], separator: str) -> None:
    parsed = arch.parse(separator.join(capabilities))
    assert set(parsed) == set(capabilities)
    value = arch.Arch(parsed, "test")
    assert arch.parse(arch.form(value, "cmake")) == parsed
    assert arch.parse(arch.form(value, "torch")) == parsed


@given(CAPABILITIES, st.randoms())
def test_the_order_in_which_they_are_written_makes_no_difference(capabilities: list[str], random: Random) -> None:
    shuffled = list(capabilities)
    random.shuffle(shuffled)
    assert arch.parse(",".join(shuffled)) == arch.parse(",".join(capabilities))


@given(st.text())
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        parsed = arch.parse(text)
    except UsageError:
        return
    assert arch.parse(",".join(parsed)) == parsed


def test_the_forms_of_the_build_systems() -> None:
    value = arch.Arch(("9.0", "9.0a", "10.0f"), "")
    assert arch.form(value, "cmake") == "90-real;90a-real;100f-real"
    assert arch.form(value, "torch") == "9.0;9.0a;10.0f"
    assert arch.form(arch.Arch((), ""), "cmake") == ""


@pytest.mark.parametrize("requested", [None, "auto", " Auto "])
def test_auto_is_the_gpus_of_the_host(requested: str | None) -> None:
    found = arch.resolve(CUDA, requested, Gpus((B200, H200, H200)))
    assert found.capabilities == ("9.0", "10.0")
    assert "NVIDIA B200" in found.origin


def test_without_a_gpu_auto_is_the_frameworks_default_and_says_why() -> None:
    found = arch.resolve(CUDA, None, Gpus(reason="nvidia-smi is not installed"))
    assert found.capabilities == ("9.0",)
    assert "default" in found.origin
    assert "nvidia-smi is not installed" in found.origin


def test_a_gpu_that_does_not_tell_its_capability_is_not_guessed() -> None:
    found = arch.resolve(CUDA, None, Gpus((Gpu(0, None, "nvidia.com/gpu=0", None),), reason="CDI"))
    assert found.capabilities == ("9.0",)
    assert "does not tell" in found.origin


def test_what_is_asked_for_comes_before_the_gpus() -> None:
    assert arch.resolve(CUDA, "80", Gpus((H200,))).capabilities == ("8.0",)


def test_a_variant_without_gpu_code_has_none_and_says_what_it_ignores() -> None:
    assert arch.resolve(CPU, None, Gpus((H200,))).capabilities == ()
    ignored = arch.resolve(CPU, "90", Gpus())
    assert ignored.capabilities == ()
    assert "'90' is not used" in ignored.origin
    with pytest.raises(UsageError):
        arch.resolve(CPU, "hopper", Gpus())


@pytest.mark.parametrize(
    ("capabilities", "rule", "value"),
    [
        (("9.0",), "<9.0", "OFF"),
        (("8.9", "9.0"), "<9.0", "ON"),
        (("10.0f",), ">=10.0", "ON"),
        (("10.0",), ">10.0", "OFF"),
        (("9.0a",), "=9.0", "ON"),
        (("12.0",), "<= 9.0", "OFF"),
        ((), "<9.0", "OFF"),
    ],
)
def test_a_switch_is_on_where_one_architecture_satisfies_its_rule(
    capabilities: tuple[str, ...], rule: str, value: str
) -> None:
    assert arch.switches(capabilities, (("X", rule),)) == (("X", value),)


@pytest.mark.parametrize("rule", ["", "9.0", "<9", "<9.x", "!9.0", "<9.0a"])
def test_what_is_no_rule_is_named(rule: str) -> None:
    with pytest.raises(UsageError) as caught:
        arch.switches(("9.0",), (("X", rule),))
    assert f"'{rule}'" in caught.value.message
