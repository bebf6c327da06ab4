"""The flags of ``docker run``, all of them: what we have, typed, and what we do not have, refused by name."""

from __future__ import annotations

from pycontainer.cli.flags import Flag, Flags, chosen, each, refused, switch, too_few
from pycontainer.engine.options import RunOptions
from pycontainer.errors import UsageError
from pycontainer.oci import security
from pycontainer.oci.grammar.networks import Endpoint, network
from pycontainer.oci.grammar.numbers import INT64_MAX, integer
from pycontainer.oci.grammar.words import choice, container_name, namespace, no_nul
from pycontainer.oci.options import ContainerOptions, check
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any


_PULL = choice("always", "missing", "never")
_STREAM = choice("stdin", "stdout", "stderr")
_INT64 = integer(0, INT64_MAX)
_QUOTA = integer(-1, INT64_MAX)
_LOG_DRIVER = choice("json-file", "k8s-file", "local", "none")
_ON_FAILURE = choice("none", "kill", "restart", "stop")
_IPC = namespace("private", "shareable", "none", "host", "container:X")


def keys(text: str) -> str:
    """Check what ``--detach-keys`` says."""
    from pycontainer.engine.keys import parse  # only for that flag

    parse(text)
    return text


def explain(text: str) -> str:
    """Check what ``--explain`` says."""
    if text != "text" and not (text.startswith("json:") and len(text) > 5):
        raise UsageError("must be text or json:FILE")
    return text


def _name(text: str) -> str:
    """A name, or "" for one that is made up, as scripts say it that may have none."""
    return container_name(text) if text else ""


def _platform(text: str) -> str:
    from pycontainer.image.platform import Platform  # only for --platform

    return str(Platform.parse(text))


THIS_COMMAND = (
    switch("--help", "help", "Print this page"),
    Flag("--name", "string", "name", _name, "The container's name"),
    switch("-d, --detach", "detach", "Leave it running and print its ID"),
    Flag("--detach-keys", "string", "detach_keys", keys, "What to type to leave it running (default ctrl-p,ctrl-q)"),
    switch("--rm", "rm", "Remove the container when it exits"),
    Flag("--cidfile", "string", "cidfile", "words:no_nul", "Write the container's ID to a new file"),
    Flag("--pull", "string", "pull", _PULL, "Pull the image first: always, missing (default) or never"),
    Flag("--platform", "string", "platform", _platform, "Want the image for this os/architecture[/variant]"),
    switch("-q, --quiet", "quiet", "Don't show the pull"),
    each("-a, --attach", "list", "attach", lambda text: _STREAM(text.lower()), "Connect only stdin, stdout or stderr"),
    switch("--sig-proxy", "sig_proxy", "Pass signals on to the process (default true)"),
    Flag("--runtime", "string", "", choice("pyc"), ""),
    switch("--dry-run", "dry_run", "Print the plan; do nothing, need no root"),
    Flag("--explain", "text|json:FILE", "explain", explain, "Say what happens while it happens", bare="text"),
    switch("--step", "step", "Wait for Enter before each step"),
)

PROCESS = (
    switch("-i, --interactive", "interactive", "Connect standard input"),
    switch("-t, --tty", "tty", "Give it a terminal"),
    Flag("--entrypoint", "string", "entrypoint", "words:no_nul", "The program, instead of the image's"),
    Flag("-w, --workdir", "string", "workdir", "words:workdir", "The directory it starts in"),
    each("-e, --env", "list", "env", "variables:environment", "Set a variable (NAME=value) or pass ours (NAME)"),
    each("--env-file", "list", "env_file", "variables:environment_file", "Set the variables in a file"),
    Flag("-u, --user", "string", "user", "users:user", "Who it runs as: name|uid[:group|gid]"),
    each("--group-add", "list", "group_add", "users:group", "One more group"),
    switch("--init", "init", "Run it under a small init that forwards signals and reaps zombies"),
    Flag("--stop-signal", "string", "stop_signal", "signals:signal_name", "How to ask it to stop"),
    Flag("--stop-timeout", "int", "stop_timeout", integer(-1, 2**31 - 1), "Seconds until it is killed (default 10)"),
    each("--ulimit", "ulimit", "ulimits", "limits:ulimit", "A limit of setrlimit(2): name=soft[:hard]"),
    Flag(
        "--oom-score-adj", "int", "oom_score_adj", integer(-1000, 1000), "How soon the kernel kills it (-1000 to 1000)"
    ),
)

LIFE = (
    Flag(
        "--restart",
        "string",
        "restart",
        "life:restart_policy",
        "When it ends: no (default), on-failure[:N], always, unless-stopped, or on-unhealthy",
    ),
    Flag(
        "--log-driver",
        "string",
        "log_driver",
        _LOG_DRIVER,
        "json-file (default), k8s-file, local: all mean a file as the CRI's; or none",
    ),
    each("--log-opt", "list", "log_opts", "life:log_option", "max-size=10m, max-file=3"),
    Flag("--health-cmd", "string", "health_cmd", "words:no_nul", "A command whose exit code says whether it is well"),
    Flag("--health-interval", "duration", "health_interval", "numbers:duration", "Time between checks (default 30s)"),
    Flag("--health-timeout", "duration", "health_timeout", "numbers:duration", "The longest of a check (default 30s)"),
    Flag(
        "--health-start-period",
        "duration",
        "health_start_period",
        "numbers:duration",
        "Time in which failures don't count",
    ),
    Flag(
        "--health-start-interval",
        "duration",
        "health_start_interval",
        "numbers:duration",
        "Time between checks during the start period",
    ),
    Flag("--health-retries", "int", "health_retries", integer(0, 2**31 - 1), "Failures until unhealthy (default 3)"),
    Flag(
        "--health-on-failure", "string", "health_on_failure", _ON_FAILURE, "When unhealthy: none, kill, restart or stop"
    ),
    switch("--no-healthcheck", "no_healthcheck", "Make no check, whatever the image says"),
)

NAMES = (
    Flag("-h, --hostname", "string", "hostname", "words:host_name", "The host name inside"),
    Flag("--domainname", "string", "domainname", "words:host_name", "The NIS domain name inside"),
    each("--add-host", "list", "add_host", "addresses:extra_host", "A line for /etc/hosts: name:address"),
    each("--dns", "list", "dns", "addresses:ip_address", "A name server"),
    each("--dns-option", "list", "dns_option", "words:plain", "An option of resolv.conf(5)"),
    each("--dns-opt", "list", "dns_option", "words:plain", ""),
    each("--dns-search", "list", "dns_search", "words:plain", "A search domain"),
    each("-l, --label", "list", "labels", "words:key_value", "A label: key=value"),
    each("--label-file", "list", "label_file", "variables:label_file", "The labels in a file"),
    each("--annotation", "map", "annotations", "words:key_value", "An annotation of the runtime-spec: key=value"),
)

FILES = (
    each("-v, --volume", "list", "mounts", "mounts:volume", "A volume or host path: [NAME|/host:]/container[:ro,...]"),
    each("--mount", "mount", "mounts", "mounts:mount", "type=bind|volume|image|tmpfs,source=X,target=/y[,readonly]..."),
    each("--volumes-from", "list", "volumes_from", "mounts:volumes_from", "All mounts of another container: NAME[:ro]"),
    Flag("--volume-driver", "string", "", "volumes:volume_driver", ""),
    each("--tmpfs", "list", "mounts", "mounts:tmpfs", "A tmpfs: /path[:size=64m,mode=1777,...]"),
    switch("--read-only", "read_only", "Make the root filesystem read-only"),
    Flag("--shm-size", "bytes", "shm_size", "numbers:size", "Size of /dev/shm (default 64m)"),
    each("--device", "list", "devices", "devices:device", "A device of the host: /dev/x[:/dev/y][:rwm]"),
    each("--sysctl", "map", "sysctls", "words:assignment", "A kernel parameter of its own namespaces: name=value"),
)

NETWORK = (
    each(
        "--network",
        "network",
        "network",
        "networks:network",
        "bridge (default), a network's name, none, host or container:X; or name=X,alias=A,ip=I,...; repeatable",
    ),
    each("--net", "network", "network", "networks:network", ""),
    each("-p, --publish", "list", "publish", "ports:publish", "Publish a port: [address:][host port:]port[/udp]"),
    switch("-P, --publish-all", "publish_all", "Publish all exposed ports on ports that are free"),
    each("--expose", "list", "expose", "ports:exposed", "A port that --publish-all publishes"),
    Flag("--ip", "string", "ip", "addresses:ipv4_address", "Its IPv4 address in the (first) network"),
    Flag("--ip6", "string", "ip6", "addresses:ipv6_address", "Its IPv6 address there"),
    Flag("--mac-address", "string", "mac", "addresses:mac_address", "Its hardware address there"),
    each("--link", "list", "links", "networks:link", "Know another container by a name: container[:name]"),
    each("--link-local-ip", "list", "link_local", "addresses:ip_address", "One more address there"),
    each("--network-alias", "list", "aliases", "words:host_name", "One more name for the others there"),
    each("--net-alias", "list", "aliases", "words:host_name", ""),
)

ISOLATION = (
    Flag("--pid", "string", "pid", namespace("host", "container:X"), "Processes: its own (default), host, container:X"),
    Flag("--ipc", "string", "ipc", _IPC, "IPC and /dev/shm: private (default), shareable, none, host, container:X"),
    Flag("--uts", "string", "uts", namespace("host"), "Host name: its own (default) or host"),
    Flag("--cgroupns", "string", "cgroupns", namespace("private", "host"), "Cgroups: private (default) or host"),
    Flag("--userns", "string", "userns", namespace("host", "private"), "User ids: private (default) or host"),
)

SECURITY = (
    each("--cap-add", "list", "cap_add", security.capability, "Give it a capability, or ALL"),
    each("--cap-drop", "list", "cap_drop", security.capability, "Take a capability away, or ALL"),
    each(
        "--security-opt",
        "list",
        "security_opt",
        "security:security_option",
        "no-new-privileges[=false], seccomp=unconfined|FILE, unmask=PATH|ALL, mask=PATH, compat32[=false], "
        "systempaths=unconfined",
    ),
    switch("--privileged", "privileged", "All capabilities and devices, nothing masked, no seccomp: no wall at all"),
)

LIMITS = (
    Flag("-m, --memory", "bytes", "memory", "numbers:size", "Memory (64m, 2g)"),
    Flag("--memory-reservation", "bytes", "memory_reservation", "numbers:size", "What it keeps when memory is short"),
    Flag("--memory-swap", "bytes", "memory_swap", "numbers:size_or_unlimited", "Memory and swap together (-1: any)"),
    Flag(
        "--memory-swappiness",
        "int",
        "memory_swappiness",
        "limits:swappiness",
        "Eagerness to swap, 0-100 (cgroup v1)",
    ),
    switch("--oom-kill-disable", "oom_kill_disable", "Stop it, don't kill it, when memory is out (cgroup v1)"),
    Flag("--cpus", "decimal", "nano_cpus", "limits:cpus", "How many CPUs' worth of time (1.5)"),
    Flag("-c, --cpu-shares", "int", "cpu_shares", integer(0, 262144), "Weight against others (1024 is normal)"),
    Flag("--cpu-period", "int", "cpu_period", "limits:cpu_period", "Microseconds in which --cpu-quota is counted"),
    Flag("--cpu-quota", "int", "cpu_quota", _QUOTA, "Microseconds of CPU time in each period"),
    Flag("--cpu-rt-period", "int", "cpu_rt_period", _INT64, "The same for real-time tasks (cgroup v1)"),
    Flag("--cpu-rt-runtime", "int", "cpu_rt_runtime", _INT64, "The same for real-time tasks (cgroup v1)"),
    Flag("--cpuset-cpus", "string", "cpuset_cpus", "limits:index_list", "CPUs it may run on (0-3,8)"),
    Flag("--cpuset-mems", "string", "cpuset_mems", "limits:index_list", "Memory nodes it may use (0-3,8)"),
    Flag("--pids-limit", "int", "pids_limit", integer(-1, 1 << 22), "How many tasks (default 2048; -1: any number)"),
    Flag("--blkio-weight", "uint16", "blkio_weight", "limits:blkio_weight", "Disk weight, 10 to 1000"),
    each(
        "--blkio-weight-device", "list", "blkio_weight_device", "devices:device_weight", "A device's weight: /dev/x:500"
    ),
    each("--device-read-bps", "list", "device_read_bps", "devices:device_bps", "Bytes read per second: /dev/x:1mb"),
    each("--device-write-bps", "list", "device_write_bps", "devices:device_bps", "Bytes written per second"),
    each("--device-read-iops", "list", "device_read_iops", "devices:device_iops", "Reads per second: /dev/x:1000"),
    each("--device-write-iops", "list", "device_write_iops", "devices:device_iops", "Writes per second"),
    each(
        "--device-cgroup-rule", "list", "device_cgroup_rules", "devices:device_rule", "Devices it may open: 'c 1:3 rwm'"
    ),
    Flag("--cgroup-parent", "string", "cgroup_parent", "words:cgroup_parent", "The cgroup to make the container's in"),
)


REFUSED = (
    *refused("it needs a vendor's hooks; --device gives a plain node of /dev", "--gpus gpu-request"),
    *refused("overlay has no size limit here", "--storage-opt list"),
    *refused("pycontainer has no API socket yet", "--use-api-socket"),
    *refused("the kernel dropped it in Linux 5.4", "--kernel-memory bytes"),
    *refused("it is for Windows", "--isolation string", "--cpu-count int", "--cpu-percent int"),
    *refused("it is for Windows", "--io-maxbandwidth bytes", "--io-maxiops uint"),
    # this asks for what is so already
    Flag("--disable-content-trust", "", "", choice("true"), "", bare="true"),
)

FLAGS = Flags(
    {
        "This command": THIS_COMMAND,
        "The process": PROCESS,
        "Its life": LIFE,
        "Names": NAMES,
        "Files": FILES,
        "Network": NETWORK,
        "Isolation": ISOLATION,
        "Security": SECURITY,
        "Limits": LIMITS,
    },
    REFUSED,
)


def run_options(args: list[str]) -> RunOptions:
    """Parse the arguments of ``run``.

    Raises:
        UsageError, Unsupported: one line that names the flag.
    """
    return assemble(*FLAGS.parse(args))


def assemble(values: dict[str, Any], arguments: list[str], command: str = "run") -> RunOptions:
    """Make the options from the values of the flags and the arguments ``IMAGE [COMMAND] [ARG...]``."""
    if not arguments:
        raise too_few(command, 1, "[OPTIONS] IMAGE [COMMAND] [ARG...]")
    image, *words = arguments
    values["command"] = [no_nul(word) for word in words]
    _join_repeated(values)
    _join_security(values)
    _join_network(values)
    container = ContainerOptions(**chosen(values, ContainerOptions._fields))
    check(container)
    options = RunOptions(image, container, **chosen(values, RunOptions._fields[2:]))
    if options.detach and options.attach:
        raise UsageError(
            "--attach and --detach contradict each other: one stays with the container, the other leaves it"
        )
    if options.rm and container.restart not in ("", "no"):
        raise UsageError("--restart and --rm contradict each other: one keeps the container, the other removes it")
    return options


def _join_repeated(values: dict[str, Any]) -> None:
    """Files come first, so that a flag overrides them; of equal keys the last wins."""
    values["env"] = [entry for file in values.get("env_file", ()) for entry in file] + values.get("env", [])
    values["labels"] = [pair for file in values.get("label_file", ()) for pair in file] + values.get("labels", [])
    for field in ("labels", "annotations", "sysctls", "log_opts"):
        values[field] = dict(values.get(field, ()))
    values["ulimits"] = list({limit.type: limit for limit in values.get("ulimits", ())}.values())


def _join_security(values: dict[str, Any]) -> None:
    for name, value in values.pop("security_opt", ()):
        if name in ("no-new-privileges", "compat32"):
            values[name.replace("-", "_")] = value
        elif name == "seccomp":
            values["seccomp"] = "" if value in ("builtin", "default") else value
        elif name in ("mask", "unmask"):
            values.setdefault(name, []).extend(value.split(":"))


_LISTS = ("link_local", "aliases", "links")


def _join_network(values: dict[str, Any]) -> None:
    """The flags about one network are about the first."""
    asked = {name: values.pop(name) for name in (*_LISTS, "ip", "ip6", "mac") if name in values}
    named = values.pop("network", None) or [_default_network()]
    modes = [endpoint.name for endpoint in named if not _is_network(endpoint.name)]
    if modes and (len(named) > 1 or asked):
        raise UsageError(f"conflicting options: network {modes[0]} goes with no other network, no address and no name")
    if modes:
        values["network"] = modes[0]
        return
    first, *others = named
    for name in _LISTS:
        if name in asked:
            asked[name] = (*getattr(first, name), *asked[name])
    names = [endpoint.name for endpoint in named]
    if twice := next((name for name in names if names.count(name) > 1), ""):
        raise UsageError(f"network {twice} is named twice")
    values["network"], values["endpoints"] = "bridge", [first._replace(**asked), *others]


def _is_network(name: str) -> bool:
    return name not in ("none", "host") and not name.startswith("container:")


def _default_network() -> Endpoint:
    from pycontainer.engine import settings  # reads a file, if there is one

    return network(settings.network("default_network", "bridge"))
