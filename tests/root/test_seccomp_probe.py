"""The default filter in the kernel: a fork installs it and tries what a container's program might try.

The same calls are made without it too. Where both runs agree, the filter proves nothing, so the tables
hold only calls that a root process gets another answer to.
"""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import pty
import signal
import struct
import termios
from collections.abc import Callable

import pytest

from pycontainer.oci import security
from pycontainer.oci.profiles.builtin import default_profile
from pycontainer.plan.seccomp_compiler import compile_profile

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.uname().machine != "x86_64", reason="system call numbers are of x86_64"),
]

libc = ctypes.CDLL(None, use_errno=True)
PR_SET_NO_NEW_PRIVS, SECCOMP = 38, 317
BAD = 1  # no address


def syscall(number: int, *args: int) -> str:
    """``"ok"`` or the errno's name."""
    result = libc.syscall(ctypes.c_long(number), *(ctypes.c_long(arg) for arg in args))
    return "ok" if result >= 0 else errno.errorcode[ctypes.get_errno()]


def install(program: bytes) -> None:
    code = ctypes.create_string_buffer(program, len(program))
    fprog = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if libc.syscall(SECCOMP, 1, 0, fprog):
        raise OSError(ctypes.get_errno(), "seccomp")


def in_a_fork(program: bytes | None, probe: Callable[[], object]) -> object:
    """What ``probe`` returns in a child that has the filter, or the name of the signal that killed it."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if program:
                install(program)
            os.write(writer, json.dumps(probe()).encode())
        except BaseException as error:
            os.write(writer, json.dumps(repr(error)).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    return signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else json.loads(text)


DEFAULT = compile_profile(default_profile(security.DEFAULT_CAPABILITIES))
COMPAT32 = compile_profile(default_profile(security.DEFAULT_CAPABILITIES, compat32=True))

# name: number, arguments that make the call fail in another way or do no harm, the filter's answer
CALLS: dict[str, tuple[int, tuple[int, ...], str]] = {
    "mount": (165, (BAD, BAD, BAD), "EPERM"),
    "umount2": (166, (BAD,), "EPERM"),
    "pivot_root": (155, (BAD, BAD), "EPERM"),
    "fsopen": (430, (BAD, 0), "EPERM"),
    "fsconfig": (431, (-1,), "EPERM"),
    "fsmount": (432, (-1,), "EPERM"),
    "fspick": (433, (-1, BAD), "EPERM"),
    "open_tree": (428, (-1, BAD), "EPERM"),
    "move_mount": (429, (-1, BAD, -1, BAD), "EPERM"),
    "mount_setattr": (442, (-1, BAD), "EPERM"),
    "unshare": (272, (0x10000000 | 1,), "EPERM"),
    "setns": (308, (-1, 0), "EPERM"),
    "clone user namespace": (56, (0x10000000 | 0x200,), "EPERM"),
    "clone network namespace": (56, (0x40000000 | 0x10000,), "EPERM"),
    "clone3": (435, (0, 0), "ENOSYS"),
    "io_uring_setup": (425, (1, BAD), "EPERM"),
    "io_uring_enter": (426, (-1,), "EPERM"),
    "io_uring_register": (427, (-1,), "EPERM"),
    "bpf": (321, (0, BAD, 8), "EPERM"),
    "perf_event_open": (298, (BAD,), "EPERM"),
    "userfaultfd": (323, (1 << 30,), "EPERM"),
    "keyctl": (250, (9999,), "EPERM"),
    "add_key": (248, (BAD, BAD), "EPERM"),
    "request_key": (249, (BAD, BAD), "EPERM"),
    "open_by_handle_at": (304, (-1, BAD), "EPERM"),
    "kexec_load": (246, (0, 99, 0, 1 << 20), "EPERM"),
    "reboot": (169, (0, 0, 0), "EPERM"),
    "swapon": (167, (BAD,), "EPERM"),
    "swapoff": (168, (BAD,), "EPERM"),
    "acct": (163, (BAD,), "EPERM"),
    "quotactl": (179, (0, BAD), "EPERM"),
    "settimeofday": (164, (BAD, 0), "EPERM"),
    "clock_settime": (227, (0, BAD), "EPERM"),
    "sethostname": (170, (BAD, 5), "EPERM"),
    "setdomainname": (171, (BAD, 5), "EPERM"),
    "syslog": (103, (99,), "EPERM"),
    "iopl": (172, (4,), "EPERM"),
    "ioperm": (173, (-1, 1, 1), "EPERM"),
    "fanotify_init": (300, (-1,), "EPERM"),
    "kcmp": (312, (-1, -1), "EPERM"),
    "pidfd_getfd": (438, (-1, 0), "EPERM"),
    "process_madvise": (440, (-1, BAD, 1), "EPERM"),
    "mbind": (237, (BAD, 0, 99), "EPERM"),
    "set_mempolicy": (238, (99,), "EPERM"),
    "move_pages": (279, (-1, 1, BAD), "EPERM"),
    "migrate_pages": (256, (-1, BAD), "EPERM"),
    "ustat": (136, (0, BAD), "EPERM"),
    "sysfs": (139, (99,), "EPERM"),
    "personality: no ASLR": (135, (0x40000,), "EPERM"),
    "socket PACKET": (41, (17, 3, 0), "EPERM"),
    "socket raw TCP": (41, (2, 3, 6), "EPERM"),
    "socket raw anything": (41, (2, 3, 255), "EPERM"),
    "socket raw TCP, IPv6": (41, (10, 3, 6), "EPERM"),
    "socket SOCK_PACKET": (41, (2, 10, 3), "EPERM"),
    "netlink NETFILTER": (41, (16, 3, 12), "EPROTONOSUPPORT"),
    "netlink XFRM": (41, (16, 3, 6), "EPROTONOSUPPORT"),
    "netlink AUDIT": (41, (16, 3, 9), "EINVAL"),
    "newer than everything": (468 + 32, (), "ENOSYS"),
}
UNAVOIDABLE = {"newer than everything"}  # the kernel says so itself

FAMILIES = {number: "EAFNOSUPPORT" for number in range(48) if number not in (1, 2, 10, 16, 17)}

STILL_WORKS: dict[str, tuple[int, tuple[int, ...]]] = {
    "UNIX": (41, (1, 1, 0)),
    "TCP": (41, (2, 1, 6)),
    "UDP": (41, (2, 2, 17)),
    "raw ICMP": (41, (2, 3, 1)),
    "netlink ROUTE": (41, (16, 3, 0)),
    "netlink SOCK_DIAG": (41, (16, 3, 4)),
    "netlink KOBJECT_UEVENT": (41, (16, 3, 15)),
    "netlink GENERIC": (41, (16, 3, 16)),
    "getpid": (39, ()),
    "chroot": (161, (0,)),
    "personality: which": (135, (0xFFFFFFFF,)),
    "pidfd_open": (434, (os.getpid(), 0)),
}


def test_calls_answer_as_the_golden_table_says() -> None:
    def probe() -> dict[str, str]:
        return {name: syscall(number, *args) for name, (number, args, _) in CALLS.items()}

    assert in_a_fork(DEFAULT, probe) == {name: answer for name, (_, _, answer) in CALLS.items()}
    free = in_a_fork(None, probe)
    assert isinstance(free, dict)
    same = {name for name, (_, _, answer) in CALLS.items() if free[name] == answer} - UNAVOIDABLE
    lacking = {name for name in same if free[name] in ("ENOSYS", "EPROTONOSUPPORT")}  # this kernel was built without
    assert same - lacking - {"netlink AUDIT"} == set(), "without the filter it is no different"


def test_no_unusual_socket_family_is_within_reach() -> None:
    answers = in_a_fork(DEFAULT, lambda: {str(family): syscall(41, family, 2, 0) for family in FAMILIES})
    assert answers == {str(family): answer for family, answer in FAMILIES.items()}


def test_what_programs_need_still_works() -> None:
    path = ctypes.create_string_buffer(b"/")
    table = {**STILL_WORKS, "chroot": (161, (ctypes.addressof(path),))}
    answers = in_a_fork(DEFAULT, lambda: {name: syscall(number, *args) for name, (number, args) in table.items()})
    assert answers == dict.fromkeys(table, "ok")


def test_typing_into_a_terminal_is_refused() -> None:
    def probe() -> list[str]:
        master, slave = pty.openpty()
        text = ctypes.create_string_buffer(b"x")
        key = ctypes.addressof(text)
        attempts = [syscall(16, slave, request, key) for request in (0x5412, 1 << 32 | 0x5412, 0x541C)]
        return [*attempts, str(termios.tcgetwinsize(slave)), str(len(termios.tcgetattr(master)))]

    assert in_a_fork(DEFAULT, probe) == ["EPERM", "EPERM", "EPERM", "(0, 0)", "7"]
    assert in_a_fork(None, lambda: probe()[:2]) == ["ok", "ok"]


def test_a_raw_socket_for_ping_can_not_forge_headers() -> None:
    one = ctypes.c_int(1)

    def probe() -> list[str]:
        fd = libc.socket(2, 3, 1)
        options = [(0, 3), (1 << 32, 3), (0, 1 << 32 | 3), (0, 2)]
        return [syscall(54, fd, level, option, ctypes.addressof(one), 4) for level, option in options]

    assert in_a_fork(DEFAULT, probe) == ["EPERM", "ENOSYS", "ENOSYS", "ok"]
    assert in_a_fork(None, probe) == ["ok", "ok", "ok", "ok"]


def int80(eax: int, ebx: int = 0, ecx: int = 0, edx: int = 0) -> int:
    """A 32-bit system call out of a 64-bit process, as an exploit would make it."""
    code = b"\x53\xb8" + struct.pack("=I", eax) + b"\xbb" + struct.pack("=I", ebx) + b"\xb9" + struct.pack("=I", ecx)
    code += b"\xba" + struct.pack("=I", edx) + b"\xcd\x80\x5b\xc3"  # int 0x80; pop rbx; ret
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    return int(ctypes.CFUNCTYPE(ctypes.c_int)(address)())


def test_32_bit_calls_kill_unless_the_image_has_32_bit_programs() -> None:
    if in_a_fork(None, lambda: int80(20) > 0) is not True:
        pytest.skip("this kernel has no 32-bit calls")
    assert in_a_fork(DEFAULT, lambda: int80(20)) == "SIGSYS"
    assert in_a_fork(COMPAT32, lambda: int80(20) > 0) is True
    answers = in_a_fork(COMPAT32, lambda: [int80(359, 38, 5, 0), int80(359, 2, 1, 0) >= 0, int80(120, 0x10000011)])
    assert answers == [-errno.EAFNOSUPPORT, True, -errno.EPERM]


def test_x32_calls_always_kill() -> None:
    for program in (DEFAULT, COMPAT32):
        assert in_a_fork(program, lambda: syscall(0x40000000 | 39)) == "SIGSYS"
