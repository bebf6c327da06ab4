"""The OCI runtime-spec 1.3 for Linux as types, with the names of its JSON: https://github.com/opencontainers/runtime-spec

A spec is plain data, the content of a bundle's ``config.json``. All keys are optional in the types (``total=False``);
what is required is checked where a spec is read. Import this for types only: making them takes a millisecond that a
start does not need.
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict

from pycontainer.cgroups.resources import Resources


class Spec(TypedDict, total=False):
    """The whole of ``config.json`` (config.md)."""

    ociVersion: str
    root: Root
    mounts: list[Mount]
    process: Process
    hostname: str
    domainname: str
    hooks: Hooks
    annotations: dict[str, str]
    linux: Linux


class Root(TypedDict, total=False):
    """The root filesystem: a path, absolute or below the bundle."""

    path: str
    readonly: bool


class Mount(TypedDict, total=False):
    """One mount, done in the order of the list (config.md, Mounts)."""

    destination: str
    source: str
    type: str
    options: list[str]
    uidMappings: list[IDMapping]
    gidMappings: list[IDMapping]


class IDMapping(TypedDict, total=False):
    """A range of user or group ids: user_namespaces(7)."""

    containerID: int
    hostID: int
    size: int


class Hook(TypedDict, total=False):
    """A program that the runtime calls; timeout in seconds."""

    path: str
    args: list[str]
    env: list[str]
    timeout: int


class Hooks(TypedDict, total=False):
    """Programs to call at points of a container's life (config.md, POSIX-platform Hooks)."""

    prestart: list[Hook]
    createRuntime: list[Hook]
    createContainer: list[Hook]
    startContainer: list[Hook]
    poststart: list[Hook]
    poststop: list[Hook]


# --- the process ------------------------------------------------------------------------------------------------------


class Process(TypedDict, total=False):
    """The container's first process (config.md, Process)."""

    terminal: bool
    consoleSize: ConsoleSize
    cwd: str
    env: list[str]
    args: list[str]
    commandLine: str
    rlimits: list[Rlimit]
    apparmorProfile: str
    capabilities: Capabilities
    noNewPrivileges: bool
    oomScoreAdj: int
    scheduler: Scheduler
    selinuxLabel: str
    ioPriority: IOPriority
    execCPUAffinity: ExecCPUAffinity
    user: User


class ConsoleSize(TypedDict, total=False):
    """The terminal's size in characters."""

    height: int
    width: int


class Rlimit(TypedDict, total=False):
    """One limit of setrlimit(2), ``type`` as RLIMIT_NOFILE."""

    type: str
    soft: int
    hard: int


class Capabilities(TypedDict, total=False):
    """The five sets of capabilities(7), as CAP_CHOWN."""

    bounding: list[str]
    effective: list[str]
    inheritable: list[str]
    permitted: list[str]
    ambient: list[str]


class Scheduler(TypedDict, total=False):
    """sched_setattr(2)."""

    policy: str
    nice: int
    priority: int
    flags: list[str]
    runtime: int
    deadline: int
    period: int


IOPriority = TypedDict(
    "IOPriority",
    {"class": Literal["IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"], "priority": int},
    total=False,
)
"""ioprio_set(2)."""


class ExecCPUAffinity(TypedDict, total=False):
    """CPUs for processes that enter later, before and after they move to the cgroup."""

    initial: str
    final: str


class User(TypedDict, total=False):
    """Who the process is, as numbers in the container."""

    uid: int
    gid: int
    umask: int
    additionalGids: list[int]
    username: str


# --- Linux ------------------------------------------------------------------------------------------------------------


class Linux(TypedDict, total=False):
    """config-linux.md."""

    namespaces: list[Namespace]
    uidMappings: list[IDMapping]
    gidMappings: list[IDMapping]
    timeOffsets: TimeOffsets
    devices: list[Device]
    netDevices: dict[str, NetDevice]
    cgroupsPath: str
    resources: Resources
    intelRdt: IntelRdt
    memoryPolicy: MemoryPolicy
    sysctl: dict[str, str]
    seccomp: Seccomp
    rootfsPropagation: Literal["shared", "slave", "private", "unbindable"]
    maskedPaths: list[str]
    readonlyPaths: list[str]
    mountLabel: str
    personality: Personality


class Namespace(TypedDict, total=False):
    """A namespace to make, or to join when it has a path: namespaces(7)."""

    type: Literal["pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time"]
    path: str


class TimeOffsets(TypedDict, total=False):
    """The two clocks that can differ: time_namespaces(7)."""

    boottime: TimeOffset
    monotonic: TimeOffset


class TimeOffset(TypedDict, total=False):
    """How far a clock of the container is ahead of the host's."""

    secs: int
    nanosecs: int


class Device(TypedDict, total=False):
    """A device node to make: mknod(2)."""

    type: Literal["c", "b", "u", "p"]
    path: str
    major: int
    minor: int
    fileMode: int
    uid: int
    gid: int


class NetDevice(TypedDict, total=False):
    """A network device of the host to move in, with its new name."""

    name: str


class Seccomp(TypedDict, total=False):
    """A system call filter: seccomp(2)."""

    defaultAction: str
    defaultErrnoRet: int
    architectures: list[str]
    flags: list[str]
    listenerPath: str
    listenerMetadata: str
    syscalls: list[SeccompRule]


class SeccompRule(TypedDict, total=False):
    """What to do about some calls, when all ``args`` conditions hold."""

    names: list[str]
    action: str
    errnoRet: int
    args: list[SeccompArg]


class SeccompArg(TypedDict, total=False):
    """A condition on one argument, numbered from 0."""

    index: int
    value: int
    valueTwo: int
    op: str


class IntelRdt(TypedDict, total=False):
    """Cache and memory bandwidth allocation: the kernel's resctrl.rst."""

    closID: str
    schemata: list[str]
    l3CacheSchema: str
    memBwSchema: str
    enableMonitoring: bool


class MemoryPolicy(TypedDict, total=False):
    """set_mempolicy(2)."""

    mode: str
    nodes: str
    flags: list[str]


class Personality(TypedDict, total=False):
    """personality(2)."""

    domain: Literal["LINUX", "LINUX32"]
    flags: list[str]


Json = dict[str, Any]
"""A spec before it has been checked."""
