"""The vocabulary of a plan: one function per kernel operation, each returning the :class:`Call` that does it.

Names and order of arguments are the system calls' own; lengths and structure sizes are filled in. ``out`` names the
slot for the result, ``tolerate`` the error numbers that are no failure. The build reads this file: a call named here
is what makes a system call's number known to :mod:`pycontainer.core.wire`.
"""

from __future__ import annotations

import os
from _struct import pack  # `struct` itself is a file more to be read

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


def write(fd: Fd, data: str | bytes | Struct, *, tolerate: Errnos = ()) -> Call:
    """write(2): all of ``data`` in one call, as files of the kernel's want it."""
    raw = data.encode() if isinstance(data, str) else data
    size = len(raw.data if isinstance(raw, Struct) else raw)
    return Call("write", (fd, raw, size), None, tolerate, size)


def read(fd: Fd, count: int, *, expect: int, report: bool = False) -> Call:
    """read(2), for its effect: a byte from the other process, or the end of file when it is gone."""
    return Call("read", (fd, Struct(bytes(count)), count), expect=expect, report=report)


def close(fd: Fd) -> Call:
    """close(2)."""
    return Call("close", (fd,))


def dup3(fd: Fd, number: Fd, flags: int = 0) -> Call:
    """dup3(2): without O_CLOEXEC the copy outlives an execve."""
    return Call("dup3", (fd, number, flags))


def lseek(fd: Slot, offset: int, *, expect: int) -> Call:
    """lseek(2) from the beginning, with the position that must come of it."""
    return Call("lseek", (fd, offset, 0), expect=expect)


def duplicate(fd: int, least: int, *, out: Slot) -> Call:
    """fcntl(2), F_DUPFD_CLOEXEC: a copy with the first free number from ``least`` on."""
    return Call("fcntl", (fd, k.F_DUPFD_CLOEXEC, least), out)


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


def chroot(path: str) -> Call:
    """chroot(2)."""
    return Call("chroot", (path,))


def chdir(path: str) -> Call:
    """chdir(2)."""
    return Call("chdir", (path,))


def fchdir(fd: Slot) -> Call:
    """fchdir(2)."""
    return Call("fchdir", (fd,))


# --- processes and namespaces -------------------------------------------------------------------------------------


def clone3(flags: int, *, child: str, out: Slot, cgroup: Slot | None = None) -> Call:
    """clone3(2): a new process, in new namespaces; it goes on down the list as ``child``.

    ``cgroup`` is a descriptor of a cgroup v2 directory for CLONE_INTO_CGROUP. With CLONE_PARENT it is the caller's
    sibling, and ends with the caller's own signal.
    """
    into = k.CLONE_INTO_CGROUP if cgroup else 0
    ending = 0 if flags & k.CLONE_PARENT else k.SIGCHLD
    arguments = pack("11Q", flags | into, 0, 0, 0, ending, 0, 0, 0, 0, 0, 0)
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


def waitid(pidfd: Slot) -> Call:
    """waitid(2) for the end of a child."""
    return Call("waitid", (k.P_PIDFD, pidfd, 0, k.WEXITED, 0))


def pidfd_getfd(pidfd: Slot, number: int, *, out: Slot) -> Call:
    """pidfd_getfd(2): a copy of a descriptor of another process."""
    return Call("pidfd_getfd", (pidfd, number, 0), out)


def accept4(listening: Slot, *, out: Slot) -> Call:
    """accept(2): wait for somebody who connects."""
    return Call("accept4", (listening, 0, 0, k.SOCK_CLOEXEC), out)


def sendmsg(socket: Slot, data: bytes, descriptor: Slot) -> Call:
    """sendmsg(2): ``data``, and one descriptor with it, as unix(7) describes SCM_RIGHTS."""
    rights = Struct(pack("QiiiI", 20, k.SOL_SOCKET, k.SCM_RIGHTS, 0, 0), slots=((16, descriptor),))
    vector = Struct(pack("QQ", 0, len(data)), pointers=((0, data),))
    message = Struct(pack("QIIQQQQii", 0, 0, 0, 0, 1, 0, 24, 0, 0), pointers=((16, vector), (32, rights)))
    return Call("sendmsg", (socket, message, k.MSG_NOSIGNAL), expect=len(data))


def setns(fd: Slot, kind: int) -> Call:
    """setns(2)."""
    return Call("setns", (fd, kind))


def setfsuid(uid: int) -> Call:
    """setfsuid(2): whose the files are that this process makes."""
    return Call("setfsuid", (uid,))


def setfsgid(gid: int) -> Call:
    """setfsgid(2)."""
    return Call("setfsgid", (gid,))


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


def bind(socket: Slot, name: str) -> Call:
    """bind(2), to a path relative to the working directory: the kernel has room for 108 bytes of it."""
    address = pack("H", k.AF_UNIX) + name.encode() + b"\0"
    return Call("bind", (socket, address, len(address)))


def listen(socket: Slot, backlog: int) -> Call:
    """listen(2)."""
    return Call("listen", (socket, backlog))


def recvfrom(
    socket: Fd, count: int, flags: int, *, out: Slot | None = None, tolerate: Errnos = (), expect: int | None = None
) -> Call:
    """recv(2), for its effect: 0 says that the other side is gone."""
    return Call("recvfrom", (socket, Struct(bytes(count)), count, flags, 0, 0), out, tolerate, expect)


def ppoll(*fds: Slot) -> Call:
    """poll(2): wait until one of them is readable, which a pidfd is when its process has ended."""
    data = b"".join(pack("ihh", 0, k.POLLIN, 0) for _ in fds)
    slots = tuple((8 * number, fd) for number, fd in enumerate(fds))
    return Call("ppoll", (Struct(data, slots=slots), len(fds), 0, 0, 0))


def execveat(dirfd: Fd, path: str, argv: tuple[str, ...], env: tuple[str, ...]) -> Call:
    """execveat(2)."""
    return Call("execveat", (dirfd, path, Strings(argv), Strings(env), 0))


def bind_to(socket: Slot, address: bytes) -> Call:
    """bind(2); ``address`` is a struct sockaddr_in or its sister for IPv6."""
    return Call("bind", (socket, address, len(address)))


def setsockopt(socket: Slot, level: int, option: int, value: int) -> Call:
    """setsockopt(2), of an int."""
    return Call("setsockopt", (socket, level, option, pack("i", value), 4))


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


def personality(domain: int) -> Call:
    """personality(2)."""
    return Call("personality", (domain,))


def sched_setattr(attributes: bytes) -> Call:
    """sched_setattr(2), on the caller itself; ``attributes`` is a struct sched_attr."""
    return Call("sched_setattr", (0, attributes, 0))


def sched_setaffinity(cpus: bytes) -> Call:
    """sched_setaffinity(2), on the caller itself; bit n of ``cpus`` is CPU n."""
    return Call("sched_setaffinity", (0, len(cpus), cpus))


def ioprio_set(priority: int) -> Call:
    """ioprio_set(2), on the caller itself."""
    return Call("ioprio_set", (k.IOPRIO_WHO_PROCESS, 0, priority))


def set_mempolicy(mode: int, nodes: bytes) -> Call:
    """set_mempolicy(2); bit n of ``nodes`` is memory node n. The kernel counts one bit less than it is told."""
    return Call("set_mempolicy", (mode, nodes or 0, len(nodes) * 8 + 1 if nodes else 0))


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
    exit_file: Slot | None = None,
    counters: Slot | None = None,
    listener: Slot | None = None,
    log: tuple[Slot, Slot, int, int] | None = None,
    once: bool = False,
    stop: tuple[int, float] = (k.SIGTERM, -1),
    container: str = "",
    check: tuple[float, float, str, tuple[str, ...], tuple[str, ...]] | None = None,
) -> Call:
    """Carry the container's bytes until it ends, then record how; the result is its wait status (monitor.c).

    ``log`` is a file, its directory, how many bytes it may have and how many files there may be; ``once`` lets stdin
    end with the client; ``stop`` is the signal that a SIGTERM for the monitor becomes, and after how many seconds it is
    SIGKILL, negative for never; ``container`` is the ID to announce the end of; ``check`` is (seconds, seconds until
    one has ended with 0, path, argv, envp).
    """
    file, directory, size, files = log or (None, None, 0, 0)
    slots = (pid, pidfd, None, *stdio, client, exit_file, counters, listener, file, directory)
    every, early = (min(max(1, round(seconds * 1000)), k.INT_MAX) for seconds in check[:2]) if check else (0, 0)
    sign, patience = stop[0], -1 if stop[1] < 0 else min(round(stop[1] * 1000), k.INT_MAX)
    numbers = (files, size, once, every, early, sign, patience)
    data = pack("12iiIiiiii64s", -1, -1, tty, *[-1] * 9, *numbers, container.encode())
    present = tuple((4 * i, slot) for i, slot in enumerate(slots) if slot)
    command = (check[2], Strings(check[3]), Strings(check[4])) if check else ()
    return Call("supervise", (Struct(data, slots=present), *command), report=True)


def reap(child: Slot) -> Call:
    """Be PID 1 for ``child``: forward signals, reap orphans, leave with its exit code (init.c)."""
    return Call("reap", (child,))
