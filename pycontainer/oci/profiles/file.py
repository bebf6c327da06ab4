"""Seccomp profiles in the JSON format of docker and podman, which is the runtime-spec's with conditions.

``includes`` and ``excludes`` make a rule depend on capabilities, architectures and the kernel's version;
they are decided here, and what remains is the runtime-spec's ``linux.seccomp``.

Sources: docker's "Seccomp security profiles", the runtime-spec's config-linux on ``seccomp``.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Collection, Mapping
from typing import cast

from pycontainer.errors import UsageError
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from pycontainer.oci.spec import Seccomp

_LIMIT = 4 << 20
# An architecture by the names of uname(2), of libseccomp and of a profile's conditions.
_NATIVE = {"x86_64": ("SCMP_ARCH_X86_64", "amd64"), "aarch64": ("SCMP_ARCH_AARCH64", "arm64")}

_TOP = {
    "defaultAction": str,
    "defaultErrnoRet": int,
    "defaultErrno": str,
    "architectures": list,
    "archMap": list,
    "flags": list,
    "syscalls": list,
    "listenerPath": str,
    "listenerMetadata": str,
}
_RULE = {
    "name": str,
    "names": list,
    "action": str,
    "errnoRet": int,
    "errno": str,
    "args": list,
    "includes": dict,
    "excludes": dict,
}
_ARG = {"index": int, "value": int, "valueTwo": int, "op": str}
_CONDITION = {"caps": list, "arches": list, "minKernel": str}
_ARCH = {"architecture": str, "subArchitectures": list}


def load_profile(path: str, capabilities: Collection[str], *, machine: str) -> Seccomp:
    """Read a profile from a file. Raises UsageError if it can't be read or is not a profile."""
    try:
        with open(path, "rb") as file:
            text = file.read(_LIMIT + 1)
    except OSError as error:
        raise UsageError(f"can't read the seccomp profile {path}: {(error.strerror or str(error)).lower()}") from None
    if len(text) > _LIMIT:
        raise UsageError(f"the seccomp profile {path} is larger than {_LIMIT >> 20} MiB")
    try:
        return parse_profile(text, capabilities, machine=machine)
    except UsageError as error:
        raise UsageError(f"{path}: {error.message}") from None


def parse_profile(text: bytes, capabilities: Collection[str], *, machine: str = "x86_64", kernel: str = "") -> Seccomp:
    """A profile's JSON -> the runtime-spec's ``linux.seccomp`` for these capabilities, machine and kernel release."""
    try:
        top = _object(json.loads(text), _TOP, "seccomp profile")
    except (ValueError, RecursionError) as error:
        raise UsageError(f"seccomp profile: not JSON: {error}") from None
    if not top.get("defaultAction"):
        raise UsageError("seccomp profile: no defaultAction")
    if top.get("architectures") and top.get("archMap"):
        raise UsageError("seccomp profile: both architectures and archMap")
    facts = _Facts(capabilities, _NATIVE.get(machine, ("", machine)), kernel or os.uname().release)
    result: dict[str, Any] = {"defaultAction": top["defaultAction"]}
    if (number := _errno(top, "defaultErrnoRet", "defaultErrno")) is not None:
        result["defaultErrnoRet"] = number
    result["architectures"] = top.get("architectures") or facts.architectures(top.get("archMap", ()))
    for key in ("flags", "listenerPath", "listenerMetadata"):
        if top.get(key):
            result[key] = top[key]
    rules = (_object(rule, _RULE, "seccomp profile: a rule") for rule in top.get("syscalls", ()))
    result["syscalls"] = [_rule(rule) for rule in rules if facts.wanted(rule)]
    return cast("Seccomp", result)


class _Facts:
    """What the conditions of a profile ask about."""

    def __init__(self, capabilities: Collection[str], native: tuple[str, str], kernel: str) -> None:
        self.capabilities = capabilities
        self.native, self.arch = native
        self.kernel = _version(kernel)

    def architectures(self, arch_map: Collection[Any]) -> list[str]:
        for entry in arch_map:
            entry = _object(entry, _ARCH, "seccomp profile: archMap")
            if entry.get("architecture") == self.native:
                return [self.native, *_strings(entry.get("subArchitectures") or [], "subArchitectures")]
        return []

    def wanted(self, rule: dict[str, Any]) -> bool:
        includes = _object(rule.get("includes") or {}, _CONDITION, "seccomp profile: includes")
        excludes = _object(rule.get("excludes") or {}, _CONDITION, "seccomp profile: excludes")
        return all(self._answers(includes, every=True)) and not any(self._answers(excludes, every=False))

    def _answers(self, condition: dict[str, Any], *, every: bool) -> list[bool]:
        answers = []
        if caps := _strings(condition.get("caps") or [], "caps"):
            answers.append((all if every else any)(name in self.capabilities for name in caps))
        if arches := _strings(condition.get("arches") or [], "arches"):
            answers.append(self.arch in arches)
        if version := condition.get("minKernel"):
            answers.append(self.kernel >= _version(version))
        return answers


def _rule(rule: dict[str, Any]) -> dict[str, Any]:
    if rule.get("name") and rule.get("names"):
        raise UsageError("seccomp profile: both name and names in a rule")
    names = _strings(rule.get("names") or ([rule["name"]] if rule.get("name") else []), "names")
    if not names or not rule.get("action"):
        raise UsageError("seccomp profile: a rule without names or action")
    result: dict[str, Any] = {"names": names, "action": rule["action"]}
    if (number := _errno(rule, "errnoRet", "errno")) is not None:
        result["errnoRet"] = number
    if args := rule.get("args"):
        result["args"] = [_object(arg, _ARG, f"seccomp profile: an argument of {names[0]}") for arg in args]
    return result


def _errno(where: dict[str, Any], number: str, name: str) -> int | None:
    """An error number: docker writes the number, podman also its name."""
    if not where.get(name):
        return cast("int | None", where.get(number))
    value = getattr(errno, where[name], None)
    if not isinstance(value, int):
        raise UsageError(f"seccomp profile: unknown error {where[name]!r}")
    return value


def _version(text: str) -> tuple[int, int]:
    parts = text.replace("-", ".").split(".")
    if len(parts) < 2 or not (parts[0].isdecimal() and parts[1].isdecimal()):
        raise UsageError(f"seccomp profile: {text!r} is not a kernel version")
    return int(parts[0]), int(parts[1])


def _object(value: object, keys: Mapping[str, type], what: str) -> dict[str, Any]:
    """An object with these keys only, so that a misspelt condition is not a condition less."""
    if not isinstance(value, dict):
        raise UsageError(f"{what}: not an object")
    result = {}
    for key, item in value.items():
        if key.startswith(("comment", "$", "_")):
            continue
        if key not in keys:
            raise UsageError(f"{what}: unknown key {key!r}")
        if item is not None and (not isinstance(item, keys[key]) or isinstance(item, bool)):
            raise UsageError(f"{what}: {key} is not of type {keys[key].__name__}")
        if item is not None:
            result[key] = item
    return result


def _strings(value: list[Any], what: str) -> list[str]:
    if not all(isinstance(item, str) for item in value):
        raise UsageError(f"seccomp profile: {what} must be a list of strings")
    return value
