"""What this machine's own files in /proc, /sys, /dev and /etc say that debuggers, engines and accounts depend on."""

from __future__ import annotations

import os
from pathlib import Path

from devbox.agent.cgroup import read_file
from devbox.values import dataclass

# PCI's vendor number of NVIDIA, and the class of what draws or computes: https://pci-ids.ucw.cz
_NVIDIA = "0x10de"
_DISPLAY = "0x03"


@dataclass(frozen=True, slots=True)
class Range:
    """The ids that somebody may hand on: `count` of them from `first` on."""

    owner: str
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class System:
    """The machine by its files; None is what they do not say.

    `perf` is kernel.perf_event_paranoid and `ptrace` yama's ptrace_scope. `counters_for_root` says that the NVIDIA
    driver gives performance counters to root alone. `nvidia` counts the NVIDIA GPUs on the PCI bus, whatever drives
    them. `shm` is the size of /dev/shm in bytes, `accounts` are names with their uids, `subuids` and `subgids` who may
    hand on which ids.
    """

    perf: int | None = None
    ptrace: int | None = None
    counters_for_root: bool = False
    nvidia: int = 0
    shm: int | None = None
    accounts: tuple[tuple[str, int], ...] = ()
    subuids: tuple[Range, ...] = ()
    subgids: tuple[Range, ...] = ()


def gather(root: Path = Path("/")) -> System:
    """Return the facts of the machine whose files lie below `root`."""
    return System(
        perf=_number(root / "proc/sys/kernel/perf_event_paranoid"),
        ptrace=_number(root / "proc/sys/kernel/yama/ptrace_scope"),
        counters_for_root="RmProfilingAdminOnly: 1" in _text(root / "proc/driver/nvidia/params"),
        nvidia=_nvidia(root / "sys/bus/pci/devices"),
        shm=_size(root / "dev/shm"),
        accounts=accounts(_text(root / "etc/passwd")),
        subuids=_ranges(_text(root / "etc/subuid")),
        subgids=_ranges(_text(root / "etc/subgid")),
    )


def accounts(passwd: str) -> tuple[tuple[str, int], ...]:
    """Return names and uids of the text of a passwd file."""
    rows = (line.split(":") for line in passwd.splitlines())
    return tuple((row[0], int(row[2])) for row in rows if len(row) > 2 and row[2].isdigit())


def _ranges(text: str) -> tuple[Range, ...]:
    rows = (line.split(":") for line in text.splitlines())
    return tuple(
        Range(row[0], int(row[1]), int(row[2])) for row in rows if len(row) == 3 and "".join(row[1:]).isdigit()
    )


def _text(path: Path) -> str:
    return read_file(str(path)) or ""


def _number(path: Path) -> int | None:
    try:
        return int(_text(path))
    except ValueError:
        return None


def _nvidia(bus: Path) -> int:
    try:
        devices = list(bus.iterdir())
    except OSError:
        return 0
    return sum(
        _text(one / "vendor").strip() == _NVIDIA and _text(one / "class").startswith(_DISPLAY) for one in devices
    )


def _size(folder: Path) -> int | None:
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    return found.f_frsize * found.f_blocks
