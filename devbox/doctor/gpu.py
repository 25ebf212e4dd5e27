"""Is there a GPU, can the engine hand it out, and does the dev container still have it?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from devbox.facts import cdi
from devbox.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devbox.doctor.model import Patient
    from devbox.facts.model import EngineFacts

_GENERATE = "sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml"
_DRIVER = "install the NVIDIA driver: https://docs.nvidia.com/datacenter/tesla/driver-installation-guide/"
# Each device that cannot be opened: the engine's rules for devices can be lost while the container runs.
_LOST = 'for one in /dev/nvidia[0-9]*; do [ ! -c "$one" ] || (: <"$one") 2>/dev/null || echo "$one"; done'


def check(patient: Patient) -> Iterator[Finding]:
    """Look at the GPUs of the engine's host, at CDI and the NVIDIA runtime, and at the dev container's devices."""
    gpus, facts = patient.gpus, patient.engine_facts
    yield from _lost(patient)
    if not gpus.devices:
        local = facts is not None and facts.local
        if "version mismatch" in gpus.reason:
            yield Finding(
                "gpu", "error", f"no GPU: {gpus.reason}", "sudo reboot   # loads the driver that was installed",
                "the loaded kernel module is not the one that its libraries are made for",
            )  # fmt: skip
        elif local and patient.system.nvidia:
            yield Finding(
                "gpu", "error", f"{patient.system.nvidia} NVIDIA GPU(s) on the PCI bus, and no driver for them", _DRIVER
            )
        else:
            yield Finding("gpu", "info", f"no GPU: {gpus.reason}" if gpus.reason else "no GPU")
        yield from _hidden(facts)
        return
    for gpu in gpus.devices:
        capability = f", compute capability {gpu.compute_capability}" if gpu.compute_capability else ""
        yield Finding("gpu", "ok", f"GPU {gpu.index}: {gpu.name}{capability}")
    if facts is None:
        return
    stale = cdi.lost(facts.cdi_folders) if facts.local else ()
    for file, missing in stale:
        yield Finding(
            "gpu", "error", f"the CDI specification {file} names {missing}, which is not there",
            _GENERATE.replace("/etc/cdi/nvidia.yaml", str(file)), "no container starts with it",
        )  # fmt: skip
    if facts.cdi and facts.cdi_devices:
        if not stale:
            yield Finding("gpu", "ok", "the engine hands GPUs out by CDI")
    elif facts.nvidia_runtime:
        yield Finding("gpu", "ok", "the engine hands GPUs out by --gpus")
    elif facts.hidden_cdi:
        yield from _hidden(facts)
    else:
        yield Finding(
            "gpu",
            "error",
            "there is a GPU, but the engine has neither a CDI specification for it nor the NVIDIA runtime",
            f"{_GENERATE}   # of the package nvidia-container-toolkit",
            "no container gets it",
        )


def _lost(patient: Patient) -> Iterator[Finding]:
    """Look for devices that the dev container was given and may not open any more."""
    container = patient.container
    if container is None:
        return
    done = patient.engine.run(["exec", container["Id"], "sh", "-c", _LOST], check=False, timeout=10)
    if lost := done.stdout.split() if done.ok else []:
        yield Finding(
            "gpu",
            "error",
            f"the dev container may not use {', '.join(lost)} any more",
            "devbox up --recreate",
            "its rules for devices were lost, as `systemctl daemon-reload` does to what systemd did not make",
        )


def _hidden(facts: EngineFacts | None) -> Iterator[Finding]:
    if facts is not None and facts.hidden_cdi and not facts.cdi_devices:
        folder = facts.hidden_cdi[0]
        yield Finding(
            "gpu",
            "error",
            f"the rootless engine cannot look into {folder}, where CDI specifications are: it has its own /etc",
            f"cp -r {folder} ~/.config/cdi   # then name that folder in ~/.config/docker/daemon.json: "
            '{"features": {"cdi": true}, "cdi-spec-dirs": ["/home/YOU/.config/cdi"]}, and restart it',
            "no container gets a GPU",
        )
