"""Is there a GPU, and can the engine hand it out?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from devbox.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devbox.doctor.model import Patient


def check(patient: Patient) -> Iterator[Finding]:
    """Look at the GPUs of the engine's host, and at CDI and the NVIDIA runtime."""
    gpus, facts = patient.gpus, patient.engine_facts
    if not gpus.devices:
        yield Finding("gpu", "info", f"no GPU: {gpus.reason}" if gpus.reason else "no GPU")
        return
    for gpu in gpus.devices:
        capability = f", compute capability {gpu.compute_capability}" if gpu.compute_capability else ""
        yield Finding("gpu", "ok", f"GPU {gpu.index}: {gpu.name}{capability}")
    if facts is None:
        return
    if facts.cdi and facts.cdi_devices:
        yield Finding("gpu", "ok", "the engine hands GPUs out by CDI")
    elif facts.nvidia_runtime:
        yield Finding("gpu", "ok", "the engine hands GPUs out by --gpus")
    else:
        yield Finding(
            "gpu",
            "error",
            "there is a GPU, but the engine has neither a CDI specification for it nor the NVIDIA runtime",
            "sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml",
            "no container gets it",
        )
