"""A config.json with one field gone wrong: done, or refused by that field in one line, and nothing is left of it.

Every one of them is tried by `make test-nightly` (PYC_TRIES); each run takes another few hundred.
"""

from __future__ import annotations

import glob
import json
import os
import random
import signal
import sys
import time
from typing import Any

import pytest

from pycontainer.oci import front, log
from tests.support.config_mutations import Mutation, is_named, mutations
from tests.support.mutations import dump
from tests.support.oci import Oci

pytestmark = [pytest.mark.root, pytest.mark.slow]

TRIES = int(os.environ.get("PYC_TRIES", "100"))
SECONDS = 20


def good(oci: Oci) -> dict[str, Any]:
    """Most of what a config.json can say, and this host can do."""
    spec = oci.spec("true")
    hook = {"path": "/bin/true", "args": ["true"], "env": ["A=b"], "timeout": 5}
    spec |= {"hooks": {"prestart": [hook], "poststop": [hook]}, "annotations": {"a": "b"}, "domainname": "example"}
    spec["mounts"] += [
        {"destination": "/tmp", "type": "bind", "source": f"{oci.where}/bound", "options": ["rbind", "ro", "nosuid"]},
    ]
    spec["process"] |= {
        "consoleSize": {"height": 25, "width": 80},
        "rlimits": [{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}],
        "oomScoreAdj": 100,
        "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 4},
        "scheduler": {"policy": "SCHED_OTHER", "nice": 5},
        "execCPUAffinity": {"initial": "0", "final": "0"},
        "user": {"uid": 5, "gid": 6, "umask": 0o22, "additionalGids": [7]},
    }
    spec["linux"] |= {
        "cgroupsPath": f"/pyctest{os.getpid()}/box",
        "devices": [{"path": "/dev/mine", "type": "c", "major": 1, "minor": 3, "fileMode": 0o600, "uid": 1, "gid": 1}],
        "sysctl": {"net.ipv4.ip_default_ttl": "65"},
        "rootfsPropagation": "private",
        "personality": {"domain": "LINUX", "flags": []},
        "memoryPolicy": {"mode": "MPOL_PREFERRED", "nodes": "0", "flags": []},
        "timeOffsets": {"boottime": {"secs": 5, "nanosecs": 5}},
        "maskedPaths": ["/proc/keys"],
        "readonlyPaths": ["/proc/sys"],
        "seccomp": {
            "defaultAction": "SCMP_ACT_ALLOW",
            "defaultErrnoRet": 1,
            "architectures": ["SCMP_ARCH_X86_64"],
            "flags": ["SECCOMP_FILTER_FLAG_LOG"],
            "syscalls": [
                {
                    "names": ["swapon"],
                    "action": "SCMP_ACT_ERRNO",
                    "errnoRet": 1,
                    "args": [{"index": 0, "value": 1, "valueTwo": 2, "op": "SCMP_CMP_MASKED_EQ"}],
                }
            ],
        },
        "resources": {
            "devices": [{"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rwm"}],
            "memory": {"limit": 64 << 20, "swap": 128 << 20, "reservation": 32 << 20},
            "cpu": {"shares": 512, "quota": 50000, "period": 100000, "cpus": "0", "mems": "0"},
            "pids": {"limit": 50},
        },
    }
    spec["linux"]["namespaces"].append({"type": "time"})
    return spec


def with_users(oci: Oci) -> dict[str, Any]:
    """A user namespace, and a mount whose owners are mapped."""
    os.chown(oci.rootfs, 100000, 100000)
    spec = oci.spec("true")
    one = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    spec["linux"] |= {"uidMappings": one, "gidMappings": one, "cgroupsPath": f"/pyctest{os.getpid()}/box"}
    spec["linux"]["namespaces"].append({"type": "user"})
    mapped = {"destination": "/tmp", "type": "bind", "source": f"{oci.where}/bound", "options": ["bind"]}
    spec["mounts"] = [*spec["mounts"], mapped | {"uidMappings": one, "gidMappings": one}]
    return spec


def run(oci: Oci, spec: Any) -> tuple[int, str]:
    """`pyc-oci run`, in a fork of this process: the interpreter's own start would take ten times as long."""
    os.makedirs(f"{oci.where}/bundle", exist_ok=True)
    with open(f"{oci.where}/bundle/config.json", "wb") as file:
        file.write(dump(spec))
    said = os.memfd_create("said")
    child = os.fork()
    if child == 0:
        code = 99
        try:
            null = os.open("/dev/null", os.O_RDWR)
            for number, fd in enumerate((null, null, said)):
                os.dup2(fd, number)
            sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
            sys.stdout = os.fdopen(os.dup(1), "w")
            signal.alarm(SECONDS)
            log.begin({})
            code = front.command_line(["--root", oci.root, "run", "--bundle", f"{oci.where}/bundle", "test"])
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.lseek(said, 0, os.SEEK_SET)
    with os.fdopen(said, "rb") as told:
        return code, told.read().decode(errors="replace")


def fault(oci: Oci, mutation: Mutation) -> str:
    """What is wrong with how this one went; "" if nothing is."""
    code, said = run(oci, mutation.spec)
    lines = [line for line in said.splitlines() if not line.startswith("hint: ")]
    errors = [line for line in lines if not line.startswith("pyc-oci: warning: ")]
    left = os.listdir(oci.root) if os.path.isdir(oci.root) else []
    left += glob.glob(f"/sys/fs/cgroup/**/pyctest{os.getpid()}/box", recursive=True)
    if code < 0 or "Traceback" in said or "this is a bug" in said or len(errors) > 1:
        return f"exit {code}: {said[:300]}"
    killed = code == 128 + signal.SIGKILL and mutation.field == "linux.resources.memory.limit"
    if bool(errors) != bool(code) and not killed:
        return f"exit {code}, and said {said[:300]!r}"
    if errors and not is_named(mutation.field, errors[0]) and "config.json: a number of" not in errors[0]:
        return f"does not name the field: {errors[0][:200]}"
    return f"left {left}" if left else ""


@pytest.mark.parametrize("base", [good, with_users])
def test_one_field_gone_wrong_is_named_and_leaves_nothing(oci: Oci, base: Any) -> None:
    os.mkdir(f"{oci.where}/bound")
    assert run(oci, base(oci)) == (0, "")
    spec = json.loads(json.dumps(base(oci)))  # nothing in it twice
    every = list(mutations(spec, kept=("root", "ociVersion")))
    every = [each for each in every if (each.field, each.said) != ("root.path", "'..'")]  # a root without a program
    seed = time.time_ns()
    chosen = random.Random(seed).sample(every, min(len(every), TRIES))
    faults = [f"{each.field} {each.said}: {wrong}" for each in chosen if (wrong := fault(oci, each))]
    for top in glob.glob(f"/sys/fs/cgroup/**/pyctest{os.getpid()}", recursive=True):
        os.rmdir(top)
    assert not faults, f"seed {seed}, {len(faults)} of {len(chosen)}:\n" + "\n".join(faults)
