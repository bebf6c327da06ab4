"""The networks of a container that is not made: the steps are those of a start, the addresses an example."""

from __future__ import annotations

from pycontainer.engine.network import endpoints, ports
from pycontainer.engine.network.attachments import directory, table_of
from pycontainer.errors import NotFound
from pycontainer.network import addresses, store
from pycontainer.network.connection import Attachment
from pycontainer.network.design import Draft, design
from pycontainer.network.store import DEFAULT, Network
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.engine.bundle import Bundle
    from pycontainer.engine.options import Roots
    from pycontainer.oci.grammar.networks import Endpoint


def foresee(roots: Roots, bundle: Bundle) -> Attachment:
    """What a container would take of its networks; touches nothing.

    Raises NotFound: no such network; UsageError, Conflict: what can't be had.
    """
    options, container_id = bundle.asked, bundle.container.id
    if options.network.startswith("container:"):
        return Attachment()
    asked = [(endpoint, _network(roots, endpoint.name)) for endpoint in endpoints.wanted(options)]
    connections = endpoints.ranked(
        tuple(
            endpoints.connection(network, endpoint, number, _addresses(network, endpoint))
            for number, (endpoint, network) in enumerate(asked)
        ),
        [endpoint.gw_priority for endpoint, _ in asked],
    )
    published = ports.of(bundle, connections, [network for _, network in asked])
    return Attachment(container_id, table_of(roots), directory(roots), connections, published)


def _network(roots: Roots, name: str) -> Network:
    """The network, or what it would be: the default one is made when it is needed, and only root may look."""
    try:
        return store.find(roots.root, name) if name != DEFAULT else store.load(roots.root, name)
    except NotFound:
        if name != DEFAULT:
            raise
    except PermissionError:
        pass
    return design(Draft(name), [], [])


def _addresses(network: Network, endpoint: Endpoint) -> dict[bool, str]:
    """Those that were asked for, else the first of each subnet."""
    return {
        subnet.six: asked or next(addresses.candidates(subnet), "")
        for subnet, asked in endpoints.asked_of(network, endpoint)
    }
