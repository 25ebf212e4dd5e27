"""Timing whole processes, interleaved, so that what the machine does meanwhile falls on all of them alike."""

from __future__ import annotations

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
    subjects: Sequence[Subject], rounds: int, *, cwd: Path, environ: Mapping[str, str] | None = None, warm_up: int = 1
) -> dict[str, Sample]:
    """Time the subjects in turn (A, B, C, A, B, C …), `rounds` times each, after `warm_up` rounds that do not count."""
    seconds: dict[str, list[float]] = {subject.name: [] for subject in subjects}
    for number in range(warm_up + rounds):
        for subject in subjects:
            taken = timed(subject, cwd=cwd, environ=environ)
            if number >= warm_up:
                seconds[subject.name].append(taken)
    return {name: Sample(name, tuple(values)) for name, values in seconds.items()}
