"""What strace(1) saw: its output, one file per process, parsed into calls with decoded arguments.

strace decodes the registers and the memory of the traced process with tables of its own, so it is a witness that
shares nothing with pycontainer.
"""

from __future__ import annotations

import glob
import os
import re
import subprocess
from typing import NamedTuple


class Fd(NamedTuple):
    """A descriptor, and what strace says it is: a path, ``pipe:[123]``, ..."""

    number: int
    path: str


class Name(str):
    """Something that strace prints without quotes: a constant, several joined with ``|``, an octal number."""

    __slots__ = ()


Value = int | str | Name | Fd | list["Value"] | dict[str, "Value"]


class Seen(NamedTuple):
    """One system call.

    Attributes:
        name, args: as called; arguments that strace prints with a name are in a dict at the end.
        result: the number that it returned; None for a call that did not return.
        error: the errno's name, or "".
        line: as strace printed it.
    """

    name: str
    args: list[Value]
    result: int | None
    error: str
    line: str


# Follow children into files of their own, show what descriptors are, cut nothing that a plan may hold.
OPTIONS = ("-ff", "-y", "-v", "-s", "16384", "-qq", "-e", "signal=none")


def trace(
    argv: list[str], directory: str, *, names: list[str], env: dict[str, str] | None = None, timeout: float = 120
) -> tuple[subprocess.CompletedProcess[bytes], dict[int, list[Seen]]]:
    """Run ``argv`` under strace and return how it ended and the calls in ``names``, per process and in order."""
    prefix = os.path.join(directory, "strace")
    only = "trace=" + ",".join(f"?{name}" for name in names)
    command = ["strace", *OPTIONS, "-e", only, "-o", prefix, *argv]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, env=env, timeout=timeout)
    return done, {int(path.rsplit(".", 1)[1]): parse_file(path) for path in sorted(glob.glob(prefix + ".*"))}


def parse_file(path: str) -> list[Seen]:
    """The calls in one of strace's files."""
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return [seen for line in file if (seen := parse(line.rstrip("\n")))]


_RESULT = re.compile(r"\s*=\s+(\?|-?0x[0-9a-f]+|-?\d+)(?:<[^>]*>)?(?:\(deleted\))?\s*([A-Z][A-Z0-9]+)?")


def parse(line: str) -> Seen | None:
    """One line; None when it is about a signal or an exit."""
    if not re.match(r"\w+\(", line):
        return None
    name, reader = line[: line.index("(")], _Reader(line, line.index("(") + 1)
    args = reader.values(")")
    found = _RESULT.match(line, reader.at)
    number = found.group(1) if found else "?"
    result = None if number == "?" else int(number, 8 if re.fullmatch("0[0-7]+", number) else 0)
    return Seen(name, args, result, (found and found.group(2)) or "", line)


_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"(\.\.\.)?')
_ESCAPE = re.compile(rb"\\([0-7]{1,3}|.)")
_ESCAPES = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"v": b"\v", b"f": b"\f"}


def _unescape(found: re.Match[bytes]) -> bytes:
    code = found.group(1)
    return bytes([int(code, 8)]) if code[0] in b"01234567" else _ESCAPES.get(code, code)


_END = ",)]}"


class _Reader:
    """Reads the arguments of a line from ``at`` on."""

    def __init__(self, line: str, at: int) -> None:
        self.line, self.at = line, at

    def values(self, end: str) -> list[Value]:
        """Up to and with ``end``; named ones are gathered in a dict behind the others."""
        found: list[Value] = []
        named: dict[str, Value] = {}
        while not self._skip(end):
            key = re.compile(r"(\w+)=").match(self.line, self.at)
            if key:
                self.at = key.end()
                named[key.group(1)] = self.value()
            else:
                found.append(self.value())
        return [*found, named] if named else found

    def _skip(self, end: str) -> bool:
        """Pass over separators and comments; whether that led to ``end``."""
        while self.at < len(self.line):
            if self.line[self.at] in ", ":
                self.at += 1
            elif self.line.startswith("/*", self.at):
                self.at = self.line.index("*/", self.at) + 2
            elif self.line.startswith("...", self.at):  # a list cut short: it will not match
                self.at += 3
            else:
                break
        if self.at >= len(self.line):
            return True
        if self.line[self.at] == end:
            self.at += 1
            return True
        return False

    def value(self) -> Value:
        """One value."""
        start = self.line[self.at]
        if start == '"':
            return self._string()
        if start in "[{":
            self.at += 1
            inside = self.values({"[": "]", "{": "}"}[start])
            return (inside[0] if inside else {}) if start == "{" else inside
        if self.line.startswith("~[", self.at):
            self.at += 2
            return Name("~[" + " ".join(map(str, self.values("]"))) + "]")
        return self._token()

    def _string(self) -> str:
        found = _STRING.match(self.line, self.at)
        if found is None:
            raise ValueError(f"not understood at {self.at}: {self.line[:200]}")
        self.at = found.end()
        raw = _ESCAPE.sub(_unescape, found.group(1).encode("utf-8", "surrogateescape"))
        return raw.decode("utf-8", "surrogateescape") + ("" if found.group(2) is None else " (cut short by strace)")

    def _token(self) -> Value:
        descriptor = re.compile(r"(-?\d+|AT_FDCWD)<(?!<)([^>]*)>(\(deleted\))?").match(self.line, self.at)
        if descriptor:
            self.at = descriptor.end()
            number, path = descriptor.group(1), descriptor.group(2)
            return Name(number) if number == "AT_FDCWD" else Fd(int(number), path.removesuffix(" (deleted)"))
        start = self.at
        while self.line[self.at] not in _END + " (":
            self.at += 1
        token = self.line[start : self.at]
        if self.at == start:
            raise ValueError(f"not understood at {start}: {self.line[:200]}")
        if self.line[self.at] == "(":
            self.at += 1
            return _function(token, self.values(")"))
        return _number(token)


def _number(token: str) -> Value:
    if re.fullmatch(r"-?0x[0-9a-f]+|-?[1-9]\d*|0", token):
        return int(token, 0)
    if re.fullmatch(r"\d+\*\d+", token):
        a, b = token.split("*")
        return int(a) * int(b)
    return 0 if token == "NULL" else Name(token.replace("1<<", ""))


def _function(name: str, args: list[Value]) -> Value:
    """``makedev(0x1, 0x3)``, ``BPF_STMT(BPF_RET|BPF_K, SECCOMP_RET_ALLOW)``."""
    if name in ("BPF_STMT", "BPF_JUMP"):
        code, k, *jumps = (_bpf(arg) for arg in args)
        return [code, *(jumps or [0, 0]), k]
    return Name(f"{name}({', '.join(map(str, args))})")


# <linux/bpf_common.h>, <linux/filter.h>, <linux/seccomp.h>
_BPF_TABLE = """
LD=0 LDX=1 ST=2 STX=3 ALU=4 JMP=5 RET=6 MISC=7 W=0 H=8 B=0x10 IMM=0 ABS=0x20 IND=0x40 MEM=0x60 LEN=0x80 MSH=0xa0
ADD=0 SUB=0x10 MUL=0x20 DIV=0x30 OR=0x40 AND=0x50 LSH=0x60 RSH=0x70 NEG=0x80 MOD=0x90 XOR=0xa0
JA=0 JEQ=0x10 JGT=0x20 JGE=0x30 JSET=0x40 K=0 X=8 A=0x10
"""
_SECCOMP_TABLE = """
KILL_PROCESS=0x80000000 KILL_THREAD=0 KILL=0 TRAP=0x30000 ERRNO=0x50000 USER_NOTIF=0x7fc00000 TRACE=0x7ff00000
LOG=0x7ffc0000 ALLOW=0x7fff0000
"""


def _table(text: str) -> dict[str, int]:
    return {name: int(number, 0) for name, _, number in (item.partition("=") for item in text.split())}


_BPF, _SECCOMP = _table(_BPF_TABLE), _table(_SECCOMP_TABLE)


def _bpf(value: Value) -> int:
    if isinstance(value, int):
        return value
    total = 0
    for part in str(value).split("|"):
        if part.startswith("BPF_"):
            total |= _BPF[part[4:]]
        elif part.startswith("SECCOMP_RET_"):
            total |= _SECCOMP[part[12:]]
        else:
            total |= int(part, 0)
    return total
