"""seccomp: from the runtime-spec's list of rules to the program that the kernel runs at every system call.

libseccomp does the compiling. With loading it that takes some eight milliseconds, so the result is kept in a
file and libseccomp is loaded only when there is none.

Sources: seccomp(2), the runtime-spec's config-linux on ``seccomp``.
"""

from __future__ import annotations

import os
from _struct import Struct  # `struct` itself is a file more to be read

from pycontainer import __version__
from pycontainer.core import calls
from pycontainer.core import constants as k
from pycontainer.core.directories import make_private
from pycontainer.core.step import INIT, Proof, Slot, Step
from pycontainer.errors import Unsupported, UsageError
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from typing import Any

    from pycontainer.oci.spec import Seccomp

LISTENER = Slot("seccomp listener")  # where an agent learns of the calls that it is to decide about
INSTRUCTION = Struct("=HBBI")  # struct sock_filter: code, jump if true, jump if false, k
_MAX_INSTRUCTIONS = 4096  # BPF_MAXINSNS
_LOAD_ARCH = INSTRUCTION.pack(0x20, 0, 0, 4)  # how libseccomp begins every program

FLAGS = {  # of seccomp(2), by the names of the runtime-spec
    "SECCOMP_FILTER_FLAG_TSYNC": 1 << 0,
    "SECCOMP_FILTER_FLAG_LOG": 1 << 1,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": 1 << 2,
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": 1 << 5,
}


class Filter(Record):
    """A compiled filter: ``program`` is an array of ``struct sock_filter``, ``flags`` are those of seccomp(2)."""

    program: bytes
    flags: int


def install(filter_: Filter | None, *, taken: Slot | None = None) -> tuple[Step, ...]:
    """The step that puts the process, and all it will ever start, behind the filter.

    Through the socket ``taken`` comes the word that the filter's listener has been taken: execve will close it.
    """
    if filter_ is None:
        return ()
    listens = bool(filter_.flags & k.SECCOMP_FILTER_FLAG_NEW_LISTENER)
    call = calls.seccomp(filter_.flags, filter_.program, out=LISTENER if listens else None)
    return (
        Step(
            "Filter system calls",
            "Each call of the program runs through this little program first: what it refuses, the kernel never sees",
            INIT,
            (call._replace(report=listens), *((calls.read(taken, 1, expect=1),) if listens and taken else ())),
            "seccomp(2)",
            Proof("/proc/{pid}/status", "Seccomp_filters"),
            field="linux.seccomp",
        ),
    )


def load(profile: Seccomp, cache: str) -> Filter:
    """Compile ``profile``, or take it from the directory ``cache`` if it was compiled before.

    The file's name is a digest of everything the result depends on; it appears by rename and is
    never changed. Raises UsageError for a profile that makes no sense.
    """
    flags = _flags(profile)
    path = f"{cache}/{_key(profile)}.bpf"
    program = _read(path)
    if program is None:
        from pycontainer.plan.seccomp_compiler import compile_profile  # what is kept needs none of it

        program = compile_profile(profile)
        _write(path, program)
    return Filter(program, flags)


def _key(profile: Seccomp) -> str:
    import marshal  # json takes four times as long for these 30 kB; nothing is ever read back from it
    from _blake2 import blake2b  # hashlib would load OpenSSL, 3 ms

    system = os.uname()
    inputs: Any = (profile, __version__, _libseccomp_version(), system.machine, system.release)
    return blake2b(marshal.dumps(inputs, 0), digest_size=20).hexdigest()


def _libseccomp_version() -> str:
    """What the soname links to, such as ``libseccomp.so.2.5.4``: asking the library would mean loading it."""
    import sys

    triplet = getattr(sys.implementation, "_multiarch", "")
    for directory in (f"/usr/lib/{triplet}", "/usr/lib64", "/lib64", "/usr/lib"):
        try:
            return os.readlink(f"{directory}/libseccomp.so.2")
        except OSError:
            continue
    return ""


def _read(path: str) -> bytes | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        program = os.read(fd, _MAX_INSTRUCTIONS * INSTRUCTION.size + 1)
    finally:
        os.close(fd)
    return program if _is_sane(program) else None


def _is_sane(program: bytes) -> bool:
    """A whole program: it begins by loading the architecture and ends with a return."""
    count, rest = divmod(len(program), INSTRUCTION.size)
    if rest or not 2 <= count <= _MAX_INSTRUCTIONS:
        return False
    return program.startswith(_LOAD_ARCH) and program[-INSTRUCTION.size :].startswith(b"\x06\0")


def _write(path: str, program: bytes) -> None:
    """Keep a program for the next time; a cache that can't be written only costs time."""
    temporary = f"{path}.{os.getpid()}.{id(program)}"  # two threads may compile the same
    try:
        make_private(os.path.dirname(path))
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, program)
            os.fsync(fd)  # half a filter after a power cut would be a hole
        finally:
            os.close(fd)
        os.rename(temporary, path)
    except OSError:
        return


def _flags(profile: Seccomp) -> int:
    flags = k.SECCOMP_FILTER_FLAG_NEW_LISTENER if profile.get("listenerPath") and notifies(profile) else 0
    for name in profile.get("flags") or ():
        if name not in FLAGS:
            raise UsageError(f"seccomp profile: unknown flag {name!r}")
        flags |= FLAGS[name]
    return flags


def notifies(profile: Seccomp) -> bool:
    """Whether some calls are for an agent to decide, who must be told of them."""
    rules = [rule for rule in profile.get("syscalls") or () if rule.get("action") == "SCMP_ACT_NOTIFY"]
    told = {name for rule in rules for name in rule.get("names") or ()}
    if profile.get("defaultAction") == "SCMP_ACT_NOTIFY" or told & {"sendto", "read"}:
        raise Unsupported("linux.seccomp: SCMP_ACT_NOTIFY on sendto or read would keep the listener from its agent")
    return bool(rules)
