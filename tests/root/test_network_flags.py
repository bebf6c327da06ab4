"""Each flag about networks, and its effect: seen in the container, on the host, or in what inspect says."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.cli import sh
from tests.support.host import PATIENCE
from tests.support.hosts import (
    HERE,
    SERVE,
    SLEEP,
    THERE,
    HostedPyc,
    Namespace,
    address_of,
    fetch,
    inspected,
    nothing_is_left,
    ping,
    served,
    taken,
)

pytestmark = pytest.mark.root

GET = f"printf 'GET /cgi-bin/who HTTP/1.0\\r\\n\\r\\n' | nc -w 3 {HERE} 8080"


def document(net: HostedPyc, name: str, *options: str) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(net("network", "inspect", *options, name).ok().stdout)[0]
    return shown


@contextlib.contextmanager
def filtered_bridges(host: Namespace, on: bool) -> Iterator[None]:
    """Whether what stays on a bridge goes through the packet filter all the same (br_netfilter)."""
    names = [f"net.bridge.bridge-nf-call-{name}" for name in ("iptables", "ip6tables")]
    before = [host("sysctl", "-n", name).stdout.strip() for name in names]
    if not all(before):
        yield  # this kernel can't, or does not yet
        return
    host.ok("sysctl", "-qw", *(f"{name}={int(on)}" for name in names))
    try:
        yield
    finally:
        host.ok("sysctl", "-qw", *(f"{name}={value}" for name, value in zip(names, before, strict=True)))


def known(net: HostedPyc, name: str) -> dict[str, list[str]]:
    """Address -> names, as the container's file has them."""
    lines = net("exec", name, "cat", "/etc/hosts").ok().stdout.splitlines()
    return {words[0]: words[1:] for line in lines if (words := line.split()) and not line.startswith("#")}


# --- network create ---------------------------------------------------------------------------------------------------


def test_addresses_come_from_the_range_and_not_from_those_of_others(net: HostedPyc) -> None:
    subnet = ("--subnet", "10.60.0.0/24", "--ip-range", "10.60.0.8/29", "--gateway", "10.60.0.254")
    net("network", "create", *subnet, "--aux-address", "router=10.60.0.9", "--aux-address", "b=10.60.0.10", "part").ok()
    found = set()
    for number in range(6):
        net("run", "-d", "--name", f"c{number}", "--network", "part", *SLEEP).ok()
        found.add(address_of(net, f"c{number}", "part"))
    assert found == {f"10.60.0.{last}" for last in (8, 11, 12, 13, 14, 15)}
    assert "no address is free in 10.60.0.8/29" in net("run", "--rm", "--network", "part", *SLEEP).stderr
    assert net("exec", "c0", "ip", "route").ok().lines[0].startswith("default via 10.60.0.254")
    (pool,) = document(net, "part")["IPAM"]["Config"]
    assert pool["IPRange"] == "10.60.0.8/29" and pool["AuxiliaryAddresses"] == {
        "router": "10.60.0.9",
        "b": "10.60.0.10",
    }
    net("run", "--rm", "--network", "part", "--ip", "10.60.0.77", *SLEEP[:1], "true").ok()  # outside of the range


def test_a_network_may_have_ipv6_alone(net: HostedPyc, host: Namespace) -> None:
    net("network", "create", "--ipv4=false", "--subnet", "fd60::/64", "six").ok()
    net("run", "-d", "--name", "only", "--network", "six", "-p", "8080:80", "busybox", *sh(f"{SERVE} 80")).ok()
    assert "inet " not in net("exec", "only", "ip", "addr", "show", "eth0").ok().stdout
    shown = document(net, "six")
    assert (shown["EnableIPv4"], shown["EnableIPv6"]) == (False, True)
    assert net("network", "ls", "-f", "name=six", "--format", "{{.IPv4}} {{.IPv6}}").ok().lines == ["false true"]
    assert net("port", "only").ok().lines == ["80/tcp -> [::]:8080"]
    assert served(host, "[fd60::1]", 8080)
    refused = net("run", "--rm", "--network", "six", "-p", "127.0.0.1:81:80", *SLEEP)
    assert refused.code == 125 and "the container has no IPv4 in network six" in refused.stderr
    for address, why in (("fd60::1", "the container has no IPv6 in network bridge"), ("::1", "takes no answer to ::1")):
        refused = net("run", "--rm", "-p", f"[{address}]:81:80", *SLEEP)
        assert refused.code == 125 and why in refused.stderr


def test_options_of_a_bridge_do_what_they_say(net: HostedPyc, host: Namespace) -> None:
    options = ("-o", "mtu=1400", "-o", "com.docker.network.bridge.name=mybr", "-o", "publish_address=127.0.0.1")
    net("network", "create", *options, "tuned").ok()
    net("run", "-d", "--name", "box", "--network", "tuned", "-p", "8080:80", *SLEEP).ok()
    assert "mtu 1400" in host.ok("ip", "link", "show", "mybr")
    assert net("exec", "box", "cat", "/sys/class/net/eth0/mtu").ok().stdout == "1400\n"
    assert net("port", "box").ok().lines == ["80/tcp -> 127.0.0.1:8080"]
    assert document(net, "tuned")["Options"]["com.docker.network.bridge.name"] == "mybr"
    for option, why in (
        ("bridge.name=mybr", "tuned has mybr"), ("mtu=9", "from 68"), ("icc=maybe", "must be true or"),
        ("bridge.name=a/b", "name of a link"), ("nonsense=1", "unknown option 'nonsense'"), ("bridge.name=lo", "exists")
    ):  # fmt: skip
        refused = net("network", "create", "-o", option, "bad")
        assert refused.code in (1, 125) and why in refused.stderr, refused.stderr


def test_without_masquerade_packets_keep_their_address(net: HostedPyc, outside: Namespace) -> None:
    net("network", "create", "--subnet", "10.61.0.0/24", "-o", "masquerade=false", "plain").ok()
    net("run", "-d", "--name", "box", "--network", "plain", *SLEEP).ok()
    assert ping(net, "box", THERE).code != 0  # nobody knows the way back
    outside.ok("ip", "route", "add", "10.61.0.0/24", "via", HERE)
    try:
        assert ping(net, "box", THERE).code == 0
    finally:
        outside.ok("ip", "route", "del", "10.61.0.0/24")


def test_without_icc_containers_reach_each_other_by_published_ports_only(net: HostedPyc, host: Namespace) -> None:
    net("network", "create", "-o", "com.docker.network.bridge.enable_icc=false", "apart").ok()
    net("run", "-d", "--name", "web", "--network", "apart", "-p", "8080:80", "busybox", *sh(f"{SERVE} 80")).ok()
    net("run", "-d", "--name", "client", "--network", "apart", *SLEEP).ok()
    address = address_of(net, "web", "apart")
    served(host, address, 80)
    assert ping(net, "client", address).code != 0
    assert ping(net, "client", THERE).code == 0
    with filtered_bridges(host, False):
        assert "200 OK" in net("exec", "client", *sh(GET)).ok().stdout
    bridge = document(net, "apart")["Options"]["bridge"]
    host.ok("ip", "link", "delete", bridge)  # and when the bridge is made anew, they are still apart
    net("network", "reload").ok()
    net("run", "--rm", "--network", "apart", "busybox", "ping", "-c1", "-W2", THERE).ok()
    assert ping(net, "client", address).code != 0


def test_a_pattern_is_no_network_but_networks_are_made_from_it(net: HostedPyc) -> None:
    ipam = ("--subnet", "10.62.0.0/24", "--gateway", "10.62.0.5", "--ipam-opt", "a=b")
    net("network", "create", "--config-only", *ipam, "-o", "mtu=1300", "--label", "x=y", "pattern").ok()
    shown = document(net, "pattern")
    assert (shown["ConfigOnly"], shown["Driver"]) == (True, "null")
    refused = net("run", "--rm", "--network", "pattern", *SLEEP)
    assert refused.code == 125 and "is a configuration" in refused.stderr
    net("network", "create", "--config-from", "pattern", "made").ok()
    shown = document(net, "made")
    assert (shown["ConfigFrom"], shown["IPAM"]["Options"]) == ({"Network": "pattern"}, {"a": "b"})
    route = net("run", "--rm", "--network", "made", "busybox", *sh("ip route; cat /sys/class/net/eth0/mtu")).ok()
    assert route.lines[0].startswith("default via 10.62.0.5") and route.lines[-1] == "1300"
    assert "in use by network made" in net("network", "rm", "pattern").stderr
    assert "no other option" in net("network", "create", "--config-from", "pattern", "--internal", "more").stderr
    assert "is no configuration" in net("network", "create", "--config-from", "made", "more").stderr
    net("network", "rm", "made", "pattern").ok()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["-d", "overlay"], "not supported"),
        (["--ipam-driver", "dhcp"], "not supported"),
        (["--scope", "swarm"], "swarm"),
        (["--ingress"], "swarm"),
        (["--subnet", "10.63.0.1"], "not a subnet"),
        (["--subnet", "10.63.0.0/31"], "too small"),
        (["--subnet", "10.63.0.0/24", "--gateway", "10.64.0.1"], "in none of the subnets"),
        (["--subnet", "10.63.0.0/24", "--subnet", "10.64.0.0/24"], "at most one subnet"),
        (["--subnet", "10.63.0.0/24", "--ip-range", "10.63.0.0/20"], "not inside"),
        (["--subnet", "203.0.113.0/25"], "overlaps"),
        (["--ipv4=false"], "needs IPv4 or IPv6"),
        (["-d", "macvlan", "-o", "parent=nolink0"], "no link of this host"),
        (["-d", "macvlan", "-o", "parent=lo"], "loopback"),
        (["-d", "macvlan", "-o", "macvlan_mode=odd"], "private, vepa, bridge or passthru"),
        (["-d", "ipvlan", "-o", "icc=true"], "unknown option"),
        (["--config-from", "nothing"], "no such network"),
        (["--label", "=x"], "key is empty"),
    ],
)
def test_what_makes_no_sense_makes_no_network(net: HostedPyc, words: list[str], why: str) -> None:
    refused = net("network", "create", *words, "bad")
    assert refused.code in (1, 125) and why in refused.stderr and "Traceback" not in refused.stderr, refused.stderr
    assert "bad" not in net("network", "ls").ok().stdout


# --- network ls, inspect, rm, prune -----------------------------------------------------------------------------------


def test_networks_are_listed_and_filtered(net: HostedPyc) -> None:
    for name, label in (("one", "a=1"), ("two", "a=2"), ("three", "b")):
        net("network", "create", "--label", label, name).ok()
    net("run", "-d", "--name", "user", "--network", "one", *SLEEP).ok()
    ids = {name: document(net, name)["Id"] for name in ("one", "two", "three")}

    def names(*filters: str) -> set[str]:
        words = [word for text in filters for word in ("-f", text)]
        return set(net("network", "ls", *words, "--format", "{{.Name}}").ok().lines)

    built_in = {"bridge", "host", "none"}
    for filter, shown in (
        ("type=custom", {"one", "two", "three"}), ("type=builtin", built_in), ("label=a", {"one", "two"}),
        ("label=a=2", {"two"}), ("name=thr", {"three"}), ("driver=null", {"none"}), (f"id={ids['two'][:8]}", {"two"}),
        ("dangling=true", {"two", "three"}), ("scope=swarm", set()),
    ):  # fmt: skip
        assert names(filter) == shown, filter
    assert names("label=a", "dangling=true") == {"two"}
    assert ids["one"][:12] in net("network", "ls", "-q").ok().lines
    assert ids["one"] in net("network", "ls", "-q", "--no-trunc").ok().lines
    header, *rows = net("network", "ls").ok().lines
    assert header.split() == ["NETWORK", "ID", "NAME", "DRIVER", "SCOPE"] and len(rows) == 6
    assert net("network", "inspect", "-f", "{{.Name}}", ids["one"][:10], "bridge").ok().lines == ["one", "bridge"]
    wrong = net("network", "inspect", "one", "nothing")
    assert wrong.code == 1 and json.loads(wrong.stdout)[0]["Name"] == "one"
    assert net("network", "ls", "-f", "color=red").code == 125


def test_inspect_shows_members_as_docker_does_and_links_with_v(net: HostedPyc, host: Namespace) -> None:
    net("network", "create", "--subnet", "10.64.0.0/24", "lan").ok()
    container = net("run", "-d", "--name", "box", "--network", "lan", *SLEEP).ok().stdout.strip()
    ping(net, "box", "10.64.0.1")
    member = document(net, "lan")["Containers"][container]
    assert (member["Name"], member["IPv4Address"]) == ("box", "10.64.0.2/24")
    assert re.fullmatch("[0-9a-f]{64}", member["EndpointID"]) and member["MacAddress"] == "02:42:0a:40:00:02"
    links = document(net, "lan", "-v")["Links"]
    bridge = document(net, "lan")["Options"]["bridge"]
    assert links[bridge]["Addresses"] == ["10.64.0.1/24"] and links[bridge]["State"] == "up"
    (cable,) = [link for link in links.values() if link["Container"] == container]
    assert cable["RxBytes"] > 50 and "Links" not in document(net, "lan")
    settings = inspected(net, "box")["Networks"]["lan"]
    assert (settings["Gateway"], settings["IPPrefixLen"], settings["DNSNames"]) == (
        "10.64.0.1",
        24,
        ["box", container[:12]],
    )
    host.ok("nsenter", f"--net={inspected(net, 'box')['SandboxKey']}", "true")
    net("run", "-d", "--name", "more", *SLEEP).ok()
    assert inspected(net, "more")["IPAddress"] == address_of(net, "more")


def test_networks_are_removed_unless_somebody_is_in_them(net: HostedPyc) -> None:
    for name in ("one", "two", "three"):
        net("network", "create", "--label", name, name).ok()
    net("run", "-d", "--name", "user", "--network", "one", *SLEEP).ok()
    refused = net("network", "rm", "one", "two")
    assert (refused.code, refused.stdout) == (1, "two\n") and "active endpoints" in refused.stderr
    assert net("network", "rm", "nothing").code == 1
    net("network", "rm", "-f", "nothing").ok()
    for name in ("bridge", "host", "none"):
        assert "pre-defined" in net("network", "rm", name).stderr
        assert name == "bridge" or net("network", "create", name).code == 1
    assert net("network", "prune", "-f", "--filter", "label=nobody").ok().stdout == ""
    assert net("network", "prune", "-f", "--filter", "until=1h").ok().stdout == ""
    assert "three" not in net("network", "prune", "-f", "--filter", "label!=three").ok().stdout
    net("stop", "-t", "0", "user").ok()
    assert net("network", "prune", "-f").ok().lines[1:-1] == ["three"]  # one is wanted by a container that could start
    net("rm", "user").ok()
    assert "one" in net("network", "prune", stdin="y\n").ok().lines


# --- network connect, disconnect --------------------------------------------------------------------------------------


def test_connect_gives_what_it_is_asked_for(net: HostedPyc) -> None:
    net("network", "create", "--subnet", "10.65.0.0/24", "--subnet", "fd65::/64", "lan").ok()
    net("run", "-d", "--name", "box", *SLEEP).ok()
    net("run", "-d", "--name", "peer", "--network", "lan", *SLEEP).ok()
    addresses = ("--ip", "10.65.0.50", "--ip6", "fd65::50", "--link-local-ip", "169.254.7.7")
    net("network", "connect", *addresses, "--alias", "a1", "--alias", "a2", "--link", "peer:friend", "lan", "box").ok()
    shown = net("exec", "box", "ip", "-o", "addr", "show", "eth1").ok().stdout
    for address in ("10.65.0.50/24", "fd65::50/64", "169.254.7.7/16"):
        assert address in shown
    for name in ("box", "a1", "a2"):
        assert "10.65.0.50" in ping(net, "peer", name).ok().stdout
    assert ping(net, "box", "friend").code == 0 and "friend" not in str(known(net, "peer"))
    assert net("exec", "box", "ip", "route").ok().lines[0].startswith("default via 10.90.0.1")  # as before
    for words, why in ((["--ip", "10.66.0.1"], "not inside"), (["--ip", "10.65.0.1"], "gateway"), ([], "already")):
        refused = net("network", "connect", *words, "lan", "box")
        assert refused.code == 1 and (why in refused.stderr or "already" in refused.stderr)
    net("network", "disconnect", "lan", "box").ok()
    assert "eth1" not in net("exec", "box", "ip", "link").ok().stdout
    assert net("network", "disconnect", "lan", "box").code == 1
    net("network", "disconnect", "-f", "lan", "box").ok()
    assert len(taken(net, "lan")) == 2  # those of peer, of both kinds


def test_the_network_of_the_highest_priority_is_the_way_elsewhere(net: HostedPyc) -> None:
    for number in (1, 2, 3):
        net("network", "create", "--subnet", f"10.7{number}.0.0/24", f"n{number}").ok()
    several = ("--network", "n1", "--network", "name=n2,gw-priority=5", "--network", "n3")
    net("run", "-d", "--name", "box", *several, *SLEEP).ok()
    script = "ip -o -4 addr; ip route get 203.0.113.2; cat /proc/net/route"
    shown = net("exec", "box", *sh(script)).ok().stdout
    assert all(f"10.7{number}.0.2" in shown for number in (1, 2, 3))
    assert "203.0.113.2 via 10.72.0.1" in shown
    assert ping(net, "box", THERE).code == 0
    net("network", "disconnect", "n2", "box").ok()
    assert "via 10.71.0.1" in net("exec", "box", "ip", "route", "get", THERE).ok().stdout
    net("network", "connect", "--gw-priority", "5", "n2", "box").ok()
    assert "via 10.72.0.1" in net("exec", "box", "ip", "route", "get", THERE).ok().stdout
    assert set(inspected(net, "box")["Networks"]) == {"n1", "n2", "n3"}


def test_a_network_of_higher_priority_becomes_the_way_elsewhere_while_it_runs(net: HostedPyc) -> None:
    net("network", "create", "--subnet", "10.71.0.0/24", "--subnet", "fd71::/64", "both").ok()
    net("network", "create", "--subnet", "10.72.0.0/24", "four").ok()
    net("run", "-d", "--name", "box", "--network", "name=both,gw-priority=1", "--network", "four", *SLEEP).ok()

    def way(version: str) -> str:
        return net("exec", "box", "ip", f"-{version}", "route", "show", "default").ok().stdout.split()[2]

    assert (way("4"), way("6")) == ("10.71.0.1", "fd71::1")
    net("network", "connect", "--gw-priority", "2", "bridge", "box").ok()
    assert (way("4"), way("6")) == ("10.90.0.1", "fd71::1")
    assert net("exec", "box", "ip", "route").ok().stdout.count("default") == 3
    assert ping(net, "box", THERE).code == 0
    net("network", "disconnect", "bridge", "box").ok()
    assert way("4") == "10.71.0.1"
    net("network", "disconnect", "four", "box").ok()
    net("network", "connect", "--gw-priority", "-1", "four", "box").ok()
    assert way("4") == "10.71.0.1"
    net("network", "disconnect", "both", "box").ok()
    net("network", "connect", "both", "box").ok()
    assert (way("4"), way("6")) == ("10.71.0.1", "fd71::1")


def test_a_stopped_container_is_connected_for_its_next_start(net: HostedPyc) -> None:
    net("network", "create", "lan").ok()
    net("create", "--name", "box", *SLEEP).ok()
    net("network", "connect", "--alias", "later", "lan", "box").ok()
    net("start", "box").ok()
    assert set(inspected(net, "box")["Networks"]) == {"bridge", "lan"}
    net("run", "--rm", "--network", "lan", "busybox", "ping", "-c1", "-W2", "later").ok()
    for network in ("bridge", "lan"):
        net("network", "disconnect", network, "box").ok()
    assert net("exec", "box", "ls", "/sys/class/net").ok().lines == ["lo"]
    net("restart", "-t", "0", "box").ok()
    assert net("exec", "box", "ls", "/sys/class/net").ok().lines == ["lo"]


def test_modes_are_no_networks_to_connect_to(net: HostedPyc) -> None:
    net("run", "-d", "--name", "box", "--network", "none", *SLEEP).ok()
    for network in ("host", "none"):
        refused = net("network", "connect", network, "box")
        assert refused.code == 1 and "stands for no network" in refused.stderr
    assert "--network none" in net("network", "connect", "bridge", "box").stderr


# --- run --------------------------------------------------------------------------------------------------------------


def test_a_linked_container_is_known_by_name_and_followed(net: HostedPyc) -> None:
    net("run", "-d", "--name", "db", *SLEEP).ok()
    net("run", "-d", "--name", "other", *SLEEP).ok()
    net("run", "-d", "--name", "app", "--link", "db:store", "--link", "other", *SLEEP).ok()
    assert known(net, "app")[address_of(net, "db")] == ["store", "db"]
    assert ping(net, "app", "other").code == 0
    assert "app" not in str(known(net, "db"))
    assert ping(net, "db", "other").code != 0
    net("stop", "-t", "0", "db").ok()
    net("run", "-d", *SLEEP).ok()  # takes the address
    assert "store" not in str(known(net, "app"))
    net("start", "db").ok()
    assert known(net, "app")[address_of(net, "db")] == ["store", "db"] and ping(net, "app", "store").code == 0
    assert "Links" in inspected(net, "app")["Networks"]["bridge"]
    for link, why in (("nobody:x", "no such container"), ("db:", "container[:name]"), ("db:a b", "not a host name")):
        refused = net("run", "--rm", "--link", link, *SLEEP)
        assert refused.code == 125 and why in refused.stderr.lower()
    net("stop", "-t", "0", "db").ok()
    assert "it is exited" in net("run", "--rm", "--link", "db", *SLEEP).stderr
    assert net("run", "--rm", "--network", "host", "--link", "other", *SLEEP).code == 125


def test_names_of_the_host_and_of_servers_are_as_asked(net: HostedPyc) -> None:
    dns = ("--dns", "192.0.2.1", "--dns", "2001:db8::1", "--dns-search", "one.example", "--dns-option", "ndots:3")
    hosts = ("--add-host", "db:10.1.2.3", "--add-host", "six=[2001:db8::2]", "--add-host", "gate:host-gateway")
    script = "cat /etc/resolv.conf /etc/hosts; hostname"
    shown = net("run", "--rm", *dns, *hosts, "--hostname", "box", "busybox", *sh(script)).ok().lines
    assert shown[:4] == ["nameserver 192.0.2.1", "nameserver 2001:db8::1", "search one.example", "options ndots:3"]
    assert {"10.1.2.3\tdb", "2001:db8::2\tsix", "10.90.0.1\tgate", "box"} <= set(shown)
    assert any(re.fullmatch(r"10\.90\.0\.\d+\tbox", line) for line in shown)
    none = net("run", "--rm", "--dns-search", ".", "--dns-opt", "timeout:1", "busybox", "cat", "/etc/resolv.conf").ok()
    assert "search" not in none.stdout and "options timeout:1" in none.stdout
    for flag, value in (
        ("--dns", "name"),
        ("--add-host", "x:y"),
        ("--add-host", "a b:1.2.3.4"),
        ("--dns-search", "a\nb"),
    ):
        assert net("run", "--rm", flag, value, *SLEEP).code == 125


def test_an_address_of_hardware_and_of_ip_are_as_asked(net: HostedPyc) -> None:
    net("network", "create", "--subnet", "10.66.0.0/24", "--subnet", "fd66::/64", "lan").ok()
    asked = (
        "--ip",
        "10.66.0.9",
        "--ip6",
        "fd66::9",
        "--mac-address",
        "02:11:22:33:44:55",
        "--link-local-ip",
        "169.254.1.2",
    )
    aliases = ("--network-alias", "front", "--net-alias", "back")
    net("run", "-d", "--name", "box", "--net", "lan", *asked, *aliases, *SLEEP).ok()
    shown = net("exec", "box", "ip", "addr", "show", "eth0").ok().stdout
    for text in ("02:11:22:33:44:55", "10.66.0.9/24", "fd66::9/64", "169.254.1.2/16"):
        assert text in shown
    for name in ("front", "back", "box"):
        net("run", "--rm", "--network", "lan", "busybox", "ping", "-c1", "-W2", name).ok()
    long = "name=lan,ip=10.66.0.10,mac-address=02:11:22:33:44:66,alias=third,link-local-ip=169.254.1.3"
    net("run", "-d", "--name", "more", "--network", long, *SLEEP).ok()
    assert ping(net, "box", "third").code == 0
    for words in (
        ["--mac-address", "01:00:00:00:00:00"],
        ["--ip", "10.67.0.1"],
        ["--ip", "10.66.0.9"],
        ["--ip", "fd66::3"],
    ):
        assert net("run", "--rm", "--network", "lan", *words, *SLEEP).code == 125
    refused = net("run", "--rm", "--network", "name=lan,driver-opt=a=b", *SLEEP)
    assert refused.code == 125 and "driver-opt is not supported" in refused.stderr
    refused = net("run", "--rm", "--network-alias", "x", *SLEEP)
    assert refused.code == 125 and "networks that you have made" in refused.stderr


def test_exposed_ports_are_published_with_P(net: HostedPyc, host: Namespace) -> None:
    expose = ("--expose", "80", "--expose", "90-91/udp")
    net("run", "-d", "--name", "web", "-P", *expose, "-p", "7000:81", "busybox", *sh(f"{SERVE} 80")).ok()
    ports = inspected(net, "web")["Ports"]
    assert set(ports) == {"80/tcp", "81/tcp", "90/udp", "91/udp"}
    assert served(host, "127.0.0.1", int(ports["80/tcp"][0]["HostPort"]))
    assert net("port", "web", "81").ok().stdout == "0.0.0.0:7000\n"
    assert net("port", "web", "90/udp").ok().stdout.startswith("0.0.0.0:")
    assert net("port", "web", "9").code == 1
    net("run", "-d", "--name", "quiet", "--expose", "80", *SLEEP).ok()
    assert net("port", "quiet").ok().stdout == ""


def test_sctp_is_published_where_the_kernel_has_it(net: HostedPyc) -> None:
    result = net("run", "--rm", "-p", "9000:9000/sctp", "busybox", "true")
    with open("/proc/net/protocols") as table:
        has = any(line.startswith("SCTP ") for line in table)
    if has:
        result.ok()
    else:
        assert result.code == 125 and "this kernel has no SCTP" in result.stderr


@pytest.mark.parametrize("filtered", [False, True])
def test_containers_reach_published_ports_their_own_too(net: HostedPyc, host: Namespace, filtered: bool) -> None:
    net("network", "create", "--internal", "inner").ok()
    net("run", "-d", "--name", "web", "-p", "8080:80", "busybox", *sh(f"{SERVE} 80")).ok()
    net("run", "-d", "--name", "near", *SLEEP).ok()
    net("network", "create", "far").ok()
    net("run", "-d", "--name", "far", "--network", "far", *SLEEP).ok()
    for name in ("one", "two"):
        net("run", "-d", "--name", name, "--network", "inner", *SLEEP).ok()
    served(host, HERE, 8080)
    with filtered_bridges(host, filtered):
        for name in ("web", "near", "far"):
            assert "200 OK" in net("exec", name, *sh(GET)).stdout, name
        assert ping(net, "near", address_of(net, "web")).code == 0
        assert ping(net, "one", "two").code == 0


def test_ports_published_on_ipv6_keep_the_client_s_address(net: HostedPyc, host: Namespace, outside: Namespace) -> None:
    net("network", "create", "--ipv6", "dual").ok()
    host.ok("ip", "-6", "addr", "add", "2001:db8:7::1/64", "dev", "up0", "nodad")
    outside.ok("ip", "-6", "addr", "add", "2001:db8:7::2/64", "dev", "up0", "nodad")
    try:
        net("run", "-d", "--name", "web", "--network", "dual", "-p", "8080:80", "busybox", *sh(f"{SERVE} 80")).ok()
        assert net("port", "web").ok().lines == ["80/tcp -> 0.0.0.0:8080", "80/tcp -> [::]:8080"]
        assert "2001:db8:7::2" in served(outside, "[2001:db8:7::1]", 8080)[0]
        assert served(outside, HERE, 8080)[0].strip("[]").endswith(THERE)
        assert served(host, "[2001:db8:7::1]", 8080)
        began = time.monotonic()
        assert fetch(host, "[::1]", 8080) == ""
        assert time.monotonic() - began < 1.5 * PATIENCE  # refused at once: others are tried
        assert fetch(host, "localhost", 8080)
    finally:
        host.ok("ip", "-6", "addr", "flush", "dev", "up0", "scope", "global")
        outside.ok("ip", "-6", "addr", "flush", "dev", "up0", "scope", "global")


def test_publish_address_of_the_configuration_file(
    net: HostedPyc, host: Namespace, outside: Namespace, tmp_path: Any
) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[network]\npublish_address = "127.0.0.1"\n')
    argv = ("run", "-d", "--name", "web", "-p", "8080:80", "-p", f"{HERE}:8081:80", "busybox", *sh(f"{SERVE} 80"))
    net(*argv, env={"PYC_CONFIG": str(config)}).ok()
    assert net("port", "web").ok().lines == ["80/tcp -> 127.0.0.1:8080", f"80/tcp -> {HERE}:8081"]
    served(host, "127.0.0.1", 8080)
    assert fetch(outside, HERE, 8080) == "" and fetch(outside, HERE, 8081)
    config.write_text("[network]\npublish_address = 7\n")
    refused = net("run", "--rm", "-p", "8082:80", *SLEEP, env={"PYC_CONFIG": str(config)})
    assert refused.code == 125 and "must be of type str" in refused.stderr


def test_a_thousand_ports_are_published_and_taken_back(net: HostedPyc, host: Namespace, outside: Namespace) -> None:
    """Also where a shell is allowed few open files, as most are, and may have more."""
    words = ("run", "-d", "--name", "many", "-p", "20000-20999:20000-20999", "busybox", *sh(f"{SERVE} 20777"))
    argv = ["prlimit", "--nofile=256:4096", *net.argv(*words)]
    subprocess.run(argv, env=net.env(), stdout=subprocess.DEVNULL, check=True, timeout=60)
    assert served(outside, HERE, 20777)
    assert len(inspected(net, "many")["Ports"]) == 1000
    net("rm", "-f", "many").ok()
    nothing_is_left(net, host)


@pytest.mark.parametrize("mode", ["none", "host"])
def test_ports_that_nobody_can_publish_are_not_dropped_in_silence(net: HostedPyc, mode: str) -> None:
    done = net("run", "--rm", "--network", mode, "-p", "8080:80", "busybox", "true").ok()
    assert f"published ports are discarded with --network {mode}" in done.stderr
