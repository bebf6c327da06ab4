"""The arguments of a call as names and values, with nothing left out: one table of formats, name -> arguments.

Flags become the names of the kernel's headers, structures their fields, a slot its name and the number in it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from struct import iter_unpack, unpack, unpack_from

from pycontainer.core import constants as k
from pycontainer.core.capabilities import CAPABILITIES
from pycontainer.core.step import Arg, Call, Slot, Strings, Struct
from pycontainer.record import Record

Slots = Mapping[Slot, int]


class Symbol(str):
    """A name of the kernel's headers, or an expression of several: printed without quotes."""

    __slots__ = ()


class Held(Record):
    """What a slot holds: a descriptor or a pid, whose number is known once the call that makes it was performed."""

    slot: str
    number: int | None


class Instructions(list["Value"]):
    """A program of the kernel's bytecode, as [code, jt, jf, k] lists; text only counts them."""


Value = int | str | Held | list["Value"] | dict[str, "Value"]
Decoder = Callable[[Arg, Slots], Value]


class Param(Record):
    """One argument: its name in the manual, and how to read it."""

    name: str
    decode: Decoder


# --- decoders -----------------------------------------------------------------------------------------------------


def _names(*prefixes: str) -> dict[str, int]:
    return {name: value for name, value in vars(k).items() if name.startswith(prefixes) and isinstance(value, int)}


def _or(value: int, *prefixes: str, zero: str = "0") -> Symbol:
    """``0x80000 -> O_CLOEXEC``; bits without a name stay a number."""
    parts, rest = [], value
    for name, bits in sorted(_names(*prefixes).items(), key=lambda item: (-item[1].bit_count(), item[1])):
        if bits > 0 and rest & bits == bits:
            parts.append((bits, name))
            rest &= ~bits
    found = [name for _, name in sorted(parts)] + ([hex(rest)] if rest else [])
    return Symbol("|".join(found) or zero)


def _number(arg: Arg) -> int:
    if not isinstance(arg, int):
        raise TypeError(f"a number was expected, not {arg!r}")
    return arg


def _raw(arg: Arg) -> bytes:
    """The bytes of an argument that is a C structure; its pointers and descriptors are zeros in it."""
    if isinstance(arg, Struct):
        return arg.data
    if not isinstance(arg, bytes):
        raise TypeError(f"a structure was expected, not {arg!r}")
    return arg


def _held(slot: Slot, slots: Slots) -> Held:
    return Held(slot.name, slots.get(slot))


def _slot_at(arg: Arg, offset: int, slots: Slots) -> Value:
    """The descriptor that a structure carries at ``offset``, or 0."""
    found = [slot for at, slot in arg.slots if at == offset] if isinstance(arg, Struct) else []
    return _held(found[0], slots) if found else 0


def _bytes_at(struct: Struct, offset: int) -> bytes:
    """What the pointer at ``offset`` points to."""
    target = dict(struct.pointers)[offset]
    return target.data if isinstance(target, Struct) else target


def _plain(arg: Arg, slots: Slots) -> Value:
    if isinstance(arg, Slot):
        return _held(arg, slots)
    if isinstance(arg, Strings):
        return list(arg.items)
    if isinstance(arg, Struct):
        return Symbol(f"<{len(arg.data)} bytes>")
    return arg.decode("utf-8", "surrogateescape") if isinstance(arg, bytes) else arg


def _dirfd(arg: Arg, slots: Slots) -> Value:
    return Symbol("AT_FDCWD") if arg == k.AT_FDCWD else _plain(arg, slots)


def _pointer(arg: Arg, slots: Slots) -> Value:
    return Symbol("NULL") if arg == 0 else _plain(arg, slots)


def _flags(*prefixes: str, zero: str = "0") -> Decoder:
    return lambda arg, slots: _or(_number(arg), *prefixes, zero=zero)


def _one_of(*prefixes: str, without: str = "\0") -> Decoder:
    def decode(arg: Arg, slots: Slots) -> Value:
        for name, value in _names(*prefixes).items():
            if value == arg and not name.startswith(without):
                return Symbol(name)
        return _number(arg)

    return decode


def _octal(arg: Arg, slots: Slots) -> Value:
    return Symbol(f"0{_number(arg):o}" if arg else "0")


def _node_mode(arg: Arg, slots: Slots) -> Value:
    mode = _number(arg)
    kind = [name for name, value in _names("S_IF").items() if value == mode & 0o170000]
    return Symbol("|".join([*kind, f"0{mode & 0o7777:o}"]))


def _device(arg: Arg, slots: Slots) -> Value:
    number = _number(arg)
    return Symbol(f"makedev({os.major(number)}, {os.minor(number)})") if number else 0


def _buffer(arg: Arg, slots: Slots) -> Value:
    return Symbol("buf")  # what a read puts there is not the caller's


def _signal(number: int) -> Symbol:
    return Symbol(signal.Signals(number).name if number else "0")


def _clone_flags(arg: Arg, slots: Slots) -> Value:
    """clone(2): the low byte is the signal that the child's end sends."""
    flags, ending = _number(arg) & ~0xFF, _signal(_number(arg) & 0xFF)
    return Symbol(f"{_or(flags, 'CLONE_')}|{ending}") if flags else ending


def _poll_fds(arg: Arg, slots: Slots) -> Value:
    fields = iter_unpack("ihh", _raw(arg))
    return [
        {"fd": _slot_at(arg, 8 * number, slots) or fd, "events": _or(events, "POLL")}
        for number, (fd, events, _) in enumerate(fields)
    ]


_CLONE_ARGS = (
    *("flags", "pidfd", "child_tid", "parent_tid", "exit_signal", "stack"),
    *("stack_size", "tls", "set_tid", "set_tid_size", "cgroup"),
)


def _clone_args(arg: Arg, slots: Slots) -> Value:
    values = dict(zip(_CLONE_ARGS, unpack("11Q", _raw(arg)), strict=True))
    result: dict[str, Value] = {
        "flags": _or(values.pop("flags"), "CLONE_"),
        "exit_signal": _signal(values.pop("exit_signal")),
    }
    values["cgroup"] = _slot_at(arg, 80, slots) or values["cgroup"]
    return result | {name: value for name, value in values.items() if value}


def _open_how(arg: Arg, slots: Slots) -> Value:
    flags, mode, resolve = unpack("QQQ", _raw(arg))
    how: dict[str, Value] = {"flags": _or(flags, "O_", zero="O_RDONLY")}
    if mode:
        how["mode"] = _octal(mode, slots)
    return how | {"resolve": _or(resolve, "RESOLVE_")}


def _mount_attr(arg: Arg, slots: Slots) -> Value:
    on, off, propagation, userns = unpack("QQQQ", _raw(arg))
    fields: dict[str, Value] = {
        "attr_set": _or(on, "MOUNT_ATTR_"),
        "attr_clr": _or(off, "MOUNT_ATTR_"),
        "propagation": _or(propagation, "MS_"),
        "userns_fd": _slot_at(arg, 24, slots) or userns,
    }
    return {name: value for name, value in fields.items() if value not in (0, "0")}


def _groups(arg: Arg, slots: Slots) -> Value:
    return [group for (group,) in iter_unpack("I", arg)] if isinstance(arg, bytes) else _pointer(arg, slots)


def _cap_header(arg: Arg, slots: Slots) -> Value:
    version, pid = unpack("Ii", _raw(arg))
    known = version == k.LINUX_CAPABILITY_VERSION_3
    return {"version": Symbol("_LINUX_CAPABILITY_VERSION_3" if known else hex(version)), "pid": pid}


def capability_names(mask: int) -> Symbol:
    """``0x3 -> CAP_CHOWN|CAP_DAC_OVERRIDE``."""
    named = [name for number, name in enumerate(CAPABILITIES) if mask >> number & 1]
    rest = mask >> len(CAPABILITIES) << len(CAPABILITIES)
    return Symbol("|".join(named + ([hex(rest)] if rest else [])) or "0")


def _cap_sets(arg: Arg, slots: Slots) -> Value:
    words = unpack("6I", _raw(arg))
    names = ("effective", "permitted", "inheritable")
    return {name: capability_names(words[i] | words[i + 3] << 32) for i, name in enumerate(names)}


def _rlimit(arg: Arg, slots: Slots) -> Value:
    infinity = 2**64 - 1
    soft, hard = (Symbol("RLIM64_INFINITY") if n == infinity else n for n in unpack("QQ", _raw(arg)))
    return {"rlim_cur": soft, "rlim_max": hard}


def _resource(arg: Arg, slots: Slots) -> Value:
    return next((Symbol(name) for name, number in k.RLIMITS.items() if number == arg), _number(arg))


def _sock_fprog(arg: Arg, slots: Slots) -> Value:
    if not isinstance(arg, Struct):
        return _pointer(arg, slots)
    (length,) = unpack_from("H", arg.data)
    program = _bytes_at(arg, 8)
    return {"len": length, "filter": Instructions(list(instruction) for instruction in iter_unpack("HBBI", program))}


def _signal_set(arg: Arg, slots: Slots) -> Value:
    """As strace prints one: ``[PIPE]``, or ``~[]`` for all."""
    (mask,) = unpack("Q", _raw(arg))
    inverted = mask.bit_count() > 32
    mask ^= 2**64 - 1 if inverted else 0
    members = [signal.Signals(n).name.removeprefix("SIG") for n in range(1, 65) if mask >> n - 1 & 1]
    return Symbol(f"{'~' if inverted else ''}[{' '.join(members)}]")


def _winsize(arg: Arg) -> Value:
    return dict(zip(("ws_row", "ws_col", "ws_xpixel", "ws_ypixel"), unpack("HHHH", _raw(arg)), strict=True))


def _ifreq(arg: Arg) -> Value:
    name, flags = unpack_from("16sh", _raw(arg))
    return {"ifr_name": name.rstrip(b"\0").decode(), "ifr_flags": _or(flags, "IFF_")}


def _socket_type(arg: Arg, slots: Slots) -> Value:
    """Types are numbers, to which flags are added: SOCK_RAW is not SOCK_STREAM and SOCK_DGRAM."""
    kind, rest = _number(arg) & 0xF, _number(arg) & ~0xF
    name = _one_of("SOCK_STREAM", "SOCK_DGRAM", "SOCK_RAW", "SOCK_SEQPACKET")(kind, slots)
    return Symbol(f"{name}|{_or(rest, 'SOCK_CLOEXEC', 'SOCK_NONBLOCK')}") if rest else name


def _message(arg: Arg, slots: Slots) -> Value:
    """The bytes that :func:`~pycontainer.core.calls.sendmsg` sends, and the descriptor that goes with them."""
    pointers = dict(arg.pointers) if isinstance(arg, Struct) else {}
    match pointers.get(16), pointers.get(32):
        case Struct(_, ((_, bytes(data)),)), Struct(_, _, ((_, slot),)):
            return {"msg_iov": [data.decode("utf-8", "replace")], "SCM_RIGHTS": [_held(slot, slots)]}
    return _plain(arg, slots)


def _bits(arg: Arg, slots: Slots) -> Value:
    """The numbers of the bits that are set."""
    if not isinstance(arg, bytes):
        return _pointer(arg, slots)
    mask = int.from_bytes(arg, "little")
    return [number for number in range(mask.bit_length()) if mask >> number & 1]


_SUPERVISION = (
    "pid pidfd tty in out err client exit_file counters listener log log_directory log_files log_bytes once "
    "interval_ms early_ms stop_signal stop_ms"
).split()


def _supervision(arg: Arg, slots: Slots) -> Value:
    *numbers, container = unpack("12iiIiiiii64s", _raw(arg))
    values: dict[str, Value] = {name: _slot_at(arg, 4 * i, slots) or numbers[i] for i, name in enumerate(_SUPERVISION)}
    return values | {"id": container.rstrip(b"\0").decode()}


def _socket_path(arg: Arg, slots: Slots) -> Value:
    raw = _raw(arg)
    return {"sa_family": _one_of("AF_UNIX")(raw[0], slots), "sun_path": raw[2:].rstrip(b"\0").decode()}


def _socket_address(arg: Arg, slots: Slots) -> Value:
    """struct sockaddr_un, sockaddr_in or sockaddr_in6."""
    raw = _raw(arg)
    if raw[0] == k.AF_UNIX:
        return _socket_path(arg, slots)
    port = Symbol(f"htons({int.from_bytes(raw[2:4], 'big')})")
    if len(raw) == 16:
        return {"sa_family": Symbol("AF_INET"), "sin_port": port, "sin_addr": Symbol(".".join(map(str, raw[4:8])))}
    return {"sa_family": Symbol("AF_INET6"), "sin6_port": port, "sin6_addr": Symbol(raw[8:24].hex(":", 2))}


_BPF_COMMAND = _one_of("BPF_PROG_", without="BPF_PROG_TYPE_")
_FD = Param("fd", _plain)
_DIRFD = Param("dirfd", _dirfd)
_PATH = Param("path", _plain)
_OPEN_FLAGS = Param("flags", _flags("O_", zero="O_RDONLY"))
_MODE = Param("mode", _octal)
_AT_FLAGS = Param("flags", _flags("AT_"))
_UID, _GID = Param("uid", _plain), Param("gid", _plain)
_ARGV, _ENVP = Param("argv", _plain), Param("envp", _plain)
_NAME, _LEN = Param("name", _plain), Param("len", _plain)
_PID = Param("pid", _plain)
_NS = _flags("CLONE_")

FORMATS: dict[str, tuple[Param, ...]] = {
    "openat": (_DIRFD, _PATH, _OPEN_FLAGS, _MODE),
    "openat2": (_DIRFD, _PATH, Param("how", _open_how), Param("size", _plain)),
    "mkdirat": (_DIRFD, _PATH, _MODE),
    "mknodat": (_DIRFD, _PATH, Param("mode", _node_mode), Param("dev", _device)),
    "symlinkat": (Param("target", _plain), _DIRFD, _PATH),
    "unlinkat": (_DIRFD, _PATH, _AT_FLAGS),
    "fchownat": (_DIRFD, _PATH, _UID, _GID, _AT_FLAGS),
    "fchmodat": (_DIRFD, _PATH, _MODE),
    "write": (_FD, Param("data", _plain), Param("count", _plain)),
    "read": (_FD, Param("buf", _buffer), Param("count", _plain)),
    "close": (_FD,),
    "dup3": (_FD, Param("newfd", _plain), Param("flags", _flags("O_"))),
    "close_range": (Param("first", _plain), Param("last", _plain), Param("flags", _flags("CLOSE_RANGE_"))),
    "ioctl": (_FD, Param("request", _one_of("TIOC", "SIOC")), Param("argument", _pointer)),
    "fsopen": (Param("fsname", _plain), Param("flags", _flags("FSOPEN_"))),
    "fsconfig": (
        _FD,
        Param("cmd", _one_of("FSCONFIG_")),
        Param("key", _pointer),
        Param("value", _pointer),
        Param("aux", _plain),
    ),
    "fsmount": (_FD, Param("flags", _flags("FSMOUNT_")), Param("attr_flags", _flags("MOUNT_ATTR_"))),
    "open_tree": (_DIRFD, _PATH, Param("flags", _flags("OPEN_TREE_", "AT_"))),
    "move_mount": (
        Param("from_dirfd", _dirfd),
        Param("from_path", _plain),
        Param("to_dirfd", _dirfd),
        Param("to_path", _plain),
        Param("flags", _flags("MOVE_MOUNT_")),
    ),
    "mount_setattr": (_DIRFD, _PATH, _AT_FLAGS, Param("attr", _mount_attr), Param("size", _plain)),
    "mount": (
        Param("source", _pointer),
        Param("target", _plain),
        Param("filesystemtype", _pointer),
        Param("mountflags", _flags("MS_")),
        Param("data", _pointer),
    ),
    "umount2": (Param("target", _plain), Param("flags", _flags("MNT_"))),
    "pivot_root": (Param("new_root", _plain), Param("put_old", _plain)),
    "chroot": (_PATH,),
    "chdir": (_PATH,),
    "fchdir": (_FD,),
    "clone": (
        Param("flags", _clone_flags),
        *(Param(name, _pointer) for name in ("stack", "parent_tid", "child_tid", "tls")),
    ),
    "clone3": (Param("cl_args", _clone_args), Param("size", _plain)),
    "pidfd_open": (_PID, Param("flags", _plain)),
    "unshare": (Param("flags", _NS),),
    "pidfd_getfd": (Param("pidfd", _plain), Param("targetfd", _plain), Param("flags", _plain)),
    "accept4": (_FD, Param("addr", _pointer), Param("addrlen", _pointer), Param("flags", _flags("SOCK_"))),
    "sendmsg": (_FD, Param("msg", _message), Param("flags", _flags("MSG_"))),
    "setns": (_FD, Param("nstype", _NS)),
    "waitid": (
        Param("idtype", _one_of("P_PIDFD")),
        Param("id", _plain),
        Param("infop", _pointer),
        Param("options", _flags("WEXITED")),
        Param("rusage", _pointer),
    ),
    "setsid": (),
    "bind": (_FD, Param("addr", _socket_address), Param("addrlen", _plain)),
    "listen": (_FD, Param("backlog", _plain)),
    "recvfrom": (
        _FD,
        Param("buf", _buffer),
        _LEN,
        Param("flags", _flags("MSG_")),
        Param("src_addr", _pointer),
        Param("addrlen", _pointer),
    ),
    "ppoll": (
        Param("fds", _poll_fds),
        Param("nfds", _plain),
        Param("tmo_p", _pointer),
        Param("sigmask", _pointer),
        Param("sigsetsize", _plain),
    ),
    "sethostname": (_NAME, _LEN),
    "setdomainname": (_NAME, _LEN),
    "socket": (Param("domain", _one_of("AF_")), Param("type", _socket_type), Param("protocol", _plain)),
    "setsockopt": (
        _FD,
        Param("level", _one_of("IPPROTO_", "SOL_")),
        Param("optname", _one_of("IPV6_")),
        Param("optval", lambda arg, slots: list(unpack("i", _raw(arg)))),
        Param("optlen", _plain),
    ),
    "rt_sigprocmask": (
        Param("how", _one_of("SIG_")),
        Param("set", _signal_set),
        Param("oldset", _pointer),
        Param("sigsetsize", _plain),
    ),
    "execve": (Param("pathname", _plain), _ARGV, _ENVP),
    "execveat": (_DIRFD, _PATH, _ARGV, _ENVP, _AT_FLAGS),
    "umask": (Param("mask", _octal),),
    "prlimit64": (_PID, Param("resource", _resource), Param("new_limit", _rlimit), Param("old_limit", _pointer)),
    "personality": (Param("persona", _plain),),
    "sched_setattr": (_PID, Param("attr", _plain), Param("flags", _plain)),
    "sched_setaffinity": (_PID, Param("cpusetsize", _plain), Param("mask", _bits)),
    "ioprio_set": (Param("which", _one_of("IOPRIO_WHO_")), Param("who", _plain), Param("ioprio", _plain)),
    "set_mempolicy": (Param("mode", _plain), Param("nodemask", _bits), Param("maxnode", _plain)),
    "prctl": (Param("option", _one_of("PR_", without="PR_CAP_AMBIENT_")), *(Param(f"arg{n}", _plain) for n in "2345")),
    "setgroups": (Param("size", _plain), Param("list", _groups)),
    "setresgid": (Param("rgid", _plain), Param("egid", _plain), Param("sgid", _plain)),
    "setfsuid": (Param("fsuid", _plain),),
    "setfsgid": (Param("fsgid", _plain),),
    "setresuid": (Param("ruid", _plain), Param("euid", _plain), Param("suid", _plain)),
    "capset": (Param("hdrp", _cap_header), Param("datap", _cap_sets)),
    "keyctl": (Param("operation", _one_of("KEYCTL_")), _NAME),
    "seccomp": (
        Param("operation", _one_of("SECCOMP_SET_MODE_")),
        Param("flags", _flags("SECCOMP_FILTER_FLAG_")),
        Param("args", _sock_fprog),
    ),
    "bpf": (Param("cmd", _BPF_COMMAND), Param("attr", _plain), Param("size", _plain)),
    "supervise": (
        Param("supervision", _supervision),
        *(Param(f"check {name}", _plain) for name in ("path", "argv", "envp")),
    ),
    "reap": (Param("child", _plain),),
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
            values["arg2"] = _signal(number)
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
            values["argument"] = _winsize(argument)
        case k.TIOCSPTLCK:
            values["argument"] = list(unpack("i", _raw(argument)))
        case k.TIOCGPTPEER:
            values["argument"] = _or(_number(argument), "O_")
        case k.TIOCSCTTY:
            values["argument"] = _number(argument)
        case k.SIOCSIFFLAGS:
            values["argument"] = _ifreq(argument)
    return values


def _bpf(values: dict[str, Value], call: Call, slots: Slots) -> dict[str, Value]:
    """The two commands that give a cgroup its device filter; their attributes are a union."""
    attr = call.args[1]
    match call.args[0], attr:
        case k.BPF_PROG_LOAD, Struct(data):
            kind, count = unpack_from("II", data)
            code, licence = _bytes_at(attr, 8), _bytes_at(attr, 16)
            values["attr"] = {
                "prog_type": _one_of("BPF_PROG_TYPE_")(kind, slots),
                "insn_cnt": count,
                "insns": Instructions(list(instruction) for instruction in iter_unpack("BBhi", code)),
                "license": licence.rstrip(b"\0").decode(),
                "expected_attach_type": _one_of("BPF_CGROUP_")(unpack_from("I", data, 68)[0], slots),
            }
        case k.BPF_PROG_ATTACH, Struct(data):
            kind, flags = unpack_from("II", data, 8)
            values["attr"] = {
                "target_fd": _slot_at(attr, 0, slots),
                "attach_bpf_fd": _slot_at(attr, 4, slots),
                "attach_type": _one_of("BPF_CGROUP_")(kind, slots),
                "attach_flags": _or(flags, "BPF_F_"),
            }
    return values


def _socket(values: dict[str, Value], call: Call, slots: Slots) -> dict[str, Value]:
    if call.args[0] == k.AF_NETLINK:
        values["protocol"] = _one_of("NETLINK_")(call.args[2], slots)
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
