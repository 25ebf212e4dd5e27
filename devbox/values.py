"""Frozen dataclasses that cost little to define.

dataclasses writes the methods of each class as text and compiles them, in each process anew: half a millisecond a
class, which was a tenth of a cold `up`. Here all classes share methods that look the fields up. To the type checker, to
`replace` and `fields`, they are what dataclasses makes of `frozen=True, slots=True`; only `copy`, `pickle`, ClassVar
and `__post_init__` do not work. What is not frozen dataclasses makes itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass  # noqa: PLC0414  # for others
else:
    import dataclasses

    def dataclass(cls=None, /, **how):
        """Return what dataclasses' own decorator does, or with `cls` its class."""
        if not (how.get("frozen") and how.get("slots")):
            return dataclasses.dataclass(cls, **how)

        def made(cls):
            own = {name for name, value in cls.__dict__.items() if value is not None}
            cls = dataclasses.dataclass(**{**how, "frozen": False, "init": False, "repr": False, "eq": False})(cls)
            for name in _SHARED - own - (set() if how.get("repr", True) else {"__repr__"}):
                setattr(cls, name, _Value.__dict__[name])
            return cls

        return made

    _SHARED = {"__init__", "__eq__", "__hash__", "__repr__", "__setattr__", "__delattr__"}
    _set = object.__setattr__

    class _Value:
        """The methods that all classes of values share."""

        def __init__(self, *given, **named):
            fields, places = self.__dataclass_fields__, self.__match_args__
            values = dict(zip(places, given, strict=False))
            if len(given) > len(places) or not named.keys() <= fields.keys() - values.keys():
                raise TypeError(f"{type(self).__name__} takes {', '.join(fields)}, each once")
            values.update(named)
            for name, one in fields.items():
                if name in values:
                    _set(self, name, values[name])
                elif one.default is not dataclasses.MISSING:
                    _set(self, name, one.default)
                elif one.default_factory is not dataclasses.MISSING:
                    _set(self, name, one.default_factory())
                else:
                    raise TypeError(f"{type(self).__name__} is not told its {name}")

        def __eq__(self, other):
            if other.__class__ is not self.__class__:
                return NotImplemented
            fields = self.__dataclass_fields__.values()
            return all(getattr(self, one.name) == getattr(other, one.name) for one in fields if one.compare)

        def __hash__(self):
            fields = self.__dataclass_fields__.values()
            counted = (one for one in fields if (one.compare if one.hash is None else one.hash))
            return hash(tuple(getattr(self, one.name) for one in counted))

        def __repr__(self):
            shown = (one.name for one in self.__dataclass_fields__.values() if one.repr)
            return f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"

        def __setattr__(self, name, value):
            raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")

        def __delattr__(self, name):
            raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")
