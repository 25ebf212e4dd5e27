"""A contract as the reference writes it out: `configuration`, `workspace` and `mergedConfiguration`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from devbox.container.inside.probe import variables
from devbox.devcontainer.merge import LABEL_PROPERTIES, host_requirements, image_metadata
from devbox.devcontainer.properties import LIFECYCLE
from devbox.devcontainer.substitute import ContainerVariables, HostVariables, IdVariables, substitute
from devbox.engine.spec import Mount
from devbox.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from devbox.devcontainer.model import Contract
    from devbox.dropin.arguments import Arguments
    from devbox.dropin.meant import Meant
    from devbox.engine.docker import Engine

JSON = dict[str, Any]

# What of a devcontainer.json counts beside the label of a container that is there.
_UPDATED = ("remoteUser", "userEnvProbe", "remoteEnv")
_IN_CONTAINER = tuple(name for name in LIFECYCLE if name != "initializeCommand")
_REPLACED = frozenset({"customizations", "entrypoint", "shutdownAction", *_IN_CONTAINER})
_LOCAL = re.compile(r"localhost:(\d+)")


def configuration(
    contract: Contract, environ: Mapping[str, str], container: JSON | None = None, *, named: bool = False
) -> JSON:
    """Return a devcontainer.json with its variables filled in: those of the container only where it is there.

    `named` tells that the command line named the file.
    """
    path = str(contract.path)
    place = {"$mid": 1, "fsPath": path, "path": path, "scheme": "file" if named else "vscode-fileHost"}
    return {**filled(contract, contract.raw, environ, container), "configFilePath": place}


def workspace(contract: Contract, written: JSON) -> JSON:
    """Return where the workspace is mounted, beside the configuration as it is `written`."""
    mount = written.get("workspaceMount", contract.workspace_mount)
    return _said({"workspaceFolder": contract.workspace_folder, "workspaceMount": mount})


def entries_of(engine: Engine, contract: Contract, container: JSON | None) -> list[JSON]:
    """Return the entries of metadata that are merged, variables filled in: the image's, the Features' and the file's.

    Without a container the image is asked as far as it is there; nothing is built or pulled for it.
    """
    if container is None:
        from devbox.container.describe import image_config

        labels = image_config(engine, contract)[1].get("Labels")
    else:
        labels = container["Config"].get("Labels") or {}
    entries = image_metadata(labels)
    made_by_label = container is not None and entries and dict(contract.labels).keys() <= (labels or {}).keys()
    keys = _UPDATED if made_by_label else LABEL_PROPERTIES
    entries.append({key: contract.raw[key] for key in keys if key in contract.raw})
    return [filled(contract, entry, engine.environ, container) for entry in entries if entry]


def merged(written: JSON, entries: Sequence[JSON]) -> JSON:
    """Return `written`, a configuration, merged with `entries` of metadata in the reference's form."""
    needs = host_requirements([entry.get("hostRequirements") or {} for entry in entries])
    customizations: dict[str, list[Any]] = {}
    for entry in entries:
        for tool, value in (entry.get("customizations") or {}).items():
            customizations.setdefault(tool, []).append(value)
    kept = {key: value for key, value in written.items() if key not in _REPLACED}
    return _said(
        {
            **kept,
            "init": any(entry.get("init") for entry in entries),
            "privileged": any(entry.get("privileged") for entry in entries),
            "capAdd": _union(entries, "capAdd"),
            "securityOpt": _union(entries, "securityOpt"),
            "entrypoints": [entry["entrypoint"] for entry in entries if entry.get("entrypoint")] or None,
            "mounts": _mounts(entries),
            "customizations": customizations or None,
            **{f"{name}s": [entry[name] for entry in entries if entry.get(name, "") != ""] for name in _IN_CONTAINER},
            **{key: _last(entries, key) for key in ("waitFor", "remoteUser", "containerUser", "userEnvProbe")},
            "remoteEnv": _united(entries, "remoteEnv"),
            "containerEnv": _united(entries, "containerEnv"),
            "overrideCommand": _last(entries, "overrideCommand", switch=True),
            "portsAttributes": _united(entries, "portsAttributes"),
            "otherPortsAttributes": _last(entries, "otherPortsAttributes"),
            "forwardPorts": _ports(entries),
            "shutdownAction": _last(entries, "shutdownAction"),
            "updateRemoteUserUID": _last(entries, "updateRemoteUserUID", switch=True),
            "hostRequirements": {"cpus": 0, **needs} if needs else None,
        }
    )


def written_of(arguments: Arguments, about: Meant, contract: Contract, container: JSON | None) -> JSON:
    """Return the configuration that is written out; an empty one where no file is in question."""
    if about.config is None:
        return {}
    return configuration(contract, about.engine.environ, container, named=arguments.text("config") is not None)


def included(arguments: Arguments, about: Meant, container: JSON | None) -> JSON:
    """Return the configurations that an outcome is to include."""
    if not (arguments.on("include-configuration") or arguments.on("include-merged-configuration")):
        return {}
    contract = about.contract_of(container)
    written = written_of(arguments, about, contract, container)
    result: JSON = {"configuration": written} if arguments.on("include-configuration") else {}
    if arguments.on("include-merged-configuration"):
        result["mergedConfiguration"] = merged(written, entries_of(about.engine, contract, container))
    return result


def filled(contract: Contract, value: JSON, environ: Mapping[str, str], container: JSON | None = None) -> JSON:
    """Return a raw value with the variables of the host filled in, and those of a container that is there."""
    folder = contract.raw.get("workspaceFolder") or contract.workspace_folder
    filled: JSON = substitute(value, HostVariables(environ, str(contract.workspace), folder))
    if container is not None:
        filled = substitute(filled, IdVariables(contract.devcontainer_id))
        filled = substitute(filled, ContainerVariables(variables(container["Config"].get("Env") or ())))
    return filled


def _said(value: JSON) -> JSON:
    """Return an object without what nobody said, as JSON.stringify leaves that out."""
    return {key: item for key, item in value.items() if item is not None}


def _last(entries: Sequence[JSON], key: str, *, switch: bool = False) -> Any:
    found = (entry.get(key) for entry in reversed(entries))
    return next((value for value in found if (isinstance(value, bool) if switch else value)), None)


def _union(entries: Sequence[JSON], key: str) -> list[Any] | None:
    return list(dict.fromkeys(item for entry in entries for item in entry.get(key) or ())) or None


def _united(entries: Sequence[JSON], key: str) -> JSON:
    united: JSON = {}
    for entry in entries:
        united |= entry.get(key) or {}
    return united


def _mounts(entries: Sequence[JSON]) -> list[Any] | None:
    """Return all mounts as they are written; of those with one target the last."""
    found = {_target(mount): mount for entry in entries for mount in entry.get("mounts") or ()}
    every = [mount for entry in entries for mount in entry.get("mounts") or ()]
    return [mount for mount in every if found[_target(mount)] is mount] or None


def _target(mount: Any) -> str:
    try:
        return str(mount["target"]) if isinstance(mount, dict) else Mount.parse(mount).target
    except ContractError:
        return str(mount)


def _ports(entries: Sequence[JSON]) -> list[Any] | None:
    every = (f"localhost:{port}" if isinstance(port, int) else port for one in entries for port in _forwarded(one))
    named = dict.fromkeys(every)
    return [int(found[1]) if (found := _LOCAL.search(port)) else port for port in named] or None


def _forwarded(entry: JSON) -> Sequence[Any]:
    return entry.get("forwardPorts") or ()
