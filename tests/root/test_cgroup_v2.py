"""What a container may use on a host with cgroup v2, shown by a process that wants more (cgroups(7), cgroup-v2.rst)."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.root.conftest import Run
from tests.support.cli import Pyc, sh
from tests.support.host import cgroup_version, needs_cgroup
from tests.support.oci import Oci

pytestmark = [pytest.mark.root, needs_cgroup(2)]

HOG = "tail /dev/zero"  # waits for the end of the last line, which never comes, and keeps it all in memory
OWN = "/sys/fs/cgroup"  # what a container sees there is its own cgroup


@pytest.fixture
def oci(oci: Oci) -> Oci:
    for name in ("head", "tail", "wc"):
        os.symlink("busybox", f"{oci.rootfs}/bin/{name}")
    return oci


def counters(text: str) -> dict[str, int]:
    """A file of lines ``name number``."""
    return {name: int(number) for name, number in (line.split() for line in text.splitlines())}


# --- limits, each exceeded --------------------------------------------------------------------------------------------


def test_more_memory_than_the_limit_ends_it_and_is_said(stocked: Pyc, image: str) -> None:
    assert stocked("run", "--name", "hog", "-m", "32m", image, *HOG.split()).code == 137
    shown = stocked("inspect", "--format", "{{.State.OOMKilled}}", "hog").ok()
    assert shown.stdout == "true\n"
    stocked("rm", "hog").ok()


def test_more_processes_than_the_limit_are_refused_and_counted(run: Run) -> None:
    script = f"for i in 1 2 3 4 5 6 7 8 9; do sleep 1 & done; cat {OWN}/pids.events"
    result = run("--pids-limit", "6", command=sh(f"({script}) 2>&1; cat {OWN}/pids.events; cat {OWN}/pids.max"))
    assert "fork" in result.stdout or "unavailable" in result.stdout
    *_, events, limit = result.lines
    assert limit == "6" and int(events.split()[1]) > 0


def test_more_processor_than_the_limit_is_made_to_wait(run: Run) -> None:
    busy = f"cat /proc/uptime; timeout 3 sh -c 'while :; do :; done'; cat /proc/uptime {OWN}/cpu.stat"
    began, ended, *counted = run("--cpus", "0.2", command=sh(busy)).ok().lines
    used, seconds = counters("\n".join(counted)), float(ended.split()[0]) - float(began.split()[0])
    assert used["nr_throttled"] > 5
    assert used["usage_usec"] < 0.2 * seconds * 1e6 + 0.3e6  # the start and the last period are not whole


def test_more_disk_traffic_than_the_limit_is_made_to_wait(run: Run, stocked: Pyc) -> None:
    disk = disk_of(stocked.root)
    began = time.monotonic()
    script = f"dd if=/dev/zero of=/big bs=64k count=64 oflag=direct && cat {OWN}/io.stat"
    wrote = run("--device-write-bps", f"{disk}:1mb", command=sh(script))
    assert "wbytes=" in wrote.ok().stdout
    assert time.monotonic() - began > 3  # 4 MiB at 1 MiB/s


def disk_of(path: str) -> str:
    """The device of the disk that a path is on; a partition has no limits of its own."""
    number = os.stat(path).st_dev
    place = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}").resolve()
    if not place.exists():
        pytest.skip("needs the tests' directory on a disk")
    return "/dev/" + (place.parent.name if (place / "partition").exists() else place.name)


# --- what only v2 has -------------------------------------------------------------------------------------------------


def with_limits(oci: Oci, script: str, **files: str) -> str:
    spec = oci.spec("sh", "-c", script)
    spec["linux"]["resources"] = {"unified": {name.replace("__", "."): value for name, value in files.items()}}
    spec["mounts"].append({"destination": OWN, "type": "cgroup", "source": "cgroup", "options": ["ro"]})
    return oci.run(spec).out


def test_what_is_above_memory_high_is_slowed_and_not_killed(oci: Oci) -> None:
    script = f"head -c 20000000 /dev/zero | tail -c 17000000 | wc -c; cat {OWN}/memory.events"
    size, *events = with_limits(oci, script, memory__high="16M", memory__swap__max="0").splitlines()
    assert int(size) == 17_000_000
    counted = counters("\n".join(events))
    assert counted["high"] > 0 and counted["oom_kill"] == 0


@pytest.mark.parametrize("group", ["0", "1"])
def test_oom_group_ends_the_whole_container(oci: Oci, group: str) -> None:
    script = f"{HOG}; echo the shell lives"
    said = with_limits(oci, script, memory__max="32M", memory__swap__max="0", memory__oom__group=group)
    assert ("the shell lives" in said) == (group == "0")


def test_controllers_that_nobody_had_enabled_are_handed_down(run: Run) -> None:
    files = (f"{OWN}/cpuset.cpus.effective", f"{OWN}/cpu.weight")
    shown = run("--cpuset-cpus", "0", "--cpu-shares", "512", command=("cat", *files))
    assert shown.ok().lines == ["0", "59"]


def test_a_privileged_container_divides_its_own_cgroup_and_nothing_is_left(run: Run) -> None:
    script = f"""
    mkdir {OWN}/init {OWN}/small && for pid in $(cat {OWN}/cgroup.procs); do echo $pid > {OWN}/init/cgroup.procs; done
    echo +pids > {OWN}/cgroup.subtree_control && echo 3 > {OWN}/small/pids.max && cat {OWN}/small/pids.max
    """
    run().ok()  # makes what is above
    before = os.listdir("/sys/fs/cgroup/pyc")
    assert run("--privileged", command=sh(script)).ok().stdout == "3\n"
    deadline = time.monotonic() + 20
    while (left := set(os.listdir("/sys/fs/cgroup/pyc")) - set(before)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left


def test_a_container_can_not_lift_its_limits(run: Run) -> None:
    result = run("--pids-limit", "50", "--cap-add", "ALL", command=sh(f"echo max > {OWN}/pids.max; cat {OWN}/pids.max"))
    assert result.stdout == "50\n" and "Read-only" in result.stderr


# --- the filter of devices --------------------------------------------------------------------------------------------


def test_devices_are_filtered_by_a_program(run: Run) -> None:
    assert "ermitted" in run("--cap-add", "MKNOD", command=sh("mknod /dev/mine c 1 1")).stderr
    script = "cd /dev; mknod z c 1 5; head -c1 z | wc -c; mknod k c 1 11; dd if=k bs=9k count=1 | wc -l; echo x > k"
    rule = ("--device-cgroup-rule", "c 1:11 rm", "--cap-add", "MKNOD", "--cap-add", "SYSLOG")
    result = run(*rule, command=sh(script))
    assert result.lines[0] == "1" and int(result.lines[1]) > 0
    assert "can't create k: Operation not permitted" in result.stderr


def test_what_enters_later_is_filtered_too(stocked: Pyc, image: str) -> None:
    stocked("run", "-d", "--name", "box", image, "sleep", "100").ok()
    try:
        denied = stocked("exec", "box", *sh("mknod /x c 1 1 && cat /x"))
        assert "ermitted" in denied.stderr
        assert stocked("exec", "box", *sh("cat /proc/self/cgroup")).stdout == "0::/\n"
    finally:
        stocked("rm", "-f", "box").ok()


def test_the_version_is_told(stocked: Pyc) -> None:
    assert stocked("info", "--format", "{{.CgroupVersion}}").ok().stdout == f"{cgroup_version()}\n"
