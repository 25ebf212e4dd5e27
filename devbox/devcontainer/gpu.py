"""Which GPUs the container gets, and how: as CDI devices where the engine has them, else by `--gpus`. Never both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from devbox.config import kinds
from devbox.errors import UsageError
from devbox.values import dataclass

if TYPE_CHECKING:
    from devbox.devcontainer.jsonc import JSON
    from devbox.facts.model import EngineFacts, Gpus

CDI_KIND = "nvidia.com/gpu"


@dataclass(frozen=True, slots=True)
class Grant:
    """GPUs as the engine hands them out: `cdi` devices by their full names, or those that its NVIDIA runtime numbers.

    No `devices` of the runtime means all of them.
    """

    how: Literal["cdi", "nvidia"]
    devices: tuple[str, ...] = ()

    @property
    def args(self) -> tuple[str, ...]:
        """The arguments for `docker run`."""
        if self.how == "cdi":
            return tuple(f"--device={device}" for device in self.devices)
        if not self.devices:
            return ("--gpus=all",)
        # docker reads the value as CSV, so a list of devices needs its quotes.
        value = f"device={self.devices[0]}" if len(self.devices) == 1 else f'"device={",".join(self.devices)}"'
        return (f"--gpus={value}",)

    def reservation(self) -> JSON:
        """Return an item of `deploy.resources.reservations.devices` of a compose file: the same GPUs, in full."""
        which: JSON = {"device_ids": list(self.devices)} if self.devices else {"count": "all"}
        return {"driver": self.how, **which, "capabilities": ["gpu"]}


ALL = Grant("nvidia")


@dataclass(frozen=True, slots=True)
class GpuChoice:
    """What the container gets, None for nothing, and how that came about.

    `denied`: GPUs were asked for and cannot be had.
    """

    grant: Grant | None
    reason: str
    denied: bool = False

    @property
    def args(self) -> tuple[str, ...]:
        """The arguments for `docker run`."""
        return () if self.grant is None else self.grant.args


def gpu_args(requested: str, gpus: Gpus, engine: EngineFacts) -> GpuChoice:
    """Turn `none`, `auto`, `all`, or a list such as `0,1`, `GPU-…` or `MIG-…` into what the engine can hand out.

    Raises UsageError for a word that is none of these, and for a GPU that this host does not have.
    """
    match wanted := kinds.gpus(requested):
        case ("none",):
            return GpuChoice(None, "none was asked for")
        case ("auto",) if not gpus.devices:
            return GpuChoice(None, gpus.reason or "no GPU was found")
        case ("auto",) | ("all",):
            return _everything(gpus, engine, asked=wanted == ("all",))
    return _named(wanted, gpus, engine)


def _everything(gpus: Gpus, engine: EngineFacts, *, asked: bool) -> GpuChoice:
    count = len(gpus.devices)
    what = f"all {count} GPUs" if count > 1 else "the GPU" if count else "all GPUs"
    if engine.cdi and f"{CDI_KIND}=all" in engine.cdi_devices:
        return GpuChoice(Grant("cdi", (f"{CDI_KIND}=all",)), f"{what}, as a CDI device")
    if engine.nvidia_runtime:
        return GpuChoice(ALL, f"{what}, by the engine's NVIDIA runtime")
    return GpuChoice(None, _no_way(gpus), denied=asked)


def _named(names: tuple[str, ...], gpus: Gpus, engine: EngineFacts) -> GpuChoice:
    if gpus.devices:
        _must_exist(names, gpus)
    said = f"GPU {', '.join(names)}"
    found = [_cdi_name(name, gpus, engine) for name in names] if engine.cdi else []
    devices = tuple(device for device in found if device is not None)
    if devices and len(devices) == len(names):
        return GpuChoice(Grant("cdi", devices), f"{said}, as CDI devices")
    if engine.nvidia_runtime:
        return GpuChoice(Grant("nvidia", names), f"{said}, by the engine's NVIDIA runtime")
    return GpuChoice(None, _no_way(gpus), denied=True)


def _must_exist(names: tuple[str, ...], gpus: Gpus) -> None:
    indices = {str(gpu.index) for gpu in gpus.devices}
    uuids = {gpu.uuid for gpu in gpus.devices if gpu.uuid}
    for name in names:
        # A MIG slice is not in the list of GPUs, and without UUIDs in it nothing can be said about one.
        known = name in indices if name.isdigit() else name in uuids or not uuids or not name.startswith("GPU-")
        if not known:
            have = ", ".join(f"{gpu.index} ({gpu.uuid or gpu.name})" for gpu in gpus.devices)
            raise UsageError(f"there is no GPU {name} here; there is {have}", hint="devbox doctor")


def _cdi_name(name: str, gpus: Gpus, engine: EngineFacts) -> str | None:
    """Return the CDI device of an index or UUID: specs name devices by either, so the other is tried as well."""
    same = [name]
    for gpu in gpus.devices:
        if name == str(gpu.index) and gpu.uuid:
            same.append(gpu.uuid)
        elif name == gpu.uuid:
            same.append(str(gpu.index))
    return next((device for one in same if (device := f"{CDI_KIND}={one}") in engine.cdi_devices), None)


def _no_way(gpus: Gpus) -> str:
    if not gpus.devices and gpus.reason:
        return gpus.reason
    return (
        "the engine has neither a CDI device nor the NVIDIA runtime for it (the NVIDIA Container Toolkit brings both)"
    )
