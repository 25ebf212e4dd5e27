"""What a checkout's own contract reaches on the host, and whether the person has agreed to it.

Agreement holds for one content in one workspace and is kept outside the checkout, where nothing in the checkout, and no
container that mounts it, can give it. What devbox itself writes is agreed to by being written, and so is what the
person makes of it without reaching further.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devbox.errors import ContractError, RefusedError
from devbox.facts.git import git
from devbox.files import write_atomically
from devbox.masking import is_secret_name
from devbox.paths import state_dir

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from devbox.devcontainer.jsonc import JSON
    from devbox.devcontainer.model import Contract

_SOCKETS = ("docker.sock", "containerd.sock", "podman.sock", "buildkitd.sock")
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


# What of a compose service stays within its container and its project, or is looked at by itself. Every other key is
# shown: as above.
_HARMLESS_KEYS = frozenset({
    "annotations", "attach", "blkio_config", "build", "command", "configs", "container_name", "cpu_count",
    "cpu_percent", "cpu_period", "cpu_quota", "cpu_shares", "cpus", "cpuset", "depends_on", "deploy", "dns", "dns_opt",
    "dns_search", "domainname", "entrypoint", "env_file", "environment", "expose", "external_links", "extra_hosts",
    "gpus", "group_add", "healthcheck", "hostname", "image", "init", "labels", "links", "logging", "mac_address",
    "mem_limit", "mem_reservation", "mem_swappiness", "memswap_limit", "networks", "oom_kill_disable",
    "oom_score_adj", "pids_limit", "platform", "ports", "profiles", "pull_policy", "read_only", "restart", "scale",
    "secrets", "shm_size", "stdin_open", "stop_grace_period", "stop_signal", "storage_opt", "sysctls", "tmpfs", "tty",
    "ulimits", "user", "working_dir",
})  # fmt: skip
_NAMESPACE_KEYS = frozenset({"network_mode", "pid", "ipc", "uts", "userns_mode", "cgroup"})
_BUILD_REACH = frozenset({"privileged", "network", "ssh", "entitlements"})


def host_reach(
    contract: Contract, image_metadata: Sequence[JSON] = (), services: Sequence[str] = ()
) -> tuple[str, ...]:
    """Return, one sentence each, what the contract and its image's metadata entries reach outside the container.

    `services` are the sentences of `compose_reach` for a project whose files are known by now. Nothing is left out
    because devbox would write the same: a file in a checkout can claim to be devbox's.
    """
    config = contract.config
    found = [*_host_commands(contract), *_build(contract)]
    for entry in (*image_metadata, config):
        found += _entry(entry, contract.workspace)
    if "workspaceMount" in config:
        found += _mount(config["workspaceMount"], contract.workspace)
    found += _run_args(config.get("runArgs", []), contract.workspace)
    found += [f"reads the host's variable {name}" for name in secret_names((*image_metadata, contract.raw))]
    found += [f"gives the host's variable {name} to lifecycle commands" for name in config.get("secrets") or {}]
    return tuple(dict.fromkeys([*found, *services]))


def granted(contract: Contract, image_metadata: Sequence[JSON] = (), services: Sequence[str] = ()) -> bool:
    """Whether the person agreed to this content in this workspace, or there is nothing to agree to."""
    reach = host_reach(contract, image_metadata, services)
    return not reach or _record(contract, [contract.raw, reach]).is_file()


def grant(contract: Contract, image_metadata: Sequence[JSON] = (), services: Sequence[str] = ()) -> None:
    """Remember that the person agreed. Raises RefusedError if the state directory cannot be written."""
    reach = host_reach(contract, image_metadata, services)
    _keep(_record(contract, [contract.raw, reach]), contract, reach)


def wrote(contract: Contract, services: Sequence[str] = ()) -> None:
    """Remember that devbox itself has written this contract, which is consent. Raises RefusedError as `grant` does."""
    grant(contract, services=services)
    _keep(_record(contract, "written"), contract, host_reach(contract, services=services))
    _keep_asked(contract)


def as_written(contract: Contract, image_metadata: Sequence[JSON] = (), services: Sequence[str] = ()) -> bool:
    """Whether the contract is what devbox wrote in this place, edited since, and reaches nothing that that did not.

    One that git tracks is the repository's: a branch could carry another in its place.
    """
    try:
        text = _record(contract, "written").read_text(encoding="utf-8")
        before = json.loads(_unlinked(contract, text))["reach"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    reach = json.loads(_unlinked(contract, json.dumps(host_reach(contract, image_metadata, services))))
    if not set(reach) <= set(before):
        return False
    listed = git(contract.path.parent, "ls-files", "--error-unmatch", "--", contract.path.name)
    return listed is None or not listed.ok


def asked_for(workspace: Path, framework: str) -> dict[str, str]:
    """Return the choices that the contract records which devbox wrote last for `framework` in this workspace.

    What a contract itself records may have been written by anybody who can write into the checkout.
    """
    try:
        found = json.loads(_asked_record(workspace, framework).read_text(encoding="utf-8"))["choices"]
        return {str(key): str(value) for key, value in found.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _keep_asked(contract: Contract) -> None:
    record = contract.record
    if record.framework is not None and record.shared is None:
        path = _asked_record(contract.workspace, record.framework)
        content = {"workspace": str(contract.workspace), "choices": dict(record.choices)}
        write_atomically(path, json.dumps(content), mode=0o600)


def _asked_record(workspace: Path, framework: str) -> Path:
    text = json.dumps([os.path.realpath(workspace), framework])
    return state_dir() / "consent" / f"asked-{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"


def _keep(record: Path, contract: Contract, reach: tuple[str, ...]) -> None:
    content = {"workspace": str(contract.workspace), "contract": str(contract.path), "reach": list(reach)}
    try:
        write_atomically(record, json.dumps(content, indent=2) + "\n", mode=0o600)
    except OSError as error:
        raise RefusedError(
            f"the consent cannot be kept in {record.parent}: {error.strerror}", hint="set DEVBOX_STATE_DIR"
        ) from None


def _record(contract: Contract, what: Any) -> Path:
    text = _unlinked(contract, json.dumps([str(contract.workspace), str(contract.path), what], sort_keys=True))
    digest = hashlib.sha256(text.encode()).hexdigest()
    return state_dir() / "consent" / f"{digest[:32]}.json"


def _unlinked(contract: Contract, text: str) -> str:
    """Return JSON text with the workspace's real path: a folder that is reached through a symlink is the same one."""
    return text.replace(_inner(contract.workspace), _inner(os.path.realpath(contract.workspace)))


def _inner(path: Path | str) -> str:
    """Return a path as it stands within a JSON string."""
    return json.dumps(str(path))[1:-1]


def _host_commands(contract: Contract) -> Iterator[str]:
    command = contract.raw.get("initializeCommand")
    if command:
        text = command if isinstance(command, str) else json.dumps(command, ensure_ascii=False)
        yield f"runs on the host, at each start: {text}"


def _build(contract: Contract) -> Iterator[str]:
    if contract.build is None:
        return
    for option in contract.build.options:
        yield f"passes to docker build: {option}"
    for what, path in (("Dockerfile", contract.build.dockerfile), ("build context", contract.build.context)):
        if not _inside(path, contract.workspace):
            yield f"takes the {what} {path} from outside the workspace"


def compose_reach(config: JSON, workspace: Path) -> tuple[str, ...]:
    """Return, one sentence each, what the services of a resolved compose configuration reach outside their containers.

    `config` is what `docker compose config` says. Keys that are not known to be harmless are told as they are.
    """
    found: list[str] = []
    volumes = config.get("volumes") or {}
    for name, service in sorted((config.get("services") or {}).items()):
        found += [f"the service {name} {sentence}" for sentence in _service(service, volumes, workspace)]
    for kind in ("secrets", "configs"):
        for name, item in sorted((config.get(kind) or {}).items()):
            if item.get("environment"):
                found.append(f"a service reads the host's variable {item['environment']}")
            file = item.get("file")
            if file and not _inside(Path(file), workspace):
                found.append(f"a service reads {file} of the host, as its {kind.removesuffix('s')} {name}")
    return tuple(dict.fromkeys(found))


def _service(service: JSON, volumes: JSON, workspace: Path) -> Iterator[str]:
    camel = {"privileged": service.get("privileged"), "capAdd": service.get("cap_add")}
    yield from _entry({**camel, "securityOpt": service.get("security_opt")}, workspace)
    for mount in service.get("volumes") or ():
        source, target = str(mount.get("source") or ""), str(mount.get("target"))
        options = (volumes.get(source) or {}).get("driver_opts")
        if mount.get("type") == "bind":
            yield from _source(source, target, workspace)
        elif options:
            shown = ", ".join(f"{key}={value}" for key, value in sorted(options.items()))
            yield f"mounts a volume with driver options, which can be any folder of the host: {shown}"
    yield from _service_build(service.get("build") or {}, workspace)
    for key, value in sorted(service.items()):
        if key in _NAMESPACE_KEYS:
            # Of another service of the project is as good as its own.
            if value == "host" or str(value).startswith("container:"):
                yield f"sets {key}: {value}"
        elif value and key not in _HARMLESS_KEYS | {"privileged", "cap_add", "security_opt", "volumes", "cap_drop"}:
            yield f"sets {key}: {_value(value)}"


def _service_build(build: JSON, workspace: Path) -> Iterator[str]:
    for key in sorted(_BUILD_REACH & build.keys()):
        if build[key] and (key != "network" or build[key] == "host"):
            yield f"is built with {key}: {_value(build[key])}"
    context, dockerfile = str(build.get("context", "")), str(build.get("dockerfile", ""))
    if context.startswith("/"):
        for what, path in (("build context", Path(context)), ("Dockerfile", Path(context, dockerfile))):
            if not _inside(path, workspace):
                yield f"takes the {what} {path} from outside the workspace"


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _entry(entry: JSON, workspace: Path) -> Iterator[str]:
    if entry.get("privileged"):
        yield "runs privileged: root in the container is root on the host"
    for capability in entry.get("capAdd") or ():
        yield f"has the capability {capability}"
    for option in entry.get("securityOpt") or ():
        yield f"sets the security option {option}"
    mounts = entry.get("mounts")
    if not mounts:
        return
    # A warm build asks this module only which names are secret.
    from devbox.devcontainer.merge import mount_value

    for mount in mounts:
        yield from _mount(mount_value(mount), workspace)


def _mount(value: str, workspace: Path) -> Iterator[str]:
    from devbox.engine.spec import Mount

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
        if "=" not in value and is_secret_name(value):
            yield f"reads the host's variable {value}"
    elif flag not in _HARMLESS:
        yield f"passes to docker run: {flag}{'=' if value else ''}{value}"


def _inside(path: Path, workspace: Path) -> bool:
    """Whether `path` lies in the workspace, symlinks followed: the engine follows them too."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(workspace))


def secret_names(value: Any) -> Iterator[str]:
    """Yield the names of the host's variables in any string of the JSON `value` that look like secrets."""
    if isinstance(value, str):
        yield from (name for name in _HOST_VARIABLE.findall(value) if is_secret_name(name))
    elif isinstance(value, dict):
        for item in value.values():
            yield from secret_names(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from secret_names(item)
