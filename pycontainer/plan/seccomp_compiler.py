"""Compiling the runtime-spec's list of rules for system calls, by libseccomp.

Three things are added to what libseccomp does, as runc does them too: calls that it does not know
yet are added by number; a call that is newer than everything in the profile gets ENOSYS, so that libc
falls back to an older one (a profile's EPERM would end there); and of several conditions on one
argument each counts by itself.

Sources: seccomp(2), seccomp_rule_add(3), the runtime-spec's config-linux on ``seccomp``.
"""

from __future__ import annotations

import os

from pycontainer.errors import HostLacks, Unsupported, UsageError
from pycontainer.plan.seccomp import INSTRUCTION
from pycontainer.plan.seccomp_ranges import shortened
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from pycontainer.oci.spec import Seccomp, SeccompArg, SeccompRule

_EPERM, _ENOSYS = 1, 38
_X32_BIT = 0x40000000
_UNKNOWN = -1  # __NR_SCMP_ERROR

_NEWER: dict[str, int] = {
    # Numbers from 424 on are the same on every architecture. libseccomp 2.5.4 ends at 450.
    name: 451 + offset
    for offset, name in enumerate(
        (
            "cachestat",
            "fchmodat2",
            "map_shadow_stack",
            "futex_wake",
            "futex_wait",
            "futex_requeue",
            "statmount",
            "listmount",
            "lsm_get_self_attr",
            "lsm_set_self_attr",
            "lsm_list_modules",
            "mseal",
            "setxattrat",
            "getxattrat",
            "listxattrat",
            "removexattrat",
            "open_tree_attr",
            "file_getattr",
            "file_setattr",
        )
    )
}


def compile_profile(profile: Seccomp) -> bytes:
    """An array of ``struct sock_filter``.

    Raises:
        UsageError: an unknown action, operator, architecture, or a rule libseccomp refuses.
        Unsupported: SCMP_ACT_NOTIFY.
        HostLacks: libseccomp is not installed.
    """
    try:
        from pycontainer.core._seccomp import ffi, lib  # loads libseccomp and cffi: 2 ms
    except ImportError as error:
        raise HostLacks(
            f"can't compile the seccomp profile: {error}",
            hint="install libseccomp2; --security-opt seccomp=unconfined does without a filter",
        ) from None
    return _Compiler(ffi, lib, profile).compile()


class _Compiler:
    """One compilation: a libseccomp filter for each architecture, merged, with the ENOSYS prologue before it."""

    def __init__(self, ffi: Any, lib: Any, profile: Seccomp) -> None:
        self.ffi, self.lib, self.profile = ffi, lib, profile
        self.default = self._action(profile.get("defaultAction"), profile.get("defaultErrnoRet"))
        self.native: int = lib.seccomp_arch_native()
        # The one that the kernel itself runs is always one of them, as in seccomp_init(3)
        self.arches = [self.native, *(self._arch(name) for name in profile.get("architectures") or ())]

    def compile(self) -> bytes:
        filters: list[Any] = []
        try:
            for arch in dict.fromkeys(self.arches):
                filters.append(self._filter(arch))
            while len(filters) > 1:
                self._check(self.lib.seccomp_merge(filters[0], filters[1]), "merging architectures")
                del filters[1]  # merging released it
            return shortened(self._prologue() + self._export(filters[0]))
        finally:
            for one in filters:
                self.lib.seccomp_release(one)

    def _filter(self, arch: int) -> Any:
        lib = self.lib
        context = lib.seccomp_init(self.default)
        if context == self.ffi.NULL:
            raise UsageError(
                f"seccomp profile: libseccomp refuses the default action {self.profile['defaultAction']!r}"
            )
        # A whole process dies, and not one thread that the others wait for, when it calls in an ABI that isn't listed.
        lib.seccomp_attr_set(context, lib.SCMP_FLTATR_ACT_BADARCH, lib.SCMP_ACT_KILL_PROCESS)
        lib.seccomp_attr_set(context, lib.SCMP_FLTATR_CTL_OPTIMIZE, 2)  # a binary tree instead of a list
        if arch != self.native:
            self._check(lib.seccomp_arch_add(context, arch), "adding an architecture")
            self._check(lib.seccomp_arch_remove(context, self.native), "removing an architecture")
        for rule in self.profile.get("syscalls") or ():
            self._add_rule(context, arch, rule)
        return context

    def _add_rule(self, context: Any, arch: int, rule: SeccompRule) -> None:
        action = self._action(rule.get("action"), rule.get("errnoRet"))
        if action == self.default:
            return  # libseccomp refuses what changes nothing
        alternatives = list(map(self._conditions, _alternatives(rule.get("args") or ())))
        for name in rule.get("names", ()):
            number = self._number(arch, name)
            for conditions in alternatives if number is not None else ():
                result = self.lib.seccomp_rule_add_array(context, action, number, len(conditions), conditions)
                if result == -14 and name in _NEWER:  # EFAULT: unknown on an architecture that isn't ours
                    continue
                self._check(result, f"a rule for {name}")

    def _number(self, arch: int, name: str) -> int | None:
        """What libseccomp calls this call: it wants the native number and translates; None if nobody has it."""
        number: int = self.lib.seccomp_syscall_resolve_name(name.encode("ascii", "replace"))
        if number == _UNKNOWN:
            return _NEWER.get(name)
        # A call of another architecture alone has a negative number, and so has one that exists nowhere.
        return number

    def _conditions(self, args: Sequence[SeccompArg]) -> Any:
        conditions = self.ffi.new("struct scmp_arg_cmp[]", len(args))
        for target, arg in zip(conditions, args, strict=True):
            op = arg.get("op", "")
            number = getattr(self.lib, op, None) if op.startswith("SCMP_CMP_") else None
            values = (arg.get("index", 0), arg.get("value", 0), arg.get("valueTwo", 0))
            if number is None or not all(isinstance(value, int) and 0 <= value < 1 << 64 for value in values):
                raise UsageError(f"seccomp profile: a condition that makes no sense: {dict(arg)}")
            if values[0] > 5:
                raise UsageError(f"seccomp profile: a call has arguments 0 to 5, not {values[0]}")
            target.arg, target.op, (target.datum_a, target.datum_b) = values[0], number, values[1:]
        return conditions

    def _action(self, name: object, errno: int | None) -> int:
        lib = self.lib
        data = _EPERM if errno is None else errno
        if name in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"):
            if not 0 <= data < 4096:
                raise UsageError(f"seccomp profile: {data} is not an error number")
            return int((0x00050000 if name == "SCMP_ACT_ERRNO" else 0x7FF00000) | data)
        if name == "SCMP_ACT_NOTIFY":
            if not self.profile.get("listenerPath"):
                raise Unsupported("seccomp profile: SCMP_ACT_NOTIFY: no agent to hand system calls to")
            return 0x7FC00000
        simple = {
            "SCMP_ACT_ALLOW": lib.SCMP_ACT_ALLOW,
            "SCMP_ACT_LOG": lib.SCMP_ACT_LOG,
            "SCMP_ACT_TRAP": lib.SCMP_ACT_TRAP,
            "SCMP_ACT_KILL": lib.SCMP_ACT_KILL_THREAD,
            "SCMP_ACT_KILL_THREAD": lib.SCMP_ACT_KILL_THREAD,
            "SCMP_ACT_KILL_PROCESS": lib.SCMP_ACT_KILL_PROCESS,
        }
        if name not in simple:
            raise UsageError(f"seccomp profile: unknown action {name!r}")
        return int(simple[name])

    def _arch(self, name: str) -> int:
        short = name.removeprefix("SCMP_ARCH_").lower()
        token: int = self.lib.seccomp_arch_resolve_name(short.encode("ascii", "replace"))
        if token == 0:
            raise UsageError(f"seccomp profile: unknown architecture {name!r}")
        return token

    def _prologue(self) -> bytes:
        """ENOSYS for each call that is newer than all that the profile speaks of; nothing if it allows by default."""
        allows = (self.lib.SCMP_ACT_ALLOW, self.lib.SCMP_ACT_LOG)
        if self.default in allows or self.default & 0xFFFF0000 == 0x7FF00000 or self.default == _ERRNO | _ENOSYS:
            return b""
        names = {name for rule in self.profile.get("syscalls") or () for name in rule.get("names", ())}
        blocks = []
        for arch in dict.fromkeys(self.arches):
            numbers = (self._arch_number(arch, name) for name in names)
            if newest := max((number for number in numbers if number >= 0), default=0):
                blocks.append(_enosys_above(arch & 0xFFFFFFFF, newest))
        return b"".join(blocks)

    def _arch_number(self, arch: int, name: str) -> int:
        number: int = self.lib.seccomp_syscall_resolve_name_arch(arch, name.encode("ascii", "replace"))
        return _NEWER.get(name, -1) if number == _UNKNOWN else number

    def _export(self, context: Any) -> bytes:
        fd = os.memfd_create("seccomp", os.MFD_CLOEXEC)
        try:
            self._check(self.lib.seccomp_export_bpf(context, fd), "exporting")
            return os.pread(fd, os.fstat(fd).st_size, 0)
        finally:
            os.close(fd)

    def _check(self, result: int, doing: str) -> None:
        if result < 0:
            raise UsageError(f"seccomp profile: {doing}: {os.strerror(-result).lower()}")


def _alternatives(args: Sequence[SeccompArg]) -> Iterable[Sequence[SeccompArg]]:
    """All conditions of a rule hold together, unless two are on one argument: then each is a rule of its own."""
    indexes = [arg.get("index", 0) for arg in args]
    return [args] if len(set(indexes)) == len(indexes) else [[arg] for arg in args]


# --- classic BPF ------------------------------------------------------------------------------------------

_LOAD, _JUMP_IF_EQUAL, _JUMP_IF_GREATER, _JUMP_IF_NOT_LESS, _RETURN = 0x20, 0x15, 0x25, 0x35, 0x06
_ERRNO = 0x00050000


def _enosys_above(arch: int, newest: int) -> bytes:
    return b"".join(
        INSTRUCTION.pack(*instruction)
        for instruction in (
            (_LOAD, 0, 0, 4),  # offsetof(struct seccomp_data, arch)
            (_JUMP_IF_EQUAL, 0, 4, arch),
            (_LOAD, 0, 0, 0),  # offsetof(struct seccomp_data, nr)
            (_JUMP_IF_NOT_LESS, 2, 0, _X32_BIT),  # x32 is libseccomp's business
            (_JUMP_IF_GREATER, 0, 1, newest),
            (_RETURN, 0, 0, _ERRNO | _ENOSYS),
        )
    )
