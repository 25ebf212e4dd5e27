"""How long a build that ninja has no times of still takes.

ninja knows how long a command took the last time. Of a first build it knows nothing, and the slow files often come
last. So objects are counted by kind, for a CUDA template is no C file, and those of a kind take what the ones took that
have ended. A kind of which none has ended yet is guessed from the others, and until then the sum is "at least".
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .output import Progress

COMPILE, C, CUDA, OTHER = "C++", "C", "CUDA", "other"
# What a command of a kind takes, in those of C: what is usual, as long as nothing else is known.
WEIGHTS = {C: 1.0, COMPILE: 5.0, CUDA: 30.0, OTHER: 1.0}
# So many of a kind have to have ended before their mean says something.
ENOUGH = 3
# A part of the sum that is only guessed, and changes little.
_LITTLE = 0.1
_RULE = re.compile(rb"^build [^\n]*?: (C|CXX|CUDA|HIP)_COMPILER__", re.MULTILINE)
_KINDS = {b"C": C, b"CXX": COMPILE, b"CUDA": CUDA, b"HIP": CUDA}
_SUFFIXES = {".c": C, ".cu": CUDA, ".hip": CUDA, ".cc": COMPILE, ".cpp": COMPILE, ".cxx": COMPILE, ".C": COMPILE}


class Left(NamedTuple):
    """The seconds that are left, None as long as nothing has ended; with `least`, it may well be more."""

    seconds: float | None
    least: bool


def kinds_of(tree: str) -> dict[str, int]:
    """Return how many objects a tree that CMake configured has of each kind."""
    found: dict[str, int] = {}
    try:
        with open(os.path.join(tree, "build.ninja"), "rb") as stream:
            rules = _RULE.findall(stream.read())
    except OSError:
        return found
    for rule in rules:
        found[_KINDS[rule]] = found.get(_KINDS[rule], 0) + 1
    return found


def kind(title: str) -> str:
    """Return the kind of a step by what `output.short` makes of its title."""
    return _SUFFIXES.get(os.path.splitext(title)[1], OTHER)


class Estimate:
    """Follows a build and says how long it still takes."""

    def __init__(self, objects: Mapping[str, int], total: int, jobs: int) -> None:
        """Take how many `objects` of each kind the tree has, `total` commands to run, and how many run at once."""
        # Which ones are left of a build that was cut off, nobody says.
        part = min(1.0, total / (sum(objects.values()) or 1))
        self._objects = {name: count * part for name, count in objects.items()}
        self._jobs = jobs
        self._since: dict[str, float] = {}
        self._took: dict[str, list[float]] = {}

    def after(self, progress: Progress, titles: Iterable[str], now: float) -> Left:
        """Return what is left when `titles`, as short as those of `progress`, have ended, at `now` in seconds."""
        for title in titles:
            self._took.setdefault(kind(title), []).append(now - self._since.pop(title, now))
        self._since = {title: self._since.get(title, now) for title in progress.running}
        unit = self._unit()
        if not unit:
            return Left(None, least=True)
        todo = {name: count - len(self._took.get(name, ())) for name, count in self._objects.items()}
        todo[OTHER] = progress.total - progress.done - sum(todo.values())
        means = {name: self._mean(name, unit) for name in todo}
        work = {name: max(0, count) * means[name] for name, count in todo.items()}
        running = sum(min(now - since, means.get(kind(title), 0.0)) for title, since in self._since.items())
        # The last one alone may take longer than the mean of all.
        longest = max((means[kind(title)] - (now - since) for title, since in self._since.items()), default=0.0)
        guessed = sum(seconds for name, seconds in work.items() if len(self._took.get(name, ())) < ENOUGH)
        whole = sum(work.values())
        return Left(max(longest, (whole - running) / self._jobs), guessed > _LITTLE * whole)

    def _mean(self, name: str, unit: float) -> float:
        took = self._took.get(name, ())
        return sum(took) / len(took) if len(took) >= ENOUGH else unit * WEIGHTS[name]

    def _unit(self) -> float:
        """Return what a command of weight 1 took."""
        weights = sum(WEIGHTS[name] * len(took) for name, took in self._took.items())
        return sum(map(sum, self._took.values())) / weights if weights else 0.0
