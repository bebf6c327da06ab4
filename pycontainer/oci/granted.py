"""Capabilities that can't be granted: left out with a warning; they are no reason to fail (config.md, Process)."""

from __future__ import annotations

import os

from pycontainer.core.capabilities import CAPABILITIES, CAPABILITY_NUMBER
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.oci.spec import Process

_KINDS = {"bounding", "permitted", "effective", "inheritable", "ambient"}
# Those of an ordinary container: whoever can make one has them, and nobody needs to look.
_USUAL = frozenset(
    f"CAP_{name}"
    for name in "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE "
    "SYS_CHROOT KILL AUDIT_WRITE".split()
)


def only_granted(process: Process, *, users: bool) -> None:
    """Take out of the process's sets what the kernel would refuse; in a user namespace of its own that is nothing."""
    sets: dict[str, list[str]] = process.get("capabilities") or {}  # type: ignore[assignment]
    asked = {name for kind in _KINDS for name in sets.get(kind) or ()}
    if asked <= _USUAL:
        return
    refused = {name for name in asked if name not in CAPABILITY_NUMBER} | ((asked - _had()) if not users else set())
    if not refused:
        return
    from pycontainer.oci import log

    log.warning(f"process.capabilities: {', '.join(sorted(refused))} can't be granted here")
    for kind in _KINDS & set(sets):
        sets[kind] = [name for name in sets[kind] if name not in refused]


def _had() -> set[str]:
    """Our own (proc_pid_status(5), CapBnd)."""
    fd = os.open("/proc/self/status", os.O_RDONLY | os.O_CLOEXEC)
    try:
        line = next(line for line in os.read(fd, 4096).splitlines() if line.startswith(b"CapBnd:"))
    finally:
        os.close(fd)
    mask = int(line.split()[1], 16)
    return {name for number, name in enumerate(CAPABILITIES) if mask >> number & 1}
