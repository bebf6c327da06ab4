"""Sysctls: which of them a container may have set, and those that every container has.

A pure module of its own, since a start through the OCI command line needs nothing else of the defaults.
Sources: sysctl(8), namespaces(7), Documentation/admin-guide/sysctl/.
"""

from __future__ import annotations

from pycontainer.errors import UsageError
from pycontainer.plan.sysctls import path_of
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

_OF_IPC = "msgmax msgmnb msgmni msg_next_id sem sem_next_id shmall shmmax shmmni shm_next_id shm_rmid_forced"
_IPC = frozenset(f"kernel.{name}" for name in _OF_IPC.split())


def owner_of(name: str) -> str:
    """The kind of namespace that owns a sysctl (runtime-spec name), or ``""`` if the whole machine does."""
    dotted = path_of(name).replace("/", ".")
    if dotted in _IPC or dotted.startswith("fs.mqueue."):
        return "ipc"
    if dotted.startswith("net."):
        return "network"
    return "uts" if dotted == "kernel.domainname" else ""


def check(name: str, value: str, private: Collection[str], *, said: str = "--sysctl") -> None:
    """Refuse a sysctl that would reach beyond the container. Raises UsageError.

    Args:
        name: with dots, as docker takes it (``net.ipv4.ip_forward``), or with slashes.
        value: what to write.
        private: the namespaces the container has of its own (runtime-spec names).
        said: what the user wrote it as.
    """
    if not all(_is_word(part) for part in path_of(name).split("/")):
        raise UsageError(f"{said} {name!r}: not the name of a sysctl")
    # A value is numbers and words. '+' and newlines have been used to smuggle a second sysctl in (CVE-2022-0811).
    if not value.isascii() or not value.replace("\t", " ").isprintable() or "+" in value or "=" in value:
        raise UsageError(f"{said} {name}: the value {value!r} has characters that no sysctl takes")
    owner = owner_of(name)
    if path_of(name) == "kernel/hostname":
        raise UsageError(f"{said} kernel.hostname: set it with {'--' if said.startswith('--') else ''}hostname")
    if not owner:
        raise UsageError(
            f"{said} {name}: not allowed, it belongs to the whole machine and not to a namespace",
            hint="allowed are net.*, fs.mqueue.*, kernel.domainname, and the kernel.msg*, sem and shm* of System V IPC",
        )
    if owner not in private:
        raise UsageError(f"{said} {name}: not allowed when the container shares the host's {owner} namespace")


def _is_word(text: str) -> bool:
    return text.isascii() and text.strip(".") != "" and text.translate({ord(mark): "" for mark in "._-"}).isalnum()


def defaults(private: Collection[str], userns_size: int = 0) -> dict[str, str]:
    """Sysctls every container of its own network gets: anyone may ping, and bind ports below 1024.

    ``userns_size`` is the number of ids in the container's user namespace, 0 without one: the
    kernel refuses a group range that ends outside it.
    """
    if "network" not in private:
        return {}
    last = min(userns_size - 1, 2147483647) if userns_size else 2147483647
    return {"net.ipv4.ping_group_range": f"0 {last}", "net.ipv4.ip_unprivileged_port_start": "0"}
