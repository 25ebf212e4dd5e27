"""May debuggers and profilers work?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from devbox.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devbox.doctor.model import Patient

_COUNTERS = "https://developer.nvidia.com/ERR_NVGPUCTRPERM"


def check(patient: Patient) -> Iterator[Finding]:
    """Look at perf's and ptrace's settings of the kernel, and at who gets the GPU's counters.

    The meaning of the numbers: Documentation/admin-guide/sysctl/kernel.rst and LSM/Yama.rst of the kernel; Debian's
    and Ubuntu's kernels know 3 and 4 for perf, which leave nothing to others than root.
    """
    facts, system = patient.engine_facts, patient.system
    if facts is not None and not facts.local:
        return
    found = []
    if system.perf is not None and system.perf > 2:
        found.append(Finding(
            "debugging", "info",
            f"kernel.perf_event_paranoid is {system.perf}: perf counts nothing for others than root",
            "sudo sysctl kernel.perf_event_paranoid=1",
        ))  # fmt: skip
    if system.ptrace is not None and system.ptrace > 0:
        whom = {1: "a process that they did not start", 2: "anything without being root"}.get(system.ptrace, "anything")
        found.append(Finding(
            "debugging", "info" if system.ptrace == 1 else "warning",
            f"kernel.yama.ptrace_scope is {system.ptrace}: gdb and py-spy cannot attach to {whom}",
            "sudo sysctl kernel.yama.ptrace_scope=0" if system.ptrace < 3 else "sudo reboot   # 3 cannot be taken back",
        ))  # fmt: skip
    if system.counters_for_root:
        found.append(Finding(
            "debugging", "info", "the NVIDIA driver gives performance counters to root alone",
            f"{_COUNTERS}   # NVreg_RestrictProfilingToAdminUsers=0", "ncu ends with ERR_NVGPUCTRPERM",
        ))  # fmt: skip
    added = ((patient.container or {}).get("HostConfig") or {}).get("CapAdd") or ()
    if patient.container is not None and not {"SYS_PTRACE", "CAP_SYS_PTRACE", "ALL"} & set(added):
        found.append(Finding(
            "debugging", "info", "the dev container has no SYS_PTRACE",
            '"capAdd": ["SYS_PTRACE"]   # in devcontainer.json; then devbox up', "debuggers attach to less there",
        ))  # fmt: skip
    yield from found
    if not found:
        yield Finding("debugging", "ok", "perf, ptrace and GPU counters are open")
