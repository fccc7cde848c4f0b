"""Does the top Via say where a request came from, and does the reply go there (RFC 3261 18.2.1, RFC 3581)?"""

from __future__ import annotations

from itertools import product

import pytest

from dispatcher.algorithm import DEFAULT
from dispatcher.listener import Listener
from dispatcher.snapshot import Policy
from tests.dispatcher.world import SERVER_A, VIP, VIP6, Node, make_snapshot, reply_to, request, values

SOURCE = ("198.51.100.7", 40001)
SOURCE6 = ("2001:db8:7::9", 40001)

SENT_BY = {
    "198.51.100.7:40001": 40001,
    "198.51.100.7": 5060,
    "198.51.100.7:5070": 5070,
    "192.168.1.5:5062": 5062,
    "192.168.1.5": 5060,
    "Phone.example.com:5062": 5062,
    "[2001:db8:7::9]": 5060,
}
RPORT = {"": False, ";rport": True, ";rport=1": True, ";RPORT": True, "; rport": True}
RECEIVED = ("", ";received=203.0.113.66", ";Received=192.0.2.1")


def node(force: str) -> Node:
    policy = Policy(algorithm=DEFAULT, force_rport=force)  # type: ignore[arg-type]  # the three words
    return Node(make_snapshot(SERVER_A, policy=policy, listeners=(VIP, VIP6)))


def params(via: str) -> dict[str, str]:
    """The parameters of one Via value, read anew."""
    pieces = [piece.strip().partition("=") for piece in via.split(";")[1:]]
    assert len({name.lower() for name, _, _ in pieces}) == len(pieces), via
    return {name.lower(): value for name, _, value in pieces}


@pytest.mark.parametrize("force", ["nat", "always", "never"])
@pytest.mark.parametrize("sent_by", SENT_BY)
def test_received_and_rport_in_every_combination(sent_by: str, force: str) -> None:
    here = node(force)
    moved = not sent_by.startswith("198.51.100.7")
    for (rport, asked), received in product(RPORT.items(), RECEIVED):
        message, forward = here.forward(request(via=sent_by, via_params=rport + received), SOURCE)
        left = params(values(message, "via")[1])
        filled = asked or force == "always" or (moved and force == "nat")
        assert left.get("received") == ("198.51.100.7" if moved or asked else None)
        assert left.get("rport") == ("40001" if filled else None)
        assert left["branch"] == "z9hG4bK-1"
        _, back = here.forward(reply_to(message), forward.address)
        assert back.address == ("198.51.100.7", 40001 if filled else SENT_BY[sent_by])


@pytest.mark.parametrize(
    ("sent_by", "received"),
    [("[2001:db8:7::9]:40001", None), ("[2001:DB8:7:0:0:0:0:9]:40001", None), ("[fd00::1]:5062", "2001:db8:7::9")],
)
def test_ipv6_is_compared_as_a_value_and_written_without_brackets(sent_by: str, received: str | None) -> None:
    here = node("nat")
    message, forward = here.forward(request(via=sent_by, via_params=""), SOURCE6, 1)
    assert params(values(message, "via")[1]).get("received") == received
    _, back = here.forward(reply_to(message), forward.address)
    assert back.address == SOURCE6


def test_a_via_that_needs_nothing_leaves_byte_for_byte() -> None:
    message, _ = node("nat").forward(request(via="198.51.100.7:40001", via_params=";ttl=1 ;x"), SOURCE)
    assert b"Via: SIP/2.0/UDP 198.51.100.7:40001;branch=z9hG4bK-1;ttl=1 ;x" in message.lines


def test_only_the_first_member_of_a_list_is_stamped() -> None:
    here = node("nat")
    datagram = request(via_params=";rport , SIP/2.0/UDP 192.0.2.77;branch=z9hG4bK-0;rport;received=1.2.3.4")
    message, _ = here.forward(datagram, SOURCE)
    top, below = values(message, "via")[1].split(",")
    assert params(top)["rport"] == "40001"
    assert below == " SIP/2.0/UDP 192.0.2.77;branch=z9hG4bK-0;rport;received=1.2.3.4"


@pytest.mark.parametrize("twice", [";rport;rport=9", ";rport=9;rport", ";received=1.2.3.4;received=203.0.113.66"])
def test_who_says_a_parameter_twice_is_refused_where_he_is(twice: str) -> None:
    _, reply = node("nat").answer(request(via_params=twice), SOURCE)
    assert reply.status == 400
    assert reply.address[0] == SOURCE[0]


def test_the_reply_leaves_by_the_family_of_the_listener_that_the_request_arrived_on() -> None:
    here = Node(make_snapshot(SERVER_A, listeners=(VIP, Listener("udp", ("192.0.2.2", 5060)), VIP6)))
    for arrival, source in ((0, SOURCE), (1, SOURCE), (2, SOURCE6)):
        message, forward = here.forward(request(), source, arrival)
        _, back = here.forward(reply_to(message), forward.address, forward.listener)
        assert back.listener == arrival
