"""Cgroups for real: a process started by the performer finds itself limited, and nothing stays behind."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from pycontainer import cgroups
from pycontainer.cgroups import refusal
from pycontainer.cgroups.hierarchy import Hierarchies
from pycontainer.cgroups.limit import Look
from pycontainer.cgroups.resources import DeviceRule, Resources
from pycontainer.core import calls
from pycontainer.core import constants as k
from pycontainer.core.performer import Performance, PlanFailed
from pycontainer.core.step import INIT, MONITOR, Plan, Slot, Step
from pycontainer.errors import HostLacks
from tests.support.cli import Pyc
from tests.support.host import needs_cgroup, needs_controller

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

OUT, ERROR_PIPE, OUR_ERROR_PIPE = Slot("out"), Slot("error pipe"), Slot("our error pipe")
PID, PIDFD, EXIT = Slot("pid"), Slot("pidfd"), Slot("exit file")
HARMLESS: list[DeviceRule] = [
    {"allow": False, "access": "rwm"},
    {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rwm"},
    {"allow": True, "type": "c", "major": 1, "minor": 5, "access": "r"},
]


@pytest.fixture
def path() -> Iterator[str]:
    """A group that nobody else has; whatever a test left in it is removed."""
    name = f"/pyc-test-{os.getpid()}-{time.monotonic_ns():x}"
    yield name
    assert cgroups.detect().remove_now(name) == ()


def steps(group: cgroups.Group, command: str) -> Plan:
    """The smallest plan that runs a command in a group, in no namespace of its own."""
    exec_argv = ("sh", "-c", command)

    def step(where: str, *made: object) -> Step:
        return Step("test", "", where, tuple(made), "")  # type: ignore[arg-type]

    return (
        *group.create(),
        step(MONITOR, calls.clone3(0, child=INIT, out=PID, cgroup=group.clone_into), calls.close(ERROR_PIPE)),
        step(MONITOR, calls.pidfd_open(PID, out=PIDFD)),
        *group.enter(),
        step(INIT, calls.dup3(OUT, 1), calls.dup3(OUT, 2)),
        step(INIT, calls.close_range(3, 0xFFFFFFFF, k.CLOSE_RANGE_CLOEXEC)),
        step(INIT, calls.execve("/bin/sh", exec_argv, ("PATH=/usr/sbin:/usr/bin:/sbin:/bin",))),
        step(MONITOR, calls.read(OUR_ERROR_PIPE, 1, expect=0, report=True)),
        step(
            MONITOR,
            calls.supervise(
                PID,
                PIDFD,
                tty=False,
                stdio=(None, None, None),
                client=None,
                exit_file=EXIT,
                counters=group.counters,
            ),
        ),
        *group.remove(),
    )


class Ran:
    """What became of a command: what it wrote, its wait status, the counters of its group."""

    def __init__(self, group: cgroups.Group, command: str) -> None:
        ours, out = os.pipe()
        our_error, error = os.pipe()
        exit_file = os.memfd_create("exit")
        plan = steps(group, command)
        given = {OUT: out, ERROR_PIPE: error, OUR_ERROR_PIPE: our_error, EXIT: exit_file}
        performance = Performance(plan, given, name="test")
        for fd in (out, error, our_error):
            os.close(fd)
        try:
            performance.wait_started()
            with open(ours, closefd=True) as file:
                self.output = file.read()
            while performance.read_records():
                pass
        finally:
            performance.kill()
            performance.close()
        os.lseek(exit_file, 0, os.SEEK_SET)
        status, _, self.counters = os.read(exit_file, 4096).decode().partition("\n")
        os.close(exit_file)
        self.code = os.waitstatus_to_exitcode(int(status))


def run(path: str, resources: Resources, command: str) -> Ran:
    return Ran(cgroups.detect().group(path, resources), command)


def membership(text: str) -> dict[str, str]:
    """/proc/self/cgroup, by controllers."""
    return {line.split(":", 2)[1]: line.split(":", 2)[2] for line in text.splitlines() if line.count(":") >= 2}


def test_a_process_is_in_the_groups_that_were_asked_for_and_in_no_other(path: str) -> None:
    ran = run(path, {"pids": {"limit": 50}}, "cat /proc/self/cgroup")
    assert ran.code == 0
    hierarchies = cgroups.detect().hierarchies
    wanted = {home.name for name in ("memory", "pids") if (home := hierarchies.home(name))}
    for controllers, where in membership(ran.output).items():
        assert (where == path) is (controllers in wanted), (controllers, where)


def test_nothing_is_left_when_the_monitor_has_ended(path: str) -> None:
    group = cgroups.detect().group(path, {"pids": {"limit": 50}, "devices": HARMLESS})
    for _ in range(50):
        Ran(group, "true")
        assert not [directory for directory in group.directories if os.path.exists(directory)]


@needs_controller("memory")
def test_memory_beyond_the_limit_is_an_out_of_memory_kill_that_is_counted(path: str) -> None:
    resources: Resources = {"memory": {"limit": 8 << 20, "swap": 8 << 20}}
    ran = run(path, resources, "x=$(head -c 64000000 /dev/zero | tr '\\0' x); echo survived")
    assert "survived" not in ran.output
    assert cgroups.oom_killed(ran.counters)


@needs_controller("memory")
def test_a_command_that_stays_below_the_limit_is_not_called_out_of_memory(path: str) -> None:
    ran = run(path, {"memory": {"limit": 64 << 20}}, "kill -9 $$")
    assert ran.code == -signal.SIGKILL
    assert ran.counters and not cgroups.oom_killed(ran.counters)


@needs_controller("pids")
def test_a_fork_beyond_the_limit_fails(path: str) -> None:
    ran = run(path, {"pids": {"limit": 5}}, "for i in 1 2 3 4 5 6 7 8; do sleep 0.2 & done; wait; echo done")
    assert "Resource temporarily unavailable" in ran.output or "Cannot fork" in ran.output


@needs_cgroup(1)
@needs_controller("devices")
def test_only_allowed_devices_open(path: str) -> None:
    check_devices(run(path, {"devices": HARMLESS}, TRY_DEVICES).output)


TRY_DEVICES = """
try() { if (eval "$2") 2>/dev/null; then echo "$1 yes"; else echo "$1 no"; fi; }
try null 'echo x >/dev/null'
try zero-read 'head -c 1 /dev/zero >/dev/null'
try zero-write 'echo x >/dev/zero'
try random 'head -c 1 /dev/urandom >/dev/null'
cd /tmp
try mknod-null 'mknod pyc-test-null c 1 3 && rm pyc-test-null'
try mknod-zero 'mknod pyc-test-zero c 1 5 && rm pyc-test-zero'
"""


def check_devices(output: str) -> None:
    answers = dict(line.split() for line in output.splitlines())
    expected = {"null": "yes", "zero-read": "yes", "zero-write": "no", "random": "no"}
    assert answers == {**expected, "mknod-null": "yes", "mknod-zero": "no"}


def unified_only() -> cgroups.Cgroups:
    """This host as if it had nothing but cgroup v2: no controllers perhaps, but devices, which need none."""
    v2 = cgroups.detect().hierarchies.v2
    if v2 is None or not v2.writable:
        pytest.skip("needs a cgroup v2 hierarchy")
    return cgroups.Cgroups(Hierarchies({}, v2), Look())


def test_a_process_is_born_in_its_v2_group_with_a_program_that_guards_devices(path: str) -> None:
    group = unified_only().group(path, {"devices": HARMLESS})
    assert group.clone_into is not None
    ran = Ran(group, "grep ^0:: /proc/self/cgroup >&2;" + TRY_DEVICES)
    first, _, rest = ran.output.partition("\n")
    assert first == f"0::{path}"
    check_devices(rest)
    assert not os.path.exists(group.directories[0])


@pytest.mark.parametrize(
    ("rules", "allowed"),
    [
        ([{"allow": True, "access": "rwm"}], True),
        ([{"allow": False, "type": "c", "major": 1, "minor": 9, "access": "rw"}], False),
        ([{"allow": False, "type": "c", "major": 1, "minor": 9, "access": "w"}], True),
        ([{"allow": False}, {"allow": True, "type": "c", "major": 1, "access": "r"}], True),
        ([{"allow": False}, {"allow": True, "type": "b", "access": "rwm"}], False),
        ([{"allow": False}, {"allow": True, "type": "c", "major": 1, "minor": 9, "access": "w"}], False),
    ],
)
@pytest.mark.parametrize("version", [1, 2])
def test_a_rule_means_the_same_in_both_versions(
    path: str, rules: list[DeviceRule], allowed: bool, version: int
) -> None:
    here = cgroups.detect() if version == 1 else unified_only()
    if version == 1 and "devices" not in here.hierarchies.v1:
        pytest.skip("needs the v1 devices controller")
    ran = Ran(here.group(path, {"devices": rules}), "head -c 1 /dev/urandom | wc -c")
    assert (ran.output.splitlines()[-1] == "1") is allowed


@needs_cgroup(1)
@needs_controller("cpuset", "cpu")
def test_cpus_and_quota_hold_below_a_parent_that_had_none(path: str) -> None:
    resources: Resources = {"cpu": {"cpus": "0", "quota": 20000, "period": 100000, "shares": 512}}
    here = cgroups.detect()
    group = here.group(f"{path}/child", resources)
    cpu = here.hierarchies.v1["cpu"].mount
    command = f"nproc; cat {cpu}{path}/child/cpu.cfs_quota_us {cpu}{path}/child/cpu.shares"
    assert Ran(group, command).output.split() == ["1", "20000", "512"]


def a_disk() -> tuple[int, int]:
    """A whole disk's device number."""
    for name in sorted(os.listdir("/sys/block"), key=lambda name: not os.path.exists(f"/sys/block/{name}/device")):
        with open(f"/sys/block/{name}/dev") as file:
            major, minor = file.read().split(":")
        return int(major), int(minor)
    pytest.skip("needs a block device")


@needs_cgroup(2)
def test_every_setting_of_v2_reaches_the_kernel(path: str) -> None:
    major, minor = a_disk()
    resources: Resources = {
        "memory": {"limit": 64 << 20, "swap": 96 << 20, "reservation": 32 << 20},
        "cpu": {"quota": 20000, "period": 100000, "shares": 1024, "cpus": "0", "mems": "0"},
        "pids": {"limit": 77},
        "blockIO": {"throttleReadBpsDevice": [{"major": major, "minor": minor, "rate": 1048576}]},
        "hugepageLimits": [{"pageSize": "2MB", "limit": 2 << 20}],
        "unified": {"memory.high": str(60 << 20)},
    }
    expected = {
        "memory.max": str(64 << 20),
        "memory.swap.max": str(32 << 20),
        "memory.low": str(32 << 20),
        "cpu.max": "20000 100000",
        "cpu.weight": "100",
        "cpuset.cpus": "0",
        "cpuset.mems": "0",
        "pids.max": "77",
        "io.max": f"{major}:{minor} rbps=1048576 wbps=max riops=max wiops=max",
        "hugetlb.2MB.max": str(2 << 20),
        "memory.high": str(60 << 20),
    }
    group = cgroups.detect().group(f"{path}/child", resources)
    ran = Ran(group, f"cd {group.directories[0]} && nproc && cat {' '.join(expected)}")
    assert ran.output.splitlines() == ["1", *expected.values()]


@needs_cgroup(2)
def test_io_weights_of_v2_reach_the_kernel_or_are_explained(path: str) -> None:
    group = cgroups.detect().group(path, {"blockIO": {"weight": 500}})
    try:
        ran = Ran(group, f"cd {group.directories[0]} && cat io.weight io.bfq.weight")
    except PlanFailed as failed:
        assert refusal.cause(failed.step, failed.call, failed.record.error).startswith("this kernel has no io.")
    else:
        assert "default 4950" in ran.output or "default 500" in ran.output


@needs_cgroup(1)
@needs_controller("blkio")
def test_weights_and_rates_of_disks_reach_the_kernel(path: str) -> None:
    major, minor = a_disk()
    rate = {"major": major, "minor": minor, "rate": 1048576}
    here = cgroups.detect()
    group = here.group(path, {"blockIO": {"weight": 300, "throttleReadBpsDevice": [rate]}})  # type: ignore[list-item]
    top = here.hierarchies.v1["blkio"].mount + path
    ran = Ran(group, f"cat {top}/blkio.throttle.read_bps_device {top}/blkio.bfq.weight")
    assert ran.output.split("\n")[:2] == [f"{major}:{minor} 1048576", "300"]


@needs_cgroup(1)
@needs_controller("cpu")
def test_realtime_is_handed_down_from_the_top(path: str) -> None:
    here = cgroups.detect()
    top = here.hierarchies.v1["cpu"].mount
    if not os.path.exists(f"{top}/cpu.rt_runtime_us"):
        pytest.skip("needs CONFIG_RT_GROUP_SCHED")
    resources: Resources = {"cpu": {"realtimeRuntime": 10000, "realtimePeriod": 1000000}}
    ran = Ran(here.group(f"{path}/child", resources), f"cat {top}{path}/child/cpu.rt_runtime_us; chrt -r 1 echo ok")
    assert ran.output.split() == ["10000", "ok"]


@needs_cgroup(1)
@needs_controller("memory")
def test_every_setting_of_memory_reaches_the_kernel(path: str) -> None:
    here = cgroups.detect()
    top = here.hierarchies.v1["memory"].mount + path
    wanted = {"limit": 64 << 20, "swap": 128 << 20, "reservation": 32 << 20, "swappiness": 10}
    files = "memory.limit_in_bytes memory.memsw.limit_in_bytes memory.soft_limit_in_bytes memory.swappiness"
    resources: Resources = {"memory": {**wanted, "disableOOMKiller": True}}  # type: ignore[typeddict-item]
    ran = Ran(here.group(path, resources), f"cd {top}; cat {files}; grep oom_kill_disable memory.oom_control")
    assert ran.output.split() == [*map(str, wanted.values()), "oom_kill_disable", "1"]


def test_a_group_that_exists_is_not_taken_over(path: str) -> None:
    group = cgroups.detect().group(path, {})
    if not group.trees:
        pytest.skip("needs the memory controller")
    os.mkdir(group.directories[0])
    with pytest.raises(PlanFailed) as failed:
        Ran(group, "true")
    assert failed.value.call.name == "mkdirat"


def test_what_a_killed_monitor_left_is_killed_and_removed(path: str) -> None:
    here = cgroups.detect()
    group = here.group(path, {"pids": {"limit": 50}})
    for directory in group.directories:
        os.makedirs(f"{directory}/inside/deeper")
    child = os.fork()
    if child == 0:
        for directory in group.directories:
            with open(f"{directory}/inside/deeper/cgroup.procs", "w") as file:
                file.write("0")
        os.execv("/bin/sh", ["sh", "-c", "while :; do sleep 100 & wait; done"])
    time.sleep(0.1)
    assert here.remove_now(path, timeout=0.2) in (group.directories, ())  # a zombie may still be counted
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert here.remove_now(path) == ()
    assert not any(os.path.exists(directory) for directory in group.directories)


def test_a_group_with_somebody_in_it_is_not_removed_without_killing(path: str) -> None:
    group = cgroups.detect().group(path, {})
    if not group.trees:
        pytest.skip("needs the memory controller")
    os.mkdir(group.directories[0])
    child = os.fork()
    if child == 0:
        with open(f"{group.directories[0]}/cgroup.procs", "w") as file:
            file.write("0")
        time.sleep(100)
    time.sleep(0.1)
    try:
        assert group.remove_now(kill=False) == group.directories
        os.kill(child, 0)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert group.remove_now(kill=True) == ()


@needs_cgroup(1)
def test_a_huge_page_limit_goes_where_the_controller_is(path: str) -> None:
    here = cgroups.detect()
    if here.hierarchies.home("hugetlb") is None:
        with pytest.raises(HostLacks, match="hugetlb"):
            here.group(path, {"hugepageLimits": [{"pageSize": "2MB", "limit": 0}]})
        return
    group = here.group(path, {"hugepageLimits": [{"pageSize": "2MB", "limit": 4 << 20}]})
    ran = Ran(group, f"cat {group.directories[-1]}/hugetlb.2MB.* | head -100")
    assert str(4 << 20) in ran.output.split()


def test_processes_that_outlive_a_container_without_a_pid_namespace_are_killed(stocked: Pyc, image: str) -> None:
    script = "sleep 300 >/dev/null 2>&1 & echo $!"
    ran = stocked("run", "--rm", "--pid", "host", image, "sh", "-c", script).ok()
    try:
        with open(f"/proc/{int(ran.stdout)}/cmdline") as file:
            assert file.read() == ""  # a zombie: whoever became its parent has not waited for it yet
    except (FileNotFoundError, ProcessLookupError):
        pass


def test_a_limit_and_a_parent_of_the_command_line_hold(stocked: Pyc, image: str, path: str) -> None:
    options = ("--cgroup-parent", path, "--cgroupns", "host", "--memory", "64m", "--cpus", "0.5")
    ran = stocked("run", "--rm", *options, image, "cat", "/proc/self/cgroup").ok()
    hierarchies = cgroups.detect().hierarchies
    for controller in ("memory", "cpu"):
        home = hierarchies.home(controller)
        assert home and membership(ran.stdout)[home.name].startswith(path + "/")


def test_cpus_that_the_host_lacks_are_refused_in_one_line(stocked: Pyc, image: str) -> None:
    ran = stocked("run", "--rm", "--cpuset-cpus", "4000", image, "true")
    assert ran.code == 125
    assert ran.stderr.startswith("pyc: --cpuset-cpus 4000: this host has ")


def test_inside_the_container_sees_only_its_own_cgroups_and_cannot_change_them(stocked: Pyc, image: str) -> None:
    look = "cut -d: -f3 /proc/self/cgroup | sort -u; find /sys/fs/cgroup -name release_agent"
    script = look + "; for d in /sys/fs/cgroup /sys/fs/cgroup/*/; do mkdir $d/x; done"
    ran = stocked("run", "--rm", image, "sh", "-c", script)
    assert ran.stdout == "/\n"
    assert "Read-only file system" in ran.stderr and ran.code != 0
