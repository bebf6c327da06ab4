"""From resources to steps, on hosts that are made up: what is written where, in which order, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from pycontainer.cgroups import Cgroups, oom_killed, refusal
from pycontainer.cgroups.hierarchy import Hierarchies, Hierarchy
from pycontainer.cgroups.limit import Look
from pycontainer.cgroups.planner import EVERYWHERE
from pycontainer.cgroups.v2 import weight_of_shares
from pycontainer.core import constants as k
from pycontainer.core.step import MONITOR, Plan, Slot, Struct
from pycontainer.errors import HostLacks, UsageError

TOP = "/sys/fs/cgroup"


class MadeUp(Look):
    """A host of which only these files are known."""

    def __init__(self, files: dict[str, str] | None = None) -> None:
        self.files = files or {}

    def read(self, path: str) -> str | None:
        return self.files.get(path)

    def children(self, path: str) -> list[str]:
        below = [name[len(path) + 1 :] for name in self.files if name.startswith(path + "/")]
        return sorted({name.split("/")[0] for name in below if "/" in name})


def v1(*controllers: str, files: tuple[str, ...] = (), text: dict[str, str] | None = None, ro: str = "") -> Cgroups:
    homes = {name: Hierarchy(1, f"{TOP}/{name}", "/", name != ro, (name,), name) for name in controllers}
    there = {f"{TOP}/{file.split('.')[0]}/{file}": "" for file in files}
    return Cgroups(Hierarchies(homes, None), MadeUp({**there, **(text or {})}))


def v2(*controllers: str, text: dict[str, str] | None = None) -> Cgroups:
    return Cgroups(Hierarchies({}, Hierarchy(2, TOP, "/", True, controllers)), MadeUp(text))


def written(plan: Plan) -> list[tuple[str, str]]:
    """(file, text) of every write, in order, and (directory, "mkdir")."""
    result, open_files = [], {}
    for step in plan:
        for call in step.calls:
            if call.name == "openat":
                open_files[call.out] = str(call.args[1])
            elif call.name == "mkdirat":
                result.append((str(call.args[1]), "mkdir"))
            elif call.name == "write":
                assert isinstance(call.args[0], Slot) and isinstance(call.args[1], bytes)
                result.append((open_files[call.args[0]], call.args[1].decode()))
    return result


def limits(host: Cgroups, **resources: Any) -> dict[str, str]:
    """File name -> text, for everything that is written to the container's own directory."""
    plan = host.group("/c", resources).create()  # type: ignore[arg-type]
    return {path.rsplit("/", 1)[-1]: text for path, text in written(plan) if "/c/" in path}


MEMORY = ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.soft_limit_in_bytes", "memory.swappiness")


# --- v1 ---------------------------------------------------------------------------------------------------------------


def test_v1_makes_a_directory_only_where_something_is_limited() -> None:
    host = v1("cpu", "cpuset", "memory", "pids", "devices", "freezer", "blkio")
    assert host.group("/pyc/c", {"pids": {"limit": 9}}).directories == (f"{TOP}/memory/pyc/c", f"{TOP}/pids/pyc/c")


def test_v1_makes_what_is_above_first_and_does_not_mind_that_it_exists() -> None:
    plan = v1("memory").group("/a/b/c", {}).create()
    made = [call for step in plan for call in step.calls if call.name == "mkdirat"]
    assert [call.args[1] for call in made] == [f"{TOP}/memory/a", f"{TOP}/memory/a/b", f"{TOP}/memory/a/b/c"]
    assert [bool(call.tolerate) for call in made] == [True, True, False]


def test_v1_limits_memory_before_memory_and_swap_together() -> None:
    host = v1("memory", files=MEMORY)
    plan = host.group("/c", {"memory": {"swap": 200, "limit": 100}}).create()
    assert [text for _, text in written(plan)] == ["mkdir", "100", "200"]


def test_v1_writes_a_period_before_the_quota_that_is_counted_in_it() -> None:
    host = v1("memory", "cpu", files=("cpu.cfs_period_us", "cpu.cfs_quota_us", "cpu.shares"))
    found = limits(host, cpu={"quota": 5000, "period": 10000, "shares": 2})
    assert list(found.items()) == [("cpu.shares", "2"), ("cpu.cfs_period_us", "10000"), ("cpu.cfs_quota_us", "5000")]


def test_v1_is_entered_by_init_through_descriptors_of_the_monitor() -> None:
    group = v1("memory", "pids").group("/c", {"pids": {"limit": 9}})
    entered = [call for step in group.enter() for call in step.calls]
    opened = {call.out for step in group.open() for call in step.calls if "/tasks" in str(call.args[1])}
    assert {call.args[0] for call in entered} == opened
    assert {call.args[1] for call in entered} == {b"0"}
    assert group.clone_into is None


CPUS = {f"{TOP}/cpuset/cpuset.cpus": "0-3\n", f"{TOP}/cpuset/cpuset.mems": "0\n"}


def test_v1_gives_cpus_to_an_empty_cpuset_above_and_not_to_one_that_has_some() -> None:
    text = {**CPUS, f"{TOP}/cpuset/a/cpuset.cpus": "0-2\n", f"{TOP}/cpuset/a/cpuset.mems": "\n"}
    plan = v1("cpuset", text=text).group("/a/b/c", {"cpu": {"cpus": "1"}}).create()
    files = {path.removeprefix(f"{TOP}/cpuset/"): value for path, value in written(plan) if value != "mkdir"}
    assert files == {
        "a/cpuset.mems": "0",
        "a/b/cpuset.cpus": "0-2",
        "a/b/cpuset.mems": "0",
        "a/b/c/cpuset.cpus": "1",
        "a/b/c/cpuset.mems": "0",
    }


@pytest.mark.parametrize("asked", ["4", "0,4", "2-4", "0-99999999999"])
def test_cpus_that_the_host_does_not_have_are_refused(asked: str) -> None:
    with pytest.raises(UsageError, match=r"--cpuset-cpus .*this host has 0-3"):
        v1("cpuset", text=CPUS).group("/c", {"cpu": {"cpus": asked}})
    with pytest.raises(UsageError, match="this host has 0-3"):
        v2("cpuset", text={f"{TOP}/cpuset.cpus.effective": "0-3\n"}).group("/c", {"cpu": {"cpus": asked}})


@pytest.mark.parametrize("asked", ["0", "0-3", "3,1", "1-2,0", "0-3:1/2"])
def test_cpus_that_the_host_has_are_accepted(asked: str) -> None:
    found = limits(v1("cpuset", text=CPUS), cpu={"cpus": asked})
    assert found["cpuset.cpus"] == asked


def test_v1_raises_the_realtime_budget_above_by_what_is_asked() -> None:
    text = {f"{TOP}/cpu/cpu.rt_runtime_us": "950000", f"{TOP}/cpu/a/cpu.rt_runtime_us": "10000"}
    text[f"{TOP}/cpu/a/other/cpu.rt_runtime_us"] = "10000"
    plan = v1("cpu", text=text).group("/a/c", {"cpu": {"realtimeRuntime": 500}}).create()
    assert (f"{TOP}/cpu/a/cpu.rt_runtime_us", "10500") in written(plan)


def test_v1_disks_get_one_line_per_device() -> None:
    files = ("blkio.throttle.read_bps_device", "blkio.throttle.write_iops_device", "blkio.bfq.io_service_bytes")
    rates = [{"major": 8, "minor": 0, "rate": 1}, {"major": 8, "minor": 16, "rate": 2}]
    plan = v1("blkio", files=files).group("/c", {"blockIO": {"weight": 20, "throttleReadBpsDevice": rates}}).create()  # type: ignore[typeddict-item]
    assert [text for _, text in written(plan)] == ["mkdir", "20", "8:0 1", "8:16 2"]


def test_controllers_mounted_together_share_a_directory() -> None:
    both = Hierarchy(1, f"{TOP}/cpu,memory", "/", True, ("cpu", "memory"), "cpu,memory")
    host = Cgroups(Hierarchies({"cpu": both, "memory": both}, None), MadeUp({f"{TOP}/cpu,memory/cpu.shares": "1024"}))
    group = host.group("/c", {"cpu": {"shares": 9}})
    assert group.directories == (f"{TOP}/cpu,memory/c",)
    assert group.views[0].links == ("cpu", "memory")
    assert len([call for step in group.enter() for call in step.calls]) == 1


# --- v2 ---------------------------------------------------------------------------------------------------------------


def test_v2_hands_the_controllers_down_at_every_level_before_the_next_directory_is_made() -> None:
    plan = v2("memory", "pids", "cpu").group("/pyc/c", {"pids": {"limit": 9}}).create()
    assert written(plan) == [
        (f"{TOP}/cgroup.subtree_control", "+memory +pids"),
        (f"{TOP}/pyc", "mkdir"),
        (f"{TOP}/pyc/cgroup.subtree_control", "+memory +pids"),
        (f"{TOP}/pyc/c", "mkdir"),
        (f"{TOP}/pyc/c/pids.max", "9"),
    ]


def test_v2_processes_are_counted_where_another_engine_looks_for_their_number() -> None:
    files = written(v2("memory", "pids", "io").group("/a", {}, also=EVERYWHERE).create())
    assert (f"{TOP}/cgroup.subtree_control", "+memory +pids") in files
    files = written(v2("memory", "io").group("/a", {}, also=EVERYWHERE).create())
    assert (f"{TOP}/cgroup.subtree_control", "+memory") in files


def test_v2_processes_are_born_in_their_cgroup() -> None:
    group = v2("memory").group("/c", {})
    assert group.enter() == ()
    opened = [call for step in group.create() for call in step.calls if call.out and call.out == group.clone_into]
    assert [call.args[1] for call in opened] == [f"{TOP}/c"]


def test_v2_what_processes_are_born_by_leads_nowhere_else() -> None:
    """Somebody inside who may trace them could take the descriptor (CVE-2024-21626 had one like it)."""
    group = v2("memory").group("/c", {})
    names = [
        call.name for call in group.open()[0].calls if group.clone_into in call.args or call.out == group.clone_into
    ]
    assert names == ["openat", "open_tree", "dup3"]


def test_v2_counts_swap_alone() -> None:
    found = limits(v2("memory"), memory={"limit": 100, "swap": 300, "reservation": 50})
    assert found == {"memory.max": "100", "memory.swap.max": "200", "memory.low": "50"}


@pytest.mark.parametrize(
    ("limit", "swap", "alone"), [(100, 100, "0"), (100, -1, "max"), (-1, -1, "max"), (100, 101, "1")]
)
def test_v2_swap_at_its_ends(limit: int, swap: int, alone: str) -> None:
    assert limits(v2("memory"), memory={"limit": limit, "swap": swap})["memory.swap.max"] == alone


@pytest.mark.parametrize("memory", [{"swap": 100}, {"limit": 100, "swap": 99}])
def test_v2_refuses_swap_that_is_less_than_memory(memory: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="--memory-swap"):
        limits(v2("memory"), memory=memory)


@pytest.mark.parametrize(
    ("shares", "weight"), [(1, 1), (2, 1), (512, 59), (1024, 100), (2048, 174), (262144, 10000), (999999, 10000)]
)
def test_the_usual_shares_become_the_usual_weight(shares: int, weight: int) -> None:
    assert weight_of_shares(shares) == weight


def test_more_shares_never_mean_less_weight() -> None:
    weights = [weight_of_shares(shares) for shares in range(2, 262145, 97)]
    assert weights == sorted(weights)


def test_v2_writes_quota_and_period_as_one_line() -> None:
    assert limits(v2("memory", "cpu"), cpu={"quota": 5, "period": 10})["cpu.max"] == "5 10"
    assert limits(v2("memory", "cpu"), cpu={"quota": 5})["cpu.max"] == "5 100000"
    assert limits(v2("memory", "cpu"), cpu={"quota": -1, "period": 10})["cpu.max"] == "max 10"


def test_v2_weights_of_disks_are_scaled_unless_bfq_keeps_them() -> None:
    block = {"weight": 1000, "weightDevice": [{"major": 8, "minor": 0, "weight": 10}]}
    plan = v2("io").group("/c", {"blockIO": block}).create()  # type: ignore[typeddict-item]
    assert [(p, t) for p, t in written(plan) if "weight" in p] == [
        (f"{TOP}/c/io.weight", "default 10000"),
        (f"{TOP}/c/io.weight", "8:0 1"),
    ]
    bfq = v2("io", text={f"{TOP}/x.slice/io.bfq.weight": "default 100\n"})
    assert limits(bfq, blockIO={"weight": 300}) == {"io.bfq.weight": "default 300"}


def test_v2_rates_of_disks_are_words_of_one_file() -> None:
    rate = [{"major": 8, "minor": 0, "rate": 7}]
    plan = v2("io").group("/c", {"blockIO": {"throttleReadBpsDevice": rate, "throttleWriteIOPSDevice": rate}}).create()  # type: ignore[typeddict-item]
    assert [text for path, text in written(plan) if path.endswith("io.max")] == ["8:0 rbps=7", "8:0 wiops=7"]


@pytest.mark.parametrize(
    ("resources", "option"),
    [
        ({"memory": {"swappiness": 10}}, "--memory-swappiness"),
        ({"memory": {"disableOOMKiller": True}}, "--oom-kill-disable"),
        ({"cpu": {"realtimeRuntime": 1}}, "--cpu-rt-runtime"),
    ],
)
def test_v2_refuses_by_name_what_only_v1_has(resources: Any, option: str) -> None:
    with pytest.raises(HostLacks, match=option):
        v2("memory", "cpu").group("/c", resources)


def test_v2_devices_are_a_program_loaded_before_it_is_attached_to_the_directory() -> None:
    rules: Any = [{"allow": False}, {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rwm"}]
    group = v2("memory").group("/c", {"devices": rules})
    bpf = [call for step in group.create() for call in step.calls if call.name == "bpf"]
    assert [call.args[0] for call in bpf] == [k.BPF_PROG_LOAD, k.BPF_PROG_ATTACH]
    tie = bpf[1].args[1]
    assert isinstance(tie, Struct) and group.clone_into in [slot for _, slot in tie.slots]


def test_unified_files_are_written_as_they_are() -> None:
    found = limits(v2("memory"), unified={"memory.high": "5M", "cgroup.max.descendants": "1"})
    assert found == {"memory.high": "5M", "cgroup.max.descendants": "1"}


@pytest.mark.parametrize("file", ["../x", "memory", "memory/../../x.y", "a\0.b"])
def test_unified_files_that_are_no_files_of_a_cgroup_are_refused(file: str) -> None:
    with pytest.raises(UsageError):
        v2("memory").group("/c", {"unified": {file: "1"}})


# --- what a host lacks ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "resources", "message"),
    [
        (v1("memory"), {"pids": {"limit": 9}}, "--pids-limit: .* no pids controller"),
        (v2("memory"), {"cpu": {"shares": 9}}, "--cpu-shares: .* no cpu controller"),
        (v1("memory"), {"memory": {"limit": 9, "swap": 9}}, "--memory.*no memory.limit_in_bytes"),
        (v1("memory", files=MEMORY[:1]), {"memory": {"limit": 9, "swap": 9}}, "--memory-swap.*memsw"),
        (v1("memory", "pids", ro="pids"), {"pids": {"limit": 9}}, "--pids-limit: .*read-only"),
        (v1("memory"), {"devices": [{"allow": False}]}, "devices"),
        (v1("memory"), {"unified": {"memory.high": "1"}}, "memory.high"),
        (v1("memory"), {"hugepageLimits": [{"pageSize": "2MB", "limit": 1}]}, "hugetlb"),
        (v1("memory", "blkio"), {"blockIO": {"weight": 10}}, "--blkio-weight.*BFQ"),
        (v2("memory", "cpu", text={f"{TOP}/s/cgroup.controllers": "cpu"}), {"cpu": {"burst": 1}}, "cpu.max.burst"),
    ],
)
def test_what_was_asked_for_and_is_not_here_is_refused_by_name(host: Cgroups, resources: Any, message: str) -> None:
    with pytest.raises(HostLacks, match=message):
        host.group("/c", resources)


def test_what_nobody_asked_for_and_is_not_here_is_skipped_and_named() -> None:
    nothing = Cgroups(Hierarchies({}, None), MadeUp())
    resources: Any = {"pids": {"limit": 9}, "devices": [{"allow": False}]}
    group = nothing.group("/c", resources, defaults={"pids.limit", "devices"})
    assert group.trees == () and set(group.skipped) == {"memory", "pids.limit", "devices"}
    assert group.create() == group.enter() == group.remove() == ()
    assert group.clone_into is None and group.counters is None and group.views == ()


@pytest.mark.parametrize("path", ["", "/", "/a/../b", "..", "/a\0b", "/a\nb", "/" + "x" * 256])
def test_a_path_that_leads_nowhere_is_refused(path: str) -> None:
    with pytest.raises(UsageError):
        v1("memory").group(path, {})


def test_a_relative_path_begins_where_this_process_is() -> None:
    host = v1("memory", text={"/proc/self/cgroup": "4:memory:/jobs/7\n"})
    assert host.group("pyc/c", {}).directories == (f"{TOP}/memory/jobs/7/pyc/c",)


# --- devices, counters, removal ---------------------------------------------------------------------------------------


def rules_of(*asked: Any) -> list[str]:
    plan = v1("devices").group("/c", {"devices": list(asked)}).create()
    return [f"{path.rsplit('.', 1)[-1]} {text}" for path, text in written(plan) if text != "mkdir"]


def test_device_rules_keep_their_order() -> None:
    null = {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rwm"}
    terminals = {"allow": False, "type": "c", "major": 136, "access": "mr"}
    assert rules_of({"allow": False}, null, terminals) == ["deny a", "allow c 1:3 rwm", "deny c 136:* rm"]


def test_what_comes_before_a_rule_for_everything_is_not_written() -> None:
    assert rules_of({"allow": True, "type": "b"}, {"allow": False, "access": "rwm"}) == ["deny a"]


def test_rules_that_allow_something_imply_that_the_rest_is_denied() -> None:
    assert rules_of({"allow": True, "type": "b", "major": 8, "access": "r"}) == ["deny a", "allow b 8:* r"]


def test_a_rule_for_both_kinds_of_device_is_two_lines() -> None:
    assert rules_of({"allow": False}, {"allow": True, "major": 8}) == ["deny a", "allow b 8:* rwm", "allow c 8:* rwm"]


def test_reading_and_writing_allowed_apart_allow_both_together() -> None:
    read = {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "r"}
    assert rules_of({"allow": False}, read, {**read, "access": "w"}) == ["deny a", "allow c 1:3 rw"]


def test_no_directory_is_made_when_every_device_is_allowed() -> None:
    assert v1("devices").group("/c", {"devices": [{"allow": True, "access": "rwm"}]}).trees == ()


@pytest.mark.parametrize(
    "rule", [{"type": "x"}, {"access": "q"}, {"type": "c", "major": 1 << 40}, {"type": "c", "minor": -2}]
)
def test_a_device_rule_that_means_nothing_is_refused(rule: Any) -> None:
    with pytest.raises(UsageError):
        rules_of({"allow": True, **rule})


@pytest.mark.parametrize(
    ("text", "killed"),
    [
        ("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n", True),
        ("oom_kill_disable 1\nunder_oom 1\noom_kill 0\n", False),
        ("low 0\nhigh 0\nmax 31\noom 2\noom_kill 2\noom_group_kill 0\n", True),
        ("low 0\nhigh 0\nmax 31\noom 2\noom_kill 0\noom_group_kill 1\n", False),
        ("", False),
    ],
)
def test_the_counters_tell_whether_memory_ran_out(text: str, killed: bool) -> None:
    assert oom_killed(text) is killed


@pytest.mark.parametrize("host", [v1("memory", "pids"), v2("memory", "pids")])
def test_removal_does_not_mind_what_is_gone_or_busy(host: Cgroups) -> None:
    group = host.group("/pyc/c", {"pids": {"limit": 9}})
    calls = [call for step in group.remove() for call in step.calls]
    assert [call.args[1] for call in calls] == list(group.directories)
    assert all(call.args[2] == k.AT_REMOVEDIR and call.tolerate == (2, 16) for call in calls)


@pytest.mark.parametrize("host", [v1("memory", "pids", "devices"), v2("memory", "pids")])
def test_every_step_says_why_and_where_to_read(host: Cgroups) -> None:
    group = host.group("/c", {"pids": {"limit": 9}, "devices": [{"allow": False}]})
    plan = (*group.create(), *group.enter(), *group.remove())
    assert all(step.title and step.why and step.man.endswith(")") and step.calls for step in plan)
    assert all(step.role == MONITOR for step in group.create())


def test_a_refused_write_is_explained_by_what_is_above() -> None:
    host = v1("cpuset", text={**CPUS, f"{TOP}/cpuset/a/cpuset.cpus": "0\n"})
    plan = host.group("/a/c", {"cpu": {"cpus": "3"}}).create()
    step = plan[0]
    call = next(call for call in step.calls if call.name == "write" and call.args[1] == b"3")
    assert refusal.cause(step, call, 22, host.look) == "the cgroup above has 0 and 3 was asked for"


def test_a_directory_that_exists_is_explained() -> None:
    step = v1("memory").group("/c", {}).create()[0]
    assert "exists already" in refusal.cause(step, step.calls[0], 17)
