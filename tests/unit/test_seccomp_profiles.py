"""What the built-in filters answer, call by call: the compiled program run in a BPF machine, nothing installed."""

from __future__ import annotations

import os
import re
from functools import cache

import pytest

from pycontainer.oci import profiles, security
from pycontainer.oci.profiles.builtin import _others, default_profile, docker_profile
from pycontainer.oci.profiles.syscalls import ALLOWED, DENIED
from pycontainer.plan.seccomp_compiler import _NEWER, compile_profile
from tests.support import bpf
from tests.support.bpf import ALLOW, I386, KILL_PROCESS, X32, X86_64, errno

EPERM, EINVAL, ENOSYS, EPROTONOSUPPORT, EAFNOSUPPORT = map(errno, (1, 22, 38, 93, 97))

pytestmark = pytest.mark.skipif(os.uname().machine != "x86_64", reason="the tables are for x86_64")


@cache
def program(kind: str = "default", *caps: str, fence_raw: bool = True, compat32: bool = False) -> bytes:
    have = security.DEFAULT_CAPABILITIES + tuple("CAP_" + name for name in caps)
    if kind == "docker":
        return compile_profile(docker_profile(security.DOCKER_CAPABILITIES + have))
    return compile_profile(default_profile(have, fence_raw=fence_raw, compat32=compat32))


AUDIT, ROUTE, NETFILTER = 9, 0, 12
CLOEXEC, NONBLOCK = 0o2000000, 0o4000
JUNK = 1 << 32  # above what the kernel looks at

# (name for the reader, number, arguments, answer)
DEFAULT = [
    ("read", 0, (), ALLOW),
    ("openat2", 437, (), ALLOW),
    ("ptrace", 101, (0,), ALLOW),
    ("seccomp", 317, (), ALLOW),
    ("fchmodat2", 452, (), ALLOW),
    ("setxattrat", 463, (), ALLOW),
    ("statmount", 457, (), ALLOW),
    ("file_getattr", 468, (), ENOSYS),
    ("newer than everything", 999, (), ENOSYS),
    ("-1, a call that a tracer skips", -1, (), ENOSYS),
    ("mount", 165, (), EPERM),
    ("umount2", 166, (), EPERM),
    ("fsopen", 430, (), EPERM),
    ("fsconfig", 431, (), EPERM),
    ("open_tree", 428, (), EPERM),
    ("move_mount", 429, (), EPERM),
    ("mount_setattr", 442, (), EPERM),
    ("open_tree_attr", 467, (), EPERM),
    ("pivot_root", 155, (), EPERM),
    ("unshare", 272, (0x10000000,), EPERM),
    ("setns", 308, (), EPERM),
    ("chroot is for its capability, which is a default", 161, (), ALLOW),
    ("io_uring_setup", 425, (), EPERM),
    ("userfaultfd", 323, (), EPERM),
    ("bpf", 321, (), EPERM),
    ("perf_event_open", 298, (), EPERM),
    ("keyctl", 250, (), EPERM),
    ("add_key", 248, (), EPERM),
    ("open_by_handle_at", 304, (), EPERM),
    ("init_module", 175, (), EPERM),
    ("kexec_load", 246, (), EPERM),
    ("reboot", 169, (), EPERM),
    ("clock_settime", 227, (), EPERM),
    ("sethostname", 170, (), EPERM),
    ("syslog", 103, (), EPERM),
    ("pidfd_getfd", 438, (), EPERM),
    ("clone3", 435, (), ENOSYS),
    ("lsm_list_modules", 461, (), ENOSYS),
    ("clone: fork", 56, (0x01200011,), ALLOW),
    ("clone: thread", 56, (0x3D0F00,), ALLOW),
    *[(f"clone: {flag:#x}", 56, (flag | 17,), EPERM) for flag in (1 << 17, *(1 << bit for bit in range(25, 31)))],
    ("clone: all namespaces", 56, (0x7E020011,), EPERM),
    ("clone: high bits", 56, (JUNK | 0x10000000,), EPERM),
    ("personality: Linux", 135, (0,), ALLOW),
    ("personality: which", 135, (0xFFFFFFFF,), ALLOW),
    ("personality: 32 bits", 135, (8,), ALLOW),
    ("personality: no ASLR", 135, (0x40000,), EPERM),
    ("personality: executable data", 135, (0x400000 | 8,), EPERM),
    ("personality: BSD", 135, (6,), ENOSYS),
    ("ioctl: TCGETS", 16, (0, 0x5401), ALLOW),
    ("ioctl: TIOCGWINSZ", 16, (0, 0x5413), ALLOW),
    ("ioctl: FIONREAD", 16, (0, 0x541B), ALLOW),
    ("ioctl: FIONBIO", 16, (0, 0x5421), ALLOW),
    ("ioctl: FICLONE", 16, (0, 0x40049409), ALLOW),
    ("ioctl: as musl sends it", 16, (0, 0xFFFFFFFF80045430), ALLOW),
    ("ioctl: 0", 16, (0, 0), ALLOW),
    ("ioctl: TIOCSTI", 16, (0, 0x5412), EPERM),
    ("ioctl: TIOCLINUX", 16, (0, 0x541C), EPERM),
    ("ioctl: TIOCSTI, high bits", 16, (0, JUNK | 0x5412), EPERM),
    ("ioctl: TIOCSTI, sign bits", 16, (0, 0xFFFFFFFF00005412), EPERM),
    ("setsockopt: SO_REUSEADDR", 54, (3, 1, 2), ALLOW),
    ("setsockopt: TCP_NODELAY", 54, (3, 6, 1), ALLOW),
    ("setsockopt: IP_TTL", 54, (3, 0, 2), ALLOW),
    ("setsockopt: IP_TOS", 54, (3, 0, 1), ALLOW),
    ("setsockopt: IP_RECVERR", 54, (3, 0, 11), ALLOW),
    ("setsockopt: MCAST_JOIN_GROUP", 54, (3, 0, 42), ALLOW),
    ("setsockopt: IPV6_V6ONLY", 54, (3, 41, 26), ALLOW),
    ("setsockopt: ICMPV6_FILTER", 54, (3, 58, 1), ALLOW),
    ("setsockopt: ICMP_FILTER", 54, (3, 255, 1), ALLOW),
    ("setsockopt: IP_HDRINCL", 54, (3, 0, 3), EPERM),
    ("setsockopt: IPV6_HDRINCL", 54, (3, 41, 36), EPERM),
    ("setsockopt: IP_HDRINCL, high bits of the level", 54, (3, JUNK, 3), ENOSYS),
    ("setsockopt: IP_HDRINCL, high bits of the option", 54, (3, 0, JUNK | 3), ENOSYS),
    ("setsockopt: PACKET_RX_RING", 54, (3, 263, 5), ENOSYS),
    ("socketpair: UNIX", 53, (1, 1, 0), ALLOW),
    ("socketpair: TIPC", 53, (30, 1, 0), EAFNOSUPPORT),
    ("socketpair: high bits", 53, (JUNK | 30, 1, 0), EAFNOSUPPORT),
]

SOCKETS = [
    ("UNIX stream", (1, 1 | CLOEXEC, 0), ALLOW),
    ("UNIX raw is a datagram", (1, 3, 0), ALLOW),
    ("TCP", (2, 1, 6), ALLOW),
    ("TCP, cloexec and nonblocking", (2, 1 | CLOEXEC | NONBLOCK, 0), ALLOW),
    ("MPTCP", (2, 1, 262), ALLOW),
    ("UDP 6", (10, 2, 17), ALLOW),
    ("ping datagram", (2, 2, 1), ALLOW),
    ("SCTP", (2, 5, 132), ALLOW),
    ("raw ICMP", (2, 3, 1), ALLOW),
    ("raw ICMP, cloexec", (2, 3 | CLOEXEC, 1), ALLOW),
    ("raw ICMPv6", (10, 3, 58), ALLOW),
    ("raw ICMP on IPv6", (10, 3, 1), EPERM),
    ("raw TCP", (2, 3, 6), EPERM),
    ("raw IPPROTO_RAW", (2, 3, 255), EPERM),
    ("raw, high bits of the protocol", (2, 3, JUNK | 6), EPERM),
    ("raw, cloexec", (2, 3 | CLOEXEC, 255), EPERM),
    ("raw, high bits of the type", (2, JUNK | 3, 255), EPERM),
    ("SOCK_PACKET", (2, 10, 3), EPERM),
    ("SOCK_PACKET, cloexec", (2, 10 | CLOEXEC, 3), EPERM),
    ("DCCP", (2, 6, 33), EPERM),
    ("RDM", (10, 4, 0), EPERM),
    ("AF_PACKET", (17, 3, 0x0300), EPERM),
    ("AF_PACKET datagram", (17, 2, 0), EPERM),
    ("high bits over AF_PACKET", (JUNK | 17, 3, 0), EAFNOSUPPORT),
    ("high bits over INET", (JUNK | 2, 3, 255), EAFNOSUPPORT),
    ("netlink ROUTE", (16, 3, 0), ALLOW),
    ("netlink SOCK_DIAG", (16, 3 | CLOEXEC, 4), ALLOW),
    ("netlink KOBJECT_UEVENT", (16, 2, 15), ALLOW),
    ("netlink GENERIC", (16, 3, 16), ALLOW),
    ("netlink NETFILTER", (16, 3, NETFILTER), EPROTONOSUPPORT),
    ("netlink XFRM", (16, 3, 6), EPROTONOSUPPORT),
    ("netlink CRYPTO", (16, 3, 21), EPROTONOSUPPORT),
    ("netlink high bits", (16, 3, JUNK | 6), EPROTONOSUPPORT),
    ("netlink AUDIT", (16, 3, AUDIT), EINVAL),
    ("netlink AUDIT, cloexec", (16, 3 | CLOEXEC, AUDIT), EINVAL),
    *[(f"family {family}", (family, 2, 0), EAFNOSUPPORT) for family in range(48) if family not in (1, 2, 10, 16, 17)],
    ("family -1", (-1, 2, 0), EAFNOSUPPORT),
]


@pytest.mark.parametrize(("name", "number", "args", "answer"), DEFAULT)
def test_default_on_x86_64(name: str, number: int, args: tuple[int, ...], answer: int) -> None:
    assert bpf.run(program(), X86_64, number & 0xFFFFFFFF, *args) == answer, name


@pytest.mark.parametrize(("name", "args", "answer"), SOCKETS)
def test_default_on_sockets(name: str, args: tuple[int, ...], answer: int) -> None:
    assert bpf.run(program(), X86_64, 41, *args) == answer, name
    # On i386 the call of its own is as strict; socketcall, when 32-bit programs run, can't be.
    if all(0 <= arg < JUNK for arg in args):
        assert bpf.run(program(compat32=True), I386, 359, *args) == answer, name
        assert bpf.run(program(compat32=True), X86_64, 41, *args) == answer, name


@pytest.mark.parametrize("number", [0, 1, 41, 59, 102, 435])
def test_other_abis_are_killed(number: int) -> None:
    assert bpf.run(program(), I386, number) == KILL_PROCESS
    for filter in (program(), program(compat32=True)):
        assert bpf.run(filter, X86_64, X32 | number) == KILL_PROCESS
        assert bpf.run(filter, bpf.AARCH64, number) == KILL_PROCESS


def test_32_bit_programs_get_the_same_answers_where_they_run() -> None:
    compat = program(compat32=True)
    table = [
        ("read", 3, (), ALLOW),
        ("socketcall: socket", 102, (1,), ALLOW),
        ("socketcall: setsockopt", 102, (14,), ALLOW),
        ("clock_gettime64", 403, (), ALLOW),
        ("mount", 21, (), EPERM),
        ("umount", 22, (), EPERM),
        ("clone: user namespace", 120, (1 << 28 | 17,), EPERM),
        ("clone: fork", 120, (17,), ALLOW),
        ("clone3", 435, (), ENOSYS),
        ("ioctl: TIOCSTI", 54, (0, 0x5412), EPERM),
        ("ioctl: TCGETS", 54, (0, 0x5401), ALLOW),
        ("io_uring_setup", 425, (), EPERM),
        ("vm86", 166, (), EPERM),
        ("setsockopt: IP_HDRINCL", 366, (3, 0, 3), EPERM),
        ("newer than everything", 999, (), ENOSYS),
    ]
    for name, number, args, answer in table:
        assert bpf.run(compat, I386, number, *args) == answer, name


@pytest.mark.parametrize(
    ("cap", "number", "args"),
    [
        ("SYS_ADMIN", 165, ()),
        ("SYS_ADMIN", 430, ()),
        ("SYS_ADMIN", 272, (0x10000000,)),
        ("SYS_ADMIN", 308, ()),
        ("SYS_ADMIN", 56, (0x10000011,)),
        ("SYS_ADMIN", 435, ()),
        ("SYS_ADMIN", 321, ()),
        ("BPF", 321, ()),
        ("PERFMON", 298, ()),
        ("SYSLOG", 103, ()),
        ("SYS_PTRACE", 438, ()),
        ("SYS_PTRACE", 312, ()),
        ("SYS_MODULE", 313, ()),
        ("SYS_TIME", 227, ()),
        ("SYS_TIME", 164, ()),
        ("SYS_BOOT", 169, ()),
        ("SYS_RAWIO", 172, ()),
        ("SYS_PACCT", 163, ()),
        ("SYS_NICE", 237, ()),
        ("SYS_TTY_CONFIG", 153, ()),
        ("DAC_READ_SEARCH", 304, ()),
        ("AUDIT_WRITE", 41, (16, 3, AUDIT)),
        ("NET_ADMIN", 41, (16, 3, NETFILTER)),
        ("NET_ADMIN", 41, (16, 3, 21)),
    ],
)
def test_a_capability_opens_its_calls_and_nothing_opens_them_without(
    cap: str, number: int, args: tuple[int, ...]
) -> None:
    assert bpf.run(program(), X86_64, number, *args) != ALLOW
    assert bpf.run(program("default", cap), X86_64, number, *args) == ALLOW
    for always in ((425,), (246,), (16, 0, 0x5412), (41, 38, 5, 0), (41, 40, 1, 0), (155,)):
        assert bpf.run(program("default", cap), X86_64, *always) != ALLOW


def test_net_admin_alone_does_not_open_the_audit_log() -> None:
    assert bpf.run(program("default", "NET_ADMIN"), X86_64, 41, 16, 3, AUDIT) == EINVAL


@pytest.mark.parametrize("args", [(17, 3, 0), (2, 3, 255), (2, 10, 3), (10, 3, 6)])
def test_asking_for_net_raw_by_name_lifts_the_fence(args: tuple[int, ...]) -> None:
    assert bpf.run(program(fence_raw=False), X86_64, 41, *args) == ALLOW
    assert bpf.run(program(fence_raw=False), X86_64, 54, 3, 0, 3) == ALLOW
    assert bpf.run(program(fence_raw=False), X86_64, 41, 38, 5, 0) == EAFNOSUPPORT


@pytest.mark.parametrize(
    ("number", "args", "answer"),
    [
        (0, (), ALLOW),
        (165, (), EPERM),
        (435, (), ENOSYS),
        (41, (2, 3, 255), ALLOW),
        (41, (17, 3, 0), ALLOW),
        (41, (16, 3, AUDIT), ALLOW),
        (41, (39, 1, 0), ALLOW),
        (41, (44, 1, 0), ALLOW),
        (41, (38, 5, 0), EPERM),
        (41, (40, 1, 0), EPERM),
        (16, (0, 0x5412), ALLOW),
        (54, (3, 0, 3), ALLOW),
        (53, (30, 1, 0), ALLOW),
        (56, (0x10000011,), EPERM),
        (135, (0x40000,), EPERM),
        (425, (), EPERM),
        (999, (), ENOSYS),  # newer than the profile
    ],
)
def test_the_docker_variant_answers_as_docker_does(number: int, args: tuple[int, ...], answer: int) -> None:
    assert bpf.run(program("docker"), X86_64, number, *args) == answer


def test_the_docker_variant_lets_all_three_abis_in() -> None:
    assert bpf.run(program("docker"), I386, 3) == ALLOW
    assert bpf.run(program("docker"), I386, 102, 1) == ALLOW
    assert bpf.run(program("docker"), X86_64, X32 | 0) == ALLOW
    assert bpf.run(program("docker"), X86_64, X32 | 165) == EPERM


ALLOWED_NAMES = " ".join(ALLOWED.values()).split()
DENIED_NAMES = " ".join(group.names for group in DENIED).split()


def test_every_call_is_in_one_group_and_every_refusal_has_a_reason() -> None:
    everything = ALLOWED_NAMES + DENIED_NAMES
    assert len(everything) == len(set(everything))
    assert all(group.why for group in DENIED)
    assert {cap for group in DENIED for cap in group.unless.split()} <= set(security.CAPABILITIES)


@pytest.mark.parametrize("header", ["unistd_64.h", "unistd_32.h"])
def test_every_call_of_this_machines_headers_has_been_thought_about(header: str) -> None:
    path = f"/usr/include/x86_64-linux-gnu/asm/{header}"
    if not os.path.exists(path):
        pytest.skip("no kernel headers")
    with open(path) as file:
        known = set(re.findall(r"#define __NR_(\w+) \d+", file.read()))
    by_argument = {"socket", "socketpair", "clone", "personality", "ioctl", "setsockopt"}
    later = {"listns", "rseq_slice_yield", "file_getattr", "file_setattr", "uprobe"}
    assert known - set(ALLOWED_NAMES) - set(DENIED_NAMES) - by_argument - later == set()


def test_numbers_of_newer_calls_agree_with_the_headers() -> None:
    path = "/usr/include/asm-generic/unistd.h"
    if not os.path.exists(path):
        pytest.skip("no kernel headers")
    with open(path) as file:
        known = {name: int(number) for name, number in re.findall(r"#define __NR_(\w+) (\d+)", file.read())}
    assert all(known.get(name, number) == number for name, number in _NEWER.items())
    assert (_NEWER["cachestat"], _NEWER["mseal"], _NEWER["file_setattr"]) == (451, 462, 469)


def test_others_are_all_but_the_values_once_each() -> None:
    for values in ([3], [0, 255], [18, 28], [7, 8, 9], []):
        hits = [[n & mask == value for mask, value in _others(values, 8)].count(True) for n in range(256)]
        assert hits == [0 if n in values else 1 for n in range(256)]


def test_the_setting_chooses_the_profile() -> None:
    caps = security.DEFAULT_CAPABILITIES
    assert profiles.seccomp_profile("unconfined", caps) is None
    assert profiles.seccomp_profile("", caps) == profiles.seccomp_profile("builtin", caps)
    fenced, lifted = (profiles.seccomp_profile("", caps, cap_add=add) for add in ((), ("net_raw",)))
    assert fenced != lifted == profiles.seccomp_profile("", caps, cap_add=["ALL"])
    docker = profiles.seccomp_profile("docker", caps)
    assert docker is not None and docker["defaultErrnoRet"] == 1
