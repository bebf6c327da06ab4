"""The referee of tests/root/test_narration.py, shown able to find fault: lines of strace's, doctored narrations."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from pycontainer.core import calls
from pycontainer.core import constants as k
from pycontainer.core.performer import start_step
from pycontainer.core.step import MONITOR, Slot, Step
from pycontainer.core.wire import Outcome
from pycontainer.explain.jsonlines import JsonNarrator
from tests.support import narration
from tests.support.strace import Fd, Name, Seen, parse

PYC, INSIDE = 100, 200
FS, ROOT, FD = Slot("fs"), Slot("root"), Slot("fd")

STRACE = {
    PYC: """
execve("/usr/bin/pyc", ["pyc", "run"], ["PATH=/bin"]) = 0
clone(child_stack=0x7f5c0aa4c010, flags=CLONE_VM|CLONE_PIDFD|CLONE_VFORK|SIGCHLD, parent_tid=[4]) = 200
write(2</dev/pts/0>, "not the kernel's business", 25) = 25
""",
    INSIDE: """
fcntl(4</dev/null>, F_DUPFD_CLOEXEC, 30) = 30
execveat(30</memfd:pyc-performer>(deleted), "", ["pyc-monitor", "demo"], [], AT_EMPTY_PATH) = 0
close(3</memfd:pyc-plan>(deleted))      = 0
read(5<pipe:[1]>, ".", 1)               = 1
fsopen("tmpfs", FSOPEN_CLOEXEC)         = 9<anon_inode:[fscontext]>
write(4<pipe:[2]>, "\\0\\0\\0\\0", 24)  = 24
read(5<pipe:[1]>, ".", 1)               = 1
fsmount(9<anon_inode:[fscontext]>, FSMOUNT_CLOEXEC, MOUNT_ATTR_NODEV) = 10</>
read(5<pipe:[1]>, ".", 1)               = 1
mknodat(10</>, "nu\\33ll", S_IFCHR|0666, makedev(0x1, 0x3)) = -1 EPERM (Operation not permitted)
read(5<pipe:[1]>, ".", 1)               = 1
capset({version=_LINUX_CAPABILITY_VERSION_3, pid=0}, {effective=1<<CAP_CHOWN, permitted=0, inheritable=0}) = 0
read(5<pipe:[1]>, ".", 1)               = 1
rt_sigprocmask(SIG_BLOCK, [PIPE], NULL, 8) = 0
ppoll([{fd=9, events=POLLIN}], 1, NULL, NULL, 8) = 1 ([{fd=9, revents=POLLIN}])
write(2</dev/null>, "carried", 7)       = 7
""",
}


def seen() -> dict[int, list[Seen]]:
    return {pid: [call for line in text.splitlines() if (call := parse(line))] for pid, text in STRACE.items()}


class Lines(list[str]):
    def write(self, line: str) -> None:
        self.append(line)

    def flush(self) -> None:
        pass


def told() -> list[dict[str, Any]]:
    """What the narrator says of the same calls."""
    start = start_step("demo")
    step = Step(
        "Mount",
        "why",
        MONITOR,
        (
            calls.fsopen("tmpfs", out=FS),
            calls.fsmount(FS, k.MOUNT_ATTR_NODEV, out=ROOT),
            calls.mknodat(ROOT, "nu\x1bll", k.S_IFCHR | 0o666, 1, 3, tolerate=(1,)),
            calls.capset(1, 0, 0),
            calls.reap(FD),
        ),
        "mount(2)",
    )
    lines = Lines()
    narrator = JsonNarrator(lines)  # type: ignore[arg-type]
    narrator.begin((start, step), ())
    narrator.after(-2, start, start.calls[0], Outcome(-2, 0, INSIDE, 0), PYC)
    narrator.after(-1, start, start.calls[1], Outcome(-1, 0, 0, 0), INSIDE)
    for index, (error, value) in enumerate(((0, 9), (0, 10), (1, -1), (0, 0), (0, 0))):
        narrator.after(index, step, step.calls[index], Outcome(index, error, value, 0), INSIDE)
    return [json.loads(line) for line in lines]


def verdict(narrated: list[dict[str, Any]]) -> narration.Verdict:
    return narration.compare(seen(), narrated, PYC)


def test_an_honest_narration_is_found_honest() -> None:
    assert verdict(told()) == narration.Verdict(6, [], [], "")


@pytest.mark.parametrize("index", range(6))
def test_a_call_that_is_not_told_is_found(index: int) -> None:
    doctored = told()
    del doctored[index]
    assert len(verdict(doctored).missing) == 1 and not verdict(doctored).invented


@pytest.mark.parametrize("index", range(6))
def test_a_call_that_is_made_up_is_found(index: int) -> None:
    doctored = told()
    doctored.insert(index, copy.deepcopy(doctored[index]))
    assert len(verdict(doctored).invented) == 1 and not verdict(doctored).missing


def test_two_calls_in_the_wrong_order_are_found() -> None:
    doctored = told()
    doctored[2], doctored[3] = doctored[3], doctored[2]
    assert verdict(doctored).missing and verdict(doctored).invented


def test_a_call_of_another_process_is_found() -> None:
    doctored = told()
    doctored[2]["pid"] = PYC
    assert verdict(doctored).missing and verdict(doctored).invented


def test_a_skipped_call_must_not_have_been_made() -> None:
    doctored = told()
    doctored[2]["skipped"] = True
    assert len(verdict(doctored).missing) == 1


@pytest.mark.parametrize(
    ("index", "argument", "value"),
    [
        (0, "flags", "CLONE_VM|SIGCHLD"),
        (1, "argv", ["pyc-monitor", "other"]),
        (1, "dirfd", {"slot": "python"}),
        (2, "fsname", "proc"),
        (3, "fd", {"slot": "fs", "number": 8}),
        (3, "attr_flags", "0"),
        (4, "path", "null"),
        (4, "mode", "S_IFBLK|0666"),
        (4, "mode", "S_IFCHR|0600"),
        (4, "dev", "makedev(8, 0)"),
        (5, "datap", {"effective": "CAP_CHOWN|CAP_KILL", "permitted": "0", "inheritable": "0"}),
    ],
)
def test_a_wrong_argument_is_found_and_shown(index: int, argument: str, value: object) -> None:
    doctored = told()
    doctored[index]["args"][argument] = value
    found = verdict(doctored)
    assert len(found.missing) == len(found.invented) == 1
    assert "seen by strace, pid" in found.difference and "-" + found.missing[0] in found.difference


@pytest.mark.parametrize(("key", "value"), [("error", None), ("error", "EACCES")])
def test_a_wrong_errno_is_found(key: str, value: object) -> None:
    doctored = told()
    doctored[4][key] = value
    assert verdict(doctored).missing and verdict(doctored).invented


def test_a_wrong_result_is_found() -> None:
    doctored = told()
    doctored[2]["value"] = 11
    assert verdict(doctored).missing and verdict(doctored).invented


def test_a_process_that_nobody_told_of_is_found() -> None:
    stranger = parse('mount("/dev/sda", "/mnt", "ext4", 0, NULL) = 0')
    assert stranger is not None
    found = narration.compare({**seen(), 300: [stranger]}, told(), PYC)
    assert found.missing == ["mount(/dev/sda, /mnt, ext4) = 0"]


def test_what_faces_the_kernel_counts_in_pyc_itself_too() -> None:
    for line in ("unshare(CLONE_NEWNS) = 0", 'write(3</sys/fs/cgroup/pids/x/pids.max>, "5", 1) = 1'):
        more = seen()
        more[PYC].append(parse(line))  # type: ignore[arg-type]
        assert len(narration.compare(more, told(), PYC).missing) == 1


def test_a_thread_of_pyc_is_no_process() -> None:
    more = seen()
    more[PYC].append(parse("clone3({flags=CLONE_VM|CLONE_THREAD, exit_signal=0, stack=NULL}, 88) = 300"))  # type: ignore[arg-type]
    assert narration.compare(more, told(), PYC).missing == []


def test_strace_is_read_as_it_prints() -> None:
    call = parse('x(3</a b>, "q\\"\\n\\1771", {a=O_RDWR|O_EXCL, b=[1, -1], c={d=8192*1024}}, NULL, ~[]) = 0x10 </*')
    assert call is not None
    assert call.args[:2] == [Fd(3, "/a b"), 'q"\n\x7f1']
    assert call.args[2] == {"a": Name("O_RDWR|O_EXCL"), "b": [1, -1], "c": {"d": 8388608}}
    assert (call.args[3:], call.result) == ([0, Name("~[]")], 16)
    assert parse("+++ exited with 0 +++") is None
    assert parse("--- SIGCHLD {si_signo=SIGCHLD} ---") is None


def test_seccomp_programs_are_compared_instruction_by_instruction() -> None:
    line = (
        "seccomp(SECCOMP_SET_MODE_FILTER, 0, {len=3, filter=[BPF_STMT(BPF_LD|BPF_W|BPF_ABS, 0x4), "
        "BPF_JUMP(BPF_JMP|BPF_K|BPF_JEQ, 0xc000003e, 0, 0x1), BPF_STMT(BPF_RET|BPF_K, SECCOMP_RET_ERRNO|0x1)]}) = 0"
    )
    call = parse(line)
    assert call is not None
    assert call.args[2] == {"len": 3, "filter": [[0x20, 0, 0, 4], [0x15, 0, 1, 0xC000003E], [6, 0, 0, 0x50001]]}
