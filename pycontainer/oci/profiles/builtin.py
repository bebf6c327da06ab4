"""The two filters that come with pycontainer: its default, and the rules of docker's.

The default allows docker's calls and then looks at arguments where docker does not: which kinds of
sockets, raw packets, pushing characters into a terminal.

Two rules about rules, which make a filter mean the same whoever compiles it:

- All rules on one call are disjoint, so their order does not matter.
- The kernel looks at the lower 32 bits of an ``int``, a filter compares all 64. So allowed values are listed
  exactly, and "anything but" never stands in a rule that allows: ``1 << 32 | 40`` is not 40, but becomes it.

Sources: seccomp(2), socket(2), clone(2), personality(2), the kernel's include/linux/socket.h.
"""

from __future__ import annotations

from pycontainer.light import lru_cache
from pycontainer.oci.profiles.syscalls import ALLOWED, DENIED, ENOSYS, EPERM
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from pycontainer.oci.spec import Seccomp, SeccompArg, SeccompRule

_EINVAL, _EPROTONOSUPPORT, _EAFNOSUPPORT = 22, 93, 97

# socket(2): families, types (in the lowest four bits of the second argument), protocols.
_UNIX, _INET, _INET6, _NETLINK, _PACKET, _ALG, _VSOCK = 1, 2, 10, 16, 17, 38, 40
_TYPE_MASK, _STREAM, _DGRAM, _RAW, _SEQPACKET = 0xF, 1, 2, 3, 5
_ICMP, _ICMPV6 = 1, 58
_NETLINK_ALLOWED = (0, 4, 15, 16)  # ROUTE (addresses), SOCK_DIAG (ss), KOBJECT_UEVENT (udev), GENERIC
_NETLINK_AUDIT = 9

# setsockopt(2): the levels that sockets of the allowed families have.
_SOL_IP, _SOL_IPV6, _IP_HDRINCL, _IPV6_HDRINCL = 0, 41, 3, 36
_SOL_OTHERS = (1, 6, 17, 58, 132, 136, 255, 270, 282, 284)  # SOCKET TCP UDP ICMPV6 SCTP UDPLITE RAW NETLINK TLS MPTCP

_CLONE_NEW = (1 << 17, 1 << 25, 1 << 26, 1 << 27, 1 << 28, 1 << 29, 1 << 30)  # mount cgroup uts ipc user pid net
_PERSONALITIES = (0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)  # Linux, 32-bit uname, 2.6 uname, both; "which is it?"
_PERSONALITY_FLAGS = tuple(1 << bit for bit in range(18, 28))  # ADDR_NO_RANDOMIZE ... ADDR_LIMIT_3GB
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C

_SUB_ARCHITECTURES = {"x86_64": ("X86_64", "X86", "X32"), "aarch64": ("AARCH64", "ARM")}


@lru_cache(maxsize=4)  # one program may start many containers
def default_profile(
    capabilities: tuple[str, ...], *, fence_raw: bool = True, compat32: bool = False, machine: str = "x86_64"
) -> Seccomp:
    """Our default filter as the runtime-spec's ``linux.seccomp``, not to be changed by whoever gets it.

    Args:
        capabilities: the container's bounding set; some lift a rule.
        fence_raw: hold raw sockets to ICMP. Off when the user asked for NET_RAW by name.
        compat32: also admit 32-bit programs of this machine. x32 is never admitted.
        machine: as uname(2) has it.
    """
    names = _SUB_ARCHITECTURES.get(machine, ())[: 2 if compat32 else 1]
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": ENOSYS,
        "architectures": [f"SCMP_ARCH_{name}" for name in names],
        "syscalls": [
            *_by_name(capabilities),
            *_clone(capabilities),
            *_personality(),
            *_ioctl(),
            *_socket(capabilities, fence_raw),
            *_setsockopt(fence_raw),
        ],
    }


def docker_profile(capabilities: Collection[str], *, machine: str = "x86_64") -> Seccomp:
    """A filter that lets through what docker 28's does: ``--security-opt seccomp=docker``."""
    allowed = next(_by_name(capabilities))
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": EPERM,
        "architectures": [f"SCMP_ARCH_{name}" for name in _SUB_ARCHITECTURES.get(machine, ())],
        "syscalls": [
            allowed,
            _allow("ioctl setsockopt socketpair"),
            *(rule for rule in (*_clone(capabilities), *_personality()) if rule["action"] == "SCMP_ACT_ALLOW"),
            *([] if "CAP_SYS_ADMIN" in capabilities else [_refuse("clone3", ENOSYS)]),
            _allow("socket", _arg(0, _ALG, op="LT")),
            _allow("socket", _arg(0, _ALG + 1)),
            _allow("socket", _arg(0, _VSOCK, op="GT")),
        ],
    }


def _by_name(capabilities: Collection[str]) -> Iterator[SeccompRule]:
    """Calls that are allowed or denied whatever their arguments; the first rule is the one that allows."""
    allowed = list(ALLOWED.values())
    refused: dict[int, list[str]] = {}
    for group in DENIED:
        lifted = any(name in capabilities for name in group.unless.split())
        (allowed if lifted else refused.setdefault(group.errno, [])).append(group.names)
    yield _allow(" ".join(allowed))
    for errno, names in refused.items():
        yield _refuse(" ".join(names), errno)


def _clone(capabilities: Collection[str]) -> Iterator[SeccompRule]:
    """Processes and threads, but no namespaces. (s390 has the flags in the second argument; we don't run there.)"""
    if "CAP_SYS_ADMIN" in capabilities:
        yield _allow("clone")
        return
    yield _allow("clone", _masked(0, sum(_CLONE_NEW), 0))
    for flag in _CLONE_NEW:
        yield _refuse("clone", EPERM, _masked(0, flag, flag))


def _personality() -> Iterator[SeccompRule]:
    """No switching off of address randomisation, no executable stacks."""
    for value in _PERSONALITIES:
        yield _allow("personality", _arg(0, value))
    for flag in _PERSONALITY_FLAGS:  # bit 31, which no personality has, tells them from the query
        yield _refuse("personality", EPERM, _masked(0, 1 << 31 | flag, flag))


def _ioctl() -> Iterator[SeccompRule]:
    """No typing into a terminal on behalf of its user (CVE-2017-5226): neither TIOCSTI nor the console's paste."""
    # Bits above 31 don't matter to the kernel, and musl sets them: they are masked out.
    for mask, value in _others((_TIOCSTI, _TIOCLINUX), bits=32):
        yield _allow("ioctl", _masked(1, mask, value))
    for value in (_TIOCSTI, _TIOCLINUX):
        yield _refuse("ioctl", EPERM, _masked(1, 0xFFFFFFFF, value))


def _socket(capabilities: Collection[str], fence_raw: bool) -> Iterator[SeccompRule]:
    """Local, Internet and some netlink sockets. The other families are code that no service uses and no one watches."""
    families = {_UNIX, _INET, _INET6, _NETLINK, _PACKET}
    yield _allow("socket", _arg(0, _UNIX))
    for family in range(_PACKET):
        if family not in families:
            yield _refuse("socket", _EAFNOSUPPORT, _arg(0, family))
    yield _refuse("socket", _EAFNOSUPPORT, _arg(0, _PACKET, op="GT"))
    yield from _netlink(capabilities)
    if fence_raw:
        yield _refuse("socket", EPERM, _arg(0, _PACKET))
        yield from _internet(_INET, _ICMP)
        yield from _internet(_INET6, _ICMPV6)
    else:
        for family in (_INET, _INET6, _PACKET):
            yield _allow("socket", _arg(0, family))
    yield _allow("socketpair", _arg(0, _UNIX))
    yield _refuse("socketpair", _EAFNOSUPPORT, _arg(0, _UNIX, op="NE"))


def _internet(family: int, icmp: int) -> Iterator[SeccompRule]:
    """TCP, UDP, SCTP, and raw only for ping. Type 10 would be another name for AF_PACKET."""
    types = (_STREAM, _DGRAM, _SEQPACKET, _RAW)
    for kind in types[:3]:
        yield _allow("socket", _arg(0, family), _masked(1, _TYPE_MASK, kind))
    yield _allow("socket", _arg(0, family), _masked(1, _TYPE_MASK, _RAW), _arg(2, icmp))
    yield _refuse("socket", EPERM, _arg(0, family), _masked(1, _TYPE_MASK, _RAW), _arg(2, icmp, op="NE"))
    for mask, value in _others(types, bits=4):
        yield _refuse("socket", EPERM, _arg(0, family), _masked(1, mask, value))


def _netlink(capabilities: Collection[str]) -> Iterator[SeccompRule]:
    """Without AUDIT_WRITE "no audit in this kernel" (EINVAL) lets PAM and sshd carry on, where EPERM stops them."""
    audit = "CAP_AUDIT_WRITE" in capabilities
    if "CAP_NET_ADMIN" in capabilities:
        yield _allow("socket", _arg(0, _NETLINK), _arg(2, _NETLINK_AUDIT, op="LT"))
        yield _allow("socket", _arg(0, _NETLINK), _arg(2, _NETLINK_AUDIT, op="GT"))
    else:
        for protocol in _NETLINK_ALLOWED:
            yield _allow("socket", _arg(0, _NETLINK), _arg(2, protocol))
        last = _NETLINK_ALLOWED[-1]
        for protocol in range(last):
            if protocol not in (*_NETLINK_ALLOWED, _NETLINK_AUDIT):
                yield _refuse("socket", _EPROTONOSUPPORT, _arg(0, _NETLINK), _arg(2, protocol))
        yield _refuse("socket", _EPROTONOSUPPORT, _arg(0, _NETLINK), _arg(2, last, op="GT"))
    condition = _arg(0, _NETLINK), _arg(2, _NETLINK_AUDIT)
    yield _allow("socket", *condition) if audit else _refuse("socket", _EINVAL, *condition)


def _setsockopt(fence_raw: bool) -> Iterator[SeccompRule]:
    """No packet headers of one's own making on the raw sockets that ping may have."""
    if not fence_raw:
        yield _allow("setsockopt")
        return
    for level in _SOL_OTHERS:
        yield _allow("setsockopt", _arg(1, level))
    for level, option in ((_SOL_IP, _IP_HDRINCL), (_SOL_IPV6, _IPV6_HDRINCL)):
        yield _refuse("setsockopt", EPERM, _arg(1, level), _arg(2, option))
        for mask, value in _others((option,), bits=8):
            yield _allow("setsockopt", _arg(1, level), _masked(2, mask | ~0xFF & (1 << 64) - 1, value))


def _others(values: Collection[int], bits: int) -> Iterator[tuple[int, int]]:
    """All ``bits``-bit numbers but ``values`` as disjoint (mask, value) blocks: those with number & mask == value."""
    todo = [(list(values), 0, bits)]  # halve until a half has none of them
    while todo:
        inside, base, width = todo.pop()
        if not inside:
            yield (1 << bits) - (1 << width), base
        elif width:
            half = base | 1 << width - 1
            todo.append(([value for value in inside if value < half], base, width - 1))
            todo.append(([value for value in inside if value >= half], half, width - 1))


def _allow(names: str, *args: SeccompArg) -> SeccompRule:
    rule: SeccompRule = {"names": names.split(), "action": "SCMP_ACT_ALLOW"}
    if args:
        rule["args"] = list(args)
    return rule


def _refuse(names: str, errno: int, *args: SeccompArg) -> SeccompRule:
    rule: SeccompRule = {"names": names.split(), "action": "SCMP_ACT_ERRNO", "errnoRet": errno}
    if args:
        rule["args"] = list(args)
    return rule


def _arg(index: int, value: int, *, op: str = "EQ") -> SeccompArg:
    return {"index": index, "value": value, "op": f"SCMP_CMP_{op}"}


def _masked(index: int, mask: int, value: int) -> SeccompArg:
    return {"index": index, "value": mask, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ"}
