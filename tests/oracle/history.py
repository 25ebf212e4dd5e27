"""Random histories of a tree: edits, branches, times set back, ninja by hand, builds cut off."""

from __future__ import annotations

import os
import random
import subprocess
from typing import TYPE_CHECKING, Generic, TypeVar

import pytest

from tests.oracle.build_lab import Lab

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

TYPES = ("Debug", "Release")
L = TypeVar("L", bound=Lab)


class History(Generic[L]):
    """One random history of the files in `texts`, each with what it may say; each of `steps` has a weight."""

    def __init__(self, lab: L, seed: int, texts: Mapping[str, Sequence[str]]) -> None:
        self.random = random.Random(seed)
        self.lab = lab
        self.texts = texts
        self.trees: dict[str, dict[str, object]] = {}
        shared, one, third = texts
        lab.branch("left", {shared: texts[shared][1], one: texts[one][1]})
        lab.branch("right", {shared: texts[shared][2], third: texts[third][1]})

    def steps(self) -> list[tuple[Callable[[], object], int]]:
        """Return the steps that there are, and how often each is taken beside the others."""
        raise NotImplementedError

    def ended(self, result: dict[str, object]) -> None:
        """See that a tree is as a build from nothing."""
        self.lab.check(result)

    def edit(self) -> Path:
        name = self.random.choice(sorted(self.texts))
        return self.lab.write(name, self.random.choice(self.texts[name]))

    def edit_with_an_old_time(self) -> None:
        path = self.edit()
        then = self.random.choice([1_000_000_000, int(path.stat().st_mtime) - 1])
        os.utime(path, (then, then))

    def move_over(self) -> None:
        name = self.random.choice(sorted(self.texts))
        self.lab.write(f"{name}.new", self.random.choice(self.texts[name])).rename(self.lab.workspace / name)

    def touch(self) -> None:
        (self.lab.workspace / self.random.choice(sorted(self.texts))).touch()

    def switch(self) -> None:
        self.lab.git("switch", "-q", "--force", self.random.choice(["main", "left", "right"]))

    def stash(self) -> None:
        if self.lab.git("status", "--porcelain", "-uno"):
            self.lab.git("stash", "-q")
            self.lab.git("stash", "pop", "-q")

    def build_cut_off(self) -> None:
        running = self.lab.start(type=self.random.choice(TYPES), jobs=1)
        assert running.process.stdout is not None
        for _ in range(self.random.randrange(1, 8)):
            if not running.process.stdout.readline():
                break
        how = self.random.choice(self.ways_to_end())
        if how is not None:
            how(running.process)
        running.close()

    def ways_to_end(self) -> list[Callable[[subprocess.Popen[bytes]], None] | None]:
        """Return how a build is cut off; None: its client hangs up."""
        return [None, subprocess.Popen.kill]

    def ninja_by_hand(self) -> None:
        if self.trees:
            result = self.trees[self.random.choice(sorted(self.trees))]
            self.lab.ninja(result, *self.random.choice([[], ["parts"]]))

    def run(self, number: int, seed: int) -> None:
        """Take `number` steps. A failure names its seed, and the steps that were taken."""
        steps = self.steps()
        done: list[str] = []
        try:
            for _ in range(number):
                step = self.random.choices([step for step, _ in steps], [weight for _, weight in steps])[0]
                done.append(getattr(step, "__name__", ""))
                step()
            for kind in TYPES:
                self.ended(self.lab.build(type=kind))
        except (AssertionError, subprocess.CalledProcessError) as error:
            pytest.fail(f"seed {seed}, after {', '.join(done)}: {error}")
