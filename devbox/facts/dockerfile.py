"""What a Dockerfile says of its own build arguments: what each is by default, and which values its steps take.

Read as text, as nothing else of it is asked for here; what a build makes of it is told by `devbox.image.dockerfile`.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from itertools import islice
from typing import TYPE_CHECKING

from devbox.facts.stated import Stated, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

# Steps that ask for one argument, and the values of one: the text is a checkout's, and each is held against each.
_MOST_STEPS, _MOST_VALUES = 16, 128
_ESAC = re.compile(r"\besac\b")
_BRANCH = re.compile(
    r"(?:^|;;|\bin\b)[\s\\]*\(?[\"']?(?P<patterns>[\w.*?|\"'-][\w.*?|\"' -]{0,500}?)[\"']?\)(?P<does>(?:(?!;;).)*)",
    re.DOTALL,
)
_PLAIN = re.compile(r"[\w.-]+")
_GIVES_UP = re.compile(r"\bexit\s+[1-9]")


def default(checkout: Path, file: str, name: str) -> Stated | None:
    """Return what a build argument is where nobody says it: None for one without a default, or a computed one."""
    text = text_of(checkout, file) or ""
    found = re.search(rf"^[ \t]*ARG[ \t]+{re.escape(name)}=[\"']?([^\s\"'$]+)[\"']?[ \t]*$", text, re.MULTILINE)
    return None if found is None else _stated(name, found[1], file, text, found.start(1))


def taken(checkout: Path, file: str, name: str) -> tuple[Stated, ...]:
    """Return the patterns of the values that every step takes: () where no step refuses one.

    A step refuses what no branch of its `case "$NAME" in` takes but one that ends the build.
    """
    text = text_of(checkout, file) or ""
    steps = [*_cases(file, text, name)]
    found = {one.value: one for step in steps for one in step if all(fits(one.value, other) for other in steps)}
    return tuple(found.values())


def fits(value: str, patterns: Sequence[Stated]) -> bool:
    """Return whether a value is one of those that are taken."""
    return any(fnmatchcase(value, one.value) for one in patterns)


def is_plain(value: str) -> bool:
    """Return whether a pattern stands for one value alone."""
    return _PLAIN.fullmatch(value) is not None


def _cases(file: str, text: str, name: str) -> Iterator[list[Stated]]:
    """Yield what each step takes that ends the build for all else."""
    starts = re.finditer(rf"\bcase\s+[\"']?\$\{{?{re.escape(name)}\}}?[\"']?\s+in\b", text)
    for start in islice(starts, _MOST_STEPS):
        end = _ESAC.search(text, start.end())
        found, refuses = [], False
        for branch in _BRANCH.finditer(text, start.end() - len("in"), end.start() if end else len(text)):
            ends = _GIVES_UP.search(branch["does"]) is not None
            for pattern in (one.strip(" \"'") for one in branch["patterns"].split("|")):
                refuses |= ends and pattern == "*"
                if not ends:
                    found.append(_stated(name, pattern, file, text, branch.start("patterns")))
        if refuses and len(found) <= _MOST_VALUES:
            yield found


def _stated(name: str, value: str, file: str, text: str, at: int) -> Stated:
    return Stated(name, value, file, 1 + text.count("\n", 0, at))
