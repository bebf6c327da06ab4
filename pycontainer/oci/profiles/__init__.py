"""System call filters: our default, one with docker's rules, and files in docker's format."""

from __future__ import annotations

import os

from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from pycontainer.oci.spec import Seccomp


def seccomp_profile(
    setting: str, capabilities: tuple[str, ...], *, cap_add: Collection[str] = (), compat32: bool = False
) -> Seccomp | None:
    """The runtime-spec's ``linux.seccomp`` for ``--security-opt seccomp=SETTING``.

    Args:
        setting: ``""`` or ``builtin`` for our default, ``docker``, ``unconfined``, or the path of a profile.
        capabilities: the container's bounding set: a profile may open calls for some.
        cap_add: what the user added by name; NET_RAW among it lifts the fence around raw sockets.
        compat32: whether 32-bit programs run; a file decides for itself.

    Returns None for no filter. Raises UsageError for a file that is not a profile.
    """
    machine = os.uname().machine
    if setting == "unconfined":
        return None
    if setting in ("", "builtin", "default"):
        from pycontainer.oci.profiles.builtin import default_profile

        raw = any(name.upper().removeprefix("CAP_") in ("NET_RAW", "ALL") for name in cap_add)
        return default_profile(capabilities, fence_raw=not raw, compat32=compat32, machine=machine)
    if setting == "docker":
        from pycontainer.oci.profiles.builtin import docker_profile

        return docker_profile(capabilities, machine=machine)
    from pycontainer.oci.profiles.file import load_profile  # json

    return load_profile(setting, capabilities, machine=machine)
