"""What a user may ask of a container, as one immutable tuple of typed values: docker's create flags by their names."""

from __future__ import annotations

from _collections_abc import Mapping  # the package `collections` takes 2 ms to load

from pycontainer.errors import UsageError
from pycontainer.oci.grammar.addresses import ip_address
from pycontainer.oci.grammar.networks import network_name
from pycontainer.oci.grammar.words import host_name, plain
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from pycontainer.oci.grammar.devices import DeviceMapping, DeviceRate, DeviceRule
    from pycontainer.oci.grammar.limits import Rlimit
    from pycontainer.oci.grammar.mounts import Mount
    from pycontainer.oci.grammar.networks import Endpoint
    from pycontainer.oci.grammar.ports import Publication

EMPTY: Mapping[str, str] = {}

MINIMUM_MEMORY = 6 << 20
"""Below this no program starts: moby's number."""


class ContainerOptions(Record):
    """Everything that shapes a container's runtime-spec, apart from the image.

    Units: bytes, microseconds (cpu_period, cpu_quota, cpu_rt_*), billionths of a CPU (nano_cpus), seconds
    (stop_timeout). 0, "" and () mean "not asked for" where the comment does not say otherwise.
    """

    # the process
    command: tuple[str, ...] = ()
    entrypoint: str | None = None  # None: the image's; "": none
    env: tuple[str, ...] = ()  # NAME=value, or NAME to remove what the image sets
    user: str = ""
    group_add: tuple[str, ...] = ()
    workdir: str = ""
    tty: bool = False
    interactive: bool = False
    init: bool = False
    stop_signal: str = ""
    stop_timeout: int | None = None
    ulimits: tuple[Rlimit, ...] = ()
    oom_score_adj: int = 0

    # identity and names
    hostname: str = ""
    domainname: str = ""
    add_host: tuple[tuple[str, str], ...] = ()  # (name, address)
    dns: tuple[str, ...] = ()
    dns_option: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    labels: Mapping[str, str] = EMPTY
    annotations: Mapping[str, str] = EMPTY

    # isolation: "" is the default, a namespace of its own
    network: str = "bridge"  # those of `endpoints`; or none, host, container:X
    endpoints: tuple[Endpoint, ...] = ()  # (): the default network
    publish: tuple[Publication, ...] = ()
    publish_all: bool = False
    expose: tuple[str, ...] = ()
    pid: str = ""  # or host, container:X
    ipc: str = ""  # or private, shareable, none (no /dev/shm), host, container:X
    uts: str = ""  # or host
    cgroupns: str = ""  # or private, host
    userns: str = ""  # or private, host; by default private where that is possible

    # files
    mounts: tuple[Mount, ...] = ()
    volumes_from: tuple[tuple[str, bool], ...] = ()  # (container, read-only)
    read_only: bool = False
    shm_size: int = 64 << 20
    devices: tuple[DeviceMapping, ...] = ()
    sysctls: Mapping[str, str] = EMPTY

    # security
    privileged: bool = False
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    no_new_privileges: str = "auto"  # on, off; auto: decided by the image
    seccomp: str = ""  # "" the default profile; unconfined; or a file
    compat32: str = "auto"  # on, off; auto: decided by the image
    unmask: tuple[str, ...] = ()  # paths, or ALL
    mask: tuple[str, ...] = ()

    # limits
    memory: int = 0
    memory_reservation: int = 0
    memory_swap: int = 0  # memory and swap together; -1 unlimited
    memory_swappiness: int | None = None
    oom_kill_disable: bool = False
    nano_cpus: int = 0
    cpu_shares: int = 0
    cpu_period: int = 0
    cpu_quota: int = 0
    cpu_rt_period: int = 0
    cpu_rt_runtime: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    pids_limit: int = 2048  # 0 or -1: unlimited. A fork bomb must not take the host along
    blkio_weight: int = 0
    blkio_weight_device: tuple[DeviceRate, ...] = ()
    device_read_bps: tuple[DeviceRate, ...] = ()
    device_write_bps: tuple[DeviceRate, ...] = ()
    device_read_iops: tuple[DeviceRate, ...] = ()
    device_write_iops: tuple[DeviceRate, ...] = ()
    device_cgroup_rules: tuple[DeviceRule, ...] = ()
    cgroup_parent: str = ""

    # its life
    restart: str = ""  # no, on-failure[:N], always, unless-stopped or on-unhealthy
    log_driver: str = ""  # none, or a file
    log_opts: Mapping[str, str] = EMPTY
    health_cmd: str | None = None  # None: the image's
    no_healthcheck: bool = False
    health_interval: float = 0  # seconds, as the next three
    health_timeout: float = 0
    health_start_period: float = 0
    health_start_interval: float = 0
    health_retries: int = 0
    health_on_failure: str = "none"  # or kill, restart, stop


def check(options: ContainerOptions) -> None:
    """Refuse combinations that contradict themselves.

    Raises:
        UsageError: naming both sides.
    """
    _check_names(options)
    _check_memory(options)
    _check_cpu(options)
    _check_namespaces(options)
    _check_health(options)
    from pycontainer.plan.mounts import REPLACEABLE_PROC  # whoever makes a container has it anyway

    targets = [mount.target for mount in options.mounts]
    for target in targets:
        if targets.count(target) > 1:
            raise UsageError(f"duplicate mount point: {target}")
        if (target + "/").startswith("/proc/") and target not in REPLACEABLE_PROC:
            raise UsageError(f"can't mount on {target}: /proc must be the kernel's own")


def _check_health(options: ContainerOptions) -> None:
    fields = ("cmd", "interval", "timeout", "start_period", "start_interval", "retries")
    if options.no_healthcheck and any(getattr(options, f"health_{field}") for field in fields):
        raise UsageError("--no-healthcheck and --health-... contradict each other")


def _check_names(options: ContainerOptions) -> None:
    """What ends up in a line of a file must not bring a line of its own, from Python no less than from a flag."""
    for name in (options.hostname, options.domainname, *(name for name, _ in options.add_host)):
        if name:
            host_name(name)
    for _, address in options.add_host:
        if address != "host-gateway":
            ip_address(address)
    for text in (options.user, options.workdir, *options.group_add, *options.dns_option, *options.dns_search):
        plain(text)
    for address in options.dns:
        ip_address(address)


def _check_memory(options: ContainerOptions) -> None:
    memory, swap, reservation = options.memory, options.memory_swap, options.memory_reservation
    if memory and memory < MINIMUM_MEMORY:
        raise UsageError("--memory: the minimum is 6m")
    if swap and not memory:
        raise UsageError("--memory-swap is memory plus swap, so it needs --memory too")
    if 0 < swap < memory:
        raise UsageError("--memory-swap is memory plus swap, so it can't be less than --memory")
    if reservation and reservation < MINIMUM_MEMORY:
        raise UsageError("--memory-reservation: the minimum is 6m")
    if memory and reservation > memory:
        raise UsageError("--memory-reservation can't be more than --memory")
    if options.oom_kill_disable and not memory:
        raise UsageError("--oom-kill-disable without --memory would let the container take all of the host's memory")


def _check_cpu(options: ContainerOptions) -> None:
    if options.nano_cpus and (options.cpu_period or options.cpu_quota):
        raise UsageError("--cpus is a way to write --cpu-quota and --cpu-period: give one or the other")
    if options.cpu_rt_runtime and options.cpu_rt_period and options.cpu_rt_runtime > options.cpu_rt_period:
        raise UsageError("--cpu-rt-runtime can't be more than --cpu-rt-period")


def _check_namespaces(options: ContainerOptions) -> None:
    network_name(options.network)
    if options.network.startswith("container:"):
        for what, asked in (
            ("port publishing", options.publish or options.publish_all),
            ("port exposing", options.expose),
            ("hostname", options.hostname),
            ("dns", options.dns or options.dns_option or options.dns_search),
            ("custom host-to-IP mapping", options.add_host),
        ):
            if asked:
                raise UsageError(f"conflicting options: {what} and the container type network mode")
    if options.uts == "host" and (options.hostname or options.domainname):
        raise UsageError("--hostname and --domainname would rename the host with --uts host")
    if options.privileged and options.userns not in ("", "host"):
        raise UsageError("--privileged needs the host's user namespace")
