"""Who is in a network, under which name, and what is said of it: while containers are renamed, leave and come back."""

from __future__ import annotations

import json

import pytest

from pycontainer.engine.network.endpoints import named
from pycontainer.engine.options import Roots
from pycontainer.network import store
from pycontainer.oci.grammar.networks import Endpoint
from tests.support.cli import Pyc
from tests.support.hosts import SLEEP, HostedPyc, inspected, ping
from tests.support.states import inspect

pytestmark = pytest.mark.root


@pytest.fixture
def lan(net: HostedPyc) -> HostedPyc:
    """``pyc`` on a host with a network ``lan``, and in it a container ``peer``."""
    net("network", "create", "--subnet", "10.67.0.0/24", "lan").ok()
    net("run", "-d", "--name", "peer", "--network", "lan", *SLEEP).ok()
    return net


def test_a_renamed_container_is_known_by_its_new_name(lan: HostedPyc) -> None:
    lan("run", "-d", "--name", "box", "--network", "lan", "--network-alias", "also", *SLEEP).ok()
    ping(lan, "peer", "box").ok()
    lan("rename", "box", "bag").ok()
    assert ping(lan, "peer", "box").code == 1
    for name in ("bag", "also"):
        ping(lan, "peer", name).ok()
    assert inspected(lan, "bag")["Networks"]["lan"]["DNSNames"][:2] == ["bag", "also"]
    killed = lan("rename", "bag", "bin", env={"PYC_FP": "record.written"})
    assert killed.code == -9
    lan("ps").ok()  # repairs
    ping(lan, "peer", "bag").ok()
    lan("rename", "bag", "bin").ok()
    ping(lan, "peer", "bin").ok()


def test_who_has_left_all_networks_may_come_back(lan: HostedPyc) -> None:
    lan("run", "-d", "--name", "box", "--network", "lan", *SLEEP).ok()
    for runs in (True, False, True):
        lan("network", "disconnect", "lan", "box").ok()
        assert inspected(lan, "box")["Networks"] in ({}, {"none": inspected(lan, "box")["Networks"].get("none")})
        if not runs:
            lan("restart", "-t", "0", "box").ok()
            assert "eth" not in lan("exec", "box", "ip", "link").ok().stdout
        lan("network", "connect", "lan", "box").ok()
        ping(lan, "peer", "box").ok()
    lan("run", "-d", "--name", "hermit", "--network", "none", *SLEEP).ok()
    assert "was made with --network none" in lan("network", "connect", "lan", "hermit").stderr


def test_a_network_may_be_called_by_its_id(lan: HostedPyc) -> None:
    network = json.loads(lan("network", "inspect", "lan").ok().stdout)[0]["Id"]
    lan("run", "-d", "--name", "box", "--network", network[:12], *SLEEP).ok()
    ping(lan, "peer", "box").ok()
    assert list(inspected(lan, "box")["Networks"]) == ["lan"]
    assert "already" in lan("network", "connect", "lan", "box").stderr
    assert lan("ps", "-f", "network=lan", "--format", "{{.Names}}").ok().lines == ["box", "peer"]
    lan("network", "disconnect", network[:12], "box").ok()


def test_a_preview_needs_no_right_to_look_at_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> list[str]:
        raise PermissionError(path)

    monkeypatch.setattr(store, "entries", refuse)
    assert named(Roots("/root", "/run"), Endpoint("lan")) == Endpoint("lan")


def test_inspect_says_what_was_asked_for_of_who_does_not_run(lan: HostedPyc) -> None:
    asked = ("--network", "name=lan,ip=10.67.0.9,alias=a1,gw-priority=7", "--link", "peer:friend")
    lan("run", "-d", "--name", "box", *asked, *SLEEP).ok()
    runs = inspected(lan, "box")["Networks"]["lan"]
    lan("stop", "-t", "0", "box").ok()
    ended = inspected(lan, "box")["Networks"]["lan"]
    for shown in (runs, ended):
        assert shown["IPAMConfig"] == {"IPv4Address": "10.67.0.9"}
        assert (shown["Aliases"], shown["Links"], shown["GwPriority"]) == (["a1"], ["peer:friend"], 7)
        assert shown["NetworkID"] and shown.keys() == runs.keys()
    assert (runs["IPAddress"], ended["IPAddress"], ended["EndpointID"]) == ("10.67.0.9", "", "")
    assert inspect(lan, "box")["HostConfig"]["Links"] == ["/peer:/box/friend"]


def test_events_tell_who_comes_and_goes(lan: HostedPyc) -> None:
    lan("network", "create", "two").ok()
    begin = lan("events", "--since", "1h", "--until", "0s", "--format", "{{.TimeNano}}").ok().lines[-1]
    since = f"{int(begin) // 10**9}.{int(begin) % 10**9:09d}"
    lasts = ("busybox", "sleep", "0.5")  # else its monitor may tell its end before pyc has told its start
    lan("run", "--rm", "--name", "box", "--network", "lan", "-v", "goods:/data:ro", *lasts).ok()
    lan("network", "connect", "two", "peer").ok()
    lan("network", "disconnect", "two", "peer").ok()
    lan("kill", "peer").ok()
    lan("wait", "peer").ok()
    form = "{{.Type}} {{.Action}} {{.Actor.Attributes.name}}"
    words = ("events", "--since", since, "--until", "0s", "--format", form)
    lines = [line.replace("<no value>", "").strip() for line in lan(*words).ok().lines]
    found = [line for line in lines if line.startswith("network") or " mount" in line or " unmount" in line]
    assert found[found[0] == "network create two" :] == [
        "network connect lan",
        "volume mount",
        "network disconnect lan",
        "volume unmount",
        "network connect two",
        "network disconnect two",
        "network disconnect lan",
    ]
    lan("volume", "rm", "goods").ok()


def test_ports_that_are_neighbours_are_shown_together(lan: HostedPyc) -> None:
    ports = ("-p", "7000-7002:80-82", "-p", "127.0.0.1:9000:90/udp", "--expose", "81", "--expose", "100-101")
    lan("run", "-d", "--name", "box", *ports, *SLEEP).ok()
    shown = lan("ps", "-f", "name=box", "--format", "{{.Ports}}").ok().stdout.strip()
    assert shown == "100-101/tcp, 0.0.0.0:7000-7002->80-82/tcp, 127.0.0.1:9000->90/udp"
    for text, names in (("expose=100", ["box"]), ("expose=82", ["box"]), ("publish=7001", ["box"]), ("publish=82", [])):
        assert lan("ps", "-f", text, "--format", "{{.Names}}").ok().lines == names, text
    lan("stop", "-t", "0", "box").ok()
    assert lan("ps", "-a", "-f", "name=box", "--format", "{{.Ports}}").ok().stdout.strip() == ""


def test_what_an_inspected_path_names_is_there(stocked: Pyc, image: str) -> None:
    stocked("run", "-d", "--name", "box", "-e", "A=1", "-e", "PATH=/bin", image, "sleep", "60").ok()
    seen = inspect(stocked, "box")
    for field, words in (("HostsPath", "localhost"), ("HostnamePath", seen["Id"][:12]), ("ResolvConfPath", "")):
        with open(seen[field]) as file:
            assert words in file.read()
    assert seen["Config"]["Env"] == ["A=1", "PATH=/bin"]
