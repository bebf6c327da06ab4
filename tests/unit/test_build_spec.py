from __future__ import annotations

import typing

import pytest

from pycontainer.cli.run_flags import run_options
from pycontainer.engine.facts import gather
from pycontainer.errors import HostLacks, NotFound, UsageError
from pycontainer.image.manifest import ImageConfig
from pycontainer.oci import security, spec
from pycontainer.oci.build import DEFAULT_PATH, Facts, build_spec
from pycontainer.oci.grammar.mounts import Mount
from pycontainer.oci.options import ContainerOptions
from pycontainer.oci.options import check as check_options
from pycontainer.oci.resources import HostDevice
from pycontainer.oci.user import User

ROOT = User(0, 0, (0,), "/root", "root")
SH = ImageConfig(cmd=("sh",))
FILES = {"/etc/hosts": "/s/hosts", "/etc/hostname": "/s/hostname", "/etc/resolv.conf": "/s/resolv.conf"}


def build(*flags: str, config: ImageConfig = SH, user: User = ROOT, facts: Facts = Facts(cpus=4), **more):  # noqa: B008
    options = run_options([*flags, "image"]).container
    return build_spec(
        config, options, user=user, hostname="box", cgroups_path="/pyc/1", facts=facts, files=FILES, **more
    )


def mounts_of(built):
    return {mount["destination"]: mount for mount in built["mounts"]}


# --- the types --------------------------------------------------------------------------------------------------------


def leaves(kind: typing.Any, prefix: str = "") -> typing.Iterator[str]:
    for name, hint in typing.get_type_hints(kind).items():
        item = typing.get_args(hint)[0] if typing.get_origin(hint) is list else hint
        suffix = "[]" if item is not hint else ""
        if typing.is_typeddict(item):
            yield from leaves(item, f"{prefix}{name}{suffix}.")
        else:
            yield prefix + name


def test_the_types_have_all_173_fields_of_runtime_spec_1_3():
    fields = set(leaves(spec.Spec))
    assert len(fields) == 173
    assert {"process.ioPriority.class", "linux.timeOffsets.boottime.secs", "linux.memoryPolicy.nodes"} <= fields


def check(value: typing.Any, kind: typing.Any, where: str) -> None:
    """Assert that plain data fits the types."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if typing.is_typeddict(kind):
        hints = typing.get_type_hints(kind)
        assert set(value) <= set(hints), f"{where}: {set(value) - set(hints)}"
        for key, item in value.items():
            check(item, hints[key], f"{where}.{key}")
    elif origin is list:
        assert isinstance(value, list), where
        for item in value:
            check(item, args[0], where + "[]")
    elif origin is dict:
        for item in value.values():
            check(item, args[1], where + "{}")
    elif origin is typing.Literal:
        assert value in args, where
    else:
        assert isinstance(value, kind), where


@pytest.mark.parametrize("flags", [[], ["-it", "-m", "64m", "--cpus", "1", "-v", "/a:/b", "--cap-add", "ALL"]])
def test_what_is_built_fits_the_types(flags):
    check(build(*flags), spec.Spec, "spec")


# --- the command ------------------------------------------------------------------------------------------------------

BOTH = ImageConfig(entrypoint=("/entry", "-e"), cmd=("serve",))


@pytest.mark.parametrize(
    ("config", "entrypoint", "command", "args"),
    [
        (BOTH, None, (), ["/entry", "-e", "serve"]),
        (BOTH, None, ("x", "y"), ["/entry", "-e", "x", "y"]),
        (BOTH, "/other", (), ["/other"]),
        (BOTH, "/other", ("x",), ["/other", "x"]),
        (BOTH, "", ("x",), ["x"]),
        (SH, None, (), ["sh"]),
        (SH, None, ("ls",), ["ls"]),
        (SH, "/other", (), ["/other"]),
    ],
)
def test_entrypoint_and_command_combine_as_in_docker(config, entrypoint, command, args):
    options = ContainerOptions(entrypoint=entrypoint, command=command)
    built = build_spec(config, options, user=ROOT, hostname="h", cgroups_path="/c")
    assert built["process"]["args"] == args


@pytest.mark.parametrize("config", [ImageConfig(), BOTH])
def test_no_command_at_all_is_a_usage_error(config):
    with pytest.raises(UsageError, match="no command specified"):
        build_spec(config, ContainerOptions(entrypoint=""), user=ROOT, hostname="h", cgroups_path="/c")


# --- the environment --------------------------------------------------------------------------------------------------


def test_the_environment_begins_with_ours_and_the_last_of_equal_names_wins():
    config = ImageConfig(cmd=("sh",), env=("PATH=/bin", "A=image", "B=image"))
    env = build("-t", "-e", "B=user", "-e", "C=user", config=config)["process"]["env"]
    assert env == ["PATH=/bin", "HOSTNAME=box", "TERM=xterm", "A=image", "B=user", "C=user", "HOME=/root"]


def test_a_plain_image_gets_a_path_and_no_term():
    assert build()["process"]["env"] == [f"PATH={DEFAULT_PATH}", "HOSTNAME=box", "HOME=/root"]


def test_a_variable_that_the_caller_lacks_unsets_the_images(monkeypatch):
    monkeypatch.delenv("A", raising=False)
    env = build("-e", "A", config=ImageConfig(cmd=("sh",), env=("A=image",)))["process"]["env"]
    assert not [entry for entry in env if entry.startswith("A")]


def test_an_image_can_not_pull_in_the_callers_variables(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    built = build(config=ImageConfig(cmd=("sh",), env=("AWS_SECRET_ACCESS_KEY", "*")))
    assert "canary" not in str(built)


@pytest.mark.parametrize("env", ["HOME=/x\nroot::0:0", "USER=a\rb", "A\nB=1", "HOSTNAME=a\nb", "A=\0"])
def test_control_characters_where_programs_write_lines_are_refused(env):
    with pytest.raises(UsageError):
        build(config=ImageConfig(cmd=("sh",), env=(env,)))


def test_a_newline_in_another_value_is_fine():
    assert "CERT=a\nb" in build(config=ImageConfig(cmd=("sh",), env=("CERT=a\nb",)))["process"]["env"]


# --- the process ------------------------------------------------------------------------------------------------------


def test_the_user_is_exact_and_not_root_gets_no_capabilities_but_the_bounding_set():
    process = build(user=User(1000, 100, (100, 20), "/home/a", "a"))["process"]
    assert process["user"] == {"uid": 1000, "gid": 100, "additionalGids": [100, 20]}
    sets = process["capabilities"]
    assert sets["bounding"] and not sets["effective"] and not sets["permitted"]
    assert not sets["inheritable"] and not sets["ambient"]


def test_root_gets_the_default_capabilities_and_nothing_inheritable():
    sets = build()["process"]["capabilities"]
    assert sets["bounding"] == sets["effective"] == sets["permitted"] == list(security.DEFAULT_CAPABILITIES)
    assert not sets["inheritable"] and not sets["ambient"]


def test_a_capability_that_the_caller_lacks_can_not_be_given():
    with pytest.raises(HostLacks, match="CAP_SYS_TIME"):
        build("--cap-add", "SYS_TIME", facts=Facts(capabilities=security.DEFAULT_CAPABILITIES))


def test_open_files_are_limited_to_what_the_caller_may_give():
    limits = {
        limit["type"]: (limit["soft"], limit["hard"]) for limit in build(facts=Facts(nofile=4096))["process"]["rlimits"]
    }
    assert limits == {"RLIMIT_NOFILE": (1024, 4096), "RLIMIT_CORE": (0, 0)}


def test_ulimits_replace_the_defaults():
    limits = build("--ulimit", "core=-1", "--ulimit", "nproc=10")["process"]["rlimits"]
    assert {"type": "RLIMIT_CORE", "soft": 2**64 - 1, "hard": 2**64 - 1} in limits
    assert {"type": "RLIMIT_NPROC", "soft": 10, "hard": 10} in limits


@pytest.mark.parametrize(
    ("flags", "files", "wanted"),
    [
        ([], [], True),
        ([], ["/bin/su"], True),
        ([], ["/usr/bin/sudo"], False),
        (["--security-opt", "no-new-privileges"], ["/usr/bin/sudo"], True),
        (["--security-opt", "no-new-privileges=false"], [], False),
    ],
)
def test_no_new_privileges_is_on_unless_the_image_needs_it_off(flags, files, wanted):
    assert build(*flags, facts=Facts(setuid_files=files))["process"]["noNewPrivileges"] is wanted


def test_the_working_directory_is_the_users_or_the_images():
    assert build()["process"]["cwd"] == "/"
    assert build(config=ImageConfig(cmd=("sh",), working_dir="srv"))["process"]["cwd"] == "/srv"
    assert build("-w", "/a/../b", config=ImageConfig(cmd=("sh",), working_dir="/srv"))["process"]["cwd"] == "/b"
    with pytest.raises(UsageError, match="control characters"):
        build(config=ImageConfig(cmd=("sh",), working_dir="/a\nb"))


def test_a_terminal_has_the_callers_size():
    assert build("-t", facts=Facts(console=(24, 80)))["process"]["consoleSize"] == {"height": 24, "width": 80}
    assert "consoleSize" not in build(facts=Facts(console=(24, 80)))["process"]


# --- mounts -----------------------------------------------------------------------------------------------------------


def test_parents_are_mounted_before_what_lies_in_them():
    built = build("-v", "/h/a:/dev/shm/x/y", "-v", "/h/b:/data", "--tmpfs", "/data/cache")
    order = [mount["destination"] for mount in built["mounts"]]
    for at, destination in enumerate(order):
        assert not [later for later in order[at + 1 :] if destination.startswith(later + "/")]


def test_the_default_mounts_are_hardened():
    mounts = mounts_of(build())
    assert set(mounts) == {*("/proc", "/dev", "/sys", "/dev/pts", "/sys/fs/cgroup", "/dev/mqueue", "/dev/shm"), *FILES}
    for destination, mount in mounts.items():
        assert "nosuid" in mount["options"]
        if destination not in ("/dev", "/dev/pts"):
            assert "nodev" in mount["options"], destination
        if destination not in ("/dev",):
            assert "noexec" in mount["options"], destination
    assert "ro" in mounts["/sys"]["options"] and "ro" in mounts["/sys/fs/cgroup"]["options"]
    assert "size=67108864" in mounts["/dev/shm"]["options"]


@pytest.mark.parametrize(
    ("flag", "options"),
    [
        ("/h:/t", ["rbind", "rnosuid", "rnodev", "rprivate"]),
        ("/h:/t:ro", ["rbind", "rnosuid", "rnodev", "rprivate", "ro", "rro"]),
        ("/h:/t:bind,ro", ["bind", "nosuid", "nodev", "rprivate", "ro"]),
        ("/h:/t:rslave", ["rbind", "rnosuid", "rnodev", "rslave"]),
        ("/h:/t:suid,dev", ["rbind", "rprivate"]),
        ("/h:/t:noexec", ["rbind", "rnosuid", "rnodev", "rprivate", "rnoexec"]),
        ("/dev/snd:/t", ["rbind", "rnosuid", "rprivate"]),
    ],
)
def test_a_bind_brings_no_setuid_programs_and_no_devices_unless_asked(flag, options):
    assert mounts_of(build("-v", flag))["/t"]["options"] == options


def test_a_privileged_bind_is_plain():
    assert mounts_of(build("--privileged", "-v", "/h:/t"))["/t"]["options"] == ["rbind", "rprivate"]


def test_a_tmpfs_keeps_its_defaults_unless_they_are_contradicted():
    mounts = mounts_of(build("--tmpfs", "/a", "--tmpfs", "/b:exec,size=1m,ro"))
    assert mounts["/a"]["options"] == ["nosuid", "noexec", "nodev"]
    assert mounts["/b"]["options"] == ["nosuid", "nodev", "size=1048576", "ro"]


def test_the_user_replaces_what_we_mount_at_the_same_place():
    mounts = mounts_of(build("-v", "/my/hosts:/etc/hosts", "--tmpfs", "/dev/shm:size=1m"))
    assert mounts["/etc/hosts"]["source"] == "/my/hosts"
    assert "size=1048576" in mounts["/dev/shm"]["options"]
    assert (
        len([mount for mount in build("-v", "/my/hosts:/etc/hosts")["mounts"] if mount["destination"] == "/etc/hosts"])
        == 1
    )


def test_a_read_only_root_has_read_only_files_in_etc():
    built = build("--read-only")
    assert built["root"] == {"path": "rootfs", "readonly": True}
    assert "ro" in mounts_of(built)["/etc/hosts"]["options"]


def test_a_mount_from_the_api_is_checked_like_one_from_the_command_line():
    options = ContainerOptions(mounts=(Mount("bind", "/a", "/b\nc"),))
    with pytest.raises(UsageError, match="not a plain absolute path"):
        build_spec(SH, options, user=ROOT, hostname="h", cgroups_path="/c")


@pytest.mark.parametrize(
    "options",
    [
        ContainerOptions(hostname="a\nb"),
        ContainerOptions(domainname="a b"),
        ContainerOptions(add_host=(("db", "1.2.3.4\n5.6.7.8 evil"),)),
        ContainerOptions(add_host=(("d\nb", "1.2.3.4"),)),
        ContainerOptions(dns=("9.9.9.9\noptions x",)),
        ContainerOptions(dns_search=("lan\nnameserver 6.6.6.6",)),
        ContainerOptions(user="root\nx:0"),
        ContainerOptions(memory=1),
    ],
)
def test_options_from_the_api_are_checked_like_flags(options):
    with pytest.raises(UsageError):
        check_options(options)


# --- isolation --------------------------------------------------------------------------------------------------------


def kinds(built):
    return {namespace["type"] for namespace in built["linux"]["namespaces"]}


def test_every_namespace_but_user_is_its_own():
    assert kinds(build()) == {"mount", "uts", "ipc", "pid", "network", "cgroup"}


@pytest.mark.parametrize(
    ("flag", "kind"),
    [("--uts", "uts"), ("--ipc", "ipc"), ("--pid", "pid"), ("--network", "network"), ("--cgroupns", "cgroup")],
)
def test_a_namespace_of_the_hosts_is_not_made(flag, kind):
    assert kind not in kinds(build(flag, "host"))


def test_the_hosts_uts_namespace_is_not_renamed():
    assert "hostname" not in build("--uts", "host")
    assert build("--domainname", "lan")["domainname"] == "lan"


def test_ipc_decides_about_dev_shm():
    assert mounts_of(build("--ipc", "host"))["/dev/shm"]["type"] == "bind"
    assert "/dev/shm" not in mounts_of(build("--ipc", "none"))


def test_sysctls_of_its_own_network_are_set_and_the_hosts_are_not():
    assert build()["linux"]["sysctl"] == {
        "net.ipv4.ip_unprivileged_port_start": "0",
        "net.ipv4.ping_group_range": "0 2147483647",
    }
    assert build("--network", "host")["linux"]["sysctl"] == {}


@pytest.mark.parametrize(
    "flags",
    [
        ["--sysctl", "kernel.core_pattern=|/x"],
        ["--sysctl", "kernel.shm_rmid_forced=1+kernel.core_pattern=x"],
        ["--sysctl", "kernel.shm_rmid_forced=1\nkernel.core_pattern=x"],
        ["--sysctl", "net.ipv4.ip_forward=1", "--network", "host"],
        ["--sysctl", "kernel.sem=1", "--ipc", "host"],
        ["--sysctl", "net/../kernel/core_pattern=x"],
        ["--sysctl", "vm.swappiness=1"],
    ],
)
def test_a_sysctl_that_reaches_the_host_is_refused(flags):
    with pytest.raises(UsageError):
        build(*flags)


def test_privileged_takes_every_wall_down():
    built = build("--privileged")
    linux = built["linux"]
    assert linux["maskedPaths"] == linux["readonlyPaths"] == []
    assert linux["resources"]["devices"] == [{"allow": True, "access": "rwm"}]
    assert "seccomp" not in linux
    assert built["process"]["capabilities"]["effective"] == list(security.CAPABILITIES)
    assert "ro" not in mounts_of(built)["/sys"]["options"]


# --- limits -----------------------------------------------------------------------------------------------------------


def limits(*flags: str, facts: Facts = Facts(cpus=4)):  # noqa: B008
    return build(*flags, facts=facts)["linux"]["resources"]


def test_a_plain_container_is_limited_in_tasks_and_devices_only():
    resources = limits()
    assert set(resources) == {"devices", "pids"}
    assert resources["pids"] == {"limit": 2048}
    assert resources["devices"][0] == {"allow": False, "access": "rwm"}


def test_cpus_become_a_quota():
    assert limits("--cpus", "1.5")["cpu"] == {"period": 100_000, "quota": 150_000}


@pytest.mark.parametrize("cpus", ["4.1", "0.001", "0"])
def test_cpus_stay_within_the_host(cpus):
    if cpus == "0":
        assert "cpu" not in limits("--cpus", cpus)
        return
    with pytest.raises(UsageError, match=r"from 0\.01 to 4"):
        limits("--cpus", cpus)


def test_memory_brings_as_much_swap_where_swap_can_be_limited():
    assert limits("-m", "64m")["memory"] == {"limit": 64 << 20}
    assert limits("-m", "64m", facts=Facts(swap=True))["memory"] == {"limit": 64 << 20, "swap": 128 << 20}
    assert limits("-m", "64m", "--memory-swap", "-1", facts=Facts(swap=True))["memory"]["swap"] == -1


@pytest.mark.parametrize("limit", ["-1", "0"])
def test_no_limit_of_tasks_is_no_limit(limit):
    assert "pids" not in limits("--pids-limit", limit)


DISK = HostDevice("/dev/sda", "b", 8, 0, 0o660, 0, 6)
TUN = HostDevice("/dev/net/tun", "c", 10, 200, 0o666, 0, 0)
DEVICES = Facts(devices={"/dev/sda": [DISK], "/dev/net": [TUN], "/dev/net/tun": [TUN]})


def test_rates_are_by_number():
    flags = [
        "--device-read-bps",
        "/dev/sda:1m",
        "--device-write-iops",
        "/dev/sda:5",
        "--blkio-weight-device",
        "/dev/sda:20",
    ]
    assert limits(*flags, facts=DEVICES)["blockIO"] == {
        "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1 << 20}],
        "throttleWriteIOPSDevice": [{"major": 8, "minor": 0, "rate": 5}],
        "weightDevice": [{"major": 8, "minor": 0, "weight": 20}],
    }


def test_a_rate_needs_a_block_device():
    with pytest.raises(UsageError, match="not a block device"):
        limits("--device-read-bps", "/dev/net/tun:1m", facts=DEVICES)


def test_a_device_is_made_and_allowed():
    built = build("--device", "/dev/net/tun:/dev/tun:rw", facts=DEVICES)
    node = {"type": "c", "path": "/dev/tun", "major": 10, "minor": 200, "fileMode": 0o666, "uid": 0, "gid": 0}
    assert built["linux"]["devices"] == [node]
    assert {"allow": True, "type": "c", "major": 10, "minor": 200, "access": "rw"} in built["linux"]["resources"][
        "devices"
    ]


def test_a_directory_of_devices_keeps_its_shape():
    built = build("--device", "/dev/net:/dev/n", facts=DEVICES)
    assert [node["path"] for node in built["linux"]["devices"]] == ["/dev/n/tun"]


def test_a_device_rule_is_passed_on():
    assert {"allow": True, "type": "b", "major": 8, "access": "r"} in limits("--device-cgroup-rule", "b 8:* r")[
        "devices"
    ]


# --- facts of this host -----------------------------------------------------------------------------------------------


def test_the_host_is_only_asked_for_what_the_options_need():
    facts = gather(run_options(["image"]).container)
    assert facts.cpus >= 1 and facts.nofile > 0 and facts.devices == {}


def test_a_device_of_the_host_is_looked_up():
    facts = gather(run_options(["--device", "/dev/null:/dev/x", "image"]).container)
    (node,) = facts.devices["/dev/null"]
    assert (node.type, node.major, node.minor) == ("c", 1, 3)


@pytest.mark.parametrize(("path", "error"), [("/dev/nope", NotFound), ("/etc/passwd", UsageError)])
def test_what_is_no_device_is_an_error(path, error):
    with pytest.raises(error):
        gather(run_options(["--device", path, "image"]).container)
