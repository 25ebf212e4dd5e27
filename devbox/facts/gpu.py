"""The GPUs of the engine's host. No GPU, and no way to know, are normal answers.

On this machine nvidia-smi knows most; without it the kernel driver's files name the devices. Of an engine elsewhere
only what it says itself counts: the CDI devices that it has found.
"""

from __future__ import annotations

import csv
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from devbox.agent.cgroup import read_file
from devbox.engine import process
from devbox.errors import DevboxError
from devbox.facts import cdi
from devbox.facts.model import Gpu, Gpus

if TYPE_CHECKING:
    from collections.abc import Iterable

    from devbox.engine.docker import Engine
    from devbox.facts.model import EngineFacts

CDI_KIND = "nvidia.com/gpu"
_DRIVER = Path("/proc/driver/nvidia")
_FIELDS = ("index", "uuid", "name", "memory.total", "driver_version", "compute_cap")
# A GPU that fell off the bus makes nvidia-smi hang; a hung question must not hang `up`.
_SMI_SECONDS = 20.0


def gather(engine: Engine, facts: EngineFacts) -> Gpus:
    """Return the GPUs of the engine's host; `reason` says from which source, or why there are none."""
    if not facts.local:
        return from_cdi(facts.cdi_devices, f"the engine at {engine.address.url or 'another machine'} names no GPU")
    asked = _nvidia_smi()
    if isinstance(asked, Gpus) and asked.devices:
        return asked
    kernel = from_driver(_information_files(), read_file(str(_DRIVER / "version")) or "")
    if kernel.devices:
        return kernel
    why = asked if isinstance(asked, str) else asked.reason
    return from_cdi(facts.cdi_devices, f"{why}, and the NVIDIA driver shows no device in {_DRIVER}")


def _nvidia_smi() -> Gpus | str:
    if shutil.which("nvidia-smi") is None:
        return "nvidia-smi is not installed"
    # Drivers before 470 do not know compute_cap and then answer nothing at all.
    for fields in (_FIELDS, _FIELDS[:-1]):
        try:
            done = process.run(
                ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"],
                check=False,
                timeout=_SMI_SECONDS,
            )
        except DevboxError as error:
            return error.message
        if done.ok:
            return from_smi(done.stdout)
    lines = (done.stdout.strip() or done.stderr.strip()).splitlines()
    return f"nvidia-smi failed: {lines[0].rstrip('.')}" if lines else f"nvidia-smi failed with exit code {done.code}"


def from_smi(text: str) -> Gpus:
    """Return the GPUs in nvidia-smi's answer: CSV without header and units, with the columns of `_FIELDS`.

    The last column may be missing. A value that the driver does not have ("[N/A]") is None.
    """
    devices: list[Gpu] = []
    driver: str | None = None
    for row in csv.reader(text.splitlines(), skipinitialspace=True):
        values = [_known(value) for value in row]
        if len(values) < 5 or values[0] is None or not values[0].isdigit():
            continue
        index, uuid, name, memory, driver_here = values[:5]
        capability = values[5] if len(values) > 5 else None
        devices.append(
            Gpu(
                index=int(index or 0),
                uuid=uuid,
                name=name or "NVIDIA GPU",
                compute_capability=capability,
                memory=int(memory) if memory and memory.isdigit() else None,
            )
        )
        driver = driver or driver_here
    return Gpus(tuple(devices), driver, "nvidia-smi lists them" if devices else "nvidia-smi lists no GPU")


def _known(value: str) -> str | None:
    text = value.strip()
    return None if not text or text.startswith("[") else text


def from_driver(information: Iterable[str], version: str) -> Gpus:
    """Return the GPUs by the kernel driver's files.

    `information` are the texts of gpus/*/information in order of bus address, `version` that of version. The driver
    does not tell the compute capability.
    """
    devices: list[Gpu] = []
    for text in information:
        values = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())}
        if values.get("Model") and values.get("GPU Excluded", "No") == "No":
            uuid = values.get("GPU UUID", "")
            # Until somebody opens the device, the driver shows question marks.
            devices.append(Gpu(len(devices), uuid if uuid and "?" not in uuid else None, values["Model"], None))
    found = re.search(r"Kernel Module.*?\s(\d+(?:\.\d+)+)", version)
    reason = "the NVIDIA driver lists them" if devices else "the NVIDIA driver lists no GPU"
    return Gpus(tuple(devices), found.group(1) if found else None, reason)


def _information_files() -> list[str]:
    try:
        folders = sorted((_DRIVER / "gpus").iterdir())
    except OSError:
        return []
    return [text for folder in folders if (text := read_file(str(folder / "information")))]


def from_cdi(names: Iterable[str], otherwise: str) -> Gpus:
    """Return the GPUs that the CDI device names stand for; `otherwise` is the reason where they name none.

    Generators name a device by its index, its UUID or both: indices are counted if there are any, UUIDs if not.
    """
    words = list(cdi.of_kind(names, CDI_KIND))
    indices = sorted({int(word) for word in words if word.isdigit()})
    uuids = sorted({word for word in words if word.startswith("GPU-")})
    if indices:
        devices = tuple(Gpu(index, None, f"{CDI_KIND}={index}", None) for index in indices)
    else:
        devices = tuple(Gpu(index, uuid, f"{CDI_KIND}={uuid}", None) for index, uuid in enumerate(uuids))
    return Gpus(devices, None, "the engine's CDI devices name them" if devices else otherwise)
