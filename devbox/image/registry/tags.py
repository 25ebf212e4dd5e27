"""Tags of a repository: what their names tell, newest first.

A registry lists tags by name and knows no date. Names do: nightlies carry a date, releases a version, builds of a
branch the commit. Where none of that is there, the image's own configuration says when it was made, at the cost of two
requests a tag.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

# 20260801, 2026-08-01, 2026.08.01, with a time of day after it or not.
_DATE = re.compile(
    r"(?<![0-9A-Za-z])(20\d\d)([-._]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])(?:[-T_]?([01]\d|2[0-3])([0-5]\d))?(?![0-9A-Za-z])"
)
# 1.2.3, v0.11.0rc2, 26.08-py3, cuda-12.9.1-devel; a number without dots only if it is short and starts the tag.
_VERSION = re.compile(
    r"(?:(?:^|(?<=[-_]))v?(\d+(?:\.\d+)+)|^v?(\d{1,4})(?![0-9A-Za-z._]))(?![0-9])"
    r"(?:[-_.]?(alpha|beta|rc|preview|dev|post|a|b)[-_.]?(\d*)(?![0-9A-Za-z]))?",
    re.IGNORECASE,
)
# `git describe` puts a g before it.
_HEX = re.compile(r"(?<![0-9A-Za-z])g?([0-9a-f]{7,40})(?![0-9A-Za-z])")
_STEPS = {"dev": -4, "a": -3, "alpha": -3, "b": -2, "beta": -2, "preview": -1, "rc": -1, "post": 1}


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag and what its name tells: `date` as YYYY-MM-DD, the `version`, the `commit` as far as it is written out.

    `created` is when the image was made, in ISO 8601, where that was asked for.
    """

    name: str
    date: str | None = None
    version: str | None = None
    commit: str | None = None
    created: str | None = None


def read(name: str, created: str | None = None) -> Tag:
    """Return what a tag's name tells."""
    date = _DATE.search(name)
    version = None if date else _VERSION.search(name)
    hexes = [word for word in _HEX.findall(name) if not word.isdigit() or len(word) == 40]
    return Tag(
        name,
        date=f"{date[1]}-{date[3]}-{date[4]}" if date else None,
        version=version[0].lstrip("v").rstrip("-_.") if version else None,
        commit=hexes[-1] if hexes else None,
        created=created,
    )


def matching(names: Iterable[str], pattern: str | None) -> list[str]:
    """Return the tags that fit a shell pattern; None is every one."""
    wanted = shell_pattern(pattern)
    return [name for name in names if fnmatchcase(name, wanted)]


def shell_pattern(pattern: str | None) -> str:
    """Return a shell pattern for what a person looks for: text without `*`, `?` or `[` may stand anywhere in a name."""
    if not pattern:
        return "*"
    return pattern if any(sign in pattern for sign in "*?[") else f"*{pattern}*"


def newest_first(names: Iterable[str], created: Mapping[str, str | None] | None = None) -> list[Tag]:
    """Return tags, the newest first.

    With `created` (ISO 8601 by name) by when their images were made. Else those that name a day come first, then those
    with a version, then the rest, each newest first, and by name where that says nothing.
    """
    made = created or {}
    found = [read(name, made.get(name)) for name in names]
    return sorted(found, key=lambda tag: (tag.created or "", *_age(tag), tag.name), reverse=True)


def of_commits(names: Iterable[str], commits: Sequence[str]) -> tuple[str, int] | None:
    """Return the tag of the first of `commits` that one of `names` carries, and which of them it is; None without one.

    A tag carries a commit by its first seven digits or more, anywhere in its name; a commit may be abbreviated, too. Of
    several tags of one commit the shortest is taken, which has nothing of a platform or a variant in it, and of these
    the newest.
    """
    by_prefix: dict[str, list[str]] = {}
    for name in names:
        for word in _HEX.findall(name):
            by_prefix.setdefault(word[:7], []).append(name)
    for distance, commit in enumerate(commits):
        fitting = [
            name
            for name in by_prefix.get(commit[:7], ())
            if any(commit.startswith(word) or word.startswith(commit) for word in _HEX.findall(name))
        ]
        if fitting:
            return min(newest_first(fitting), key=lambda tag: len(tag.name)).name, distance
    return None


def _age(tag: Tag) -> tuple[int, tuple[object, ...], tuple[object, ...]]:
    """Return what sorts tags from old to new."""
    if tag.date:
        match = _DATE.search(tag.name)
        assert match is not None  # noqa: S101  # that is where the date is from
        return 2, (tag.date, match[5] or "", match[6] or ""), _natural(tag.name)
    if tag.version:
        match = _VERSION.search(tag.name)
        assert match is not None  # noqa: S101
        step = _STEPS.get((match[3] or "").lower(), 0)
        numbers = tuple(int(number) for number in (match[1] or match[2]).split("."))
        return 1, (numbers, step, int(match[4] or 0)), _natural(tag.name)
    return 0, (), _natural(tag.name)


def _natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """Return a name so that `a10` sorts after `a9`."""
    words = re.findall(r"\d+|\D+", name)
    return tuple((1, int(word), "") if word.isdigit() else (0, 0, word) for word in words)
