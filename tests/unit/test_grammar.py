from __future__ import annotations

import pytest

from pycontainer.errors import Unsupported, UsageError
from pycontainer.oci.grammar import (
    addresses,
    devices,
    limits,
    mounts,
    networks,
    numbers,
    security,
    signals,
    users,
    variables,
    volumes,
    words,
)
from pycontainer.oci.grammar.devices import DeviceMapping, DeviceRate, DeviceRule
from pycontainer.oci.grammar.limits import Rlimit
from pycontainer.oci.grammar.mounts import Mount

MAX = limits.RLIM_INFINITY

GOOD = [
    (numbers.size, "0", 0),
    (numbers.size, "64", 64),
    (numbers.size, "64b", 64),
    (numbers.size, "1k", 1024),
    (numbers.size, "64M", 64 << 20),
    (numbers.size, "64mb", 64 << 20),
    (numbers.size, "64MiB", 64 << 20),
    (numbers.size, "1.5g", 3 << 29),
    (numbers.size, ".5k", 512),
    (numbers.size, "9223372036854775807", 2**63 - 1),
    (numbers.size_or_unlimited, "-1", -1),
    (limits.cpus, "1.5", 1_500_000_000),
    (limits.cpus, ".5", 500_000_000),
    (limits.cpus, "2", 2_000_000_000),
    (limits.cpus, "0.000000001", 1),
    (limits.index_list, "0-3,8", "0-3,8"),
    (limits.index_list, "8191", "8191"),
    (numbers.duration, "1m30s", 90.0),
    (numbers.duration, "500ms", 0.5),
    (numbers.duration, "0", 0.0),
    (users.user, "1000:1000", "1000:1000"),
    (users.user, "nobody", "nobody"),
    (users.user, "4294967294", "4294967294"),
    (limits.ulimit, "nofile=1024:4096", Rlimit("RLIMIT_NOFILE", 1024, 4096)),
    (limits.ulimit, "core=0", Rlimit("RLIMIT_CORE", 0, 0)),
    (limits.ulimit, "memlock=-1:-1", Rlimit("RLIMIT_MEMLOCK", MAX, MAX)),
    (limits.ulimit, "stack=1024:-1", Rlimit("RLIMIT_STACK", 1024, MAX)),
    (devices.device, "/dev/fuse", DeviceMapping("/dev/fuse", "/dev/fuse", "rwm")),
    (devices.device, "/dev/fuse:r", DeviceMapping("/dev/fuse", "/dev/fuse", "r")),
    (devices.device, "/dev/sda:/dev/xvda", DeviceMapping("/dev/sda", "/dev/xvda", "rwm")),
    (devices.device, "/dev/sda:/dev/xvda:rw", DeviceMapping("/dev/sda", "/dev/xvda", "rw")),
    (devices.device_rule, "c 1:3 rwm", DeviceRule("c", 1, 3, "rwm")),
    (devices.device_rule, "b 8:* r", DeviceRule("b", 8, None, "r")),
    (devices.device_rule, "a *:* rwm", DeviceRule("a", None, None, "rwm")),
    (devices.device_bps, "/dev/sda:1mb", DeviceRate("/dev/sda", 1 << 20)),
    (devices.device_iops, "/dev/sda:100", DeviceRate("/dev/sda", 100)),
    (devices.device_weight, "/dev/sda:10", DeviceRate("/dev/sda", 10)),
    (words.key_value, "a=b=c", ("a", "b=c")),
    (words.key_value, "a", ("a", "")),
    (addresses.extra_host, "db:10.0.0.1", ("db", "10.0.0.1")),
    (addresses.extra_host, "db:::1", ("db", "::1")),
    (addresses.extra_host, "db=[::1]", ("db", "::1")),
    (signals.signal_name, "term", "SIGTERM"),
    (signals.signal_name, "9", "SIGKILL"),
    (signals.signal_name, "RTMIN+3", "SIGRTMIN+3"),
    (networks.network, "none", networks.Endpoint("none")),
    (networks.network, "name=host", networks.Endpoint("host")),
    (networks.network, "bridge", networks.Endpoint("bridge")),
    (networks.network, "name=net,alias=x", networks.Endpoint("net", aliases=("x",))),
    (words.container_name, "/web-1", "web-1"),
    (limits.blkio_weight, "0", 0),
    (limits.blkio_weight, "1000", 1000),
    (security.security_option, "no-new-privileges", ("no-new-privileges", "on")),
    (security.security_option, "no-new-privileges:true", ("no-new-privileges", "on")),
    (security.security_option, "no-new-privileges=false", ("no-new-privileges", "off")),
    (security.security_option, "seccomp=unconfined", ("seccomp", "unconfined")),
    (security.security_option, "systempaths=unconfined", ("unmask", "ALL")),
    (security.security_option, "unmask=/proc/acpi:/sys/firmware", ("unmask", "/proc/acpi:/sys/firmware")),
    (security.security_option, "apparmor=unconfined", ("apparmor", "unconfined")),
    (mounts.volume, "/a:/b", Mount("bind", "/a", "/b", make_source=True)),
    (mounts.volume, "/a/../c:/b/", Mount("bind", "/c", "/b", make_source=True)),
    (mounts.volume, "/a:/b:ro,rslave,Z", Mount("bind", "/a", "/b", True, ("rslave",), make_source=True)),
    (mounts.volume, "/a:/b:bind,suid", Mount("bind", "/a", "/b", False, ("suid",), False, make_source=True)),
    (mounts.tmpfs, "/run", Mount("tmpfs", "", "/run")),
    (
        mounts.tmpfs,
        "/run:ro,size=64m,mode=1777,exec",
        Mount("tmpfs", "", "/run", True, ("size=67108864", "mode=1777", "exec")),
    ),
    (
        mounts.tmpfs,
        "/run:nr_inodes=1k,nr_blocks=8,uid=7,gid=8,huge=advise,mpol=interleave,noswap,sync,strictatime",
        Mount(
            "tmpfs",
            "",
            "/run",
            False,
            (
                *("nr_inodes=1024", "nr_blocks=8", "uid=7", "gid=8"),
                *("huge=advise", "mpol=interleave", "noswap", "sync", "strictatime"),
            ),
        ),
    ),
    (mounts.volume, "/b", Mount("volume", "", "/b")),
    (mounts.volume, "data:/b", Mount("volume", "data", "/b")),
    (mounts.volume, "data:/b:ro,nocopy,z", Mount("volume", "data", "/b", True, nocopy=True)),
    (mounts.volume, "/a:/b:idmap", Mount("bind", "/a", "/b", idmap=True, make_source=True)),
    (mounts.volumes_from, "other", ("other", False)),
    (mounts.volumes_from, "other:ro,z", ("other", True)),
    (mounts.mount, "target=/b", Mount("volume", "", "/b")),
    (mounts.mount, "source=data,target=/b", Mount("volume", "data", "/b")),
    (
        mounts.mount,
        "src=data,dst=/b,ro,volume-nocopy,volume-subpath=a/./b,volume-label=x=1,volume-label=y,volume-driver=local,"
        '"volume-opt=o=size=1m,uid=2",volume-opt=type=tmpfs,volume-opt=device=tmpfs',
        Mount(
            "volume",
            "data",
            "/b",
            True,
            subpath="a/b",
            nocopy=True,
            labels=(("x", "1"), ("y", "")),
            driver_options=(("o", "size=1m,uid=2"), ("type", "tmpfs"), ("device", "tmpfs")),
        ),
    ),
    (mounts.mount, "type=image,source=x:1,target=/b,image-subpath=a", Mount("image", "x:1", "/b", True, subpath="a")),
    (mounts.mount, "type=bind,source=/a,target=/b", Mount("bind", "/a", "/b")),
    (
        mounts.mount,
        "type=bind,source=/a,target=/b,ro,bind-recursive=writable",
        Mount("bind", "/a", "/b", True, writable_below=True),
    ),
    (
        mounts.mount,
        "type=bind,source=/a,target=/b,bind-recursive=disabled",
        Mount("bind", "/a", "/b", recursive=False),
    ),
    (mounts.mount, "type=bind,source=/a,target=/b,ro,bind-recursive=readonly", Mount("bind", "/a", "/b", True)),
    (mounts.mount, "type=bind,src=/a,dst=/b,ro", Mount("bind", "/a", "/b", True)),
    (
        mounts.mount,
        "type=bind,src=/a,dst=/b,readonly=false,bind-propagation=rslave,bind-nonrecursive",
        Mount("bind", "/a", "/b", False, ("rslave",), False),
    ),
    (mounts.mount, 'type=bind,"source=/a,b",destination=/b', Mount("bind", "/a,b", "/b")),
    (
        mounts.mount,
        "type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=700",
        Mount("tmpfs", "", "/t", False, ("size=1048576", "mode=700")),
    ),
]


@pytest.mark.parametrize(("parse", "text", "value"), GOOD)
def test_a_good_value_means_what_docker_means_by_it(parse, text, value):
    assert parse(text) == value


BAD = [
    (numbers.size, "abc", "not a size"),
    (numbers.size, "-1", "not a size"),
    (numbers.size, "1e3", "not a size"),
    (numbers.size, "٣m", "not a size"),
    (numbers.size, "9999999999g", "larger than"),
    (limits.cpus, "-1", "not a decimal"),
    (limits.cpus, ".", "not a decimal"),
    (limits.cpus, "1.0000000001", "at most 9 places"),
    (limits.index_list, "3-1", "runs backwards"),
    (limits.index_list, "0-99999", "larger than any CPU"),
    (limits.index_list, "0,,1", "not a list"),
    (limits.index_list, "", "not a list"),
    (numbers.duration, "5", "not a duration"),
    (numbers.integer(0, 10), "1_0", "not a whole number"),
    (numbers.integer(0, 10), " 1", "not a whole number"),
    (numbers.integer(0, 10), "11", "must be from 0 to 10"),
    (numbers.integer(0, 10), "٣", "not a whole number"),
    (users.user, "4294967295", "outside 0 to 4294967294"),
    (users.user, "4294967296", "outside"),
    (users.user, "-1", "outside"),
    (users.user, "0:2147483648000", "outside"),
    (users.user, "root\nx", "control characters"),
    (users.user, "a:b:c", "must be user[:group]"),
    (users.user, ":5", "must be user[:group]"),
    (users.group, "", "must be a group"),
    (limits.ulimit, "nofile", "must be name=soft"),
    (limits.ulimit, "nofile=1024:", "must be name=soft"),
    (limits.ulimit, "files=1", "no limit is called"),
    (limits.ulimit, "nofile=3:2", "less than or equal"),
    (limits.ulimit, "nofile=-1:2", "less than or equal"),
    (limits.ulimit, "nofile=-2", "must be from"),
    (devices.device, "/dev/a:/dev/b:rwx", "not an access mode"),
    (devices.device, "/dev/a:/dev/b:rr", "not an access mode"),
    (devices.device, "/dev/a:/dev/b:/dev/c:r", "must be"),
    (devices.device, "dev/a", "absolute path"),
    (devices.device_rule, "c 1:3", "must be like"),
    (devices.device_rule, "p 1:3 r", "must be like"),
    (devices.device_bps, "/etc/passwd:1mb", "/dev/name:number"),
    (devices.device_weight, "/dev/sda:9", "must be from 10"),
    (words.key_value, "=x", "key is empty"),
    (words.key_value, "a\n=x", "spaces"),
    (words.key_value, "a\nb=x", "control characters"),
    (variables.environment, "=x", "no variable name"),
    (variables.environment, "A=\0", "NUL"),
    (variables.environment, "A\nB=x", "control characters"),
    (addresses.extra_host, "db", "must be NAME:ADDRESS"),
    (addresses.extra_host, "db:10.0.0.1\n1.2.3.4 evil", "not an IP address"),
    (addresses.extra_host, "d b:1.2.3.4", "not a host name"),
    (words.host_name, "a\nb", "not a host name"),
    (words.host_name, "a" * 65, "at most 64"),
    (words.host_name, "-a", "not a host name"),
    (signals.signal_name, "NOPE", "no such signal"),
    (signals.signal_name, "65", "no such signal"),
    (signals.signal_name, "0", "no such signal"),
    (words.container_name, "a", "are allowed"),
    (words.container_name, "../x", "are allowed"),
    (words.container_name, "a\nb", "are allowed"),
    (words.cgroup_parent, "/a/../..", "must not contain"),
    (limits.blkio_weight, "9", "must be from 10"),
    (words.boolean, "yes", "true or false"),
    (security.security_option, "nope=1", "no security option"),
    (security.security_option, "mask=proc", "absolute path"),
    (mounts.volume, "/a:/", "can't be '/'"),
    (mounts.volume, "/a:b", "absolute path"),
    (mounts.volume, "/a:/b:rx", "invalid mode"),
    (mounts.volume, "/a:/b:ro,rw", "ro and rw contradict each other"),
    (mounts.volume, "/a:/b:rshared,slave", "contradict each other"),
    (mounts.volume, "/a:/b:ro:x", "must be"),
    (mounts.volume, "/a:/b\n", "control characters"),
    (mounts.volume, "a/b:/c", "no name for a volume"),
    (mounts.volume, "a:/c", "no name for a volume"),
    (mounts.volume, "data:/c:rslave", "for a volume"),
    (mounts.volume, "data:/c:rbind", "for a volume"),
    (mounts.volume, "/a:/c:nocopy", "for a bind"),
    (mounts.volume, "data:/c:idmap", "for a volume"),
    (mounts.volumes_from, ":ro", "must be"),
    (mounts.volumes_from, "x:rx", "must be ro, rw"),
    (volumes.volume_option, "size=1", "invalid option"),
    (mounts.tmpfs, "/run:size=x", "not a size"),
    (mounts.tmpfs, "/run:upperdir=/x", "invalid tmpfs option"),
    (mounts.tmpfs, "/run:uid=4294967295", "must be from 0"),
    (mounts.mount, "type=bind,target=/b", "source is required"),
    (mounts.mount, "type=bind,source=/a", "target is required"),
    (mounts.mount, "type=bind,source=a,target=/b", "absolute path"),
    (mounts.mount, "type=bind,source=/a,target=/b,tmpfs-size=1", "unexpected key"),
    (mounts.mount, "type=tmpfs,source=/a,target=/b", "makes no sense"),
    (mounts.mount, "type=wrong,target=/b", "unknown"),
    (mounts.mount, "type=image,target=/b", "source is required"),
    (mounts.mount, "type=bind,source=/a,target=/b,volume-label=x", "unexpected key"),
    (mounts.mount, "type=bind,source=/a,target=/b,volume-nocopy", "unexpected key"),
    (mounts.mount, "source=data,target=/b,bind-propagation=rslave", "unexpected key"),
    (mounts.mount, "source=data,target=/b,volume-subpath=../x", "lead out"),
    (mounts.mount, "source=data,target=/b,volume-subpath=/x", "relative"),
    (mounts.mount, "source=data,target=/b,volume-opt=size=1", "invalid option"),
    (mounts.mount, "type=bind,source=/a,target=/b,bind-recursive=readonly", "needs readonly"),
    (mounts.mount, "type=bind,source=/a,target=/b,ro,bind-recursive=readonly,bind-propagation=rslave", "rprivate"),
    (mounts.mount, "type=bind,source=/a,target=/b,nonsense", "must be key=value"),
    (mounts.mount, 'type=bind,"source=/a', "not a list"),
]


@pytest.mark.parametrize(("parse", "text", "message"), BAD)
def test_a_bad_value_is_refused_on_one_line(parse, text, message):
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert message in caught.value.message
    assert "\n" not in caught.value.message


UNSUPPORTED = [
    (mounts.mount, "type=npipe,source=x,target=/b"),
    (mounts.mount, "target=/b,volume-driver=rexray"),
    (volumes.volume_driver, "nfs"),
    (devices.device, "vendor.com/gpu=all"),
    (security.security_option, "apparmor=profile"),
    (security.security_option, "label=type:x"),
]


@pytest.mark.parametrize(("parse", "text"), UNSUPPORTED)
def test_what_docker_has_and_we_have_not_is_refused_as_such(parse, text):
    with pytest.raises(Unsupported):
        parse(text)


def test_a_variable_without_a_value_takes_the_callers_or_unsets():
    assert variables.environment("A", {"A": "1"}) == "A=1"
    assert variables.environment("A", {}) == "A"
    assert variables.environment("A=", {"A": "1"}) == "A="


def test_an_environment_file_is_taken_literally(tmp_path, monkeypatch):
    monkeypatch.setenv("PASSED", "on")
    monkeypatch.delenv("ABSENT", raising=False)
    file = tmp_path / "env"
    file.write_bytes(b"\xef\xbb\xbfA=1\r\n# comment\n\n  B='q' # not a comment\nPASSED\nABSENT\nC=x y\n")
    assert variables.environment_file(str(file)) == ["A=1", "B='q' # not a comment", "PASSED=on", "C=x y"]


@pytest.mark.parametrize("content", [b"A B=1\n", b"=1\n", b"\xff\n", b"A=\0\n"])
def test_a_bad_environment_file_is_a_usage_error(tmp_path, content):
    file = tmp_path / "env"
    file.write_bytes(content)
    with pytest.raises(UsageError):
        variables.environment_file(str(file))


def test_a_missing_environment_file_is_named(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        variables.environment_file(f"{tmp_path}/none")


def test_a_relative_volume_starts_at_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert mounts.volume("./x:/y").source == f"{tmp_path}/x"
