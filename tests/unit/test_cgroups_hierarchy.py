"""Which hierarchies a host has, from the texts of /proc of different kinds of hosts."""

from __future__ import annotations

import os

import pytest

from pycontainer.cgroups import hierarchy
from pycontainer.cgroups.hierarchy import Hierarchy, own_cgroup, parse
from pycontainer.errors import HostLacks

UNIFIED = "28 23 0:24 / /sys/fs/cgroup rw,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"
HYBRID = (
    "24 30 0:22 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
    "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:4 master:2 - cgroup cgroup rw,cpu,cpuacct\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,xattr,memory,clone_children\n"
    "39 31 0:36 / /sys/fs/cgroup/pids ro,relatime - cgroup cgroup rw,pids\n"
    "40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,release_agent=/x,name=systemd\n"
    "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
)


def test_a_unified_host_has_every_controller_in_one_place() -> None:
    found = parse(UNIFIED, "cpuset cpu io memory hugetlb pids\n")
    assert found.v1 == {}
    assert {found.home(name) for name in ("memory", "pids", "cpu", "cpuset", "blkio")} == {found.v2}
    assert found.home("devices") is None
    assert found.v2 and own_cgroup(found.v2, "0::/system.slice/pyc\n") == "/system.slice/pyc"


def test_a_hybrid_host_has_each_controller_in_the_hierarchy_it_is_bound_to() -> None:
    found = parse(HYBRID, "hugetlb\n")
    memory, hugetlb = found.home("memory"), found.home("hugetlb")
    assert memory and (memory.version, memory.mount, memory.name) == (1, "/sys/fs/cgroup/memory", "memory")
    assert hugetlb and (hugetlb.version, hugetlb.mount) == (2, "/sys/fs/cgroup/unified")
    assert found.home("cpu") == found.home("cpuacct")
    assert found.v1["cpu"].controllers == ("cpu", "cpuacct")
    assert found.home("blkio") is None
    assert "name=systemd" not in found.v1


def test_a_hierarchy_that_is_mounted_read_only_says_so() -> None:
    found = parse(HYBRID, "")
    assert not found.v1["pids"].writable
    assert found.v1["memory"].writable


def test_of_two_mounts_of_a_hierarchy_the_writable_one_is_used() -> None:
    again = "50 31 0:36 / /mnt/pids rw,relatime - cgroup cgroup rw,pids\n"
    for text in (HYBRID + again, again + HYBRID):
        assert parse(text, "").v1["pids"].mount == "/mnt/pids"


def test_a_mount_point_with_a_space_in_it_is_read_right() -> None:
    found = parse("28 23 0:24 / /mnt/c\\040g\\134x rw - cgroup2 cgroup2 rw\n", "")
    assert found.v2 and found.v2.mount == "/mnt/c g\\x"


def test_a_host_without_cgroups_has_none() -> None:
    found = parse("24 30 0:22 / / rw,relatime - ext4 /dev/vda rw\n", "")
    assert found.v1 == {} and found.v2 is None


MEMBERSHIP = "4:memory:/jobs/7\n1:cpu,cpuacct:/\n0::/user.slice/x\n"


@pytest.mark.parametrize(
    ("name", "root", "expected"),
    [
        ("memory", "/", "/jobs/7"),
        ("memory", "/jobs", "/7"),
        ("memory", "/jobs/7", ""),
        ("cpu,cpuacct", "/", ""),
        ("", "/", "/user.slice/x"),
    ],
)
def test_where_this_process_is_counts_from_what_the_mount_shows(name: str, root: str, expected: str) -> None:
    assert own_cgroup(Hierarchy(1, "/m", root, True, (), name), MEMBERSHIP) == expected


@pytest.mark.parametrize(("name", "root"), [("memory", "/job"), ("memory", "/jobs/7/8"), ("pids", "/")])
def test_a_mount_that_does_not_show_this_process_is_refused(name: str, root: str) -> None:
    with pytest.raises(HostLacks):
        own_cgroup(Hierarchy(1, "/m", root, True, (), name), MEMBERSHIP)


def test_a_descriptor_that_somebody_else_has_by_now_is_left_alone() -> None:
    text = hierarchy._mountinfo()
    kept = hierarchy._mounts_now.file
    assert hierarchy._mountinfo() is text  # nothing was mounted, nothing is read
    reader, writer = os.pipe()
    os.dup2(reader, kept)  # as who closes all that it does not know, and opens files of its own
    os.close(writer)  # the end of a pipe is an event, too
    try:
        assert hierarchy._mountinfo() == text
        assert hierarchy._mounts_now.file != kept
        assert os.read(kept, 1) == b""
        os.close(hierarchy._mounts_now.file)
        assert hierarchy._mountinfo() == text
    finally:
        os.close(kept)
        os.close(reader)
