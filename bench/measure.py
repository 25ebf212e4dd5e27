"""Timing whole processes, interleaved, so that what the machine does meanwhile falls on all of them alike."""

from __future__ import annotations

import math
import statistics
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path


class FailedError(Exception):
    """A command that was to be measured failed: its time would mean nothing."""


def _nothing() -> None:
    """Prepare nothing."""


@dataclass(frozen=True)
class Subject:
    """One command to be timed. `prepare` runs before each timed run and is not timed."""

    name: str
    argv: tuple[str, ...]
    prepare: Callable[[], None] = field(default=_nothing, compare=False)


@dataclass(frozen=True, slots=True)
class Sample:
    """The wall times of one subject, in seconds, in the order in which they were taken."""

    name: str
    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median, in seconds."""
        return statistics.median(self.seconds)

    @property
    def spread(self) -> float:
        """Half of the distance between the quartiles, in seconds: how far a run usually lies from the median."""
        if len(self.seconds) < 2:
            return 0.0
        lower, _, upper = statistics.quantiles(self.seconds, n=4, method="inclusive")
        return (upper - lower) / 2


def timed(subject: Subject, *, cwd: Path, environ: Mapping[str, str] | None = None) -> float:
    """Run a subject once and return its wall time in seconds, process start included.

    Raises FailedError if it fails.
    """
    subject.prepare()
    start = time.perf_counter()
    done = subprocess.run(
        subject.argv, cwd=cwd, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - start
    if done.returncode != 0:
        raise FailedError(f"{subject.name} failed with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return seconds


def interleaved(
    subjects: Sequence[Subject],
    rounds: int,
    *,
    cwd: Path,
    environ: Mapping[str, str] | None = None,
    warm_up: int = 1,
    enough: Callable[[dict[str, Sample]], bool] = lambda _: True,
) -> dict[str, Sample]:
    """Time the subjects in turn (A, B, C, A, B, C …) after `warm_up` rounds that do not count.

    That is done `rounds` times, and then until `enough` says so of the samples.
    """
    seconds: dict[str, list[float]] = {subject.name: [] for subject in subjects}
    number = -warm_up
    while True:
        for subject in subjects:
            taken = timed(subject, cwd=cwd, environ=environ)
            if number >= 0:
                seconds[subject.name].append(taken)
        number += 1
        if number >= rounds:
            samples = {name: Sample(name, tuple(values)) for name, values in seconds.items()}
            if enough(samples):
                return samples


@dataclass(frozen=True, slots=True)
class Interval:
    """Where a median lies, as far as is known."""

    low: float
    high: float


def interval(values: Sequence[float]) -> Interval:
    """Return where the median of what was drawn from lies, with 95 % certainty, whatever the distribution.

    These are the order statistics between which it lies by the binomial distribution. Less than six values tell no more
    than that it lies among them.
    """
    ordered = sorted(values)
    count = len(ordered)
    outside, rank = 0.0, 0
    while rank < count // 2:
        outside += 2 * math.comb(count, rank) / 2**count
        if outside > 0.05:
            break
        rank += 1
    first = max(0, rank - 1)
    return Interval(ordered[first], ordered[count - 1 - first])


def noise(subject: Subject, rounds: int, *, cwd: Path, environ: Mapping[str, str] | None = None) -> float:
    """Return by which part a command differs from itself: what no measurement here can tell from nothing."""
    pair = [Subject(name, subject.argv, subject.prepare) for name in ("one", "other")]
    samples = interleaved(pair, rounds, cwd=cwd, environ=environ)
    one, other = samples["one"].seconds, samples["other"].seconds
    found = interval([first / second for first, second in zip(one, other, strict=True)])
    return max(abs(found.low - 1), abs(found.high - 1))
