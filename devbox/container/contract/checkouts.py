"""Which further checkouts a workspace has: the settings name their folders, and their files show what they are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from devbox import config
from devbox.agent.volume import REPOSITORIES
from devbox.container import which
from devbox.devcontainer.writing.repositories import Repository
from devbox.errors import UsageError
from devbox.facts import checkout
from devbox.frameworks.load import load

if TYPE_CHECKING:
    from devbox.config import Settings
    from devbox.container.target import Target
    from devbox.devcontainer.record import Record
    from devbox.frameworks.model import Framework


def chosen(framework: Framework, workspace: Path, settings: Settings) -> tuple[Repository, ...]:
    """Return the further checkouts that the settings name. Raises UsageError for one that cannot be mounted."""
    found: dict[str, Repository] = {}
    for path in settings.repositories:
        one = _repository(Path(os.path.normpath(path)), settings.origin("repositories"))
        if one.checkout.path == workspace:
            raise UsageError(f"{path} is the workspace itself", hint="devbox up --repositories none")
        taken = {framework.workspace_path: str(workspace)} | {it.folder: str(it.checkout.path) for it in found.values()}
        if one.folder in taken:
            raise UsageError(
                f"{path} and {taken[one.folder]} are both {one.framework}, and would lie at {one.folder}",
                hint="a dev container each: devbox up in either folder",
            )
        found[one.name] = one
    return tuple(found.values())


def _repository(path: Path, origin: str) -> Repository:
    if not path.is_dir():
        raise UsageError(f"there is no folder {path} ({origin})", hint="devbox up --repositories PATH,…   # or none")
    # What it is its own files say, and not the settings for the workspace.
    found = which.frameworks(path, config.load(path, environ={}, flags={}, personal=False).framework)
    if not found:
        raise UsageError(f"{path} looks like none of the frameworks that devbox knows", hint="devbox frameworks list")
    if len(found) > 1:
        doubt = which.several(path, found)
        raise UsageError(doubt.message, hint=f'framework = "{found[0].name}"   # in {path}/devbox.toml')
    known = load(found[0].name, found[0].variant, path)
    facts = checkout.gather(path)
    return Repository(
        known.name, facts, known.name, known.variant, known.workspace_path, python=known.python is not None
    )


def located(target: Target, record: Record, name: str) -> Target:
    """Return the way to the further checkout `name` of a dev container; `record` is its contract's.

    Its build trees lie in a folder of their own in the same volume. Raises UsageError, with the choices, where there is
    none of the name.
    """
    entry = record.repositories.get(name)
    if entry is None:
        choices = ", ".join(record.repositories) or "none"
        raise UsageError(
            f"the dev container of {target.workspace} has no repository called '{name}' (it has: {choices})",
            hint="devbox up --repositories PATH",
        )
    volume = f"{target.volume}/{REPOSITORIES}/{name}"
    return target._replace(workspace=Path(entry.path), folder=entry.folder, volume=volume)
