"""Which device numbers a container may open or make: text files in cgroup v1, a small eBPF program in v2.

A rule allows or denies; where several match a device, the last one counts. Sources: cgroup-v1/devices.rst,
cgroup-v2.rst (Device controller), bpf(2), and <linux/bpf.h> for the program's context and instructions.
"""

from __future__ import annotations

from _struct import pack  # `struct` itself is a file more to be read

from pycontainer.core import calls
from pycontainer.core import constants as k
from pycontainer.core.step import Call, Slot, Struct
from pycontainer.errors import UsageError
from pycontainer.light import lru_cache
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from pycontainer.cgroups.resources import DeviceRule

_EVERYTHING = ("a", None, None, "rwm")


class Rule(Record):
    """A rule with nothing left out: type ``a``, ``b`` or ``c``; None for any number."""

    allow: bool
    type: str
    major: int | None
    minor: int | None
    access: str

    @property
    def everything(self) -> bool:
        """Whether it settles every device, so that nothing before it matters."""
        return self[1:] == _EVERYTHING

    def __str__(self) -> str:
        """As the kernel writes rules: ``c 1:3 rwm``."""
        major, minor = ("*" if number is None else number for number in (self.major, self.minor))
        return f"{self.type} {major}:{minor} {self.access}"


def rules(asked: Sequence[DeviceRule]) -> tuple[Rule, ...]:
    """The rules of a spec that matter, in order: the first one settles everything. None when all is allowed.

    Raises UsageError for a rule that means nothing.
    """
    return _settled(tuple([tuple(item.items()) for item in asked]))


@lru_cache(maxsize=64)  # the same for most containers of a process
def _settled(asked: tuple[tuple[tuple[str, Any], ...], ...]) -> tuple[Rule, ...]:
    result: list[Rule] = []
    for item in asked:
        rule = _rule(dict(item))
        if rule.everything:
            result.clear()
        result.append(_merged(result, rule))
    if result and not result[0].everything:  # what is allowed expressly would be pointless if everything were
        result.insert(0, Rule(not any(rule.allow for rule in result), *_EVERYTHING))
    return tuple(result) if any(not rule.allow for rule in result) else ()


def _merged(result: list[Rule], rule: Rule) -> Rule:
    """``rule`` with the access of an earlier one for the same devices, which leaves ``result``.

    Reading allowed by one rule and writing by another must allow to open for both.
    """
    for index in range(len(result) - 1, -1, -1):
        earlier = result[index]
        if earlier.allow != rule.allow:
            break
        if earlier[:4] == rule[:4]:
            del result[index]
            return rule._replace(access="".join(letter for letter in "rwm" if letter in earlier.access + rule.access))
    return rule


def _rule(item: dict[str, Any]) -> Rule:
    kind, access = item.get("type") or "a", item.get("access") or "rwm"
    numbers = [None if n is None or n == -1 else n for n in (item.get("major"), item.get("minor"))]
    if (
        kind not in ("a", "b", "c")
        or access.strip("rwm")
        or any(n is not None and not 0 <= n < 1 << 31 for n in numbers)
    ):
        raise UsageError(f"a device rule that means nothing: {item}")
    ordered = "".join(letter for letter in "rwm" if letter in access)
    return Rule(bool(item.get("allow")), kind, numbers[0], numbers[1], ordered)


@lru_cache(maxsize=64)
def lines(rules: tuple[Rule, ...]) -> tuple[tuple[str, str], ...]:
    """For cgroup v1: (file, text) to write, in order. "a" stands for everything, and then takes no numbers."""
    names = {True: "devices.allow", False: "devices.deny"}
    result = []
    for rule in rules:
        # v1 reads nothing behind an "a", so a rule for both kinds of device is two
        kinds = ("a",) if rule.everything else ("b", "c") if rule.type == "a" else (rule.type,)
        for kind in kinds:
            result.append((names[rule.allow], "a" if rule.everything else str(rule._replace(type=kind))))
    return tuple(result)


# --- eBPF -------------------------------------------------------------------------------------------------------------

# Instruction classes and modes, <linux/bpf.h> and <linux/bpf_common.h>
_LOAD_WORD = 0x61  # dst = *(u32 *)(src + off)
_AND, _RSH = 0x54, 0x74  # 32 bits, with a number
_MOV_REG, _MOV = 0xBC, 0xB4  # 32 bits, from a register, from a number
_JEQ, _JNE, _JNE_WANTED, _EXIT = 0x16, 0x56, 0x5E, 0x95  # 32 bits; with a number, a number, a register
# struct bpf_cgroup_dev_ctx: access in the high half and type in the low half of the first word, then major, minor
_TYPES = {"b": 1, "c": 2}
_ACCESS = {"m": 1, "r": 2, "w": 4}
_RESULT, _CONTEXT, _TYPE, _WANTED, _MAJOR, _MINOR, _SCRATCH = range(7)


def _instruction(code: int, dst: int = 0, src: int = 0, offset: int = 0, number: int = 0) -> bytes:
    return pack("<BBhi", code, src << 4 | dst, offset, number)


def program(rules: Sequence[Rule]) -> bytes:
    """The eBPF program that answers 1 (allowed) or 0 for one access to one device: an array of struct bpf_insn.

    It tries the rules from the last to the first and leaves with the answer of the one that matches.
    """
    code = [
        _instruction(_LOAD_WORD, _TYPE, _CONTEXT, 0),
        _instruction(_MOV_REG, _WANTED, _TYPE),
        _instruction(_AND, _TYPE, number=0xFFFF),
        _instruction(_RSH, _WANTED, number=16),
        _instruction(_LOAD_WORD, _MAJOR, _CONTEXT, 4),
        _instruction(_LOAD_WORD, _MINOR, _CONTEXT, 8),
    ]
    for rule in reversed(rules):
        code.append(_match(rule))
    return b"".join(code)


def _match(rule: Rule) -> bytes:
    """Leave with the rule's answer if it matches, else go on behind it."""
    tests: list[tuple[bytes, int, int, int]] = []  # instructions, then what is compared to jump away
    if rule.type != "a":
        tests.append((b"", _JNE, _TYPE, _TYPES[rule.type]))
    mask = sum(_ACCESS[letter] for letter in rule.access)
    if rule.access != "rwm":
        overlap = _instruction(_MOV_REG, _SCRATCH, _WANTED) + _instruction(_AND, _SCRATCH, number=mask)
        # an allowing rule must cover all that is wanted, a denying one any of it
        tests.append((overlap, _JNE_WANTED if rule.allow else _JEQ, _SCRATCH, 0))
    for register, number in ((_MAJOR, rule.major), (_MINOR, rule.minor)):
        if number is not None:
            tests.append((b"", _JNE, register, number))
    answer = _instruction(_MOV, _RESULT, number=int(rule.allow)) + _instruction(_EXIT)
    code = answer
    for before, jump, register, number in reversed(tests):
        source = _WANTED if jump == _JNE_WANTED else 0
        code = before + _instruction(jump, register, source, len(code) // 8, number) + code
    return code


def attach(rules: Sequence[Rule], cgroup: Slot) -> tuple[Call, ...]:
    """Load the program and tie it to an open v2 cgroup. The kernel keeps it as long as the cgroup exists."""
    code = program(rules)
    loaded = Slot("device program")
    load = Struct(
        pack("IIQQ40xII", k.BPF_PROG_TYPE_CGROUP_DEVICE, len(code) // 8, 0, 0, 0, k.BPF_CGROUP_DEVICE),
        pointers=((8, code), (16, b"Apache-2.0\0")),
    )
    tie = Struct(pack("IIIII", 0, 0, k.BPF_CGROUP_DEVICE, k.BPF_F_ALLOW_MULTI, 0), slots=((0, cgroup), (4, loaded)))
    return (
        calls.bpf(k.BPF_PROG_LOAD, load, out=loaded),
        calls.bpf(k.BPF_PROG_ATTACH, tie),
        calls.close(loaded),
    )
