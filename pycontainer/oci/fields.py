"""What of a config.json is refused, by the name of its field and before anything is done.

What becomes of each field is in :mod:`pycontainer.oci.fates`.
"""

from __future__ import annotations

import os

from pycontainer.errors import HostLacks, Unsupported, UsageError
from pycontainer.oci.granted import only_granted
from pycontainer.plan.mounts import has_users, is_bind
from pycontainer.plan.namespaces import FILES
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from pycontainer.oci.spec import Device, Hook, Mount, Spec


REFUSED = {
    "process.commandLine": "for Windows",
    "process.user.username": "for Windows",
    "linux.resources.blockIO.leafWeight": "gone from Linux 5.0 with the CFQ scheduler",
    "linux.resources.blockIO.weightDevice[].leafWeight": "gone from Linux 5.0 with the CFQ scheduler",
    "linux.resources.memory.kernel": "gone from Linux 5.16",
}
"""Fields that nobody can have, or only elsewhere, and why."""

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
    for name, why in REFUSED.items():
        if any(value != -1 for value in _values(spec, name)):  # which is no limit
            raise Unsupported(f"{name}: {why}")
    for name, (module, proof) in _MAC.items():
        if _values(spec, name) and not _is_on(proof):
            raise HostLacks(f"{name}: {module} is not enabled on this host")
    if (spec["linux"].get("resources") or {}).get("memory", {}).get("useHierarchy") is False:
        raise Unsupported("linux.resources.memory.useHierarchy: false is not possible since Linux 5.11")
    _check_namespaces(spec)
    if has_users(spec):
        from pycontainer.oci import users

        users.check(spec)
    elif os.geteuid():
        raise UsageError(
            "linux.namespaces: without root a container needs a user namespace of its own",
            hint="pyc-oci spec --rootless writes an example",
        )
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
    process["cwd"] = os.path.normpath("/" + process["cwd"].lstrip("/"))
    process.setdefault("user", {})
    process["user"].setdefault("uid", 0)
    for index, mount in enumerate(spec.get("mounts") or ()):
        _check_mount(mount, f"mounts[{index}]", bundle, users=has_users(spec))
    for index, device in enumerate(spec["linux"].get("devices") or ()):
        _check_device(device, f"linux.devices[{index}]")
    for name in ("maskedPaths", "readonlyPaths"):
        if "/" in map(os.path.normpath, spec["linux"].get(name) or ()):  # type: ignore[call-overload]
            raise UsageError(f"linux.{name}: the root itself is none of them: root.readonly protects it")
    if spec.get("hooks"):
        from pycontainer.oci import hooks  # most have none

        for kind in hooks.KINDS:
            for index, hook in enumerate(hooks.of(spec, kind)):
                _check_hook(hook, f"hooks.{kind}[{index}]")


def _check_mount(mount: Mount, name: str, bundle: str, *, users: bool) -> None:
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
    if {"idmap", "ridmap"} & {*(mount.get("options") or ())} and not (mount.get("uidMappings") or users):
        raise UsageError(f"{name}.options: an id-mapped mount needs uidMappings, its own or the container's")
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
    if hook.get("args") and not hook["args"][0]:
        raise UsageError(f"{name}.args[0] must not be empty")
    for index, item in enumerate(hook.get("env") or ()):
        if not item.partition("=")[0]:
            raise UsageError(f"{name}.env[{index}]: {item!r} is not NAME=value")
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
