"""The same bundles and commands for runc and for `pyc-oci`: what the process sees, and how it ends, must be the same.

A bundle is the example's with some of the changes below, drawn by a seed, which is a new one each night only. A failure
names the changes, and ``PYC_SEED=N pytest ...`` draws the same again. Changes after which the two differ for a reason
are DIFFERENT; docs/runtime-spec.md tells users the same.
"""

from __future__ import annotations

import difflib
import json
import os
import random
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.engines import RUNTIME, Done, remove_parents, wait_until
from tests.support.host import missing_command
from tests.support.oci import Oci

pytestmark = [pytest.mark.root, pytest.mark.peers, pytest.mark.slow]

SEED = int(os.environ.get("PYC_SEED") or 1)
SECONDS, LEAST, MOST = 20, 8, 60  # how long bundles are drawn, and how many

Change = Callable[[dict[str, Any]], Any]
SETS = ("bounding", "effective", "permitted", "inheritable", "ambient")
NULL = {"type": "c", "major": 1, "minor": 3}


def process(**fields: Any) -> Change:
    return lambda spec: spec["process"].update(fields)


def linux(**fields: Any) -> Change:
    return lambda spec: spec["linux"].update(fields)


def mount(destination: str, *options: str, type: str = "bind", source: str = "SOURCE") -> Change:
    mounted = {"destination": destination, "type": type, "source": source, "options": list(options)}
    return lambda spec: spec["mounts"].append(mounted)


def capabilities(**sets: str) -> Change:
    named = {kind: [f"CAP_{name}" for name in names.split()] for kind, names in sets.items()}
    return process(capabilities=named)


def without(kind: str) -> Change:
    def change(spec: dict[str, Any]) -> None:
        spec["linux"]["namespaces"] = [each for each in spec["linux"]["namespaces"] if each["type"] != kind]

    return change


def filtered(action: str, *names: str, **more: Any) -> Change:
    rule = {"names": list(names), "action": f"SCMP_ACT_{action}", **more}
    return linux(seccomp={"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]})


def hooked(script: str, *kinds: str) -> Change:
    hook = {"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["A=1"]}
    return lambda spec: spec.update(hooks={kind: [hook] for kind in kinds})


TOLD = "(pwd; env; cat; echo) >> hooks.told"
# Topic -> change -> what it does; of each topic at most one is drawn for a bundle.
CHANGES: dict[str, dict[str, Change]] = {
    "user": {
        "user 0": process(user={"uid": 0, "gid": 0}),
        "user 1000": process(user={"uid": 1000, "gid": 100}),
        "only a group": process(user={"gid": 5}),
        "more groups": process(user={"uid": 1, "gid": 2, "additionalGids": [3, 4]}),
        "umask 77": process(user={"uid": 0, "gid": 0, "umask": 0o77}),
        "an account": process(user={"uid": 7, "gid": 7}),
        "a user that is a word": process(user={"uid": "0"}),
        "user -1": process(user={"uid": -1}),
    },
    "capabilities": {
        "none": process(capabilities=None),
        "empty sets": process(capabilities={}),
        "the usual": capabilities(**dict.fromkeys(SETS[:3], "CHOWN NET_RAW KILL")),
        "all five": capabilities(**dict.fromkeys(SETS, "CHOWN NET_RAW")),
        "ambient without inheritable": capabilities(bounding="CHOWN", permitted="CHOWN", ambient="CHOWN"),
        "inheritable alone": capabilities(inheritable="CHOWN"),
        "effective without permitted": capabilities(bounding="CHOWN", effective="CHOWN"),
        "bounding alone": capabilities(bounding="CHOWN KILL"),
        "bounding and inheritable": capabilities(bounding="CHOWN KILL", inheritable="KILL"),
        "may gain privileges": process(noNewPrivileges=False),
    },
    "process": {
        "core": process(rlimits=[{"type": "RLIMIT_CORE", "soft": 1, "hard": 2**64 - 1}]),
        "few files": process(rlimits=[{"type": "RLIMIT_NOFILE", "soft": 40, "hard": 50}]),
        "soft above hard": process(rlimits=[{"type": "RLIMIT_NPROC", "soft": 9, "hard": 8}]),
        "no such limit": process(rlimits=[{"type": "RLIMIT_NONE", "soft": 9, "hard": 8}]),
        "oom 500": process(oomScoreAdj=500),
        "oom 1001": process(oomScoreAdj=1001),
        "cwd made": process(cwd="/new/deep"),
        "cwd with dots": process(cwd="/tmp/../bin/"),
        "cwd a file": process(cwd="/bin/busybox"),
        "cwd relative": process(cwd="bin"),
        "twice": process(env=["PATH=/bin", "A=1", "A=2", "HOME=/x"]),
        "no equals": process(env=["PATH=/bin", "A"]),
        "no arguments": process(args=[]),
        "no such program": process(args=["/none"]),
        "a directory": process(args=["/bin"]),
        "not executable": process(args=["/etc/passwd"]),
        "long host name": lambda spec: spec.update(hostname="x" * 65),
        "a host name": lambda spec: spec.update(hostname="x" * 64),
    },
    "mounts": {
        **{
            f"bind {word}": mount("/x", "bind", word)
            for word in "ro nosuid nodev noexec noatime relatime strictatime nodiratime rro rnosuid rnoexec "
            "private rprivate slave rslave shared rshared unbindable silent sync norelatime".split()
        },
        **{
            f"tmpfs {word}": mount("/closed", word, type="tmpfs", source="memory")
            for word in "ro nosuid noexec size=1m size=x mode=711 uid=5 nr_inodes=10 shared bad=1 norelatime "
            "tmpcopyup".split()
        },
        "rbind": mount("/x/deep/er", "rbind"),
        "onto a file": mount("/etc/passwd", "bind"),
        "a file": mount("/etc/new", "bind", source="SOURCE/file"),
        "a file onto a directory": mount("/etc", "bind", source="SOURCE/file"),
        "behind a link": mount("/led/below", "bind"),
        "behind a link to nothing": mount("/dangling", "bind"),
        "a file behind a link to nothing": mount("/dangling", "bind", source="SOURCE/file"),
        "with dots": mount("/x/../../y", "bind"),
        "nothing": mount("/x", "bind", source="/none"),
        "on /proc": mount("/proc", "bind"),
        "in /proc": mount("/proc/sys", "bind"),
        "a file of /proc": mount("/proc/uptime", "bind", source="SOURCE/file"),
        "on the root": mount("/", "bind"),
        "proc again": mount("/again", "nosuid", type="proc", source="proc"),
        "no such filesystem": mount("/x", type="nonefs"),
        "read-only root": lambda spec: spec["root"].update(readonly=True),
    },
    "linux": {
        "a device": linux(devices=[{**NULL, "path": "/dev/some", "fileMode": 0o640, "uid": 3, "gid": 4}]),
        "a device deep down": linux(devices=[{**NULL, "path": "/dev/deep/some"}]),
        "a pipe": linux(devices=[{"type": "p", "path": "/dev/pipe"}]),
        "no such device": linux(devices=[{**NULL, "type": "x", "path": "/dev/some"}]),
        "no rules": linux(resources={}),
        "everything allowed": linux(resources={"devices": [{"allow": True, "access": "rwm"}]}),
        "masked": linux(maskedPaths=["/etc/secret", "/closed", "/none", "/proc/acpi"]),
        "readonly": linux(readonlyPaths=["/etc", "/none", "/proc/sys"]),
        "neither": linux(maskedPaths=None, readonlyPaths=[]),
        "sysctl": linux(sysctl={"kernel.msgmax": "9000", "net.ipv4.ip_forward": "1"}),
        "sysctl of the host": linux(sysctl={"vm.swappiness": "5"}),
        "no such sysctl": linux(sysctl={"net.ipv4.none": "1"}),
        "rootfsPropagation slave": linux(rootfsPropagation="slave"),
        "rootfsPropagation x": linux(rootfsPropagation="x"),
        "host network": without("network"),
        "host ipc": without("ipc"),
        "no mount namespace": without("mount"),
        "pid twice": lambda spec: spec["linux"]["namespaces"].append({"type": "pid"}),
        "no such namespace": lambda spec: spec["linux"]["namespaces"].append({"type": "none"}),
    },
    "more": {
        "EPERM": filtered("ERRNO", "mkdir", "mkdirat"),
        "ENOSPC": filtered("ERRNO", "mkdir", "mkdirat", errnoRet=28),
        "killed": filtered("KILL_PROCESS", "mkdir", "mkdirat"),
        "by argument": filtered("ERRNO", "mkdir", args=[{"index": 1, "value": 0o777, "op": "SCMP_CMP_EQ"}]),
        "no such action": filtered("NONE", "mkdir"),
        "no such operator": filtered("ERRNO", "mkdir", args=[{"index": 1, "value": 1, "op": "NONE"}]),
        "no such call": filtered("ERRNO", "none", "mkdir"),
        "hooks": hooked(TOLD, "prestart", "createRuntime", "poststop"),
        "hook fails": hooked("exit 3", "createRuntime"),
        "hook of a relative path": lambda spec: spec.update(hooks={"prestart": [{"path": "true"}]}),
        "annotations": lambda spec: spec.update(annotations={"a": "b"}),
        "unknown": lambda spec: spec.update(unknown={"a": [1]}, windows={}),
        "memory": linux(resources={"memory": {"limit": 64 << 20}, "pids": {"limit": 50}}),
        "too much swap": linux(resources={"memory": {"limit": 64 << 20, "swap": 32 << 20}}),
        "no such processor": linux(resources={"cpu": {"cpus": "9999"}}),
    },
}

DIFFERENT: dict[str, Change] = {
    "runc's ids end at 2^31-1": process(user={"uid": 4294967294, "gid": 0}),
    "a field for Windows is refused by its name, and not ignored": process(user={"uid": 0, "gid": 0, "username": "x"}),
    "what is no umask is refused, where runc takes what fits": process(user={"uid": 0, "gid": 0, "umask": 0o1777}),
    "without PATH the usual directories are searched": process(env=["A=1"]),
    "a relative directory in PATH is taken as execvp(3) does": process(env=["PATH=bin:/bin"], args=["probe"], cwd="/"),
    "no magic link is followed (CVE-2024-21626)": process(cwd="/proc/self/cwd"),
    "a word of mount(8) is not handed to the filesystem": mount("/x", "defaults", type="tmpfs", source="memory"),
    "the type says that it is a bind": mount("/x"),
    "a device without numbers is refused": linux(devices=[{"type": "c", "path": "/dev/some"}]),
    "a device with a relative path is refused": linux(devices=[{**NULL, "path": "dev/some"}]),
    "the root is shared if that is asked for": linux(rootfsPropagation="shared"),
    "a root can be unbindable": linux(rootfsPropagation="unbindable"),
    "masked last, so a path in both lists is masked": linux(maskedPaths=["/etc"], readonlyPaths=["/etc"]),
    "runc 1.1 has no time namespaces": lambda spec: spec["linux"]["namespaces"].append({"type": "time"}),
    "what is gone from Linux is refused": linux(resources={"memory": {"useHierarchy": False}}),
}

PROBE = r"""#!/bin/sh
grep -E '^(Umask|Uid|Gid|Groups|Cap|NoNew|Seccomp:|SigBlk|SigIgn|Cpus_allowed_list)' /proc/self/status
echo $$ $(cut -d' ' -f5-8 /proc/$$/stat) $(pwd) $(umask) $(cat /proc/self/oom_score_adj /proc/self/timens_offsets)
tr '\0' '\n' < /proc/$$/environ | sort
for fd in /proc/$$/fd/*; do echo ${fd##*/} $(readlink $fd); done
cat /proc/self/limits /proc/self/uid_map
sed 's/^[0-9]*://' /proc/self/cgroup | sort
cut -d' ' -f4- /proc/self/mountinfo | sort
ls -ln /dev /x /y /new /closed /etc 2>&1 | sed -E 's/ [A-Z][a-z][a-z] +[0-9]+ [0-9:]+ / /'
hostname
for name in kernel/msgmax net/ipv4/ip_forward vm/swappiness; do echo $name $(cat /proc/sys/$name); done
for file in /etc/secret /proc/kcore /proc/keys /proc/uptime; do head -c 1 $file >/dev/null 2>&1; echo $file $?; done
for file in /etc/secret /proc/sys/kernel/msgmax /dev/null /tmp/f; do (echo 8192 >$file) 2>/dev/null; echo $file $?; done
mkdir /tmp/made; echo $?; rmdir /tmp/made
echo done
"""
# The same to whoever looks, in other words
ALIKE = (
    (r" - sysfs \S+ r[ow]", " - sysfs"),
    (r" ro,relatime - tmpfs tmpfs ro$", " masked"),
    (r" ro,nosuid,nodev,noexec,relatime - tmpfs none rw,size=0k,mode=555$", " masked"),
    (r"( - tmpfs memory .*),mode=\d+", r"\1"),  # one that has no mode of its own has that of what it covers
    (r" - tmpfs memory r[ow]", " - tmpfs memory"),
    (r"pipe:\[\d+\]", "pipe"),
    (r"shared:\d+", "shared"),
)


class Pair:
    """runc and `pyc-oci`, each with its state, on the same bundles."""

    def __init__(self, oci: Oci) -> None:
        self.oci = oci
        self.runtimes = {"runc": ["runc", "--root", f"{oci.where}/runc"], "pyc-oci": [RUNTIME, "--root", oci.root]}

    def call(self, name: str, *words: str) -> Done:
        """One command of one of them."""
        done = subprocess.run([*self.runtimes[name], *words], input="", capture_output=True, text=True, timeout=20)
        return Done(done.returncode, done.stdout, done.stderr)

    def seen(self, name: str, spec: dict[str, Any]) -> tuple[str, str]:
        """How a run of this bundle ends, with what the program and the hooks have said; and for us the errors."""
        self.furnish()
        bundle = self.oci.bundle(spec)
        done = self.call(name, "run", "--bundle", bundle, "test")
        left = self.call(name, "list", "--quiet").out
        told = ""
        if os.path.exists(f"{bundle}/hooks.told"):
            with open(f"{bundle}/hooks.told") as file:
                told = re.sub(r'"ociVersion": ?"[^"]*"|"pid": ?[0-9]+', "", file.read()).replace(" ", "")
            os.remove(f"{bundle}/hooks.told")
        ran = done.out.endswith("done\n")
        text = f"exit code {done.code}\n{done.out}{told}left: {left!r}" if ran else f"fails {done.code > 128} {left!r}"
        for pattern, same in ALIKE:
            text = re.sub(pattern, same, text, flags=re.MULTILINE)
        return text, done.err

    def furnish(self) -> None:
        """What the bundles' mounts and users want of the root, as if nobody had used it before."""
        root = self.oci.rootfs
        for name in ("x", "y", "new", "closed", "etc", "led", "dangling", "nowhere"):
            path = f"{root}/{name}"
            shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else None
            os.remove(path) if os.path.lexists(path) else None
        os.makedirs(f"{root}/etc")
        os.makedirs(f"{root}/closed/inner", 0o700)
        os.chmod(f"{root}/closed", 0o700)
        os.symlink("/etc", f"{root}/led")
        os.symlink("/nowhere/there", f"{root}/dangling")
        for name, text in (("passwd", "root:x:0:0::/root:\nada:x:7:7::/home/ada:\n"), ("secret", "known\n")):
            with open(f"{root}/etc/{name}", "w") as file:
                file.write(text)


@pytest.fixture
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    if reason := missing_command("runc"):
        pytest.skip(reason)
    oci = Oci(str(tmp_path_factory.mktemp("oci")))
    for name in "cut tr sort sed readlink head rmdir umask".split():
        if not os.path.lexists(f"{oci.rootfs}/bin/{name}"):
            os.symlink("busybox", f"{oci.rootfs}/bin/{name}")
    for name in ("proc", "sys", "dev"):
        os.makedirs(f"{oci.rootfs}/{name}")
    with open(os.open(f"{oci.rootfs}/bin/probe", os.O_WRONLY | os.O_CREAT, 0o755), "w") as file:
        file.write(PROBE)
    os.makedirs(f"{oci.where}/source")
    with open(f"{oci.where}/source/file", "w") as file:
        file.write("content\n")
    both = Pair(oci)
    yield both
    for name in both.call("runc", "list", "--quiet").out.split():
        both.call("runc", "delete", "--force", name)
    oci.clean()
    remove_parents("like-runc")


def bundle(oci: Oci, drawn: list[Change]) -> dict[str, Any]:
    spec = oci.spec("probe")
    spec["linux"]["cgroupsPath"] = f"/like-runc/{os.getpid()}"
    for change in drawn:
        change(spec)
    text = json.dumps(spec).replace("SOURCE", f"{oci.where}/source")
    return dict(json.loads(text))


def test_a_program_sees_the_same_and_ends_in_the_same_way(pair: Pair) -> None:
    dice, deadline, count = random.Random(SEED), time.monotonic() + SECONDS, 0
    while count < LEAST or (count < MOST and time.monotonic() < deadline):
        topics = dice.sample(sorted(CHANGES), dice.choice((1, 1, 2, 3)))
        names = [dice.choice(sorted(CHANGES[topic])) for topic in topics]
        spec = bundle(pair.oci, [CHANGES[topic][name] for topic, name in zip(topics, names, strict=True)])
        (theirs, their_errors), (ours, our_errors) = (pair.seen(name, spec) for name in pair.runtimes)
        assert ours == theirs, f"PYC_SEED={SEED}: {names}\nrunc: {their_errors}\npyc-oci: {our_errors}"
        count += 1
    print(f"{count} bundles, PYC_SEED={SEED}")


@pytest.mark.parametrize("reason", DIFFERENT)
def test_what_is_said_to_be_different_is(pair: Pair, reason: str) -> None:
    spec = bundle(pair.oci, [DIFFERENT[reason]])
    (theirs, _), (ours, _) = (pair.seen(name, spec) for name in pair.runtimes)
    assert ours != theirs


# Words for a container that runs; "FILE" is a file with the process in it. In order: some change what comes after.
COMMANDS = """
exec test probe
exec --user 7:8 -g 9 -g 10 test probe
exec --user 7 --cap CAP_CHOWN --no-new-privs test probe
exec --cwd /bin --env A=1 --env A=2 test probe
exec --cwd /none test true
exec --env A test true
exec --user 1: test true
exec --user root test true
exec --process FILE test
exec --process /none test
exec test
exec test none
exec --detach test none
exec none true
exec test sh -c exit\u00a07
exec test sh -c kill\u00a0-9\u00a0$$
exec --nonsense test true
kill test 0
kill test URG
kill test SIGURG
kill test sigurg
kill test 23
kill test NONE
kill test 65
kill none
kill --all test URG
ps --format json none
ps --format xml test
ps test -o comm
list --quiet
list --format xml
state none
start test
resume test
pause test
exec test true
pause test
start test
delete test
resume test
resume test
update --pids-limit 100 test
update --memory 64MiB --memory-swap 128m test
update --memory-swap 1m test
update --memory x test
update --cpu-period 5 test
update --pids-limit x test
events --interval 0s test
events --interval x test
delete test
kill test KILL
wait
kill test 0
kill --all test 9
exec test true
ps --format json test
pause test
update --pids-limit 5 test
start test
delete test
delete test
delete --force test
delete none
"""
NOT_COMPARED = {"ps --format json test": "null or [], when nobody is there"}


def test_commands_end_in_the_same_way(pair: Pair) -> None:
    described = {"args": ["probe"], "cwd": "/tmp", "env": ["PATH=/bin", "B=2"], "user": {"uid": 7, "gid": 7}}
    path = f"{pair.oci.where}/process"
    with open(path, "w") as file:
        json.dump(described, file)
    answers: dict[str, list[tuple[str, int, str]]] = {}
    for name in pair.runtimes:
        pair.furnish()
        spec = bundle(pair.oci, [])
        spec["process"]["args"] = ["sh", "-c", "trap : URG; touch /tmp/ready; while :; do sleep 1; done"]
        where = pair.oci.bundle(spec)
        with open(f"{where}/out", "w") as out:
            argv = [*pair.runtimes[name], "run", "--detach", "--bundle", where, "test"]
            subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=True, timeout=60)
        wait_until(lambda: os.path.exists(f"{pair.oci.rootfs}/tmp/ready"))
        os.remove(f"{pair.oci.rootfs}/tmp/ready")
        answers[name] = [answer(pair, name, line, path) for line in COMMANDS.strip().splitlines()]
    both = zip(answers["pyc-oci"], answers["runc"], strict=True)
    assert [difference(ours, theirs) for ours, theirs in both if ours != theirs] == []


def difference(ours: tuple[str, int, str], theirs: tuple[str, int, str]) -> tuple[str, int, int, list[str]]:
    """The command, its exit codes, and the lines of its output that are not the same."""
    lines = difflib.unified_diff(theirs[2].splitlines(), ours[2].splitlines(), "runc", "pyc-oci", lineterm="", n=0)
    return ours[0], ours[1], theirs[1], list(lines)


def answer(pair: Pair, name: str, line: str, path: str) -> tuple[str, int, str]:
    if line == "wait":
        wait_until(lambda: '"stopped"' in pair.call(name, "state", "test").out)
        return line, 0, ""
    done = pair.call(name, *(word.replace("FILE", path).replace("\u00a0", " ") for word in line.split(" ")))
    said = done.out if done.code == 0 and line not in NOT_COMPARED else ""
    for pattern, same in (*ALIKE, (r"(?m)^\d+ \d+ \d+ 0 -1", "a session"), (r"(?m)^/like-runc/\S+$", "")):
        said = re.sub(pattern, same, said, flags=re.MULTILINE)
    return line, done.code, said
