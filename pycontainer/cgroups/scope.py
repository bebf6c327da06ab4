"""Scopes: where systemd keeps the tree of cgroups, it is asked for a branch (systemd.scope(5), systemd.slice(5)).

A scope is a unit around processes that somebody else has started. Delegated, everything below it is that somebody's:
systemd sets nothing there, and forgets the unit when the last process has gone. So a container has

    /system.slice/pyc-<id>.scope            systemd's
    /system.slice/pyc-<id>.scope/monitor    who watches over it
    /system.slice/pyc-<id>.scope/container  itself, with its limits

A user's own systemd has all of its slices and scopes below /user.slice/user-<uid>.slice/user@<uid>.service.

A path says all of that; nothing else is stored. Source: systemd's CGROUP_DELEGATION.
"""

from __future__ import annotations

from pycontainer.errors import UsageError
from pycontainer.record import Record

DEFAULT_SLICE, USERS_SLICE = "system.slice", "user.slice"
_LEAF = ".scope/container"
_SPECIAL = frozenset(":-_.\\@")


class Scope(Record):
    """A unit of systemd, the slice that it is in, and whether that systemd is a user's own."""

    unit: str
    slice: str
    user: bool = False


def path(slice: str, name: str, above: str = "") -> str:
    """The cgroup of what runs in the scope ``name`` of a slice, where systemd has all of its own ``above``.

    Raises UsageError for what can't be a unit's name.
    """
    unit = f"{name}.scope"
    for word in (slice, unit):
        if len(word) > 255 or not all(letter.isascii() and (letter.isalnum() or letter in _SPECIAL) for letter in word):
            raise UsageError(f"{word!r} can't be the name of a unit of systemd")
    return f"{above}{_path_of_slice(slice)}/{unit}/container"


def _path_of_slice(slice: str) -> str:
    """``a-b.slice`` is below ``a.slice``; ``-.slice`` is the root."""
    stem = slice.removesuffix(".slice")
    if stem == "-":
        return ""
    words = stem.split("-")
    if stem == slice or not all(words):
        raise UsageError(f"{slice!r} is no slice of systemd", hint="name it like machine.slice or a-b.slice")
    return "".join(f"/{'-'.join(words[:depth])}.slice" for depth in range(1, len(words) + 1))


def of_spec(cgroups_path: str, name: str, above: str = "") -> str:
    """The cgroup for ``SLICE:PREFIX:NAME``, as engines write linux.cgroupsPath for a runtime that is to ask systemd.

    Raises UsageError.
    """
    slice, prefix, stem = cgroups_path.split(":") if cgroups_path else ("", "pyc", name)
    return path(slice or (USERS_SLICE if above else DEFAULT_SLICE), f"{prefix}-{stem}" if prefix else stem, above)


def is_for_systemd(cgroups_path: str) -> bool:
    """Whether that is how linux.cgroupsPath is written."""
    return cgroups_path.count(":") == 2 and "/" not in cgroups_path


def of_path(path: str) -> Scope | None:
    """The scope that a cgroup is in, if it is one of those that :func:`path` names."""
    if not path.endswith(_LEAF):
        return None
    above, _, unit = path.removesuffix("/container").rpartition("/")
    slice = above.rpartition("/")[2]
    return Scope(unit, slice if slice.endswith(".slice") else "-.slice", bool(top_of(path)))


def top_of(path: str) -> str:
    """The cgroup in which a user's own systemd has all of its own; "" where the scope is of the system's."""
    names = path.split("/")
    users = [index for index, name in enumerate(names) if name.startswith("user@") and name.endswith(".service")]
    return "/".join(names[: users[0] + 1]) if users else ""
