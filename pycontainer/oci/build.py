"""From an image's config and a user's options to a runtime-spec: a pure function, which touches nothing.

What it has to know about the host comes in as :class:`Facts`, so the same function serves a start, ``--dry-run`` on a
laptop without root, and the tests. The defaults of security are in oci/security.py.
"""

from __future__ import annotations

from pycontainer.core.capabilities import CAPABILITIES
from pycontainer.errors import UsageError
from pycontainer.oci import security, sysctl
from pycontainer.oci.resources import HostDevice, device_nodes, resources
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from typing import Any

    from pycontainer.image.manifest import ImageConfig
    from pycontainer.oci.grammar.mounts import Mount as MountOption
    from pycontainer.oci.options import ContainerOptions
    from pycontainer.oci.spec import Linux, Mount, Namespace, Process, Rlimit, Spec
    from pycontainer.oci.user import User

SPEC_VERSION = "1.3.0"
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NOFILE = (1024, 524288)
"""Open files, soft and hard. A low soft limit spares programs that loop over all descriptors; they may raise it."""


USERS = 65536
"""How many ids a container's user namespace has: root, nobody (65534), and all between."""


class Facts(Record):
    """What a spec depends on besides the image and the options.

    Attributes:
        nofile: the caller's hard limit of open files, which only CAP_SYS_RESOURCE could exceed.
        cpus: how many CPUs the host has.
        capabilities: those that the caller could give (its bounding set).
        devices: host paths -> the nodes there, for every path that the options name; ``/dev`` for --privileged.
        thermal_cpus: how many CPUs have a thermal_throttle directory.
        setuid_files: programs in the image with setuid, setgid or file capabilities.
        console: rows and columns of the caller's terminal.
        swap: cgroups here can limit swap.
        users: the first of the host's ids that the ids of its user namespace are, or 0 for no such namespace.
    """

    nofile: int = NOFILE[1]
    cpus: int = 1
    capabilities: Collection[str] = CAPABILITIES
    devices: Mapping[str, Collection[HostDevice]] = {}
    thermal_cpus: int = 0
    setuid_files: Collection[str] = ()
    console: tuple[int, int] | None = None
    swap: bool = False
    users: int = 0


def build_spec(
    config: ImageConfig,
    options: ContainerOptions,
    *,
    user: User,
    hostname: str,
    cgroups_path: str,
    facts: Facts = Facts(),  # noqa: B008 - immutable
    files: Mapping[str, str] | None = None,
    rootfs: str = "rootfs",
    seccomp: Any = None,
) -> Spec:
    """Describe the container.

    Args:
        config: of the image.
        options: of the user.
        user: who the process is, as oci/user.py found in the image.
        hostname: the container's, or the host's with ``--uts host``.
        cgroups_path: where its cgroup is (config-linux.md, Cgroups Path).
        facts: of the host.
        files: absolute container paths -> host files to bind there: /etc/hosts, /etc/hostname, /etc/resolv.conf.
        rootfs: the root's path, absolute or below the bundle.
        seccomp: the filter, or None for none.

    Raises:
        UsageError: options that make no sense with each other, this image or this host.
        HostLacks: a capability that the caller does not have to give.
    """
    spec: Spec = {
        "ociVersion": SPEC_VERSION,
        "process": _process(config, options, user, hostname, facts),
        "root": {"path": rootfs, "readonly": options.read_only},
        "mounts": _mounts(options, files or {}, facts),
        "linux": _linux(options, cgroups_path, facts),
    }
    if seccomp is not None:
        spec["linux"]["seccomp"] = seccomp
    if options.uts != "host":
        spec["hostname"] = hostname
        if options.domainname:
            spec["domainname"] = options.domainname
    if options.annotations:
        spec["annotations"] = dict(options.annotations)
    return spec


# --- the process ------------------------------------------------------------------------------------------------------


def _process(config: ImageConfig, options: ContainerOptions, user: User, hostname: str, facts: Facts) -> Process:
    capabilities = security.resolve_capabilities(
        options.cap_add, options.cap_drop, privileged=options.privileged, available=facts.capabilities
    )
    process: Process = {
        "terminal": options.tty,
        "user": {"uid": user.uid, "gid": user.gid},
        "args": arguments(config, options),
        "env": environment(config, options, home=user.home, hostname=hostname),
        "cwd": working_directory(config, options),
        "capabilities": security.process_capabilities(capabilities, user.uid),
        "rlimits": _rlimits(options, facts.nofile),
        "noNewPrivileges": security.no_new_privs(
            options.no_new_privileges, facts.setuid_files, privileged=options.privileged
        ),
    }
    if user.groups:
        process["user"]["additionalGids"] = list(user.groups)
    if options.oom_score_adj:
        process["oomScoreAdj"] = options.oom_score_adj
    if options.tty and facts.console:
        process["consoleSize"] = {"height": facts.console[0], "width": facts.console[1]}
    return process


def arguments(config: ImageConfig, options: ContainerOptions) -> list[str]:
    """The program and its arguments, as docker: an entrypoint that was asked for drops the image's command too."""
    if options.entrypoint is None:
        args = [*config.entrypoint, *(options.command or config.cmd)]
    else:
        args = [*filter(None, [options.entrypoint]), *options.command]
    if not args:
        raise UsageError("no command specified", hint="the image has none either: name one after the image")
    if any("\0" in word for word in args):
        raise UsageError("the command contains a NUL byte")
    return args


def environment(config: ImageConfig, options: ContainerOptions, *, home: str, hostname: str) -> list[str]:
    """Our own variables, then the image's, then the user's; of equal names the last wins at the first one's place."""
    values = {"PATH": DEFAULT_PATH, "HOSTNAME": hostname}
    if options.tty:
        values["TERM"] = "xterm"
    for entry in (*config.env, *options.env):
        name, equals, value = entry.partition("=")
        if not equals:
            values.pop(name, None)  # `-e NAME` of a variable that the caller does not have
        elif not name or not name.isprintable() or "\0" in value:
            raise UsageError(f"environment variable {name!r}: control characters in its name, or NUL in its value")
        else:
            values[name] = value
    values.setdefault("HOME", home or "/")
    for name in ("HOME", "USER", "HOSTNAME"):  # programs copy these into files of lines
        if not values.get(name, "").isprintable():
            raise UsageError(f"environment variable {name}: control characters in {values[name]!r}")
    return [f"{name}={value}" for name, value in values.items()]


def working_directory(config: ImageConfig, options: ContainerOptions) -> str:
    """Where the process starts; the image's is taken from the root if it is relative."""
    path = options.workdir or config.working_dir or "/"
    if not path.isprintable():
        raise UsageError(f"working directory {path!r} contains control characters")
    return path if path.startswith("/") else "/" + path


def _rlimits(options: ContainerOptions, nofile: int) -> list[Rlimit]:
    limits = {"RLIMIT_NOFILE": (min(NOFILE[0], nofile), min(NOFILE[1], nofile)), "RLIMIT_CORE": (0, 0)}
    limits |= {limit.type: (limit.soft, limit.hard) for limit in options.ulimits}
    return [{"type": name, "soft": soft, "hard": hard} for name, (soft, hard) in limits.items()]


# --- mounts -----------------------------------------------------------------------------------------------------------


_ITS_OWN = ("tmpfs", "volume", "image", "overlay")
"""Mounts that are made by the container itself, in its own user namespace."""


def _mounts(options: ContainerOptions, files: Mapping[str, str], facts: Facts) -> list[Mount]:
    """Parents before children, so that no mount is hidden by a later one; the user's replace ours at the same place.

    What is the kernel's comes last: a target may be a symbolic link of the image's that leads to /proc, and then the
    real /proc has to be on top.
    """
    mounts = {mount["destination"]: mount for mount in _default_mounts(options)}
    mode = ["ro"] if options.read_only else []
    if facts.users:
        mode.append("idmap")
    for destination, source in files.items():
        mounts[destination] = _host_bind(source, destination, ["bind", "rprivate", "nosuid", "nodev", "noexec", *mode])
    for asked in options.mounts:
        mounts[asked.target] = _mount(asked, options.privileged)
        if facts.users and asked.type not in _ITS_OWN:  # its files belong to whom they belong on the host
            mounts[asked.target]["options"].append("ridmap" if asked.recursive else "idmap")
    return sorted(mounts.values(), key=lambda mount: (_is_kernels(mount["destination"]), _depth(mount["destination"])))


def _is_kernels(target: str) -> bool:
    return target.startswith(("/proc/", "/sys/", "/dev/")) or target in ("/proc", "/sys", "/dev")


def _depth(target: str) -> int:
    return target.rstrip("/").count("/")


def _default_mounts(options: ContainerOptions) -> list[Mount]:
    hardened = ["nosuid", "noexec", "nodev"]
    sys_options = hardened if options.privileged else [*hardened, "ro"]
    mounts: list[Mount] = [
        _filesystem("proc", "/proc", hardened),
        _filesystem("tmpfs", "/dev", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        _filesystem("sysfs", "/sys", sys_options),
        _filesystem("devpts", "/dev/pts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
        _filesystem("cgroup", "/sys/fs/cgroup", sys_options),
    ]
    mounts.append(_filesystem("mqueue", "/dev/mqueue", hardened))  # shows the queues of its IPC namespace
    if options.ipc == "host":
        return [*mounts, _host_bind("/dev/shm", "/dev/shm", ["rbind", "rprivate", *hardened])]
    if options.ipc != "none" and not options.ipc.startswith("container:"):
        mounts.append(_filesystem("tmpfs", "/dev/shm", [*hardened, "mode=1777", f"size={options.shm_size}"], "shm"))
    return mounts


def _filesystem(kind: str, destination: str, options: list[str], source: str = "") -> Mount:
    return {"destination": destination, "type": kind, "source": source or kind, "options": list(options)}


def _host_bind(source: str, destination: str, options: list[str]) -> Mount:
    return {"destination": destination, "type": "bind", "source": source, "options": options}


def _mount(asked: MountOption, privileged: bool) -> Mount:
    if not asked.target.startswith("/") or not (asked.target + asked.source).isprintable():
        raise UsageError(f"mount on {asked.target!r}: not a plain absolute path")
    mode = ["ro"] if asked.readonly else []
    part = [f"{SUBPATH}={asked.subpath}"] if asked.subpath else []
    if asked.type == "tmpfs":
        words = _override(["nosuid", "noexec", "nodev"], asked.options)
        return _filesystem("tmpfs", asked.target, [*words, *mode])
    if asked.type != "bind":  # a volume's own filesystem, an image's layers
        words = _override(["nosuid", "nodev"], asked.options)
        return _filesystem(asked.type, asked.target, [*words, *mode, *part], asked.source)
    # A program that is setuid to the host's root, or a node of the host's disk, must not come in by a shared directory.
    # Below /dev it is devices that one wants; there the device cgroup is the guard.
    guards = [] if privileged else ["nosuid", *([] if (asked.source + "/").startswith("/dev/") else ["nodev"])]
    words = _override([*guards, "rprivate"], asked.options)
    below = asked.recursive
    tree = {"nosuid": "rnosuid", "nodev": "rnodev", "noexec": "rnoexec"} if below else {}
    flags = [tree.get(word, word) for word in words] + mode
    if asked.readonly and below and not asked.writable_below:
        flags.append("rro")
    return _host_bind(asked.source, asked.target, ["rbind" if below else "bind", *flags, *part])


SUBPATH = "X-mount.subdir"
"""mount(8)'s word for a part of what is mounted; plan/mounts.py looks it up below the source."""
_PROPAGATION = ("private", "slave", "shared")


def _override(defaults: list[str], asked: Collection[str]) -> list[str]:
    """The defaults, except those that ``asked`` contradicts (``suid`` and ``nosuid``, one propagation and another)."""
    opposite = {word.removeprefix("no") for word in asked} | {"no" + word for word in asked}
    propagation = any(word.removeprefix("r") in _PROPAGATION for word in asked)
    kept = [word for word in defaults if word not in opposite and not (propagation and word == "rprivate")]
    return [*kept, *(word for word in asked if word not in ("suid", "dev", "exec"))]


# --- Linux ------------------------------------------------------------------------------------------------------------


def _linux(options: ContainerOptions, cgroups_path: str, facts: Facts) -> Linux:
    namespaces = _namespaces(options)
    joined = {"pid": options.pid, "ipc": options.ipc, "network": options.network}
    private = [one["type"] for one in namespaces if not joined.get(one["type"], "").startswith("container:")]
    paths = security.system_paths(
        options.unmask, options.mask, unconfined=options.privileged, thermal_cpus=facts.thermal_cpus
    )
    linux: Linux = {
        "namespaces": namespaces,
        "cgroupsPath": cgroups_path,
        "resources": resources(options, facts.devices, cpus=facts.cpus, swap=facts.swap),
        "maskedPaths": paths.masked,
        "readonlyPaths": paths.readonly,
        "sysctl": sysctl.defaults(private, USERS if facts.users else 0) | _sysctls(options, private),
    }
    if facts.users:
        namespaces.append({"type": "user"})
        linux["uidMappings"] = linux["gidMappings"] = [{"containerID": 0, "hostID": facts.users, "size": USERS}]
    if devices := device_nodes(options, facts.devices):
        linux["devices"] = devices
    return linux


def _namespaces(options: ContainerOptions) -> list[Namespace]:
    """The namespaces of its own that the container gets, in the order in which namespaces(7) would be learnt."""
    kinds: list[Namespace] = [{"type": "mount"}]
    if options.uts != "host":
        kinds.append({"type": "uts"})
    if options.ipc != "host":
        kinds.append({"type": "ipc"})
    if options.pid != "host":
        kinds.append({"type": "pid"})
    if options.network != "host":
        kinds.append({"type": "network"})
    if options.cgroupns != "host":
        kinds.append({"type": "cgroup"})
    return kinds


def _sysctls(options: ContainerOptions, private: Collection[str]) -> dict[str, str]:
    for name, value in options.sysctls.items():
        sysctl.check(name, value, private)
    return dict(options.sysctls)
