"""The options of containers from Python: those of ``pyc run``, with Python's types where that is nicer.

An option is what the flag of that name is, and a text is read by the same rules; so there is one table of both.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict

from pycontainer.errors import UsageError
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from os import PathLike
    from typing import Any

    from pycontainer.cli.flags import Flag
    from pycontainer.engine.options import RunOptions
    from pycontainer.oci.grammar.devices import DeviceMapping, DeviceRate, DeviceRule
    from pycontainer.oci.grammar.limits import Rlimit
    from pycontainer.oci.grammar.mounts import Mount
    from pycontainer.oci.grammar.networks import Endpoint
    from pycontainer.oci.grammar.ports import Publication

    Path = str | PathLike[str]
    Command = str | Sequence[Path]
    Bytes = int | str
    """A number, or as a flag has it: ``64m``."""
    Pairs = Mapping[str, str] | Sequence[str]
    """A mapping, or as flags have them: ``NAME=value``, ``source:target``."""
    Rates = Sequence[str | DeviceRate]


class Limits(TypedDict, total=False):
    """What can be changed while a container runs (``pyc update``). Units are those of the flags."""

    memory: Bytes
    memory_reservation: Bytes
    memory_swap: Bytes
    cpus: float | str
    cpu_shares: int
    cpu_period: int
    cpu_quota: int
    cpu_rt_period: int
    cpu_rt_runtime: int
    cpuset_cpus: str
    cpuset_mems: str
    pids_limit: int
    blkio_weight: int
    restart: str


class Options(Limits, total=False):
    """What a container is made of; what is left out is as for ``pyc run`` without the flag. Durations are seconds."""

    name: str
    rm: bool
    pull: Literal["missing", "always", "never"]
    platform: str
    # the process
    entrypoint: str
    env: Pairs
    env_file: Sequence[Path]
    user: str | int
    group_add: Sequence[str | int]
    workdir: Path
    tty: bool
    interactive: bool
    init: bool
    stop_signal: str | int
    stop_timeout: int
    ulimits: Pairs | Sequence[Rlimit]
    oom_score_adj: int
    # names
    hostname: str
    domainname: str
    add_host: Pairs
    dns: Sequence[str]
    dns_option: Sequence[str]
    dns_search: Sequence[str]
    labels: Pairs
    label_file: Sequence[Path]
    annotations: Pairs
    # networks
    network: str | Endpoint | Sequence[str | Endpoint]
    publish: Mapping[str, str] | Mapping[int, int] | Sequence[str | int | Publication]
    publish_all: bool
    expose: Sequence[str | int]
    ip: str
    ip6: str
    mac_address: str
    network_alias: Sequence[str]
    link: Pairs
    link_local_ip: Sequence[str]
    # namespaces
    pid: str
    ipc: str
    uts: str
    cgroupns: str
    userns: str
    # files
    volumes: Mapping[Any, str] | Sequence[str]  # from a text or a path; types of mappings are invariant in their keys
    mounts: Sequence[str | Mount]
    tmpfs: Pairs
    volumes_from: Sequence[str]
    read_only: bool
    shm_size: Bytes
    devices: Pairs | Sequence[DeviceMapping]
    sysctls: Pairs
    # security
    privileged: bool
    cap_add: Sequence[str]
    cap_drop: Sequence[str]
    security_opt: Sequence[str]
    # limits that are set once
    memory_swappiness: int
    oom_kill_disable: bool
    blkio_weight_device: Rates
    device_read_bps: Rates
    device_write_bps: Rates
    device_read_iops: Rates
    device_write_iops: Rates
    device_cgroup_rule: Sequence[str | DeviceRule]
    cgroup_parent: str
    # its life
    log_driver: str
    log_opts: Pairs
    health_cmd: str
    no_healthcheck: bool
    health_interval: float | str
    health_timeout: float | str
    health_start_period: float | str
    health_start_interval: float | str
    health_retries: int
    health_on_failure: str


PLURALS = {
    "annotations": "annotation",
    "devices": "device",
    "labels": "label",
    "log_opts": "log_opt",
    "mounts": "mount",
    "sysctls": "sysctl",
    "ulimits": "ulimit",
    "volumes": "volume",
}
"""Options that hold several, and what their flags are called."""

_WITH_COLON = frozenset(["add_host", "devices", "link", "publish", "tmpfs", "volumes"])
"""Where a flag has a colon between the two sides of a pair; the others have an equals sign."""


def run_options(image: str, command: Command, options: Mapping[str, Any], *, detach: bool) -> RunOptions:
    """What the engine makes a container of. Raises UsageError, and TypeError for an option that doesn't exist."""
    from pycontainer.cli.run_flags import assemble

    return assemble({**values(options, Options.__annotations__), "detach": detach}, [image, *words(command)])


def limits(changes: Mapping[str, Any]) -> dict[str, Any]:
    """What the engine is to change of a container; errors as of :func:`run_options`."""
    return values(changes, Limits.__annotations__)


def values(options: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """As the parser of the command line gives them: by field, each in the engine's type."""
    from pycontainer.cli.run_flags import FLAGS

    if unknown := options.keys() - known.keys():
        raise TypeError(f"no such option: {', '.join(sorted(unknown))}")
    found: dict[str, Any] = {}
    for name, value in options.items():
        flag = FLAGS.by_name["--" + PLURALS.get(name, name).replace("_", "-")]
        if value is None:
            continue
        if flag.many:
            found.setdefault(flag.field, []).extend(_read(flag, name, item) for item in _items(name, value))
        else:
            found[flag.field] = _read(flag, name, value)
    return found


def _items(name: str, value: Any) -> Sequence[Any]:
    """The values of an option that may have several; one alone need be in no list."""
    if isinstance(value, Mapping):
        between = ":" if name in _WITH_COLON else "="
        return [f"{_text(name, left)}{between}{_text(name, right)}" for left, right in value.items()]
    return [value] if isinstance(value, (str, int, os.PathLike)) or hasattr(value, "_fields") else value


def _read(flag: Flag, name: str, value: Any) -> Any:
    """What the flag makes of the value as text; a record of the engine's stays as it is."""
    from pycontainer.cli.flags import parser

    if hasattr(value, "_fields"):
        return value
    text = _text(name, value) + ("s" if flag.kind == "duration" and not isinstance(value, str) else "")
    try:
        return parser(flag)(text)
    except UsageError as error:
        raise UsageError(f"{name}={value!r}: {error.message}") from None


def _text(name: str, value: Any) -> str:
    """A text, number or path as it would be typed. Raises TypeError for anything else."""
    if isinstance(value, (str, int, float)):
        return str(value)
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    raise TypeError(f"{name} can't be made of {value!r}: it takes texts, numbers and paths")


def words(command: Command) -> tuple[str, ...]:
    """The program and its arguments. Raises UsageError for a text that ends amid a quotation."""
    if not isinstance(command, str):
        return tuple(map(os.fsdecode, command))
    import shlex  # +3 ms, for those who want it

    try:
        return tuple(shlex.split(command))
    except ValueError as error:
        raise UsageError(f"command {command!r}: {str(error).lower()}") from None


def signal(text: str | int) -> str:
    """A signal's name, of that or its number. Raises UsageError."""
    from pycontainer.oci.grammar.signals import signal_name

    try:
        return signal_name(str(text))
    except UsageError as error:
        raise UsageError(f"signal={text!r}: {error.message}") from None


def environment(env: Mapping[str, str] | Sequence[str]) -> tuple[str, ...]:
    """Variables as ``NAME=value``, or ``NAME`` for one of ours."""
    from pycontainer.oci.grammar.variables import environment as variable

    return tuple(variable(entry) for entry in _items("env", env))
