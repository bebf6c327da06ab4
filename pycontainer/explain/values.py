"""What the arguments of calls are shown as, and how to read those that are one word: a number, flags, a slot, a string.

Flags become the names of the kernel's headers, and a slot its name with the number in it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from struct import iter_unpack, unpack

from pycontainer.core import constants as k
from pycontainer.core.capabilities import CAPABILITIES
from pycontainer.core.step import Arg, Slot, Strings, Struct
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


# --- parts of values ------------------------------------------------------------------------------------------------


def constants(*prefixes: str) -> dict[str, int]:
    """Names of the kernel's headers that begin so, with their values."""
    return {name: value for name, value in vars(k).items() if name.startswith(prefixes) and isinstance(value, int)}


def joined(value: int, *prefixes: str, zero: str = "0") -> Symbol:
    """``0x80000 -> O_CLOEXEC``; bits without a name stay a number."""
    parts, rest = [], value
    for name, bits in sorted(constants(*prefixes).items(), key=lambda item: (-item[1].bit_count(), item[1])):
        if bits > 0 and rest & bits == bits:
            parts.append((bits, name))
            rest &= ~bits
    found = [name for _, name in sorted(parts)] + ([hex(rest)] if rest else [])
    return Symbol("|".join(found) or zero)


def number_of(arg: Arg) -> int:
    """An argument that must be a number. Raises TypeError."""
    if not isinstance(arg, int):
        raise TypeError(f"a number was expected, not {arg!r}")
    return arg


def raw(arg: Arg) -> bytes:
    """The bytes of an argument that is a C structure; its pointers and descriptors are zeros in it."""
    if isinstance(arg, Struct):
        return arg.data
    if not isinstance(arg, bytes):
        raise TypeError(f"a structure was expected, not {arg!r}")
    return arg


def held(slot: Slot, slots: Slots) -> Held:
    """A slot with the number in it, if that is known."""
    return Held(slot.name, slots.get(slot))


def slot_at(arg: Arg, offset: int, slots: Slots) -> Value:
    """The descriptor that a structure carries at ``offset``, or 0."""
    found = [slot for at, slot in arg.slots if at == offset] if isinstance(arg, Struct) else []
    return held(found[0], slots) if found else 0


def bytes_at(struct: Struct, offset: int) -> bytes:
    """What the pointer at ``offset`` points to."""
    target = dict(struct.pointers)[offset]
    return target.data if isinstance(target, Struct) else target


def plain(arg: Arg, slots: Slots) -> Value:
    """As it is: a number, a string, a slot."""
    if isinstance(arg, Slot):
        return held(arg, slots)
    if isinstance(arg, Strings):
        return list(arg.items)
    if isinstance(arg, Struct):
        return Symbol(f"<{len(arg.data)} bytes>")
    return arg.decode("utf-8", "surrogateescape") if isinstance(arg, bytes) else arg


def dirfd(arg: Arg, slots: Slots) -> Value:
    """A descriptor that paths begin at, openat(2)."""
    return Symbol("AT_FDCWD") if arg == k.AT_FDCWD else plain(arg, slots)


def pointer(arg: Arg, slots: Slots) -> Value:
    """What may be NULL."""
    return Symbol("NULL") if arg == 0 else plain(arg, slots)


def flags(*prefixes: str, zero: str = "0") -> Decoder:
    """Makes a decoder of flags whose names begin so; ``zero`` is the name of none."""
    return lambda arg, slots: joined(number_of(arg), *prefixes, zero=zero)


def one_of(*prefixes: str, without: str = "\0") -> Decoder:
    """Makes a decoder of one constant whose name begins so; any other number stays one."""

    def decode(arg: Arg, slots: Slots) -> Value:
        for name, value in constants(*prefixes).items():
            if value == arg and not name.startswith(without):
                return Symbol(name)
        return number_of(arg)

    return decode


def octal(arg: Arg, slots: Slots) -> Value:
    """Permission bits."""
    return Symbol(f"0{number_of(arg):o}" if arg else "0")


def node_mode(arg: Arg, slots: Slots) -> Value:
    """A kind of file and its permissions, inode(7)."""
    mode = number_of(arg)
    kind = [name for name, value in constants("S_IF").items() if value == mode & 0o170000]
    return Symbol("|".join([*kind, f"0{mode & 0o7777:o}"]))


def device(arg: Arg, slots: Slots) -> Value:
    """The number of a device, makedev(3)."""
    number = number_of(arg)
    return Symbol(f"makedev({os.major(number)}, {os.minor(number)})") if number else 0


def buffer(arg: Arg, slots: Slots) -> Value:
    """What the call is to fill."""
    return Symbol("buf")  # what a read puts there is not the caller's


def signal_name(number: int) -> Symbol:
    """``SIGTERM``; 0 stays 0."""
    return Symbol(signal.Signals(number).name if number else "0")


def capability_names(mask: int) -> Symbol:
    """``0x3 -> CAP_CHOWN|CAP_DAC_OVERRIDE``."""
    named = [name for number, name in enumerate(CAPABILITIES) if mask >> number & 1]
    rest = mask >> len(CAPABILITIES) << len(CAPABILITIES)
    return Symbol("|".join(named + ([hex(rest)] if rest else [])) or "0")


# --- whole arguments ------------------------------------------------------------------------------------------------


def clone_flags(arg: Arg, slots: Slots) -> Value:
    """clone(2): the low byte is the signal that the child's end sends."""
    flags, ending = number_of(arg) & ~0xFF, signal_name(number_of(arg) & 0xFF)
    return Symbol(f"{joined(flags, 'CLONE_')}|{ending}") if flags else ending


def groups(arg: Arg, slots: Slots) -> Value:
    """A list of group IDs, setgroups(2)."""
    return [group for (group,) in iter_unpack("I", arg)] if isinstance(arg, bytes) else pointer(arg, slots)


def resource(arg: Arg, slots: Slots) -> Value:
    """A resource of getrlimit(2)."""
    return next((Symbol(name) for name, number in k.RLIMITS.items() if number == arg), number_of(arg))


def socket_type(arg: Arg, slots: Slots) -> Value:
    """Types are numbers, to which flags are added: SOCK_RAW is not SOCK_STREAM and SOCK_DGRAM."""
    kind, rest = number_of(arg) & 0xF, number_of(arg) & ~0xF
    name = one_of("SOCK_STREAM", "SOCK_DGRAM", "SOCK_RAW", "SOCK_SEQPACKET")(kind, slots)
    return Symbol(f"{name}|{joined(rest, 'SOCK_CLOEXEC', 'SOCK_NONBLOCK')}") if rest else name


def signal_set(arg: Arg, slots: Slots) -> Value:
    """As strace prints one: ``[PIPE]``, or ``~[]`` for all."""
    (mask,) = unpack("Q", raw(arg))
    inverted = mask.bit_count() > 32
    mask ^= 2**64 - 1 if inverted else 0
    members = [signal.Signals(n).name.removeprefix("SIG") for n in range(1, 65) if mask >> n - 1 & 1]
    return Symbol(f"{'~' if inverted else ''}[{' '.join(members)}]")


def bits(arg: Arg, slots: Slots) -> Value:
    """The numbers of the bits that are set."""
    if not isinstance(arg, bytes):
        return pointer(arg, slots)
    mask = int.from_bytes(arg, "little")
    return [number for number in range(mask.bit_length()) if mask >> number & 1]
