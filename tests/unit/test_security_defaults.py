from __future__ import annotations

import pytest

from pycontainer.errors import HostLacks, UsageError
from pycontainer.oci import security, sysctl
from pycontainer.plan.sysctls import path_of


def caps(*names: str) -> tuple[str, ...]:
    return tuple("CAP_" + name for name in names)


def test_there_are_41_capabilities_in_the_kernels_order() -> None:
    assert len(security.CAPABILITIES) == 41
    number = security.CAPABILITY_NUMBER
    assert (number["CAP_CHOWN"], number["CAP_NET_RAW"], number["CAP_SYS_ADMIN"]) == (0, 13, 21)
    assert (number["CAP_AUDIT_WRITE"], number["CAP_CHECKPOINT_RESTORE"]) == (29, 40)


def test_the_default_is_dockers_without_mknod_and_audit_write() -> None:
    assert len(security.DOCKER_CAPABILITIES) == 14
    assert set(security.DOCKER_CAPABILITIES) - set(security.DEFAULT_CAPABILITIES) == {"CAP_MKNOD", "CAP_AUDIT_WRITE"}
    assert security.resolve_capabilities() == security.DEFAULT_CAPABILITIES


@pytest.mark.parametrize(
    ("add", "drop", "expected"),
    [
        (["sys_admin"], ["ALL"], caps("SYS_ADMIN")),
        (["CAP_KILL", "kill"], ["all"], caps("KILL")),
        ([], ["ALL"], ()),
        (["NET_RAW"], ["NET_RAW", "ALL"], caps("NET_RAW")),  # adding wins
        (["ALL"], ["ALL"], security.CAPABILITIES),
        (["ALL"], security.CAPABILITIES[1:], caps("CHOWN")),
        (["ALL", "CHOWN"], ["CHOWN"], security.CAPABILITIES),
        ([], [c for c in security.DEFAULT_CAPABILITIES if c != "CAP_SETUID"], caps("SETUID")),
    ],
)
def test_cap_add_and_cap_drop_resolve_like_dockers(add: list[str], drop: list[str], expected: tuple[str, ...]) -> None:
    assert security.resolve_capabilities(add, drop) == expected


def test_privileged_is_everything_available_and_all_stops_at_what_we_have() -> None:
    have = [name for name in security.CAPABILITIES if name != "CAP_SYS_RESOURCE"]
    assert security.resolve_capabilities(privileged=True, available=have) == tuple(have)
    assert security.resolve_capabilities(["ALL"], available=have) == tuple(have)
    with pytest.raises(HostLacks, match="can't add CAP_SYS_RESOURCE"):
        security.resolve_capabilities(["SYS_RESOURCE"], available=have)


def test_an_unknown_capability_is_refused_even_when_dropped() -> None:
    with pytest.raises(UsageError, match="unknown capability 'NET_ROW'"):
        security.resolve_capabilities(drop=["NET_ROW"])


def test_only_root_starts_with_effective_capabilities_and_nobody_with_inheritable_ones() -> None:
    root = security.process_capabilities(("CAP_KILL",), 0)
    user = security.process_capabilities(("CAP_KILL",), 1000)
    assert root["effective"] == root["permitted"] == root["bounding"] == user["bounding"] == ["CAP_KILL"]
    assert user["effective"] == user["permitted"] == []
    for sets in (root, user):
        assert sets["inheritable"] == sets["ambient"] == []


# Written down a second time, so that a path can't vanish unnoticed.
@pytest.mark.parametrize(
    "path",
    """/proc/acpi /proc/asound /proc/cmdline /proc/config.gz /proc/interrupts /proc/kallsyms /proc/kcore
    /proc/key-users /proc/keys /proc/kpagecgroup /proc/kpagecount /proc/kpageflags /proc/latency_stats /proc/modules
    /proc/mtrr /proc/pagetypeinfo /proc/sched_debug /proc/scsi /proc/slabinfo /proc/timer_list /proc/timer_stats
    /proc/vmallocinfo /sys/class/dmi /sys/devices/virtual/dmi /sys/devices/virtual/powercap /sys/firmware
    /sys/kernel/config /sys/kernel/notes /sys/kernel/vmcoreinfo /sys/module
    /sys/devices/system/cpu/cpu1/thermal_throttle /sys/kernel/debug /sys/fs/bpf""".split(),
)
def test_path_is_masked(path: str) -> None:
    assert path in security.system_paths(sysfs_is_bound=True, thermal_cpus=2).masked


def test_unmask_takes_paths_globs_and_all() -> None:
    everything = security.system_paths()
    assert everything.readonly == "/proc/bus /proc/fs /proc/irq /proc/pressure /proc/sys /proc/sysrq-trigger".split()
    one = security.system_paths(["/proc/keys:/proc/sys"])
    assert set(everything.masked) - set(one.masked) == {"/proc/keys"}
    assert set(everything.readonly) - set(one.readonly) == {"/proc/sys"}
    glob = security.system_paths(["/proc/*"])
    assert glob.readonly == [] and glob.masked and all(path.startswith("/sys/") for path in glob.masked)
    assert security.system_paths(["all"]) == ([], [])
    assert security.system_paths(unconfined=True) == ([], [])
    assert "/proc/uptime" in security.system_paths(mask=["/proc/uptime"]).masked
    for bad in ({"unmask": ["proc"]}, {"mask": ["ALL"]}, {"mask": [""]}):
        with pytest.raises(UsageError, match="not an absolute path"):
            security.system_paths(**bad)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kernel.shm_rmid_forced", "1+kernel.core_pattern=x"),
        ("kernel.shm_rmid_forced", "1\nx"),
        ("kernel.shm_rmid_forced", "1\0"),
        ("kernel.core_pattern", "|/evil"),
        ("kernel.hostname", "x"),
        ("vm.swappiness", "1"),
        ("net.", "1"),
        ("net..ipv4", "1"),
        ("net.a.//.b", "1"),
        ("net./.x", "1"),
        ("net.ipv4.../x", "1"),
        ("net/../kernel/core_pattern", "1"),
        ("kernel/hostname", "1"),
        ("kernel/core_pattern", "1"),
        ("net.ipv4.ip forward", "1"),
        ("", "1"),
        ("net.ipv4.ip_forward\n", "1"),
    ],
)
def test_a_sysctl_that_reaches_out_of_the_container_is_refused(name: str, value: str) -> None:
    with pytest.raises(UsageError, match="--sysctl"):
        sysctl.check(name, value, ["ipc", "network", "uts"])


def test_a_namespaced_sysctl_needs_its_namespace() -> None:
    for name, namespace in [("net.ipv4.ip_forward", "network"), ("fs.mqueue.msg_max", "ipc"), ("kernel.sem", "ipc")]:
        sysctl.check(name, "250 32000\t32 128", [namespace])
        with pytest.raises(UsageError, match=f"shares the host's {namespace} namespace"):
            sysctl.check(name, "1", [])
    assert path_of("net.ipv4.conf.eth0/100.forwarding") == "net/ipv4/conf/eth0.100/forwarding"
    assert path_of("net/ipv4/conf/eth0.100/forwarding") == "net/ipv4/conf/eth0.100/forwarding"


def test_the_ping_range_ends_where_the_user_namespace_does() -> None:
    key = "net.ipv4.ping_group_range"
    assert sysctl.defaults(["network"])[key] == "0 2147483647"
    assert sysctl.defaults(["network"], 65536)[key] == "0 65535"
    assert sysctl.defaults(["ipc"]) == {}


def test_no_new_privs_is_off_only_for_images_made_for_it() -> None:
    base = ["usr/bin/su", "/bin/mount", "usr/lib/openssh/ssh-keysign", "usr/bin/ping"]
    assert security.no_new_privs("auto", base)
    assert not security.no_new_privs("auto", [*base, "usr/bin/sudo"])
    assert not security.no_new_privs("auto", base, privileged=True)
    assert security.no_new_privs("on", ["usr/bin/sudo"]) and security.no_new_privs("true", [], privileged=True)
    assert not security.no_new_privs("off", [])
    with pytest.raises(UsageError, match="want on, off or auto"):
        security.no_new_privs("maybe", [])


def test_32_bit_programs_run_where_the_image_has_them() -> None:
    assert security.compat32("auto", True, "amd64") and security.compat32("auto", False, "386")
    assert not security.compat32("auto", False, "amd64") and not security.compat32("off", True, "386")
    assert security.compat32("on", False, "amd64")


def test_the_device_rules_deny_first_and_have_no_tun_and_no_free_mknod() -> None:
    first, *rest = security.device_rules()
    assert first == {"allow": False, "access": "rwm"}
    numbers = {(rule["type"], rule["major"], rule.get("minor")) for rule in rest}
    assert ("c", 1, 3) in numbers and ("c", 136, None) in numbers and ("c", 5, 2) in numbers
    assert all(rule["major"] != 10 for rule in rest) and len(rest) == 9
