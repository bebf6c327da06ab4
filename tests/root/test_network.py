"""Containers with a network: on a host of the test's own, seen from inside, from the host, and from outside."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from tests.support import narration, strace
from tests.support.cli import Pyc, sh
from tests.support.host import PATIENCE, missing_command
from tests.support.hosts import (
    HERE,
    SERVE,
    THERE,
    HostedPyc,
    Namespace,
    address_of,
    fetch,
    inspected,
    nothing_is_left,
    served,
    taken,
)

pytestmark = pytest.mark.root

# --- one container ----------------------------------------------------------------------------------------------------


def test_a_container_reaches_outside_with_the_host_s_address(net: HostedPyc, outside: Namespace) -> None:
    server = outside.start("busybox", "nc", "-l", "-p", "7000", "-e", "sh", "-c", "echo to $NCAT; cat /proc/net/tcp")
    try:
        result = net("run", "--rm", "busybox", *sh(f"ping -c1 -W2 {THERE} >/dev/null && ip route")).ok()
    finally:
        server.kill()
        server.wait()
    assert result.lines[0].startswith("default via 10.90.0.1 dev eth0")


def test_everything_is_given_back_at_the_end(net: HostedPyc, host: Namespace) -> None:
    net("run", "--rm", "-p", "8080:80", "busybox", "true").ok()
    nothing_is_left(net, host)


def test_it_has_one_address_and_believes_no_neighbour(net: HostedPyc) -> None:
    script = "ip -o addr show eth0; cd /proc/sys/net/ipv6/conf/eth0; cat accept_ra accept_redirects disable_ipv6"
    *addresses, ra, redirects, disabled = net("run", "--rm", "busybox", *sh(script)).ok().lines
    assert len(addresses) == 1 and "10.90.0." in addresses[0]
    assert (ra, redirects, disabled) == ("0", "0", "1")


def test_the_host_takes_no_routes_from_containers(net: HostedPyc, host: Namespace) -> None:
    net("run", "--rm", "busybox", "true").ok()
    bridge = host.ok("ip", "-o", "link", "show", "type", "bridge").split()[1].rstrip(":")
    assert host.ok("cat", f"/proc/sys/net/ipv6/conf/{bridge}/accept_ra").strip() == "0"
    assert host.ok("cat", f"/proc/sys/net/ipv6/conf/{bridge}/disable_ipv6").strip() == "1"


def test_what_is_told_of_a_start_is_what_strace_saw(net: HostedPyc, tmp_path: Any) -> None:
    if reason := missing_command("strace"):
        pytest.skip(reason)
    net("run", "--rm", "busybox", "true").ok()
    told = str(tmp_path / "told.json")
    argv = Pyc.argv(net, "run", f"--explain=json:{told}", "--rm", "-p", "8080:80", "busybox", "true")
    entering = ["nsenter", f"--net={net.netns}"]
    prefix = str(tmp_path / "strace")
    only = "trace=" + ",".join(f"?{name}" for name in narration.NAMES)
    done = subprocess.run(
        [*entering, "strace", *strace.OPTIONS, "-e", only, "-o", prefix, *argv],
        stdin=subprocess.DEVNULL, capture_output=True, env=net.env(), timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    seen = {int(p.rpartition(".")[2]): strace.parse_file(str(p)) for p in map(str, tmp_path.glob("strace.*"))}
    first = next(pid for pid, calls in seen.items() if calls and calls[0].name == "execve")
    verdict = narration.compare(seen, narration.read(told), first)
    assert (verdict.missing, verdict.invented) == ([], []), verdict.difference


def test_network_none_has_loopback_only_and_makes_nothing(net: HostedPyc, host: Namespace) -> None:
    assert net("run", "--rm", "--network", "none", "busybox", "ls", "/sys/class/net").ok().lines == ["lo"]
    assert host.ok("nft", "list", "ruleset") == ""


def test_network_host_is_the_host_s(net: HostedPyc) -> None:
    assert "up0" in net("run", "--rm", "--network", "host", "busybox", "ls", "/sys/class/net").ok().lines


def test_the_network_of_another_container_can_be_shared(net: HostedPyc) -> None:
    net("run", "-d", "--name", "first", "busybox", "sleep", "60").ok()
    result = net(
        "run", "--rm", "--network", "container:first", "busybox", *sh("ip -4 -o addr show eth0; cat /etc/hosts")
    )
    assert address_of(net, "first") in result.ok().lines[0]
    assert result.lines[-2].startswith(address_of(net, "first"))


def test_who_shares_a_network_shares_its_names_as_they_change(net: HostedPyc) -> None:
    net("network", "create", "lan").ok()
    net("run", "-d", "--name", "first", "--network", "lan", "busybox", "sleep", "60").ok()
    net("create", "--name", "second", "--network", "container:first", "busybox", "sleep", "60").ok()
    net("start", "second").ok()
    net("run", "-d", "--name", "late", "--network", "lan", "busybox", "sleep", "60").ok()
    names = {net("exec", name, "hostname").ok().stdout for name in ("first", "second")}
    assert len(names) == 1
    net("exec", "second", "hostname", "-i").ok()
    net("exec", "second", "ping", "-c1", "-W1", "late").ok()
    for flag in ("--hostname=x", "--dns=1.1.1.1", "--add-host=a:1.2.3.4", "--expose=80"):
        refused = net("run", "--rm", "--network", "container:first", flag, "busybox", "true")
        assert refused.code == 125 and "conflicting options" in refused.stderr


def test_an_address_that_the_host_lacks_publishes_nothing(net: HostedPyc) -> None:
    refused = net("run", "--rm", "-p", "198.51.100.7:81:80", "busybox", "true")
    assert (refused.code, "this host has no such address" in refused.stderr) == (125, True)


def test_who_forwards_only_for_containers_forwards_nothing_else(net: HostedPyc, host: Namespace) -> None:
    said = net("run", "--rm", "busybox", "true").ok().stderr
    assert "ip_forward" in said
    assert host.ok("cat", "/proc/sys/net/ipv4/ip_forward").strip() == "1"
    assert re.search(r"chain guard \{\s+drop", host.ok("nft", "list", "ruleset"))
    assert "ip_forward" not in net("run", "--rm", "busybox", "true").ok().stderr


# --- ports ------------------------------------------------------------------------------------------------------------


def test_a_published_port_is_reached_from_everywhere_with_the_client_s_address(
    net: HostedPyc, host: Namespace, outside: Namespace
) -> None:
    net("run", "-d", "--name", "web", "-p", "8080:80", "busybox", *sh(f"{SERVE} 80")).ok()
    assert served(host, "127.0.0.1", 8080)[0].strip("[]") == "::ffff:10.90.0.1"
    assert served(host, HERE, 8080)[0].strip("[]").endswith(HERE)
    assert served(outside, HERE, 8080)[0].strip("[]").endswith(THERE)
    ask = f"printf 'GET /cgi-bin/who HTTP/1.0\\r\\n\\r\\n' | nc -w 3 {HERE} 8080 | grep 10.90"
    assert "10.90.0." in net("run", "--rm", "busybox", *sh(ask)).ok().stdout
    assert net("port", "web").ok().lines == ["80/tcp -> 0.0.0.0:8080"]
    assert net("ps", "--filter", "publish=8080", "--format", "{{.Ports}} {{.Networks}}").ok().lines == [
        "0.0.0.0:8080->80/tcp bridge"
    ]


def test_a_port_on_one_address_is_reached_there_only(net: HostedPyc, host: Namespace, outside: Namespace) -> None:
    net("run", "-d", "-p", "127.0.0.1:8080:80", "busybox", *sh(f"{SERVE} 80")).ok()
    served(host, "127.0.0.1", 8080)
    assert fetch(outside, HERE, 8080) == ""


SAY = "import socket, sys; socket.socket(2, 2).sendto(sys.argv[1].encode(), ('127.0.0.1', 8080))"
HEAR = "import socket; ear = socket.socket(2, 2); ear.bind(('', 80)); print('hears', flush=True); print(ear.recv(99))"


def test_a_port_on_the_host_s_loopback_is_not_reached_by_who_is_on_the_same_wire(
    net: HostedPyc, host: Namespace, outside: Namespace
) -> None:
    """They can send to 127.0.0.1, and what we translate the kernel does not find absurd any more."""
    net("run", "-d", "--name", "web", "-p", "127.0.0.1:8080:80/udp", "busybox", "sleep", "60").ok()
    pid = net("inspect", "-f", "{{.State.Pid}}", "web").ok().stdout.strip()
    argv = ["nsenter", f"--net=/proc/{pid}/ns/net", sys.executable, "-I", "-c", HEAR]
    server = subprocess.Popen(argv, stdout=subprocess.PIPE)
    try:
        assert server.stdout and server.stdout.readline() == b"hears\n"
        for own in ("127.0.0.1", "127.0.0.0/8"):
            outside.ok("ip", "route", "del", "local", own, "dev", "lo", "table", "local")
        outside.ok("ip", "route", "add", "127.0.0.1", "via", HERE, "src", THERE)
        for said in ("theirs", "theirs"):
            outside.ok(sys.executable, "-c", SAY, said)
        host.ok(sys.executable, "-c", SAY, "mine")
        assert server.communicate(timeout=10 * PATIENCE)[0] == b"b'mine'\n"
    finally:
        server.kill()
        server.communicate()
        outside("ip", "route", "del", "127.0.0.1")
        for state in ("down", "up"):  # its routes are made anew
            outside.ok("ip", "link", "set", "lo", state)


def test_a_port_that_is_not_published_is_not_reached_from_outside(
    net: HostedPyc, outside: Namespace, host: Namespace
) -> None:
    net("run", "-d", "--name", "web", "busybox", *sh(f"{SERVE} 80")).ok()
    address = address_of(net, "web")
    served(host, address, 80)
    outside.ok("ip", "route", "add", "10.90.0.0/16", "via", HERE)
    try:
        assert fetch(outside, address, 80) == ""
    finally:
        outside.ok("ip", "route", "del", "10.90.0.0/16")


def test_nobody_reaches_the_host_s_loopback_through_the_bridge(net: HostedPyc, host: Namespace) -> None:
    server = host.start(sys.executable, "-I", "-m", "http.server", "--bind", "127.0.0.1", "7001")
    try:
        script = "ip route add 127.0.0.0/8 via 10.90.0.1 table local; nc -w 1 127.0.0.1 7001 </dev/null && echo reached"
        assert "reached" not in net("run", "--rm", "--privileged", "busybox", *sh(script)).stdout
    finally:
        server.kill()
        server.wait()


UDP_SERVER = """
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("0.0.0.0", 53))
data, client = server.recvfrom(99)
server.sendto(client[0].encode(), client)
"""
UDP_CLIENT = f"""
import socket
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.settimeout(0.2)
client.connect(("{HERE}", 5353))
for attempt in range(25):
    client.send(b"?")
    try:
        print(client.recv(99).decode())
        break
    except OSError:
        pass
"""


def test_udp_and_ranges_are_published(net: HostedPyc, outside: Namespace) -> None:
    ports = ("-p", "9000-9002:80-82", "-p", "5353:53/udp")
    net("run", "-d", "--name", "many", *ports, "busybox", *sh(f"{SERVE} 82")).ok()
    assert len(served(outside, HERE, 9002)) == 2
    assert len(inspected(net, "many")["Ports"]) == 4
    pid = net("inspect", "-f", "{{.State.Pid}}", "many").ok().stdout.strip()
    server = subprocess.Popen(["nsenter", f"--net=/proc/{pid}/ns/net", sys.executable, "-I", "-c", UDP_SERVER])
    try:
        assert outside.ok(sys.executable, "-I", "-c", UDP_CLIENT).strip() == THERE
    finally:
        server.kill()
        server.wait()


def test_any_free_port_is_found(net: HostedPyc) -> None:
    net("run", "-d", "--name", "any", "-p", "80", "-p", "7000-7010:81", "busybox", "sleep", "60").ok()
    ports = inspected(net, "any")["Ports"]
    assert int(ports["80/tcp"][0]["HostPort"]) > 1023
    assert ports["81/tcp"][0]["HostPort"] == "7000"
    net("run", "-d", "--name", "second", "-p", "7000-7010:81", "busybox", "sleep", "60").ok()
    assert inspected(net, "second")["Ports"]["81/tcp"][0]["HostPort"] == "7001"


def test_a_port_that_a_stranger_has_is_a_clean_error(net: HostedPyc, host: Namespace) -> None:
    stranger = host.start(sys.executable, "-I", "-m", "http.server", "--bind", "0.0.0.0", "7002")
    try:
        deadline = time.monotonic() + 5
        while ":7002" not in host.ok("ss", "-ltn") and time.monotonic() < deadline:
            time.sleep(0.05)
        result = net("run", "--rm", "-p", "7002:80", "busybox", "true")
        assert result.code == 125 and "port 7002" in result.stderr
        assert f"already in use by process {stranger.pid} (python" in result.stderr
    finally:
        stranger.kill()
        stranger.wait()
    nothing_is_left(net, host)


def test_the_first_of_two_containers_keeps_its_port(net: HostedPyc, host: Namespace) -> None:
    net("run", "-d", "--name", "first", "-p", "8080:80", "busybox", *sh(f"{SERVE} 80")).ok()
    served(host, HERE, 8080)
    refused = net("run", "--rm", "-p", "8080:80", "busybox", "true")
    assert refused.code == 125 and "already in use by container first (" in refused.stderr
    assert served(host, HERE, 8080)


def test_an_administrator_decides_where_ports_are_published(
    net: HostedPyc, host: Namespace, outside: Namespace
) -> None:
    argv = ("run", "-d", "--name", "web", "-p", "8080:80", "busybox", *sh(f"{SERVE} 80"))
    net(*argv, env={"PYC_PUBLISH_ADDRESS": "127.0.0.1"}).ok()
    served(host, "127.0.0.1", 8080)
    assert fetch(outside, HERE, 8080) == ""


def test_what_the_host_s_firewall_refuses_is_not_opened(net: HostedPyc, host: Namespace, outside: Namespace) -> None:
    host.ok("nft", "add table inet mine; add chain inet mine in { type filter hook input priority 0; policy drop; }")
    host.ok("nft", "add rule inet mine in iifname lo accept; add rule inet mine in ct state established accept")
    result = net("run", "-d", "-p", "8080:80", "busybox", *sh(f"{SERVE} 80")).ok()
    assert "nftables table mine" in result.stderr
    served(host, HERE, 8080)
    assert fetch(outside, HERE, 8080) == ""
    host.ok("nft", "delete table inet mine")
    net("network", "reload").ok()
    assert served(outside, HERE, 8080)


# --- networks that people make ----------------------------------------------------------------------------------------


def test_the_members_of_a_network_know_each_other_by_name(net: HostedPyc) -> None:
    net("network", "create", "--subnet", "10.44.0.0/24", "lan").ok()
    net("run", "-d", "--name", "db", "--network", "lan", "--network-alias", "store", "busybox", "sleep", "60").ok()
    app = ("run", "-d", "--name", "app", "--network", "name=lan,alias=front,ip=10.44.0.9", "busybox")
    until = "{} grep -qw db /etc/hosts; do usleep 20000; done"
    net(*app, *sh(f"while {until.format('!')}; while {until.format('')}; echo gone")).ok()
    for name in ("db", "store"):
        net("exec", "app", "ping", "-c1", "-W2", name).ok()
    assert "10.44.0.9" in net("exec", "db", "ping", "-c1", "-W2", "front").ok().stdout
    net("rm", "-f", "db").ok()
    net("wait", "app").ok()
    assert net("logs", "app").ok().stdout == "gone\n"


def test_a_container_is_in_several_networks_and_moves_while_it_runs(net: HostedPyc) -> None:
    for name in ("one", "two"):
        net("network", "create", name).ok()
    net("run", "-d", "--name", "mover", "--network", "one", "busybox", "sleep", "60").ok()
    net("network", "connect", "--alias", "moved", "two", "mover").ok()
    assert set(inspected(net, "mover")["Networks"]) == {"one", "two"}
    net("run", "--rm", "--network", "two", "busybox", "ping", "-c1", "-W2", "moved").ok()
    assert net("exec", "mover", "cat", "/proc/sys/net/ipv6/conf/eth1/accept_ra").ok().stdout == "0\n"
    net("network", "disconnect", "one", "mover").ok()
    shown = net("exec", "mover", "ip", "-4", "-o", "addr").ok().stdout
    assert "eth1" in shown and "eth0" not in shown
    net("exec", "mover", "ping", "-c1", "-W2", THERE).ok()
    net("network", "rm", "one").ok()
    assert "active endpoints" in net("network", "rm", "two").stderr
    net("restart", "-t", "0", "mover").ok()
    assert set(inspected(net, "mover")["Networks"]) == {"two"}


def test_networks_are_isolated_from_each_other(net: HostedPyc) -> None:
    for name in ("one", "two"):
        net("network", "create", name).ok()
    net("run", "-d", "--name", "there", "--network", "two", "busybox", "sleep", "60").ok()
    address = address_of(net, "there", "two")
    assert net("run", "--rm", "--network", "one", "busybox", "ping", "-c1", "-W1", address).code != 0
    assert net("run", "--rm", "--network", "two", "busybox", "ping", "-c1", "-W1", address).code == 0


def test_nothing_leaves_an_internal_network(net: HostedPyc, host: Namespace) -> None:
    net("network", "create", "--internal", "inner").ok()
    script = f"ping -c1 -W1 {THERE}; ip route add default via $(ip route | sed 's/.0.24.*/.1/'); ping -c1 -W1 {THERE}"
    argv = ("run", "--rm", "--network", "inner", "--cap-add", "NET_ADMIN", "busybox")
    assert "1 packets received" not in net(*argv, *sh(script)).stdout
    assert "nameserver" not in net(*argv, "cat", "/etc/resolv.conf").ok().stdout


def test_ipv6_is_there_where_it_was_asked_for(net: HostedPyc) -> None:
    net("network", "create", "--ipv6", "--subnet", "fd44::/64", "six").ok()
    net("run", "-d", "--name", "peer", "--network", "six", "--ip6", "fd44::77", "busybox", "sleep", "60").ok()
    net("run", "--rm", "--network", "six", "busybox", "ping6", "-c1", "-W2", "fd44::77").ok()


def test_an_address_is_nobody_else_s(net: HostedPyc) -> None:
    net("network", "create", "--subnet", "10.45.0.0/29", "tiny").ok()
    net("run", "-d", "--name", "holder", "--network", "tiny", "--ip", "10.45.0.5", "busybox", "sleep", "60").ok()
    result = net("run", "--rm", "--network", "tiny", "--ip", "10.45.0.5", "busybox", "true")
    assert result.code == 125 and "10.45.0.5 is already in use" in result.stderr
    for _ in range(4):
        net("run", "-d", "--network", "tiny", "busybox", "sleep", "60").ok()
    assert "no address is free" in net("run", "--rm", "--network", "tiny", "busybox", "true").stderr
    assert len(taken(net, "tiny")) == 5


def test_a_subnet_that_the_host_has_already_is_refused(net: HostedPyc) -> None:
    assert "overlaps" in net("network", "create", "--subnet", "203.0.113.0/25", "bad").stderr


def test_a_network_is_described_as_docker_does(net: HostedPyc) -> None:
    made = net(
        "network", "create", "--label", "a=b", "--subnet", "10.46.0.0/24", "--gateway", "10.46.0.9", "shown"
    ).ok()
    document = json.loads(net("network", "inspect", "shown").ok().stdout)[0]
    assert document["Id"] == made.stdout.strip()
    assert document["IPAM"]["Config"] == [{"Subnet": "10.46.0.0/24", "Gateway": "10.46.0.9"}]
    assert document["Labels"] == {"a": "b"}
    assert net("network", "ls", "--format", "{{.Name}} {{.Driver}}", "-f", "type=custom").ok().lines == ["shown bridge"]
    assert net("network", "prune", "-f").ok().lines[1] == "shown"


def test_those_who_run_follow_the_host_s_name_servers(net: HostedPyc, tmp_path: Any) -> None:
    net("run", "-d", "--name", "asker", "busybox", "sleep", "60").ok()
    (tmp_path / "resolv.conf").write_text("nameserver 192.0.2.53\nnameserver 127.0.0.53\n")
    script = f'mount --bind {tmp_path}/resolv.conf {os.path.realpath("/etc/resolv.conf")} && exec "$@"'
    argv = ["unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh", *net.argv("network", "reload")]
    subprocess.run(argv, env=net.env(), check=True, timeout=30)
    assert net("exec", "asker", "cat", "/etc/resolv.conf").ok().stdout == "nameserver 192.0.2.53\n"


# --- repair -----------------------------------------------------------------------------------------------------------


def test_a_flushed_packet_filter_is_made_anew_with_the_ports_of_those_who_run(
    net: HostedPyc, host: Namespace, outside: Namespace
) -> None:
    net("run", "-d", "-p", "8080:80", "busybox", *sh(f"{SERVE} 80")).ok()
    served(outside, HERE, 8080)
    host.ok("nft", "flush", "ruleset")
    assert fetch(outside, HERE, 8080) == ""
    net("run", "--rm", "busybox", "true").ok()
    assert served(outside, HERE, 8080)


def test_rules_that_were_deleted_are_noticed(net: HostedPyc, host: Namespace) -> None:
    net("run", "--rm", "busybox", "true").ok()
    table = host.ok("nft", "list", "tables").split()[2]
    before = host.ok("nft", "list", "ruleset")
    host.ok("nft", "flush", "chain", "inet", table, "forward")
    net("run", "--rm", "busybox", "true").ok()
    assert host.ok("nft", "list", "ruleset") == before


def test_rules_of_another_version_are_made_anew(net: HostedPyc, host: Namespace) -> None:
    net("run", "--rm", "busybox", "true").ok()
    table = host.ok("nft", "list", "tables").split()[2]
    before = host.ok("nft", "list", "ruleset")
    host.ok("nft", "flush", "chain", "inet", table, "raw")
    host.ok("nft", "add", "rule", "inet", table, "raw", "accept")
    host.ok("nft", "rename", "chain", "inet", table, "rules-2", "rules-1")
    net("run", "--rm", "busybox", "true").ok()
    assert host.ok("nft", "list", "ruleset") == before


def test_a_deleted_bridge_is_made_anew_with_the_cables_of_those_who_run(net: HostedPyc, host: Namespace) -> None:
    net("run", "-d", "--name", "web", "busybox", *sh(f"{SERVE} 80")).ok()
    bridge = host.ok("ip", "-o", "link", "show", "type", "bridge").split()[1].rstrip(":")
    host.ok("ip", "link", "delete", bridge)
    net("run", "--rm", "busybox", "ping", "-c1", "-W2", address_of(net, "web")).ok()
    served(host, address_of(net, "web"), 80)


def test_what_a_killed_monitor_had_is_free_after_the_next_command(net: HostedPyc, host: Namespace) -> None:
    net("run", "-d", "--name", "web", "-p", "8080:80", "busybox", "sleep", "60").ok()
    pid = int(net("inspect", "-f", "{{.State.Pid}}", "web").ok().stdout)
    with open(f"/proc/{pid}/stat") as file:
        monitor = int(file.read().rpartition(")")[2].split()[1])
    os.kill(monitor, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while os.path.exists(f"/proc/{pid}") and time.monotonic() < deadline:
        time.sleep(0.01)
    net("run", "--rm", "-p", "8080:80", "busybox", "true").ok()
    nothing_is_left(net, host)


def test_a_command_killed_at_any_moment_leaves_no_address(net: HostedPyc, host: Namespace) -> None:
    net("run", "--rm", "busybox", "true").ok()
    for milliseconds in range(10, 130, 8):
        running = subprocess.Popen(
            net.argv("run", "--rm", "-p", "8080:80", "busybox", "true"),
            env=net.env(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(milliseconds / 1000)
        running.kill()
        running.wait()
    deadline = time.monotonic() + 10
    while net("run", "--rm", "-p", "8080:80", "busybox", "true").code and time.monotonic() < deadline:
        time.sleep(0.1)
    nothing_is_left(net, host)


def test_many_at_once_have_different_addresses(net: HostedPyc, host: Namespace) -> None:
    argv = net.argv("run", "--rm", "busybox", *sh("ip -4 -o addr show eth0; sleep 1"))
    running = [
        subprocess.Popen(argv, env=net.env(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        for _ in range(12)
    ]
    shown = [re.findall(r"inet ([\d.]+)/", one.communicate(timeout=60)[0]) for one in running]
    assert all(one.returncode == 0 for one in running)
    assert len({address for found in shown for address in found}) == 12
    nothing_is_left(net, host)


# --- what would happen ------------------------------------------------------------------------------------------------


def _without_paths(title: str) -> str:
    return re.sub(r"/\S+", "PATH", title)


def test_a_dry_run_has_the_steps_of_a_start(net: HostedPyc, tmp_path: object) -> None:
    words = ("--rm", "--publish", "8080:80", "busybox", "true")
    before = net("run", "--dry-run", *words).ok().stdout  # there is no network yet
    net("run", f"--explain=json:{tmp_path}/told.json", *words).ok()
    told = {_without_paths(line["title"]) for line in narration.read(f"{tmp_path}/told.json")}
    for shown in (before, net("run", "--dry-run", *words).ok().stdout):
        assert {"Plug it into the bridge", "Publish its ports", "Give it its addresses"} <= told
        assert (
            told - {_without_paths(title) for title in re.findall(r"^ *\d+\. (.*?)   \[", shown, re.MULTILINE)} == set()
        )
    assert "no such network" in net("run", "--dry-run", "--network", "nowhere", "busybox", "true").stderr
    refused = net("run", "--dry-run", "--ip", "192.0.2.1", "busybox", "true")
    assert refused.code == 125 and "is not inside of subnet" in refused.stderr
