"""What this host has, and marks that skip a test by naming what it lacks."""

from __future__ import annotations

import os
import shutil

import pytest

PATIENCE = float(os.environ.get("PYC_PATIENCE", "1"))
"""How many times as long as usual a test waits before it takes slow for hung: more than 1 on an emulated machine."""

PACKAGES = {
    "bwrap": "bubblewrap",
    "ip": "iproute2",
    "nft": "nftables",
    "nginx": "nginx-light",
    "busybox": "busybox-static",
    "mkfs.ext4": "e2fsprogs",
    "qemu-system-x86_64": "qemu-system-x86",
    "ssh": "openssh-client",
}


def missing_command(*names: str) -> str:
    """The reason to skip, with the Debian package to install, or "" when all are there."""
    absent = [
        name for name in names if shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is None
    ]
    return "; ".join(f"needs {name}: apt-get install {PACKAGES.get(name, name)}" for name in absent)


def needs_command(*names: str) -> pytest.MarkDecorator:
    """Skip unless every program is installed."""
    reason = missing_command(*names)
    return pytest.mark.skipif(bool(reason), reason=reason)


def needs_kernel(major: int, minor: int, feature: str) -> pytest.MarkDecorator:
    """Skip on a kernel before ``major.minor``, the first with ``feature``."""
    release = tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2])
    return pytest.mark.skipif(release < (major, minor), reason=f"needs Linux {major}.{minor}: {feature}")


def needs_filesystem(name: str) -> pytest.MarkDecorator:
    """Skip unless /proc/filesystems has ``name`` (a module that is not loaded yet counts as absent)."""
    return pytest.mark.skipif(
        name not in _read("/proc/filesystems").split(), reason=f"needs the {name} filesystem in this kernel"
    )


def cgroup_version() -> int:
    """2 where /sys/fs/cgroup itself is the unified hierarchy, else 1 (hybrid included)."""
    return 2 if os.path.exists("/sys/fs/cgroup/cgroup.controllers") else 1


def cgroup_controllers() -> frozenset[str]:
    """The controllers that a container can be given here, by their v1 or v2 names."""
    if cgroup_version() == 2:
        return frozenset(_read("/sys/fs/cgroup/cgroup.controllers").split())
    mounts = (line.split() for line in _read("/proc/self/mountinfo").splitlines())
    options = (fields[-1].split(",") for fields in mounts if fields[-3] == "cgroup")
    return frozenset(option for group in options for option in group)


def needs_cgroup(version: int) -> pytest.MarkDecorator:
    """Skip unless the host's cgroups are of ``version``."""
    return pytest.mark.skipif(cgroup_version() != version, reason=f"needs cgroup v{version}")


def needs_controller(*names: str) -> pytest.MarkDecorator:
    """Skip unless every cgroup controller is mounted (v1) or enabled at the root (v2)."""
    absent = sorted(set(names) - cgroup_controllers())
    return pytest.mark.skipif(bool(absent), reason=f"needs the cgroup controller {', '.join(absent)}")


def needs_capability(name: str, number: int) -> pytest.MarkDecorator:
    """Skip unless this process has the capability: ``needs_capability("CAP_SYS_RESOURCE", 24)``."""
    fields = dict(line.split(":", 1) for line in _read("/proc/self/status").splitlines() if ":" in line)
    held = int(fields.get("CapEff", "0").strip(), 16) >> number & 1
    return pytest.mark.skipif(not held, reason=f"needs {name}, which this machine withholds even from root")


def needs_user_namespaces() -> pytest.MarkDecorator:
    """Skip where sysctls or the kernel forbid new user namespaces."""
    limit = _read("/proc/sys/user/max_user_namespaces").strip()
    cloning = _read("/proc/sys/kernel/unprivileged_userns_clone").strip()
    forbidden = limit in ("", "0") or (os.geteuid() != 0 and cloning == "0")
    return pytest.mark.skipif(forbidden, reason="needs user namespaces: sysctl user.max_user_namespaces")


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""
