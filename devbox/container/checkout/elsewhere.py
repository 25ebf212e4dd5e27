"""A checkout whose engine is on another machine: whether that sees it, and the volume that has its copy there."""

from __future__ import annotations

import os
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devbox.devcontainer.identity import volume_name
from devbox.devcontainer.writing.draft import CA_BUNDLE
from devbox.engine.exec import Exec
from devbox.engine.spec import Mount
from devbox.errors import ContractError, EngineError, RefusedError
from devbox.facts.sight import sees
from devbox.paths import state_dir

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from devbox.devcontainer.model import Contract
    from devbox.engine.docker import Engine

_KIND = "source"
_PUT = 'umask 022; mkdir -p "${1%/*}" && cat > "$1.new" && mv "$1.new" "$1"'


def is_seen(engine: Engine, workspace: Path) -> bool:
    """Tell whether containers of the engine can mount the checkout.

    Where an engine does not say, one with a socket on this machine does. Raises EngineError where it does not answer.
    """
    seen = sees(engine, workspace)
    return engine.address.is_here if seen is None else seen


def must_be_seen(engine: Engine, workspace: Path, what: str) -> None:
    """See that the engine can mount the checkout, for `what` cannot do without. Raises RefusedError.

    A folder of the same name over there would be another one: builds would take its files, and nobody would notice.
    """
    if not is_seen(engine, workspace):
        raise RefusedError(
            f"the Docker engine {engine.address} does not see {workspace}, which {what} mounts",
            hint=f"docker context use default; devbox up {shlex.quote(str(workspace))}   # or run devbox over there",
        )


def placed(contract: Contract) -> Contract:
    """Return the contract of a checkout that its engine does not see: a volume over there has its copy.

    A contract that mounts no folder of this machine as its workspace stays as it is. git's folders stay here: the copy
    has a repository of its own.
    """
    mount = Mount.parse(contract.workspace_mount) if contract.workspace_mount else None
    if mount is None or mount.type != "bind":
        return contract
    volume = volume_of(contract.workspace)
    # Nothing of the image's gets into it.
    copy = Mount("volume", contract.workspace_folder, volume, options=(("volume-nocopy", "true"),))
    return replace(contract, workspace_mount=copy.csv(), extra_mounts=(), elsewhere=True)


def volume_of(workspace: Path) -> str:
    """Return the name of the volume that has the copy of a checkout."""
    return volume_name(os.getuid(), _KIND, workspace)


def is_copy(inspected: Mapping[str, Any]) -> bool:
    """Tell whether a container has a copy of its checkout, by its inspection."""
    return any(of_copy(str(mount.get("Name") or "")) for mount in inspected.get("Mounts") or ())


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
            volume = volume_name(os.getuid(), "files", contract.workspace)
            yield Mount("volume", str(Path(CA_BUNDLE).parent), volume)
        elif mount.type != "bind" or not (source.is_relative_to(state_dir()) or (source / "objects").is_dir()):
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
            asked = Exec(container, ("sh", "-c", _PUT, "sh", CA_BUNDLE), user="0")
            done = engine.execute(asked, input_text=text)
            if not done.ok:
                raise EngineError("the CA bundle could not be put into the container", detail=done.stderr)
