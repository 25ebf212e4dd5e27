"""Random histories of a tree: edits, branches, times set back, ninja by hand, builds cut off. No build is ever stale.

A failure names its seed; `-k` with it runs that history again.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.oracle.build_lab import FILES, Lab
from tests.oracle.history import TYPES, History

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STEPS = 40
TEXTS = {
    "shared.h": [f"#define SHARED {n}\n" for n in (1, 2, 3)],
    "one.h": [f"#define ONE {n}\n" for n in (1, 2, 3)],
    "three.c": [f"int three(void) {{ return {n}; }}\n" for n in (3, 4, 5)],
}


class LabHistory(History[Lab]):
    """A history of the small C tree."""

    def steps(self) -> list[tuple[Callable[[], object], int]]:
        return [
            (self.edit, 4), (self.edit_with_an_old_time, 2), (self.set_a_time_back, 1), (self.move_over, 2),
            (self.touch, 1), (self.switch, 6), (self.stash, 1), (self.build, 12), (self.build_cut_off, 2),
            (self.ninja_by_hand, 2),
        ]  # fmt: skip

    def set_a_time_back(self) -> None:
        """What another program may do to a file that it did not change."""
        path = self.lab.workspace / self.random.choice(sorted(FILES))
        if path.name in TEXTS:
            os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 0.5))

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


def follow(tmp_path: Path, seed: int) -> None:
    lab = Lab(tmp_path)
    try:
        LabHistory(lab, seed, TEXTS).run(STEPS, seed)
    finally:
        lab.close()


@pytest.mark.parametrize("seed", range(2))
def test_no_build_is_stale(tmp_path: Path, seed: int) -> None:
    follow(tmp_path, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 140))
def test_no_build_is_stale_in_many_histories(tmp_path: Path, seed: int) -> None:
    follow(tmp_path, seed)
