"""git in a worktree or a submodule, for contracts that devbox did not write."""

from __future__ import annotations

import os
import posixpath
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from devbox.engine.spec import Mount
from devbox.errors import ContractError

if TYPE_CHECKING:
    from devbox.devcontainer.model import Contract


def with_repository(contract: Contract) -> Contract:
    """Return `contract` with the mounts by which git finds the repository of a worktree or a submodule.

    The reference has this behind `--mount-git-worktree-common-dir`, for relative links alone, and moves the workspace's
    folder; here the folder stays where the contract has it. A personal contract has these mounts already, and a place
    where the contract mounts something of its own is left alone. git is only asked where `.git` is a file.
    """
    personal = contract.generated and contract.record.shared is None
    if personal or contract.workspace_mount is None:
        return contract
    folders = (contract.workspace, *contract.workspace.parents)
    top = next((folder for folder in folders if (folder / ".git").exists()), None)
    if top is None or not (top / ".git").is_file():
        return contract
    try:
        mount = Mount.parse(contract.workspace_mount)
        taken = {mount.target, *map(_target, contract.config.get("mounts", ()))}
    except ContractError:
        # The engine will say what is wrong with it.
        return contract
    # A source may lead up, as `${localWorkspaceFolder}/..` does, or be a link.
    source, real = Path(os.path.realpath(mount.source or "")), Path(os.path.realpath(top))
    if mount.source is None or not real.is_relative_to(source):
        return contract
    from devbox.devcontainer.worktree import git_mounts
    from devbox.facts.checkout import gather

    target = posixpath.join(posixpath.normpath(mount.target), *real.relative_to(source).parts)
    extra = [one.csv() for one in git_mounts(gather(top), target) if one.target not in taken]
    return replace(contract, extra_mounts=(*contract.extra_mounts, *extra))


def _target(mount: str | dict[str, str]) -> str:
    return Mount.parse(mount).target if isinstance(mount, str) else mount.get("target", "")
