"""What was seen in build volumes last: kept until devbox changes one of them, so that a list need not look again.

To look, a container is started, which walks through all trees. What others change in one, such as ninja run by hand, is
seen an hour later; so the time of the look is told.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from devbox.builds.trees import BuildTree
from devbox.builds.volumes import build_volumes, with_trees
from devbox.container import memory

if TYPE_CHECKING:
    from devbox.container.status import Status
    from devbox.engine.docker import Engine

    Trees = dict[str, tuple[BuildTree, ...]]

_TREES = "trees"
FRESH_SECONDS = 3600.0


def in_all_volumes(engine: Engine, known: Status) -> tuple[Trees, float]:
    """Return the trees in the user's volumes, by what these are called, and when they were looked at (Unix time).

    They are looked into where that is not kept.
    """
    volumes, now = build_volumes(engine, known), time.time()
    names = sorted(volume.name for volume in volumes)
    before = memory.recall_look(_TREES)
    try:
        if before is not None and before["volumes"] == names and 0 <= now - before["at"] < FRESH_SECONDS:
            kept_trees = before["trees"].items()
            return {title: tuple(BuildTree(**one) for one in ones) for title, ones in kept_trees}, before["at"]
    except (KeyError, TypeError):
        pass  # of another version
    found = {volume.title: volume.trees for volume in with_trees(volumes, engine) if volume.trees}
    # What is being built is another one in a moment.
    if not any(tree.building for trees in found.values() for tree in trees):
        kept = {title: [asdict(tree) for tree in trees] for title, trees in found.items()}
        memory.remember_look(_TREES, {"at": now, "volumes": names, "trees": kept})
    return found, now
