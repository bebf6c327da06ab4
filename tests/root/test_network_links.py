"""Networks without a bridge: macvlans and ipvlans, which are machines on the cable of a link of the host's."""

from __future__ import annotations

import json

import pytest

from tests.support.cli import sh
from tests.support.hosts import (
    HERE,
    SERVE,
    SLEEP,
    THERE,
    HostedPyc,
    Namespace,
    address_of,
    inspected,
    nothing_is_left,
    ping,
    served,
    taken,
)

pytestmark = pytest.mark.root

LAN = ("--subnet", "203.0.113.0/24", "--gateway", THERE, "--ip-range", "203.0.113.128/25", "-o", "parent=up0")


def need(host: Namespace, kind: str, *settings: str) -> None:
    """Skip the test where the kernel has no such links."""
    made = host("ip", "link", "add", "link", "up0", "name", "try0", "type", kind, *settings)
    host("ip", "link", "delete", "try0")
    if made.returncode:
        pytest.skip(f"needs a kernel with {kind}: {made.stderr.strip()}")


@pytest.fixture(autouse=True)
def _able(host: Namespace) -> None:
    need(host, "macvlan")


def reaches(net: HostedPyc, name: str, to: str) -> bool:
    return ping(net, name, to).code == 0


def test_a_macvlan_is_a_machine_of_its_own_on_the_cable(net: HostedPyc, host: Namespace, outside: Namespace) -> None:
    net("network", "create", "-d", "macvlan", *LAN, "lan").ok()
    options = ("--network", "lan", "--mac-address", "02:aa:bb:cc:dd:01", "-p", "80:80")
    started = net("run", "-d", "--name", "first", *options, "busybox", *sh(f"{SERVE} 80")).ok()
    assert "discarded: a link has no ports" in started.stderr
    net("run", "-d", "--name", "second", "--network", "lan", *SLEEP).ok()
    address = address_of(net, "first", "lan")
    assert address == "203.0.113.128"
    assert reaches(net, "first", THERE) and reaches(net, "first", "second")
    assert not reaches(net, "first", HERE)  # the kernel keeps them from their parent
    assert served(outside, address, 80)
    assert "02:aa:bb:cc:dd:01" in outside.ok("ip", "neighbour", "show", address)
    assert host.ok("nft", "list", "ruleset") == "" and "pyc-" not in host.ok("ip", "link")
    shown = json.loads(net("network", "inspect", "lan").ok().stdout)[0]
    assert (shown["Driver"], shown["Options"]) == ("macvlan", {"parent": "up0"})
    net("rm", "-f", "first", "second").ok()
    nothing_is_left(net, host)
    assert taken(net, "lan") == []


def test_the_mode_of_a_macvlan_decides_who_reaches_whom(net: HostedPyc) -> None:
    for mode, expected in (("private", False), ("bridge", True)):
        net("network", "create", "-d", "macvlan", *LAN, "-o", f"macvlan_mode={mode}", "lan").ok()
        for name in ("one", "two"):
            net("run", "-d", "--name", name, "--network", "lan", *SLEEP).ok()
        assert reaches(net, "one", address_of(net, "two", "lan")) is expected
        assert reaches(net, "one", THERE)
        net("rm", "-f", "one", "two").ok()
        net("network", "rm", "lan").ok()
    net("network", "create", "-d", "macvlan", *LAN, "-o", "macvlan_mode=passthru", "whole").ok()
    net("run", "-d", "--name", "one", "--network", "whole", *SLEEP).ok()
    refused = net("run", "--rm", "--network", "whole", *SLEEP)
    assert refused.code == 125 and "Traceback" not in refused.stderr
    assert reaches(net, "one", THERE)


def test_a_macvlan_of_the_same_address_follows_at_once(net: HostedPyc) -> None:
    net("network", "create", "-d", "macvlan", *LAN, "lan").ok()
    net("run", "-d", "--name", "same", "--network", "lan", "--ip", "203.0.113.150", *SLEEP).ok()
    for _ in range(4):
        net("restart", "-t", "0", "same").ok()
        assert reaches(net, "same", THERE)


def test_one_link_is_the_parent_of_one_network(net: HostedPyc) -> None:
    net("network", "create", "-d", "macvlan", *LAN, "lan").ok()
    again = ("--subnet", "10.80.0.0/24", "-o", "parent=up0", "more")
    assert "network lan has up0 for its parent" in net("network", "create", "-d", "ipvlan", *again).stderr


def test_a_vlan_is_made_for_its_network_and_goes_with_it(net: HostedPyc, host: Namespace, outside: Namespace) -> None:
    need(host, "vlan", "id", "30")
    outside.ok("ip", "link", "add", "link", "up0", "name", "up0.30", "type", "vlan", "id", "30")
    try:
        outside.ok("ip", "addr", "add", "10.81.0.1/24", "dev", "up0.30")
        outside.ok("ip", "link", "set", "up0.30", "up")
        net("network", "create", "-d", "macvlan", "--subnet", "10.81.0.0/24", "-o", "parent=up0.30", "tagged").ok()
        net("run", "--rm", "--network", "tagged", "busybox", "ping", "-c1", "-W2", "10.81.0.1").ok()
        assert "vlan" in host.ok("ip", "-d", "link", "show", "up0.30")
        net("network", "rm", "tagged").ok()
        assert host("ip", "link", "show", "up0.30").returncode
    finally:
        outside.ok("ip", "link", "delete", "up0.30")


def test_without_a_parent_containers_have_each_other_only(net: HostedPyc, host: Namespace) -> None:
    need(host, "dummy")
    net("network", "create", "-d", "macvlan", "--subnet", "10.82.0.0/24", "alone").ok()
    for name in ("one", "two"):
        net("run", "-d", "--name", name, "--network", "alone", *SLEEP).ok()
    assert reaches(net, "one", "two") and not reaches(net, "one", THERE)
    assert json.loads(net("network", "inspect", "alone").ok().stdout)[0]["Internal"] is True
    net("rm", "-f", "one", "two").ok()
    net("network", "rm", "alone").ok()
    assert "dummy" not in host.ok("ip", "-d", "link")


def test_an_ipvlan_shares_the_hardware_address_of_its_parent(
    net: HostedPyc, host: Namespace, outside: Namespace
) -> None:
    need(host, "ipvlan")
    net("network", "create", "-d", "ipvlan", *LAN, "-o", "ipvlan_mode=l2", "lan").ok()
    net("run", "-d", "--name", "one", "--network", "lan", "busybox", *sh(f"{SERVE} 80")).ok()
    assert reaches(net, "one", THERE)
    address = address_of(net, "one", "lan")
    assert served(outside, address, 80)
    mac = json.loads(host.ok("ip", "-j", "link", "show", "up0"))[0]["address"]
    assert mac in outside.ok("ip", "neighbour", "show", address)


def test_an_ipvlan_of_layer_3_leaves_the_way_to_its_parent(net: HostedPyc, host: Namespace, outside: Namespace) -> None:
    need(host, "ipvlan")
    options = ("-o", "parent=up0", "-o", "ipvlan_mode=l3")
    net("network", "create", "-d", "ipvlan", "--subnet", "10.83.0.0/24", *options, "deep").ok()
    net("run", "-d", "--name", "one", "--network", "deep", *SLEEP).ok()
    assert net("exec", "one", "ip", "route").ok().lines[0].startswith("default dev eth0")
    outside.ok("ip", "route", "add", "10.83.0.0/24", "via", HERE)
    try:
        assert reaches(net, "one", THERE)
    finally:
        outside.ok("ip", "route", "del", "10.83.0.0/24")


def test_a_container_moves_between_a_bridge_and_a_macvlan_while_it_runs(net: HostedPyc) -> None:
    net("network", "create", "-d", "macvlan", *LAN, "lan").ok()
    net("run", "-d", "--name", "mover", *SLEEP).ok()
    net("network", "connect", "--ip", "203.0.113.200", "lan", "mover").ok()
    assert "203.0.113.200/24" in net("exec", "mover", "ip", "-o", "addr", "show", "eth1").ok().stdout
    assert reaches(net, "mover", THERE)
    net("network", "disconnect", "lan", "mover").ok()
    assert net("exec", "mover", *sh("ls /sys/class/net")).ok().stdout.split() == ["eth0", "lo"]
    assert taken(net, "lan") == [] and set(inspected(net, "mover")["Networks"]) == {"bridge"}


def test_a_parent_that_has_gone_is_said_so(net: HostedPyc, host: Namespace) -> None:
    host.ok("ip", "link", "add", "gone0", "type", "veth", "peer", "name", "gone1")
    net("network", "create", "-d", "macvlan", "--subnet", "10.84.0.0/24", "-o", "parent=gone0", "lost").ok()
    host.ok("ip", "link", "delete", "gone0")
    refused = net("run", "--rm", "--network", "lost", *SLEEP)
    assert refused.code == 125 and "its parent link gone0 is not there any more" in refused.stderr
    net("network", "rm", "lost").ok()


def test_a_kernel_without_such_links_is_said_so_before_a_network_is_made(net: HostedPyc, host: Namespace) -> None:
    made = host("ip", "link", "add", "link", "up0", "name", "try0", "type", "ipvlan")
    host("ip", "link", "delete", "try0")
    if not made.returncode:
        pytest.skip("needs a kernel without ipvlan")
    refused = net("network", "create", "-d", "ipvlan", *LAN, "lan")
    assert refused.code != 0 and "this kernel has no ipvlan" in refused.stderr
    assert "lan" not in net("network", "ls").ok().stdout
