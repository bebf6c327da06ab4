"""Which failures start a container in the host's user namespace, and that no others do."""

from __future__ import annotations

import errno
import itertools

import pytest

from pycontainer.core import calls
from pycontainer.core import constants as k
from pycontainer.core.performer import PlanFailed
from pycontainer.core.step import INIT, KEEPER, MONITOR, Call, Slot, Step
from pycontainer.core.wire import Outcome
from pycontainer.engine import host_ids

A, B = Slot("a"), Slot("map")
PLACE = "/var/lib/pycontainer/containers/x"
KEEPERS = calls.clone3(k.CLONE_NEWUSER, child=KEEPER, out=A)
INITS = calls.clone3(k.CLONE_NEWUSER | k.CLONE_NEWNS, child=INIT, out=A)
MAPS = calls.mount_setattr(A, 0, set=k.MOUNT_ATTR_IDMAP, userns=Slot("users"))
MAPS_ALL = calls.mount_setattr(A, k.AT_RECURSIVE, set=k.MOUNT_ATTR_IDMAP, userns=Slot("users"))
TAKES = calls.open_tree(k.AT_FDCWD, "/a", k.OPEN_TREE_CLONE, out=A)
CREATES = calls.fsconfig(A, k.FSCONFIG_CMD_CREATE)
ATTACHES = calls.openat(k.AT_FDCWD, PLACE, k.O_PATH, out=A)


def cause(call: Call, number: int, where: str = MONITOR, title: str = "Bind /a to /b") -> str:
    step = Step(title, "", where, (TAKES, call), "")
    return host_ids.cause(PlanFailed(step, call, Outcome(0, number, 0, 0), {}), PLACE)


@pytest.mark.parametrize(
    ("call", "number", "said"),
    [
        (KEEPERS, errno.ENOSPC, "user.max_user_namespaces"),
        (KEEPERS, errno.EUSERS, "user.max_user_namespaces"),
        (KEEPERS, errno.EINVAL, "the kernel gives us none"),
        (KEEPERS, errno.EPERM, "the kernel gives us none"),
        (calls.write(B, b"0 1 2"), errno.EPERM, "has not given these ids"),
        (MAPS, errno.EINVAL, "the filesystem of /a can't map ids"),
        (MAPS, errno.EOPNOTSUPP, "the filesystem of /a can't map ids"),
        (MAPS_ALL, errno.EINVAL, "the filesystem of /a, or of something mounted below it, can't map ids"),
    ],
)
def test_a_cause_is_told_in_words(call: Call, number: int, said: str) -> None:
    assert said in cause(call, number)


NONE = [
    (INITS, errno.ENOSPC), (INITS, errno.EPERM), (INITS, errno.EINVAL), (KEEPERS, errno.EAGAIN),
    (KEEPERS, errno.ENOMEM), (ATTACHES, errno.ENOENT), (ATTACHES, errno.EMFILE),
    (calls.write(A, b"x"), errno.EPERM), (calls.write(A, b"x"), errno.EINVAL), (calls.write(B, b"x"), errno.EIO),
    (MAPS, errno.ENOMEM), (MAPS, errno.EIO), (calls.mount_setattr(A, 0, set=k.MOUNT_ATTR_RDONLY), errno.EPERM),
    (calls.openat(k.AT_FDCWD, "/elsewhere", 0, out=A), errno.EACCES),
    (calls.fsopen("tmpfs", out=A), errno.EPERM), (calls.pidfd_getfd(A, 1, out=B), errno.EMFILE),
    (calls.execve("/x", ("x",), ()), errno.EACCES), (calls.setresuid(0), errno.EPERM), (CREATES, errno.EIO),
]  # fmt: skip


@pytest.mark.parametrize(("where", "failed"), list(itertools.product((MONITOR, INIT), NONE)))
def test_any_other_failure_is_an_error_and_no_reason_to_be_the_host_s_root(
    where: str, failed: tuple[Call, int]
) -> None:
    assert cause(*failed, where=where) == ""


def test_layers_that_the_kernel_does_not_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_ids, "kernel_version", lambda: (5, 18))
    assert "before Linux 5.19" in cause(CREATES, errno.EINVAL)
    monkeypatch.setattr(host_ids, "kernel_version", lambda: (5, 19))
    assert cause(CREATES, errno.EINVAL) == ""


def test_a_filesystem_of_the_kernel_s_is_refused_for_a_reason_only_where_the_host_s_is_covered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mounts = ["1 0 0:1 / /proc/sys/fs/binfmt_misc rw - autofs a rw", "2 0 0:2 / /sys/fs/cgroup rw - cgroup2 c rw"]
    monkeypatch.setattr(host_ids, "_read", lambda path: "\n".join(mounts))
    assert cause(calls.fsmount(A, 0, out=B), errno.EPERM, INIT) == ""
    mounts.append("3 0 0:3 / /proc/kcore rw - tmpfs t rw")
    assert "/proc/kcore is covered" in cause(calls.fsmount(A, 0, out=B), errno.EPERM, INIT)
    assert cause(calls.fsmount(A, 0, out=B), errno.EPERM, MONITOR) == ""


def test_who_may_not_look_into_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_ids, "_read", lambda path: "3")
    assert "ptrace_scope=3" in cause(calls.pidfd_getfd(A, 1, out=B), errno.EPERM)
    monkeypatch.setattr(host_ids, "_read", lambda path: "1")
    assert cause(calls.pidfd_getfd(A, 1, out=B), errno.EPERM) == ""
