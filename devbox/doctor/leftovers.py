"""What nobody needs any more: volumes of workspaces that are gone, containers of commands that were killed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from devbox.builds.volumes import build_volumes, with_trees
from devbox.finding import Finding
from devbox.oneshot.left import left_over

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devbox.doctor.model import Patient

# What was not built for so long.
_OLD_SECONDS = 60 * 86400.0
_PRUNE = "devbox prune --all   # says what goes, and asks"


def check(patient: Patient) -> Iterator[Finding]:
    """Look at devbox's own containers that ended and stayed, build volumes without a workspace, and old trees."""
    if patient.engine_facts is None:
        return
    engine, now = patient.engine, time.time()
    ended = left_over(engine, str(patient.workspace))
    for one in ended:
        argv = (engine.docker, "rm", "--volumes", one.called)
        yield Finding(
            "leftovers", "warning", f"the container {one.called} of a command that was killed is left over",
            " ".join(argv), "it keeps its image and volumes from being removed", fix=(argv,),
        )  # fmt: skip
    volumes = build_volumes(engine)
    gone = [one for one in volumes if one.gone and not one.used_by]
    if gone:
        yield Finding(
            "leftovers", "info",
            f"{len(gone)} build volumes of workspaces that are gone: {', '.join(one.title for one in gone[:3])}",
            _PRUNE,
        )  # fmt: skip
    mine = [one for one in volumes if one.workspace == str(patient.workspace)]
    trees = [tree for part in with_trees(mine, engine, sizes=False) for tree in part.trees]
    old = [tree for tree in trees if tree.built and now - tree.built > _OLD_SECONDS and not tree.in_use]
    if old:
        yield Finding(
            "leftovers", "info", f"build trees that were not used for {int(_OLD_SECONDS // 86400)} days: "
            f"{', '.join(tree.key for tree in old)}", "devbox builds prune --older-than 60d",
        )  # fmt: skip
    if not (ended or gone or old):
        yield Finding("leftovers", "ok", "nothing of commands that were killed, nor of workspaces that are gone")
