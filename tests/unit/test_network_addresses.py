from __future__ import annotations

import os
import time

import pytest

from pycontainer.errors import Conflict, UsageError
from pycontainer.network import addresses, names, resolver, store
from pycontainer.network.addresses import Subnet
from pycontainer.network.design import Draft, design
from pycontainer.network.names import Member
from pycontainer.oci.grammar import networks, ports
from tests.support.races import leased

TINY = Subnet("10.1.0.0/29", "10.1.0.1", aux={"printer": "10.1.0.3"})


def dead(owner: str) -> bool:
    return False


def alive(owner: str) -> bool:
    return True


def test_gateway_broadcast_and_the_addresses_of_others_are_not_given_away():
    assert list(addresses.candidates(TINY)) == ["10.1.0.2", "10.1.0.4", "10.1.0.5", "10.1.0.6"]


def test_one_goes_on_after_the_last_address(tmp_path):
    taken = [addresses.take(str(tmp_path), TINY, "a", "", alive) for _ in range(2)]
    addresses.release(str(tmp_path), taken)
    assert addresses.take(str(tmp_path), TINY, "b", "", alive) == "10.1.0.5"


def test_a_pool_is_filled_freed_and_filled_again_without_a_leak(tmp_path):
    for _ in range(100):
        taken = {addresses.take(str(tmp_path), TINY, "a", "", alive) for _ in range(4)}
        assert len(taken) == 4
        with pytest.raises(Conflict, match="no address is free"):
            addresses.take(str(tmp_path), TINY, "b", "", alive)
        assert {addresses.take(str(tmp_path), TINY, "c", "", dead) for _ in range(4)} == taken  # a was killed
        addresses.release(str(tmp_path), taken)


def test_an_address_of_somebody_alive_is_refused_and_one_of_a_dead_is_taken_over(tmp_path):
    addresses.take(str(tmp_path), TINY, "a", "10.1.0.4", alive)
    with pytest.raises(Conflict, match="already in use"):
        addresses.take(str(tmp_path), TINY, "b", "10.1.0.4", alive)
    addresses.take(str(tmp_path), TINY, "b", "10.1.0.4", dead)
    assert os.readlink(tmp_path / "10.1.0.4") == "b"


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        ("10.1.0.0", UsageError, "means all of subnet"),
        ("10.1.0.7", UsageError, "means all of subnet"),
        ("10.1.0.8", UsageError, "is not inside of subnet"),
        ("10.1.0.1", Conflict, "is the gateway's"),
        ("10.1.0.3", Conflict, "is kept for printer"),
    ],
)
def test_an_address_that_is_never_given_away_can_not_be_asked_for_either(asked, error, words):
    assert asked not in addresses.candidates(TINY)
    with pytest.raises(error, match=words):
        addresses.check(asked, TINY)


def test_any_other_address_may_be_asked_for_however_it_is_written():
    assert [addresses.check(one, TINY) for one in addresses.candidates(TINY)] == list(addresses.candidates(TINY))
    assert addresses.check("fd00:0::2", Subnet("fd00::/64", "fd00::1")) == "fd00::2"


@pytest.mark.parametrize("text", ["10.0.0.0", "10.0.0.0/33", "x/8", "fd00::/129", "10.0.0.0/", "10.0.0.0/-1"])
def test_what_is_no_subnet_is_refused(text):
    with pytest.raises(UsageError):
        addresses.bounds(text)


def test_a_new_network_avoids_what_the_host_has():
    made = design(Draft("x"), ["10.0.0.0/8", "172.16.0.0/12"])
    assert made.subnets[0] == Subnet("192.168.224.0/24", "192.168.224.1")
    with pytest.raises(Conflict, match="overlaps"):
        design(Draft("x", (Subnet("10.9.0.0/24", ""),)), ["10.0.0.0/8"])


def test_a_damaged_or_missing_network_is_an_error_of_ours(tmp_path):
    network = design(Draft("lan"), [])
    store.save(str(tmp_path), network)
    assert store.load(str(tmp_path), "lan") == network
    with pytest.raises(Conflict):
        store.save(str(tmp_path), network)
    (tmp_path / "networks/lan.json").write_text("{")
    assert store.listing(str(tmp_path)) == []


def test_our_lines_are_replaced_and_those_of_the_container_kept(tmp_path):
    path = tmp_path / "hosts"
    path.write_text("127.0.0.1\tlocalhost\n")
    names.rewrite(str(path), [Member(("10.1.0.2",), ("db", "store"))])
    with path.open("a") as file:
        file.write("192.0.2.9\tmine\n")
    names.rewrite(str(path), [Member(("10.1.0.4",), ("app",))])
    lines = path.read_text().splitlines()
    assert "10.1.0.4\tapp" in lines and "192.0.2.9\tmine" in lines and "10.1.0.2\tdb store" not in lines


def test_a_file_that_its_container_has_leased_is_not_waited_for(tmp_path):
    path = tmp_path / "hosts"
    path.write_text("127.0.0.1\tlocalhost\n")
    began = time.monotonic()
    with leased(str(path)):
        names.rewrite(str(path), [Member(("10.1.0.2",), ("db",))])
        names.replace(str(path), "")
    assert time.monotonic() - began < 5 and path.read_text() == "127.0.0.1\tlocalhost\n"


def test_name_servers_on_loopback_or_of_an_internal_network_are_left_out():
    text = "nameserver 127.0.0.53\nnameserver 192.0.2.1\nsearch lan\n"
    assert resolver.reachable(text, internal=False) == "nameserver 192.0.2.1\nsearch lan\n"
    assert resolver.reachable(text, internal=True) == "search lan\n"


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("80", ("", 0, 0, 80, 80, "tcp")),
        ("8080:80/UDP", ("", 8080, 8080, 80, 80, "udp")),
        ("127.0.0.1::80", ("127.0.0.1", 0, 0, 80, 80, "tcp")),
        ("[::1]:8000-8001:80-81", ("::1", 8000, 8001, 80, 81, "tcp")),
        ("7000-7010:80", ("", 7000, 7010, 80, 80, "tcp")),
    ],
)
def test_ports_are_written_as_in_docker(text, result):
    assert ports.publish(text) == result


@pytest.mark.parametrize("text", ["", "0", "x", "80:", "1:2:3:4", "::1:80:80", "8000-8002:80-81", "9-8:9-8", "80/icmp"])
def test_what_is_no_port_is_refused(text):
    with pytest.raises(UsageError):
        ports.publish(text)


@pytest.mark.parametrize("text", ["name=", "ip=10.0.0.1", "name=x,ip=fd00::1", "name=x,bad=1", "container:", "../x"])
def test_what_is_no_network_is_refused(text):
    with pytest.raises(UsageError):
        networks.network(text)
