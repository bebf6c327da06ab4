"""Every field of the runtime-spec 1.3 for Linux, and what becomes of it: performed, or refused by its name.

``python -m pycontainer.oci.fates`` prints the table of docs/runtime-spec.md.
"""

from __future__ import annotations

from pycontainer.oci.fields import REFUSED
from pycontainer.record import Record


class Fate(Record):
    """What becomes of some fields.

    Attributes:
        names: of the fields, separated by spaces, below ``prefix``.
        prefix: what they have in common.
        done_by: the module that performs them, or "" where they are refused.
        note: how, where only on some hosts, or why not.
    """

    prefix: str
    names: str
    done_by: str
    note: str = ""


_HOOK = "path args env timeout"
_MAP = "containerID hostID size"
_V1 = "where the host keeps this controller in cgroup v1"
_HAS = "where the host has this controller"

FATES = (
    Fate("", "ociVersion", "oci.state", "accepted as it is; `state` answers with our own"),
    Fate("hooks.prestart[].", _HOOK, "oci.hooks"),
    Fate("hooks.createRuntime[].", _HOOK, "oci.hooks"),
    Fate("hooks.createContainer[].", _HOOK, "oci.inside", "in the container's namespaces, before the pivot"),
    Fate("hooks.startContainer[].", _HOOK, "oci.inside", "behind the container's whole wall"),
    Fate("hooks.poststart[].", _HOOK, "oci.hooks"),
    Fate("hooks.poststop[].", _HOOK, "oci.hooks"),
    Fate("", "annotations", "oci.state", "part of the state"),
    Fate("", "hostname domainname", "plan.namespaces"),
    Fate("mounts[].", "source destination options type", "plan.mounts"),
    Fate("mounts[].uidMappings[].", _MAP, "oci.users", "an id-mapped mount"),
    Fate("mounts[].gidMappings[].", _MAP, "oci.users", "an id-mapped mount"),
    Fate("root.", "path readonly", "plan.root"),
    Fate("process.", "args cwd env", "plan.program"),
    Fate("process.", "commandLine", "", REFUSED["process.commandLine"]),
    Fate("process.consoleSize.", "height width", "plan.terminal"),
    Fate("process.", "terminal", "plan.terminal"),
    Fate("process.user.", "uid gid umask additionalGids", "plan.identity"),
    Fate("process.user.", "username", "", REFUSED["process.user.username"]),
    Fate("process.capabilities.", "bounding permitted effective inheritable ambient", "plan.identity"),
    Fate("process.", "apparmorProfile", "plan.labels", "where AppArmor is enabled, else refused"),
    Fate("process.", "selinuxLabel", "plan.labels", "where SELinux is enabled, else refused"),
    Fate("process.", "oomScoreAdj", "plan.limits"),
    Fate("process.ioPriority.", "class priority", "plan.scheduling"),
    Fate("process.", "noNewPrivileges", "plan.identity"),
    Fate("process.scheduler.", "policy nice priority flags runtime deadline period", "plan.scheduling"),
    Fate("process.rlimits[].", "hard soft type", "plan.limits"),
    Fate("process.execCPUAffinity.", "initial final", "plan.enter", "of processes that enter later"),
    Fate("linux.devices[].", "type path fileMode major minor uid gid", "plan.devices"),
    Fate("linux.", "netDevices", "oci.outside"),
    Fate("linux.uidMappings[].", _MAP, "oci.users"),
    Fate("linux.gidMappings[].", _MAP, "oci.users"),
    Fate("linux.namespaces[].", "type path", "plan.namespaces"),
    Fate("linux.resources.", "unified", "cgroups.v2", "where the host has cgroup v2"),
    Fate("linux.resources.devices[].", "allow type major minor access", "cgroups.devices"),
    Fate("linux.resources.pids.", "limit", "cgroups", _HAS),
    Fate("linux.resources.blockIO.", "weight", "cgroups", _HAS),
    Fate("linux.resources.blockIO.", "leafWeight", "", REFUSED["linux.resources.blockIO.leafWeight"]),
    Fate("linux.resources.blockIO.throttleReadBpsDevice[].", "major minor rate", "cgroups", _HAS),
    Fate("linux.resources.blockIO.throttleWriteBpsDevice[].", "major minor rate", "cgroups", _HAS),
    Fate("linux.resources.blockIO.throttleReadIOPSDevice[].", "major minor rate", "cgroups", _HAS),
    Fate("linux.resources.blockIO.throttleWriteIOPSDevice[].", "major minor rate", "cgroups", _HAS),
    Fate("linux.resources.blockIO.weightDevice[].", "major minor weight", "cgroups", _HAS),
    Fate(
        "linux.resources.blockIO.weightDevice[].",
        "leafWeight",
        "",
        REFUSED["linux.resources.blockIO.weightDevice[].leafWeight"],
    ),
    Fate("linux.resources.cpu.", "cpus mems period quota burst shares idle", "cgroups", _HAS),
    Fate("linux.resources.cpu.", "realtimePeriod realtimeRuntime", "cgroups.v1", _V1),
    Fate("linux.resources.hugepageLimits[].", "pageSize limit", "cgroups", _HAS),
    Fate("linux.resources.memory.", "limit reservation swap", "cgroups", _HAS),
    Fate("linux.resources.memory.", "kernel", "", REFUSED["linux.resources.memory.kernel"]),
    Fate("linux.resources.memory.", "kernelTCP swappiness disableOOMKiller", "cgroups.v1", _V1),
    Fate("linux.resources.memory.", "useHierarchy", "cgroups", "always so since Linux 5.11; false is refused"),
    Fate("linux.resources.memory.", "checkBeforeUpdate", "oci.update"),
    Fate("linux.resources.network.", "classID priorities[].name priorities[].priority", "cgroups.v1", _V1),
    Fate("linux.resources.", "rdma", "cgroups", _HAS),
    Fate("linux.", "cgroupsPath", "cgroups"),
    Fate("linux.", "rootfsPropagation", "plan.root"),
    Fate("linux.seccomp.", "defaultAction defaultErrnoRet flags architectures", "plan.seccomp"),
    Fate("linux.seccomp.", "listenerPath listenerMetadata", "oci.listener"),
    Fate(
        "linux.seccomp.syscalls[].",
        "names action errnoRet args[].index args[].value args[].valueTwo args[].op",
        "plan.seccomp",
    ),
    Fate("linux.", "sysctl", "plan.sysctls"),
    Fate("linux.", "maskedPaths", "plan.masks", "by /dev/null: a file that poses as it covers nothing"),
    Fate("linux.", "readonlyPaths", "plan.masks"),
    Fate("linux.", "mountLabel", "plan.mounts", "where SELinux is enabled, else refused"),
    Fate(
        "linux.intelRdt.",
        "closID schemata l3CacheSchema memBwSchema enableMonitoring",
        "oci.outside",
        "where resctrl is mounted, else refused; what was made for a container goes with it",
    ),
    Fate("linux.memoryPolicy.", "mode nodes flags", "plan.scheduling"),
    Fate("linux.personality.", "domain flags", "plan.scheduling", "no flag is defined: any is refused"),
    Fate("linux.timeOffsets.boottime.", "secs nanosecs", "plan.namespaces"),
    Fate("linux.timeOffsets.monotonic.", "secs nanosecs", "plan.namespaces"),
)


def table() -> dict[str, Fate]:
    """Each field's full name, and its fate."""
    return {fate.prefix + name: fate for fate in FATES for name in fate.names.split()}


def markdown() -> str:
    """docs/runtime-spec.md."""
    fates = table()
    done = sum(bool(fate.done_by) for fate in fates.values())
    lines = [
        "# The runtime-spec, field by field",
        "",
        f"What `pyc-oci` does with the {len(fates)} fields that a `config.json` for Linux can have (runtime-spec 1.3):",
        f"{done} are performed, {len(fates) - done} refused. A field that is refused, or that this host lacks the",
        "means for, makes `create` fail with a message that begins with its name. Fields that it does not know",
        "are ignored, as it wants it. Generated by `python -m pycontainer.oci.fates`; a test holds it to the code.",
        "",
        "| field | | where | |",
        "|---|---|---|---|",
    ]
    for name, fate in fates.items():
        verdict = "performed" if fate.done_by else "refused"
        lines.append(f"| `{name}` | {verdict} | {fate.done_by} | {fate.note} |".replace("|  |", "| |"))
    return "\n".join(lines) + "\n" + _WITHOUT_ROOT + _LIKE_RUNC


_WITHOUT_ROOT = """
## Without root

An ordinary user's container needs a user namespace: `pyc-oci spec --rootless` writes an example, and podman's are such.
`--rootless true` or `false` says what `auto` finds out.

- No `linux.cgroupsPath`: no cgroup in v1; in v2 one beside the caller's, if systemd has delegated that. `pause` and
  `update` say that they need one.
- A `linux.cgroupsPath`: made there, or `create` fails; with `--systemd-cgroup` the user's own systemd makes the scope.
- `linux.resources`: kept in such a cgroup; a limit for which there is none is refused by its name. Rules for `devices`
  are left out, and warned of: only root can set them, and a user opens no more devices inside than outside.
- `linux.uidMappings`, `linux.gidMappings`: one's own id; those of /etc/subuid and /etc/subgid by newuidmap(1).
- `process.user.additionalGids`: refused where only one's own group is mapped, since the kernel lets nobody leave one.
- `linux.devices`: the host's nodes, bound. Mounts of disks and id-mapped mounts: refused by the kernel.
"""

_LIKE_RUNC = """
## Differences from runc

tests/peers/test_like_runc.py gives the same bundles and commands to both (runc 1.1), and compares what the program sees
and how it ends. What is left, beside the words of messages and help:

| what | `pyc-oci` | runc |
|---|---|---|
| a mask, cgroup or mount in other words | `ro` of the mount | `ro` of the filesystem, too |
| no PATH, or relative directories in it | the usual directories; as execvp(3) | not found; refused |
| a file in PATH that is not executable | `permission denied` | `executable file not found` |
| `process.cwd` through a link of /proc | refused (CVE-2024-21626) | followed by 1.1 |
| ids above 2^31-1; umask above 0777 | done; refused | refused; cut off |
| `exec`'s umask, oomScoreAdj and scheduler in `--process` | done | left out |
| domainname, time namespaces, id-mapped mounts, `cpu.idle`, `cpu.burst`, seccomp flags | done | not in 1.1 |
| `rootfsPropagation` shared, unbindable | done | private; fails |
| bind without `bind` in its options, `defaults` of a tmpfs | done | fails |
| a path in maskedPaths and readonlyPaths | masked | read-only |
| relative `root.path`, or through a link | done | fails |
| devices without numbers or with a relative path; a bind of nothing | refused | 0:0; absolute; the bundle |
| fields for Windows | refused | ignored |
| `memory.useHierarchy` false, `memory.kernel` | refused: gone from Linux | ignored |
| `cpu.shares` out of range | the kernel's nearest | refused |
| the cwd of createContainer hooks | `/` | the root directory |
| poststart hooks | after the program has begun, `running` | before, `created` |
| poststop hooks behind one that failed | called | left out |
| `tmpcopyup` | as root, and not of a read-only tmpfs | always |
| cgroup v1: hierarchies of cpuset and name=systemd | entered where something is to be limited | always entered |
| `cgroup2` as a mount on a host with v1 | the container's hierarchies of v1 | v2 |
| `exec --cgroup` other than `/` | refused | enters a cgroup below |
| `events`: cpuset, swap, kernel memory, blkio, hugetlb | empty | filled |
| `state` | version 1.3.0, with the owner | 1.0.2, owner only in `list` |
| `--preserve-fds` of more than are open | refused | its own are handed over |
| a seccomp filter that refuses everything | ends with SIGILL or SIGSYS | fails, or waits for ever |
"""


if __name__ == "__main__":
    print(markdown(), end="")
