"""What a container may do unless its user says otherwise: one page of constants and the rules that choose.

Pure functions over plain values; nothing here touches the kernel. Each default is what common
images need to start and serve, and no more; each has a flag that lifts it.

Sources: capabilities(7), proc(5), sysfs(5), namespaces(7), ``prctl(PR_SET_NO_NEW_PRIVS)``,
Documentation/admin-guide/cgroup-v1/devices.rst, the runtime-spec's ``config-linux``.
"""

from __future__ import annotations

from pycontainer.core.capabilities import CAPABILITIES, CAPABILITY_NUMBER
from pycontainer.errors import HostLacks, UsageError
from pycontainer.light import lru_cache
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from pycontainer.cgroups.resources import DeviceRule
    from pycontainer.oci.spec import Capabilities


def _words(text: str, prefix: str = "") -> tuple[str, ...]:
    return tuple(prefix + word for word in text.split())


# --- capabilities ---------------------------------------------------------------------------------

DOCKER_CAPABILITIES: tuple[str, ...] = _words(
    """
    CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE NET_RAW SYS_CHROOT MKNOD
    AUDIT_WRITE SETFCAP
    """,
    prefix="CAP_",
)
"""The 14 that docker keeps."""

DEFAULT_CAPABILITIES: tuple[str, ...] = tuple(
    name for name in DOCKER_CAPABILITIES if name not in ("CAP_MKNOD", "CAP_AUDIT_WRITE")
)
"""The 12 that we keep: docker's without MKNOD (/dev is ready made) and AUDIT_WRITE (seccomp tells PAM that
there is no audit). NET_RAW stays because Debian's ``ping`` carries it as a file capability and could not
even be executed without it; seccomp fences it to ICMP (see profiles/default.py)."""


def capability(text: str) -> str:
    """``"net_raw"`` or ``"CAP_NET_RAW"`` -> ``"CAP_NET_RAW"``; ``"all"`` -> ``"ALL"``. Raises UsageError."""
    name = text.strip().upper()
    if name == "ALL":
        return name
    if not name.startswith("CAP_"):
        name = "CAP_" + name
    if name not in CAPABILITY_NUMBER:
        raise UsageError(f"unknown capability {text!r}", hint="capabilities(7) lists them all")
    return name


def resolve_capabilities(
    add: Iterable[str] = (),
    drop: Iterable[str] = (),
    *,
    privileged: bool = False,
    default: Collection[str] = DEFAULT_CAPABILITIES,
    available: Collection[str] = CAPABILITIES,
) -> tuple[str, ...]:
    """The capabilities a container has, in the kernel's order, as docker resolves ``--cap-add`` and ``--cap-drop``.

    Adding wins over dropping the same name; ``--cap-add ALL`` means all that are not dropped;
    ``--cap-drop ALL`` means only what was added. ``available`` is what this process could give
    (its bounding set): ``ALL`` and ``--privileged`` stop there.

    Raises:
        UsageError: a name that is no capability.
        HostLacks: one was added by name that is not available.
    """
    return _resolved(tuple(add), tuple(drop), privileged, tuple(default), tuple(available))


@lru_cache(maxsize=64)  # a start asks twice, and the next one the same
def _resolved(
    add: tuple[str, ...], drop: tuple[str, ...], privileged: bool, default: tuple[str, ...], available: tuple[str, ...]
) -> tuple[str, ...]:
    adds = {capability(text) for text in add}
    drops = {capability(text) for text in drop} - adds
    if privileged or "ALL" in adds:
        chosen = set(available) if privileged else set(available) - drops
    else:
        chosen = adds if "ALL" in drops else set(default) - drops | adds
    missing = sorted(adds - {"ALL"} - set(available), key=CAPABILITIES.index)
    if missing:
        raise HostLacks(
            f"can't add {', '.join(missing)}: this process does not have it to give",
            hint="'capsh --print' shows what it has; a container, a systemd unit or the host may have taken it away",
        )
    return tuple(name for name in CAPABILITIES if name in chosen and name in available)


def process_capabilities(capabilities: Collection[str], uid: int) -> Capabilities:
    """The runtime-spec's ``process.capabilities`` for a process that starts as ``uid``.

    Only root starts with effective ones; another user's program could win them back by executing a
    file that carries them, up to the bounding set. Inheritable and ambient are always empty: a
    non-empty inheritable set is how CVE-2022-29162 and its family gave users root's powers.
    """
    names = list(capabilities)
    held = names if uid == 0 else []
    return {"bounding": names, "effective": list(held), "permitted": list(held), "inheritable": [], "ambient": []}


# --- paths under /proc and /sys ----------------------------------------------------------------------

MASKED_PATHS: tuple[str, ...] = (
    # The machine's hardware and memory.
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",  # counts of key strokes and packets: a side channel
    "/proc/kcore",
    "/proc/kpagecgroup",
    "/proc/kpagecount",
    "/proc/kpageflags",
    "/proc/mtrr",
    "/proc/pagetypeinfo",
    "/proc/scsi",
    "/proc/slabinfo",
    "/proc/vmallocinfo",
    # What kernel this is, how it was started and where its functions lie: the shopping list of an exploit.
    "/proc/cmdline",
    "/proc/config.gz",
    "/proc/kallsyms",
    "/proc/modules",
    # Other people's keys, timers and scheduling.
    "/proc/key-users",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/class/dmi",
    "/sys/devices/virtual/dmi",  # serial numbers
    "/sys/devices/virtual/powercap",  # power readings reveal what others compute (CVE-2020-8694)
    "/sys/firmware",
    "/sys/kernel/config",
    "/sys/kernel/notes",
    "/sys/kernel/vmcoreinfo",
    "/sys/module",
)
"""Files show as empty and directories as empty and read-only. Paths that this kernel lacks are skipped."""

MASKED_IF_SYSFS_IS_BOUND: tuple[str, ...] = (
    "/sys/fs/bpf",
    "/sys/fs/pstore",
    "/sys/fs/selinux",
    "/sys/kernel/debug",
    "/sys/kernel/security",
    "/sys/kernel/tracing",
)
"""File systems that the host mounts below /sys. A sysfs mounted for the container does not have them, so they need a
mask only where the host's own /sys is bound (rootless with the host's network)."""

READONLY_PATHS: tuple[str, ...] = (
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/pressure",  # a write makes the kernel watch the whole machine, in a thread of its own
    "/proc/sys",
    "/proc/sysrq-trigger",
)


class SystemPaths(Record):
    """The runtime-spec's ``linux.maskedPaths`` and ``linux.readonlyPaths``."""

    masked: list[str]
    readonly: list[str]


def system_paths(
    unmask: Iterable[str] = (),
    mask: Iterable[str] = (),
    *,
    unconfined: bool = False,
    sysfs_is_bound: bool = False,
    thermal_cpus: int = 0,
) -> SystemPaths:
    """What of /proc and /sys a container sees.

    Args:
        unmask: values of ``--security-opt unmask=``: ``ALL``, or paths and globs joined by ``:`` (podman).
        mask: values of ``--security-opt mask=``: more paths, joined by ``:``.
        unconfined: ``--security-opt systempaths=unconfined`` (docker) or ``--privileged``: nothing is hidden.
        sysfs_is_bound: /sys is the host's own mount tree and not a fresh sysfs.
        thermal_cpus: how many CPUs have a ``thermal_throttle`` directory to mask.

    Raises UsageError for a path that is not absolute.
    """
    if unconfined:
        return SystemPaths([], [])
    masked = [*MASKED_PATHS, *(MASKED_IF_SYSFS_IS_BOUND if sysfs_is_bound else ())]
    masked += [f"/sys/devices/system/cpu/cpu{number}/thermal_throttle" for number in range(thermal_cpus)]
    for path in _paths(mask, "mask"):
        masked.append(path)
    patterns = _paths(unmask, "unmask")
    if not patterns:
        return SystemPaths(masked, list(READONLY_PATHS))
    from fnmatch import fnmatchcase  # imports re: 3 ms that the common case does not pay

    def hidden(path: str) -> bool:
        return not any(pattern == "ALL" or fnmatchcase(path, pattern) for pattern in patterns)

    return SystemPaths(list(filter(hidden, masked)), list(filter(hidden, READONLY_PATHS)))


def _paths(values: Iterable[str], option: str) -> list[str]:
    paths = [path for value in values for path in value.split(":")]
    for path in paths:
        if not path.startswith("/") and (option, path.upper()) != ("unmask", "ALL"):
            raise UsageError(f"--security-opt {option}={path}: not an absolute path")
    return ["ALL" if path.upper() == "ALL" else path for path in paths]


# --- no_new_privs and 32-bit programs ----------------------------------------------------------------------

# Every distribution's base has these, root can use them without the bit, and a service never does. ping works for
# everybody through ping_group_range.
_HARMLESS_SETUID = _words(
    """
    su mount umount passwd chsh chfn newgrp gpasswd chage expiry ssh-keysign ssh-agent unix_chkpwd pam_timestamp_check
    newuidmap newgidmap wall write ping ping4 ping6
    """
)


def no_new_privs(setting: str, setuid_files: Iterable[str], *, privileged: bool = False) -> bool:
    """Whether the container's processes may never gain privileges by execve.

    Args:
        setting: ``"on"``, ``"off"``, or ``"auto"``: on unless the image has a setuid, setgid or file-capability program
            that somebody put there to be used, such as sudo. docker's ``true``/``false`` and empty value work too.
        setuid_files: paths of such programs in all layers, as the unpacker recorded them.
        privileged: ``--privileged``, where ``auto`` is off.

    Raises UsageError for another setting.
    """
    chosen = _switch("no-new-privileges", setting)
    if chosen is not None:
        return chosen
    return not privileged and all(path.rpartition("/")[2] in _HARMLESS_SETUID for path in setuid_files)


def compat32(setting: str, has_elf32: bool, architecture: str) -> bool:
    """Whether 32-bit programs may run (``--security-opt compat32=on|off|auto``).

    ``auto`` allows them if the image has one. On i386 every socket call may go through
    ``socketcall``, whose arguments no filter can see: leaving it out closes the way around the
    address family rules. Raises UsageError for another setting.
    """
    chosen = _switch("compat32", setting)
    return chosen if chosen is not None else has_elf32 or architecture in ("386", "arm")


def _switch(option: str, setting: str) -> bool | None:
    text = setting.lower()
    if text in ("on", "true", "1", ""):
        return True
    if text in ("off", "false", "0"):
        return False
    if text == "auto":
        return None
    raise UsageError(f"--security-opt {option}={setting}: want on, off or auto")


# --- devices ------------------------------------------------------------------------------------------------


class Device(Record):
    """A character device that every container has: path, device number."""

    path: str
    major: int
    minor: int


DEFAULT_DEVICES: tuple[Device, ...] = (
    Device("/dev/null", 1, 3),
    Device("/dev/zero", 1, 5),
    Device("/dev/full", 1, 7),
    Device("/dev/random", 1, 8),
    Device("/dev/urandom", 1, 9),
    Device("/dev/tty", 5, 0),
)
"""Nodes made in /dev, mode 0666, root's. ptmx is a link into the container's own devpts; console is its pty."""


def device_rules() -> list[DeviceRule]:
    """The runtime-spec's ``linux.resources.devices``: nothing, then the default devices and terminals.

    Stricter than docker, which also lets anything be *created* with mknod and tun be used.
    """
    rules: list[DeviceRule] = [{"allow": False, "access": "rwm"}]
    for _, major, minor in DEFAULT_DEVICES:
        rules.append({"allow": True, "type": "c", "major": major, "minor": minor, "access": "rwm"})
    for major, minor in ((5, 1), (5, 2)):  # console and ptmx
        rules.append({"allow": True, "type": "c", "major": major, "minor": minor, "access": "rwm"})
    return [*rules, {"allow": True, "type": "c", "major": 136, "access": "rwm"}]  # every /dev/pts/N
