"""Flags of docker's, one at a time: what each does, as seen from inside or from the kernel's own files.

Which test shows the effect of which flag is in tests/data/docker_flags.txt; this file has those that no other test has.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from images import build
from images.registry import Registry
from tests.support.cli import Pyc, sh
from tests.support.states import look

pytestmark = pytest.mark.root

V2 = os.path.exists("/sys/fs/cgroup/cgroup.controllers")


class Limit(NamedTuple):
    """A limit of the command line, the kernel's files that hold it, and what they then say."""

    words: str
    v1: str
    says: str
    v2: str
    says_in_v2: str


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A disk of our own, as /dev/x, with the scheduler that knows weights where the kernel has it."""
    file = f"{tmp_path_factory.mktemp('disk')}/file"
    with open(file, "wb") as made:
        made.truncate(1 << 20)
    device = subprocess.run(
        ["losetup", "-f", "--show", file], capture_output=True, text=True, check=True
    ).stdout.strip()
    if "bfq" in scheduler(device):
        with open(f"/sys/block/{os.path.basename(device)}/queue/scheduler", "w") as switch:
            switch.write("bfq")
    yield device
    subprocess.run(["losetup", "-d", device], check=True)


def scheduler(device: str) -> str:
    with open(f"/sys/block/{os.path.basename(device)}/queue/scheduler") as file:
        return file.read()


LIMITS = [
    Limit("--memory 64m", "memory/memory.limit_in_bytes", "67108864", "memory.max", "67108864"),
    Limit("--memory-reservation 32m", "memory/memory.soft_limit_in_bytes", "33554432", "memory.low", "33554432"),
    Limit("-m 64m --memory-swap 96m", "memory/memory.memsw.limit_in_bytes", "100663296", "memory.swap.max", "33554432"),
    Limit("--cpus 0.5", "cpu/cpu.cfs_quota_us", "50000", "cpu.max", "50000 100000"),
    Limit("--cpu-shares 512", "cpu/cpu.shares", "512", "cpu.weight", "59"),
    Limit("--cpu-period 50000", "cpu/cpu.cfs_period_us", "50000", "cpu.max", "max 50000"),
    Limit("--cpu-quota 25000", "cpu/cpu.cfs_quota_us", "25000", "cpu.max", "25000 100000"),
    Limit("--cpuset-cpus 0", "cpuset/cpuset.cpus", "0", "cpuset.cpus", "0"),
    Limit("--cpuset-mems 0", "cpuset/cpuset.mems", "0", "cpuset.mems", "0"),
    Limit("--pids-limit 33", "pids/pids.max", "33", "pids.max", "33"),
    Limit("--blkio-weight 300", "blkio/blkio.bfq.weight", "300", "io.bfq.weight", "default 300"),
    Limit("--blkio-weight-device DISK:300", "blkio/blkio.bfq.weight_device", "N 300", "io.bfq.weight", "N 300"),
    Limit("--device-read-bps DISK:1mb", "blkio/blkio.throttle.read_bps_device", "N 1048576", "io.max", "rbps=1048576"),
    Limit("--device-write-bps DISK:1m", "blkio/blkio.throttle.write_bps_device", "N 1048576", "io.max", "wbps=1048576"),
    Limit("--device-read-iops DISK:99", "blkio/blkio.throttle.read_iops_device", "N 99", "io.max", "riops=99"),
    Limit("--device-write-iops DISK:99", "blkio/blkio.throttle.write_iops_device", "N 99", "io.max", "wiops=99"),
]  # fmt: skip

Start = Callable[..., str]


@pytest.fixture(params=["run", "create"])
def start(request: pytest.FixtureRequest, stocked: Pyc, image: str) -> Start:
    """What a container with these flags prints, made by ``run`` or by ``create`` and ``start``."""

    def do(*words: str) -> str:
        *flags, script = words
        if request.param == "run":
            return stocked("run", "--rm", *flags, image, *sh(script)).ok().stdout
        made = stocked("create", *flags, image, *sh(script)).ok().stdout.strip()
        return stocked("start", "-a", made).ok().stdout

    return do


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.words)
def test_a_limit_is_in_the_kernel_s_file(start: Start, limit: Limit, disk: str) -> None:
    if "weight" in limit.words and "[bfq]" not in scheduler(disk):
        pytest.skip("needs an I/O scheduler that knows weights (BFQ)")
    number = os.stat(disk).st_rdev
    path, says = (limit.v2, limit.says_in_v2) if V2 else (limit.v1, limit.says)
    shown = start(*limit.words.replace("DISK", disk).split(), f"cat /sys/fs/cgroup/{path}")
    assert says.replace("N", f"{os.major(number)}:{os.minor(number)}") in shown


@pytest.mark.parametrize(
    ("flags", "script", "says"),
    [
        ("--cap-drop ALL", "grep CapEff /proc/self/status", "CapEff:\t0000000000000000\n"),
        ("--cap-drop ALL --cap-add CHOWN", "grep CapEff /proc/self/status", "CapEff:\t0000000000000001\n"),
        ("--oom-score-adj 123", "cat /proc/self/oom_score_adj", "123\n"),
        ("--security-opt no-new-privileges=false", "grep NoNewPrivs /proc/self/status", "NoNewPrivs:\t0\n"),
        ("--security-opt seccomp=unconfined", "grep Seccomp: /proc/self/status", "Seccomp:\t0\n"),
        ("--runtime pyc", "echo $$", "1\n"),
        ("--userns host", "cat /proc/self/uid_map", "         0          0 4294967295\n"),
        ("--ipc none", "ls -d /dev/shm 2>/dev/null; echo $?", "1\n"),
        ("--uts host", "cat /proc/sys/kernel/hostname", f"{os.uname().nodename}\n"),
        ("--init", "readlink /proc/$$/exe >/dev/null; test $$ = 1; echo $?", "1\n"),
        ("--hostname box", "hostname", "box\n"),
        ("--domainname example", "cat /proc/sys/kernel/domainname", "example\n"),
        ("--add-host db:10.1.2.3", "grep -w db /etc/hosts", "10.1.2.3\tdb\n"),
        ("--workdir /made/here", "pwd", "/made/here\n"),
        ("--env A=1", "echo $A", "1\n"),
        ("--user 5:6", "echo $(id -u):$(id -g)", "5:6\n"),
        ("--user 5:6 --group-add 7", "grep Groups /proc/self/status", "Groups:\t6 7 \n"),
        ("--ulimit nofile=100:200", "ulimit -n; ulimit -Hn", "100\n200\n"),
        ("--sysctl net.ipv4.ip_forward=1", "cat /proc/sys/net/ipv4/ip_forward", "1\n"),
        ("--tmpfs /t:size=1m", "df -k /t | awk 'END {print $1, $2}'", "tmpfs 1024\n"),
        ("--shm-size 8m", "df -k /dev/shm | awk 'END {print $2}'", "8192\n"),
        ("--read-only", "touch /x 2>/dev/null; echo $?", "1\n"),
        ("--device /dev/full:/dev/mine", "echo 2>/dev/null > /dev/mine || echo full", "full\n"),
    ],
)
def test_it_is_seen_from_inside(start: Start, flags: str, script: str, says: str) -> None:
    assert start(*flags.split(), script) == says


def test_a_rule_opens_a_device_that_is_closed_to_others(start: Start) -> None:
    number = os.stat("/dev/loop-control").st_rdev
    script = (
        f"mknod /dev/k c {os.major(number)} {os.minor(number)} && (: < /dev/k) 2>/dev/null && echo open || echo closed"
    )
    powers = ("--userns", "host", "--cap-add", "MKNOD")
    assert start(*powers, script) == "closed\n"
    rule = f"c {os.major(number)}:{os.minor(number)} rm"
    assert start(*powers, "--device-cgroup-rule", rule, script) == "open\n"


def test_variables_come_from_a_file(start: Start, tmp_path: object) -> None:
    with open(f"{tmp_path}/vars", "w") as file:
        file.write("# comment\nFILED=x y\nBOTH=file\n")
    assert start("--env-file", f"{tmp_path}/vars", "-e", "BOTH=flag", "echo $FILED/$BOTH") == "x y/flag\n"


def test_labels_and_annotations_are_recorded(stocked: Pyc, image: str, tmp_path: object) -> None:
    with open(f"{tmp_path}/labels", "w") as file:
        file.write("a=file\nb=file\n")
    flags = ("--label-file", f"{tmp_path}/labels", "--label", "b=flag", "--annotation", "org.example.x=1")
    stocked("create", "--name", "box", *flags, image).ok()
    (document,) = json.loads(stocked("inspect", "box").ok().stdout)
    assert (document["Config"]["Labels"]["a"], document["Config"]["Labels"]["b"]) == ("file", "flag")
    stocked("start", "box").ok()
    with open(f"{stocked.root}/containers/{document['Id']}/config.json") as file:
        assert json.load(file)["annotations"]["org.example.x"] == "1"  # where hooks and runtimes look


@pytest.mark.parametrize("command", ["run", "create"])
def test_an_image_is_pulled_as_asked(pyc: Pyc, image: str, command: str) -> None:
    never = pyc(command, "--pull", "never", image, "true")
    assert never.code == (125 if command == "run" else 1) and "no such image" in never.stderr.lower()
    other = pyc(command, "--platform", "linux/riscv64", image, "true")
    assert other.code and "linux/riscv64" in other.stderr
    loud = pyc(command, image, "true")
    assert loud.code == 0 and image.rpartition("/")[2] in loud.stderr
    quiet = pyc(command, "--quiet", "--pull", "always", "--platform", "linux/amd64", image, "true").ok()
    assert quiet.stderr == ""
    assert "Unable to find" not in pyc(command, "--pull", "always", image, "true").ok().stderr


def test_memory_of_a_node_that_is_not_there_is_refused(stocked: Pyc, image: str) -> None:
    done = stocked("run", "--rm", "--cpuset-mems", "7777", image, "true")
    assert done.code == 125 and "--cpuset-mems" in done.stderr and "Traceback" not in done.stderr


def test_a_runtime_that_is_not_ours_is_refused(stocked: Pyc, image: str) -> None:
    done = stocked("run", "--rm", "--runtime", "runc", image, "true")
    assert done.code == 125 and "--runtime" in done.stderr


# --- containers that run ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [limit for limit in LIMITS if "device" not in limit.words], ids=lambda one: one.words)
def test_a_limit_is_changed_while_it_runs(stocked: Pyc, image: str, limit: Limit, disk: str) -> None:
    if "weight" in limit.words and "[bfq]" not in scheduler(disk):
        pytest.skip("needs an I/O scheduler that knows weights (BFQ)")
    box = stocked("run", "-d", image, "sleep", "100").ok().stdout.strip()
    stocked("update", *limit.words.split(), box).ok()
    path, says = (limit.v2, limit.says_in_v2) if V2 else (limit.v1, limit.says)
    stocked("restart", "-t", "0", box).ok()  # a group that the update made is seen from inside in the next life
    assert says in stocked("exec", box, "cat", f"/sys/fs/cgroup/{path}").ok().stdout


def test_restart_asks_with_the_signal_that_was_named(stocked: Pyc, image: str) -> None:
    stocked("run", "-d", "--name", "box", image, *sh("trap 'echo usr1; exit' USR1; echo up; sleep 60 & wait")).ok()
    wait_for(lambda: "up" in stocked("logs", "box").stdout)
    stocked("restart", "--signal", "USR1", "-t", "20", "box").ok()
    assert stocked("logs", "box").stdout.startswith("up\nusr1\n")
    stocked("kill", "box").ok()


def test_exec_is_left_with_the_keys_that_were_named(stocked: Pyc, image: str) -> None:
    stocked("run", "-d", "--name", "box", image, "sleep", "100").ok()
    command = ("exec", "-it", "--detach-keys", "ctrl-a,x", "box", *sh("echo up; sleep 777"))
    with stocked.terminal(*command) as terminal:
        terminal.expect("up")
        terminal.send("\x01x")
        assert terminal.wait() == 0
    assert "sleep 777" in stocked("exec", "box", "ps").stdout


def test_start_is_left_with_the_keys_that_were_named(stocked: Pyc, image: str) -> None:
    stocked("create", "-it", "--name", "box", image, "sh").ok()
    with stocked.terminal("start", "-ai", "--detach-keys", "ctrl-a,x", "box") as terminal:
        terminal.expect("# ")
        terminal.send("\x01x")
        assert terminal.wait() == 0
    assert look(stocked, "box").state == "running"


def test_a_commit_does_without_a_pause_if_told_so(stocked: Pyc, image: str) -> None:
    stocked("run", "-d", "--name", "box", image, *sh("while :; do date +%s%N >> /ticks; done")).ok()
    paused, going = f"pyc{os.getpid()}/paused", f"pyc{os.getpid()}/going"
    stocked("commit", "--pause=true", "box", paused).ok()
    stocked("commit", "--pause=false", "box", going).ok()
    kinds = stocked("events", "--since", "1m", "--until", "0s", "-f", "container=box", "--format", "{{.Action}}").lines
    assert [kind for kind in kinds if kind in ("pause", "unpause", "commit")].count("commit") == 2
    assert look(stocked, "box").state == "running"
    stocked("rmi", paused, going).ok()


# --- images -----------------------------------------------------------------------------------------------------------


def test_load_takes_the_platform_that_was_named_and_no_other(pyc: Pyc, tmp_path: object) -> None:
    pyc("pull", "-q", f"oci:{build.layout('busybox')}:latest").ok()
    pyc("save", "-o", f"{tmp_path}/a.tar", "localhost/busybox").ok()
    fresh = Pyc.beneath(f"{tmp_path}/fresh")
    refused = fresh("load", "--platform", "linux/s390x", "-i", f"{tmp_path}/a.tar")
    assert refused.code == 1 and "linux/s390x" in refused.stderr and fresh("images", "-q").stdout == ""
    fresh("load", "--platform", "linux/amd64", "-i", f"{tmp_path}/a.tar").ok()
    assert len(fresh("images", "-q").lines) == 1


def test_save_writes_the_platform_that_was_named_and_no_other(pyc: Pyc, tmp_path: object) -> None:
    pyc("pull", "-q", f"oci:{build.layout('busybox')}:latest").ok()
    pyc("save", "--platform", "linux/amd64", "-o", f"{tmp_path}/a.tar", "localhost/busybox").ok()
    refused = pyc("save", "--platform", "linux/s390x", "-o", f"{tmp_path}/b.tar", "localhost/busybox")
    assert refused.code == 1 and "linux/s390x" in refused.stderr
    assert sorted(name for name in os.listdir(str(tmp_path)) if name.endswith(".tar")) == ["a.tar"]


def test_an_import_is_for_the_platform_that_was_named(pyc: Pyc, stocked: Pyc, image: str, tmp_path: object) -> None:
    stocked("create", "--name", "box", image).ok()
    stocked("export", "-o", f"{tmp_path}/root.tar", "box").ok()
    made = pyc("import", "--platform", "linux/arm/v6", f"{tmp_path}/root.tar").ok().stdout.strip()
    shown = pyc("image", "inspect", "-f", "{{.Os}}/{{.Architecture}}/{{.Variant}}", made).ok().stdout
    assert shown == "linux/arm/v6\n"


def test_rmi_with_no_prune_leaves_what_others_have(pyc: Pyc, image: str) -> None:
    pyc("pull", "-q", image).ok()
    pyc("tag", image, "other:1").ok()
    assert pyc("rmi", "--no-prune", "other:1").ok().lines == ["Untagged: other:1"]
    pyc("run", "--rm", image, "true").ok()


def test_a_list_is_of_the_system_that_was_named(pyc: Pyc, registry: Registry, image: str) -> None:
    pyc("pull", "-q", image).ok()
    name = f"{registry.address}/lists/windows:v1"
    pyc("manifest", "create", name, image).ok()
    flags = ("--os", "windows", "--os-version", "10.0.17763", "--arch", "amd64")
    pyc("manifest", "annotate", *flags, name, image).ok()
    pyc("manifest", "push", name).ok()
    (entry,) = json.loads(pyc("manifest", "inspect", name).ok().stdout)["manifests"]
    assert entry["platform"] == {"architecture": "amd64", "os": "windows", "os.version": "10.0.17763"}


def test_inspect_of_one_kind_takes_a_template(stocked: Pyc, image: str) -> None:
    stocked("run", "--name", "box", image, *sh("head -c 1000 /dev/zero > /file")).ok()
    assert stocked("container", "inspect", "-f", "{{.Name}}", "box").ok().stdout == "/box\n"
    assert "SizeRw" not in stocked("container", "inspect", "box").ok().stdout
    assert stocked("container", "inspect", "--size", "-f", "{{.SizeRw}}", "box").ok().stdout == "1000\n"
    assert stocked("container", "inspect", "-f", "{{.Name}}", image).code == 1


def test_a_quiet_command_is_quiet_on_a_terminal_too(pyc: Pyc, stocked: Pyc, image: str, tmp_path: object) -> None:
    stocked("create", "--name", "box", image).ok()
    archive = f"{tmp_path}/a.tar"
    stocked("save", "-o", archive, image).ok()
    for command, loud in (
        (("cp", "box:/etc/passwd", str(tmp_path)), "Successfully copied"),
        (("load", "-i", archive), "done"),
    ):
        client = stocked if command[0] == "cp" else pyc
        for flag in ("--quiet", ""):  # the quiet one first, as what is here already needs no bar
            with client.terminal(*command[:1], *([flag] if flag else []), *command[1:]) as terminal:
                assert terminal.wait() == 0
                assert (loud in terminal.screen) == (not flag), command
            if command[0] == "load":
                pyc("rmi", "-f", *pyc("images", "-q").lines).ok()


def test_info_and_version_take_a_template(stocked: Pyc) -> None:
    assert stocked("info", "--format", "{{.OSType}}").ok().stdout == "linux\n"
    assert stocked("version", "--format", "{{.Client.Os}}").ok().stdout == "linux\n"


def test_system_prune_spares_what_a_filter_spares(pyc: Pyc, image: str) -> None:
    pyc("pull", "-q", image).ok()
    for name in ("kept", "gone"):
        pyc("create", "--name", name, "--label", f"{name}=1", image).ok()
        pyc("volume", "create", "--label", f"{name}=1", name).ok()
    anonymous = pyc("volume", "create").ok().stdout.strip()
    pyc("system", "prune", "-f", "--filter", "label!=kept").ok()
    assert pyc("ps", "-a", "--format", "{{.Names}}").lines == ["kept"]
    assert anonymous in pyc("volume", "ls", "-q").lines  # volumes stay unless they are asked for
    pyc("system", "prune", "-f", "--volumes", "--filter", "label!=kept").ok()
    assert sorted(pyc("volume", "ls", "-q").lines) == ["gone", "kept"]


def wait_for(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)
