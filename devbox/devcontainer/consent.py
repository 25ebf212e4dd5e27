"""What a checkout's own contract reaches on the host, and whether the person has agreed to it.

Agreement holds for one content in one workspace and is kept outside the checkout, where nothing in the checkout, and no
container that mounts it, can give it. What devbox itself writes is agreed to by being written.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devbox.devcontainer.merge import mount_value
from devbox.engine.spec import Mount
from devbox.errors import ContractError, RefusedError
from devbox.files import write_atomically
from devbox.paths import state_dir

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from devbox.devcontainer.model import JSON, Contract

_SOCKETS = ("docker.sock", "containerd.sock", "podman.sock", "buildkitd.sock")
_SECRET = re.compile(r"TOKEN|SECRET|PASSW|CREDENTIAL|AUTH|(?:^|_)(?:API|ACCESS|PRIVATE)?_?KEY(?:_|$|S$)", re.IGNORECASE)
_HOST_VARIABLE = re.compile(r"\$\{(?:local)?[eE]nv:([^:}]+)")
# Options of `docker run` that stay within the container. Every other one is shown: a list of the dangerous ones would
# never be complete.
_HARMLESS = frozenset({
    "--add-host", "--cpus", "--cpuset-cpus", "--cpuset-mems", "--dns", "--dns-search", "--entrypoint", "--gpus",
    "--group-add", "--hostname", "-h", "--init", "--interactive", "-i", "-it", "--label", "-l", "--memory", "-m",
    "--memory-swap", "--name", "--pids-limit", "--platform", "--publish", "-p", "--pull", "--read-only", "--restart",
    "--rm", "--shm-size", "--stop-signal", "--stop-timeout", "--tmpfs", "--tty", "-t", "--ulimit", "--user", "-u",
    "--workdir", "-w",
})  # fmt: skip
# Harmless, unless the value is the host's, or another container's.
_NAMESPACES = frozenset({"--network", "--net", "--pid", "--ipc", "--uts", "--userns"})
_MOUNTING = frozenset({"--mount", "--volume", "-v"})


def host_reach(contract: Contract, image_metadata: Sequence[JSON] = ()) -> tuple[str, ...]:
    """Return, one sentence each, what the contract and its image's metadata entries reach outside the container.

    Nothing is left out because devbox would write the same: a file in a checkout can claim to be devbox's.
    """
    config = contract.config
    found = [*_host_commands(contract), *_build(contract)]
    for entry in (*image_metadata, config):
        found += _entry(entry, contract.workspace)
    if "workspaceMount" in config:
        found += _mount(config["workspaceMount"], contract.workspace)
    found += _run_args(config.get("runArgs", []), contract.workspace)
    found += [f"reads the host's variable {name}" for name in _secret_names((*image_metadata, contract.raw))]
    return tuple(dict.fromkeys(found))


def granted(contract: Contract, image_metadata: Sequence[JSON] = ()) -> bool:
    """Whether the person agreed to this content in this workspace, or there is nothing to agree to."""
    reach = host_reach(contract, image_metadata)
    return not reach or _record(contract, reach).is_file()


def grant(contract: Contract, image_metadata: Sequence[JSON] = ()) -> None:
    """Remember that the person agreed. Raises RefusedError if the state directory cannot be written."""
    reach = host_reach(contract, image_metadata)
    record = _record(contract, reach)
    content = {"workspace": str(contract.workspace), "contract": str(contract.path), "reach": list(reach)}
    try:
        write_atomically(record, json.dumps(content, indent=2) + "\n", mode=0o600)
    except OSError as error:
        raise RefusedError(
            f"the consent cannot be kept in {record.parent}: {error.strerror}", hint="set DEVBOX_STATE_DIR"
        ) from None


def _record(contract: Contract, reach: tuple[str, ...]) -> Path:
    content = [str(contract.workspace), str(contract.path), contract.raw, reach]
    # A folder that is reached through a symlink is the same one.
    real = os.path.realpath(contract.workspace)
    text = json.dumps(content, sort_keys=True).replace(_inner(contract.workspace), _inner(real))
    digest = hashlib.sha256(text.encode()).hexdigest()
    return state_dir() / "consent" / f"{digest[:32]}.json"


def _inner(path: Path | str) -> str:
    """Return a path as it stands within a JSON string."""
    return json.dumps(str(path))[1:-1]


def _host_commands(contract: Contract) -> Iterator[str]:
    command = contract.raw.get("initializeCommand")
    if command:
        text = command if isinstance(command, str) else json.dumps(command, ensure_ascii=False)
        yield f"runs on the host, at each start: {text}"
    if contract.kind == "compose":
        yield "starts the services of its compose file, with whatever that says"


def _build(contract: Contract) -> Iterator[str]:
    if contract.build is None:
        return
    for option in contract.build.options:
        yield f"passes to docker build: {option}"
    for what, path in (("Dockerfile", contract.build.dockerfile), ("build context", contract.build.context)):
        if not _inside(path, contract.workspace):
            yield f"takes the {what} {path} from outside the workspace"


def _entry(entry: JSON, workspace: Path) -> Iterator[str]:
    if entry.get("privileged"):
        yield "runs privileged: root in the container is root on the host"
    for capability in entry.get("capAdd") or ():
        yield f"has the capability {capability}"
    for option in entry.get("securityOpt") or ():
        yield f"sets the security option {option}"
    for mount in entry.get("mounts") or ():
        yield from _mount(mount_value(mount), workspace)


def _mount(value: str, workspace: Path) -> Iterator[str]:
    if not value:
        return
    try:
        mount = Mount.parse(value)
    except (ContractError, ValueError):
        yield f"mounts {value}"
        return
    if any(key == "volume-opt" for key, _ in mount.options):
        yield f"mounts a volume with driver options, which can be any folder of the host: {value}"
    elif mount.type == "bind":
        yield from _source(mount.source or "", mount.target, workspace)


def _source(source: str, target: str, workspace: Path) -> Iterator[str]:
    if source.endswith(_SOCKETS):
        yield f"mounts the container engine's socket {source}: that is root on the host"
    elif not _inside(Path(workspace, source), workspace):
        yield f"mounts {source} of the host at {target}"


def _run_args(arguments: Sequence[str], workspace: Path) -> Iterator[str]:
    index = 0
    while index < len(arguments):
        flag, equals, value = arguments[index].partition("=")
        index += 1
        if not equals and index < len(arguments) and not arguments[index].startswith("-"):
            value = arguments[index]
            index += 1
        yield from _run_arg(flag, value, workspace)


def _run_arg(flag: str, value: str, workspace: Path) -> Iterator[str]:
    if flag in _NAMESPACES:
        if value == "host" or value.startswith("container:") or not value:
            yield f"passes to docker run: {flag}={value}"
    elif flag == "--mount":
        yield from _mount(value, workspace)
    elif flag in _MOUNTING:
        source, colon, rest = value.partition(":")
        if colon and source.startswith((".", "/", "~")):
            yield from _source(source, rest.partition(":")[0], workspace)
    elif flag in {"--env", "-e"}:
        if "=" not in value and _SECRET.search(value):
            yield f"reads the host's variable {value}"
    elif flag not in _HARMLESS:
        yield f"passes to docker run: {flag}{'=' if value else ''}{value}"


def _inside(path: Path, workspace: Path) -> bool:
    """Whether `path` lies in the workspace, symlinks followed: the engine follows them too."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(workspace))


def is_secret_name(name: str) -> bool:
    """Whether a variable of this name looks like a secret."""
    return bool(_SECRET.search(name))


def _secret_names(value: Any) -> Iterator[str]:
    """Yield the names of host variables in any string of `value` that look like secrets."""
    if isinstance(value, str):
        yield from (name for name in _HOST_VARIABLE.findall(value) if _SECRET.search(name))
    elif isinstance(value, dict):
        for item in value.values():
            yield from _secret_names(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _secret_names(item)
