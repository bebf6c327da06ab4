"""The vocabulary of a plan: one function per kernel operation, each returning the :class:`Call` that does it.

Names and order of arguments are the system calls' own; lengths and structure sizes are filled in. ``out`` names the
slot for the result, ``tolerate`` the error numbers that are no failure. The build reads this file: a call named here
is what makes a system call's number known to :mod:`pycontainer.core.wire`.
"""

from __future__ import annotations

import os
from struct import pack

from pycontainer.core import constants as k
from pycontainer.core.step import Call, Slot, Strings, Struct

Fd = Slot | int
Errnos = tuple[int, ...]

# --- files --------------------------------------------------------------------------------------------------------


def openat(dirfd: Fd, path: str, flags: int, mode: int = 0, *, out: Slot, tolerate: Errnos = ()) -> Call:
    """openat(2), for a path of the host's."""
    return Call("openat", (dirfd, path, flags | k.O_CLOEXEC, mode), out, tolerate)


def openat2(
    root: Fd,
    path: str,
    flags: int,
    mode: int = 0,
    resolve: int = k.RESOLVE_IN_ROOT | k.RESOLVE_NO_MAGICLINKS,
    *,
    out: Slot,
    tolerate: Errnos = (),
) -> Call:
    """openat2(2): a path inside ``root``, which no symbolic link of an image leads out of."""
    how = pack("QQQ", flags | k.O_CLOEXEC, mode, resolve)
    return Call("openat2", (root, path, how, len(how)), out, tolerate)


def mkdirat(dirfd: Fd, path: str, mode: int, *, tolerate: Errnos = ()) -> Call:
    """mkdirat(2)."""
    return Call("mkdirat", (dirfd, path, mode), None, tolerate)


def mknodat(dirfd: Fd, path: str, mode: int, major: int, minor: int, *, tolerate: Errnos = ()) -> Call:
    """mknodat(2)."""
    return Call("mknodat", (dirfd, path, mode, os.makedev(major, minor)), None, tolerate)


def symlinkat(target: str, dirfd: Fd, path: str, *, tolerate: Errnos = ()) -> Call:
    """symlinkat(2)."""
    return Call("symlinkat", (target, dirfd, path), None, tolerate)


def unlinkat(dirfd: Fd, path: str, flags: int = 0, *, tolerate: Errnos = (), patient: bool = False) -> Call:
    """unlinkat(2); with AT_REMOVEDIR it is rmdir."""
    return Call("unlinkat", (dirfd, path, flags), None, tolerate, patient=patient)


def fchownat(dirfd: Fd, path: str, uid: int, gid: int, flags: int = 0, *, tolerate: Errnos = ()) -> Call:
    """fchownat(2)."""
    return Call("fchownat", (dirfd, path, uid, gid, flags), None, tolerate)


def fchmodat(dirfd: Fd, path: str, mode: int, *, tolerate: Errnos = ()) -> Call:
    """fchmodat(2)."""
    return Call("fchmodat", (dirfd, path, mode), None, tolerate)


def write(fd: Fd, data: str | bytes, *, tolerate: Errnos = ()) -> Call:
    """write(2): all of ``data`` in one call, as files of the kernel's want it."""
    raw = data.encode() if isinstance(data, str) else data
    return Call("write", (fd, raw, len(raw)), None, tolerate, expect=len(raw))


def read(fd: Fd, count: int, *, expect: int, report: bool = False) -> Call:
    """read(2), for its effect: a byte from the other process, or the end of file when it is gone."""
    return Call("read", (fd, Struct(bytes(count)), count), expect=expect, report=report)


def close(fd: Fd) -> Call:
    """close(2)."""
    return Call("close", (fd,))


def dup3(fd: Fd, number: int) -> Call:
    """dup3(2), to 0, 1 or 2: the copy is not close-on-exec."""
    return Call("dup3", (fd, number, 0))


def close_range(first: int, last: int, flags: int) -> Call:
    """close_range(2)."""
    return Call("close_range", (first, last, flags))


def ioctl(
    fd: Fd, request: int, argument: int | bytes | Struct, *, out: Slot | None = None, tolerate: Errnos = ()
) -> Call:
    """ioctl(2)."""
    return Call("ioctl", (fd, request, argument), out, tolerate)


# --- mounts -------------------------------------------------------------------------------------------------------


def fsopen(fstype: str, *, out: Slot, tolerate: Errnos = ()) -> Call:
    """fsopen(2): begin to configure a new file system."""
    return Call("fsopen", (fstype, k.FSOPEN_CLOEXEC), out, tolerate)


def fsconfig(fs: Slot, command: int, key: str | None = None, value: str | None = None, aux: Fd = 0) -> Call:
    """fsconfig(2): one parameter, or FSCONFIG_CMD_CREATE."""
    return Call("fsconfig", (fs, command, key or 0, value or 0, aux))


def fsmount(fs: Slot, attributes: int, *, out: Slot) -> Call:
    """fsmount(2): the configured file system as a mount that is attached nowhere yet."""
    return Call("fsmount", (fs, k.FSMOUNT_CLOEXEC, attributes), out)


def open_tree(dirfd: Fd, path: str, flags: int, *, out: Slot, tolerate: Errnos = ()) -> Call:
    """open_tree(2): with OPEN_TREE_CLONE, a bind mount that is attached nowhere yet."""
    return Call("open_tree", (dirfd, path, flags | k.OPEN_TREE_CLOEXEC), out, tolerate)


def move_mount(mount: Slot, target: Slot) -> Call:
    """move_mount(2): attach a mount; both sides are descriptors, so no path is looked up again."""
    return Call("move_mount", (mount, "", target, "", k.MOVE_MOUNT_F_EMPTY_PATH | k.MOVE_MOUNT_T_EMPTY_PATH))


def mount_setattr(
    mount: Fd, flags: int, *, set: int = 0, clear: int = 0, propagation: int = 0, userns: Slot | None = None
) -> Call:
    """mount_setattr(2) on the mount itself (AT_EMPTY_PATH), or all below it with AT_RECURSIVE."""
    attr = pack("QQQQ", set, clear, propagation, 0)
    argument = Struct(attr, slots=((24, userns),)) if userns else attr
    return Call("mount_setattr", (mount, "", flags | k.AT_EMPTY_PATH, argument, len(attr)))


def mount(source: str | None, target: str, fstype: str | None, flags: int, data: str | None = None) -> Call:
    """mount(2)."""
    return Call("mount", (source or 0, target, fstype or 0, flags, data or 0))


def umount2(target: str, flags: int) -> Call:
    """umount2(2)."""
    return Call("umount2", (target, flags))


def pivot_root(new_root: str, put_old: str) -> Call:
    """pivot_root(2)."""
    return Call("pivot_root", (new_root, put_old))


def chdir(path: str) -> Call:
    """chdir(2)."""
    return Call("chdir", (path,))


def fchdir(fd: Slot) -> Call:
    """fchdir(2)."""
    return Call("fchdir", (fd,))


# --- processes and namespaces -------------------------------------------------------------------------------------


def clone3(flags: int, *, child: str, out: Slot, cgroup: Slot | None = None) -> Call:
    """clone3(2): a new process, in new namespaces; it goes on down the list as ``child``.

    ``cgroup`` is a descriptor of a cgroup v2 directory for CLONE_INTO_CGROUP.
    """
    into = k.CLONE_INTO_CGROUP if cgroup else 0
    arguments = pack("11Q", flags | into, 0, 0, 0, k.SIGCHLD, 0, 0, 0, 0, 0, 0)
    argument = Struct(arguments, slots=((80, cgroup),)) if cgroup else arguments
    return Call("clone3", (argument, len(arguments)), out, report=True, child=child)


def clone(*, child: str, out: Slot) -> Call:
    """clone(2) as fork(2): the older call, since a system call filter may hide clone3."""
    return Call("clone", (k.SIGCHLD, 0, 0, 0, 0), out, report=True, child=child)


def pidfd_open(pid: Slot, *, out: Slot) -> Call:
    """pidfd_open(2)."""
    return Call("pidfd_open", (pid, 0), out)


def unshare(flags: int) -> Call:
    """unshare(2)."""
    return Call("unshare", (flags,))


def setns(fd: Slot, kind: int) -> Call:
    """setns(2)."""
    return Call("setns", (fd, kind))


def setsid() -> Call:
    """setsid(2)."""
    return Call("setsid")


def sethostname(name: str) -> Call:
    """sethostname(2)."""
    return Call("sethostname", (name, len(name.encode())))


def setdomainname(name: str) -> Call:
    """setdomainname(2)."""
    return Call("setdomainname", (name, len(name.encode())))


def socket(family: int, kind: int, protocol: int, *, out: Slot) -> Call:
    """socket(2)."""
    return Call("socket", (family, kind | k.SOCK_CLOEXEC, protocol), out)


def rt_sigprocmask(how: int, mask: int) -> Call:
    """sigprocmask(2); ``mask`` has bit n-1 for signal n."""
    return Call("rt_sigprocmask", (how, pack("Q", mask), 0, 8))


def execve(path: str, argv: tuple[str, ...], env: tuple[str, ...], *, tolerate: Errnos = ()) -> Call:
    """execve(2)."""
    return Call("execve", (path, Strings(argv), Strings(env)), None, tolerate, report=True)


# --- identity and limits ------------------------------------------------------------------------------------------


def umask(mask: int) -> Call:
    """umask(2)."""
    return Call("umask", (mask,))


def prlimit64(resource: int, soft: int, hard: int, *, tolerate: Errnos = ()) -> Call:
    """prlimit(2), on the caller itself."""
    return Call("prlimit64", (0, resource, pack("QQ", soft, hard), 0), None, tolerate)


def prctl(option: int, a: int | str = 0, b: int = 0, *, tolerate: Errnos = ()) -> Call:
    """prctl(2)."""
    return Call("prctl", (option, a, b, 0, 0), None, tolerate)


def setgroups(groups: tuple[int, ...]) -> Call:
    """setgroups(2)."""
    return Call("setgroups", (len(groups), pack(f"{len(groups)}I", *groups) if groups else 0))


def setresgid(gid: int) -> Call:
    """setresgid(2): real, effective and saved at once."""
    return Call("setresgid", (gid, gid, gid))


def setresuid(uid: int) -> Call:
    """setresuid(2): real, effective and saved at once."""
    return Call("setresuid", (uid, uid, uid))


def capset(effective: int, permitted: int, inheritable: int) -> Call:
    """capset(2), on the caller itself; each set is a mask with bit n for capability n."""
    low, high = 0xFFFFFFFF, 32
    header = pack("Ii", k.LINUX_CAPABILITY_VERSION_3, 0)
    sets = (
        effective & low,
        permitted & low,
        inheritable & low,
        effective >> high,
        permitted >> high,
        inheritable >> high,
    )
    return Call("capset", (header, pack("6I", *sets)))


def keyctl(operation: int, name: str, *, tolerate: Errnos = ()) -> Call:
    """keyctl(2)."""
    return Call("keyctl", (operation, name), None, tolerate)


def seccomp(flags: int, program: bytes, *, out: Slot | None = None) -> Call:
    """seccomp(2), SECCOMP_SET_MODE_FILTER; ``program`` is an array of struct sock_filter."""
    fprog = Struct(pack("HxxxxxxQ", len(program) // 8, 0), pointers=((8, program),))
    return Call("seccomp", (k.SECCOMP_SET_MODE_FILTER, flags, fprog), out)


def bpf(command: int, attributes: bytes | Struct, *, out: Slot | None = None) -> Call:
    """bpf(2)."""
    size = len(attributes.data) if isinstance(attributes, Struct) else len(attributes)
    return Call("bpf", (command, attributes, size), out)


# --- the performer's own loops ------------------------------------------------------------------------------------


def supervise(
    pid: Slot,
    pidfd: Slot,
    *,
    tty: bool,
    stdio: tuple[Slot | None, Slot | None, Slot | None],
    client: Slot | None,
    exit_file: Slot | None,
    counters: Slot | None,
) -> Call:
    """Carry the container's bytes until it ends, then record how; the result is its wait status (monitor.c)."""
    slots = (pid, pidfd, None, *stdio, client, exit_file, counters)
    data = pack("9i", -1, -1, tty, -1, -1, -1, -1, -1, -1)
    present = tuple((4 * i, slot) for i, slot in enumerate(slots) if slot)
    return Call("supervise", (Struct(data, slots=present),), report=True)


def reap(child: Slot) -> Call:
    """Be PID 1 for ``child``: forward signals, reap orphans, leave with its exit code (init.c)."""
    return Call("reap", (child,))
