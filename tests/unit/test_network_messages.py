from __future__ import annotations

import hashlib
from struct import unpack_from

from pycontainer.core.step import Slot, Struct
from pycontainer.core.wire import encode
from pycontainer.network import links, nftables, ruleset
from pycontainer.network.connection import Attachment, Connection, Port, host_end, inner_end
from pycontainer.network.netlink import NLM_F_ACK, acknowledged, attribute, attributes, join, message, nested, text
from pycontainer.plan import network

CONNECTION = Connection("bridge", 0, 3, "02:42:0a:5a:00:02", ipv4="10.90.0.2/16", gateways=("10.90.0.1",))
PORT = Port("0.0.0.0", 8080, "tcp", "10.90.0.2", 80)
ATTACHMENT = Attachment("ab" * 32, "pycontainer", "/run/x/networks", (CONNECTION,), (PORT,))


def test_an_attribute_is_padded_and_says_its_length_without_the_padding():
    assert attribute(3, b"lo\0") == b"\x07\0\x03\0lo\0\0"


def test_nested_attributes_are_read_as_they_were_written():
    outer = attributes(nested(18, text(1, "veth"), attribute(2, b"1234")))
    assert attributes(outer[18]) == {1: b"veth\0", 2: b"1234"}


def test_slots_keep_their_place_when_parts_are_joined():
    pid = Struct(bytes(4), slots=((0, Slot("pid")),))
    whole = acknowledged(message(16, 0, b"1234", attribute(19, pid)))
    assert isinstance(whole, Struct) and whole.slots == ((16 + 4 + 4, Slot("pid")),)
    assert unpack_from("IHH", whole.data) == (28, 16, 1 | NLM_F_ACK)


def test_a_cable_names_both_ends_and_the_process_that_gets_one():
    made = links.make_veth(host_end("ab" * 32, 0), 3, inner_end(0), bytes(6), 0, Slot("pid"))
    assert isinstance(made, Struct) and [slot.name for _, slot in made.slots] == ["pid"]
    found = attributes(made.data, 32)
    assert found[links.IFLA_IFNAME] == b"pvabababab\0" and found[links.IFLA_MASTER] == b"\3\0\0\0"
    information = attributes(attributes(found[links.IFLA_LINKINFO])[links.IFLA_INFO_DATA])
    assert attributes(information[links.VETH_INFO_PEER], 16)[links.IFLA_IFNAME] == b"eth0\0"


def test_an_address_of_ipv4_has_the_broadcast_of_its_subnet():
    body = links.add_address(100, bytes([10, 90, 0, 2]), 16)
    assert attributes(body, 24)[links.IFA_BROADCAST] == bytes([10, 90, 255, 255])


def test_a_port_is_one_element_of_a_map():
    which, (key, value) = PORT.element()
    assert which is nftables.PORTS4
    assert key == b"\6\0\0\0" + b"\x1f\x90\0\0" and value == bytes([10, 90, 0, 2]) + b"\0\x50\0\0"
    bound, (key, _) = PORT._replace(host="127.0.0.1").element()
    assert bound is nftables.BOUND4 and key[:4] == bytes([127, 0, 0, 1])


def test_keys_and_values_have_the_length_that_their_set_says():
    for host, target in (("0.0.0.0", "10.0.0.2"), ("192.0.2.1", "10.0.0.2"), ("::", "fd00::2"), ("fd00::1", "fd00::2")):
        which, (key, value) = Port(host, 80, "udp", target, 80).element()
        assert which.value and (len(key), len(value)) == (which.key[1], which.value[1])


def test_the_numbers_that_a_start_counts_are_those_of_the_rules():
    assert {chain.name: len(chain.rules) for chain in ruleset.CHAINS if chain.kind} == nftables.RULES


def test_other_rules_are_another_edition():
    """Who changes the rules gives them a new EDITION, or hosts that have older ones keep these."""
    digest = hashlib.sha256(repr((ruleset.CHAINS, nftables.SETS)).encode()).hexdigest()
    assert (nftables.EDITION, digest[:16]) == ("rules-2", "9c930fd826748e84")


def test_an_attachment_is_the_same_after_json():
    import json

    assert Attachment.of(json.loads(json.dumps(ATTACHMENT.record()))) == ATTACHMENT


def test_the_steps_can_be_encoded_and_only_a_refusal_is_a_failure():
    steps = network.steps(ATTACHMENT)
    encode((*steps.connect, *steps.trust_nobody, *steps.configure, *steps.give_back), (network.INIT_PID,))
    reads = [call for step in (*steps.connect, *steps.configure) for call in step.calls if call.name == "read"]
    assert [call.expect for call in reads] == [36, 36, 36]


def test_without_a_network_there_is_nothing_to_do():
    assert network.steps(Attachment()) == network.Networking()


def test_messages_are_joined_without_gaps():
    assert len(join(message(16, 0, b"12345678"), message(17, 0))) == 24 + 16
