"""Published ports: which of the host's lead into a container."""

from __future__ import annotations

from pycontainer.engine import settings
from pycontainer.engine.notes import note
from pycontainer.errors import Conflict, HostLacks, UsageError
from pycontainer.network import addresses, store
from pycontainer.network.connection import PROTOCOLS, Connection, Port
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.engine.bundle import Bundle
    from pycontainer.network.store import Network
    from pycontainer.oci.grammar.ports import Publication
    from pycontainer.oci.options import ContainerOptions


def of(bundle: Bundle, connections: tuple[Connection, ...], networks: list[Network]) -> tuple[Port, ...]:
    """The ports that a container about to be started publishes, all of them in the first network that leads outside."""
    options = bundle.asked
    wanted = list(options.publish)
    if options.publish_all:
        wanted += _exposed(options, bundle.exposed)
    if not wanted:
        return ()
    outward = [(c, n) for c, n in zip(connections, networks, strict=True) if n.is_bridge and not n.internal]
    if not outward:
        why = "an internal network can't be reached from outside" if networks[0].is_bridge else "a link has no ports"
        note(f"published ports are discarded: {why}")
        return ()
    connection, network = outward[0]
    found: list[Port] = []
    for publication in wanted:
        found += _published(publication, connection, network.option(store.HOST_ADDRESS_OPTIONS), found)
    _can_be_held(len(found))
    return tuple(found)


_OTHER_DESCRIPTORS = 64
_MOST = 7000  # each takes two of the 16,384 calls that a plan may have (core/wire.h)


def _can_be_held(number: int) -> None:
    """Each port is kept by a socket of the monitor's, which inherits our limit; a container has one of its own."""
    from resource import RLIM_INFINITY, RLIMIT_NOFILE, getrlimit, setrlimit

    if number > _MOST:
        raise UsageError(f"can't publish {number} ports of one container: {_MOST} are possible")
    needed, (soft, hard) = number + _OTHER_DESCRIPTORS, getrlimit(RLIMIT_NOFILE)
    if RLIM_INFINITY != hard < needed:
        raise UsageError(
            f"publishing {number} ports takes as many open files, and here {hard} are allowed",
            hint="publish fewer, or 'ulimit -Hn' more",
        )
    if RLIM_INFINITY != soft < needed:
        setrlimit(RLIMIT_NOFILE, (needed, hard))


def _exposed(options: ContainerOptions, of_image: tuple[str, ...]) -> list[Publication]:
    from pycontainer.oci.grammar.ports import expose

    published = {(p.protocol, port) for p in options.publish for port in range(p.first, p.last + 1)}
    found = [publication for text in dict.fromkeys((*of_image, *options.expose)) for publication in expose(text)]
    return [publication for publication in found if (publication.protocol, publication.first) not in published]


def _published(asked: Publication, to: Connection, default: str, others: list[Port]) -> list[Port]:
    """The ports of one ``-p``, on each address of the host that it means."""
    if asked.protocol == "sctp":
        _need_sctp()
    found: list[Port] = []
    for place, port in enumerate(range(asked.first, asked.last + 1)):
        number = 0
        for at in _hosts(asked.host, to, default):
            target = (to.ipv6 if ":" in at else to.ipv4).partition("/")[0]
            if addresses.unpack(addresses.pack(at)) == "::1":
                raise UsageError("-p [::1]: Linux takes no answer to ::1 from a container", hint="publish at 127.0.0.1")
            if not target:
                kind = "IPv6" if ":" in at else "IPv4"
                raise UsageError(f"-p {at}: the container has no {kind} in network {to.network}, and none is made up")
            number = number or _host_port(asked, place, at, others)
            found.append(Port(addresses.unpack(addresses.pack(at)), number, asked.protocol, target, port))
    return found


def _hosts(asked: str, to: Connection, default: str) -> list[str]:
    """The addresses of the host. All of them means: of the kinds that the container has."""
    if asked:
        return [asked]
    host = default or str(settings.network("publish_address", "0.0.0.0"))
    if host != "0.0.0.0":
        return [host]
    return [*(["0.0.0.0"] if to.ipv4 else []), *(["::"] if to.ipv6 else [])]


def _need_sctp() -> None:
    with open("/proc/net/protocols") as table:
        if not any(line.startswith("SCTP ") for line in table):
            raise HostLacks("this kernel has no SCTP", hint="modprobe sctp")


def _host_port(asked: Publication, place: int, host: str, others: list[Port]) -> int:
    if not asked.host_first:
        return _free(host, asked.protocol, range(1))
    many = asked.host_last - asked.host_first
    if many and asked.first == asked.last:  # any of these for one port
        used = {port.port for port in others if port.protocol == asked.protocol}
        return _free(host, asked.protocol, [n for n in range(asked.host_first, asked.host_last + 1) if n not in used])
    return asked.host_first + place


def _free(host: str, protocol: str, numbers: range | list[int]) -> int:
    """The first of these ports that nobody has now; 0 stands for any, which the kernel chooses."""
    from _socket import AF_INET, AF_INET6, SOCK_DGRAM, SOCK_STREAM, socket

    kind = SOCK_DGRAM if protocol == "udp" else SOCK_STREAM
    for number in numbers:
        trying = socket(AF_INET6 if ":" in host else AF_INET, kind, PROTOCOLS[protocol])
        try:
            trying.bind((host, number))
            return int(trying.getsockname()[1])
        except OSError:
            continue
        finally:
            trying.close()
    raise Conflict(f"all ports of that range are in use on {host}")
