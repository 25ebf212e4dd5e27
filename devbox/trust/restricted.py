"""A first look at a checkout that nobody has judged yet: what reaches out of its container is left out, unasked."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from devbox.devcontainer.merge import mount_value
from devbox.engine.spec import Mount
from devbox.errors import ContractError
from devbox.trust.containers import of_mount
from devbox.trust.contracts import secret_names
from devbox.trust.reach import is_inside

if TYPE_CHECKING:
    from pathlib import Path

    from devbox.devcontainer.jsonc import JSON
    from devbox.devcontainer.model import Contract

# What of a contract or of an image's metadata takes effect inside the container, and nowhere else.
_INSIDE = frozenset({
    "name", "image", "build", "dockerFile", "context", "features", "overrideFeatureInstallOrder", "containerEnv",
    "remoteEnv", "containerUser", "remoteUser", "updateRemoteUserUID", "userEnvProbe", "overrideCommand", "init",
    "workspaceFolder", "onCreateCommand", "updateContentCommand", "postCreateCommand", "postStartCommand",
    "postAttachCommand", "waitFor", "customizations", "entrypoint", "id",
})  # fmt: skip
_NO_NETWORK = ("--network=none",)


def restricted(contract: Contract) -> Contract:
    """Return `contract` without what reaches out of its container, and without a network.

    Raises ContractError for one that docker compose starts, or whose image is built from elsewhere.
    """
    if contract.kind == "compose":
        raise ContractError(
            f"{contract.path} is of services, which need a network among each other",
            hint="devbox up --dry-run   # shows what they reach",
        )
    build = contract.build
    if build is not None:
        if not all(is_inside(path, contract.workspace) for path in (build.dockerfile, build.context)):
            raise ContractError(f"{contract.path} builds its image from outside the workspace")
        build = replace(build, options=())
    config = inside(contract.config, contract.raw, contract.workspace)
    return replace(
        contract,
        raw={**inside(contract.raw, contract.raw, contract.workspace), "runArgs": list(_NO_NETWORK)},
        config={**config, "runArgs": list(_NO_NETWORK)},
        build=build,
        overlays=(),
        workspace_mount=f"type=bind,source={contract.workspace},target={contract.workspace_folder}"
        if "workspaceMount" in contract.config
        else contract.workspace_mount,
    )


def inside(entry: JSON, written: JSON, workspace: Path) -> JSON:
    """Return what of a contract, or of an entry of an image's metadata, stays inside. `written` has its variables."""
    kept = {key: value for key, value in entry.items() if key in _INSIDE}
    for key in ("containerEnv", "remoteEnv"):
        if key in kept:
            taken = {name for name, value in (written.get(key) or {}).items() if any(secret_names(value))}
            kept[key] = {name: value for name, value in kept[key].items() if name not in taken}
    mounts = [mount for mount in entry.get("mounts") or () if _stays(mount, workspace)]
    return {**kept, **({"mounts": mounts} if mounts else {})}


def _stays(mount: str | JSON, workspace: Path) -> bool:

    try:
        return not any(of_mount(Mount.parse(mount_value(mount)).beside(str(workspace)), workspace))
    except ContractError:
        return False
