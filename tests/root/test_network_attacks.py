"""Hostile neighbours, hostile names, and what happens where nothing is left to give."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys

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
    nothing_is_left,
    served,
    taken,
)

pytestmark = pytest.mark.root


NAMES = ["../up", "a/b", ".", "..", "-x", "a\nb", "a b", "ä", "x", "a" * 129, "con:tainer", "\x1b[31m"]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_name_makes_no_network_and_no_file(net: HostedPyc, name: str) -> None:
    for argv in (
        ("network", "create", "--", name),
        ("run", "--rm", f"--network={name}", "busybox", "true"),
        ("network", "connect", "--", name, "nobody"),
        ("network", "inspect", "--", name),
        ("network", "rm", "--", name),
        ("run", "--rm", f"--network-alias={name}", "busybox", "true"),
    ):
        refused = net(*argv)
        assert refused.code in (1, 125), argv
        assert "Traceback" not in refused.stderr and "please report" not in refused.stderr, refused.stderr
    where = net.root + "/networks"
    assert set(os.listdir(where) if os.path.isdir(where) else []) <= {"bridge.json"}


SPOOF = """
arping -c1 -I eth0 10.90.0.1; ip addr add 10.90.0.77/16 dev eth0; ip link set eth0 address 02:00:00:00:00:09
ip route del default; ip link add more type dummy
"""


def test_a_container_can_not_take_another_s_address(net: HostedPyc, host: Namespace) -> None:
    net("run", "-d", "--name", "victim", "busybox", *sh(f"{SERVE} 80")).ok()
    result = net("run", "--rm", "--user", "0", "busybox", *sh(SPOOF + "ip -o -4 addr show eth0"))
    assert "10.90.0.77" not in result.stdout and result.stderr.count("not permitted") == 5
    served(host, address_of(net, "victim"), 80)


FREEBIND = """
import socket
for level, option in ((0, 15), (0, 19), (41, 75), (41, 78)):  # IP_FREEBIND, IP_TRANSPARENT, IPV6_TRANSPARENT, _FREEBIND
    with socket.socket(socket.AF_INET6 if level else socket.AF_INET, socket.SOCK_DGRAM) as sender:
        try:
            sender.setsockopt(level, option, 1)
            sender.bind(("10.90.0.77", 5353) if not level else ("fd00::77", 5353))
            sender.sendto(b"spoofed", ("10.90.0.1", 53) if not level else ("fd00::1", 53))
            print("sent")
        except OSError as error:
            print(error.strerror)
"""


def test_no_packet_leaves_with_an_address_that_is_not_its_sender_s(net: HostedPyc) -> None:
    """In the container's namespaces, with the same capabilities but without its filter of system calls."""
    net("run", "-d", "--name", "sender", *SLEEP).ok()
    pid = net("inspect", "-f", "{{.State.Pid}}", "sender").ok().stdout.strip()
    bounded = ["setpriv", "--bounding-set=-net_admin,-net_raw", "--inh-caps=-all", "--reuid=1000", "--clear-groups"]
    argv = ["nsenter", f"--net=/proc/{pid}/ns/net", *bounded, "--regid=1000", sys.executable, "-I", "-c", FREEBIND]
    shown = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=20)
    assert "sent" not in shown.stdout and len(shown.stdout.splitlines()) == 4, shown.stdout


def test_a_container_names_nobody_but_itself_and_only_for_itself(net: HostedPyc) -> None:
    net("network", "create", "lan").ok()
    for name in ("db", "app"):
        net("run", "-d", "--name", name, "--network", "lan", *SLEEP).ok()
    db = address_of(net, "db", "lan")
    forge = "echo '10.9.9.9 db' > /etc/hosts; echo '# pyc: the containers of its networks' >> /etc/hosts; hostname evil"
    net("run", "-d", "--name", "evil", "--network", "lan", "busybox", *sh(f"{forge}; sleep 60")).ok()
    net("run", "--rm", "--network", "lan", "busybox", "true").ok()  # all are told of it
    hosts = net("exec", "app", "cat", "/etc/hosts").ok().stdout
    assert f"{db}\tdb " in hosts and "10.9.9.9" not in hosts
    assert db in net("exec", "app", "ping", "-c1", "-W2", "db").ok().stdout


def test_the_file_of_names_may_be_anything_and_nothing_outside_is_written(
    net: HostedPyc, tmp_path: os.PathLike[str]
) -> None:
    net("network", "create", "lan").ok()
    spoil = "head -c 3000000 /dev/zero > /etc/hosts; sleep 60"
    net("run", "-d", "--name", "spoiler", "--network", "lan", "busybox", *sh(spoil)).ok()
    net("run", "-d", "--name", "other", "--network", "lan", *SLEEP).ok()
    assert "spoiler" in net("exec", "other", "cat", "/etc/hosts").ok().stdout
    net("rm", "-f", "spoiler").ok()
    assert "spoiler" not in net("exec", "other", "cat", "/etc/hosts").ok().stdout


NAMED = {"no text": r"\377\376", "control characters": r"a\033[31m\nb", "long": "x" * 300, "nothing": ""}


@pytest.mark.parametrize("said", NAMED.values(), ids=NAMED)
def test_what_its_file_says_that_it_is_called_misleads_nobody(net: HostedPyc, said: str) -> None:
    """Its neighbours start, and so does who shares its network, under the name that it was given."""
    net("network", "create", "lan").ok()
    script = f"printf '{said}' > /etc/hostname; sleep 60"
    net("run", "-d", "--name", "evil", "-h", "given", "--network", "lan", "busybox", *sh(script)).ok()
    net("run", "--rm", "--network", "lan", "busybox", "true").ok()
    assert net("run", "--rm", "--network", "container:evil", "busybox", "hostname").ok().stdout == "given\n"
    assert "\tgiven\n" in net("exec", "evil", "cat", "/etc/hosts").ok().stdout


def test_when_all_addresses_are_taken_it_is_said_and_one_freed_is_given_again(net: HostedPyc) -> None:
    net("network", "create", "--subnet", "10.70.0.0/29", "tiny").ok()
    for number in range(5):
        net("run", "-d", "--name", f"n{number}", "--network", "tiny", *SLEEP).ok()
    refused = net("run", "--name", "late", "--network", "tiny", *SLEEP)
    assert refused.code == 125 and "no address is free in 10.70.0.0/29" in refused.stderr
    assert len(taken(net, "tiny")) == 5 and "late" not in net("ps", "-a").ok().stdout
    freed = address_of(net, "n3", "tiny")
    net("rm", "-f", "n3").ok()
    net("run", "-d", "--name", "late", "--network", "tiny", *SLEEP).ok()
    assert address_of(net, "late", "tiny") == freed


def test_a_new_network_keeps_clear_of_the_host_s_routes(net: HostedPyc, host: Namespace) -> None:
    host.ok("ip", "route", "add", "10.90.0.0/15", "via", THERE)
    try:
        subnets = []
        for name in ("one", "two"):
            net("network", "create", name).ok()
            subnets.append(json.loads(net("network", "inspect", name).ok().stdout)[0]["IPAM"]["Config"][0]["Subnet"])
        assert not any(subnet.startswith(("10.90.", "10.91.")) for subnet in subnets) and len(set(subnets)) == 2
        refused = net("network", "create", "--subnet", "10.91.3.0/24", "three")
        assert refused.code == 1 and "overlaps with 10.90.0.0/15" in refused.stderr
    finally:
        host.ok("ip", "route", "del", "10.90.0.0/15")


def test_networks_that_are_made_at_once_do_not_overlap(net: HostedPyc) -> None:
    making = [
        subprocess.Popen(net.argv("network", "create", f"net{number}"), env=net.env(), stdout=subprocess.DEVNULL)
        for number in range(6)
    ]
    assert [one.wait(60) for one in making] == [0] * 6
    shown = json.loads(net("network", "inspect", *(f"net{number}" for number in range(6))).ok().stdout)
    assert len({one["IPAM"]["Config"][0]["Subnet"] for one in shown}) == 6


def test_more_ports_than_can_be_is_a_clean_error_at_once(net: HostedPyc) -> None:
    for ports, why in (("1024-60000", "7000 are possible"), ("1024-4000", "takes as many open files")):
        argv = ["prlimit", "--nofile=2048:2048", *net.argv("run", "--rm", "-p", f"{ports}:{ports}", "busybox", "true")]
        refused = subprocess.run(argv, env=net.env(), capture_output=True, text=True, timeout=30)
        assert refused.returncode == 125 and why in refused.stderr, refused.stderr
    assert taken(net) == []


@pytest.mark.slow
def test_as_many_ports_as_can_be_are_published(net: HostedPyc, host: Namespace, outside: Namespace) -> None:
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 8000:
        pytest.skip("needs 8000 descriptors")
    ports = "20000-26999"
    net("run", "-d", "--name", "many", "-p", f"{ports}:{ports}", "busybox", *sh(f"{SERVE} 26998")).ok()
    assert served(outside, HERE, 26998)
    host.ok("nft", "flush", "ruleset")
    net("network", "reload").ok()
    assert served(outside, HERE, 26998)
    net("rm", "-f", "many").ok()
    nothing_is_left(net, host)


@pytest.mark.parametrize(
    "port", ["0", "65536", "80-70", "80/icmp", "x", "1:2:3:4", "1.2.3.4:1:2:3", "[::1:80:80", "-1:80", "80:"]
)
def test_what_is_no_port_is_refused(net: HostedPyc, port: str) -> None:
    refused = net("run", "--rm", "-p", port, "busybox", "true")
    assert refused.code == 125 and "--publish" in refused.stderr and "Traceback" not in refused.stderr


def test_an_address_that_the_host_does_not_have_is_a_clean_error(net: HostedPyc) -> None:
    refused = net("run", "--rm", "-p", "198.51.100.9:8080:80", "busybox", "true")
    assert refused.code == 125 and "Traceback" not in refused.stderr
    assert "198.51.100.9: this host has no such address" in refused.stderr
    net("run", "--rm", "-p", f"{HERE}:8080:80", "busybox", "true").ok()
