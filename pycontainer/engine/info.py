"""What pycontainer makes of this host: its numbers, its kernel's features, and what is missing."""

from __future__ import annotations

import os

from pycontainer import __version__
from pycontainer.engine import containers, users
from pycontainer.engine.facts import capabilities
from pycontainer.engine.options import Roots
from pycontainer.image.platform import Platform
from pycontainer.image.store import Store
from pycontainer.oci import security
from pycontainer.oci.build import USERS
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any


def describe(roots: Roots) -> dict[str, Any]:
    """The host in the shape of docker's SystemInfo, as far as it has a meaning here."""
    host, found = os.uname(), containers.listing(roots)
    states = [container.state for container in found]
    return {
        "Containers": len(found),
        "ContainersRunning": states.count("running"),
        "ContainersPaused": 0,
        "ContainersStopped": len(found) - states.count("running"),
        "Images": len(Store(roots.root).images()),
        "ServerVersion": __version__,
        "Driver": "overlay",
        "CgroupVersion": cgroup_version(),
        "CgroupDriver": "cgroupfs",
        "DefaultRuntime": "pyc",
        "KernelVersion": host.release,
        "OperatingSystem": operating_system(),
        "OSType": "linux",
        "Architecture": host.machine,
        "Platform": str(Platform.of("linux", host.machine)),
        "NCPU": os.cpu_count() or 1,
        "MemTotal": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "Name": host.nodename,
        "DockerRootDir": roots.root,
        "RunRoot": roots.runroot,
        "Rootless": os.geteuid() != 0,
        "SecurityOptions": ["name=seccomp,profile=builtin", "name=cgroupns", "name=userns", "name=no-new-privileges"],
        "Warnings": warnings(),
    }


def cgroup_version() -> str:
    """``2`` where there is one hierarchy, else ``1``: cgroups(7)."""
    return "2" if os.path.exists("/sys/fs/cgroup/cgroup.controllers") else "1"


def operating_system() -> str:
    """The name of the distribution: os-release(5)."""
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                for line in file:
                    if line.startswith("PRETTY_NAME="):
                        return line.partition("=")[2].strip().strip("\"'")
        except OSError:
            continue
    return "Linux"


def warnings() -> list[str]:
    """What a container will lack here, in words."""
    held = capabilities()
    lacks = []
    if os.geteuid() != 0:
        lacks.append("not root: only --dry-run works")
    if "CAP_SYS_ADMIN" not in held:
        lacks.append("CAP_SYS_ADMIN is missing: no mounts, no namespaces")
    if "CAP_SYS_RESOURCE" not in held:
        lacks.append("CAP_SYS_RESOURCE is missing: hard limits can't be raised, oom_score_adj can't be lowered")
    if not os.path.exists("/proc/self/ns/cgroup"):
        lacks.append("the kernel has no cgroup namespaces")
    return lacks


def posture() -> dict[str, Any]:
    """What a container may do here when nobody asks for anything else: ``pyc info --security``."""
    held = capabilities()
    paths = security.system_paths()
    return {
        "Capabilities": [name for name in security.DEFAULT_CAPABILITIES if name in held],
        "DroppedFromDocker": [c for c in security.DOCKER_CAPABILITIES if c not in security.DEFAULT_CAPABILITIES],
        "NoNewPrivileges": "on, unless the image holds a program like sudo",
        "Seccomp": "builtin",
        "SocketFamilies": ["unix", "inet", "inet6", "netlink: route, sock_diag, kobject_uevent, generic"],
        "RawSockets": "icmp only, unless --cap-add NET_RAW",
        "32BitPrograms": "only if the image has some",
        "Namespaces": ["mount", "uts", "ipc", "pid", "network", "cgroup", "user"],
        "UserIds": f"{USERS} of the host's from {users.FIRST} on, others for each container",
        "UserNamespaceOffFor": [
            "--privileged, --device, --userns host",
            "--network, --pid or --ipc host or container:X; --ipc shareable",
            f"--cap-add {', '.join(sorted(name.removeprefix('CAP_') for name in users.MEAN_THE_HOST))}",
            "shared mounts, image mounts, filesystems that can't map ids",
        ],
        "Ulimits": ["nofile=1024:524288", "core=0"],
        "Keyring": "new",
        "Network": "bridge",
        "PidsLimit": 2048,
        "MaskedPaths": paths.masked,
        "ReadonlyPaths": paths.readonly,
        "Devices": [device.path for device in security.DEFAULT_DEVICES],
        "BindOptions": ["nosuid", "nodev"],
    }
