"""The user's build volumes and the trees in them, whether a container runs or not; removing and pruning."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from devbox.agent import protocol
from devbox.builds.helper import ask_helper, images_of, say_phases
from devbox.builds.trees import BuildTree, TreeDetails, details_of, tree_of
from devbox.container import memory
from devbox.container.inside.find import labelled
from devbox.container.status import status
from devbox.container.target import LOCAL_FOLDER, VOLUME
from devbox.engine.spec import Mount
from devbox.errors import BuildError, EngineError, UsageError
from devbox.files import may_exist
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from devbox.agent.protocol import TreeTold, VolumeTold
    from devbox.container.status import Status
    from devbox.engine.docker import Engine
    from devbox.reporter import Reporter

# Where a helper sees the volumes, each below a number.
PLACE = "/volumes"


@dataclass(frozen=True, slots=True)
class BuildVolume:
    """A build volume and its trees, the one that was used last first.

    `workspace` is the folder on the host that it belongs to (None: nobody knows), and `gone` whether that folder is no
    longer there. `used_by` are the containers that mount it. With a `folder`, this is the part of the volume that holds
    the trees of a further checkout of its container. With `closed` there is no image that could look into it, and its
    trees are not known.
    """

    name: str
    workspace: str | None
    gone: bool
    used_by: tuple[str, ...]
    trees: tuple[BuildTree, ...] = ()
    folder: str = ""
    closed: bool = False

    @property
    def size(self) -> int:
        """The size of its trees in bytes."""
        return sum(tree.size for tree in self.trees)

    @property
    def used(self) -> float:
        """When one of its trees was last used, in seconds since the epoch; 0 if never."""
        return max((tree.built for tree in self.trees), default=0.0)

    @property
    def title(self) -> str:
        """What a person calls it: the workspace, else the volume's name."""
        return self.workspace or "/".join(filter(None, (self.name, self.folder)))


@dataclass(frozen=True, slots=True)
class Doomed:
    """What is to be removed, and why: one tree, in a `folder` of the volume, or with `key` None the whole volume.

    `size` is in bytes.
    """

    volume: str
    title: str
    key: str | None
    size: int
    reason: str
    folder: str = ""


@dataclass(frozen=True, slots=True)
class Removal:
    """What was removed, and what was not with the reason: by then somebody used it."""

    removed: tuple[Doomed, ...]
    kept: tuple[Doomed, ...]


def build_volumes(
    engine: Engine, known: Status | None = None, *, workspace: str | None = None
) -> tuple[BuildVolume, ...]:
    """Return the user's build volumes by workspace, or of one alone, without looking into them.

    `known` is the status just asked for.
    """
    everything = known or status(engine, sizes=False, workspace=workspace)
    found = {
        one.name: BuildVolume(one.name, one.workspace, one.workspace_exists is False, one.used_by)
        for one in everything.volumes
        if one.kind == "build"
    }
    # A shared contract names its volume by ${devcontainerId}: only its container tells whose it is.
    for container in engine.containers({LOCAL_FOLDER: None}) if workspace is None else labelled(engine, workspace):
        folder = container.labels[LOCAL_FOLDER]
        mounted = [one for one in container.mounts if one.get("Destination") == VOLUME and one.get("Type") == "volume"]
        for name in (str(one["Name"]) for one in mounted):
            if name not in found and _is_mine(folder):
                found[name] = BuildVolume(name, folder, gone=False, used_by=(container.called,))
    return tuple(sorted(found.values(), key=lambda one: (one.title, one.name)))


def _is_mine(folder: str) -> bool:
    try:
        return Path(folder).stat().st_uid == os.getuid()
    except OSError:
        return False


def with_trees(volumes: Sequence[BuildVolume], engine: Engine, *, sizes: bool = True) -> tuple[BuildVolume, ...]:
    """Look into volumes, through a helper container for each image that they have, and return them with their trees.

    Behind a volume come the parts of it that belong to further checkouts and have trees. Adding up `sizes` walks
    through every tree. Raises EngineError.
    """
    return tuple(volume for volume, _ in _look(volumes, engine, sizes=sizes))


def of_workspace(engine: Engine, workspace: str | None, *, sizes: bool = True) -> tuple[BuildVolume, ...]:
    """Return the build volumes of a workspace, or of all where it is None, with their trees.

    A workspace without a volume of its own may have its trees in another one's: it is a further checkout there. Raises
    EngineError.
    """
    named = tuple(one for one in build_volumes(engine, workspace=workspace) if workspace in {None, one.workspace})
    found = with_trees(named or build_volumes(engine), engine, sizes=sizes)
    return found if named else tuple(volume for volume in found if volume.workspace == workspace)


def details(volume: BuildVolume, key: str, engine: Engine) -> TreeDetails:
    """Return what is recorded of one tree. Raises EngineError, UsageError where there is none."""
    for part, trees in _look([volume], engine, sizes=False, details=key):
        for tree in trees:
            if part.folder == volume.folder and tree.key == key:
                return details_of(tree)
    raise UsageError(f"there is no build tree {key} in {volume.title}", hint="devbox builds list")


def _look(
    volumes: Sequence[BuildVolume], engine: Engine, *, sizes: bool, details: str | None = None
) -> Iterator[tuple[BuildVolume, Sequence[TreeTold]]]:
    if not volumes:
        return
    told_of: dict[str, VolumeTold] = {}
    for images, places in _apart({volume.name for volume in volumes}, engine):
        mounts = [Mount("volume", place, name, readonly=True) for name, place in places.items()]
        request = protocol.Look(volumes=places, sizes=sizes, details=details)
        # An image without Python is no reason to tell nothing of the others.
        with contextlib.suppress(BuildError):
            said = ask_helper(request, mounts, engine, images=images).volumes if images else {}
            told_of.update({name: said[name] for name in places if name in said})
    for volume in volumes:
        if (told := told_of.get(volume.name)) is None:
            yield replace(volume, closed=True), ()
            continue
        yield _part(replace(volume, folder=""), told), told.trees
        for folder, inner in told.further.items():
            if inner.trees:
                yield _part(replace(volume, workspace=None, folder=folder), inner), inner.trees


def _apart(volumes: Collection[str], engine: Engine) -> Iterator[tuple[tuple[str, ...], dict[str, str]]]:
    """Yield volumes that the same images may look into: these, if any, and where each volume is seen.

    On a cluster the pod that mounts it looks itself.
    """
    if engine.is_cluster:
        for pod in engine.containers({LOCAL_FOLDER: None}):
            names = [str(one["Name"]) for one in pod.mounts if one["Destination"] == VOLUME]
            yield from (((pod.id,), {name: VOLUME}) for name in names if pod.running and name in volumes)
        return
    together: dict[tuple[str, ...], dict[str, str]] = {}
    for name, images in images_of(engine, sorted(volumes)).items():
        places = together.setdefault(images, {})
        places[name] = f"{PLACE}/{len(places)}"
    yield from together.items()


def _no_image(volume: str) -> BuildError:
    return BuildError(
        f"the image of the dev container that {volume} belongs to is gone, and no other one may look into it",
        hint="devbox up   # makes it again",
    )


def _part(volume: BuildVolume, told: VolumeTold) -> BuildVolume:
    """Return a volume, or its part of a further checkout, with what the helper told of it."""
    # The helper has the volumes elsewhere than a dev container.
    place = "/".join(filter(None, (VOLUME, volume.folder)))
    trees = (replace(tree_of(tree), path=f"{place}/{tree.key}") for tree in told.trees)
    workspace = volume.workspace or told.workspace
    return replace(
        volume,
        trees=tuple(sorted(trees, key=lambda tree: -tree.built)),
        workspace=workspace,
        gone=workspace is not None and not may_exist(workspace),
    )


def find_trees(volumes: Iterable[BuildVolume], words: Sequence[str]) -> tuple[tuple[BuildVolume, BuildTree], ...]:
    """Return the trees that `words` name, each by its key or the beginning of it.

    Raises UsageError for a word that fits none, or several.
    """
    every = [(volume, tree) for volume in volumes for tree in volume.trees]
    found = []
    for word in words:
        fits = [one for one in every if one[1].key == word] or [one for one in every if one[1].key.startswith(word)]
        if not fits:
            raise UsageError(f"there is no build tree '{word}'", hint="devbox builds list")
        if len(fits) > 1:
            raise UsageError(
                f"'{word}' fits {', '.join(f'{tree.key} of {volume.title}' for volume, tree in fits)}",
                hint="devbox builds show KEY --workspace PATH   # names one of them",
            )
        found += [one for one in fits if one not in found]
    return tuple(found)


def prunable(
    volumes: Sequence[BuildVolume],
    *,
    now: float,
    older_than: float | None = None,
    keep: int | None = None,
    max_size: int | None = None,
) -> tuple[Doomed, ...]:
    """Return what a prune removes; nothing that is in use, and nothing that no rule names.

    Whole volumes whose workspace is gone always are; of the others the trees that were not used for `older_than`
    seconds, all but the `keep` last used of a workspace, and the longest unused until all together take at most
    `max_size` bytes. A volume that a container mounts cannot be removed, whatever became of its workspace.
    """
    doomed: dict[tuple[str, str, str], Doomed] = {}
    left = 0
    free: list[tuple[BuildVolume, BuildTree]] = []
    building = {volume.name for volume in volumes if any(tree.building for tree in volume.trees)}
    whole = {
        volume.name
        for volume in volumes
        if volume.gone and not volume.folder and not volume.used_by and volume.name not in building
    }

    def doom(volume: BuildVolume, tree: BuildTree, why: str) -> None:
        doomed[volume.name, volume.folder, tree.key] = Doomed(
            volume.name, volume.title, tree.key, tree.size, why, volume.folder
        )

    for volume in volumes:
        if volume.name in whole:
            if not volume.folder:
                size = sum(part.size for part in volumes if part.name == volume.name)
                doomed[volume.name, "", ""] = Doomed(volume.name, volume.title, None, size, "its workspace is gone")
            continue
        left += volume.size
        for place, tree in enumerate(sorted(volume.trees, key=lambda tree: -tree.built)):
            if tree.in_use:
                continue
            why = ""
            if older_than is not None and now - tree.built > older_than:
                why = "it was not used for so long" if tree.built else "it has no record"
            elif keep is not None and place >= keep:
                why = "it is not the one that was used last" if keep == 1 else f"it is not among the last {keep} used"
            if why:
                doom(volume, tree, why)
                left -= tree.size
            else:
                free.append((volume, tree))
    for volume, tree in sorted(free, key=lambda one: one[1].built):
        if max_size is None or left <= max_size:
            break
        doom(volume, tree, "it is the longest unused, and all take too much")
        left -= tree.size
    return tuple(doomed.values())


def remove(doomed: Sequence[Doomed], engine: Engine, reporter: Reporter) -> Removal:
    """Remove trees and volumes that the person has seen and agreed to. What is in use by now is kept.

    Raises BuildError, EngineError, KeyboardInterrupt; the same command then finishes what was begun.
    """
    memory.forget_looks()
    removed = [one for one in doomed if one.key is None and _remove_volume(one, engine, reporter)]
    kept = [
        replace(one, reason="a container uses its volume") for one in doomed if one.key is None and one not in removed
    ]
    for one, why in _remove_trees([one for one in doomed if one.key is not None], engine, reporter):
        if why:
            kept.append(replace(one, reason=why))
        else:
            removed.append(one)
    return Removal(tuple(removed), tuple(kept))


def _remove_volume(doomed: Doomed, engine: Engine, reporter: Reporter) -> bool:
    with reporter.step(f"Removing the volume {doomed.volume}"):
        done = engine.run(["volume", "rm", doomed.volume], check=False)
    if done.ok or "no such volume" in done.stderr.lower():
        memory.forget_image(doomed.volume)
        return True
    if "in use" in done.stderr.lower():
        return False
    raise EngineError(f"the volume {doomed.volume} cannot be removed", detail=done.stderr.strip())


def _remove_trees(doomed: Sequence[Doomed], engine: Engine, reporter: Reporter) -> Iterator[tuple[Doomed, str]]:
    if not doomed:
        return
    for images, places in _apart({one.volume for one in doomed}, engine):
        if not images:
            raise _no_image(next(iter(places)))
        here = [one for one in doomed if one.volume in places]
        mounts = [Mount("volume", place, name) for name, place in places.items()]
        keys: dict[str, list[str]] = {}
        for one in here:
            keys.setdefault(_place(places, one), []).append(str(one.key))
        answer = ask_helper(protocol.Remove(trees=keys), mounts, engine, images=images, on_event=say_phases(reporter))
        said = {(place, one.key): one.why for place, ones in answer.removed.items() for one in ones}
        for one in here:
            yield one, said[_place(places, one), str(one.key)]


def _place(places: Mapping[str, str], doomed: Doomed) -> str:
    """Return where the helper sees the folder that a tree lies in."""
    return "/".join(filter(None, (places[doomed.volume], doomed.folder)))
