"""`hostRequirements`: what a contract needs of the machine, held against what there is.

Source: "Minimum host requirements" of the specification's reference page. The reference CLI checks none of it, and sees
GPUs by the name of a container runtime alone.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from devbox import units
from devbox.devcontainer.gpu import CDI_KIND, GpuChoice, gpu_args
from devbox.devcontainer.properties import SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from devbox.devcontainer.jsonc import JSON
    from devbox.devcontainer.model import Contract
    from devbox.facts.model import EngineFacts, Gpus, Host

_MIB = 2**20
# A machine sold with 8 GB shows its kernel a little less.
_RESERVED = 0.9


def size(text: Any) -> int:
    """Return the bytes of a size such as `8gb`; 0 for what is none. Units are lower case, as the schema has them."""
    return units.size(text) or 0 if isinstance(text, str) and SIZE.fullmatch(text) else 0


def unmet(requirements: JSON, host: Host, free: int | None) -> tuple[str, ...]:
    """Return, one sentence each, what of CPUs, memory and storage the host lacks. `free` is disk space in bytes."""
    return tuple(_unmet(requirements, host, free))


def _unmet(requirements: JSON, host: Host, free: int | None) -> Iterator[str]:
    cpus = requirements.get("cpus") or 0
    if cpus > _cpus(host):
        yield f"the contract needs {cpus} CPUs, and there are {_cpus(host):g} for this process"
    memory = size(requirements.get("memory"))
    if host.memory_total and memory * _RESERVED > host.memory_total * _MIB:
        yield f"the contract needs {_said(memory)} of memory, and there are {_said(host.memory_total * _MIB)}"
    storage = size(requirements.get("storage"))
    if free is not None and storage > free:
        yield f"the contract needs {_said(storage)} of storage, and {_said(free)} are free for the engine"


def _cpus(host: Host) -> float:
    return host.cpus if host.cpu_quota is None else min(host.cpus, host.cpu_quota)


def _said(size: int) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / _MIB:.0f} MiB"


def demanded_gpu(contract: Contract) -> Any:
    """Return what the contract itself asks for as `gpu`, None for nothing.

    As with the reference CLI, an image's metadata hands out no GPUs. A choice that is laid over it is no demand.
    """
    if contract.gpus is not None:
        return None
    demand = (contract.config.get("hostRequirements") or {}).get("gpu")
    return None if demand is False else demand


def gpu(demand: Any, run_args: Sequence[str], gpus: Gpus, engine: EngineFacts) -> GpuChoice:
    """Return how the container gets the GPUs that `hostRequirements.gpu` asks for.

    `demand` is true, "optional", or an object with the least `cores` and `memory`; false and None ask for nothing.
    Where `runArgs` hand out GPUs themselves, nothing is added. `denied` means that it asked for what is not there.
    """
    if demand in (None, False):
        return GpuChoice(None, "none was asked for")
    if any(_hands_out_gpus(argument, after) for argument, after in pairwise([*run_args, ""])):
        return GpuChoice(None, "runArgs hand out GPUs")
    needed = demand != "optional"
    if not gpus.devices:
        return GpuChoice(None, gpus.reason or "no GPU was found", denied=needed)
    choice = gpu_args("all", gpus, engine)
    if choice.grant is None:
        return GpuChoice(None, choice.reason, denied=needed)
    lacking = _too_small(demand, gpus) if isinstance(demand, dict) else None
    return choice if lacking is None else GpuChoice(choice.grant, lacking, denied=True)


def without_gpus(run_args: Sequence[str]) -> tuple[str, ...]:
    """Return `runArgs` without the words that hand out GPUs."""
    kept: list[str] = []
    skip = False
    for argument, after in pairwise([*run_args, ""]):
        hands_out = not skip and _hands_out_gpus(argument, after)
        if not (skip or hands_out):
            kept.append(argument)
        # The value in a word of its own goes with its option.
        skip = hands_out and "=" not in argument
    return tuple(kept)


def _hands_out_gpus(argument: str, after: str) -> bool:
    flag, equals, value = argument.partition("=")
    return flag == "--gpus" or (flag == "--device" and (value if equals else after).startswith(CDI_KIND))


def _too_small(demand: JSON, gpus: Gpus) -> str | None:
    """Say which demand no GPU meets. The number of cores of a GPU is not known here, and so never too small."""
    needed = size(demand.get("memory"))
    known = [device.memory * _MIB for device in gpus.devices if device.memory]
    if known and needed * _RESERVED > max(known):
        return f"the contract needs a GPU with {_said(needed)} of memory, and the largest here has {_said(max(known))}"
    return None
