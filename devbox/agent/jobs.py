"""How many compilers may run at once: as many as the CPUs, the cgroup's quota and the free memory allow."""

from __future__ import annotations

import os
from typing import NamedTuple

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
    """Return the cgroup's CPU quota in CPUs, for cgroup v2 and v1; None if there is none."""
    words = _words(root, "sys/fs/cgroup/cpu.max")
    if not words:
        words = _words(root, "sys/fs/cgroup/cpu/cpu.cfs_quota_us") + _words(root, "sys/fs/cgroup/cpu/cpu.cfs_period_us")
    if len(words) == 2 and words[0].isdigit() and int(words[0]) > 0 and int(words[1]) > 0:
        return int(words[0]) / int(words[1])
    return None


def available_memory(root: str = "/") -> int | None:
    """Return the memory in MiB that is free: the machine's, or what the cgroup (v2, v1) leaves of its limit."""
    found = [value for value in (_machine_memory(root), _group_memory(root)) if value is not None]
    return min(found) // MIB if found else None


def _machine_memory(root: str) -> int | None:
    words = _words(root, "proc/meminfo")
    return int(words[words.index("MemAvailable:") + 1]) * 1024 if "MemAvailable:" in words else None


def _group_memory(root: str) -> int | None:
    for limit_file, usage_file, stat_file in (
        ("memory.max", "memory.current", "memory.stat"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
    ):
        limit = _words(root, f"sys/fs/cgroup/{limit_file}")
        usage = _words(root, f"sys/fs/cgroup/{usage_file}")
        if limit and limit[0].isdigit() and usage and usage[0].isdigit():
            stat = _words(root, f"sys/fs/cgroup/{stat_file}")
            # What the page cache holds of finished files counts as used, but is given back before anybody is killed.
            cached = next(
                (int(stat[stat.index(name) + 1]) for name in ("total_inactive_file", "inactive_file") if name in stat),
                0,
            )
            return max(0, int(limit[0]) - int(usage[0]) + cached)
    return None


def _words(root: str, path: str) -> list[str]:
    try:
        with open(os.path.join(root, path), encoding="ascii", errors="replace") as stream:
            return stream.read().split()
    except OSError:
        return []


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
    """Return how many processes the kernel has killed for memory in this cgroup (v2, v1); 0 where it does not say."""
    for path in ("sys/fs/cgroup/memory.events", "sys/fs/cgroup/memory/memory.oom_control"):
        words = _words(root, path)
        if "oom_kill" in words[:-1]:
            return int(words[words.index("oom_kill") + 1])
    return 0


def out_of_memory(text: str) -> bool:
    """Return whether a failed command's output says that the compiler was killed for memory, or got none."""
    return any(sign in text for sign in KILLED)
