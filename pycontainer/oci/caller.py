"""Who calls: root, root of a user namespace only, or an ordinary user (user_namespaces(7))."""

from __future__ import annotations

import os

from pycontainer.light import cache
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.oci.spec import Spec
    from pycontainer.plan.identity import Caller


@cache
def in_user_namespace() -> bool:
    """Whether this process is in another user namespace than the machine's first, whose ids are all there are."""
    return _read("/proc/self/uid_map").split() != [b"0", b"0", b"4294967295"]


@cache
def may_not_change_groups() -> bool:
    """Whether nobody here, and in no user namespace made from here, may do that."""
    return in_user_namespace() and _read("/proc/self/setgroups") == b"deny\n"


def caller_of(spec: Spec) -> Caller:
    """The same in the plan's words, for this container."""
    from pycontainer.plan.identity import Caller
    from pycontainer.plan.mounts import has_users

    if has_users(spec):
        from pycontainer.oci.users import groups_are_kept

        keeps = groups_are_kept(spec["linux"].get("gidMappings") or [])
    else:
        keeps = may_not_change_groups()
    return Caller(unprivileged=os.geteuid() != 0, in_users=in_user_namespace(), keeps_groups=keeps)


def is_rootless(word: str = "auto") -> bool:
    """What ``--rootless`` says; ``auto``: whether root's power over the machine is not ours."""
    return word == "true" if word != "auto" else bool(os.geteuid()) or in_user_namespace()


def _read(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:
        return file.read()
