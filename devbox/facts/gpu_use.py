"""How the GPUs of this machine are used now, and by whom: what nvidia-smi and /proc say at this moment."""

from __future__ import annotations

import csv
import os
import re
from typing import TYPE_CHECKING

from devbox.agent.cgroup import read_file
from devbox.engine import process
from devbox.errors import EngineError
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

_GPUS = ("index", "uuid", "name", "memory.used", "memory.total", "utilization.gpu")
_PROCESSES = ("gpu_uuid", "pid", "used_memory", "process_name")
# docker's, containerd's and podman's groups carry the id of the container, with a prefix and a suffix or without.
_CONTAINER = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")


@dataclass(frozen=True, slots=True)
class Holder:
    """A process on a GPU: `memory` in MiB, `container` the id of the one that it runs in; None is not known."""

    pid: int
    program: str
    memory: int | None
    user: str | None = None
    container: str | None = None


@dataclass(frozen=True, slots=True)
class GpuUse:
    """A GPU at this moment: memory in MiB, `busy` in percent, and who holds memory, the most first."""

    index: int
    name: str
    used: int | None
    total: int | None
    busy: int | None
    holders: tuple[Holder, ...] = ()


def gather(seconds: float) -> tuple[GpuUse, ...]:
    """Ask nvidia-smi, which gets so many seconds for each of two answers. Raises EngineError."""
    gpus = _smi("gpu", _GPUS, seconds)
    processes = _smi("compute-apps", _PROCESSES, seconds)
    pids = {row[1] for row in csv.reader(processes.splitlines(), skipinitialspace=True) if len(row) == len(_PROCESSES)}
    return read(gpus, processes, {pid: _who(pid) for pid in pids if pid.isdigit()})


def _smi(what: str, fields: tuple[str, ...], seconds: float) -> str:
    argv = ["nvidia-smi", f"--query-{what}={','.join(fields)}", "--format=csv,noheader,nounits"]
    try:
        done = process.run(argv, check=False, timeout=seconds)
    except process.NoAnswerError:
        raise EngineError(f"nvidia-smi gave no answer within {seconds:g} s") from None
    if not done.ok:
        said = (done.stdout.strip() or done.stderr.strip() or f"exit code {done.code}").splitlines()
        raise EngineError(f"nvidia-smi failed: {said[0].rstrip('.')}")
    return done.stdout


def read(gpus: str, processes: str, who: Mapping[str, tuple[str | None, str | None]]) -> tuple[GpuUse, ...]:
    """Return what the two answers of nvidia-smi say; `who` has user and container by the process id."""
    holders: dict[str, list[Holder]] = {}
    for row in csv.reader(processes.splitlines(), skipinitialspace=True):
        if len(row) == len(_PROCESSES) and row[1].isdigit():
            uuid, pid, memory, program = row
            holder = Holder(int(pid), program.rpartition("/")[2], _number(memory), *who.get(pid, (None, None)))
            holders.setdefault(uuid, []).append(holder)
    return tuple(
        GpuUse(int(index), name, _number(used), _number(total), _number(busy), _most_first(holders.get(uuid, [])))
        for index, uuid, name, used, total, busy in (
            row for row in csv.reader(gpus.splitlines(), skipinitialspace=True) if len(row) == len(_GPUS)
        )
        if index.isdigit()
    )


def _most_first(holders: list[Holder]) -> tuple[Holder, ...]:
    return tuple(sorted(holders, key=lambda one: (-(one.memory or 0), one.pid)))


def _number(text: str) -> int | None:
    """Return a number; None for `[N/A]`, which the driver says of what it does not have or does not tell."""
    return int(text) if text.strip().isdigit() else None


def _who(pid: str) -> tuple[str | None, str | None]:
    """Return the user of a process and the container that it runs in, as far as /proc tells."""
    import pwd

    try:
        uid = os.stat(f"/proc/{pid}").st_uid  # noqa: PTH116  # of a number
    except OSError:
        return None, None
    found = _CONTAINER.search(read_file(f"/proc/{pid}/cgroup") or "")
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:
        user = str(uid)
    return user, found[0] if found else None
