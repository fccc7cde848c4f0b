"""Does each request without a token go where its Route, its Request-URI and its side say, and by which listener?"""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from dispatcher.algorithm import DEFAULT
from dispatcher.listener import Listener
from dispatcher.outcome import Refusal, Resolve
from dispatcher.snapshot import Policy
from sip.uri import Address, host_port
from tests.dispatcher.hops import (
    DOWN,
    INNER,
    TRUNK,
    UP,
    goes,
    node,
)
from tests.dispatcher.world import (
    PHONE,
    SERVER_A,
    SERVER_B,
    VIP,
    VIP6,
    Node,
    destination,
    make_snapshot,
    request,
    values,
)

# The edge without a token


@pytest.mark.parametrize(
    "uri", ["sip:8006@192.0.2.1", "sip:8006@example.com", "sip:8006@elsewhere.example", "tel:8006"]
)
def test_what_the_edge_sends_is_dispatched_whatever_its_domain(uri: str) -> None:
    assert goes(node(), request(uri=uri), PHONE) == SERVER_A


def test_the_edge_reaches_the_destination_that_it_names() -> None:
    here = node(SERVER_A, SERVER_B)
    for server in (SERVER_A, SERVER_B):
        for uri in (f"sip:8006@{server[0]}", f"sip:{host_port(server)};transport=tcp"):
            message, forward = here.forward(request(uri=uri), PHONE)
            assert forward.address == server
            assert message.uri == uri.encode()


def test_the_edge_does_not_reach_a_named_destination_that_is_down() -> None:
    here = node(SERVER_A, SERVER_B, liveness=bytes((DOWN, UP)))
    assert goes(here, request(uri="sip:8006@10.0.0.11"), PHONE) == SERVER_B


def test_a_server_with_maddr_is_not_named() -> None:
    here = node(SERVER_A, SERVER_B)
    uri = f"sip:8006@10.0.0.11;maddr={SERVER_B[0]}"
    assert {goes(here, request(uri=uri, call_id=f"c{number}"), PHONE) for number in range(20)} == {SERVER_A, SERVER_B}


@pytest.mark.parametrize(
    "uri", ["sip:8006@10.0.0.11:5061", "sip:8006@10.0.0.77", "sip:x@10.0.0.11;maddr=10.0.0.77", "sips:8006@10.0.0.11"]
)
def test_the_edge_reaches_listed_destinations_only(uri: str) -> None:
    policy = Policy(algorithm=DEFAULT, core_networks=(ip_network("10.0.0.0/24"),))
    here = node(SERVER_B, SERVER_A, policy=policy, liveness=bytes((UP, DOWN)))
    assert goes(here, request(uri=uri), PHONE) == SERVER_B


def test_nothing_is_looked_up_for_the_edge() -> None:
    here = node()
    for uri in ("sip:a@never.example.org", "sip:a@vip.example.org", "sip:a@example.org;maddr=x.example.org"):
        assert goes(here, request(uri=uri, extra=("Route: <sip:nobody.example.org;lr>",)), PHONE) == SERVER_A


def test_a_foreign_route_of_the_edge_is_left_to_the_server() -> None:
    message, forward = node().forward(request(extra=("Route: <sip:203.0.113.66;lr>",)), PHONE)
    assert forward.address == SERVER_A
    assert values(message, "route") == ["<sip:203.0.113.66;lr>"]


# The core without a token


@pytest.mark.parametrize("uri", ["sip:8006@192.0.2.1", "sip:8006@example.com", "sip:8006@vip.example.org", "tel:8006"])
def test_what_the_core_sends_to_us_is_dispatched(uri: str) -> None:
    assert goes(node(SERVER_B), request(uri=uri), SERVER_B) == SERVER_B


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("sip:4930@203.0.113.20", TRUNK),
        ("sip:4930@203.0.113.20:5070", ("203.0.113.20", 5070)),
        ("sip:4930@trunk.example.org", TRUNK),  # the first address of a family that we have
        ("sip:4930@elsewhere.example;maddr=203.0.113.20", TRUNK),
        ("sip:4930@example.com;maddr=trunk.example.org", TRUNK),
        ("sip:4930@10.0.0.12", SERVER_B),
        ("sip:4930@10.0.0.12:5099", ("10.0.0.12", 5099)),
    ],
)
def test_the_core_reaches_whom_it_names(uri: str, address: Address) -> None:
    message, forward = node(SERVER_A, SERVER_B).forward(request(uri=uri), SERVER_A)
    assert forward.address == address
    assert message.uri == uri.encode()
    assert forward.destination == (1 if address == SERVER_B else None)


def test_the_core_reaches_the_next_route_first() -> None:
    for uri in ("sip:4930@198.51.100.99", "tel:4930"):
        fields = ("Route: <sip:192.0.2.1;lr>, <sip:203.0.113.20;lr>, <sip:198.51.100.1;lr>",)
        message, forward = node().forward(request(uri=uri, extra=fields), SERVER_A)
        assert forward.address == TRUNK
        assert values(message, "route") == ["<sip:203.0.113.20;lr>, <sip:198.51.100.1;lr>"]
        assert message.uri == uri.encode()


def test_a_core_network_is_the_core() -> None:
    policy = Policy(algorithm=DEFAULT, core_networks=(ip_network("10.9.0.0/16"),))
    here = node(policy=policy)
    assert goes(here, request(uri="sip:4930@203.0.113.20"), ("10.9.1.1", 5060)) == TRUNK
    assert goes(here, request(uri="sip:4930@203.0.113.20"), ("10.8.1.1", 5060)) == SERVER_A


@pytest.mark.parametrize(
    ("uri", "refusal"),
    [
        ("sip:4930@gone.example.org", Refusal.UNRESOLVED),
        ("sip:4930@v6.example.org", Refusal.UNRESOLVED),
        ("sip:4930@203.0.113.20;transport=tcp", Refusal.TRANSPORT),
        ("sips:4930@203.0.113.20", Refusal.TRANSPORT),
        ("sip:4930@[2001:db8:9::1]", Refusal.NO_LISTENER),
    ],
)
def test_a_next_hop_that_cannot_be_reached_is_our_failure_and_no_503(uri: str, refusal: Refusal) -> None:
    assert node().refusal(request(uri=uri), SERVER_A) == (500, refusal)


def test_a_route_that_is_no_sip_uri_leads_nowhere() -> None:
    datagram = request(uri="sip:4930@203.0.113.20", extra=("Route: <tel:123>",))
    assert node().refusal(datagram, SERVER_A) == (500, Refusal.UNRESOLVED)


def test_a_name_of_the_core_is_asked_for() -> None:
    for uri in ("sip:4930@new.example.org:5070", "sip:a@b.example;maddr=NEW.example.org"):
        outcome = node().take(request(uri=uri), SERVER_A)
        assert isinstance(outcome, Resolve)
        assert outcome.host == "new.example.org"


def test_a_request_of_the_core_never_comes_back_to_us() -> None:
    for uri in ("sip:a@trunk.example.org;maddr=192.0.2.1", "sip:a@x.example;maddr=vip.example.org"):
        assert goes(node(SERVER_B), request(uri=uri), SERVER_B) == SERVER_B


def test_the_server_for_a_core_without_a_destination_is_a_refusal() -> None:
    policy = Policy(algorithm=DEFAULT, core_networks=(ip_network("10.9.0.0/16"),))
    here = Node(make_snapshot(policy=policy))
    assert here.refusal(request(), ("10.9.0.1", 5060)) == (503, Refusal.NO_DESTINATION)


# Listeners


def test_the_socket_of_a_destination_is_used_if_we_have_it() -> None:
    own = Listener("udp", ("192.0.2.2", 5060))
    wanted = destination(SERVER_A, socket=own.address)
    other = destination(SERVER_B, socket=("192.0.2.99", 5060))
    here = Node(make_snapshot(wanted, other, listeners=(VIP, own)))
    _, forward = here.forward(request(uri="sip:8006@10.0.0.11"), PHONE)
    assert (forward.address, forward.listener) == (SERVER_A, 1)
    _, forward = here.forward(request(uri="sip:8006@10.0.0.12"), PHONE, 1)
    assert (forward.address, forward.listener) == (SERVER_B, 1)


@pytest.mark.parametrize("listeners", [(VIP, INNER), (INNER, VIP6, VIP)])
def test_a_server_on_an_inner_listener_calls_a_carrier_by_an_outer_one(listeners: tuple[Listener, ...]) -> None:
    """A carrier can do nothing with the Via and Record-Route of the inner network."""
    inner, outer = listeners.index(INNER), listeners.index(VIP)
    here = Node(make_snapshot(destination(SERVER_A, socket=INNER.address), SERVER_B, listeners=listeners))
    invite = request(uri=f"sip:4930@{TRUNK[0]}", via=host_port(SERVER_A))
    message, forward = here.forward(invite, SERVER_A, inner)
    assert (forward.address, forward.listener) == (TRUNK, outer)
    assert values(message, "via")[0].startswith("SIP/2.0/UDP 192.0.2.1:5060;")
    assert [value.partition("@")[2] for value in values(message, "record-route")] == [
        "192.0.2.1:5060;lr>",
        "10.0.0.1:5060;lr>",
    ]
    _, forward = here.forward(request(uri="sip:4930@10.0.0.12:5099"), SERVER_A, inner)
    assert (forward.address, forward.listener) == (("10.0.0.12", 5099), inner)


def test_without_an_outer_listener_the_inner_one_takes_a_call_to_a_carrier() -> None:
    here = Node(make_snapshot(destination(SERVER_A, socket=INNER.address), listeners=(VIP6, INNER)))
    _, forward = here.forward(request(uri=f"sip:4930@{TRUNK[0]}"), SERVER_A, 1)
    assert (forward.address, forward.listener) == (TRUNK, 1)


def test_a_destination_of_a_family_without_a_listener_is_our_failure() -> None:
    here = Node(make_snapshot(("2001:db8:c::1", 5060)))
    assert here.refusal(request(), PHONE) == (500, Refusal.NO_LISTENER)


@pytest.mark.parametrize(
    "host", ["224.0.1.75", "255.255.255.255", "0.0.0.0", "[ff02::1]", "[::]", "[::ffff:192.0.2.5]"]
)
def test_the_core_sends_to_one_node_and_never_to_a_group_or_to_nowhere(host: str) -> None:
    node = Node(make_snapshot(SERVER_A, listeners=(VIP, VIP6)))
    assert node.refusal(request(uri=f"sip:1@{host}", via="10.0.0.11:5060"), SERVER_A) == (500, Refusal.UNRESOLVED)
