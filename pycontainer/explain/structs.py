"""The C structures that calls are given, field by field: what is behind a pointer."""

from __future__ import annotations

from struct import iter_unpack, unpack, unpack_from

from pycontainer.core import constants as k
from pycontainer.core.step import Arg, Struct
from pycontainer.explain.values import (
    Instructions,
    Slots,
    Symbol,
    Value,
    bytes_at,
    capability_names,
    held,
    joined,
    octal,
    one_of,
    plain,
    pointer,
    raw,
    signal_name,
    slot_at,
)


def poll_fds(arg: Arg, slots: Slots) -> Value:
    """poll(2): ``struct pollfd``, several."""
    fields = iter_unpack("ihh", raw(arg))
    return [
        {"fd": slot_at(arg, 8 * number, slots) or fd, "events": joined(events, "POLL")}
        for number, (fd, events, _) in enumerate(fields)
    ]


_CLONE_ARGS = (
    *("flags", "pidfd", "child_tid", "parent_tid", "exit_signal", "stack"),
    *("stack_size", "tls", "set_tid", "set_tid_size", "cgroup"),
)


def clone_args(arg: Arg, slots: Slots) -> Value:
    """clone(2): ``struct clone_args``."""
    values = dict(zip(_CLONE_ARGS, unpack("11Q", raw(arg)), strict=True))
    result: dict[str, Value] = {
        "flags": joined(values.pop("flags"), "CLONE_"),
        "exit_signal": signal_name(values.pop("exit_signal")),
    }
    values["cgroup"] = slot_at(arg, 80, slots) or values["cgroup"]
    return result | {name: value for name, value in values.items() if value}


def open_how(arg: Arg, slots: Slots) -> Value:
    """openat2(2): ``struct open_how``."""
    flags, mode, resolve = unpack("QQQ", raw(arg))
    how: dict[str, Value] = {"flags": joined(flags, "O_", zero="O_RDONLY")}
    if mode:
        how["mode"] = octal(mode, slots)
    return how | {"resolve": joined(resolve, "RESOLVE_")}


def mount_attr(arg: Arg, slots: Slots) -> Value:
    """mount_setattr(2): ``struct mount_attr``."""
    on, off, propagation, userns = unpack("QQQQ", raw(arg))
    fields: dict[str, Value] = {
        "attr_set": joined(on, "MOUNT_ATTR_"),
        "attr_clr": joined(off, "MOUNT_ATTR_"),
        "propagation": joined(propagation, "MS_"),
        "userns_fd": slot_at(arg, 24, slots) or userns,
    }
    return {name: value for name, value in fields.items() if value not in (0, "0")}


def cap_header(arg: Arg, slots: Slots) -> Value:
    """capset(2): ``cap_user_header_t``."""
    version, pid = unpack("Ii", raw(arg))
    known = version == k.LINUX_CAPABILITY_VERSION_3
    return {"version": Symbol("_LINUX_CAPABILITY_VERSION_3" if known else hex(version)), "pid": pid}


def cap_sets(arg: Arg, slots: Slots) -> Value:
    """capset(2): ``cap_user_data_t``, the sets of which are split into two words."""
    words = unpack("6I", raw(arg))
    names = ("effective", "permitted", "inheritable")
    return {name: capability_names(words[i] | words[i + 3] << 32) for i, name in enumerate(names)}


def rlimit(arg: Arg, slots: Slots) -> Value:
    """prlimit(2): ``struct rlimit``."""
    infinity = 2**64 - 1
    soft, hard = (Symbol("RLIM64_INFINITY") if n == infinity else n for n in unpack("QQ", raw(arg)))
    return {"rlim_cur": soft, "rlim_max": hard}


def sock_fprog(arg: Arg, slots: Slots) -> Value:
    """seccomp(2): ``struct sock_fprog``, a filter."""
    if not isinstance(arg, Struct):
        return pointer(arg, slots)
    (length,) = unpack_from("H", arg.data)
    program = bytes_at(arg, 8)
    return {"len": length, "filter": Instructions(list(instruction) for instruction in iter_unpack("HBBI", program))}


def winsize(arg: Arg) -> Value:
    """ioctl_tty(2): ``struct winsize``."""
    return dict(zip(("ws_row", "ws_col", "ws_xpixel", "ws_ypixel"), unpack("HHHH", raw(arg)), strict=True))


def ifreq(arg: Arg) -> Value:
    """netdevice(7): ``struct ifreq``."""
    name, flags = unpack_from("16sh", raw(arg))
    return {"ifr_name": name.rstrip(b"\0").decode(), "ifr_flags": joined(flags, "IFF_")}


def message(arg: Arg, slots: Slots) -> Value:
    """The bytes that :func:`~pycontainer.core.calls.sendmsg` sends, and the descriptor that goes with them."""
    pointers = dict(arg.pointers) if isinstance(arg, Struct) else {}
    match pointers.get(16), pointers.get(32):
        case Struct(_, ((_, bytes(data)),)), Struct(_, _, ((_, slot),)):
            return {"msg_iov": [data.decode("utf-8", "replace")], "SCM_RIGHTS": [held(slot, slots)]}
    return plain(arg, slots)


_SUPERVISION = (
    "pid pidfd tty in out err client exit_file counters listener log log_directory log_files log_bytes once "
    "interval_ms early_ms stop_signal stop_ms"
).split()


def supervision(arg: Arg, slots: Slots) -> Value:
    """Of ours: ``struct supervision`` (core/performer.h)."""
    *numbers, container = unpack("12iiIiiiii64s", raw(arg))
    values: dict[str, Value] = {name: slot_at(arg, 4 * i, slots) or numbers[i] for i, name in enumerate(_SUPERVISION)}
    return values | {"id": container.rstrip(b"\0").decode()}


def socket_path(arg: Arg, slots: Slots) -> Value:
    """unix(7): ``struct sockaddr_un``."""
    data = raw(arg)
    return {"sa_family": one_of("AF_UNIX")(data[0], slots), "sun_path": data[2:].rstrip(b"\0").decode()}


def socket_address(arg: Arg, slots: Slots) -> Value:
    """struct sockaddr_un, sockaddr_in or sockaddr_in6."""
    data = raw(arg)
    if data[0] == k.AF_UNIX:
        return socket_path(arg, slots)
    port = Symbol(f"htons({int.from_bytes(data[2:4], 'big')})")
    if len(data) == 16:
        return {"sa_family": Symbol("AF_INET"), "sin_port": port, "sin_addr": Symbol(".".join(map(str, data[4:8])))}
    return {"sa_family": Symbol("AF_INET6"), "sin6_port": port, "sin6_addr": Symbol(data[8:24].hex(":", 2))}
