"""The host: memory from recorded text, and the real machine as a check of sanity."""

from __future__ import annotations

import grp
import os
import pwd
from typing import Never

import pytest

from devbox.agent import cgroup
from devbox.facts import host


def test_memory_in_mib() -> None:
    text = (
        "MemTotal:       24684092 kB\nMemFree:  100 kB\nMemAvailable:   24123392 kB\nCached: 7 kB\nHugePages_Total: 0\n"
    )
    assert cgroup.memory_of(text) == (24105, 23558)


def test_without_memavailable_free_memory_and_the_page_cache_stand_for_it() -> None:
    assert cgroup.memory_of("MemTotal: 4096 kB\nMemFree: 1024 kB\nCached: 2048 kB\n") == (4, 3)


@pytest.mark.parametrize("text", ["", "MemTotal", "MemTotal: lots"])
def test_memory_that_is_not_told_is_0(text: str) -> None:
    assert cgroup.memory_of(text) == (0, 0)


def test_the_user_without_a_passwd_line_still_has_a_name_and_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(uid: int) -> Never:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    monkeypatch.delenv("USER", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    user = host.user()
    assert (user.uid, user.name, user.home) == (54321, "u54321", "/")


def test_home_is_what_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/somewhere/else")
    assert host.user().home == "/somewhere/else"
    monkeypatch.setenv("HOME", "not/absolute")
    assert host.user().home.startswith("/")


def test_the_real_host() -> None:
    facts = host.gather()
    assert facts.user.uid == os.getuid()
    assert 1 <= facts.cpus <= (os.cpu_count() or 1)
    assert 0 < facts.memory_available <= facts.memory_total
    assert facts.cpu_quota is None or facts.cpu_quota > 0


def test_a_cgroup_limit_is_below_what_the_machine_has(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "/proc/self/cgroup": "0::/job\n",
        "/proc/self/mountinfo": "32 23 0:28 / /cg rw - cgroup2 cgroup2 rw\n",
        "/proc/meminfo": "MemTotal: 16777216 kB\nMemAvailable: 8388608 kB\n",
        "/cg/job/memory.max": str(4 << 30),
        "/cg/job/memory.current": str(1 << 30),
        "/cg/job/cpu.max": "250000 100000",
    }
    monkeypatch.setattr(cgroup, "read_file", files.get)
    facts = host.gather()
    assert (facts.memory_total, facts.memory_available, facts.cpu_quota) == (4096, 3072, 2.5)


def test_a_group_of_devices_is_told_by_this_machine_s_id() -> None:
    known = grp.getgrgid(os.getgid())
    assert host.group(known.gr_name) == str(known.gr_gid)
    assert host.group("no-such-group") == "no-such-group"
