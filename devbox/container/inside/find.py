"""Which container a folder has, asked of the engine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from devbox.container import memory
from devbox.container.inside.probe import resolve
from devbox.container.target import (
    CONFIG_FILE,
    HELPER,
    LOCAL_FOLDER,
    ONE_SHOT,
    Candidate,
    folder_of,
    mounts_of,
    nearest,
    no_container,
    not_running,
)
from devbox.devcontainer.spelling import host_spelling
from devbox.engine.exec import is_pod

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from devbox.container.target import Target
    from devbox.engine.docker import ContainerSummary, Engine


def running_container(engine: Engine, workspace: Path) -> Target:
    """Return the running dev container of the folder `workspace` or of the nearest folder above it.

    What is not remembered about it is asked of the container once, and kept. Raises DevboxError if there is none or it
    is stopped.
    """
    found = candidate(engine, workspace)
    if found is None:
        others = labelled(engine, str(workspace))
        why = f"{others[0].called} says by its label that it is, but does not mount the folder" if others else None
        raise no_container(workspace, why)
    if not found.running:
        state = (engine.container(found.id) or {}).get("State") or {}
        raise not_running(found.workspace, paused=state.get("Paused", False))
    return resolve(engine, found.id)


def candidate(engine: Engine, workspace: Path) -> Candidate | None:
    """Return the dev container of a folder or of one above it, running or not; None if there is none.

    One that only says so by its label counts only where devbox has used it.
    """
    exact = _candidates(labelled(engine, str(workspace)))
    found = exact or _candidates(engine.containers({LOCAL_FOLDER: None}))
    return nearest(found, str(workspace), preferred=memory.last_contract)


def is_proven(container: ContainerSummary, folder: str) -> bool:
    """Tell whether a container is a dev container of `folder` by more than its label."""
    mounted = mounts_of(folder, (str(mount.get("Source")) for mount in container.mounts))
    return _counts(container.id, mounted=mounted)


def _counts(container: str, *, mounted: bool) -> bool:
    # A pod is asked for by its owner, and one that waits for its node was never used.
    return mounted or is_pod(container) or memory.has_used(container)


def _candidates(containers: Iterable[ContainerSummary]) -> list[Candidate]:
    found = [
        Candidate(
            one.id,
            folder_of(one.labels),
            host_spelling(one.labels.get(CONFIG_FILE, "")),
            one.running,
            one.created,
            mounts_of(folder_of(one.labels), (str(mount.get("Source")) for mount in one.mounts)),
        )
        for one in containers
    ]
    return [one for one in found if _counts(one.id, mounted=one.mounted)]


def containers_of(engine: Engine, folder: str, config_file: str | None = None) -> tuple[ContainerSummary, ...]:
    """Return the dev containers of exactly this folder, in whatever form their labels spell it, newest first.

    With `config_file`, those of this devcontainer.json alone.
    """
    return tuple(
        one for one in labelled(engine, folder) if config_file in {None, host_spelling(one.labels.get(CONFIG_FILE, ""))}
    )


def labelled(engine: Engine, folder: str) -> tuple[ContainerSummary, ...]:
    """Return the dev containers whose label is exactly this folder, newest first.

    The engine is asked for these alone, so that others cost nothing. Only in a WSL distribution are labels spelled in
    another way, too.
    """
    if "WSL_DISTRO_NAME" not in engine.environ:
        return engine.containers({LOCAL_FOLDER: folder})
    return tuple(one for one in engine.containers({LOCAL_FOLDER: None}) if folder_of(one.labels) == folder)


def known_as(engine: Engine, folder: Path) -> Path:
    """Return the name by which `folder` is known: another one where a symlink leads from one to the other.

    To the other tools, which compare labels as text, a checkout and a symlink to it are two workspaces. For devbox they
    are one, with one container and one build volume, and it is called what it was called first: by a container's label,
    else by what devbox remembers.
    """
    if labelled(engine, str(folder)):
        return folder
    names = [folder_of(one.labels) for one in engine.containers({LOCAL_FOLDER: None})]
    remembered = [one.path for one in memory.known()]
    real = os.path.realpath(folder)
    for name in (*names, *([] if str(folder) in remembered else remembered)):
        if os.path.realpath(name) == real:
            return Path(name)
    return folder


def is_for_one_command(engine: Engine, labels: Mapping[str, str], image: str) -> bool:
    """Tell whether devbox made a container for one command, by its labels: as a helper, or for `devbox run`.

    What its `image` says counts for nothing: an image can carry any label. A dev container is none of these.
    """
    if LOCAL_FOLDER in labels or not {HELPER, ONE_SHOT} & labels.keys():
        return False
    said = ((engine.image(image) or {}).get("Config") or {}).get("Labels") or {}
    return any(name in labels and name not in said for name in (HELPER, ONE_SHOT))
