"""Can the engine grant the limits that inference trees want, and has the dev container got them?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from devbox.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devbox.doctor.model import Patient

_MIB = 1 << 20
_GIB = 1 << 30
# What a generated contract asks for; see "Defaults" in the architecture page.
_WANTED = {
    "memlock": (None, "bytes of locked memory", "LimitMEMLOCK", "pinned host memory and RDMA need it unlimited"),
    "stack": (64 * _MIB, "bytes of stack", "LimitSTACK", "compilers of deep templates run out of it"),
    "nofile": (65536, "open files", "LimitNOFILE", "linkers, data loaders and servers open thousands"),
}
# Docker's own for a container that says nothing, and what NCCL and data loaders get along with.
_LITTLE_SHM = _GIB


# By flavour, and whether it is rootless; with the option of the service's unit, and the limit's own name.
_REMEDY = {
    ("docker", False): "start dockerd with {option}=infinity and CAP_SYS_RESOURCE",
    ("docker", True): "systemctl --user edit docker   # {option}=…, up to what your account itself may have",
    ("podman", False): "start Podman's service with {option}=infinity and CAP_SYS_RESOURCE",
    ("podman", True): "raise {name} for your account in /etc/security/limits.conf, and log in again",
}


def check(patient: Patient) -> Iterator[Finding]:
    """Look at memlock, stack, open files, and shared memory."""
    facts = patient.engine_facts
    if facts is None:
        return
    for name, (wanted, what, option, why) in _WANTED.items():
        highest = getattr(facts, name)
        if highest is None or (highest and wanted is not None and highest >= wanted):
            yield Finding(
                "limits", "ok", f"containers can have all {what} that is wanted ({name} {wanted or 'unlimited'})"
            )
        elif highest == 0:
            yield Finding(
                "limits", "info", f"whether {name} can be raised is not known for this engine; `up` finds out"
            )
        else:
            yield Finding(
                "limits",
                "warning",
                f"the engine can grant at most {highest} {what}; devbox clamps {name} to that",
                _REMEDY[facts.flavour, facts.rootless].format(option=option, name=name),
                why,
            )
    yield from _shared_memory(patient, local=facts.local)


def _shared_memory(patient: Patient, *, local: bool) -> Iterator[Finding]:
    """Look at /dev/shm: the host's with --ipc=host, as devbox's contracts say, else the container's own."""
    shm = patient.system.shm
    if local and shm is not None and shm < _LITTLE_SHM:
        yield Finding(
            "limits",
            "warning",
            f"this machine has {shm // _MIB} MiB of shared memory",
            "sudo mount -o remount,size=50% /dev/shm",
            "with --ipc=host NCCL and data loaders share it",
        )
    container = (patient.container or {}).get("HostConfig") or {}
    own = container.get("ShmSize") or 0
    if container and container.get("IpcMode") != "host" and own < _LITTLE_SHM:
        yield Finding(
            "limits",
            "warning",
            f"the dev container has {own // _MIB} MiB of shared memory",
            '"runArgs": ["--ipc=host"]   # or "--shm-size=8g", in devcontainer.json; then devbox up',
            "NCCL and data loaders use more",
        )
