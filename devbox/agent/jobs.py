"""How many compilers may run at once: as many as the CPUs, the cgroup's quota and the free memory allow."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from . import cgroup

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MIB = 1 << 20


class Jobs(NamedTuple):
    """The number of jobs, and why it is that number."""

    number: int
    reason: str


def choose(cpus: int, quota: float | None, available: int | None, per_job: int) -> Jobs:
    """Return the least of `cpus`, the CPU `quota`, and `available` / `per_job` memory (MiB), but at least one."""
    limits = [Jobs(cpus, f"{cpus} CPUs")]
    if quota is not None:
        limits.append(Jobs(int(quota + 0.5), f"CPU quota of {quota:g}"))
    if available is not None and per_job > 0:
        limits.append(Jobs(available // per_job, f"{available} MiB of free memory at {per_job} MiB per job"))
    best = min(limits, key=lambda limit: limit.number)
    return Jobs(max(1, best.number), best.reason)


def measure(per_job: int, root: str = "/") -> Jobs:
    """Return the number of jobs for this machine; `root` is where /proc and /sys lie."""
    return choose(len(os.sched_getaffinity(0)), cpu_quota(root), available_memory(root), per_job)


def cpu_quota(root: str = "/") -> float | None:
    """Return the cgroup's CPU quota in CPUs; None if there is none."""
    return cgroup.cpu_quota(_places("cpu", root), _reader(root))


def available_memory(root: str = "/") -> int | None:
    """Return the memory in MiB that is free: the machine's, or what the cgroup leaves of its limit."""
    _, available = cgroup.memory_of(_reader(root)("/proc/meminfo") or "")
    found = [available] if available else []
    limited = cgroup.memory(_places("memory", root), _reader(root))
    if limited is not None:
        found.append(limited.available // MIB)
    return min(found, default=None)


def _reader(root: str) -> Callable[[str], str | None]:
    return lambda path: cgroup.read_file(os.path.join(root, path.lstrip("/")))


def _places(controller: str, root: str) -> Sequence[cgroup.Place]:
    read = _reader(root)
    return cgroup.places(read("/proc/self/cgroup") or "", read("/proc/self/mountinfo") or "", controller)


KILLED = (
    "Killed",
    "killed by signal 9",
    "died due to signal 9",
    "(signal: 9, SIGKILL",
    "code=137]",
    "annot allocate memory",
    "virtual memory exhausted",
    "out of memory",
)


def memory_kills(root: str = "/") -> int:
    """Return how many processes the kernel has killed for memory in this cgroup; 0 where it does not say."""
    for place in _places("memory", root):
        name = "memory.events" if place.version == 2 else "memory.oom_control"
        words = (_reader(root)(f"{place.folder}/{name}") or "").split()
        if "oom_kill" in words[:-1]:
            return int(words[words.index("oom_kill") + 1])
    return 0


def out_of_memory(text: str) -> bool:
    """Return whether a failed command's output says that the compiler was killed for memory, or got none."""
    return any(sign in text for sign in KILLED)
