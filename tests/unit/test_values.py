"""Values are what dataclasses makes of `frozen=True, slots=True`."""

from __future__ import annotations

import dataclasses
from dataclasses import FrozenInstanceError, field, fields, is_dataclass, replace
from typing import Any

import pytest

from devbox import values


def made(dataclass: Any) -> tuple[Any, Any]:
    """Return a class of values, and one that is derived from it, by one of the decorators."""

    @dataclass(frozen=True, slots=True)
    class Base:
        """A base."""

        one: str
        two: int = 2
        secret: str = field(default="", repr=False)
        told: dict[str, str] = field(default_factory=dict, hash=False)
        beside: int = field(default=0, compare=False)

    @dataclass(frozen=True, slots=True, kw_only=True)
    class More(Base):
        """More."""

        three: int = 0

        def __repr__(self) -> str:
            return "more"

    return Base, More


OURS, THEIRS = made(values.dataclass), made(dataclasses.dataclass)


@pytest.mark.parametrize(("base", "more"), [OURS, THEIRS], ids=["ours", "dataclasses"])
def test_values_are_as_those_of_dataclasses(base: Any, more: Any) -> None:
    one = base("a", told={"b": "c"})
    assert repr(one) == "made.<locals>.Base(one='a', two=2, told={'b': 'c'}, beside=0)"
    assert one == base(one="a", told={"b": "c"}, beside=5) != base("a") != more("a", three=3)
    assert hash(one) == hash(base("a")) != hash(base("b"))
    assert base("a").told is not base("a").told
    assert replace(one, two=3) == base("a", 3, "", {"b": "c"})
    assert (is_dataclass(one), [item.name for item in fields(more)]) == (True, [*base.__match_args__, "three"])
    assert (repr(more("a", three=3)), more("a", three=3).three) == ("more", 3)
    assert not hasattr(one, "__dict__")
    for kind, given, named in (
        (base, (), {}),
        (base, ("a",), {"one": "b"}),
        (base, ("a",), {"four": 4}),
        (more, ("a", 2, "", {}, 0, 3), {}),
    ):
        with pytest.raises(TypeError):
            kind(*given, **named)
    with pytest.raises(FrozenInstanceError):
        one.two = 3
    with pytest.raises(FrozenInstanceError):
        del one.two
