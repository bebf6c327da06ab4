from __future__ import annotations

import pytest

from pycontainer.errors import Unsupported, UsageError
from pycontainer.oci import grammar
from pycontainer.oci.grammar import DeviceMapping, DeviceRate, DeviceRule, Mount, Rlimit

MAX = grammar.RLIM_INFINITY

GOOD = [
    (grammar.size, "0", 0),
    (grammar.size, "64", 64),
    (grammar.size, "64b", 64),
    (grammar.size, "1k", 1024),
    (grammar.size, "64M", 64 << 20),
    (grammar.size, "64mb", 64 << 20),
    (grammar.size, "64MiB", 64 << 20),
    (grammar.size, "1.5g", 3 << 29),
    (grammar.size, ".5k", 512),
    (grammar.size, "9223372036854775807", 2**63 - 1),
    (grammar.size_or_unlimited, "-1", -1),
    (grammar.cpus, "1.5", 1_500_000_000),
    (grammar.cpus, ".5", 500_000_000),
    (grammar.cpus, "2", 2_000_000_000),
    (grammar.cpus, "0.000000001", 1),
    (grammar.index_list, "0-3,8", "0-3,8"),
    (grammar.index_list, "8191", "8191"),
    (grammar.duration, "1m30s", 90.0),
    (grammar.duration, "500ms", 0.5),
    (grammar.duration, "0", 0.0),
    (grammar.user, "1000:1000", "1000:1000"),
    (grammar.user, "nobody", "nobody"),
    (grammar.user, "4294967294", "4294967294"),
    (grammar.ulimit, "nofile=1024:4096", Rlimit("RLIMIT_NOFILE", 1024, 4096)),
    (grammar.ulimit, "core=0", Rlimit("RLIMIT_CORE", 0, 0)),
    (grammar.ulimit, "memlock=-1:-1", Rlimit("RLIMIT_MEMLOCK", MAX, MAX)),
    (grammar.ulimit, "stack=1024:-1", Rlimit("RLIMIT_STACK", 1024, MAX)),
    (grammar.device, "/dev/fuse", DeviceMapping("/dev/fuse", "/dev/fuse", "rwm")),
    (grammar.device, "/dev/fuse:r", DeviceMapping("/dev/fuse", "/dev/fuse", "r")),
    (grammar.device, "/dev/sda:/dev/xvda", DeviceMapping("/dev/sda", "/dev/xvda", "rwm")),
    (grammar.device, "/dev/sda:/dev/xvda:rw", DeviceMapping("/dev/sda", "/dev/xvda", "rw")),
    (grammar.device_rule, "c 1:3 rwm", DeviceRule("c", 1, 3, "rwm")),
    (grammar.device_rule, "b 8:* r", DeviceRule("b", 8, None, "r")),
    (grammar.device_rule, "a *:* rwm", DeviceRule("a", None, None, "rwm")),
    (grammar.device_bps, "/dev/sda:1mb", DeviceRate("/dev/sda", 1 << 20)),
    (grammar.device_iops, "/dev/sda:100", DeviceRate("/dev/sda", 100)),
    (grammar.device_weight, "/dev/sda:10", DeviceRate("/dev/sda", 10)),
    (grammar.key_value, "a=b=c", ("a", "b=c")),
    (grammar.key_value, "a", ("a", "")),
    (grammar.extra_host, "db:10.0.0.1", ("db", "10.0.0.1")),
    (grammar.extra_host, "db:::1", ("db", "::1")),
    (grammar.extra_host, "db=[::1]", ("db", "::1")),
    (grammar.signal_name, "term", "SIGTERM"),
    (grammar.signal_name, "9", "SIGKILL"),
    (grammar.signal_name, "RTMIN+3", "SIGRTMIN+3"),
    (grammar.network, "none", grammar.Endpoint("none")),
    (grammar.network, "name=host", grammar.Endpoint("host")),
    (grammar.network, "bridge", grammar.Endpoint("bridge")),
    (grammar.network, "name=net,alias=x", grammar.Endpoint("net", aliases=("x",))),
    (grammar.container_name, "/web-1", "web-1"),
    (grammar.blkio_weight, "0", 0),
    (grammar.blkio_weight, "1000", 1000),
    (grammar.security_option, "no-new-privileges", ("no-new-privileges", "on")),
    (grammar.security_option, "no-new-privileges:true", ("no-new-privileges", "on")),
    (grammar.security_option, "no-new-privileges=false", ("no-new-privileges", "off")),
    (grammar.security_option, "seccomp=unconfined", ("seccomp", "unconfined")),
    (grammar.security_option, "systempaths=unconfined", ("unmask", "ALL")),
    (grammar.security_option, "unmask=/proc/acpi:/sys/firmware", ("unmask", "/proc/acpi:/sys/firmware")),
    (grammar.security_option, "apparmor=unconfined", ("apparmor", "unconfined")),
    (grammar.volume, "/a:/b", Mount("bind", "/a", "/b", make_source=True)),
    (grammar.volume, "/a/../c:/b/", Mount("bind", "/c", "/b", make_source=True)),
    (grammar.volume, "/a:/b:ro,rslave,Z", Mount("bind", "/a", "/b", True, ("rslave",), make_source=True)),
    (grammar.volume, "/a:/b:bind,suid", Mount("bind", "/a", "/b", False, ("suid",), False, make_source=True)),
    (grammar.tmpfs, "/run", Mount("tmpfs", "", "/run")),
    (
        grammar.tmpfs,
        "/run:ro,size=64m,mode=1777,exec",
        Mount("tmpfs", "", "/run", True, ("size=67108864", "mode=1777", "exec")),
    ),
    (
        grammar.tmpfs,
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
    (grammar.volume, "/b", Mount("volume", "", "/b")),
    (grammar.volume, "data:/b", Mount("volume", "data", "/b")),
    (grammar.volume, "data:/b:ro,nocopy,z", Mount("volume", "data", "/b", True, nocopy=True)),
    (grammar.volume, "/a:/b:idmap", Mount("bind", "/a", "/b", idmap=True, make_source=True)),
    (grammar.volumes_from, "other", ("other", False)),
    (grammar.volumes_from, "other:ro,z", ("other", True)),
    (grammar.mount, "target=/b", Mount("volume", "", "/b")),
    (grammar.mount, "source=data,target=/b", Mount("volume", "data", "/b")),
    (
        grammar.mount,
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
    (grammar.mount, "type=image,source=x:1,target=/b,image-subpath=a", Mount("image", "x:1", "/b", True, subpath="a")),
    (grammar.mount, "type=bind,source=/a,target=/b", Mount("bind", "/a", "/b")),
    (
        grammar.mount,
        "type=bind,source=/a,target=/b,ro,bind-recursive=writable",
        Mount("bind", "/a", "/b", True, writable_below=True),
    ),
    (
        grammar.mount,
        "type=bind,source=/a,target=/b,bind-recursive=disabled",
        Mount("bind", "/a", "/b", recursive=False),
    ),
    (grammar.mount, "type=bind,source=/a,target=/b,ro,bind-recursive=readonly", Mount("bind", "/a", "/b", True)),
    (grammar.mount, "type=bind,src=/a,dst=/b,ro", Mount("bind", "/a", "/b", True)),
    (
        grammar.mount,
        "type=bind,src=/a,dst=/b,readonly=false,bind-propagation=rslave,bind-nonrecursive",
        Mount("bind", "/a", "/b", False, ("rslave",), False),
    ),
    (grammar.mount, 'type=bind,"source=/a,b",destination=/b', Mount("bind", "/a,b", "/b")),
    (
        grammar.mount,
        "type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=700",
        Mount("tmpfs", "", "/t", False, ("size=1048576", "mode=700")),
    ),
]


@pytest.mark.parametrize(("parse", "text", "value"), GOOD)
def test_a_good_value_means_what_docker_means_by_it(parse, text, value):
    assert parse(text) == value


BAD = [
    (grammar.size, "abc", "not a size"),
    (grammar.size, "-1", "not a size"),
    (grammar.size, "1e3", "not a size"),
    (grammar.size, "٣m", "not a size"),
    (grammar.size, "9999999999g", "larger than"),
    (grammar.cpus, "-1", "not a decimal"),
    (grammar.cpus, ".", "not a decimal"),
    (grammar.cpus, "1.0000000001", "at most 9 places"),
    (grammar.index_list, "3-1", "runs backwards"),
    (grammar.index_list, "0-99999", "larger than any CPU"),
    (grammar.index_list, "0,,1", "not a list"),
    (grammar.index_list, "", "not a list"),
    (grammar.duration, "5", "not a duration"),
    (grammar.integer(0, 10), "1_0", "not a whole number"),
    (grammar.integer(0, 10), " 1", "not a whole number"),
    (grammar.integer(0, 10), "11", "must be from 0 to 10"),
    (grammar.integer(0, 10), "٣", "not a whole number"),
    (grammar.user, "4294967295", "outside 0 to 4294967294"),
    (grammar.user, "4294967296", "outside"),
    (grammar.user, "-1", "outside"),
    (grammar.user, "0:2147483648000", "outside"),
    (grammar.user, "root\nx", "control characters"),
    (grammar.user, "a:b:c", "must be user[:group]"),
    (grammar.user, ":5", "must be user[:group]"),
    (grammar.group, "", "must be a group"),
    (grammar.ulimit, "nofile", "must be name=soft"),
    (grammar.ulimit, "nofile=1024:", "must be name=soft"),
    (grammar.ulimit, "files=1", "no limit is called"),
    (grammar.ulimit, "nofile=3:2", "less than or equal"),
    (grammar.ulimit, "nofile=-1:2", "less than or equal"),
    (grammar.ulimit, "nofile=-2", "must be from"),
    (grammar.device, "/dev/a:/dev/b:rwx", "not an access mode"),
    (grammar.device, "/dev/a:/dev/b:rr", "not an access mode"),
    (grammar.device, "/dev/a:/dev/b:/dev/c:r", "must be"),
    (grammar.device, "dev/a", "absolute path"),
    (grammar.device_rule, "c 1:3", "must be like"),
    (grammar.device_rule, "p 1:3 r", "must be like"),
    (grammar.device_bps, "/etc/passwd:1mb", "/dev/name:number"),
    (grammar.device_weight, "/dev/sda:9", "must be from 10"),
    (grammar.key_value, "=x", "key is empty"),
    (grammar.key_value, "a\n=x", "spaces"),
    (grammar.key_value, "a\nb=x", "control characters"),
    (grammar.environment, "=x", "no variable name"),
    (grammar.environment, "A=\0", "NUL"),
    (grammar.environment, "A\nB=x", "control characters"),
    (grammar.extra_host, "db", "not an IP address"),
    (grammar.extra_host, "db:10.0.0.1\n1.2.3.4 evil", "not an IP address"),
    (grammar.extra_host, "d b:1.2.3.4", "not a host name"),
    (grammar.host_name, "a\nb", "not a host name"),
    (grammar.host_name, "a" * 65, "at most 64"),
    (grammar.host_name, "-a", "not a host name"),
    (grammar.signal_name, "NOPE", "no such signal"),
    (grammar.signal_name, "65", "no such signal"),
    (grammar.signal_name, "0", "no such signal"),
    (grammar.container_name, "a", "are allowed"),
    (grammar.container_name, "../x", "are allowed"),
    (grammar.container_name, "a\nb", "are allowed"),
    (grammar.cgroup_parent, "/a/../..", "must not contain"),
    (grammar.blkio_weight, "9", "must be from 10"),
    (grammar.boolean, "yes", "true or false"),
    (grammar.security_option, "nope=1", "no security option"),
    (grammar.security_option, "mask=proc", "absolute path"),
    (grammar.volume, "/a:/", "can't be '/'"),
    (grammar.volume, "/a:b", "absolute path"),
    (grammar.volume, "/a:/b:rx", "invalid mode"),
    (grammar.volume, "/a:/b:ro:x", "must be"),
    (grammar.volume, "/a:/b\n", "control characters"),
    (grammar.volume, "a/b:/c", "no name for a volume"),
    (grammar.volume, "a:/c", "no name for a volume"),
    (grammar.volume, "data:/c:rslave", "for a volume"),
    (grammar.volume, "data:/c:rbind", "for a volume"),
    (grammar.volume, "/a:/c:nocopy", "for a bind"),
    (grammar.volume, "data:/c:idmap", "for a volume"),
    (grammar.volumes_from, ":ro", "must be"),
    (grammar.volumes_from, "x:rx", "must be ro, rw"),
    (grammar.volume_option, "size=1", "invalid option"),
    (grammar.tmpfs, "/run:size=x", "not a size"),
    (grammar.tmpfs, "/run:upperdir=/x", "invalid tmpfs option"),
    (grammar.tmpfs, "/run:uid=4294967295", "must be from 0"),
    (grammar.mount, "type=bind,target=/b", "source is required"),
    (grammar.mount, "type=bind,source=/a", "target is required"),
    (grammar.mount, "type=bind,source=a,target=/b", "absolute path"),
    (grammar.mount, "type=bind,source=/a,target=/b,tmpfs-size=1", "unexpected key"),
    (grammar.mount, "type=tmpfs,source=/a,target=/b", "makes no sense"),
    (grammar.mount, "type=wrong,target=/b", "unknown"),
    (grammar.mount, "type=image,target=/b", "source is required"),
    (grammar.mount, "type=bind,source=/a,target=/b,volume-label=x", "unexpected key"),
    (grammar.mount, "type=bind,source=/a,target=/b,volume-nocopy", "unexpected key"),
    (grammar.mount, "source=data,target=/b,bind-propagation=rslave", "unexpected key"),
    (grammar.mount, "source=data,target=/b,volume-subpath=../x", "lead out"),
    (grammar.mount, "source=data,target=/b,volume-subpath=/x", "relative"),
    (grammar.mount, "source=data,target=/b,volume-opt=size=1", "invalid option"),
    (grammar.mount, "type=bind,source=/a,target=/b,bind-recursive=readonly", "needs readonly"),
    (grammar.mount, "type=bind,source=/a,target=/b,ro,bind-recursive=readonly,bind-propagation=rslave", "rprivate"),
    (grammar.mount, "type=bind,source=/a,target=/b,nonsense", "must be key=value"),
    (grammar.mount, 'type=bind,"source=/a', "not a list"),
]


@pytest.mark.parametrize(("parse", "text", "message"), BAD)
def test_a_bad_value_is_refused_on_one_line(parse, text, message):
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert message in caught.value.message
    assert "\n" not in caught.value.message


UNSUPPORTED = [
    (grammar.mount, "type=npipe,source=x,target=/b"),
    (grammar.mount, "target=/b,volume-driver=rexray"),
    (grammar.volume_driver, "nfs"),
    (grammar.device, "vendor.com/gpu=all"),
    (grammar.security_option, "apparmor=profile"),
    (grammar.security_option, "label=type:x"),
]


@pytest.mark.parametrize(("parse", "text"), UNSUPPORTED)
def test_what_docker_has_and_we_have_not_is_refused_as_such(parse, text):
    with pytest.raises(Unsupported):
        parse(text)


def test_a_variable_without_a_value_takes_the_callers_or_unsets():
    assert grammar.environment("A", {"A": "1"}) == "A=1"
    assert grammar.environment("A", {}) == "A"
    assert grammar.environment("A=", {"A": "1"}) == "A="


def test_an_environment_file_is_taken_literally(tmp_path, monkeypatch):
    monkeypatch.setenv("PASSED", "on")
    monkeypatch.delenv("ABSENT", raising=False)
    file = tmp_path / "env"
    file.write_bytes(b"\xef\xbb\xbfA=1\r\n# comment\n\n  B='q' # not a comment\nPASSED\nABSENT\nC=x y\n")
    assert grammar.environment_file(str(file)) == ["A=1", "B='q' # not a comment", "PASSED=on", "C=x y"]


@pytest.mark.parametrize("content", [b"A B=1\n", b"=1\n", b"\xff\n", b"A=\0\n"])
def test_a_bad_environment_file_is_a_usage_error(tmp_path, content):
    file = tmp_path / "env"
    file.write_bytes(content)
    with pytest.raises(UsageError):
        grammar.environment_file(str(file))


def test_a_missing_environment_file_is_named(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        grammar.environment_file(f"{tmp_path}/none")


def test_a_relative_volume_starts_at_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert grammar.volume("./x:/y").source == f"{tmp_path}/x"
