"""The timeline of a build: which command ran when, on how many lanes, and which of them decided how long it took."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any, Literal

from devbox.agent.ninja.output import OBJECTS
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from devbox.agent.protocol import Past

Kind = Literal["compile", "link", "other"]
# Compiles of one file differ by as much from run to run.
_NOTABLE_SECONDS, _NOTABLE_SHARE = 0.5, 0.1
_LINKED = (".so", ".a", ".dylib")


@dataclass(frozen=True, slots=True)
class Phase:
    """A phase of an nvcc compile, as nvcc measured it: its name, the architecture or "", and milliseconds."""

    name: str
    arch: str
    milliseconds: float


@dataclass(frozen=True, slots=True)
class Step:
    """One command of a build. `start` and `end` are seconds since the build program began.

    `source` is the file it compiled, else "". `outcome` is the compiler cache's answer: "hit", "miss", why it could not
    cache it, or "" where nobody knows. `before` is how long it took in the last build before that had the same answer.
    """

    output: str
    start: float
    end: float
    source: str = ""
    outcome: str = ""
    critical: bool = False
    phases: tuple[Phase, ...] = ()
    before: float | None = None

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.end - self.start

    @property
    def kind(self) -> Kind:
        """What it did, by the name of what it made."""
        if self.output.endswith(OBJECTS):
            return "compile"
        name = self.output.rpartition("/")[2]
        linked = "." not in name or name.endswith(_LINKED) or ".so." in name
        return "link" if linked else "other"

    @property
    def title(self) -> str:
        """What a person calls it: the source file's name, or what it makes."""
        return (self.source or self.output).rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Timeline:
    """One build of a tree. `begun` is in seconds since the epoch, `cache` the kind of compiler cache."""

    key: str
    begun: float
    jobs: int
    cache: str
    steps: tuple[Step, ...]

    @property
    def seconds(self) -> float:
        """When the last command ended."""
        return max((step.end for step in self.steps), default=0.0)

    @property
    def work(self) -> float:
        """The seconds that all commands took together."""
        return sum(step.seconds for step in self.steps)

    def slowest(self, count: int) -> tuple[Step, ...]:
        """Return the steps that took longest."""
        return tuple(sorted(self.steps, key=lambda step: -step.seconds)[:count])

    def critical_path(self) -> tuple[Step, ...]:
        """Return the longest chain of steps that waited for each other: no number of jobs makes it shorter."""
        return tuple(sorted((step for step in self.steps if step.critical), key=lambda step: step.start))


def timeline(said: Mapping[str, Any]) -> Timeline:
    """Return the timeline in what the agent said of a build."""
    return Timeline(
        said["key"],
        said["begun"],
        said["jobs"],
        said["cache"],
        tuple(
            Step(
                step["output"],
                step["start"],
                step["end"],
                step["source"],
                step["outcome"],
                step["critical"],
                tuple(Phase(*phase) for phase in step["phases"]),
                step.get("before"),
            )
            for step in said["steps"]
        ),
    )


def slower(steps: Iterable[Step]) -> tuple[Step, ...]:
    """Return the steps that took notably longer than before: by half a second and a tenth. The worst is first."""
    known = [(step.seconds - step.before, step) for step in steps if step.before is not None]
    found = [(more, step) for more, step in known if more > _NOTABLE_SECONDS and more > _NOTABLE_SHARE * step.seconds]
    return tuple(step for _, step in sorted(found, key=lambda one: -one[0]))


def lanes(steps: Iterable[Step]) -> list[list[Step]]:
    """Return the steps on as few lanes as there were ever jobs at once; on each lane, one after the other."""
    found: list[list[Step]] = []
    free: list[int] = []
    busy: list[tuple[float, int]] = []
    for step in sorted(steps, key=lambda step: (step.start, step.end)):
        while busy and busy[0][0] <= step.start:
            heapq.heappush(free, heapq.heappop(busy)[1])
        if free:
            lane = heapq.heappop(free)
        else:
            lane = len(found)
            found.append([])
        found[lane].append(step)
        heapq.heappush(busy, (step.end, lane))
    return found


def parallelism(steps: Iterable[Step], width: float, buckets: int) -> list[float]:
    """Return how many commands ran on average in each of `buckets` equal parts of the first `width` seconds."""
    found = [0.0] * buckets
    if width <= 0:
        return found
    part = width / buckets
    for step in steps:
        first, last = int(step.start / part), int(step.end / part)
        for bucket in range(max(0, first), min(buckets - 1, last) + 1):
            overlap = min(step.end, (bucket + 1) * part) - max(step.start, bucket * part)
            found[bucket] += max(0.0, overlap) / part
    return found


@dataclass(frozen=True, slots=True)
class Build:
    """A line of a tree's history: when it began (seconds since the epoch), how long it took, and what it did."""

    begun: float
    seconds: float
    code: int
    commands: int
    compiled: int
    cached: int | None
    missed: int | None


def history(said: Sequence[Past]) -> tuple[Build, ...]:
    """Return the builds in the history that the agent tells, the oldest first. Seeding is in it, too, and is none."""
    return tuple(
        Build(one.start / 1e9, one.seconds, one.code, one.commands, one.compiled, one.cached, one.missed)
        for one in said
        if one.seconds is not None
    )
