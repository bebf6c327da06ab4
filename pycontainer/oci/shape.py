"""What kind of value each field of a ``config.json`` has, so that a wrong one is refused by the field's name.

The types of :mod:`pycontainer.oci.spec` once more, as data that a start can afford. ``null`` is as good as absent, as
for the runtimes that are written in Go, which the engines were tried with; fields that are not here are ignored, as
the runtime-spec wants it.
"""

from __future__ import annotations

from pycontainer import jsontext
from pycontainer.errors import UsageError
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

# A type; (least, most) of a whole number; [what is in a list]; {key: what is there}, with "*" for every key, and "!"
# for those that must be there.
_U16, _U32, _U64 = (0, 2**16 - 1), (0, 2**32 - 1), (0, 2**64 - 1)
_I32, _I64 = (-(2**31), 2**31 - 1), (-(2**63), 2**63 - 1)
_ID = (0, 2**32 - 2)  # the last one means "no change" to chown(2) and setresuid(2)
_HOOK = [{"!": ("path",), "path": str, "args": [str], "env": [str], "timeout": _I32}]
_MAP = [{"!": ("containerID", "hostID", "size"), "containerID": _U32, "hostID": _U32, "size": _U32}]
_RATE = [{"!": ("major", "minor", "rate"), "major": _I64, "minor": _I64, "rate": _U64}]

PROCESS = {
    "terminal": bool,
    "consoleSize": {"height": _U16, "width": _U16},
    "cwd": str,
    "env": [str],
    "args": [str],
    "commandLine": str,
    "rlimits": [{"!": ("type", "soft", "hard"), "type": str, "soft": _U64, "hard": _U64}],
    "apparmorProfile": str,
    "capabilities": {kind: [str] for kind in ("bounding", "effective", "inheritable", "permitted", "ambient")},
    "noNewPrivileges": bool,
    "oomScoreAdj": (-1000, 1000),
    "scheduler": {
        "!": ("policy",),
        "policy": str,
        "nice": _I32,
        "priority": (0, 2**31 - 1),
        "flags": [str],
        "runtime": _U64,
        "deadline": _U64,
        "period": _U64,
    },
    "selinuxLabel": str,
    "ioPriority": {"!": ("class",), "class": str, "priority": (0, 7)},
    "execCPUAffinity": {"initial": str, "final": str},
    "user": {"uid": _ID, "gid": _ID, "umask": (0, 0o777), "additionalGids": [_ID], "username": str},
}
RESOURCES = {
    "devices": [{"allow": bool, "type": str, "major": _I64, "minor": _I64, "access": str}],
    "memory": {
        **dict.fromkeys(("limit", "reservation", "swap", "kernel", "kernelTCP"), _I64),
        "swappiness": _U64,
        **dict.fromkeys(("disableOOMKiller", "useHierarchy", "checkBeforeUpdate"), bool),
    },
    "cpu": {
        **dict.fromkeys(("shares", "burst", "period", "realtimePeriod"), _U64),
        **dict.fromkeys(("quota", "realtimeRuntime", "idle"), _I64),
        "cpus": str,
        "mems": str,
    },
    "pids": {"limit": _I64},
    "blockIO": {
        "weight": _U16,
        "leafWeight": _U16,
        "weightDevice": [{"!": ("major", "minor"), "major": _I64, "minor": _I64, "weight": _U16, "leafWeight": _U16}],
        "throttleReadBpsDevice": _RATE,
        "throttleWriteBpsDevice": _RATE,
        "throttleReadIOPSDevice": _RATE,
        "throttleWriteIOPSDevice": _RATE,
    },
    "hugepageLimits": [{"!": ("pageSize", "limit"), "pageSize": str, "limit": _U64}],
    "network": {"classID": _U32, "priorities": [{"!": ("name", "priority"), "name": str, "priority": _U32}]},
    "rdma": {"*": {"hcaHandles": _U32, "hcaObjects": _U32}},
    "unified": {"*": str},
}
SPEC = {
    "ociVersion": str,
    "root": {"!": ("path",), "path": str, "readonly": bool},
    "mounts": [
        {
            "!": ("destination",),
            "destination": str,
            "source": str,
            "type": str,
            "options": [str],
            "uidMappings": _MAP,
            "gidMappings": _MAP,
        }
    ],
    "process": PROCESS,
    "hostname": str,
    "domainname": str,
    "hooks": dict.fromkeys(
        ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"), _HOOK
    ),
    "annotations": {"*": str},
    "linux": {
        "namespaces": [{"!": ("type",), "type": str, "path": str}],
        "uidMappings": _MAP,
        "gidMappings": _MAP,
        "timeOffsets": {clock: {"secs": _I64, "nanosecs": (0, 10**9 - 1)} for clock in ("boottime", "monotonic")},
        "devices": [
            {
                "!": ("type", "path"),
                "type": str,
                "path": str,
                "major": (-1, 2**31 - 1),
                "minor": (-1, 2**31 - 1),
                "fileMode": _U32,
                "uid": _ID,
                "gid": _ID,
            }
        ],
        "netDevices": {"*": {"name": str}},
        "cgroupsPath": str,
        "resources": RESOURCES,
        "intelRdt": {
            **dict.fromkeys(("closID", "l3CacheSchema", "memBwSchema"), str),
            "schemata": [str],
            "enableMonitoring": bool,
        },
        "memoryPolicy": {"!": ("mode",), "mode": str, "nodes": str, "flags": [str]},
        "sysctl": {"*": str},
        "seccomp": {
            "!": ("defaultAction",),
            "defaultAction": str,
            "defaultErrnoRet": _U32,
            "architectures": [str],
            "flags": [str],
            "listenerPath": str,
            "listenerMetadata": str,
            "syscalls": [
                {
                    "!": ("names", "action"),
                    "names": [str],
                    "action": str,
                    "errnoRet": _U32,
                    "args": [
                        {"!": ("index", "value", "op"), "index": _U32, "value": _U64, "valueTwo": _U64, "op": str}
                    ],
                }
            ],
        },
        "rootfsPropagation": str,
        "maskedPaths": [str],
        "readonlyPaths": [str],
        "mountLabel": str,
        "personality": {"!": ("domain",), "domain": str, "flags": [str]},
    },
}


def read(document: str, shape: dict[str, Any], name: str) -> Any:
    """The value of a JSON text, of that shape. Raises ValueError where it is no JSON, and UsageError."""
    value = jsontext.load(document)
    fit(value, shape, name)
    if "\\u" in document:
        characters(value, shape, name)
    return value


def fit(value: Any, shape: Any, name: str) -> None:
    """Refuse a value that is of another kind, by its name; what is null goes away. Raises UsageError."""
    if type(shape) is type:
        if type(value) is not shape:
            raise _wrong(name, "a string" if shape is str else "true or false", value)
    elif type(shape) is tuple:
        if type(value) is not int:
            raise _wrong(name, "a whole number", value)
        if not shape[0] <= value <= shape[1]:
            raise UsageError(f"{name}: {_short(value)} is not between {shape[0]} and {shape[1]}")
    elif type(shape) is list:
        if type(value) is not list:
            raise _wrong(name, "a list", value)
        (inner,) = shape
        if inner is str and all(type(item) is str for item in value):
            return
        for index, item in enumerate(value):
            fit(item, inner, f"{name}[{index}]")
    else:
        _fit_object(value, shape, name)


def _fit_object(value: Any, shape: dict[str, Any], name: str) -> None:
    if type(value) is not dict:
        raise _wrong(name or "config.json", "an object", value)
    prefix, every = f"{name}." if name else "", shape.get("*")
    for key in [key for key, item in value.items() if item is None]:
        del value[key]
    for key, item in value.items():
        inner = every or (shape.get(key) if key != "!" else None)
        if inner is not None and type(item) is not inner:
            fit(item, inner, prefix + key)
    for key in shape.get("!") or ():
        if key not in value:
            raise UsageError(f"{prefix}{key} is missing")


def characters(value: Any, shape: Any, name: str) -> None:
    """Refuse strings that no call of the kernel takes: with a NUL in them, or half a character. Raises UsageError.

    JSON can only say such a thing by ``\\u``, so this is for documents with one.
    """
    if name == "annotations":
        return  # they are only told again, as JSON
    if type(value) is str:
        if "\0" in value:
            raise UsageError(f"{name}: a NUL character in {_short(value)}")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise UsageError(f"{name}: half a character (a lone surrogate) in {_short(value)}") from None
    elif type(value) is list:
        for index, item in enumerate(value):
            characters(item, shape[0], f"{name}[{index}]")
    elif type(value) is dict:
        for key, item in value.items():
            if "*" in shape:
                characters(key, str, name)
            inner = shape.get("*") or shape.get(key)
            if inner is not None:
                characters(item, inner, f"{name}.{key}" if name else key)


def _wrong(name: str, wanted: str, value: Any) -> UsageError:
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "a truth value", type(None): "null"}
    return UsageError(f"{name}: want {wanted}, not {kinds.get(type(value), 'a number')} ({_short(value)})")


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # Python writes no numbers of more than 4,300 digits
        text = hex(value)
    return text if len(text) <= 40 else text[:40] + "..."
