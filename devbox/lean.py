"""What `exec` and a warm `up` need of files, json and typing, without importing them.

Together with pathlib, socket and signal they take as long to import as all that such a command does: each of them
brings `re` or `enum` along. So JSON is read by the part of json that is written in C, and named tuples are simple ones.
"""

from __future__ import annotations

import os
from _operator import itemgetter
from io import BytesIO, TextIOWrapper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NamedTuple
else:

    class NamedTuple(tuple):
        """A named tuple as typing's, by its annotations."""

        __slots__ = ()
        _fields = ()
        _field_defaults = {}  # noqa: RUF012  # as typing's has it

        def __init_subclass__(cls):
            cls._fields = tuple(cls.__annotations__)
            cls._field_defaults = {name: getattr(cls, name) for name in cls._fields if hasattr(cls, name)}
            for number, name in enumerate(cls._fields):
                setattr(cls, name, property(itemgetter(number)))

        def __new__(cls, *values, **named):  # noqa: D102  # as typing's
            given = cls._fields[: len(values)]
            known = {**cls._field_defaults, **dict(zip(given, values, strict=False)), **named}
            if known.keys() != set(cls._fields) or any(name in named for name in given) or len(given) < len(values):
                raise TypeError(f"{cls.__name__} has the fields {cls._fields}")
            return tuple.__new__(cls, [known[name] for name in cls._fields])

        def _asdict(self):
            return dict(zip(self._fields, self, strict=True))

        def _replace(self, **named):
            return type(self)(**{**self._asdict(), **named})

        def __repr__(self):
            return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self._asdict().items())})"


_BLANK = " \t\n\r"
# What devbox keeps, and what it reads of a checkout, is small.
MOST = 64 << 20


def stored(path: str | os.PathLike[str], *, mine: bool = False) -> bytes:
    """Return what a small file holds, devbox's or a checkout's; with `mine` one that this user alone can have written.

    Raises OSError, also where something else is in its place: a pipe has no end to read to, and a device may have none.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (os.O_NOFOLLOW if mine else 0)
    descriptor = os.open(path, flags)
    try:
        status = os.fstat(descriptor)
        if status.st_mode & 0o170000 != 0o100000:
            kind = 21 if status.st_mode & 0o170000 == 0o040000 else 22
            raise OSError(kind, "it is no regular file", str(path))
        if status.st_size > MOST:
            raise OSError(27, f"it is larger than {MOST >> 20} MiB", str(path))
        if mine and (status.st_uid != os.getuid() or status.st_mode & 0o022):
            raise OSError(22, "it is no file that devbox can have written", str(path))
        with open(descriptor, "rb", closefd=False) as stream:
            return stream.read()
    finally:
        os.close(descriptor)


def text(path: str | os.PathLike[str], *, errors: str = "strict") -> str:
    """Return the text of a file that people write, as `Path.read_text` does. Raises OSError as `stored` does."""
    return TextIOWrapper(BytesIO(stored(path)), encoding="utf-8", errors=errors).read()


class _Rules:
    """What json tells its scanner."""

    strict = True
    object_hook = object_pairs_hook = array_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float
    memo: dict[str, str] = {}  # noqa: RUF012


try:
    from _json import encode_basestring_ascii, make_scanner

    _scan: Any = make_scanner(_Rules)  # type: ignore[arg-type]  # any object with these names will do
except ImportError:

    def loads(text: bytes | str) -> Any:
        """Read JSON. Raises ValueError."""
        import json

        try:
            return json.loads(text)
        except RecursionError:
            raise ValueError("this JSON is nested too deep") from None

    def dumps(value: Any) -> str:
        """Write JSON, names in order, compact."""
        import json

        return json.dumps(value, sort_keys=True, separators=(",", ":"))

else:

    def loads(text: bytes | str) -> Any:
        """Read JSON. Raises ValueError."""
        text = (text.decode("utf-8", "surrogatepass") if isinstance(text, bytes) else text).strip(_BLANK)
        try:
            value, end = _scan(text, 0)
        except (StopIteration, SystemError):
            # Some versions find no error to raise where json itself is not there.
            end = -1
        except RecursionError:
            raise ValueError("this JSON is nested too deep") from None
        if end != len(text):
            raise ValueError("this is no JSON")
        return value

    def dumps(value: Any) -> str:
        """Write JSON, names in order, compact. Raises TypeError for what is none."""
        if isinstance(value, str):
            return encode_basestring_ascii(value)
        if value is None or isinstance(value, bool):
            return {None: "null", True: "true", False: "false"}[value]
        if isinstance(value, (int, float)):
            return repr(value)
        if isinstance(value, (list, tuple)):
            return f"[{','.join(map(dumps, value))}]"
        if isinstance(value, dict):
            return f"{{{','.join(f'{dumps(name)}:{dumps(value[name])}' for name in sorted(value))}}}"
        raise TypeError(f"{type(value).__name__} is no JSON")
