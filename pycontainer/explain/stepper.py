"""``--step``: waits before each step and says what to look at meanwhile, from another terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from pycontainer.core.step import Slot, Step
from pycontainer.explain import proof
from pycontainer.explain.text import TextNarrator
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TextIO


CGROUPS = "/sys/fs/cgroup/"
_LINKS = ("/root", "/cwd", "/exe", "/fd/0")

# A call -> a command that shows what it did. `pid` is the process that makes the call.
_LOOK = {
    "clone3": "ls -l /proc/{pid}/ns /proc/{pid}/task/{pid}/children",
    "unshare": "ls -l /proc/{pid}/ns",
    "setns": "ls -l /proc/{pid}/ns",
    "mount": "findmnt -N {pid} -o TARGET,FSTYPE,PROPAGATION",
    "move_mount": "findmnt -N {pid}",
    "mount_setattr": "findmnt -N {pid} -o TARGET,OPTIONS",
    "pivot_root": "ls /proc/{pid}/root/",
    "umount2": "wc -l /proc/{pid}/mountinfo",
    "sethostname": "nsenter -t {pid} -u hostname",
    "setdomainname": "nsenter -t {pid} -u dnsdomainname -y",
    "ioctl": "nsenter -t {pid} -n ip addr",
    "setresuid": "grep -E 'Uid|Gid|Groups' /proc/{pid}/status",
    "setgroups": "grep -E 'Uid|Gid|Groups' /proc/{pid}/status",
    "capset": "grep Cap /proc/{pid}/status",
    "seccomp": "grep Seccomp /proc/{pid}/status",
    "prlimit64": "cat /proc/{pid}/limits",
    "fchdir": "readlink /proc/{pid}/cwd",
    "setsid": "ps -o pid,ppid,sid,tty,args -p {pid}",
    "dup3": "ls -l /proc/{pid}/fd",
    "execve": "ps -o pid,ppid,user,args -p {pid}; readlink /proc/{pid}/exe",
    "execveat": "ls -l /proc/{pid}/exe",
    "supervise": "pstree -p {pid}",
}


def suggestions(step: Step, pid: int, slots: Mapping[Slot, int]) -> list[str]:
    """Commands whose output the step changes, with the real pid and descriptors in them."""
    found = [*_proof(step, pid, slots), *_cgroup_files(step), *_directories(step, pid, slots)]
    found += [_LOOK[call.name].format(pid=pid) for call in step.calls if call.name in _LOOK]
    return list(dict.fromkeys(found))


def _proof(step: Step, pid: int, slots: Mapping[Slot, int]) -> list[str]:
    if step.proof is None:
        return []
    path, line = proof.where(step.proof, pid, slots), step.proof.line.strip()
    if line:
        return [f"grep -F '{line}' {path}"]
    if path.endswith(("/fd", "/")):
        return [f"ls -l {path}"]
    return [f"ls -ld {path}" if "/ns/" in path or path.endswith(_LINKS) else f"cat {path}"]


def _cgroup_files(step: Step) -> list[str]:
    """The files that the step opens under /sys/fs/cgroup."""
    paths = [arg for call in step.calls if call.name == "openat" for arg in call.args if isinstance(arg, str)]
    return [f"cat {path}" for path in paths if path.startswith(CGROUPS)]


def _directories(step: Step, pid: int, slots: Mapping[Slot, int]) -> list[str]:
    """Where the step makes files: no path leads there from outside, but the descriptor does."""
    made = [call.args[0] for call in step.calls if call.name in ("mknodat", "mkdirat")]
    return [f"ls -l /proc/{pid}/fd/{slots[slot]}/" for slot in made if isinstance(slot, Slot) and slot in slots]


def terminal() -> TextIO:
    """The user's terminal, even where stdin is the container's; else stdin."""
    try:
        return open("/dev/tty", encoding="utf-8", errors="replace")
    except OSError:
        return sys.stdin


class Stepper(TextNarrator):
    """A text narrator that lets nothing happen until the user says so."""

    def __init__(self, stream: TextIO, answers: TextIO | None = None) -> None:
        """Talk to ``stream`` and read ``answers``, by default from the terminal."""
        super().__init__(stream)
        self._answers = answers or terminal()
        self._asking = True

    def step_begins(self, step: Step, pid: int) -> None:
        """Show what comes, then wait.

        Raises KeyboardInterrupt when the user stops: what has been done is undone, as for Ctrl-C.
        """
        super().step_begins(step, pid)
        if self._headed is not step:
            self._head(step, pid)
        if self._asking and not self._over:
            self._suggest(step, pid)
            self._ask()

    def close(self) -> None:
        """Nothing more will happen."""
        if self._answers is not sys.stdin:
            self._answers.close()

    def _suggest(self, step: Step, pid: int) -> None:
        commands = suggestions(step, pid, self._slots.get(step.role, {})) if pid else []
        if commands:
            self._say("      look, now and once more after the step, from another terminal:", self._style.faint)
        for command in commands:
            self._say(f"        {command}")

    def _ask(self) -> None:
        print("      Enter: do it   c: do all the rest   q: stop and undo > ", end="", file=self._stream, flush=True)
        answer = self._answers.readline()
        if not self._answers.isatty():
            print(file=self._stream)
        if answer.strip().lower().startswith("q"):
            raise KeyboardInterrupt
        if not answer or answer.strip().lower().startswith("c"):  # nobody is there to answer
            self._asking = False
