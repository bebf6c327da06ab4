"""Docker's little languages: what the values of flags may look like, and what they mean.

One parser per language. Each takes the text that the user typed and returns a number, a string or one of the small
tuples below; each raises :class:`UsageError` (it makes no sense) or :class:`Unsupported` (docker has it, we don't yet).
Nothing here looks at the host, except the two that read a file the user named. Patterns are compiled when they are
first used, and ``re`` is loaded then: every start would pay 4 ms for both.
"""

from __future__ import annotations

import _signal  # `signal` itself: +2 ms
import os
from collections.abc import Callable, Iterable, Mapping

from pycontainer.errors import Unsupported, UsageError
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    import re

UNLIMITED = -1
"""What docker's grammars call "no limit"."""

RLIM_INFINITY = 2**64 - 1
"""The runtime-spec's (and the kernel's) spelling of an unlimited rlimit: getrlimit(2)."""

MAX_ID = 2**32 - 2
"""The largest user or group id; 2**32-1 is the kernel's "no id": user_namespaces(7)."""

INT64_MAX = 2**63 - 1


def _matches(pattern: str, text: str) -> re.Match[str] | None:
    import re  # +3 ms, for a command line that needs it

    return re.fullmatch(pattern, text)


class Mount(Record):
    """One ``-v``, ``--mount`` or ``--tmpfs``.

    Attributes:
        type: ``bind``, ``volume``, ``image`` or ``tmpfs``.
        source: a bind's absolute host path, a volume's name ("" for one without), an image's reference, else "".
        target: an absolute path in the container.
        readonly: whether the container may not write to it.
        options: further words of mount(8): ``nosuid``, ``exec``, ``rslave``, ``size=65536``, ...
        recursive: whether a bind brings the mounts below its source.
        writable_below: only the source itself is read-only, what is mounted below it is not.
        subpath: the directory or file of a volume or an image that is mounted, instead of all of it.
        nocopy: don't fill an empty volume with what the image has at the target.
        idmap: show the owner of a bind's source as the user that the container runs as, and the other way round.
        labels, driver_options: for a volume that has to be made.
        make_source: make a bind's source, a directory of root's, where nothing is.
    """

    type: str
    source: str
    target: str
    readonly: bool = False
    options: tuple[str, ...] = ()
    recursive: bool = True
    writable_below: bool = False
    subpath: str = ""
    nocopy: bool = False
    idmap: bool = False
    labels: tuple[tuple[str, str], ...] = ()
    driver_options: tuple[tuple[str, str], ...] = ()
    make_source: bool = False


class Rlimit(Record):
    """One ``--ulimit``: the spec's name (``RLIMIT_NOFILE``), soft and hard limit, in the unit of setrlimit(2)."""

    type: str
    soft: int
    hard: int


class DeviceMapping(Record):
    """One ``--device``: a node of the host, its path in the container, and the allowed access (of ``rwm``)."""

    host: str
    container: str
    access: str


class DeviceRule(Record):
    """One ``--device-cgroup-rule``: type ``a``, ``b`` or ``c``; a number or None for all; access (of ``rwm``)."""

    type: str
    major: int | None
    minor: int | None
    access: str


class DeviceRate(Record):
    """A block device of the host and its weight (10-1000) or its rate (bytes or operations per second)."""

    path: str
    rate: int


class Endpoint(Record):
    """One ``--network``: a network, and what the container is there.

    Attributes:
        name: of the network; or a mode: ``none``, ``host``, ``container:X``.
        aliases: further names that the others there may call it.
        ip, ip6, mac: what it must have, or "".
        link_local: further addresses.
        gw_priority: the network of the highest is the way elsewhere.
        links: containers that it knows by names of its own: (container, name).
    """

    name: str
    aliases: tuple[str, ...] = ()
    ip: str = ""
    ip6: str = ""
    mac: str = ""
    link_local: tuple[str, ...] = ()
    gw_priority: int = 0
    links: tuple[tuple[str, str], ...] = ()


class Publication(Record):
    """One ``-p``: ports of the host, 0 for any that is free, and ports of the container.

    Attributes:
        host: an address of the host's, or "" for those that the configuration says.
    """

    host: str
    host_first: int
    host_last: int
    first: int
    last: int
    protocol: str


# --- text that ends up in lines, names and paths ----------------------------------------------------------------------

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_OF_NAMES = frozenset(_LETTERS + _LETTERS.upper() + "0123456789_.-")


def _is_name(text: str) -> bool:
    """[a-zA-Z0-9][a-zA-Z0-9_.-]+, docker's rule, without the 3 ms that ``re`` takes: most command lines have a name."""
    return len(text) > 1 and text[0] not in "_.-" and _OF_NAMES.issuperset(text)


def _is_host_name(text: str) -> bool:
    """[a-zA-Z0-9_] at both ends, and between them also ``.`` and ``-``."""
    return bool(text) and text[0] not in ".-" and text[-1] not in ".-" and _OF_NAMES.issuperset(text)


def plain(text: str) -> str:
    """Text without control characters: fit for a line of /etc/hosts, a message, a file name."""
    if any(character < " " or character == "\x7f" for character in text):
        raise UsageError("must not contain control characters")
    return text


def no_nul(text: str) -> str:
    """Text that a C string can carry."""
    if "\0" in text:
        raise UsageError("must not contain a NUL byte")
    return text


def container_name(text: str) -> str:
    """A container's name, by docker's rule."""
    name = text.removeprefix("/")
    if not _is_name(name):
        raise UsageError("only [a-zA-Z0-9][a-zA-Z0-9_.-]+ are allowed, at least two characters")
    return name


def host_name(text: str) -> str:
    """A host or domain name of at most 64 bytes: sethostname(2)."""
    if not _is_host_name(text):
        raise UsageError("not a host name: letters, digits, '-' and '.' only")
    if len(text) > 64:
        raise UsageError(f"{len(text)} bytes, but the kernel takes at most 64")
    return text


def absolute_path(text: str) -> str:
    """An absolute path, made shorter by the rules of names alone (no file is looked at)."""
    no_nul(text)
    if not text.startswith("/"):
        raise UsageError("must be an absolute path")
    return os.path.normpath("/" + text.lstrip("/"))


def workdir(text: str) -> str:
    """The directory that a process starts in."""
    return absolute_path(plain(text))


def target_path(text: str) -> str:
    """Where a mount goes in the container: an absolute path that is not the root."""
    path = absolute_path(plain(text))
    if path == "/":
        raise UsageError("destination can't be '/'")
    return path


def cgroup_parent(text: str) -> str:
    """A cgroup's path or a systemd slice: cgroups(7). It must stay below the root of the hierarchy."""
    if ".." in plain(text).split("/"):
        raise UsageError("must not contain '..'")
    return text


# --- numbers ----------------------------------------------------------------------------------------------------------

_SIZE = r"([0-9]+(?:\.[0-9]+)?|\.[0-9]+) ?(?:([kmgtp])(?:i?b)?|b)?"
_UNITS = ("b", *"kmgtp")
_DURATION = r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)"
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def integer(low: int, high: int) -> Callable[[str], int]:
    """Make the parser of a decimal number from ``low`` to ``high``."""

    def parse(text: str) -> int:
        # int() would also take "1_000", " 1" and other scripts' digits
        digits = text[1:] if text.startswith(("+", "-")) else text
        if not (_is_digits(digits) and len(digits) <= 20):
            raise UsageError("not a whole number")
        number = int(text)
        if not low <= number <= high:
            raise UsageError(f"must be from {low} to {high}")
        return number

    return parse


def size(text: str) -> int:
    """``64m`` -> bytes. Suffixes k, m, g, t, p (also kb, kib) are powers of 1024, as everywhere in docker's flags."""
    number, unit = text[:-1], text[-1:].lower()
    if not (_is_digits(number) and unit in _UNITS):  # "64m", as most are, needs no regular expression
        match = _matches(_SIZE, text.lower())
        if not match:
            raise UsageError("not a size (examples: 512k, 64m, 2g)")
        number, unit = match.groups("")
    scale = 1024 ** _UNITS.index(unit) if unit else 1
    result = int(number) * scale if number.isdigit() else int(float(number) * scale)
    if result > INT64_MAX:
        raise UsageError("larger than 2^63-1 bytes")
    return result


def blkio_weight(text: str) -> int:
    """A disk weight from 10 to 1000, or 0 for the default."""
    return 0 if text == "0" else integer(10, 1000)(text)


def cpu_period(text: str) -> int:
    """The period of the kernel's CPU bandwidth control in microseconds, or 0 for its default."""
    return 0 if text == "0" else integer(1000, 1_000_000)(text)


def swappiness(text: str) -> int | None:
    """From 0 to 100, or -1 for the host's."""
    number = integer(-1, 100)(text)
    return None if number == -1 else number


def size_or_unlimited(text: str) -> int:
    """A size, or -1 for no limit."""
    return UNLIMITED if text == "-1" else size(text)


def cpus(text: str) -> int:
    """``1.5`` -> 1 500 000 000 billionths of a CPU."""
    match = _matches(r"([0-9]{0,9})(?:\.([0-9]{0,9}))?", text)
    if not match or not any(match.groups()):
        raise UsageError("not a decimal number of CPUs with at most 9 places (example: 1.5)")
    whole, fraction = match.groups()
    return int(whole or 0) * 10**9 + int((fraction or "").ljust(9, "0"))


def index_list(text: str) -> str:
    """A list of CPUs or memory nodes such as ``0-3,8``: cpuset(7), "List format". Bounded at 8192 as the kernel is."""
    for part in text.split(","):
        match = _matches(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", part)
        if not match:
            raise UsageError("not a list such as 0-3,8")
        first, last = int(match[1]), int(match[2] or match[1])
        if first > last:
            raise UsageError(f"{part} runs backwards")
        if last > 8191:
            raise UsageError(f"{last} is larger than any CPU or node number (8191)")
    return text


def duration(text: str) -> float:
    """``1m30s`` -> 90.0 seconds: Go's durations."""
    if text == "0":
        return 0.0
    import re

    parts = re.findall(_DURATION, text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise UsageError("not a duration (examples: 500ms, 1m30s)")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def user(text: str) -> str:
    """``user[:group]``, names or numbers. Who they are is decided by the image: oci/user.py."""
    plain(text)
    for part in text.split(":", 1):
        if _matches(r"[+-]?[0-9]+", part) and not 0 <= int(part) <= MAX_ID:
            raise UsageError(f"id {part} is outside 0 to {MAX_ID}")
    if text.startswith(":") or text.count(":") > 1:
        raise UsageError("must be user[:group]")
    return text


def group(text: str) -> str:
    """A group's name or number."""
    if not text or ":" in text:
        raise UsageError("must be a group's name or number")
    return user(text)


# --- pairs ------------------------------------------------------------------------------------------------------------


def choice(*words: str) -> Callable[[str], str]:
    """Make the parser that takes one of ``words``."""

    def parse(text: str) -> str:
        if text not in words:
            raise UsageError("must be " + ", ".join(words[:-1]) + (" or " if words[:-1] else "") + words[-1])
        return text

    return parse


def boolean(text: str) -> bool:
    """Go's strconv.ParseBool, which is what docker's ``--flag=VALUE`` takes."""
    if text in ("1", "t", "T", "true", "TRUE", "True"):
        return True
    if text in ("0", "f", "F", "false", "FALSE", "False"):
        return False
    raise UsageError("must be true or false")


def key_value(text: str) -> tuple[str, str]:
    """``key=value``; a key alone has the value ""."""
    key, _, value = no_nul(text).partition("=")
    if not key or key != key.strip():
        raise UsageError("the key is empty or has spaces around it")
    plain(key)
    return key, value


def environment(text: str, environ: Mapping[str, str] | None = None) -> str:
    """``NAME=value`` -> itself; ``NAME`` -> with the caller's value, or alone, which unsets the image's."""
    name, equals, _ = no_nul(text).partition("=")
    if not name:
        raise UsageError("no variable name")
    plain(name)
    values = os.environ if environ is None else environ
    return f"{name}={values[name]}" if not equals and name in values else text


def _lines(path: str) -> Iterable[tuple[int, str]]:
    """The lines of a --env-file or --label-file that say something, numbered from 1."""
    try:
        # the file may be a pipe: --env-file <(cmd)
        with open(path, "rb") as file:
            text = file.read(16 << 20).decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"open {path}: {os.strerror(error.errno or 0).lower()}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8 text") from None
    for number, line in enumerate(text.split("\n"), 1):
        line = line.removesuffix("\r").lstrip()
        if line and not line.startswith("#"):
            yield number, line


def environment_file(path: str) -> list[str]:
    """A file of ``NAME=value`` lines, taken as they are: no quotes, no expansion.

    ``NAME`` alone takes the caller's value, or is left out.
    """
    result = []
    for number, line in _lines(path):
        name = line.partition("=")[0]
        if any(map(str.isspace, name)):
            raise UsageError(f"{path}, line {number}: variable {name!r} contains whitespace")
        entry = environment(line)
        if "=" in entry:
            result.append(entry)
    return result


def label_file(path: str) -> list[tuple[str, str]]:
    """A file of ``key=value`` lines."""
    return [key_value(line) for _, line in _lines(path)]


def ip_address(text: str) -> str:
    """An IPv4 or IPv6 address."""
    import _socket  # the C half of socket: +0.3 ms, and only for --dns and --add-host

    for family in (_socket.AF_INET, _socket.AF_INET6):
        try:
            _socket.inet_pton(family, text)
        except (OSError, ValueError):
            continue
        return text
    raise UsageError("not an IP address")


def extra_host(text: str) -> tuple[str, str]:
    """``name:address`` or ``name=address``; an IPv6 address may stand in brackets."""
    separator = "=" if "=" in text else ":"
    name, _, address = text.partition(separator)
    host_name(name)
    if address == "host-gateway":
        return name, address  # known once it has a network
    if address.startswith("[") and address.endswith("]"):
        address = address[1:-1]
    return name, ip_address(address)


def signal_name(text: str) -> str:
    """``TERM``, ``SIGTERM`` or ``15`` -> ``SIGTERM``. Real-time signals as ``RTMIN+3``: signal(7)."""
    name = text.upper().removeprefix("SIG")
    realtime = _matches(r"RTMIN\+([0-9]{1,2})|RTMAX-([0-9]{1,2})", name)
    if realtime and int(realtime[1] or realtime[2]) <= 30:
        return "SIG" + name
    if name.isascii() and name.isdigit() and int(name) in _signal.valid_signals():
        number = int(name)
        named = (known for known in dir(_signal) if _is_signal(known) and getattr(_signal, known) == number)
        return next(named, f"SIGRTMIN+{number - 34}")
    if not _is_signal("SIG" + name):
        raise UsageError("no such signal")
    return "SIG" + name


def signal_number(name: str) -> int:
    """``SIGTERM`` -> 15, and real-time signals as signal(7) counts them."""
    if match := _matches(r"SIGRT(MIN\+|MAX-)([0-9]{1,2})", name):
        return 34 + int(match[2]) if match[1] == "MIN+" else 64 - int(match[2])
    return int(getattr(_signal, name))


def _is_signal(name: str) -> bool:
    return name.startswith("SIG") and not name.startswith("SIG_") and hasattr(_signal, name)


def restart_policy(text: str) -> str:
    """``no``, ``always``, ``unless-stopped``, ``on-unhealthy`` or ``on-failure[:N]``."""
    name, colon, count = text.partition(":")
    if name == "on-failure" and (not colon or (count.isascii() and count.isdigit() and len(count) < 10)):
        return text
    if text not in ("no", "always", "unless-stopped", "on-unhealthy"):
        raise UsageError("must be no, always, unless-stopped, on-unhealthy or on-failure[:N]")
    return text


def _log_size(text: str) -> int:
    bytes_ = size(text)
    if not 0 < bytes_ < 1 << 32:
        raise UsageError("max-size must be more than nothing and less than 4g, or -1 for any size")
    return bytes_


def log_option(text: str) -> tuple[str, str]:
    """``max-size=10m`` (in bytes; -1 for any size) or ``max-file=3``; docker's other keys are about its own formats."""
    key, value = key_value(text)
    if key == "max-size":
        return key, str(0 if value == "-1" else _log_size(value))
    if key == "max-file":
        return key, str(integer(1, 10)(value))
    if key in ("compress", "mode", "max-buffer-size", "labels", "labels-regex", "env", "env-regex", "tag"):
        return key, value
    raise UsageError(f"unknown log option {key!r}: there are max-size and max-file")


# --- limits and devices -----------------------------------------------------------------------------------------------

_RLIMITS = "as|core|cpu|data|fsize|locks|memlock|msgqueue|nice|nofile|nproc|rss|rtprio|rttime|sigpending|stack"


def ulimit(text: str) -> Rlimit:
    """``nofile=1024:4096`` or ``nofile=1024`` -> both limits; -1 is unlimited: setrlimit(2)."""
    name, equals, limits = text.partition("=")
    soft_text, colon, hard_text = limits.partition(":")
    if not equals or not soft_text or (colon and not hard_text):
        raise UsageError("must be name=soft[:hard]")
    if not _matches(_RLIMITS, name):
        raise UsageError(f"no limit is called {name!r}")
    number = integer(UNLIMITED, INT64_MAX)
    soft, hard = number(soft_text), number(hard_text or soft_text)
    if hard != UNLIMITED and (soft == UNLIMITED or soft > hard):
        raise UsageError(f"the soft limit must be less than or equal to the hard limit: {soft} > {hard}")
    soft, hard = (RLIM_INFINITY if limit == UNLIMITED else limit for limit in (soft, hard))
    return Rlimit("RLIMIT_" + name.upper(), soft, hard)


def _access(text: str) -> str:
    if not _matches(r"[rwm]{1,3}", text) or len(set(text)) != len(text):
        raise UsageError(f"{text!r} is not an access mode (some of r, w, m)")
    return text


def device(text: str) -> DeviceMapping:
    """``/dev/host[:/dev/container][:rwm]``."""
    if not text.startswith("/") and "=" in text:
        raise Unsupported("devices by CDI name are not supported yet: name a node of /dev")
    host, *rest = plain(text).split(":")
    if len(rest) > 2:
        raise UsageError("must be /dev/host[:/dev/container][:rwm]")
    if len(rest) == 1 and not rest[0].startswith("/"):
        rest = [host, rest[0]]
    container, access = (*rest, *(host, "rwm")[len(rest) :])
    return DeviceMapping(absolute_path(host), target_path(container), _access(access))


def device_rule(text: str) -> DeviceRule:
    """``c 1:3 rwm``, ``b 8:* r``, ``a *:* rwm``: the v1 devices controller's language."""
    match = _matches(r"([abc]) ([0-9]{1,7}|\*):([0-9]{1,7}|\*) ([rwm]{1,3})", text)
    if not match:
        raise UsageError("must be like 'c 1:3 rwm'")
    kind, major, minor, access = match.groups()
    return DeviceRule(kind, None if major == "*" else int(major), None if minor == "*" else int(minor), _access(access))


def _device_number(number: Callable[[str], int]) -> Callable[[str], DeviceRate]:
    def parse(text: str) -> DeviceRate:
        path, colon, value = text.rpartition(":")
        if not colon or not path.startswith("/dev/"):
            raise UsageError("must be /dev/name:number")
        return DeviceRate(absolute_path(plain(path)), number(value))

    return parse


device_bps = _device_number(size)
"""``/dev/sda:1mb`` -> bytes per second."""

device_iops = _device_number(integer(0, INT64_MAX))
"""``/dev/sda:1000`` -> operations per second."""

device_weight = _device_number(integer(10, 1000))
"""``/dev/sda:500`` -> a weight."""


# --- namespaces -------------------------------------------------------------------------------------------------------


def namespace(*words: str) -> Callable[[str], str]:
    """Make the parser of ``--pid`` and its sisters: one of ``words``; ``container:X`` takes a name."""

    def parse(text: str) -> str:
        if text.startswith("container:") and "container:X" in words:
            container_name(text.partition(":")[2])
            return text
        return choice(*words)(text) if text else ""

    return parse


NO_ENDPOINT_OPTIONS = "what a container is in a network has no options of its own"


def network(text: str) -> Endpoint:
    """``bridge``, ``none``, ``host``, ``container:X``, a network's name; or long: ``name=X,alias=a,ip=10.9.0.5``."""
    fields = _csv(text) if "=" in text else [f"name={text}"]
    made, link_local, aliases = Endpoint(""), [], []
    for key, value in map(key_value, fields):
        if key == "name":
            made = made._replace(name=network_name(value))
        elif key == "alias":
            aliases.append(host_name(value))
        elif key == "ip":
            made = made._replace(ip=ipv4_address(value))
        elif key == "ip6":
            made = made._replace(ip6=ipv6_address(value))
        elif key == "mac-address":
            made = made._replace(mac=mac_address(value))
        elif key == "link-local-ip":
            link_local.append(ip_address(value))
        elif key == "driver-opt":
            raise Unsupported(f"driver-opt is not supported: {NO_ENDPOINT_OPTIONS}")
        elif key == "gw-priority":
            made = made._replace(gw_priority=integer(-(2**31), 2**31 - 1)(value))
        else:
            raise UsageError(f"invalid field {key!r}")
    if not made.name:
        raise UsageError("no name of a network")
    return made._replace(link_local=tuple(link_local), aliases=tuple(aliases))


def link(text: str) -> tuple[str, str]:
    """``container[:name]`` -> the container, and what it is called."""
    container, colon, name = text.partition(":")
    container = container.removeprefix("/")
    if not container or (colon and not name):
        raise UsageError("must be container[:name]")
    return plain(container), host_name(name.removeprefix("/") or container)


def network_name(text: str) -> str:
    """A network's name, ID or mode."""
    kind, colon, other = text.partition(":")
    if colon and kind == "container":
        if not other:
            raise UsageError("container: needs the name of a container")
        return plain(text)
    if text == "default":
        return "bridge"
    if not _is_name(text) or len(text) > 128:
        raise UsageError(f"{text!r} can't be the name of a network: only [a-zA-Z0-9][a-zA-Z0-9_.-]+ are allowed")
    return text


def ipv4_address(text: str) -> str:
    """An IPv4 address."""
    if ":" in text:
        raise UsageError("not an IPv4 address")
    return ip_address(text)


def ipv6_address(text: str) -> str:
    """An IPv6 address."""
    if ":" not in text:
        raise UsageError("not an IPv6 address")
    return ip_address(text)


def mac_address(text: str) -> str:
    """``02:42:0a:5a:00:02``: the address of one link, so the lowest bit of its first byte, for groups, is 0."""
    mac = text.lower().replace("-", ":")
    if not _matches("[0-9a-f]{2}(:[0-9a-f]{2}){5}", mac) or int(mac[:2], 16) & 1 or mac == "00:00:00:00:00:00":
        raise UsageError("not a hardware address such as 02:42:0a:5a:00:02")
    return mac


# --- ports ------------------------------------------------------------------------------------------------------------

_PROTOCOLS = ("tcp", "udp", "sctp")


def _port_range(text: str, *, lowest: int = 1) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    number = integer(lowest, 65535)
    low, high = number(first), number(last if dash else first)
    if low > high:
        raise UsageError(f"port range {text} runs backwards")
    return low, high


def _port_of_container(text: str) -> tuple[int, int, str]:
    ports, slash, protocol = text.partition("/")
    protocol = protocol.lower() if slash else "tcp"
    if protocol not in _PROTOCOLS:
        raise UsageError(f"protocol {protocol!r}: must be tcp, udp or sctp")
    return *_port_range(ports), protocol


def publish(text: str) -> Publication:
    """``[address:][port[-port]:]port[-port][/tcp|udp|sctp]``: of the host, then of the container.

    An IPv6 address stands in brackets. Without the host's port, or with 0, any that is free.
    """
    *before, inner = text.rsplit(":", 1)
    first, last, protocol = _port_of_container(inner)
    host, outer = "", before[0] if before else ""
    if before and (":" in outer or "." in outer or outer.startswith("[")):
        host, _, outer = outer.rpartition(":")
        if host.startswith("[") != host.endswith("]") or (":" in host and not host.startswith("[")):
            raise UsageError("an IPv6 address must stand in brackets: [::1]:8080:80")
        host = ip_address(host.strip("[]"))
    host_first, host_last = _port_range(outer, lowest=0) if outer else (0, 0)
    if host_last - host_first != last - first and first != last and host_first:
        raise UsageError("the two ranges of ports differ in length")
    return Publication(host, host_first, host_last, first, last, protocol)


def expose(text: str) -> list[Publication]:
    """``80``, ``80/udp``, ``8000-8010``: ports that ``-P`` publishes on any that are free."""
    first, last, protocol = _port_of_container(text)
    return [Publication("", 0, 0, port, port, protocol) for port in range(first, last + 1)]


def exposed(text: str) -> str:
    """Check one ``--expose``."""
    _port_of_container(text)
    return text


# --- mounts -----------------------------------------------------------------------------------------------------------

_PROPAGATION = ("rprivate", "private", "rshared", "shared", "rslave", "slave")
_FLAGS = (
    *("suid", "nosuid", "dev", "nodev", "exec", "noexec", "atime", "noatime", "relatime", "strictatime"),
    *("nostrictatime", "diratime", "nodiratime", "symfollow", "nosymfollow"),
)


def volume_name(text: str) -> str:
    """A volume's name, by docker's rule."""
    if not _is_name(text) or len(text) > 255:
        raise UsageError(
            f"{text!r} is no name for a volume: only [a-zA-Z0-9][a-zA-Z0-9_.-]+ are allowed; "
            "a directory of the host is given by its absolute path"
        )
    return text


def volume_driver(text: str) -> str:
    """``local``: what keeps volumes on this host is the only driver there is."""
    if text not in ("", "local"):
        raise Unsupported(f"volume driver {text!r} is not supported: there is only local")
    return "local"


def volume_option(text: str) -> tuple[str, str]:
    """One ``-o`` of the local driver: ``type=tmpfs``, ``device=/dev/vdb``, ``o=size=10m,uid=1000``."""
    key, value = key_value(text)
    if key not in ("type", "device", "o"):
        raise UsageError(f"invalid option {key!r}: the local driver knows type, device and o")
    return key, plain(value)


def volume(text: str) -> Mount:
    """``[/host|name:]/container[:options]`` with options ``ro``, ``rw``, a propagation, ``nosuid`` and its kind.

    Also ``nocopy`` for a volume, ``idmap`` for a bind, and ``z``/``Z``, which mean something to SELinux only.
    ``.`` and ``..`` at the start are taken from the working directory. A source that is missing is made, a directory
    of root's, as docker does; ``--mount`` refuses that, which is better against typing errors.
    """
    parts = text.split(":")
    if len(parts) > 3 or not parts[0]:
        raise UsageError("must be [/host/path or name:]/container/path[:options]")
    if len(parts) == 1:
        return Mount("volume", "", target_path(text))
    source = parts[0]
    if source.partition("/")[0] in (".", ".."):
        source = os.path.normpath(f"{os.getcwd()}/{source}")
    words = parts[2].split(",") if len(parts) == 3 else []
    target = target_path(parts[1])
    if not source.startswith("/"):
        return _with_words(Mount("volume", volume_name(source), target), words)
    return _with_words(Mount("bind", absolute_path(plain(source)), target, make_source=True), words)


def _with_words(made: Mount, words: Iterable[str]) -> Mount:
    bind = made.type == "bind"
    for word in words:
        if word in ("ro", "rw"):
            made = made._replace(readonly=word == "ro")
        elif word in _FLAGS or (word in _PROPAGATION and bind):
            made = made._replace(options=(*made.options, word))
        elif word in ("bind", "rbind") and bind:
            made = made._replace(recursive=word == "rbind")
        elif word == "idmap" and bind:
            made = made._replace(idmap=True)
        elif word in ("nocopy", "copy") and not bind:
            made = made._replace(nocopy=word == "nocopy")
        elif word not in ("z", "Z", "consistent", "cached", "delegated"):  # SELinux and macOS: nothing to do here
            raise UsageError(f"invalid mode: {word!r}" + (" for a bind" if bind else " for a volume"))
    return made


def volumes_from(text: str) -> tuple[str, bool]:
    """``container[:ro|rw|z|Z]`` -> the container, and whether nothing may be written."""
    name, colon, mode = plain(text).partition(":")
    if not name:
        raise UsageError("must be container[:ro|rw]")
    words = mode.split(",") if colon else []
    for word in words:
        choice("ro", "rw", "z", "Z")(word)
    return name, "ro" in words


def tmpfs(text: str) -> Mount:
    """``/path[:options]`` with options of tmpfs(5) and mount(8)."""
    target, _, words = text.partition(":")
    readonly, options = False, []
    for word in filter(None, words.split(",")):
        if word in ("ro", "rw"):
            readonly = word == "ro"
        else:
            options.append(_tmpfs_option(word))
    return Mount("tmpfs", "", target_path(target), readonly, tuple(options))


_TMPFS_WORDS = ("sync", "async", "dirsync", "lazytime", "nolazytime", "mand", "nomand", "inode32", "inode64", "noswap")


def _tmpfs_option(word: str) -> str:
    key, _, value = word.partition("=")
    if word in _FLAGS or word in _PROPAGATION:
        return word
    if key == "size":
        return word if _matches(r"[0-9]{1,2}%|100%", value) else f"size={size(value)}"
    if key == "mode" and _matches(r"[0-7]{1,4}", value):
        return word
    if key in ("nr_inodes", "nr_blocks"):
        return f"{key}={size(value)}"
    if key in ("uid", "gid"):
        return f"{key}={integer(0, MAX_ID)(value)}"
    if word in _TMPFS_WORDS or (key in ("huge", "mpol") and value):
        return plain(word)
    raise UsageError(f"invalid tmpfs option {word!r}")


_MOUNT_KEYS = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly"}
_MOUNT_SWITCHES = ("readonly", "bind-nonrecursive", "bind-create-src", "volume-nocopy", "idmap")
_MOUNT_TYPES = ("bind", "volume", "tmpfs", "image")


def mount(text: str) -> Mount:
    """``type=bind,source=/host,target=/container[,readonly][,bind-propagation=rslave][,tmpfs-size=64m]...``.

    Commas inside a value can be kept by quoting the whole field as CSV does: ``"source=/a,b"``.
    """
    keys: dict[str, str] = {}
    repeated: dict[str, list[str]] = {"volume-label": [], "volume-opt": []}
    for field in _csv(text):
        key, equals, value = field.partition("=")
        key = _MOUNT_KEYS.get(key, key)
        if not equals and key not in _MOUNT_SWITCHES:
            raise UsageError(f"invalid field {field!r}: must be key=value")
        if key in repeated:
            repeated[key].append(value)
        else:
            keys[key] = value if equals else "true"
    keys.pop("consistency", "")  # for Docker Desktop's file sharing; means nothing on Linux
    kind = keys.pop("type", "volume")
    if kind in ("cluster", "npipe"):
        raise Unsupported(f"mounts of type {kind} are not supported: they are for swarms and for Windows")
    if kind not in _MOUNT_TYPES:
        raise UsageError(f"mount type {kind!r} unknown: must be bind, volume, tmpfs or image")
    if "target" not in keys:
        raise UsageError("target is required")
    target = target_path(keys.pop("target"))
    readonly = boolean(keys.pop("readonly", "false"))
    if kind == "volume":
        made = _named(keys, repeated, target, readonly)
    else:
        made = {"bind": _bind, "tmpfs": _mounted_tmpfs, "image": _image}[kind](keys, target, readonly)
        keys |= {key: "" for key, values in repeated.items() if values}
    if keys:
        raise UsageError(f"unexpected key {next(iter(keys))!r} for type {kind}")
    return made


def _bind(keys: dict[str, str], target: str, readonly: bool) -> Mount:
    source = keys.pop("source", "")
    if not source:
        raise UsageError("source is required for type bind")
    if not source.startswith("/"):
        raise UsageError("source must be an absolute path")
    options = [choice(*_PROPAGATION)(keys.pop("bind-propagation"))] if "bind-propagation" in keys else []
    recursive = not boolean(keys.pop("bind-nonrecursive", "false"))
    mode = choice("enabled", "disabled", "writable", "readonly")(keys.pop("bind-recursive", "enabled"))
    if mode == "readonly" and not readonly:
        raise UsageError("bind-recursive=readonly needs readonly too")
    if mode == "readonly" and options not in ([], ["rprivate"]):
        raise UsageError("bind-recursive=readonly needs bind-propagation=rprivate")
    return Mount(
        "bind",
        absolute_path(plain(source)),
        target,
        readonly,
        tuple(options),
        recursive and mode != "disabled",
        writable_below=mode == "writable",
        idmap=boolean(keys.pop("idmap", "false")),
        make_source=boolean(keys.pop("bind-create-src", "false")),
    )


def _named(keys: dict[str, str], repeated: Mapping[str, list[str]], target: str, readonly: bool) -> Mount:
    volume_driver(keys.pop("volume-driver", ""))
    source = keys.pop("source", "")
    return Mount(
        "volume",
        volume_name(source) if source else "",
        target,
        readonly,
        subpath=_subpath(keys.pop("volume-subpath", "")),
        nocopy=boolean(keys.pop("volume-nocopy", "false")),
        labels=tuple(key_value(label) for label in repeated["volume-label"]),
        driver_options=tuple(volume_option(option) for option in repeated["volume-opt"]),
    )


def _image(keys: dict[str, str], target: str, readonly: bool) -> Mount:
    source = keys.pop("source", "")
    if not source:
        raise UsageError("source is required for type image")
    return Mount("image", plain(source), target, True, subpath=_subpath(keys.pop("image-subpath", "")))


def _subpath(text: str) -> str:
    """A path below a volume's or an image's top."""
    if text.startswith("/"):
        raise UsageError("a subpath must be relative")
    path = os.path.normpath(plain(text)) if text else ""
    if path == ".." or path.startswith("../"):
        raise UsageError("a subpath must not lead out")
    return "" if path == "." else path


def _mounted_tmpfs(keys: dict[str, str], target: str, readonly: bool) -> Mount:
    if keys.pop("source", ""):
        raise UsageError("source makes no sense for type tmpfs")
    options = [_tmpfs_option(f"{key}={keys.pop('tmpfs-' + key)}") for key in ("size", "mode") if "tmpfs-" + key in keys]
    options += [_tmpfs_option(word) for word in keys.pop("tmpfs-options", "").split(",") if word]
    return Mount("tmpfs", "", target, readonly, tuple(options))


def _csv(text: str) -> list[str]:
    """One line of CSV, as Go's encoding/csv reads it."""
    if '"' not in text:
        return text.split(",")
    import csv  # +1 ms, and only for a quoted field

    try:
        return next(csv.reader([text], strict=True))
    except csv.Error as error:
        raise UsageError(f"not a list of key=value: {error}") from None


# --- security ---------------------------------------------------------------------------------------------------------


def security_option(text: str) -> tuple[str, str]:
    """One ``--security-opt``: ``name=value`` or ``name:value`` -> the pair, checked.

    no-new-privileges (true/false; unset means pyc decides by the image), seccomp (unconfined, builtin or a file),
    unmask and mask (paths with ':' between, or ALL), systempaths=unconfined, compat32 (true/false),
    apparmor=unconfined, label=disable.
    """
    match = _matches(r"([a-z0-9-]+)(?:[=:](.+))?", plain(text))
    if not match:
        raise UsageError("must be name=value")
    name, value = match[1], match[2] or ""
    if name in ("no-new-privileges", "compat32"):
        if value in ("on", "off", "auto"):
            return name, value
        return name, "on" if boolean(value or "true") else "off"
    if name == "seccomp" and value:
        return name, value
    if name in ("unmask", "mask") and value:
        paths = value.split(":")
        return name, value if value == "ALL" and name == "unmask" else ":".join(target_path(path) for path in paths)
    if text in ("systempaths=unconfined", "systempaths:unconfined"):
        return "unmask", "ALL"
    if (name, value) in (("apparmor", "unconfined"), ("label", "disable")):
        return name, value
    if name in ("apparmor", "label", "systempaths", "writable-cgroups"):
        raise Unsupported(f"security option {text!r} is not supported yet")
    raise UsageError(f"no security option is called {name!r}")
