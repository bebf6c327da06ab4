"""Fields of the runtime-spec that `pyc run` has no flag for: performed, and seen from inside; or refused by name."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from typing import Any

import pytest

from pycontainer.errors import PycError
from pycontainer.oci import control, fates, outside
from pycontainer.oci.asked import Asked
from pycontainer.oci.create import create
from pycontainer.oci.state import Home
from tests.support.host import needs_kernel
from tests.support.oci import Oci

pytestmark = pytest.mark.root

HERE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
MAPS = {
    "uidMappings": [{"containerID": 0, "hostID": 100000, "size": 65536}],
    "gidMappings": [{"containerID": 0, "hostID": 200000, "size": 65536}],
}


def told(path: str) -> str:
    with open(path) as file:
        return file.read()


def hook(path: str, name: str, **more: Any) -> dict[str, Any]:
    """A hook of the host's that notes its name, its mount namespace and the state that it read."""
    script = f"echo {name} $(readlink /proc/self/ns/mnt) $(cat) >> {path}"
    return {"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"], **more}


def test_hooks_are_called_at_their_points_with_the_state(oci: Oci) -> None:
    log = f"{oci.where}/log"
    spec = oci.spec("sleep", "100")
    kinds = ("prestart", "createRuntime", "createContainer", "poststart", "poststop")
    spec["hooks"] = {kind: [hook(log, kind)] for kind in kinds}
    inside = {"path": "/bin/sh", "args": ["sh", "-c", "cat > /tmp/inside"], "env": ["PATH=/bin"]}
    spec["hooks"]["startContainer"] = [inside]
    pid = oci.create(spec)
    assert [line.split()[0] for line in told(log).splitlines()] == list(kinds[:3])
    oci("start", "test")
    oci("delete", "--force", "test")
    lines = [line.split(maxsplit=2) for line in told(log).splitlines()]
    assert [line[0] for line in lines] == list(kinds)
    states = {kind: json.loads(state) for kind, _, state in lines}
    assert states["prestart"]["pid"] == states["poststart"]["pid"] == pid
    assert [states[kind]["status"] for kind in ("createRuntime", "poststart", "poststop")] == [
        *("creating", "running", "stopped"),
    ]
    own = os.readlink("/proc/self/ns/mnt")
    where = {kind: namespace for kind, namespace, _ in lines}
    assert where["createRuntime"] == own != where["createContainer"]
    assert json.loads(told(f"{oci.rootfs}/tmp/inside"))["status"] == "created"


def test_a_hook_that_fails_or_takes_too_long_stops_create(oci: Oci) -> None:
    spec = oci.spec("true")
    spec["hooks"] = {"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", "echo no thanks; exit 3"]}]}
    done = oci.run(spec)
    assert (done.code, "createRuntime hook /bin/sh: exit status 3: no thanks" in done.err) == (1, True), done.err
    spec["hooks"] = {"prestart": [{"path": "/bin/sleep", "args": ["sleep", "60"], "timeout": 1}]}
    assert "within its timeout of 1 s" in oci.run(spec).err
    assert oci("list", "--quiet").out == ""


def test_a_hook_that_fails_at_start_stops_the_container_which_waits_to_be_deleted(oci: Oci) -> None:
    for kind, path in (("startContainer", "/bin/nope"), ("poststart", "/bin/false")):
        spec = oci.spec("sleep", "100")
        spec["hooks"] = {kind: [{"path": path}], "poststop": [hook(f"{oci.where}/log", kind)]}
        pid = oci.create(spec)
        done = oci("start", "test")
        assert (done.code, f"{kind} hook {path}: " in done.err, done.err.count("\n")) == (1, True, 1), done.err
        assert oci.status() == "stopped" and not os.path.exists(f"/proc/{pid}/exe")
        assert oci("delete", "test").code == 0
    assert [line.split()[0] for line in told(f"{oci.where}/log").splitlines()] == ["startContainer", "poststart"]


def test_poststop_hooks_are_all_called_and_only_warned_of_also_where_create_failed(oci: Oci) -> None:
    spec = oci.spec("true")
    spec["hooks"] = {"poststop": [{"path": "/bin/false"}, hook(f"{oci.where}/log", "second")]}
    done = oci.run(spec)
    assert (done.code, done.err) == (0, "pyc-oci: warning: poststop hook /bin/false: exit status 1\n")
    spec["hooks"] |= {"createRuntime": [hook(f"{oci.where}/log", "first"), {"path": "/bin/false"}]}
    done = oci.run(spec)
    assert (done.code, done.err.count("\n"), oci("list", "--quiet").out) == (1, 2, "")
    lines = [line.split(maxsplit=2) for line in told(f"{oci.where}/log").splitlines()]
    assert [line[0] for line in lines] == ["second", "first", "second"]
    assert [json.loads(line[2])["status"] for line in lines] == ["stopped", "creating", "stopped"]


def users(spec: dict[str, Any]) -> dict[str, Any]:
    spec["linux"]["namespaces"].append({"type": "user"})
    spec["linux"] |= MAPS
    return spec


def test_a_user_namespace_has_its_maps_devices_and_terminal(oci: Oci) -> None:
    subprocess.run(["chown", "-R", "100000:200000", oci.rootfs], check=True)
    script = (
        "id -u; cat /proc/self/uid_map /proc/self/gid_map; echo > /dev/null; touch /tmp/mine; stat -c %u:%g /tmp/mine"
    )
    out = oci.output(users(oci.spec("sh", "-c", script))).split()
    assert out == ["0", *"0 100000 65536".split(), *"0 200000 65536".split(), "0:0"]
    assert os.stat(f"{oci.rootfs}/tmp/mine").st_uid == 100000


NODES = ["full", "null", "random", "tty", "urandom", "zero"]


@pytest.mark.parametrize("users", [True, False])
def test_a_root_without_a_dev_of_its_own_gets_the_default_devices_and_keeps_its_files(oci: Oci, users: bool) -> None:
    look = f"for f in {' '.join(NODES)}; do test -c /dev/$f || echo $f; done"
    spec = oci.spec("sh", "-c", f"{look}; cat /dev/stdin; readlink /dev/fd; readlink /dev/ptmx; ls /dev/pts")
    spec["mounts"] = [mount for mount in spec["mounts"] if mount["destination"] in ("/proc", "/dev/pts")]
    spec["linux"]["devices"] = [] if users else [{"path": "/dev/mine", "type": "c", "major": 1, "minor": 3}]
    os.mkdir(f"{oci.rootfs}/dev")
    for name in ("stdin", "ptmx"):
        with open(f"{oci.rootfs}/dev/{name}", "w") as file:
            file.write("an image's\n")
    if users:
        spec["linux"]["namespaces"].append({"type": "user"})
        spec["linux"] |= MAPS
        for place in (oci.rootfs, f"{oci.rootfs}/dev"):
            os.chown(place, 100000, 200000)
    assert oci.output(spec) == "an image's\n/proc/self/fd\npts/ptmx\nptmx\n"
    assert {*NODES, *([] if users else ["mine"])} < set(os.listdir(f"{oci.rootfs}/dev"))


def test_a_default_device_that_is_mounted_is_that_mount(oci: Oci) -> None:
    """As podman writes it for --privileged without root."""
    spec = oci.spec("sh", "-c", "cat /dev/zero; test -c /dev/null && test -c /dev/full && echo others")
    with open(f"{oci.where}/file", "w") as file:
        file.write("bound\n")
    spec["mounts"].append({"destination": "/dev/zero", "source": f"{oci.where}/file", "options": ["bind"]})
    assert oci.output(spec) == "bound\nothers\n"


def test_a_file_that_poses_as_dev_null_covers_nothing(oci: Oci) -> None:
    """CVE-2025-31133: bound over a masked file it would be that file's content, and perhaps the host's."""
    spec = oci.spec("cat", "/proc/keys")
    spec["mounts"] = [mount for mount in spec["mounts"] if not mount["destination"].startswith("/dev")]
    os.mkdir(f"{oci.rootfs}/dev")
    for target in ("", "/proc/self/environ"):
        if target:
            os.symlink(target, f"{oci.rootfs}/dev/null")
        else:
            os.mknod(f"{oci.rootfs}/dev/null")
        done = oci.run(spec)
        assert done.code == 1 and done.err.startswith("pyc-oci: linux.maskedPaths: "), done
        os.unlink(f"{oci.rootfs}/dev/null")
    assert oci.output(spec) == ""


def test_mounts_below_a_dev_of_the_host_s_are_there(oci: Oci) -> None:
    """With and without a user namespace, where the monitor takes the bind."""
    os.mkdir(f"{oci.where}/dev")
    with open(f"{oci.where}/dev/null", "w"):
        pass
    spec = oci.spec("sh", "-c", "grep -c /dev /proc/mounts; ls /dev")
    others = [mount for mount in spec["mounts"] if mount["destination"] not in ("/dev", "/dev/mqueue")]
    bind = {"destination": "/dev", "type": "bind", "source": f"{oci.where}/dev", "options": ["rbind"]}
    spec["mounts"] = [bind, *others]
    spec["linux"]["maskedPaths"] = []
    assert oci.output(spec).split()[1:] == ["null", "pts", "shm"]
    spec["linux"]["namespaces"].append({"type": "user"})
    spec["linux"] |= MAPS
    out = oci.output(spec).split()
    assert (int(out[0]) >= 3, out[1:]) == (True, ["null", "pts", "shm"])


@needs_kernel(5, 12, "id-mapped mounts")
def test_an_id_mapped_mount_shows_other_owners(oci: Oci) -> None:
    os.mkdir(f"{oci.where}/data")
    os.chown(f"{oci.where}/data", 5, 6)
    spec = oci.spec("stat", "-c", "%u:%g", "/data")
    bind = {"destination": "/data", "type": "bind", "source": f"{oci.where}/data", "options": ["bind"]}
    spec["mounts"].append(bind | MAPS)
    assert oci.output(spec) == "100005:200006\n"


@needs_kernel(5, 12, "id-mapped mounts")
def test_many_mounts_share_their_maps_and_too_many_maps_are_refused(oci: Oci) -> None:
    def mapped(number: int, host: int) -> dict[str, Any]:
        maps = [{"containerID": 0, "hostID": host, "size": 10}]
        bind = {"destination": f"/m/{number}", "type": "bind", "source": oci.where, "options": ["bind"]}
        return bind | {"uidMappings": maps, "gidMappings": maps}

    spec = oci.spec("sh", "-c", "grep -c idmapped /proc/mounts")
    few = spec["mounts"]
    spec["mounts"] = few + [mapped(number, 100000) for number in range(300)]
    assert oci.output(spec) == "300\n"
    spec["mounts"] = few + [mapped(number, 100000 + 10 * number) for number in range(300)]
    assert "mounts[].uidMappings: more than 100 different ones" in oci.run(spec).err


def test_the_clocks_of_a_time_namespace_are_shifted(oci: Oci) -> None:
    spec = oci.spec("cat", "/proc/self/timens_offsets", "/proc/uptime")
    spec["linux"]["namespaces"].append({"type": "time"})
    spec["linux"]["timeOffsets"] = {"boottime": {"secs": 1000000}, "monotonic": {"secs": 7, "nanosecs": 9}}
    lines = oci.output(spec).splitlines()
    assert [line.split() for line in lines[:2]] == [["monotonic", "7", "9"], ["boottime", "1000000", "0"]]
    assert float(lines[2].split()[0]) > 1000000


def test_namespaces_of_others_are_joined_by_path(oci: Oci) -> None:
    pid = oci.create(oci.spec("sleep", "100"), name="other")
    spec = oci.spec("sh", "-c", "for kind in net ipc uts pid; do readlink /proc/self/ns/$kind; done")
    joined = {"network": "net", "ipc": "ipc", "uts": "uts", "pid": "pid"}
    spec["linux"]["namespaces"] = [
        *({"type": kind, "path": f"/proc/{pid}/ns/{file}"} for kind, file in joined.items()),
        *({"type": kind} for kind in ("mount", "cgroup")),
    ]
    spec.pop("hostname")
    oci("start", "other")
    assert oci.output(spec).split() == [os.readlink(f"/proc/{pid}/ns/{file}") for file in joined.values()]


@pytest.mark.parametrize(
    ("section", "key", "value", "script", "expected"),
    [
        ("linux", "personality", {"domain": "LINUX32"}, "cat /proc/self/personality", "00000008"),
        ("process", "scheduler", {"policy": "SCHED_BATCH", "nice": 5}, "grep policy /proc/self/sched", "3"),
        ("process", "oomScoreAdj", 300, "cat /proc/self/oom_score_adj", "300"),
        ("process", "rlimits", [{"type": "RLIMIT_NOFILE", "soft": 99, "hard": 99}], "ulimit -n", "99"),
        (
            "linux",
            "memoryPolicy",
            {"mode": "MPOL_BIND", "nodes": "0"},
            "grep -m1 -o bind:0 /proc/self/numa_maps",
            "bind:0",
        ),
        ("linux", "sysctl", {"net.ipv4.ip_forward": "1"}, "cat /proc/sys/net/ipv4/ip_forward", "1"),
        (None, "domainname", "lan", "cat /proc/sys/kernel/domainname", "lan"),
        ("linux", "rootfsPropagation", "shared", "grep -c ' / / .*shared:' /proc/self/mountinfo", "0"),
    ],
)
def test_what_is_asked_for_is_seen_from_inside(
    oci: Oci, section: str | None, key: str, value: Any, script: str, expected: str
) -> None:
    spec = oci.spec("sh", "-c", script)
    (spec[section] if section else spec)[key] = value
    if key == "rootfsPropagation":
        spec["process"]["args"] = ["sh", "-c", "grep -c 'shared:' /proc/self/mountinfo"]
        assert int(oci.output(spec)) > 0
        return
    assert oci.output(spec).split()[-1] == expected


def test_the_disk_priority_is_set(oci: Oci) -> None:
    spec = oci.spec("sleep", "100")
    spec["process"]["ioPriority"] = {"class": "IOPRIO_CLASS_IDLE", "priority": 0}
    pid = oci.create(spec)
    oci("start", "test")
    assert subprocess.run(["ionice", "-p", str(pid)], capture_output=True, text=True).stdout.strip() == "idle"


def test_exec_keeps_to_its_cpus(oci: Oci) -> None:
    oci.create(oci.spec("sleep", "100"))
    oci("start", "test")
    process = oci.spec("grep", "Cpus_allowed_list", "/proc/self/status")["process"]
    process["execCPUAffinity"] = {"initial": "0", "final": "0"}
    with open(f"{oci.where}/process.json", "w") as file:
        json.dump(process, file)
    assert oci("exec", "--process", f"{oci.where}/process.json", "test").out.split()[-1] == "0"


def test_the_seccomp_listener_reaches_its_agent(oci: Oci) -> None:
    spec = oci.spec("mkdir", "/tmp/new")
    spec["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": f"{oci.where}/agent",
        "listenerMetadata": "ours",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}],
    }
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{oci.where}/agent")
        listening.listen()
        oci.create(spec)
        assert oci("start", "test").code == 0
        client, _ = listening.accept()
        with client:
            data, fds, _, _ = socket.recv_fds(client, 65536, 1)
    message = json.loads(data)
    assert (message["fds"], message["metadata"], message["state"]["id"]) == (["seccompFd"], "ours", "test")
    assert "seccomp" in os.readlink(f"/proc/self/fd/{fds[0]}")
    os.close(fds[0])


def test_a_network_device_moves_in_with_its_address(oci: Oci) -> None:
    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)

    ip("link", "add", "pycoci0", "type", "veth", "peer", "pycoci1")
    ip("addr", "add", "192.0.2.7/24", "dev", "pycoci0")
    spec = oci.spec("sh", "-c", "cat /proc/net/dev /proc/net/fib_trie")
    spec["linux"]["netDevices"] = {"pycoci0": {"name": "inside0"}}
    try:
        out = oci.output(spec)
    finally:
        subprocess.run(["ip", "link", "del", "pycoci1"], capture_output=True)
    assert "inside0:" in out
    assert "192.0.2.7" in out


REFUSED = [
    ("linux.resources.blockIO.leafWeight", lambda spec: spec["linux"]["resources"].update(blockIO={"leafWeight": 5})),
    ("linux.resources.memory.kernel", lambda spec: spec["linux"]["resources"].update(memory={"kernel": 5})),
    ("linux.personality.flags", lambda spec: spec["linux"].update(personality={"domain": "LINUX", "flags": ["X"]})),
    ("process.scheduler.policy", lambda spec: spec["process"].update(scheduler={"policy": "SCHED_NO"})),
    ("linux.namespaces[].type", lambda spec: spec["linux"]["namespaces"].append({"type": "no"})),
    ("linux.rootfsPropagation", lambda spec: spec["linux"].update(rootfsPropagation="no")),
    ("process.args", lambda spec: spec["process"].update(args=[])),
    ("linux.namespaces[].path", lambda spec: spec["linux"]["namespaces"].__setitem__(4, INIT_S)),
    ("process.cwd", lambda spec: spec["process"].update(cwd="no")),
    ("linux.timeOffsets", lambda spec: spec["linux"].update(timeOffsets={"boottime": {"secs": 1}})),
    ("process.args[1]", lambda spec: spec["process"].update(args=["true", "a\0b"])),
    ("process.user.uid", lambda spec: spec["process"]["user"].update(uid=-1)),
    ("process.oomScoreAdj", lambda spec: spec["process"].update(oomScoreAdj=1001)),
    ("process.rlimits", lambda spec: spec["process"].update(rlimits=[{"type": "RLIMIT_X", "soft": 1, "hard": 1}])),
    ("process.rlimits[0].hard", lambda spec: spec["process"].update(rlimits=[{"type": "RLIMIT_CORE", "soft": 1}])),
    ("process.scheduler.policy", lambda spec: spec["process"].update(scheduler={"nice": 1})),
    ("mounts[6].type", lambda spec: spec["mounts"].append({"destination": "/x", "source": "x"})),
    ("mounts[6].source", lambda spec: spec["mounts"].append({"destination": "/x", "options": ["bind"]})),
    ("mounts: ", lambda spec: spec["mounts"].append({"destination": "/x", "type": "nope", "source": "x"})),
    ("linux.devices[0].path", lambda spec: spec["linux"].update(devices=[{"type": "p", "path": "dev/x"}])),
    ("linux.devices[].type", lambda spec: spec["linux"].update(devices=[{"type": "q", "path": "/x", **NULL}])),
    ("linux.seccomp: ", lambda spec: spec["linux"].update(seccomp={"defaultAction": "SCMP_ACT_NO"})),
    ("linux.seccomp.listenerPath", lambda spec: spec["linux"].update(seccomp=NOBODY_LISTENS)),
    ("linux.resources.cpu.quota", lambda spec: spec["linux"]["resources"].update(cpu={"quota": 1})),
    ("linux.resources.devices", lambda spec: spec["linux"]["resources"].update(devices=[{"allow": True, "type": "q"}])),
    ("linux.cgroupsPath", lambda spec: spec["linux"].update(cgroupsPath="../..")),
    ("linux.intelRdt.closID", lambda spec: spec["linux"].update(intelRdt={"closID": "../.."})),
    ("linux.timeOffsets", lambda spec: spec["linux"].update(timeOffsets={"realtime": {"secs": 1}})),
    ("linux.cgroupsPath", lambda spec: spec["linux"].update(cgroupsPath="a.slice:b:c")),
    ("hooks.prestart[0].path", lambda spec: spec.update(hooks={"prestart": [{"path": "true"}]})),
    ("hooks.poststop[0].timeout", lambda spec: spec.update(hooks={"poststop": [{"path": "/bin/true", "timeout": 0}]})),
    ("root.path", lambda spec: spec["root"].update(path="nope")),
]
INIT_S = {"type": "mount", "path": "/proc/1/ns/mnt"}
NULL = {"major": 1, "minor": 3}
NOBODY_LISTENS = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "listenerPath": "/run/nobody/listens",
    "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}],
}


@pytest.mark.parametrize(
    ("field", "change"), REFUSED, ids=[f"{name}-{number}" for number, (name, _) in enumerate(REFUSED)]
)
def test_what_can_not_be_done_is_refused_by_its_name(oci: Oci, field: str, change: Any) -> None:
    spec = oci.spec("true")
    change(spec)
    done = oci.run(spec)
    assert (done.code, done.err.count("\n")) == (1, 1), done.err
    assert done.err.startswith(f"pyc-oci: {field}")
    assert oci("list", "--quiet").out == ""


def test_what_is_odd_but_legal_is_done(oci: Oci) -> None:
    spec = oci.spec("sh", "-c", "cat /in/file; echo $A")
    os.makedirs(f"{oci.where}/bundle/within")
    with open(f"{oci.where}/bundle/within/file", "w") as file:
        file.write("relative ")
    spec["mounts"] += [{"destination": "in", "source": "within", "type": "none", "options": ["rbind", "ro"]}]
    spec["process"] |= {"env": None, "user": {}, "rlimits": None, "capabilities": None, "consoleSize": {"height": 1}}
    spec["process"]["env"] = ["A=1", "A=2"]
    spec["linux"] |= {"seccomp": None, "devices": [], "sysctl": None, "maskedPaths": ["/nope"], "personality": None}
    spec["hooks"] = {"prestart": None, "poststop": []}
    spec |= {"annotations": None, "domainname": "", "unknown": {"deep": [None, 1e300]}, "vm": {}, "windows": {}}
    assert oci.output(spec) == "relative 2\n"


def test_a_huge_or_deep_config_is_read_or_refused_at_once(oci: Oci) -> None:
    spec = oci.spec("echo", "ran")
    spec["annotations"] = {f"key {number}": "x" * 1000 for number in range(10_000)}
    assert oci.output(spec) == "ran\n"
    with open(f"{oci.bundle(oci.spec('true'))}/config.json", "w") as file:
        file.write("[" * 500_000)
    done = oci("run", "--bundle", f"{oci.where}/bundle", "test")
    assert (done.code, done.err.count("\n")) == (1, 1) and "nested too deeply" in done.err


def test_capabilities_that_do_not_exist_are_warned_of(oci: Oci) -> None:
    spec = oci.spec("grep", "CapEff", "/proc/self/status")
    spec["process"]["capabilities"] = {
        kind: ["CAP_CHOWN", "CAP_NOPE"] for kind in ("bounding", "permitted", "effective")
    }
    done = oci.run(spec)
    assert (done.code, done.out) == (0, "CapEff:\t0000000000000001\n")
    assert done.err == "pyc-oci: warning: process.capabilities: CAP_NOPE can't be granted here\n"


def test_the_documentation_is_what_the_code_says() -> None:
    assert told(f"{HERE}/docs/runtime-spec.md") == fates.markdown()
    assert len(fates.table()) == 173


def test_a_share_of_the_cache_that_was_made_for_it_goes_with_it(oci: Oci, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a directory in place of resctrl, which few machines have; there rmdir takes a group's files along."""
    resctrl, home = f"{oci.where}/resctrl", Home(oci.root)
    os.makedirs(f"{resctrl}/given/mon_groups")
    with open(f"{resctrl}/schemata", "w"):
        pass
    monkeypatch.setattr(outside, "RESCTRL", resctrl)
    monkeypatch.setattr(outside, "_remove", shutil.rmtree)
    spec = oci.spec("sleep", "100")
    for asked, made in (
        ({"schemata": ["L3:0=f"]}, "test"),
        ({"closID": "given", "l3CacheSchema": "L3:0=f", "enableMonitoring": True}, "given/mon_groups/test"),
    ):
        spec["linux"]["intelRdt"] = asked
        state, *_ = create(home, "test", Asked(bundle=oci.bundle(spec)))
        assert told(f"{resctrl}/{made}/tasks") == str(state.pid)
        control.delete(home, "test", force=True)
        os.waitpid(state.pid, 0)
        assert sorted(os.listdir(resctrl)) == ["given", "schemata"] and not os.path.exists(f"{resctrl}/{made}")
    spec["linux"]["intelRdt"] = {"schemata": ["L3:0=f"]}
    spec["process"]["args"] = ["nope"]
    with pytest.raises(PycError, match="executable file not found"):
        create(home, "test", Asked(bundle=oci.bundle(spec)))
    assert sorted(os.listdir(resctrl)) == ["given", "schemata"]
