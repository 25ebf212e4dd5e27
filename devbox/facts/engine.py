"""The engine: what it is, where it runs, and what it can grant.

One `docker info` answers most of it. What dockerd cannot be asked, the highest limits that it can give to a container,
is read from /proc of the process that starts containers.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from devbox.agent.cgroup import read_file
from devbox.errors import EngineError
from devbox.facts import cdi
from devbox.facts.model import EngineFacts

if TYPE_CHECKING:
    from devbox.engine.docker import Engine

JSON = dict[str, Any]

_CAP_SYS_RESOURCE = 24
# The names that /proc/PID/limits has for the limits that matter here.
_LIMITS = {"memlock": "Max locked memory", "stack": "Max stack size", "nofile": "Max open files"}
# /proc/PID/uid_map of a process in the first user namespace: every id is itself.
_EVERY_ID = ["0", "0", "4294967295"]


def gather(engine: Engine) -> EngineFacts:
    """Ask the engine about itself. Costs one `docker info` (tens of milliseconds): callers keep the result.

    Raises EngineError where the engine does not answer.
    """
    info = _info(engine)
    facts = read(info, local=_is_local(info, here=engine.address.is_here), flavour=engine.flavour.name)
    if not facts.local:
        return facts
    if facts.flavour == "podman":
        specs, hidden = cdi.seen(cdi.podman_folders(engine.environ, rootless=facts.rootless), None)
    else:
        pid = _pid_of_dockerd(rootless=facts.rootless)
        specs, hidden = cdi.seen(info.get("CDISpecDirs") or (), pid if facts.rootless else None)
    return replace(
        facts,
        cdi_devices=facts.cdi_devices or cdi.devices(specs),
        cdi_folders=specs,
        hidden_cdi=hidden,
        # dockerd offers --gpus when it finds this hook, also where no runtime of that name is registered. Podman's
        # service takes --gpus and does nothing.
        nvidia_runtime=facts.flavour == "docker"
        and (facts.nvidia_runtime or shutil.which("nvidia-container-runtime-hook") is not None),
        **_limits(rootless=facts.rootless, podman=facts.flavour == "podman"),
    )


def _info(engine: Engine) -> JSON:
    text = engine.run(["info", "--format", "{{json .}}"]).stdout
    try:
        info = json.loads(text)
    except ValueError:
        raise EngineError("'docker info' did not answer with JSON", detail=text[:400]) from None
    # Older clients exit with 0 and put the engine's failure into the answer.
    failures = info.get("ServerErrors") or ()
    if failures:
        raise engine.trouble(" ".join(failures)) or EngineError(f"the Docker engine does not answer: {failures[0]}")
    return in_dockers_words(info) if "host" in info else dict(info)


def in_dockers_words(info: JSON) -> JSON:
    """Return what `podman info` says in the words of Docker's."""
    host, rootless = info["host"], info["host"]["security"]["rootless"]
    return {
        "Name": host["hostname"],
        "ServerVersion": info["version"]["Version"],
        "SecurityOptions": ["name=rootless"] if rootless else [],
        "OperatingSystem": host["distribution"]["distribution"],
        "DockerRootDir": info["store"]["graphRoot"],
    }


def read(info: JSON, *, local: bool, flavour: Literal["docker", "podman"] = "docker") -> EngineFacts:
    """Return what `docker info` alone says; `local` is whether the engine runs on this machine.

    The limits are then unknown (0). Podman names its folders of CDI specifications to nobody, and always has CDI.
    """
    discovered = tuple(
        str(device.get("ID")) for device in info.get("DiscoveredDevices") or () if device.get("Source") == "cdi"
    )
    return EngineFacts(
        version=str(info.get("ServerVersion") or ""),
        rootless=any("name=rootless" in str(option) for option in info.get("SecurityOptions") or ()),
        local=local,
        # The engine lists its specification folders where its CDI feature is on, and none where it is off.
        cdi=flavour == "podman" or bool(info.get("CDISpecDirs")),
        cdi_devices=tuple(sorted(discovered)),
        nvidia_runtime="nvidia" in (info.get("Runtimes") or {}),
        memlock=0,
        operating_system=str(info.get("OperatingSystem") or ""),
        data_root=str(info.get("DockerRootDir") or ""),
        cdi_folders=tuple(map(str, info.get("CDISpecDirs") or ())),
        proxy=str(info.get("HttpsProxy") or info.get("HttpProxy") or ""),
        clock=_seconds(str(info.get("SystemTime") or "")),
        memory=int(info.get("MemTotal") or 0),
        flavour=flavour,
    )


def _seconds(text: str) -> float:
    """Return a time as the engine writes it (RFC 3339, in nanoseconds), 0 where it is none."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0.0


def free_storage(facts: EngineFacts) -> int | None:
    """Return the bytes that are free where the engine keeps its data.

    None for an engine on another machine. The folder itself is root's; the nearest one above it that may be seen tells.
    """
    if not facts.local:
        return None
    root = Path(facts.data_root or "/var/lib/docker")
    for folder in (root, *root.parents):
        try:
            return shutil.disk_usage(folder).free
        except OSError:
            continue
    return None


def _is_local(info: JSON, *, here: bool) -> bool:
    # A unix socket may lead into a virtual machine (Docker Desktop) or out of a container; the engine's own host name
    # tells.
    return here and info.get("Name") == os.uname().nodename


def ceiling(name: str, limits: str, status: str, uid_map: str, *, rootless: bool = False) -> int | None:
    """Return the highest limit `name` ("memlock", "stack", "nofile") that a process can give to its children.

    None is unlimited, 0 unknown. `limits`, `status` and `uid_map` are the texts of its files in /proc. Raising a hard
    limit takes CAP_SYS_RESOURCE in the first user namespace (getrlimit(2)), which neither a rootless engine nor one
    inside a user namespace has.
    """
    hard = _hard_limit(_LIMITS[name], limits)
    if hard is None or (not rootless and uid_map.split() == _EVERY_ID and _has_capability(status)):
        return None
    return hard


def _hard_limit(title: str, limits: str) -> int | None:
    for line in limits.splitlines():
        if line.startswith(title):
            words = line.removeprefix(title).split()
            if len(words) >= 2:
                return None if words[1] == "unlimited" else int(words[1])
    return 0


def _has_capability(status: str) -> bool:
    for line in status.splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> _CAP_SYS_RESOURCE & 1)
    return False


def _limits(*, rootless: bool, podman: bool) -> dict[str, Any]:
    # Podman has no daemon: a container is the child of whoever asks for it, or of a service with the same rights.
    pid: int | str | None = "self" if podman and not rootless else _starter(_pid_of_dockerd(rootless=rootless))
    if pid is None or (podman and rootless):
        # A rootless engine runs as this user, so this process was given the same limits.
        return {name: _own_hard_limit(name) for name in _LIMITS} if rootless else {}
    limits, status, uid_map = (read_file(f"/proc/{pid}/{name}") or "" for name in ("limits", "status", "uid_map"))
    return {name: ceiling(name, limits, status, uid_map, rootless=rootless) for name in _LIMITS}


def _own_hard_limit(name: str) -> int | None:
    import resource

    hard = resource.getrlimit(getattr(resource, f"RLIMIT_{name.upper()}"))[1]
    return None if hard == resource.RLIM_INFINITY else hard


def _pid_of_dockerd(*, rootless: bool) -> int | None:
    folders = [os.environ.get("XDG_RUNTIME_DIR", "")] if rootless else ["/var/run", "/run"]
    for folder in folders:
        text = (read_file(f"{folder}/docker.pid") or "").strip() if folder else ""
        if text.isdigit() and (read_file(f"/proc/{text}/comm") or "").strip() == "dockerd":
            return int(text)
    return None


def _starter(dockerd: int | None) -> int | None:
    """Return the process whose limits a container inherits: containerd, which dockerd starts or finds as a service."""
    if dockerd is not None:
        for child in _children(dockerd):
            if (read_file(f"/proc/{child}/comm") or "").strip() == "containerd":
                return child
    for top in ("/sys/fs/cgroup", "/sys/fs/cgroup/systemd"):
        for pid in (read_file(f"{top}/system.slice/containerd.service/cgroup.procs") or "").split():
            if (read_file(f"/proc/{pid}/comm") or "").strip() == "containerd":
                return int(pid)
    return dockerd


def _children(pid: int) -> list[int]:
    try:
        threads = sorted(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return []
    return [int(word) for thread in threads for word in (read_file(f"{thread}/children") or "").split()]
