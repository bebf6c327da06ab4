"""A classic BPF machine, enough to run seccomp filters in a test without installing them.

Source: the kernel's Documentation/networking/filter.rst and seccomp(2).
"""

from __future__ import annotations

import struct

X86_64, I386, AARCH64 = 0xC000003E, 0x40000003, 0xC00000B7
X32 = 0x40000000

ALLOW, LOG = 0x7FFF0000, 0x7FFC0000
KILL_PROCESS, KILL_THREAD, TRAP, TRACE = 0x80000000, 0, 0x00030000, 0x7FF00000


def errno(number: int) -> int:
    return 0x00050000 | number


def run(program: bytes, arch: int, number: int, *args: int) -> int:
    """The action for one call. Raises AssertionError if the program does what the kernel's checker would refuse."""
    values = [arg & (1 << 64) - 1 for arg in args] + [0] * (6 - len(args))
    data = struct.pack("=IIQ6Q", number, arch, 0x7F0000001000, *values)
    instructions = list(struct.iter_unpack("=HBBI", program))
    a = x = at = 0
    memory = [0] * 16
    for _ in range(len(instructions)):
        code, jump_true, jump_false, k = instructions[at]
        at += 1
        kind, source = code & 0x07, x if code & 0x08 else k
        if code == 0x20:  # ld [k]
            assert k % 4 == 0 and k + 4 <= len(data), f"load at {k}"
            a = struct.unpack_from("=I", data, k)[0]
        elif code == 0x00:
            a = k
        elif code == 0x60:
            a = memory[k]
        elif code == 0x61:
            x = memory[k]
        elif code == 0x02:
            memory[k] = a
        elif code == 0x07:
            x = a
        elif code == 0x87:
            a = x
        elif code == 0x05:
            at += k
        elif kind == 0x05:
            test = {0x10: a == source, 0x20: a > source, 0x30: a >= source, 0x40: bool(a & source)}[code & 0xF0]
            at += jump_true if test else jump_false
        elif kind == 0x04:
            a = {0x50: a & source, 0x40: a | source, 0xA0: a ^ source}[code & 0xF0]
        elif kind == 0x06:
            return k if code == 0x06 else a
        else:
            raise AssertionError(f"instruction {code:#x}")
    raise AssertionError("the program does not end")
