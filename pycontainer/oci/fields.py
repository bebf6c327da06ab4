"""Every field of the runtime-spec 1.3 for Linux, and what becomes of it: performed, or refused by its name.

``python -m pycontainer.oci.fields`` prints the table of docs/runtime-spec.md.
"""

from __future__ import annotations

import os

from pycontainer.errors import HostLacks, Unsupported, UsageError
from pycontainer.oci import hooks
from pycontainer.oci.granted import only_granted
from pycontainer.plan.mounts import has_users, is_bind
from pycontainer.plan.namespaces import FILES
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from typing import Any

    from pycontainer.oci.spec import Device, Hook, Mount, Spec


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
    Fate("process.", "commandLine", "", "for Windows"),
    Fate("process.consoleSize.", "height width", "plan.terminal"),
    Fate("process.", "terminal", "plan.terminal"),
    Fate("process.user.", "uid gid umask additionalGids", "plan.identity"),
    Fate("process.user.", "username", "", "for Windows"),
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
    Fate("linux.resources.blockIO.", "leafWeight", "", "gone from Linux 5.0 with the CFQ scheduler"),
    Fate("linux.resources.blockIO.throttleReadBpsDevice[].", "major minor rate", "cgroups", _HAS),
    Fate("linux.resources.blockIO.throttleWriteBpsDevice[].", "major minor rate", "cgroups", _HAS),
    Fate("linux.resources.blockIO.throttleReadIOPSDevice[].", "major minor rate", "cgroups", _HAS),
    Fate("linux.resources.blockIO.throttleWriteIOPSDevice[].", "major minor rate", "cgroups", _HAS),
    Fate("linux.resources.blockIO.weightDevice[].", "major minor weight", "cgroups", _HAS),
    Fate("linux.resources.blockIO.weightDevice[].", "leafWeight", "", "gone from Linux 5.0 with the CFQ scheduler"),
    Fate("linux.resources.cpu.", "cpus mems period quota burst shares idle", "cgroups", _HAS),
    Fate("linux.resources.cpu.", "realtimePeriod realtimeRuntime", "cgroups.v1", _V1),
    Fate("linux.resources.hugepageLimits[].", "pageSize limit", "cgroups", _HAS),
    Fate("linux.resources.memory.", "limit reservation swap", "cgroups", _HAS),
    Fate("linux.resources.memory.", "kernel", "", "gone from Linux 5.16"),
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
    Fate("linux.", "maskedPaths readonlyPaths", "plan.mounts"),
    Fate("linux.", "mountLabel", "plan.mounts", "where SELinux is enabled, else refused"),
    Fate(
        "linux.intelRdt.",
        "closID schemata l3CacheSchema memBwSchema enableMonitoring",
        "oci.outside",
        "where resctrl is mounted, else refused",
    ),
    Fate("linux.memoryPolicy.", "mode nodes flags", "plan.scheduling"),
    Fate("linux.personality.", "domain flags", "plan.scheduling", "no flag is defined: any is refused"),
    Fate("linux.timeOffsets.boottime.", "secs nanosecs", "plan.namespaces"),
    Fate("linux.timeOffsets.monotonic.", "secs nanosecs", "plan.namespaces"),
)


def table() -> dict[str, Fate]:
    """Each field's full name, and its fate."""
    return {fate.prefix + name: fate for fate in FATES for name in fate.names.split()}


# --- refusing ---------------------------------------------------------------------------------------------------------

_REFUSED = tuple((fate.prefix + name, fate.note) for fate in FATES if not fate.done_by for name in fate.names.split())
_MAC = {
    "process.apparmorProfile": ("AppArmor", "/sys/module/apparmor/parameters/enabled"),
    "process.selinuxLabel": ("SELinux", "/sys/fs/selinux/enforce"),
    "linux.mountLabel": ("SELinux", "/sys/fs/selinux/enforce"),
}


def check(spec: Spec, bundle: str) -> None:
    """Refuse what is not done, by its name, before anything is done; paths that began in the bundle are made absolute.

    Raises UsageError, Unsupported or HostLacks.
    """
    spec.setdefault("linux", {})
    _require(spec, bundle)
    for name, why in _REFUSED:
        if _values(spec, name):
            raise Unsupported(f"{name}: {why}")
    for name, (module, proof) in _MAC.items():
        if _values(spec, name) and not _is_on(proof):
            raise HostLacks(f"{name}: {module} is not enabled on this host")
    if (spec["linux"].get("resources") or {}).get("memory", {}).get("useHierarchy") is False:
        raise Unsupported("linux.resources.memory.useHierarchy: false is not possible since Linux 5.11")
    _check_namespaces(spec)
    only_granted(spec["process"], users=has_users(spec))
    if asked := spec["linux"].get("sysctl"):
        from pycontainer.oci import sysctl

        for name, value in asked.items():
            sysctl.check(name, value, _own(spec), said="linux.sysctl")


def _own(spec: Spec) -> list[str]:
    """The kinds of namespaces that are not ours: what is set in them does not reach the host."""
    return [
        namespace["type"]
        for namespace in spec["linux"].get("namespaces") or ()
        if not namespace.get("path") or not _is_ours(namespace["type"], namespace["path"])
    ]


def _is_ours(kind: str, path: str) -> bool:
    own, other = os.stat(f"/proc/self/ns/{FILES[kind]}"), os.stat(path)
    return (own.st_dev, own.st_ino) == (other.st_dev, other.st_ino)


def _require(spec: Spec, bundle: str) -> None:
    for name in ("root", "process"):
        if not spec.get(name):
            raise UsageError(f"{name} is missing from config.json")
    if not spec["root"].get("path"):
        raise UsageError("root.path must not be empty")
    process = spec["process"]
    if not process.get("args") or not process["args"][0]:
        raise UsageError("process.args must not be empty")
    if not process.get("cwd", "").startswith("/"):
        raise UsageError("process.cwd must be an absolute path")
    process.setdefault("user", {})
    process["user"].setdefault("uid", 0)
    for index, mount in enumerate(spec.get("mounts") or ()):
        _check_mount(mount, f"mounts[{index}]", bundle)
    for index, device in enumerate(spec["linux"].get("devices") or ()):
        _check_device(device, f"linux.devices[{index}]")
    if spec.get("hooks"):
        for kind in hooks.KINDS:
            for index, hook in enumerate(hooks.of(spec, kind)):
                _check_hook(hook, f"hooks.{kind}[{index}]")


def _check_mount(mount: Mount, name: str, bundle: str) -> None:
    if not mount.get("destination"):
        raise UsageError(f"{name}.destination must not be empty")
    if not mount["destination"].startswith("/"):
        mount["destination"] = "/" + mount["destination"]  # as runc does, for specs older than 1.0
    mount["destination"] = os.path.normpath(mount["destination"])
    if is_bind(mount):
        if not mount.get("source"):
            raise UsageError(f"{name}.source must not be empty: it is a bind")
        mount["source"] = os.path.join(bundle, mount["source"])
    elif not mount.get("type"):
        raise UsageError(f"{name}.type must not be empty where it is no bind")
    if bool(mount.get("uidMappings")) != bool(mount.get("gidMappings")):
        raise UsageError(f"{name}: uidMappings and gidMappings go together")


def _check_device(device: Device, name: str) -> None:
    path = device["path"]
    if not path.startswith("/") or os.path.normpath(path) != path or path == "/":
        raise UsageError(f"{name}.path: {path!r} is not an absolute path, or not a plain one")
    if device["type"] != "p" and not {"major", "minor"} <= set(device):
        raise UsageError(f"{name}: a device of type {device['type']} needs major and minor")


def _check_hook(hook: Hook, name: str) -> None:
    if not hook.get("path", "").startswith("/"):
        raise UsageError(f"{name}.path must be an absolute path")
    if hook.get("timeout", 1) <= 0:
        raise UsageError(f"{name}.timeout must be greater than zero")


def _check_namespaces(spec: Spec) -> None:
    asked = spec["linux"].get("namespaces") or []
    kinds = [str(namespace.get("type")) for namespace in asked]
    for kind in kinds:
        if kind not in FILES:
            raise UsageError(f"linux.namespaces[].type: {kind!r} is none of {', '.join(FILES)}")
        if kinds.count(kind) > 1:
            raise UsageError(f"linux.namespaces: {kind} more than once")
    if "mount" not in kinds:
        raise Unsupported("linux.namespaces: a container in the host's mount namespace would change the host's root")
    if any(namespace["type"] == "mount" and namespace.get("path") for namespace in asked):
        raise Unsupported("linux.namespaces[].path: in a mount namespace of others the root would change for them, too")
    for namespace in asked:
        if namespace.get("path") and not os.path.exists(namespace["path"]):
            raise UsageError(f"linux.namespaces[].path: {namespace['path']}: no such file or directory")
        if namespace.get("path") and not namespace["path"].startswith("/"):
            raise UsageError(f"linux.namespaces[].path: {namespace['path']} is not an absolute path")
    needed = {"uts": ("hostname", "domainname")}
    for kind, names in needed.items():
        for name in names:
            if spec.get(name) and kind not in kinds:
                raise UsageError(f"{name} needs a {kind} namespace of the container's own")
    if strange := sorted(set(spec["linux"].get("timeOffsets") or ()) - {"boottime", "monotonic"}):
        raise UsageError(f"linux.timeOffsets: {strange[0]!r} is none of boottime, monotonic")
    if spec["linux"].get("timeOffsets") and "time" not in kinds:
        raise UsageError("linux.timeOffsets needs a time namespace of the container's own")
    if (spec["linux"].get("uidMappings") or spec["linux"].get("gidMappings")) and "user" not in kinds:
        raise UsageError("linux.uidMappings needs a user namespace of the container's own")


def _is_on(proof: str) -> bool:
    try:
        with open(proof) as file:
            return file.read(1) in ("Y", "0", "1")
    except OSError:
        return False


def _values(value: Any, name: str) -> list[Any]:
    """What is at ``name`` in the spec, if it says anything: 0, "" and empty lists say nothing."""
    first, _, rest = name.partition(".")
    if not isinstance(value, dict):
        return []
    found = value.get(first.removesuffix("[]"))
    items = found if first.endswith("[]") and isinstance(found, list) else [found]
    if not rest:
        return [item for item in items if item]
    return [deep for item in items for deep in _values(item, rest)]


# --- the table --------------------------------------------------------------------------------------------------------


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
        "are ignored, as it wants it. Generated by `python -m pycontainer.oci.fields`; a test holds it to the code.",
        "",
        "| field | | where | |",
        "|---|---|---|---|",
    ]
    for name, fate in fates.items():
        verdict = "performed" if fate.done_by else "refused"
        lines.append(f"| `{name}` | {verdict} | {fate.done_by} | {fate.note} |".replace("|  |", "| |"))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
