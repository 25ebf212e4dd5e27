"""What was measured against what was promised: verdicts, and how they are shown."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from bench.measure import Interval, interval

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bench.measure import Sample

Kind = Literal["ratio", "added"]


@dataclass(frozen=True, slots=True)
class Budget:
    """A promise: devbox takes at most `limit` times as long as the baseline, or at most `limit` seconds longer."""

    kind: Kind
    limit: float

    def __str__(self) -> str:
        return f"≤ {self.limit:.2f} x" if self.kind == "ratio" else f"≤ + {self.limit:.3f} s"


State = Literal["kept", "missed", "undecided"]
# How a state is written in the table.
_SHOWN = {"kept": "yes", "missed": "**no**", "undecided": "undecided"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """One case: devbox beside one baseline, with the budget that it is held against.

    `noise` is by which part a command differs from itself on this machine.
    """

    case: str
    subject: Sample
    baseline: Sample
    budget: Budget
    noise: float = 0.0

    @property
    def value(self) -> float:
        """The ratio of the medians, or the difference between them in seconds, as the budget's kind says."""
        if self.budget.kind == "ratio":
            return self.subject.median / self.baseline.median
        return self.subject.median - self.baseline.median

    @property
    def interval(self) -> Interval:
        """Where the value lies, from the pairs that were timed one after the other."""
        pairs = zip(self.subject.seconds, self.baseline.seconds, strict=False)
        if self.budget.kind == "ratio":
            return interval([mine / other for mine, other in pairs])
        return interval([mine - other for mine, other in pairs])

    @property
    def state(self) -> State:
        """Whether the budget is kept, as far as can be told: a miss is one beyond the noise."""
        limit, slack = self.budget.limit, self.noise * (1.0 if self.budget.kind == "ratio" else self.baseline.median)
        if self.budget.kind == "ratio":
            slack *= limit
        if self.interval.high <= limit:
            return "kept"
        return "missed" if self.interval.low > limit + slack else "undecided"

    def shown(self) -> str:
        """Return the value with its unit."""
        return f"{self.value:.2f} x" if self.budget.kind == "ratio" else f"{self.value:+.3f} s"


@dataclass(frozen=True, slots=True)
class Skipped:
    """A case that could not be measured here, and why."""

    case: str
    reason: str


@dataclass(frozen=True, slots=True)
class Counted:
    """How many docker processes each tool starts for one case. What is asked over the engine's socket is none."""

    case: str
    devbox: int
    reference: int


@dataclass(frozen=True, slots=True)
class Waited:
    """How much of a command's time the engine had to answer, of devbox's and of another tool's: parts of 1.

    `floor` is the engine's part under devbox beside the whole time of the other tool: no client can be below it.
    `requests` are how many the engine gets from each.
    """

    case: str
    devbox: float
    other: float
    floor: float
    requests: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Noise:
    """By which part a command differs from itself here."""

    part: float


Result = Verdict | Skipped | Counted | Waited | Noise


def markdown(results: Iterable[Result], facts: Sequence[tuple[str, str]]) -> str:
    """Return the page of results: where it was measured, and one table row for each comparison."""
    lines = ["# Benchmark results", "", *(f"- {name}: {value}" for name, value in facts), ""]
    lines += [
        "Medians of whole processes, taken in turn; ± is half of the distance between the quartiles.",
        "",
        "| case | devbox | beside | its time | result | budget | kept |",
        "|---|--:|---|--:|--:|--:|---|",
    ]
    skipped = []
    counted = []
    kept = list(results)
    for result in kept:
        if isinstance(result, Waited):
            continue
        if isinstance(result, Skipped):
            skipped.append(f"- {result.case}: {result.reason}")
            continue
        if isinstance(result, Noise):
            lines.insert(3 + len(facts), f"- noise: a command differs from itself by {result.part:.0%}")
            continue
        if isinstance(result, Counted):
            counted.append(f"| {result.case} | {result.devbox} | {result.reference} |")
            continue
        cells = (
            result.case,
            _time(result.subject),
            result.baseline.name,
            _time(result.baseline),
            result.shown(),
            str(result.budget),
            _SHOWN[result.state],
        )
        lines.append(f"| {' | '.join(cells)} |")
    if counted:
        lines += ["", *_COUNTED, *counted]
    lines += _waited(kept)
    if skipped:
        lines += ["", "Not measured:", "", *skipped]
    return "\n".join(lines) + "\n"


def _waited(results: Iterable[Result]) -> list[str]:
    rows = [
        f"| {one.case} | {one.devbox:.0%} | {one.other:.0%} | {one.floor:.2f} | {one.requests[0]} | {one.requests[1]} |"
        for one in results
        if isinstance(one, Waited)
    ]
    return ["", *_WAITED, *rows] if rows else []


_WAITED = (
    "| the engine's part | of devbox's time | of the other's | least ratio | devbox's requests | the other's |",
    "|---|--:|--:|--:|--:|--:|",
)
_COUNTED = ("| docker processes | devbox | devcontainer |", "|---|--:|--:|")


def ratios(results: Iterable[Result], date: str, machine_class: str) -> str:
    """Return the page for the documents: ratios and counts of one run, no times, which belong to the machine."""
    lines = [
        "# Benchmark",
        "",
        "<!-- Written by `python -m bench --publish`, not by hand. -->",
        "",
        f"One run of `make bench`, {date}, {machine_class}. Each value is the ratio of two",
        "medians of whole processes, taken in turn: below 1, devbox takes less time. The times belong to the machine",
        "and are not kept.",
        "",
        "| case | beside | ratio | budget |",
        "|---|---|--:|--:|",
    ]
    kept = list(results)
    lines += [
        f"| {one.case} | {one.baseline.name} | {one.value:.2f} | {one.budget} |"
        for one in kept
        if isinstance(one, Verdict) and one.budget.kind == "ratio"
    ]
    counted = [f"| {one.case} | {one.devbox} | {one.reference} |" for one in kept if isinstance(one, Counted)]
    if counted:
        lines += ["", "How many docker processes each tool starts:", "", *_COUNTED, *counted]
    if waited := _waited(kept):
        lines += [
            "",
            "What the engine itself takes, to answer or to run a program, is no client's to save. Of devbox's time, of",
            "the other tool's, and, as the least ratio there can be, of devbox's beside all of the other's:",
            *waited,
        ]
    return "\n".join(lines) + "\n"


def _time(sample: Sample) -> str:
    return f"{sample.median:.3f} s ± {sample.spread:.3f}"


def as_json(results: Iterable[Result], facts: Sequence[tuple[str, str]]) -> str:
    """Return the same as JSON, with every single time."""
    rows = [
        {"noise": one.part}
        if isinstance(one, Noise)
        else {"case": one.case, "skipped": one.reason}
        if isinstance(one, Skipped)
        else {"case": one.case, "docker_processes": {"devbox": one.devbox, "devcontainer": one.reference}}
        if isinstance(one, Counted)
        else {
            "case": one.case,
            "engine": {"devbox": one.devbox, "other": one.other, "floor": one.floor, "requests": one.requests},
        }
        if isinstance(one, Waited)
        else {
            "case": one.case,
            "devbox": {"median": one.subject.median, "seconds": one.subject.seconds},
            "baseline": {"name": one.baseline.name, "median": one.baseline.median, "seconds": one.baseline.seconds},
            "kind": one.budget.kind,
            "value": one.value,
            "limit": one.budget.limit,
            "interval": [one.interval.low, one.interval.high],
            "state": one.state,
        }
        for one in results
    ]
    return json.dumps({"schema": 1, "facts": dict(facts), "results": rows}, indent=2, ensure_ascii=False) + "\n"


def machine() -> tuple[tuple[str, str], ...]:
    """Return what the times depend on: processor, cores, kernel and Python."""
    import os

    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as stream:  # noqa: PTH123  # a kernel file, read line by line
            model = next((line.partition(":")[2].strip() for line in stream if line.startswith("model name")), model)
    except OSError:
        pass
    return (
        ("processor", f"{model}, {len(os.sched_getaffinity(0))} cores"),
        ("system", f"{platform.system()} {platform.release()}"),
        ("python", platform.python_version()),
    )
