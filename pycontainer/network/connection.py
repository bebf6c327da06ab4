"""What one container has of its networks: the cables, the addresses, the published ports.

All names and numbers follow from the container's ID, so that the remains of a killed process can be found without a
record of what it did.
"""

from __future__ import annotations

from pycontainer.network import addresses, nftables
from pycontainer.network.links import End
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from typing import Any


PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132}


class Connection(Record):
    """A container in one network.

    Attributes:
        network: its name.
        number: the how-manieth network of this container it is: link ``eth<number>`` inside.
        bridge: the number of the bridge's link, or of the parent of a macvlan or ipvlan.
        mac: of the link inside, as people write it.
        mtu: in bytes, or 0.
        ipv4, ipv6: ``address/prefix``, or "".
        gateways: to elsewhere; () in an internal network; zeros where all is just behind the link.
        extra: more addresses, with prefix.
        names: what others there call it.
        metric: of its default routes, above the usual: the smallest is the one that is used.
        driver: of the network.
        mode, flags: of a macvlan or ipvlan, as the kernel has them.
        isolated: it can't reach others of the network.
        known: what it alone calls others of the network: their IDs and names.
    """

    network: str
    number: int
    bridge: int
    mac: str
    mtu: int = 0
    ipv4: str = ""
    ipv6: str = ""
    gateways: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    metric: int = 0
    driver: str = "bridge"
    mode: int = 0
    flags: int = 0
    isolated: bool = False
    known: tuple[tuple[str, str], ...] = ()

    @property
    def is_bridged(self) -> bool:
        """Whether a cable leads to a bridge."""
        return self.driver == "bridge"

    @property
    def addresses(self) -> tuple[str, ...]:
        """Its addresses, without the prefix."""
        return tuple(text.partition("/")[0] for text in (self.ipv4, self.ipv6) if text)


class Port(Record):
    """A port of the host that leads into the container.

    Attributes:
        host: the address of the host, ``0.0.0.0`` or ``::`` for all of them.
        port: of the host.
        protocol: ``tcp``, ``udp`` or ``sctp``.
        target: the container's address.
        target_port: the container's port.
    """

    host: str
    port: int
    protocol: str
    target: str
    target_port: int

    def element(self) -> tuple[nftables.Set, tuple[bytes, bytes]]:
        """The port as an element of a map of nftables."""
        host, target = addresses.pack(self.host), addresses.pack(self.target)
        return nftables.port_element(host, PROTOCOLS[self.protocol], self.port, target, self.target_port)

    @property
    def address(self) -> str:
        """Where it is on the host: ``0.0.0.0:8080``, ``[::]:8080``."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.address}->{self.target_port}/{self.protocol}"


class Attachment(Record):
    """All of it.

    Attributes:
        table: the nftables table of this installation.
        directory: ``RUNROOT/networks``, where the taken addresses are.
    """

    container: str = ""
    table: str = ""
    directory: str = ""
    connections: tuple[Connection, ...] = ()
    ports: tuple[Port, ...] = ()

    @property
    def addresses(self) -> tuple[str, ...]:
        """All its addresses."""
        return tuple(address for connection in self.connections for address in connection.addresses)

    def host_end(self, connection: Connection) -> End:
        """The end of the cable that is a port of the bridge."""
        return host_end(self.container, connection.number)

    def elements(self) -> list[tuple[nftables.Set, tuple[bytes, bytes]]]:
        """What the packet filter's sets hold about it."""
        targets = dict.fromkeys(addresses.pack(port.target) for port in self.ports)
        return [port.element() for port in self.ports] + [nftables.itself_element(target) for target in targets]

    def returns(self, connection: Connection) -> bool:
        """Whether it may come back to itself through its own end of the cable, by a published port."""
        return any(port.target in connection.addresses for port in self.ports)

    def taken(self) -> list[str]:
        """The files that say that its addresses are taken."""
        return [
            f"{self.directory}/{connection.network}/{address}"
            for connection in self.connections
            for address in connection.addresses
        ]

    def record(self) -> dict[str, Any]:
        """As JSON has it."""
        fields = self._asdict()
        return fields | {name: [item._asdict() for item in fields[name]] for name in ("connections", "ports")}

    @classmethod
    def of(cls, record: dict[str, Any]) -> Attachment:
        """From JSON."""
        connections = []
        for item in record["connections"]:
            fields: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in item.items()}
            fields["known"] = tuple((container, name) for container, name in fields.get("known", ()))
            connections.append(Connection(**fields))
        ports = tuple(Port(**item) for item in record["ports"])
        return cls(**{**record, "connections": tuple(connections), "ports": ports})


def host_end(container_id: str, number: int) -> End:
    """Its name has the beginning of the ID; its number is one that the kernel would come to last."""
    name = f"pv{container_id[:8]}" + (f"-{number}" if number else "")
    return End(name, 1 << 30 | (int(container_id[:8], 16) + number * 0x9E3779B1) & 0x3FFFFFFF)


def inner_end(number: int) -> End:
    """``eth0``; some kernels put links of their own into a new namespace, with numbers from 2 on."""
    return End(f"eth{number}", 100 + number)
