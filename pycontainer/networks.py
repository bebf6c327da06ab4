"""Networks from Python: what ``pyc network`` does.

>>> from pycontainer import networks
>>> made = networks.create("inner", subnet="10.77.0.0/24", internal=True)
>>> networks.inspect("inner")["IPAM"]["Config"]
[{'Subnet': '10.77.0.0/24', 'Gateway': '10.77.0.1'}]
>>> networks.remove("inner")

A container is put into one by ``pycontainer.run(..., network="inner")``, or by :func:`connect`. Every function works on
the networks of this user, or on those of ``roots``; errors are those of :mod:`pycontainer.errors`.
"""

from __future__ import annotations

from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    import builtins
    from collections.abc import Mapping, Sequence
    from typing import Any

    from pycontainer.engine.options import Roots
    from pycontainer.network.store import Network

__all__ = ["connect", "create", "disconnect", "get", "inspect", "list", "prune", "remove"]


def create(
    name: str,
    *,
    driver: str = "bridge",
    subnet: str | Sequence[str] = (),
    gateway: str | Sequence[str] = (),
    ip_range: str | Sequence[str] = (),
    aux_address: Mapping[str, str] | None = None,
    ipv4: bool = True,
    ipv6: bool = False,
    internal: bool = False,
    labels: Mapping[str, str] | None = None,
    options: Mapping[str, str] | None = None,
    roots: Roots | None = None,
) -> Network:
    """Make a network; its bridge comes with the first container.

    Args:
        name: what it is called.
        driver: ``bridge``, ``macvlan`` or ``ipvlan``.
        subnet, gateway, ip_range: one, or one of IPv4 and one of IPv6; what is left out is chosen.
        aux_address: addresses of its subnets that somebody else has, by name.
        ipv4, ipv6: which kinds of addresses it has.
        internal: nothing leaves it, and nothing comes in.
        labels, options: as ``--label`` and ``--opt``.
        roots: where the state is.

    Raises Conflict: the name, the subnet or the link is taken; UsageError: what makes no sense; NotFound: no parent.
    """
    from pycontainer.engine.network import networks
    from pycontainer.network.design import Draft, subnets_of

    draft = Draft(
        name,
        subnets_of(_several(subnet), _several(gateway), _several(ip_range), aux_address or {}),
        driver=driver,
        ipv4=ipv4,
        ipv6=ipv6,
        internal=internal,
        labels=dict(labels or {}),
        options=dict(options or {}),
    )
    return networks.create(_roots(roots), draft)


def get(name_or_id: str, *, roots: Roots | None = None) -> Network:
    """The network of that name, ID, or beginning of an ID. Raises NotFound, Conflict."""
    from pycontainer.network import store

    return store.find(_roots(roots).root, name_or_id)


def list(*, roots: Roots | None = None) -> builtins.list[Network]:
    """All that have been made, by name.

    >>> [network.name for network in networks.list()]
    []
    """
    from pycontainer.network import store

    return [*store.listing(_roots(roots).root)]


def inspect(name_or_id: str, *, roots: Roots | None = None) -> dict[str, Any]:
    """All that is known about it, and who is in it, in docker's shape. Raises NotFound."""
    from pycontainer.engine.network.documents import document

    return document(_roots(roots), name_or_id)


def connect(
    network: str,
    container: str,
    *,
    aliases: Sequence[str] = (),
    ip: str = "",
    ip6: str = "",
    gw_priority: int = 0,
    roots: Roots | None = None,
) -> None:
    """Connect a container to one more network, while it runs or before.

    Args:
        network, container: their names or IDs.
        aliases: more names for the others there.
        ip, ip6: its addresses; they are chosen if left out.
        gw_priority: the network of the highest is the way elsewhere.
        roots: where the state is.

    Raises NotFound; Conflict: it is connected already, or an address is taken.
    """
    from pycontainer.engine.network.connect import connect
    from pycontainer.oci.grammar.addresses import ipv4_address, ipv6_address
    from pycontainer.oci.grammar.networks import Endpoint, network_name
    from pycontainer.oci.grammar.words import host_name

    endpoint = Endpoint(
        network_name(network),
        tuple(map(host_name, aliases)),
        ipv4_address(ip) if ip else "",
        ipv6_address(ip6) if ip6 else "",
        gw_priority=gw_priority,
    )
    connect(_roots(roots), container, endpoint)


def disconnect(network: str, container: str, *, roots: Roots | None = None) -> None:
    """Take a container out of a network. Raises NotFound if it is not in it."""
    from pycontainer.engine.network.connect import disconnect

    disconnect(_roots(roots), container, network)


def remove(name_or_id: str, *, roots: Roots | None = None) -> None:
    """Remove a network. Raises NotFound, or Conflict if a container that runs is in it."""
    from pycontainer.engine.network.networks import remove

    remove(_roots(roots), name_or_id)


def prune(*, roots: Roots | None = None) -> builtins.list[str]:
    """Remove the networks that no container was made for, and tell their names."""
    from pycontainer.engine.network.networks import prune

    return prune(_roots(roots), lambda network: True)


def _several(value: str | Sequence[str]) -> Sequence[str]:
    return (value,) if isinstance(value, str) else value


def _roots(roots: Roots | None) -> Roots:
    from pycontainer.engine.options import Roots as Default

    return Default.of(roots)
