"""What a new network will be: what was asked for, checked, and the rest filled in."""

from __future__ import annotations

import os
import time

from pycontainer.errors import Conflict, Unsupported, UsageError
from pycontainer.network import addresses, store
from pycontainer.network.addresses import Subnet
from pycontainer.network.child import IPVLAN_FLAGS, IPVLAN_MODES, MACVLAN_MODES
from pycontainer.network.store import DEFAULT, Network
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence


class Draft(Record):
    """What somebody asks of a new network; for what is empty a choice is made. The fields are those of Network."""

    name: str
    subnets: tuple[Subnet, ...] = ()
    driver: str = "bridge"
    ipv4: bool = True
    ipv6: bool = False
    internal: bool = False
    labels: dict[str, str] = {}  # noqa: RUF012 - never changed
    options: dict[str, str] = {}  # noqa: RUF012 - never changed
    ipam_options: dict[str, str] = {}  # noqa: RUF012 - never changed
    config_only: bool = False
    config_from: str = ""


def design(draft: Draft, taken: list[str], of_host: list[str] | tuple[str, ...] = ()) -> Network:
    """Fill in what was not asked for.

    Args:
        draft: what was.
        taken: the subnets that other networks have.
        of_host: the subnets that the host knows a way to. A macvlan or ipvlan is in one of these, and may be.

    Raises UsageError for what makes no sense, Unsupported for another driver, Conflict for a subnet that somebody has.
    """
    network_id = os.urandom(32).hex()
    if draft.driver not in _OPTIONS:
        raise Unsupported(f"network driver {draft.driver!r} is not supported: there are bridge, macvlan and ipvlan")
    if not draft.config_only:  # what the options are for is known when somebody uses it
        _check_options(draft)
    forbidden = [*taken, *of_host] if draft.driver == "bridge" else taken
    made = [_checked(subnet, forbidden) for subnet in draft.subnets]
    if len({subnet.six for subnet in made}) < len(made):
        raise UsageError("a network has at most one subnet of IPv4 and one of IPv6")
    if not draft.config_only:
        made += _chosen(draft, made, [*taken, *of_host], network_id)
    parent = draft.options.get("parent", "")
    own = f"pyc-{network_id[:8]}"
    return Network(
        network_id,
        draft.name,
        next((draft.options[name] for name in store.BRIDGE_OPTIONS if name in draft.options), parent or own),
        time.time(),
        tuple(sorted(made, key=lambda subnet: subnet.six)),
        draft.internal or (draft.driver != "bridge" and not parent),  # a link that ends nowhere
        draft.labels,
        draft.options,
        draft.driver,
        draft.driver != "bridge" and not parent,
        draft.ipam_options,
        draft.config_only,
        draft.config_from,
    )


# --- options --------------------------------------------------------------------------------------------------------


def _check_options(draft: Draft) -> None:
    known = {**_OPTIONS[draft.driver], **dict.fromkeys(store.MTU_OPTIONS, _mtu)}
    for name, value in draft.options.items():
        if name not in known:
            raise UsageError(
                f"unknown option {name!r} of the driver {draft.driver}", hint="known: " + ", ".join(sorted(known))
            )
        known[name](name, value)


def _link_name(name: str, value: str) -> None:
    if not 0 < len(value.encode()) < 16 or "/" in value or any(c.isspace() for c in value) or value in (".", ".."):
        raise UsageError(f"{name}: {value!r} can't be the name of a link: at most 15 bytes, no '/' and no space")


def _mtu(name: str, value: str) -> None:
    if not (value.isascii() and value.isdigit()) or (int(value) and not 68 <= int(value) <= 65535):
        raise UsageError(f"{name} {value!r}: must be from 68 to 65535")


def _address(name: str, value: str) -> None:
    addresses.pack(value)


def _word(*words: str) -> Callable[[str, str], None]:
    def check(name: str, value: str) -> None:
        if value not in words:
            raise UsageError(f"{name} {value!r}: must be {', '.join(words[:-1])} or {words[-1]}")

    return check


_OPTIONS: dict[str, dict[str, Callable[[str, str], None]]] = {
    "bridge": {
        **dict.fromkeys(store.BRIDGE_OPTIONS, _link_name),
        **dict.fromkeys(store.MASQUERADE_OPTIONS, _word("true", "false")),
        **dict.fromkeys(store.ISOLATE_OPTIONS, _word("true", "false")),
        **dict.fromkeys(store.HOST_ADDRESS_OPTIONS, _address),
    },
    "macvlan": {"parent": _link_name, "macvlan_mode": _word(*MACVLAN_MODES)},
    "ipvlan": {"parent": _link_name, "ipvlan_mode": _word(*IPVLAN_MODES), "ipvlan_flag": _word(*IPVLAN_FLAGS)},
}


# --- subnets --------------------------------------------------------------------------------------------------------


def subnets_of(
    subnets: Sequence[str], gateways: Sequence[str], ranges: Sequence[str], aux: Mapping[str, str]
) -> tuple[Subnet, ...]:
    """Each subnet with what is inside of it. Raises UsageError for what is in none."""
    left = [*gateways, *ranges, *aux.values()]
    made = []
    for text in subnets:
        of_it = [value for value in left if addresses.inside(value.partition("/")[0], text)]
        left = [value for value in left if value not in of_it]
        made.append(
            Subnet(
                text,
                next((gateway for gateway in gateways if gateway in of_it), ""),
                next((part for part in ranges if part in of_it), ""),
                {name: address for name, address in aux.items() if address in of_it},
            )
        )
    if left:
        raise UsageError(f"{left[0]} is in none of the subnets", hint="name the subnet with --subnet")
    return tuple(made)


def _chosen(draft: Draft, made: list[Subnet], taken: list[str], network_id: str) -> Iterator[Subnet]:
    """The subnets that nobody named."""
    if not draft.ipv4 and any(not subnet.six for subnet in made):
        raise UsageError("--ipv4=false, and a subnet of IPv4")
    six = draft.ipv6 or any(subnet.six for subnet in made)
    if not draft.ipv4 and not six:
        raise UsageError("a network needs IPv4 or IPv6")
    if draft.ipv4 and not any(not subnet.six for subnet in made):
        yield _with_gateway(Subnet(_free(taken, 16 if draft.name == DEFAULT else 24), ""))
    if six and not any(subnet.six for subnet in made):
        yield _with_gateway(Subnet(f"fd{network_id[:2]}:{network_id[2:6]}:{network_id[6:10]}::/64", ""))


def _checked(subnet: Subnet, taken: list[str]) -> Subnet:
    whole = addresses.normal(subnet.subnet)
    for other in taken:
        if addresses.overlap(whole, other):
            raise Conflict(f"subnet {whole} overlaps with {other}, which this host has already")
    first, last, size = addresses.bounds(whole)
    if subnet.ip_range:
        low, high, length = addresses.bounds(subnet.ip_range)
        if size != length or low < first or high > last:
            raise UsageError(f"ip-range {subnet.ip_range} is not inside of subnet {whole}")
    if last - first < 3:
        raise UsageError(f"subnet {whole} is too small: it needs addresses for the gateway and a container")
    for what, address in [("gateway", subnet.gateway), *((f"aux-address {k}", v) for k, v in subnet.aux.items())]:
        if address and not addresses.inside(address, whole):
            raise UsageError(f"{what} {address} is not inside of subnet {whole}")
    return _with_gateway(subnet._replace(subnet=whole))


def _with_gateway(subnet: Subnet) -> Subnet:
    """The first address is the gateway's, if nobody said otherwise."""
    if subnet.gateway:
        return subnet
    first, _, size = addresses.bounds(subnet.subnet)
    return subnet._replace(gateway=addresses.unpack((first + 1).to_bytes(size, "big")))


def _pool(prefix: int) -> Iterator[str]:
    """Private subnets (RFC 1918) that few others choose."""
    step = (1 << (24 - prefix)) if prefix < 24 else 1
    places = [(10, second) for second in range(90, 100)] + [(172, second) for second in range(24, 32)]
    for first, second in places:
        for third in range(0, 256, step):
            yield f"{first}.{second}.{third}.0/{prefix}"
    if prefix == 24:
        for third in range(224, 255):
            yield f"192.168.{third}.0/24"


def _free(taken: list[str], prefix: int) -> str:
    for subnet in _pool(prefix):
        if not any(addresses.overlap(subnet, other) for other in taken):
            return subnet
    raise Conflict("all the private subnets that pyc chooses from are taken", hint="name one with --subnet")
