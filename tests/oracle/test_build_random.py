"""Random histories of a tree: edits, branches, times set back, ninja by hand, builds cut off. No build is ever stale.

A failure names its seed; `-k` with it runs that history again.
"""

from __future__ import annotations

import os
import random
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.oracle.build_lab import FILES, Lab

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STEPS = 40
TEXTS = {
    "shared.h": [f"#define SHARED {n}\n" for n in (1, 2, 3)],
    "one.h": [f"#define ONE {n}\n" for n in (1, 2, 3)],
    "three.c": [f"int three(void) {{ return {n}; }}\n" for n in (3, 4, 5)],
}
TYPES = ("Debug", "Release")


class History:
    """One random history; each method named in `run` is a step."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.random = random.Random(seed)
        self.lab = Lab(folder)
        self.trees: dict[str, dict[str, object]] = {}
        self.done: list[str] = []
        self.lab.branch("left", {"shared.h": TEXTS["shared.h"][1], "one.h": TEXTS["one.h"][1]})
        self.lab.branch("right", {"shared.h": TEXTS["shared.h"][2], "three.c": TEXTS["three.c"][1]})

    def file(self) -> tuple[str, str]:
        name = self.random.choice(sorted(TEXTS))
        return name, self.random.choice(TEXTS[name])

    def edit(self) -> None:
        self.lab.write(*self.file())

    def edit_with_an_old_time(self) -> None:
        path = self.lab.write(*self.file())
        then = self.random.choice([1_000_000_000, int(path.stat().st_mtime) - 1])
        os.utime(path, (then, then))

    def set_a_time_back(self) -> None:
        """What another program may do to a file that it did not change."""
        path = self.lab.workspace / self.random.choice(sorted(FILES))
        if path.name in TEXTS:
            os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 0.5))

    def move_over(self) -> None:
        name, text = self.file()
        self.lab.write(f"{name}.new", text).rename(self.lab.workspace / name)

    def touch(self) -> None:
        (self.lab.workspace / self.random.choice(sorted(TEXTS))).touch()

    def switch(self) -> None:
        self.lab.git("switch", "-q", "--force", self.random.choice(["main", "left", "right"]))

    def stash(self) -> None:
        if self.lab.git("status", "--porcelain", "-uno"):
            self.lab.git("stash", "-q")
            self.lab.git("stash", "pop", "-q")

    def build(self) -> None:
        kind = self.random.choice(TYPES)
        targets = self.random.choice([[], [], [], ["parts"], ["CMakeFiles/parts.dir/one.c.o"]])
        heal = self.random.random() < 0.9
        result = self.lab.build(type=kind, targets=targets, heal=heal)
        assert result["code"] == 0, result
        self.trees[kind] = result
        # Without healing the user answers for times that were set; it must be made good by the next build.
        if heal and not targets:
            self.lab.check(result)

    def build_cut_off(self) -> None:
        kind = self.random.choice(TYPES)
        running = self.lab.start(type=kind, jobs=1)
        assert running.process.stdout is not None
        for _ in range(self.random.randrange(1, 8)):
            if not running.process.stdout.readline():
                break
        if self.random.random() < 0.5:
            running.process.kill()
        running.close()

    def ninja_by_hand(self) -> None:
        if self.trees:
            result = self.trees[self.random.choice(sorted(self.trees))]
            self.lab.ninja(result, *self.random.choice([[], ["parts"]]))

    def run(self) -> None:
        steps: list[tuple[Callable[[], None], int]] = [
            (self.edit, 4), (self.edit_with_an_old_time, 2), (self.set_a_time_back, 1), (self.move_over, 2),
            (self.touch, 1), (self.switch, 6), (self.stash, 1), (self.build, 12), (self.build_cut_off, 2),
            (self.ninja_by_hand, 2),
        ]  # fmt: skip
        for _ in range(STEPS):
            step = self.random.choices([step for step, _ in steps], [weight for _, weight in steps])[0]
            self.done.append(step.__name__)
            step()
        for kind in TYPES:
            self.lab.check(self.lab.build(type=kind))


def follow(tmp_path: Path, seed: int) -> None:
    history = History(tmp_path, seed)
    try:
        history.run()
    except (AssertionError, subprocess.CalledProcessError) as error:
        pytest.fail(f"seed {seed}, after {', '.join(history.done)}: {error}")
    finally:
        history.lab.close()


@pytest.mark.parametrize("seed", range(2))
def test_no_build_is_stale(tmp_path: Path, seed: int) -> None:
    follow(tmp_path, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 140))
def test_no_build_is_stale_in_many_histories(tmp_path: Path, seed: int) -> None:
    follow(tmp_path, seed)
