"""Merge a contract with the metadata that its image carries in the label `devcontainer.metadata`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from devbox.devcontainer.identity import METADATA
from devbox.devcontainer.jsonc import unfit
from devbox.devcontainer.model import Merged
from devbox.devcontainer.properties import LIFECYCLE, usable
from devbox.devcontainer.requirements import size, without_gpus
from devbox.devcontainer.substitute import HostVariables, IdVariables, substitute
from devbox.engine.spec import Mount, csv_record
from devbox.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from devbox.devcontainer.jsonc import JSON
    from devbox.devcontainer.model import Command, Contract

# What of a devcontainer.json goes into the label, in the reference's order. Not name, runArgs, workspaceMount, build …
LABEL_PROPERTIES = (
    "onCreateCommand", "updateContentCommand", "postCreateCommand", "postStartCommand", "postAttachCommand", "waitFor",
    "customizations", "mounts", "containerEnv", "containerUser", "init", "privileged", "capAdd", "securityOpt",
    "remoteUser", "userEnvProbe", "remoteEnv", "overrideCommand", "portsAttributes", "otherPortsAttributes",
    "forwardPorts", "shutdownAction", "updateRemoteUserUID", "hostRequirements",
)  # fmt: skip


def image_metadata(labels: Mapping[str, str] | None) -> list[JSON]:
    """Return the entries of the label `devcontainer.metadata` of an image or container; none where it is broken.

    What of an entry has another type than it should have is left out.
    """
    try:
        value = json.loads((labels or {}).get(METADATA, "[]"))
    except (ValueError, RecursionError):
        return []
    if unfit(value) is not None:
        return []
    entries = value if isinstance(value, list) else [value]
    return [usable(entry) for entry in entries if isinstance(entry, dict)]


def merge(
    contract: Contract, image_metadata: Sequence[JSON], image_config: JSON, environ: Mapping[str, str] | None = None
) -> Merged:
    """Merge `contract` with its image: the label's raw entries, and `image_config`, the `.Config` of docker inspect.

    `environ` is the host's environment, for `${localEnv:…}` in the image's entries. The image's entries come first,
    so the contract has the last word. `remote_user` is resolved: the contract's, else the user that the container
    runs as.
    """
    host = HostVariables(environ or {}, str(contract.workspace), contract.workspace_folder)
    identifier = IdVariables(contract.devcontainer_id)
    varied = contract.variation
    entries = [substitute(substitute(entry, host), identifier) for entry in image_metadata]
    entries.append(_picked(contract.config))
    entries += [substitute(substitute(one.entry, host), identifier) for one in contract.overlays]
    config = contract.config
    run_args = tuple(config.get("runArgs", []))
    if contract.gpus is not None:
        run_args = without_gpus(run_args)
    run_args += tuple(word for one in contract.overlays for word in one.run_args)
    container_user = _last(entries, "containerUser", _is_set)
    override = _last(entries, "overrideCommand", _is_bool)
    remote_user = (
        _last(entries, "remoteUser", _is_set)
        or run_args_user(run_args)
        or container_user
        or image_config.get("User")
        or "root"
    )
    return Merged(
        remote_user=remote_user,
        container_user=container_user,
        container_env=tuple(_united(entries, "containerEnv").items()),
        remote_env=tuple(_united(entries, "remoteEnv").items()),
        mounts=_mounts(entries),
        run_args=run_args,
        publish=(*_publish(config.get("appPort", [])), *(port for one in contract.overlays for port in one.ports)),
        init=any(entry.get("init") for entry in entries),
        privileged=any(entry.get("privileged") for entry in entries),
        cap_add=_distinct(entries, "capAdd"),
        security_opt=_distinct(entries, "securityOpt"),
        entrypoints=tuple(entry["entrypoint"] for entry in entries if entry.get("entrypoint")),
        override_command=override is True if contract.kind == "compose" else override is not False,
        user_env_probe=_last(entries, "userEnvProbe", _is_set) or varied.probe or "loginInteractiveShell",
        update_remote_user_uid=_host_ids(_last(entries, "updateRemoteUserUID", _is_bool), varied.host_ids),
        wait_for=_last(entries, "waitFor", _is_set) or "updateContentCommand",
        hooks=_hooks(config, entries),
        host_requirements=host_requirements([entry.get("hostRequirements") or {} for entry in entries]),
        metadata=label_entries(contract, image_metadata),
    )


def label_entries(contract: Contract, image_metadata: Sequence[JSON]) -> tuple[JSON, ...]:
    """Return the label `devcontainer.metadata`: the image's raw entries, and what of `contract` goes into it."""
    own = _picked(contract.raw)
    if not contract.variation.remote_env_in_label:
        own.pop("remoteEnv", None)
    laid = (one.label() for one in contract.overlays)
    return tuple(entry for entry in (*image_metadata, own, *laid) if entry)


def run_args_user(run_args: Sequence[str]) -> str | None:
    """Return the user that `runArgs` name with `-u` or `--user`, or None. The last one counts, as for docker."""
    for index in range(len(run_args) - 1, -1, -1):
        argument = run_args[index]
        if argument in {"-u", "--user"} and index + 1 < len(run_args):
            return run_args[index + 1]
        for prefix in ("-u=", "--user="):
            if argument.startswith(prefix):
                return argument.removeprefix(prefix)
    return None


def mount_value(mount: str | JSON) -> str:
    """Return an item of `mounts` as a value of `--mount`: strings verbatim, objects in the reference's form."""
    if isinstance(mount, str):
        return mount
    source = [f"src={mount['source']}"] if mount.get("source") else []
    return csv_record([f"type={mount['type']}", *source, f"dst={mount['target']}"])


def _is_set(value: Any) -> bool:
    return bool(value)


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _host_ids(said: Any, default: str) -> bool:
    """Tell whether the remote user gets the host's ids; what `updateRemoteUserUID` says is weaker than "never"."""
    return default != "never" and (default == "on" if said is None else said)


def _picked(config: JSON) -> JSON:
    return {key: config[key] for key in LABEL_PROPERTIES if key in config}


def _last(entries: Sequence[JSON], key: str, counts: Callable[[Any], bool]) -> Any:
    return next((entry[key] for entry in reversed(entries) if counts(entry.get(key))), None)


def _united(entries: Iterable[JSON], key: str) -> dict[str, Any]:
    united: dict[str, Any] = {}
    for entry in entries:
        united.update(entry.get(key) or {})
    return united


def _distinct(entries: Iterable[JSON], key: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(item for entry in entries for item in entry.get(key) or ()))


def _mounts(entries: Iterable[JSON]) -> tuple[str, ...]:
    """Return all mounts; of those with one target the last stays, at its own place."""
    values = [mount_value(mount) for entry in entries for mount in entry.get("mounts") or ()]
    last = {_target(value): index for index, value in enumerate(values)}
    return tuple(value for index, value in enumerate(values) if last[_target(value)] == index)


def _target(value: str) -> str:
    try:
        return Mount.parse(value).target
    except ContractError:
        # Not ours to understand: docker will, or will say what is wrong with it.
        return value


def _publish(app_port: Any) -> tuple[str, ...]:
    ports = app_port if isinstance(app_port, list) else [app_port]
    return tuple(f"127.0.0.1:{port}:{port}" if isinstance(port, int) else port for port in ports)


def _hooks(
    config: JSON, entries: Sequence[JSON]
) -> tuple[tuple[str, tuple[tuple[tuple[str, Command], ...], ...]], ...]:
    """Return each lifecycle command's entries in order. `initializeCommand`, on the host, is the contract's alone."""
    hooks = []
    for name in LIFECYCLE:
        sources: Sequence[JSON] = [config] if name == "initializeCommand" else entries
        commands = tuple(_commands(source[name]) for source in sources if source.get(name))
        if commands:
            hooks.append((name, commands))
    return tuple(hooks)


def _commands(value: Any) -> tuple[tuple[str, Command], ...]:
    named = value.items() if isinstance(value, dict) else [("", value)]
    return tuple((name, command if isinstance(command, str) else tuple(command)) for name, command in named if command)


def host_requirements(requirements: Sequence[JSON]) -> JSON:
    """Merge the `hostRequirements` of all entries: the largest of each."""
    merged: JSON = {
        "cpus": max((item.get("cpus") or 0 for item in requirements), default=0),
        "memory": _largest(requirements, "memory"),
        "storage": _largest(requirements, "storage"),
    }
    gpu: Any = None
    for item in requirements:
        gpu = _gpu(gpu, item.get("gpu"))
    merged["gpu"] = gpu
    # An empty object is a demand too: any GPU.
    return {key: value for key, value in merged.items() if value not in (None, 0, False)}


def _largest(requirements: Iterable[JSON], key: str) -> str | None:
    largest = max((size(item.get(key)) for item in requirements), default=0)
    return str(largest) if largest else None


def _gpu(one: Any, other: Any) -> Any:
    """Merge two demands for a GPU: a missing one or `false` yields, two "optional" stay so, else the larger counts."""
    if one is None or one is False:
        return other
    if other is None or other is False:
        return one
    if one == other == "optional":
        return "optional"
    sizes = [item if isinstance(item, dict) else {} for item in (one, other)]
    cores = max(item.get("cores") or 0 for item in sizes)
    merged: JSON = {"cores": cores or None, "memory": _largest(sizes, "memory")}
    return {key: value for key, value in merged.items() if value is not None}
