"""The limits that control groups put on this process, the CPU quota and the memory that is left; what the machine has.

Pure functions over the text of /proc/self/cgroup and /proc/self/mountinfo say which folders to look at, for version 1
and version 2 alike; further ones read what lies there. A limit counts on every level up to the mount, so the tightest
one wins.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# Version 1 writes "no limit" as the largest multiple of the page size that fits a signed 64-bit number.
_V1_UNLIMITED = 1 << 60
_KIB_PER_MIB = 1 << 10


class Place(NamedTuple):
    """A folder of a control group hierarchy that holds this process, and the hierarchy's version (1 or 2)."""

    folder: str
    version: int


class Memory(NamedTuple):
    """A memory limit and what of it is left, both in bytes."""

    limit: int
    available: int


def places(cgroup: str, mountinfo: str, controller: str) -> tuple[Place, ...]:
    """Return the folders that may limit `controller` ("cpu" or "memory") for this process, innermost first.

    `cgroup` and `mountinfo` are the texts of /proc/self/cgroup and /proc/self/mountinfo.
    """
    found: list[Place] = []
    for version, path in _memberships(cgroup, controller):
        mount = _mount(mountinfo, controller, version)
        if mount is None:
            continue
        root, point = mount
        # Inside a container the mount shows a part of the hierarchy; a path outside that part is seen as its top.
        parts = path.split("/")
        seen = ".." not in parts and f"{path}/".startswith(f"{root.rstrip('/')}/")
        folder = posixpath.normpath(f"{point}/{path[len(root.rstrip('/')) :]}" if seen else point)
        while True:
            found.append(Place(folder, version))
            if folder in {posixpath.normpath(point), "/"}:
                break
            folder = posixpath.dirname(folder)
    return tuple(found)


def _memberships(cgroup: str, controller: str) -> Iterable[tuple[int, str]]:
    for line in cgroup.splitlines():
        hierarchy, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not path.startswith("/"):
            continue
        if hierarchy == "0" and not controllers:
            yield 2, path
        elif controller in controllers.split(","):
            yield 1, path


def _mount(mountinfo: str, controller: str, version: int) -> tuple[str, str] | None:
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        fields, kind = left.split(" "), right.split(" ")
        if len(fields) < 5 or len(kind) < 3:
            continue
        fits = kind[0] == "cgroup2" if version == 2 else kind[0] == "cgroup" and controller in kind[2].split(",")
        if fits:
            return _unescape(fields[3]), _unescape(fields[4])
    return None


def _unescape(text: str) -> str:
    return text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")


def cpu_quota(folders: Iterable[Place], read: Callable[[str], str | None]) -> float | None:
    """Return the tightest CPU quota of `folders` in CPUs (1.5 is one and a half), or None where there is none.

    `read` returns the text of a file, or None if it cannot be read.
    """
    quotas = []
    for place in folders:
        if place.version == 2:
            words = (read(f"{place.folder}/cpu.max") or "").split()
            quota, period = (words[0], words[1]) if len(words) == 2 else ("", "")
        else:
            quota = (read(f"{place.folder}/cpu.cfs_quota_us") or "").strip()
            period = (read(f"{place.folder}/cpu.cfs_period_us") or "").strip()
        if quota.isdigit() and period.isdigit() and int(period) > 0:
            quotas.append(int(quota) / int(period))
    return min(quotas, default=None)


def memory(folders: Iterable[Place], read: Callable[[str], str | None]) -> Memory | None:
    """Return the memory limit with the least left of `folders`, or None where there is none.

    File pages that nobody used lately count as left: the kernel drops them before it kills anyone.
    """
    found = []
    for place in folders:
        names = _V2_MEMORY if place.version == 2 else _V1_MEMORY
        limit, used = (_number(read(f"{place.folder}/{name}")) for name in names[:2])
        if limit is None or limit >= _V1_UNLIMITED:
            continue
        droppable = _statistic(read(f"{place.folder}/memory.stat") or "", names[2])
        found.append(Memory(limit, max(0, limit - max(0, (used or 0) - droppable))))
    return min(found, key=lambda one: one.available, default=None)


_V1_MEMORY = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_V2_MEMORY = ("memory.max", "memory.current", "inactive_file")


def _number(text: str | None) -> int | None:
    digits = (text or "").strip()
    return int(digits) if digits.isdigit() else None


def _statistic(text: str, name: str) -> int:
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        if key == name and value.strip().isdigit():
            return int(value)
    return 0


def memory_of(meminfo: str) -> tuple[int, int]:
    """Return the total and the available memory in MiB, from the text of /proc/meminfo. Missing lines count as 0.

    Kernels before 3.14 have no MemAvailable: there, free memory and the page cache stand for it.
    """
    values = {}
    for line in meminfo.splitlines():
        key, _, rest = line.partition(":")
        words = rest.split()
        if words and words[0].isdigit():
            values[key] = int(words[0])
    available = values.get("MemAvailable", values.get("MemFree", 0) + values.get("Cached", 0))
    return values.get("MemTotal", 0) // _KIB_PER_MIB, available // _KIB_PER_MIB


def read_file(path: str) -> str | None:
    """Return the text of a file of /proc or /sys, or None where it is missing or may not be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return None
