"""Limits of control groups, version 1 and 2, from recorded text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from devbox.agent.cgroup import Memory, Place, cpu_quota, memory, places

if TYPE_CHECKING:
    from collections.abc import Callable

V1_CGROUP = """\
9:name=systemd:/
4:memory:/process_api/70d6e4fdd429
2:cpuacct,cpu:/
0::/
"""
V1_MOUNTS = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""
V2_CGROUP = "0::/user.slice/user-1000.slice/session-3.scope\n"
V2_MOUNTS = "32 23 0:28 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime - cgroup2 cgroup2 rw,nsdelegate\n"


def test_version_2_looks_at_each_level_up_to_the_mount() -> None:
    assert places(V2_CGROUP, V2_MOUNTS, "cpu") == (
        Place("/sys/fs/cgroup/user.slice/user-1000.slice/session-3.scope", 2),
        Place("/sys/fs/cgroup/user.slice/user-1000.slice", 2),
        Place("/sys/fs/cgroup/user.slice", 2),
        Place("/sys/fs/cgroup", 2),
    )


def test_version_1_looks_where_the_controller_is_mounted() -> None:
    assert places(V1_CGROUP, V1_MOUNTS, "memory")[:3] == (
        Place("/sys/fs/cgroup/memory/process_api/70d6e4fdd429", 1),
        Place("/sys/fs/cgroup/memory/process_api", 1),
        Place("/sys/fs/cgroup/memory", 1),
    )
    assert Place("/sys/fs/cgroup/cpu,cpuacct", 1) in places(V1_CGROUP, V1_MOUNTS, "cpu")


def test_inside_a_container_the_mounts_root_is_the_containers_own_group() -> None:
    cgroup = "4:memory:/docker/0123abc/inner\n"
    mounts = "35 31 0:32 /docker/0123abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"
    assert places(cgroup, mounts, "memory") == (
        Place("/sys/fs/cgroup/memory/inner", 1),
        Place("/sys/fs/cgroup/memory", 1),
    )


def test_a_group_outside_the_mount_is_seen_as_its_top() -> None:
    assert places("0::/../other\n", V2_MOUNTS, "cpu") == (Place("/sys/fs/cgroup", 2),)
    mounts = "35 31 0:32 /docker/0123abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"
    assert places("4:memory:/elsewhere\n", mounts, "memory") == (Place("/sys/fs/cgroup/memory", 1),)


@pytest.mark.parametrize("text", ["", "nonsense", "1:cpu", "::::", "0::relative"])
def test_text_that_makes_no_sense_limits_nothing(text: str) -> None:
    assert places(text, V2_MOUNTS, "cpu") == ()
    assert places(V2_CGROUP, text, "cpu") == ()


def read_from(files: dict[str, str]) -> Callable[[str], str | None]:
    return files.get


@pytest.mark.parametrize(
    ("text", "quota"),
    [("150000 100000\n", 1.5), ("max 100000\n", None), ("", None), ("100000 0", None), ("x y", None)],
)
def test_version_2_quota(text: str, quota: float | None) -> None:
    assert cpu_quota([Place("/g", 2)], read_from({"/g/cpu.max": text})) == quota


def test_version_1_quota_and_no_quota() -> None:
    files = {"/g/cpu.cfs_quota_us": "200000\n", "/g/cpu.cfs_period_us": "100000\n"}
    assert cpu_quota([Place("/g", 1)], read_from(files)) == 2.0
    assert cpu_quota([Place("/g", 1)], read_from({**files, "/g/cpu.cfs_quota_us": "-1\n"})) is None


def test_the_tightest_quota_of_all_levels_wins() -> None:
    files = {"/a/b/cpu.max": "max 100000", "/a/cpu.max": "400000 100000", "/cpu.max": "800000 100000"}
    assert cpu_quota([Place("/a/b", 2), Place("/a", 2), Place("", 2)], read_from(files)) == 4.0


def test_file_pages_that_can_be_dropped_count_as_available() -> None:
    files = {
        "/g/memory.max": "1000000\n",
        "/g/memory.current": "900000\n",
        "/g/memory.stat": "anon 500000\ninactive_file 300000\nactive_file 100000\n",
    }
    assert memory([Place("/g", 2)], read_from(files)) == Memory(1_000_000, 400_000)


def test_version_1_memory_reads_its_own_names() -> None:
    files = {
        "/g/memory.limit_in_bytes": "1000000\n",
        "/g/memory.usage_in_bytes": "600000\n",
        "/g/memory.stat": "inactive_file 1\ntotal_inactive_file 100000\n",
    }
    assert memory([Place("/g", 1)], read_from(files)) == Memory(1_000_000, 500_000)


def test_no_memory_limit() -> None:
    assert memory([Place("/g", 2)], read_from({"/g/memory.max": "max\n", "/g/memory.current": "5\n"})) is None
    assert memory([Place("/g", 1)], read_from({"/g/memory.limit_in_bytes": "9223372036854771712\n"})) is None
    assert memory([Place("/g", 2)], read_from({})) is None


def test_the_level_with_the_least_left_wins() -> None:
    files = {
        "/a/b/memory.max": "1000",
        "/a/b/memory.current": "100",
        "/a/memory.max": "2000",
        "/a/memory.current": "1900",
    }
    assert memory([Place("/a/b", 2), Place("/a", 2)], read_from(files)) == Memory(2000, 100)


def test_use_above_the_limit_leaves_nothing() -> None:
    files = {"/g/memory.max": "1000", "/g/memory.current": "5000"}
    assert memory([Place("/g", 2)], read_from(files)) == Memory(1000, 0)
