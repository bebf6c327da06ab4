"""``pyc network``: bridges, and the containers behind them."""

from __future__ import annotations

from pycontainer.cli import Session, declare, listing
from pycontainer.cli.declare import echo
from pycontainer.cli.listing import for_each
from pycontainer.cli.prune import Chosen
from pycontainer.engine.network import connect as connecting
from pycontainer.engine.network import documents, firewall, networks
from pycontainer.errors import NotFound, Unsupported
from pycontainer.network.design import Draft, subnets_of
from pycontainer.oci.grammar.addresses import ip_address, ipv4_address, ipv6_address
from pycontainer.oci.grammar.networks import NO_ENDPOINT_OPTIONS, Endpoint, link, network_name
from pycontainer.oci.grammar.words import boolean, choice, host_name, key_value
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any


HEADERS = {
    "ID": "NETWORK ID",
    "Name": "NAME",
    "Driver": "DRIVER",
    "Scope": "SCOPE",
    "IPv4": "IPV4",
    "IPv6": "IPV6",
    "Internal": "INTERNAL",
    "Labels": "LABELS",
    "CreatedAt": "CREATED AT",
    "Label": lambda name: name,
}
DEFAULT = "{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}"
FILTERS = frozenset(["dangling", "driver", "id", "label", "name", "scope", "type"])


# --- create -----------------------------------------------------------------------------------------------------------


@declare.command("create", help="Make a network: a bridge, or links on top of one of the host's, with addresses.")
@declare.option("-d", "--driver", default="bridge", metavar="DRIVER", help="bridge (default), macvlan or ipvlan")
@declare.option("--subnet", "subnets", multiple=True, metavar="CIDR", help="Its addresses, as 10.9.0.0/24")
@declare.option("--gateway", "gateways", multiple=True, metavar="ADDRESS", help="The bridge's own (default: the first)")
@declare.option("--ip-range", "ranges", multiple=True, metavar="CIDR", help="The part of the subnet to give away")
@declare.option("--aux-address", "aux", multiple=True, metavar="NAME=ADDRESS", help="Somebody else's: not to give away")
@declare.option("--ipv6/--no-ipv6", "ipv6", default=False, help="IPv6 too; without a subnet, a private one")
@declare.option("--ipv4", "ipv4", type=bool, default=True, is_flag=False, flag_value=True, help="Or --ipv4=false")
@declare.option("--internal", is_flag=True, help="Nothing leaves it, and nothing comes in")
@declare.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="Give it a label")
@declare.option("-o", "--opt", "options", multiple=True, metavar="KEY=VALUE", help="mtu, bridge.name, icc, parent, ...")
@declare.option("--config-only", is_flag=True, help="Make no network, but a pattern for --config-from")
@declare.option("--config-from", default="", metavar="NAME", help="Addresses and options of a pattern")
@declare.option("--ipam-driver", default="default", hidden=True)
@declare.option("--ipam-opt", "ipam_options", multiple=True, metavar="KEY=VALUE", hidden=True)
@declare.option("--scope", default="local", hidden=True)
@declare.option("--attachable", is_flag=True, expose_value=False, hidden=True)
@declare.option("--ingress", is_flag=True, hidden=True)
@declare.argument("name")
@declare.pass_obj
def create(session: Session, /, name: str, **asked: Any) -> None:
    """Make a network and print its ID."""
    _refuse(asked)
    pairs = {key: dict(map(key_value, asked[key])) for key in ("aux", "labels", "options", "ipam_options")}
    draft = Draft(
        name,
        subnets_of(asked["subnets"], asked["gateways"], asked["ranges"], pairs["aux"]),
        driver=asked["driver"],
        ipv4=asked["ipv4"],
        ipv6=asked["ipv6"],
        internal=asked["internal"],
        labels=pairs["labels"],
        options=pairs["options"],
        ipam_options=pairs["ipam_options"],
        config_only=asked["config_only"],
        config_from=asked["config_from"],
    )
    echo(networks.create(session.roots, draft).id)


def _refuse(asked: dict[str, Any]) -> None:
    """What docker has for swarms and plugins."""
    if asked["ipam_driver"] != "default":
        raise Unsupported(f"IPAM driver {asked['ipam_driver']!r} is not supported")
    if asked["scope"] != "local" or asked["ingress"]:
        raise Unsupported("networks of a swarm are not supported: a network is of this host")


# --- looking ----------------------------------------------------------------------------------------------------------


@declare.command("ls", help="List networks.")
@declare.option("-f", "--filter", "filters", multiple=True, metavar="KEY=VALUE", help=listing.of_filters(FILTERS))
@declare.option("--format", "form", default="", metavar="TEMPLATE", help="table, json, table TEMPLATE or TEMPLATE")
@declare.option("--no-trunc", is_flag=True, help="Show whole IDs")
@declare.option("-q", "--quiet", is_flag=True, help="Show IDs only")
@declare.pass_obj
def ls(session: Session, /, filters: tuple[str, ...], form: str, no_trunc: bool, quiet: bool) -> None:
    """List networks, those without a bridge too."""
    chosen = listing.Filters(filters, FILTERS)
    found = [document for document in documents.documents(session.roots) if _passes(document, chosen)]
    rows = [_row(document, no_trunc) for document in found]
    listing.write(rows, HEADERS, DEFAULT, form or ("{{.ID}}" if quiet else ""))


def _passes(document: dict[str, Any], filters: listing.Filters) -> bool:
    built_in = document["Name"] in networks.BUILT_IN
    dangling = not document["Containers"] and not built_in
    return (
        filters.any("dangling", lambda text: boolean(text) == dangling)
        and filters.any("driver", lambda text: text == document["Driver"])
        and filters.any("id", lambda text: document["Id"].startswith(text))
        and filters.any("name", lambda text: text in document["Name"])
        and filters.any("scope", lambda text: text == "local")
        and filters.any("type", lambda text: choice("builtin", "custom")(text) == ("builtin" if built_in else "custom"))
        and filters.labels(document["Labels"])
    )


def _row(document: dict[str, Any], whole: bool) -> dict[str, Any]:
    return {
        "ID": document["Id"] if whole else document["Id"][:12],
        "Name": document["Name"],
        "Driver": document["Driver"],
        "Scope": "local",
        "IPv4": str(document["EnableIPv4"]).lower(),
        "IPv6": str(document["EnableIPv6"]).lower(),
        "Internal": str(document["Internal"]).lower(),
        "Labels": listing.join_labels(document["Labels"]),
        "CreatedAt": document["Created"],
        "Label": lambda name: document["Labels"].get(name, ""),
    }


# --- removing ---------------------------------------------------------------------------------------------------------


@declare.command("rm", help="Remove networks.")
@declare.option("-f", "--force", is_flag=True, help="Don't mind those that are not there")
@declare.argument("names", metavar="NETWORK...", nargs=-1, required=True)
@declare.pass_obj
def rm(session: Session, /, force: bool, names: tuple[str, ...]) -> int:
    """Remove networks without containers."""

    def remove(name: str) -> None:
        try:
            networks.remove(session.roots, name)
        except NotFound:
            if not force:
                raise
            return
        echo(name)

    return for_each(names, remove)


@declare.command(
    "prune", help="Remove the networks that no container is in, and the bridges if there is no container at all."
)
@declare.option("--filter", "filters", multiple=True, metavar="KEY=VALUE", help="label=..., label!=..., until=...")
@declare.option("-f", "--force", is_flag=True, help="Don't ask")
@declare.pass_obj
def prune(session: Session, /, filters: tuple[str, ...], force: bool) -> None:
    """Remove what nobody uses."""
    chosen = Chosen(filters)
    warning = "WARNING! This will remove all custom networks not used by at least one container.\n"
    import click

    if not force and not click.confirm(warning + "Are you sure you want to continue?"):
        return
    removed = networks.prune(session.roots, lambda network: chosen.passes(network.created, network.labels))
    networks.retire(session.roots)
    if removed:
        echo("Deleted Networks:\n" + "\n".join(removed) + "\n")


# --- containers -------------------------------------------------------------------------------------------------------


def _no_endpoint_options(ctx: object, param: object, value: str | None) -> None:
    if value is not None:
        raise Unsupported(f"--driver-opt is not supported: {NO_ENDPOINT_OPTIONS}")


@declare.command("connect", help="Connect a container to a network, while it runs or before.")
@declare.option("--alias", "aliases", multiple=True, metavar="NAME", help="One more name for the others there")
@declare.option("--ip", default="", metavar="ADDRESS", help="Its IPv4 address")
@declare.option("--ip6", default="", metavar="ADDRESS", help="Its IPv6 address")
@declare.option("--link", "links", multiple=True, metavar="CONTAINER[:NAME]", help="Know another by a name of its own")
@declare.option("--link-local-ip", "link_local", multiple=True, metavar="ADDRESS", help="One more address")
@declare.option("--driver-opt", is_eager=True, expose_value=False, callback=_no_endpoint_options, hidden=True)
@declare.option("--gw-priority", default=0, type=int, help="The network of the highest is the way elsewhere")
@declare.argument("network")
@declare.argument("container")
@declare.pass_obj
def connect(session: Session, /, network: str, container: str, **asked: Any) -> None:
    """Connect a container to one more network."""
    endpoint = Endpoint(
        network_name(network),
        tuple(map(host_name, asked["aliases"])),
        ipv4_address(asked["ip"]) if asked["ip"] else "",
        ipv6_address(asked["ip6"]) if asked["ip6"] else "",
        link_local=tuple(map(ip_address, asked["link_local"])),
        gw_priority=asked["gw_priority"],
        links=tuple(map(link, asked["links"])),
    )
    connecting.connect(session.roots, container, endpoint)


@declare.command("disconnect", help="Take a container out of a network.")
@declare.option("-f", "--force", is_flag=True, help="Don't mind if it is not in it")
@declare.argument("network")
@declare.argument("container")
@declare.pass_obj
def disconnect(session: Session, /, force: bool, network: str, container: str) -> None:
    """Disconnect a container from a network."""
    try:
        connecting.disconnect(session.roots, container, network)
    except NotFound:
        if not force:
            raise


@declare.command("reload", help="Make bridges and packet filter as they should be, whatever was done to them.")
@declare.pass_obj
def reload(session: Session, /) -> None:
    """Repair everything at once; each start repairs what it needs."""
    firewall.reload(session.roots)
