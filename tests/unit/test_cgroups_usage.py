"""What a cgroup has used, from files as the kernel writes them; and other limits, in directories that look so."""

from __future__ import annotations

from pathlib import Path

import pytest

from pycontainer.cgroups.adjust import adjust
from pycontainer.cgroups.group import Group, Tree
from pycontainer.cgroups.hierarchy import Hierarchy
from pycontainer.cgroups.limit import Limit
from pycontainer.cgroups.usage import usage
from pycontainer.errors import HostLacks, UsageError

V2 = {
    "cgroup.procs": "",
    "cpu.stat": "usage_usec 1500\nuser_usec 1000\nsystem_usec 500\n",
    "memory.current": "10000\n",
    "memory.stat": "anon 4000\nfile 6000\ninactive_file 5000\n",
    "memory.max": "max\n",
    "io.stat": "8:0 rbytes=4096 wbytes=100 rios=1 wios=1 dbytes=0 dios=0\n8:16 rbytes=4 wbytes=1 rios=1 wios=1\n",
    "pids.current": "3\n",
    "pids.max": "50\n",
}
V1 = {
    "memory": {
        "cgroup.procs": "",
        "memory.usage_in_bytes": "10000\n",
        "memory.stat": "cache 1\ntotal_inactive_file 4000\n",
        "memory.limit_in_bytes": "9223372036854771712\n",
    },
    "cpuacct": {"cpuacct.usage": "777\n"},
    "blkio": {"blkio.throttle.io_service_bytes_recursive": "8:0 Read 10\n8:0 Write 20\n8:0 Total 30\nTotal 30\n"},
    "pids": {"pids.current": "2\n", "pids.max": "max\n"},
}


def made(directory: Path, files: dict[str, str]) -> str:
    directory.mkdir(parents=True)
    for name, text in files.items():
        (directory / name).write_text(text)
    return str(directory)


def test_v2(tmp_path: Path) -> None:
    assert usage([made(tmp_path / "g", V2)]) == (1_500_000, 5000, 0, 4100, 101, 3, 50)


def test_v1(tmp_path: Path) -> None:
    directories = [made(tmp_path / name, files) for name, files in V1.items()]
    assert usage(directories) == (777, 6000, 0, 10, 20, 2, 0)


def test_what_no_cgroup_counts_is_added_up_over_the_processes(tmp_path: Path) -> None:
    import os

    sum(number * number for number in range(300_000))
    found = usage([made(tmp_path / "g", {"cgroup.procs": f"{os.getpid()}\n"})])
    assert found.cpu > 0 and found.tasks == 1 and found.memory == 0


def test_nothing_at_all(tmp_path: Path) -> None:
    assert usage([str(tmp_path / "gone")]) == (0, 0, 0, 0, 0, 0, 0)


def unified(mount: Path, limits: list[Limit]) -> Group:
    home = Hierarchy(2, str(mount), "/", True, ("cpu", "memory", "pids"))
    return Group((Tree(home, "/pyc/id", ("memory", "pids"), tuple(limits)),))


def test_limits_of_v2_are_written_where_their_controller_was_handed_down(tmp_path: Path) -> None:
    made(tmp_path / "pyc" / "id", {"memory.max": "", "pids.max": "", "cgroup.procs": ""})
    for above in (tmp_path, tmp_path / "pyc"):
        (above / "cgroup.subtree_control").write_text("")
    adjust([], unified(tmp_path, [Limit("memory.max", "64", "memory.limit"), Limit("pids.max", "5", "pids.limit")]))
    assert (tmp_path / "pyc/id/memory.max").read_text() == "64"
    assert (tmp_path / "pyc/id/pids.max").read_text() == "5"
    assert (tmp_path / "pyc/cgroup.subtree_control").read_text() == "+memory +pids"


def test_a_file_that_is_missing_and_a_value_that_is_refused(tmp_path: Path) -> None:
    made(tmp_path / "pyc" / "id", {"cgroup.procs": ""})
    (tmp_path / "pyc/id/memory.max").mkdir()
    with pytest.raises(HostLacks, match="--pids-limit: this cgroup has no pids"):
        adjust([], unified(tmp_path, [Limit("pids.max", "5", "pids.limit")]))
    with pytest.raises(UsageError, match="--memory: the kernel does not take 64 for memory"):
        adjust([], unified(tmp_path, [Limit("memory.max", "64", "memory.limit")]))
