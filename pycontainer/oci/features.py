"""What this runtime can do, in the form that engines ask for (runtime-spec, features.md and features-linux.md)."""

from __future__ import annotations

import os

from pycontainer import __version__
from pycontainer.core.capabilities import CAPABILITIES
from pycontainer.core.constants import MEMORY_POLICIES, MEMORY_POLICY_FLAGS
from pycontainer.oci.hooks import KINDS
from pycontainer.oci.state import VERSION
from pycontainer.plan import mounts, seccomp
from pycontainer.plan.namespaces import FILES
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any


_ACTIONS = "ALLOW ERRNO KILL KILL_PROCESS KILL_THREAD LOG NOTIFY TRACE TRAP".split()
_OPERATORS = "EQ GE GT LE LT MASKED_EQ NE".split()
_ARCHITECTURES = (
    "AARCH64 ARM LOONGARCH64 M68K MIPS MIPS64 MIPS64N32 MIPSEL MIPSEL64 MIPSEL64N32 PARISC PARISC64 PPC PPC64 PPC64LE"
    " RISCV64 S390 S390X SH SHEB X32 X86 X86_64"
).split()


def features() -> dict[str, Any]:
    """The whole document."""
    return {
        "ociVersionMin": "1.0.0",
        "ociVersionMax": VERSION,
        "hooks": list(KINDS),
        "mountOptions": sorted(mounts.option_names()),
        "linux": {
            "namespaces": sorted(FILES),
            "capabilities": list(CAPABILITIES),
            "cgroup": {
                "v1": True,
                "v2": True,
                "systemd": True,
                "systemdUser": False,
                "rdma": True,
            },
            "seccomp": {
                "enabled": True,
                "actions": [f"SCMP_ACT_{name}" for name in _ACTIONS],
                "operators": [f"SCMP_CMP_{name}" for name in _OPERATORS],
                "archs": [f"SCMP_ARCH_{name}" for name in _ARCHITECTURES],
                "knownFlags": sorted(seccomp.FLAGS),
                "supportedFlags": sorted(seccomp.FLAGS),
            },
            "apparmor": {"enabled": os.path.exists("/sys/module/apparmor")},
            "selinux": {"enabled": os.path.exists("/sys/fs/selinux/enforce")},
            "intelRdt": {"enabled": True, "schemata": True, "monitoring": True},
            "memoryPolicy": {"modes": sorted(MEMORY_POLICIES), "flags": sorted(MEMORY_POLICY_FLAGS)},
            "mountExtensions": {"idmap": {"enabled": True}},
            "netDevices": {"enabled": True},
        },
        "annotations": {"org.opencontainers.runtime-spec.features.pyc-oci.version": __version__},
        "potentiallyUnsafeConfigAnnotations": [],
    }
