"""Seeding, the host's part: which build volumes a new tree may be copied from, and the helper that copies it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from devbox.agent import protocol
from devbox.builds.helper import ask_helper, images_of, say_phases, volume_in
from devbox.builds.volumes import PLACE, BuildVolume, build_volumes
from devbox.container.target import VOLUME
from devbox.devcontainer.identity import absolute, volume_name
from devbox.engine.spec import Mount
from devbox.errors import BuildError, UsageError
from devbox.facts.checkout import gather
from devbox.paths import expanded
from devbox.trust.reach import is_inside

if TYPE_CHECKING:
    from collections.abc import Iterable

    from devbox.agent.protocol import WantSeed
    from devbox.container.target import Target
    from devbox.engine.docker import Engine
    from devbox.reporter import Reporter

AUTO = "auto"
# The part of the sources that a tree of another repository must have in common; below it, copying is not worth it.
LEAST = 0.5
# A helper mounts every volume that may hold the nearest tree. Those of the same repository come first.
MOST = 24


def named(choice: str, workspace: Path) -> str:
    """Return the absolute path of the workspace that `--seed-from` names for `workspace`. Raises UsageError."""
    folder = absolute(expanded(choice))
    if _same(folder, str(workspace)):
        raise UsageError("a build tree is not seeded from its own workspace", hint="devbox build --seed-from auto")
    return folder


def require(choice: str, engine: Engine) -> None:
    """Raise UsageError where the workspace `choice` has no build volume, also if no tree will be copied."""
    if not engine.is_cluster:
        _volumes_of(choice, build_volumes(engine))


def seed(wanted: WantSeed, choice: str, target: Target, engine: Engine, reporter: Reporter) -> None:
    """Answer the agent's question for a tree to copy: look for the nearest and have it copied.

    Without one the build starts from nothing, and a warning says why where the person named a workspace. Raises
    KeyboardInterrupt if it was interrupted, UsageError if the named workspace has no build volume.
    """
    if engine.is_cluster:
        if choice != AUTO:
            reporter.warn("the new tree starts from nothing: a pod mounts no other workspace's claim")
        return
    inspected = engine.container(target.container) or {}
    own, image = volume_in(inspected), str(inspected.get("Image", ""))
    offered = _offered(choice, target, engine, own)
    if choice == AUTO and not all(sibling for _, sibling in offered):
        # The image runs with these volumes: beyond its own repository's it sees those that it has been given before.
        seen = images_of(engine, [volume.name for volume, _ in offered])
        offered = [one for one in offered if one[1] or image in seen[one[0].name]]
    if own is None or not offered:
        return
    sources = [
        protocol.Source(
            volume=f"{PLACE}/{number}",
            workspace=volume.title,
            sibling=sibling,
            least=0.0 if sibling or choice != AUTO else LEAST,
        )
        for number, (volume, sibling) in enumerate(offered)
    ]
    mounts = [Mount("volume", VOLUME, own)]
    mounts += [
        Mount("volume", f"{PLACE}/{number}", volume.name, readonly=True, options=(("volume-nocopy", None),))
        for number, (volume, _) in enumerate(offered)
    ]
    request = protocol.Seed(volume=VOLUME, sources=sources, **vars(wanted))
    try:
        said = ask_helper(request, mounts, engine, images=[image], user=target.user, on_event=say_phases(reporter))
        if not said.seeded and choice != AUTO:
            reporter.warn(f"the new tree starts from nothing; {'; '.join(said.why)}")
    except BuildError as error:
        # Seeding saves time, and nothing else depends on it.
        reporter.warn(f"the new tree starts from nothing: {error.message}")


def _offered(choice: str, target: Target, engine: Engine, own: str | None) -> list[tuple[BuildVolume, bool]]:
    """Return the volumes that a tree may be taken from, each with whether it belongs to the same repository."""
    volumes = [volume for volume in build_volumes(engine) if volume.name != own]
    if choice != AUTO:
        return [(volume, True) for volume in _volumes_of(choice, volumes)]
    common = repository(target.workspace)
    known = [(volume, common is not None and _repository_of(volume) == common) for volume in volumes]
    return sorted(known, key=lambda one: not one[1])[:MOST]


def _volumes_of(workspace: str, volumes: Iterable[BuildVolume]) -> list[BuildVolume]:
    name = volume_name(os.getuid(), "build", workspace)
    found = [volume for volume in volumes if volume.name == name or _same(volume.workspace, workspace)]
    if not found:
        raise UsageError(f"{workspace} has no build trees", hint="devbox builds list --all")
    return found


def _same(one: str | None, other: str) -> bool:
    return one is not None and (one == other or Path(one).resolve() == Path(other).resolve())


def _repository_of(volume: BuildVolume) -> Path | None:
    return None if volume.workspace is None or volume.gone else repository(Path(volume.workspace))


def repository(workspace: Path) -> Path | None:
    """Return the folder that all worktrees of a checkout's repository share, or None without git.

    None, too, where that repository knows nothing of the checkout: a container may write into `.git` whose it is.
    """
    found = gather(workspace)
    if found.git_common_dir is not None or found.git_dir is None or found.git_top is None:
        return found.git_common_dir
    return found.git_dir.resolve() if is_inside(found.git_dir, found.git_top) else None
