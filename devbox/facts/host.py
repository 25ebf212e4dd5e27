"""The host as a build sees it: the user, the CPUs and the memory that this process may really use."""

from __future__ import annotations

import grp
import os
import pwd
import re

from devbox.agent import cgroup
from devbox.facts.model import Host, User

MIB = 1 << 20
MAX_NAME = 32
FALLBACK_NAME = "dev"


def gather() -> Host:
    """Return the facts of the host. What the system does not tell is left out, never an error."""
    groups = cgroup.read_file("/proc/self/cgroup") or ""
    mounts = cgroup.read_file("/proc/self/mountinfo") or ""
    total, available = cgroup.memory_of(cgroup.read_file("/proc/meminfo") or "")
    limited = cgroup.memory(cgroup.places(groups, mounts, "memory"), cgroup.read_file)
    if limited is not None:
        total = min(total, limited.limit // MIB) if total else limited.limit // MIB
        available = min(available, limited.available // MIB)
    return Host(
        user=user(),
        cpus=_affinity(),
        cpu_quota=cgroup.cpu_quota(cgroup.places(groups, mounts, "cpu"), cgroup.read_file),
        memory_total=total,
        memory_available=available,
        hostname=os.uname().nodename,
    )


def user() -> User:
    """Return the person who runs this: the real uid and gid, the login name, and the home folder ($HOME first)."""
    uid, gid = os.getuid(), os.getgid()
    try:
        entry = pwd.getpwuid(uid)
        name, home = entry.pw_name, entry.pw_dir
    except KeyError:
        # A uid without a passwd line is normal in containers and with directory services that are down.
        name, home = os.environ.get("USER") or f"u{uid}", "/"
    chosen = os.environ.get("HOME", "")
    return User(uid=uid, gid=gid, name=name, home=chosen if chosen.startswith("/") else home)


def group(name: str) -> str:
    """Return the id of a group of this machine, to which its devices belong: `name` where there is no such one.

    An image may lack the name, which docker refuses, or have another id for it.
    """
    try:
        return str(grp.getgrnam(name).gr_gid)
    except KeyError:
        return name


def account_name(name: str) -> str:
    """Return `name` as useradd takes it: directories of a site allow dots, capitals and domains, which it refuses."""
    plain = re.sub(r"[^a-z0-9_-]", "-", name.rpartition("\\")[2].partition("@")[0].lower()).strip("-")
    if not plain or plain == "root":
        return FALLBACK_NAME
    return (plain if plain[0].isalpha() or plain[0] == "_" else f"u{plain}")[:MAX_NAME].rstrip("-")


def _affinity() -> int:
    # macOS has no affinity.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
