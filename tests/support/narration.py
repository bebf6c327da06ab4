"""The referee: does a narration tell exactly what strace saw, per process, in order, with every argument?"""

from __future__ import annotations

import difflib
import inspect
import json
import os
import re
from typing import Any, NamedTuple

from pycontainer.core import calls
from tests.support.strace import Fd, Name, Seen

# What changes namespaces, mounts, identities or programs, by whatever process: to do one of these unsaid is a gap.
_KERNEL_FACING = """
clone clone3 fork vfork unshare setns mount umount umount2 pivot_root chroot open_tree move_mount mount_setattr fsopen
fsconfig fsmount fspick mknod mknodat setuid setgid setreuid setregid setresuid setresgid setfsuid setfsgid setgroups
sethostname setdomainname capset prctl seccomp execve execveat bpf keyctl
"""
KERNEL_FACING = frozenset(_KERNEL_FACING.split())
OWN_LOOPS = {"supervise", "reap"}  # of the performer; they are no system calls
VOCABULARY = frozenset(
    name for name, made in vars(calls).items() if inspect.isfunction(made) and made.__annotations__["return"] == "Call"
)
LOOPS = {"ppoll", "rt_sigtimedwait"}  # what they look like from outside
NAMES = sorted((KERNEL_FACING | VOCABULARY | LOOPS) - OWN_LOOPS)
STATUS_FD, GATES = 4, (5, 6, 7, 8)  # wire.h
WATCHED_FILES = ("/sys/fs/cgroup/", "/proc/")


class Verdict(NamedTuple):
    """What the referee says.

    Attributes:
        matched: how many calls are told as they were seen.
        missing: seen and not told.
        invented: told and not seen.
        difference: both, readable, per process; "" when there is none.
    """

    matched: int
    missing: list[str]
    invented: list[str]
    difference: str


def read(path: str) -> list[dict[str, Any]]:
    """The objects in a file of JSON lines."""
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def compare(seen: dict[int, list[Seen]], told: list[dict[str, Any]], root_pid: int) -> Verdict:
    """``root_pid`` is the process that strace started: pyc itself."""
    narrated: dict[int, list[str]] = {}
    for entry in told:
        if not entry["skipped"] and entry["call"] not in OWN_LOOPS:
            narrated.setdefault(entry["pid"], []).append(canonical_told(entry))
    witnessed = {
        pid: list(map(canonical_seen, _of_interest(trace, is_pyc=pid == root_pid))) for pid, trace in seen.items()
    }
    missing, invented, matched, text = [], [], 0, ""
    for pid in sorted(narrated.keys() | witnessed.keys()):
        a, b = witnessed.get(pid, []), narrated.get(pid, [])
        blocks = difflib.SequenceMatcher(None, a, b, autojunk=False).get_matching_blocks()
        matched += sum(block.size for block in blocks)
        difference = list(difflib.unified_diff(a, b, f"seen by strace, pid {pid}", "told", lineterm="", n=2))
        missing += [line[1:] for line in difference[2:] if line.startswith("-")]
        invented += [line[1:] for line in difference[2:] if line.startswith("+")]
        text += "".join(line + "\n" for line in difference)
    return Verdict(matched, missing, invented, text)


# --- which of the calls count -------------------------------------------------------------------------------------


def _of_interest(trace: list[Seen], *, is_pyc: bool) -> list[Seen]:
    """Of pyc itself what faces the kernel; of the performer everything but its reports and its waiting."""
    trace = [call for call in trace if call.error != "ERESTARTSYS"]  # a signal came, and the kernel called again
    if is_pyc:
        rest = trace[1:]  # without the execve that started it
        return [s for s in rest if (s.name in KERNEL_FACING and not _makes_thread(s)) or _writes_a_kernel_file(s)]
    if any(s.name == "execveat" for s in trace):
        trace = trace[next(i for i, s in enumerate(trace) if s.name == "execveat") :]
    end = next((i + 1 for i, s in enumerate(trace) if s.name == "execve" and s.result == 0), None)
    return [call for turn in _turns(trace[:end]) if not _is_own_loop(turn) for call in turn]


def _turns(trace: list[Seen]) -> list[list[Seen]]:
    """What the performer did between one permission to go on and the next, without its reports."""
    turns: list[list[Seen]] = [[]]
    for call in trace:
        if call.name == "read" and _descriptor(call) in GATES:
            turns.append([])
        elif not (call.name == "write" and _descriptor(call) == STATUS_FD) and "</memfd:pyc-plan" not in call.line:
            turns[-1].append(call)
    return turns


def _is_own_loop(turn: list[Seen]) -> bool:
    """Whether this is `supervise` or `reap`, which carry bytes and wait. A call of the plan has its turn to itself."""
    return len(turn) > 1 and any(call.name in LOOPS for call in turn)


def _makes_thread(call: Seen) -> bool:
    return call.name in ("clone", "clone3") and "CLONE_THREAD" in call.line


def _writes_a_kernel_file(call: Seen) -> bool:
    return call.name == "write" and isinstance(call.args[0], Fd) and call.args[0].path.startswith(WATCHED_FILES)


def _descriptor(call: Seen) -> int:
    return call.args[0].number if isinstance(call.args[0], Fd) else -1


# --- one spelling for both ----------------------------------------------------------------------------------------

_SPELLINGS = {
    "MOUNT_ATTR__ATIME": ("MOUNT_ATTR_NOATIME", "MOUNT_ATTR_STRICTATIME", "0x40"),
    "O_RDONLY": (),
    "IPPROTO_IP": (),
    "NULL": (),
}


def canonical_told(entry: dict[str, Any]) -> str:
    """A line of the narration."""
    args = list(entry["args"].values())
    if entry["call"] == "write" and isinstance(args[1], list):
        args[1] = "messages"  # what is in them is compared as bytes, by tests of their own
    if entry["call"] == "bind":
        args[1] = "address"
    if entry["call"] == "ioctl" and args[1] == "TIOCGPTPEER":  # strace shows a plain number
        args[2] = sum(getattr(os, name) for name in args[2].split("|"))
    return _line(entry["call"], args, entry["value"], entry["error"] or "")


def canonical_seen(call: Seen) -> str:
    """A line of strace's."""
    args: list[Any] = list(call.args)
    if call.name in ("read", "recvfrom"):
        args[1] = "buf"
    elif call.name == "write" and isinstance(args[0], Fd) and _is_netlink(args[0].path, args[2]):
        args[1] = "messages"
    elif call.name == "bind":
        args[1] = "address"
    elif call.name == "clone":
        args = [args[-1]["flags"]]  # the stack is C's own business
    elif call.name == "clone3" and isinstance(args[0], dict):  # strace shows what came back, too: {...} => {...}
        fields = {name: value for name, value in args[0].items() if name not in ("stack", "stack_size", "pidfd")}
        args = [fields, args[-1]]
    elif call.name == "bpf" and "insns" in args[1]:
        empty = ("kern_version", "prog_name")  # zeros, which strace has words for
        args[1] = {name: value for name, value in args[1].items() if name not in empty}
        args[1]["insns"] = [_instruction(fields) for fields in args[1]["insns"]]
    elif call.name == "rt_sigprocmask" and isinstance(args[1], list):
        args[1] = "[" + " ".join(args[1]) + "]"
    return _line(call.name, args, call.result, call.error)


# What strace says of an instruction's code, for those that a filter of devices has (Documentation/bpf/instruction-set)
_CODES = {"BPF_LDX": 1, "BPF_ALU": 4, "BPF_JMP": 5, "BPF_JMP32": 6, "BPF_W": 0, "BPF_MEM": 0x60, "BPF_K": 0, "BPF_X": 8}
_CODES |= {"BPF_MOV": 0xB0, "BPF_AND": 0x50, "BPF_RSH": 0x70, "BPF_JNE": 0x50, "BPF_EXIT": 0x90}


def _instruction(fields: dict[str, Any]) -> list[int]:
    """From strace's names to the numbers of struct bpf_insn: code, both registers, offset, immediate."""
    words = str(fields["code"]).split("|")
    code = sum(_CODES[word] if word in _CODES else int(word, 0) for word in words)
    target, source = (int(str(fields[name]).removeprefix("BPF_REG_")) for name in ("dst_reg", "src_reg"))
    return [code, source << 4 | target, *(int(str(fields.get(name, 0)), 0) for name in ("off", "imm"))]


def _is_netlink(path: str, length: Any) -> bool:
    """strace may know the socket's family or not; a message of netlink's has a header of 16 bytes."""
    return path.startswith("NETLINK") or (path.startswith("socket:") and int(str(length), 0) >= 16)


def _line(name: str, args: list[Any], value: int | None, error: str) -> str:
    words = list(map(_canonical, args))
    while words and words[-1] in ("0", "{}"):
        words.pop()
    return f"{name}({', '.join(words)}) = {error or value}"


def _canonical(value: Any) -> str:
    if isinstance(value, Fd):
        memfd = value.path.removeprefix("/memfd:pyc-") if value.path.startswith("/memfd:pyc-") else ""
        return f"<{memfd}>" if memfd else str(value.number)
    if isinstance(value, dict) and "slot" in value:
        return str(value["number"]) if "number" in value else f"<{value['slot']}>"
    if isinstance(value, dict):
        fields = {name: _canonical(item) for name, item in sorted(value.items())}
        return "{" + ", ".join(f"{name}={item}" for name, item in fields.items() if item != "0") + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_canonical, value)) + "]"
    if isinstance(value, str) and re.fullmatch("0[0-7]+", value):
        return f"0{int(value, 8):o}" if int(value, 8) else "0"
    if isinstance(value, str):
        parts = [word for part in value.split("|") for word in _SPELLINGS.get(part, (part,))]
        return "|".join(sorted(parts)) or ("" if value == "" else "0")
    return str(value)


__all__ = ["NAMES", "Name", "Verdict", "canonical_seen", "canonical_told", "compare", "read"]
