"""The arguments of a call as names and values, with nothing left out: one table of formats, name -> arguments."""

from __future__ import annotations

from struct import iter_unpack, unpack, unpack_from

from pycontainer.core import constants as k
from pycontainer.core.step import Call, Slot, Struct
from pycontainer.explain import structs
from pycontainer.explain.values import (
    Decoder,
    Instructions,
    Slots,
    Symbol,
    Value,
    bits,
    buffer,
    bytes_at,
    capability_names,
    clone_flags,
    device,
    dirfd,
    flags,
    groups,
    joined,
    node_mode,
    number_of,
    octal,
    one_of,
    plain,
    pointer,
    raw,
    resource,
    signal_name,
    signal_set,
    slot_at,
    socket_type,
)
from pycontainer.record import Record


class Param(Record):
    """One argument: its name in the manual, and how to read it."""

    name: str
    decode: Decoder


_BPF_COMMAND = one_of("BPF_PROG_", without="BPF_PROG_TYPE_")
_FD = Param("fd", plain)
_DIRFD = Param("dirfd", dirfd)
_PATH = Param("path", plain)
_OPEN_FLAGS = Param("flags", flags("O_", zero="O_RDONLY"))
_MODE = Param("mode", octal)
_AT_FLAGS = Param("flags", flags("AT_"))
_UID, _GID = Param("uid", plain), Param("gid", plain)
_ARGV, _ENVP = Param("argv", plain), Param("envp", plain)
_NAME, _LEN = Param("name", plain), Param("len", plain)
_PID = Param("pid", plain)
_NS = flags("CLONE_")

FORMATS: dict[str, tuple[Param, ...]] = {
    "openat": (_DIRFD, _PATH, _OPEN_FLAGS, _MODE),
    "openat2": (_DIRFD, _PATH, Param("how", structs.open_how), Param("size", plain)),
    "mkdirat": (_DIRFD, _PATH, _MODE),
    "mknodat": (_DIRFD, _PATH, Param("mode", node_mode), Param("dev", device)),
    "symlinkat": (Param("target", plain), _DIRFD, _PATH),
    "unlinkat": (_DIRFD, _PATH, _AT_FLAGS),
    "fchownat": (_DIRFD, _PATH, _UID, _GID, _AT_FLAGS),
    "fchmodat": (_DIRFD, _PATH, _MODE),
    "write": (_FD, Param("data", plain), Param("count", plain)),
    "read": (_FD, Param("buf", buffer), Param("count", plain)),
    "close": (_FD,),
    "dup3": (_FD, Param("newfd", plain), Param("flags", flags("O_"))),
    "lseek": (_FD, Param("offset", plain), Param("whence", plain)),
    "fcntl": (_FD, Param("cmd", one_of("F_")), Param("arg", plain)),
    "close_range": (Param("first", plain), Param("last", plain), Param("flags", flags("CLOSE_RANGE_"))),
    "ioctl": (_FD, Param("request", one_of("TIOC", "SIOC")), Param("argument", pointer)),
    "fsopen": (Param("fsname", plain), Param("flags", flags("FSOPEN_"))),
    "fsconfig": (
        _FD,
        Param("cmd", one_of("FSCONFIG_")),
        Param("key", pointer),
        Param("value", pointer),
        Param("aux", plain),
    ),
    "fsmount": (_FD, Param("flags", flags("FSMOUNT_")), Param("attr_flags", flags("MOUNT_ATTR_"))),
    "open_tree": (_DIRFD, _PATH, Param("flags", flags("OPEN_TREE_", "AT_"))),
    "move_mount": (
        Param("from_dirfd", dirfd),
        Param("from_path", plain),
        Param("to_dirfd", dirfd),
        Param("to_path", plain),
        Param("flags", flags("MOVE_MOUNT_")),
    ),
    "mount_setattr": (_DIRFD, _PATH, _AT_FLAGS, Param("attr", structs.mount_attr), Param("size", plain)),
    "mount": (
        Param("source", pointer),
        Param("target", plain),
        Param("filesystemtype", pointer),
        Param("mountflags", flags("MS_")),
        Param("data", pointer),
    ),
    "umount2": (Param("target", plain), Param("flags", flags("MNT_"))),
    "pivot_root": (Param("new_root", plain), Param("put_old", plain)),
    "chroot": (_PATH,),
    "chdir": (_PATH,),
    "fchdir": (_FD,),
    "clone": (
        Param("flags", clone_flags),
        *(Param(name, pointer) for name in ("stack", "parent_tid", "child_tid", "tls")),
    ),
    "clone3": (Param("cl_args", structs.clone_args), Param("size", plain)),
    "pidfd_open": (_PID, Param("flags", plain)),
    "unshare": (Param("flags", _NS),),
    "pidfd_getfd": (Param("pidfd", plain), Param("targetfd", plain), Param("flags", plain)),
    "accept4": (_FD, Param("addr", pointer), Param("addrlen", pointer), Param("flags", flags("SOCK_"))),
    "sendmsg": (_FD, Param("msg", structs.message), Param("flags", flags("MSG_"))),
    "setns": (_FD, Param("nstype", _NS)),
    "waitid": (
        Param("idtype", one_of("P_PIDFD")),
        Param("id", plain),
        Param("infop", pointer),
        Param("options", flags("WEXITED")),
        Param("rusage", pointer),
    ),
    "setsid": (),
    "bind": (_FD, Param("addr", structs.socket_address), Param("addrlen", plain)),
    "listen": (_FD, Param("backlog", plain)),
    "recvfrom": (
        _FD,
        Param("buf", buffer),
        _LEN,
        Param("flags", flags("MSG_")),
        Param("src_addr", pointer),
        Param("addrlen", pointer),
    ),
    "ppoll": (
        Param("fds", structs.poll_fds),
        Param("nfds", plain),
        Param("tmo_p", pointer),
        Param("sigmask", pointer),
        Param("sigsetsize", plain),
    ),
    "sethostname": (_NAME, _LEN),
    "setdomainname": (_NAME, _LEN),
    "socket": (Param("domain", one_of("AF_")), Param("type", socket_type), Param("protocol", plain)),
    "setsockopt": (
        _FD,
        Param("level", one_of("IPPROTO_", "SOL_")),
        Param("optname", one_of("IPV6_")),
        Param("optval", lambda arg, slots: list(unpack("i", raw(arg)))),
        Param("optlen", plain),
    ),
    "rt_sigprocmask": (
        Param("how", one_of("SIG_")),
        Param("set", signal_set),
        Param("oldset", pointer),
        Param("sigsetsize", plain),
    ),
    "execve": (Param("pathname", plain), _ARGV, _ENVP),
    "execveat": (_DIRFD, _PATH, _ARGV, _ENVP, _AT_FLAGS),
    "umask": (Param("mask", octal),),
    "prlimit64": (_PID, Param("resource", resource), Param("new_limit", structs.rlimit), Param("old_limit", pointer)),
    "personality": (Param("persona", plain),),
    "sched_setattr": (_PID, Param("attr", plain), Param("flags", plain)),
    "sched_setaffinity": (_PID, Param("cpusetsize", plain), Param("mask", bits)),
    "ioprio_set": (Param("which", one_of("IOPRIO_WHO_")), Param("who", plain), Param("ioprio", plain)),
    "set_mempolicy": (Param("mode", plain), Param("nodemask", bits), Param("maxnode", plain)),
    "prctl": (Param("option", one_of("PR_", without="PR_CAP_AMBIENT_")), *(Param(f"arg{n}", plain) for n in "2345")),
    "setgroups": (Param("size", plain), Param("list", groups)),
    "setresgid": (Param("rgid", plain), Param("egid", plain), Param("sgid", plain)),
    "setfsuid": (Param("fsuid", plain),),
    "setfsgid": (Param("fsgid", plain),),
    "setresuid": (Param("ruid", plain), Param("euid", plain), Param("suid", plain)),
    "capset": (Param("hdrp", structs.cap_header), Param("datap", structs.cap_sets)),
    "keyctl": (Param("operation", one_of("KEYCTL_")), _NAME),
    "seccomp": (
        Param("operation", one_of("SECCOMP_SET_MODE_")),
        Param("flags", flags("SECCOMP_FILTER_FLAG_")),
        Param("args", structs.sock_fprog),
    ),
    "bpf": (Param("cmd", _BPF_COMMAND), Param("attr", plain), Param("size", plain)),
    "supervise": (
        Param("supervision", structs.supervision),
        *(Param(f"check {name}", plain) for name in ("path", "argv", "envp")),
    ),
    "reap": (Param("child", plain),),
}
"""name of a call -> its arguments, in order"""


# --- arguments whose meaning depends on the first one -------------------------------------------------------------


def _prctl(values: dict[str, Value], call: Call, slots: Slots) -> dict[str, Value]:
    """Name the arguments of the options we use, and leave out those that an option does not have."""
    second, third = call.args[1], call.args[2]
    match call.args[0], second, third:
        case k.PR_SET_DUMPABLE, 0, _:
            values["arg2"] = Symbol("SUID_DUMP_DISABLE")
        case k.PR_SET_PDEATHSIG, int(number), _:
            values["arg2"] = signal_name(number)
        case k.PR_SET_SECUREBITS, k.SECBIT_NO_SETUID_FIXUP, _:
            values["arg2"] = Symbol("SECBIT_NO_SETUID_FIXUP")
        case k.PR_CAPBSET_DROP, int(number), _:
            values["arg2"] = capability_names(1 << number)
        case k.PR_CAP_AMBIENT, k.PR_CAP_AMBIENT_RAISE, int(number):
            values["arg2"], values["arg3"] = Symbol("PR_CAP_AMBIENT_RAISE"), capability_names(1 << number)
        case k.PR_CAP_AMBIENT, k.PR_CAP_AMBIENT_CLEAR_ALL, _:
            values["arg2"] = Symbol("PR_CAP_AMBIENT_CLEAR_ALL")
    while values and list(values.values())[-1] == 0:
        values.popitem()
    return values


def _ioctl(values: dict[str, Value], call: Call, slots: Slots) -> dict[str, Value]:
    argument = call.args[2]
    match call.args[1]:
        case k.TIOCSWINSZ:
            values["argument"] = structs.winsize(argument)
        case k.TIOCSPTLCK:
            values["argument"] = list(unpack("i", raw(argument)))
        case k.TIOCGPTPEER:
            values["argument"] = joined(number_of(argument), "O_")
        case k.TIOCSCTTY:
            values["argument"] = number_of(argument)
        case k.SIOCSIFFLAGS:
            values["argument"] = structs.ifreq(argument)
    return values


def _bpf(values: dict[str, Value], call: Call, slots: Slots) -> dict[str, Value]:
    """The two commands that give a cgroup its device filter; their attributes are a union."""
    attr = call.args[1]
    match call.args[0], attr:
        case k.BPF_PROG_LOAD, Struct(data):
            kind, count = unpack_from("II", data)
            code, licence = bytes_at(attr, 8), bytes_at(attr, 16)
            values["attr"] = {
                "prog_type": one_of("BPF_PROG_TYPE_")(kind, slots),
                "insn_cnt": count,
                "insns": Instructions(list(instruction) for instruction in iter_unpack("BBhi", code)),
                "license": licence.rstrip(b"\0").decode(),
                "expected_attach_type": one_of("BPF_CGROUP_")(unpack_from("I", data, 68)[0], slots),
            }
        case k.BPF_PROG_ATTACH, Struct(data):
            kind, flags = unpack_from("II", data, 8)
            values["attr"] = {
                "target_fd": slot_at(attr, 0, slots),
                "attach_bpf_fd": slot_at(attr, 4, slots),
                "attach_type": one_of("BPF_CGROUP_")(kind, slots),
                "attach_flags": joined(flags, "BPF_F_"),
            }
    return values


def _socket(values: dict[str, Value], call: Call, slots: Slots) -> dict[str, Value]:
    if call.args[0] == k.AF_NETLINK:
        values["protocol"] = one_of("NETLINK_")(call.args[2], slots)
    return values


def _write(values: dict[str, Value], call: Call, slots: Slots) -> dict[str, Value]:
    """What goes to a netlink socket is messages, with what they are about."""
    fd, data = call.args[0], call.args[1]
    if isinstance(fd, Slot) and fd.name.startswith("netlink") and isinstance(data, bytes | Struct):
        from pycontainer.explain.messages import messages  # only for a container with a network

        values["data"] = [
            {"nlmsg_type": Symbol(kind), "nlmsg_flags": Symbol(flags), **told}
            for kind, flags, told in messages(data, filters=fd.name.endswith("filters"))
        ]
    return values


_DEPENDENT = {"prctl": _prctl, "ioctl": _ioctl, "bpf": _bpf, "socket": _socket, "write": _write}


def decode(call: Call, slots: Slots | None = None) -> dict[str, Value]:
    """The arguments of ``call`` by name, complete. ``slots`` are the numbers known so far."""
    known, params = slots or {}, FORMATS[call.name]
    if len(call.args) > len(params):
        raise TypeError(f"{call.name} has {len(params)} arguments, not {len(call.args)}")
    values = {param.name: param.decode(arg, known) for param, arg in zip(params, call.args, strict=False)}
    dependent = _DEPENDENT.get(call.name)
    return dependent(values, call, known) if dependent else values
