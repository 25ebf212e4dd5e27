"""A checkout whose engine is on another machine: whether that sees it, and the volume that has its copy there."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devbox.devcontainer.identity import CA_BUNDLE, volume_name
from devbox.engine.exec import Exec
from devbox.engine.spec import Mount
from devbox.errors import ContractError, EngineError
from devbox.facts.sight import sees
from devbox.paths import state_dir

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from devbox.devcontainer.jsonc import JSON
    from devbox.devcontainer.model import Contract
    from devbox.engine.docker import Engine

# The label of a container that has a copy: where it lies, for the volume may be mounted above it.
COPY = "devbox.copy"
_KIND = "source"
_PUT = 'umask 022; mkdir -p "${1%/*}" && cat > "$1.new" && mv "$1.new" "$1"'


def is_seen(engine: Engine, workspace: Path) -> bool:
    """Tell whether containers of the engine can mount the checkout.

    Where an engine does not say, one with a socket on this machine does. Raises EngineError where it does not answer.
    """
    if engine.is_cluster:
        return False
    seen = sees(engine, workspace)
    return engine.address.is_here if seen is None else seen


def placed(contract: Contract) -> Contract:
    """Return the contract of a checkout that its engine does not see: a volume over there has its copy.

    A contract that mounts no folder of this machine as its workspace stays as it is. git's folders stay here: the copy
    has a repository of its own.
    """
    mount = Mount.parse(contract.workspace_mount) if contract.workspace_mount else None
    if mount is None or mount.type != "bind":
        return contract
    root = _within(contract.workspace, mount.source or "", mount.target)
    target = mount.target
    if root is None or not f"{contract.workspace_folder}/".startswith(f"{target.rstrip('/')}/"):
        root = target = contract.workspace_folder
    # Nothing of the image's gets into it.
    copy = Mount("volume", target, volume_of(contract.workspace), options=(("volume-nocopy", "true"),))
    return replace(contract, workspace_mount=copy.csv(), extra_mounts=(), elsewhere=root)


def placed_service(contract: Contract, config: JSON, service: str) -> Contract:
    """Return the contract of such a checkout whose container is a service of a compose project.

    `config` is the project as docker compose resolved it. One that mounts no checkout stays as it is. Raises
    ContractError where only another service mounts it, by which it is not brought, and as `project_there` does.
    """
    project_there(config, contract.workspace)
    binds = [
        (name, item)
        for name, one in config["services"].items()
        for item in one.get("volumes") or ()
        if item.get("type") == "bind"
    ]
    found = [(name, _within(contract.workspace, item["source"], item["target"])) for name, item in binds]
    roots = [(name, root) for name, root in found if root is not None]
    if not roots:
        return contract
    root = next((root for name, root in roots if name == service), None)
    if root is None:
        raise ContractError(
            f"the service {roots[0][0]} mounts {contract.workspace}, and the engine is on another machine: what brings "
            f"it there works in the service {service}, which does not mount it",
            hint=f"give {service} that volume, too",
        )
    bundles = {item["source"] for name, item in binds if name == service and _is_bundle(item)}
    mounts = tuple(Mount("bind", CA_BUNDLE, one, readonly=True).csv() for one in bundles)
    return replace(contract, elsewhere=root, extra_mounts=mounts)


def project_there(config: JSON, workspace: Path) -> JSON:
    """Return a compose project, as docker compose resolved it, for an engine that does not see its checkout.

    The copy is mounted where the checkout was. What devbox mounts of this machine alone is left out, and other folders
    are the engine's machine's own, which are not made there. Raises ContractError for a part of the checkout.
    """
    services = {}
    for name, service in config["services"].items():
        for kind in ("configs", "secrets"):
            for item in service.get(kind) or ():
                file = ((config.get(kind) or {}).get(item["source"]) or {}).get("file")
                if file:
                    raise _stays_here(name, file)
        there = [_there(name, item, workspace) for item in service.get("volumes") or ()]
        services[name] = {**service, "volumes": [one for one in there if one]} if there else service
    named = {volume: {"name": volume} for volume in (volume_of(workspace), _files(workspace))}
    used = {item.get("source") for one in services.values() for item in one.get("volumes") or ()}
    volumes = {**(config.get("volumes") or {}), **{key: value for key, value in named.items() if key in used}}
    return {**config, "services": services, **({"volumes": volumes} if volumes else {})}


def _there(service: str, item: JSON, workspace: Path) -> JSON | None:
    """Return a volume of a service as a container elsewhere can have it, None for one that it needs not."""
    if item.get("type") != "bind":
        return item
    source = str(item["source"])
    if _within(workspace, source, item["target"]) is not None:
        only = {"read_only": True} if item.get("read_only") else {}
        nocopy = {"nocopy": True}
        return {"type": "volume", "source": volume_of(workspace), "target": item["target"], "volume": nocopy, **only}
    if _is_bundle(item):
        # It is put there as for any other container; the mount of its folder is devbox's own.
        return None
    if _is_of_this_machine(Path(source)):
        return None
    if Path(source).is_relative_to(workspace) or (Path(source) / ".git").exists():
        raise _stays_here(service, source)
    return {**item, "bind": {**(item.get("bind") or {}), "create_host_path": False}}


def _stays_here(service: str, path: str) -> ContractError:
    return ContractError(
        f"the service {service} mounts {path}, which is of this machine, and the engine is on another one: only the "
        "checkout as a whole is brought there",
        hint="mount the whole checkout and use the path in it; or COPY it in the service's Dockerfile",
    )


def _within(workspace: Path, source: str, target: str) -> str | None:
    """Return where the workspace lies inside, if `source`, mounted at `target`, is it or the folder that it is in."""
    here, mounted = os.path.realpath(workspace), os.path.realpath(source.replace("$$", "$"))
    above = os.path.dirname(here)  # noqa: PTH120  # text
    if mounted == here:
        return target
    return f"{target.rstrip('/')}/{os.path.basename(here)}" if mounted == above != "/" else None  # noqa: PTH119


def _is_bundle(item: JSON) -> bool:
    return bool(item.get("target") == CA_BUNDLE)


def _is_of_this_machine(source: Path) -> bool:
    """Tell whether a folder is one that devbox alone mounts: the way to the ssh-agent, or git's."""
    return source.is_relative_to(state_dir()) or (source / "objects").is_dir()


def _files(workspace: Path) -> str:
    return volume_name(os.getuid(), "files", workspace)


def volume_of(workspace: Path) -> str:
    """Return the name of the volume that has the copy of a checkout."""
    return volume_name(os.getuid(), _KIND, workspace)


def copied_at(inspected: Mapping[str, Any]) -> str:
    """Return where a container has a copy of its checkout, by its inspection; empty where it has none."""
    mounts = inspected.get("Mounts") or ()
    top = next((str(one["Destination"]) for one in mounts if of_copy(str(one.get("Name") or ""))), "")
    said = str((inspected["Config"].get("Labels") or {}).get(COPY) or "")
    return said if top and said.startswith(f"{top.rstrip('/')}/") else top


def of_copy(volume: str) -> bool:
    """Tell whether a volume has a copy of a checkout, by its name."""
    return volume.startswith(volume_name(os.getuid(), f"{_KIND}-"))


def mounts_there(contract: Contract, mounts: Iterable[Mount]) -> Iterator[Mount]:
    """Yield the mounts of a contract that a container elsewhere can have: other folders are its machine's own.

    The CA bundle is put into a volume. What devbox mounts of this machine alone is left out: the way to the ssh-agent,
    and git's folders. Raises ContractError for a further checkout.
    """
    for mount in mounts:
        source = Path(mount.source or "")
        if mount.target == CA_BUNDLE:
            yield Mount("volume", str(Path(CA_BUNDLE).parent), _files(contract.workspace))
        elif mount.type != "bind" or not _is_of_this_machine(source):
            if mount.type == "bind" and (source / ".git").exists():
                raise ContractError(
                    f"{source} is a checkout of this machine, and the engine is on another one: only the workspace "
                    "itself is brought there",
                    hint="devbox up --repositories none",
                )
            yield mount


def carry(engine: Engine, container: str, mounts: Iterable[str]) -> None:
    """Put the CA bundle, where a contract mounts one, into its running container. Raises EngineError."""
    for mount in map(Mount.parse, mounts):
        if mount.target == CA_BUNDLE and mount.type == "bind":
            text = Path(mount.source or "").read_text(encoding="utf-8")
            # A pod has one user, whose the folder is.
            asked = Exec(container, ("sh", "-c", _PUT, "sh", CA_BUNDLE), user="0")
            done = engine.execute(asked, input_text=text)
            if not done.ok:
                raise EngineError("the CA bundle could not be put into the container", detail=done.stderr)
