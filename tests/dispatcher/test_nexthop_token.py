"""Does each request with a token of ours go to the end of its call or its registration?"""

from __future__ import annotations

from ipaddress import ip_network

import attrs
import pytest

from dispatcher.algorithm import DEFAULT
from dispatcher.outcome import DropReason, Refusal
from dispatcher.snapshot import Policy
from sip.message import Message
from sip.uri import Address, host_port
from tests.dispatcher.hops import (
    DOWN,
    OWN_DOMAIN,
    TRUNK,
    UP,
    called_by_core,
    called_by_core_through_path,
    called_by_edge,
    goes,
    node,
    registered,
    without,
)
from tests.dispatcher.world import (
    OTHER_PHONE,
    PHONE,
    SERVER_A,
    SERVER_B,
    Dialog,
    Node,
    request,
    set_up,
    values,
)

# Within a call that the edge has created


@pytest.mark.parametrize("method", ["ACK", "BYE", "INVITE", "UPDATE", "INFO", "PRACK", "REFER", "MESSAGE", "NOTIFY"])
def test_a_call_from_the_edge_is_joined_at_both_ends(method: str) -> None:
    here = node()
    call = called_by_edge(here)
    assert goes(here, call.from_caller(method), PHONE) == SERVER_A
    assert goes(here, call.from_callee(method), SERVER_A) == PHONE


def test_the_caller_reaches_the_listed_server_that_it_names_else_the_one_that_took_the_call() -> None:
    here = node(SERVER_A)
    call = called_by_edge(here)
    grown = node(SERVER_A, SERVER_B)
    assert goes(grown, call.from_caller(uri="sip:8006@10.0.0.12"), PHONE) == SERVER_B
    for uri in ("sip:8006@10.0.0.11:5099", "sip:asterisk@pbx.internal", "sip:8006@203.0.113.66", "tel:8006"):
        assert goes(grown, call.from_caller(uri=uri), PHONE) == SERVER_A


def test_within_a_call_even_a_server_that_is_down_is_reached() -> None:
    call = called_by_edge(node())
    assert goes(node(liveness=bytes((DOWN,))), call.from_caller(), PHONE) == SERVER_A


def test_a_phone_that_moves_to_another_address_still_ends_its_call() -> None:
    call = called_by_edge(node())
    assert goes(node(), call.from_caller(), OTHER_PHONE) == SERVER_A


def test_a_phone_behind_a_nat_is_reached_by_its_flow() -> None:
    here = node()
    call = called_by_edge(here)
    for uri in ("sip:8005@192.168.1.5:5062", "sip:8005@203.0.113.66", "sip:8005@no.example.org", "tel:8005"):
        message, forward = here.forward(call.from_callee(uri=uri), SERVER_A)
        assert forward.address == PHONE
        assert message.uri == uri.encode()


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("sip:4930@203.0.113.21:5070", ("203.0.113.21", 5070)),
        ("sip:4930@trunk.example.org", TRUNK),
        ("sip:4930@192.0.2.1", TRUNK),  # ourselves: what a PBX says that puts its proxy into Contact
        ("sip:4930@gone.example.org", TRUNK),
        ("sip:4930@203.0.113.21;transport=tcp", TRUNK),
        ("tel:4930", TRUNK),
    ],
)
def test_a_trunk_is_reached_by_its_contact_if_that_can_be_reached(uri: str, address: Address) -> None:
    here = node()
    call = set_up(here, request(via=TRUNK[0], contact="<sip:4930@203.0.113.21:5070>"), TRUNK)
    assert goes(here, call.from_callee(uri=uri), SERVER_A) == address


def test_nobody_waits_for_the_name_in_a_contact() -> None:
    """The token has an address; the slow domains of phones must not fill the queue of look-ups."""
    here = node()
    contact = "sip:4930@new.example.org"
    call = set_up(here, request(via=TRUNK[0], contact=f"<{contact}>"), TRUNK)
    assert goes(here, call.from_callee(uri=contact), SERVER_A) == TRUNK
    here.names["new.example.org"] = (("203.0.113.21", 5060),)
    assert goes(here, call.from_callee(uri=contact), SERVER_A) == ("203.0.113.21", 5060)


def test_nobody_waits_for_the_name_of_a_proxy_beyond_ours() -> None:
    here = node()
    call = set_up(here, request(via=TRUNK[0], extra=("Record-Route: <sip:new.example.org;lr>",)), TRUNK)
    message, forward = here.forward(call.from_callee(uri="sip:8005@192.168.7.7"), SERVER_A)
    assert forward.address == TRUNK
    assert values(message, "route") == ["<sip:new.example.org;lr>"]


def test_a_proxy_beyond_ours_is_reached_by_the_route_that_is_left() -> None:
    here = node()
    call = set_up(here, request(via=TRUNK[0], extra=("Record-Route: <sip:203.0.113.30;lr>",)), TRUNK)
    assert call.record_routes[1] == "<sip:203.0.113.30;lr>"
    assert goes(here, call.from_callee(uri="sip:8005@192.168.7.7"), SERVER_A) == ("203.0.113.30", 5060)


# Twice through us, with a proxy of the core in between that does not record itself

RETURNED = Policy(algorithm=DEFAULT, domains=OWN_DOMAIN.domains, core_networks=(ip_network("10.9.0.0/16"),))
ROUTER: Address = ("10.0.0.11", 5060)


def by_router(message: Message) -> bytes:
    """What ROUTER makes of a request whose topmost Route is ours: it sends it back."""
    via = b"Via: SIP/2.0/UDP 10.0.0.11:5060;branch=z9hG4bK-router\r\nVia: "
    return message.to_bytes().replace(b"Via: ", via, 1)


def twice(here: Node, first: Address, invite: bytes, onward: bytes, last: Address) -> Dialog:
    """A call from `first` by us and ROUTER, which rewrites the Request-URI to `onward`, and by us again to `last`."""
    once, forward = here.forward(invite, first)
    assert forward.address == ROUTER
    final, forward = here.forward(by_router(once).replace(once.uri, onward, 1), ROUTER)
    assert forward.address == last
    record_routes = tuple(values(final, "record-route"))
    assert len(set(record_routes)) == 2
    return Dialog(caller=first, callee=last, record_routes=record_routes, call_id="call-1@phone", from_tag="from-tag")


@pytest.mark.parametrize("method", ["ACK", "BYE", "INVITE"])
@pytest.mark.parametrize(
    ("first", "uri", "onward", "last"),
    [
        (PHONE, "sip:4930@192.0.2.1", b"sip:4930@203.0.113.20", TRUNK),
        (PHONE, "sip:8006@192.0.2.1", b"sip:8006@10.0.0.12", SERVER_B),
        (("10.9.0.1", 5060), "sip:4930@10.0.0.11", b"sip:4930@203.0.113.20", TRUNK),
        (("10.9.0.1", 5060), "sip:8006@10.0.0.11", b"sip:8006@10.0.0.12", SERVER_B),
    ],
)
def test_a_call_that_passes_twice_is_joined_at_both_ends(
    method: str, first: Address, uri: str, onward: bytes, last: Address
) -> None:
    """Each pass has a token of its own: the first leads to the router, which sends by the Route that is left."""
    listed = (ROUTER, SERVER_B) if last == SERVER_B and first == PHONE else (ROUTER,)
    here = node(*listed, policy=RETURNED, liveness=bytes((UP, DOWN)[: len(listed)]))
    call = twice(here, first, request(uri=uri, via=host_port(first), contact=None), onward, last)
    by_caller = call.from_caller(method, f"sip:x@{host_port(last)}")
    by_callee = call.from_callee(method, f"sip:x@{host_port(first)}")
    for datagram, source, target, rest in (
        (by_caller, first, last, call.record_routes[0]),
        (by_callee, last, first, call.record_routes[1]),
    ):
        message, forward = here.forward(datagram, source)
        assert forward.address == ROUTER
        assert values(message, "route") == [rest]
        message, forward = here.forward(by_router(message), ROUTER)
        assert forward.address == target
        assert values(message, "route") == []


# Within a call that the core has created


def test_a_call_through_path_is_joined_at_both_ends() -> None:
    here = node()
    call = called_by_core_through_path(here)
    assert call.callee == PHONE
    assert goes(here, call.from_caller("ACK", "sip:8005@192.168.1.5:5062"), SERVER_A) == PHONE
    assert goes(here, call.from_caller("BYE", "sip:8005@192.168.1.5:5062"), SERVER_A) == PHONE
    assert goes(here, call.from_callee("BYE", "sip:asterisk@10.0.0.11"), PHONE) == SERVER_A
    assert goes(here, call.from_callee("INVITE", "sip:asterisk@pbx.internal"), PHONE) == SERVER_A


def test_a_call_to_a_trunk_is_joined_at_both_ends() -> None:
    here = node()
    call = called_by_core(here)
    assert call.callee == TRUNK
    assert goes(here, call.from_caller("BYE", "sip:4930@203.0.113.21"), SERVER_A) == ("203.0.113.21", 5060)
    assert goes(here, call.from_callee("BYE", "sip:asterisk@10.0.0.11:5060"), TRUNK) == SERVER_A
    assert goes(here, call.from_callee("BYE", "sip:asterisk@pbx.internal:5080"), TRUNK) == SERVER_A


def test_a_call_from_server_to_server_through_us_is_joined_at_both_ends() -> None:
    """Both ends are core: only the From tag tells the directions apart."""
    here = node(SERVER_B)
    other: Address = ("10.0.0.13", 5060)
    here = Node(
        attrs.evolve(here.snapshot, policy=Policy(algorithm=DEFAULT, core_networks=(ip_network("10.0.0.13/32"),)))
    )
    call = set_up(here, request(via=host_port(other), contact="<sip:a@10.0.0.13>"), other)
    assert call.callee == SERVER_B
    assert goes(here, call.from_caller("BYE", "sip:b@10.0.0.12"), other) == SERVER_B
    assert goes(here, call.from_callee("BYE", "sip:a@10.0.0.13"), SERVER_B) == other


def test_path_leads_the_core_to_the_phone() -> None:
    here = node()
    path = registered(here)
    for method in ("OPTIONS", "INVITE", "NOTIFY", "MESSAGE"):
        datagram = request(method, "sip:8005@192.168.1.5:5062", extra=path, via=host_port(SERVER_A))
        message, forward = here.forward(datagram, SERVER_A)
        assert forward.address == PHONE
        assert b"route" not in message.first


def test_path_leads_to_the_phone_even_if_the_server_has_put_us_into_its_contact() -> None:
    """Asterisk's `rewrite_contact` writes where the REGISTER came from: the phone is qualified, not we."""
    here = node()
    path = registered(here)
    for uri in ("sip:192.0.2.1:5060", "sip:s@192.0.2.1", "sip:8005@192.0.2.1"):
        assert goes(here, request("OPTIONS", uri, extra=path), SERVER_A) == PHONE


def test_a_call_by_path_comes_back_to_the_server_that_has_made_it() -> None:
    """Not to the one that took the registration; the two may share their contacts."""
    policy = attrs.evolve(OWN_DOMAIN, core_networks=(ip_network("10.9.0.0/16"),))
    here = node(policy=policy)
    path = registered(here)
    for caller in (("10.9.0.1", 5066), SERVER_A):
        call = set_up(here, request(uri="sip:8005@192.168.1.5:5062", via=host_port(caller), extra=path), caller)
        assert call.callee == PHONE
        assert goes(here, call.from_callee(uri="sip:pbx@pbx.internal"), PHONE) == caller
        assert goes(here, call.from_caller(uri="sip:8005@192.168.1.5:5062"), caller) == PHONE


def test_path_of_a_phone_without_nat_leads_to_its_contact() -> None:
    here = node()
    path = registered(here, via=PHONE[0], contact="<sip:8005@198.51.100.7:5099>", via_params="")
    datagram = request("OPTIONS", "sip:8005@198.51.100.7:5099", extra=path)
    assert goes(here, datagram, SERVER_A) == ("198.51.100.7", 5099)


def test_path_points_to_the_phone_whatever_the_from_tag() -> None:
    here = node()
    path = registered(here)
    for tag in ("from-tag", "another", ""):
        datagram = request(uri="sip:8005@192.168.1.5:5062", extra=path, from_tag=tag)
        assert goes(here, datagram, SERVER_A) == PHONE


# The list changes


@pytest.mark.parametrize("make", [called_by_edge, called_by_core_through_path, called_by_core])
def test_a_server_that_leaves_the_list_keeps_its_calls(make: object) -> None:
    assert callable(make)
    before = node()
    call: Dialog = make(before)
    after = without(before, SERVER_B)
    edge, server = (call.caller, call.callee) if call.callee == SERVER_A else (call.callee, call.caller)
    by_edge, by_server = (
        (call.from_caller, call.from_callee) if edge is call.caller else (call.from_callee, call.from_caller)
    )
    assert goes(after, by_edge("BYE", "sip:x@10.0.0.11"), edge) == SERVER_A
    assert goes(after, by_edge("BYE", "sip:x@pbx.internal"), edge) == SERVER_A
    assert goes(after, by_server("BYE", "sip:x@192.168.1.5"), server) == edge
    assert goes(after, by_server("BYE", "sip:x@203.0.113.66"), server) == edge


def test_a_server_that_has_left_reaches_nobody_but_the_end_of_its_call() -> None:
    before = node()
    call = set_up(before, request(via=TRUNK[0], contact="<sip:4930@203.0.113.21>"), TRUNK)
    after = without(before, SERVER_B)
    datagram = call.from_callee(uri="sip:victim@198.51.100.99")
    assert goes(before, datagram, SERVER_A) == ("198.51.100.99", 5060)  # the core may go anywhere
    assert goes(after, datagram, SERVER_A) == TRUNK
    assert after.refusal(datagram, ("10.0.0.99", 5060)) == (403, Refusal.EDGE_TO_EDGE)


def test_a_server_that_has_left_is_reached_by_the_edge_end_of_its_call_only() -> None:
    before = node()
    call = called_by_edge(before)
    after = without(before, SERVER_B)
    assert goes(after, call.from_caller(), (PHONE[0], 9)) == SERVER_A
    assert goes(after, call.from_caller(), SERVER_B) == SERVER_A
    assert after.refusal(call.from_caller(), OTHER_PHONE) == (403, Refusal.EDGE_TO_EDGE)
    assert after.drop(call.from_caller("ACK"), OTHER_PHONE) is DropReason.EDGE_TO_EDGE
    assert after.drop(call.from_caller("CANCEL"), OTHER_PHONE) is DropReason.EDGE_TO_EDGE


def test_a_server_that_has_left_calls_by_path_until_the_registration_ends() -> None:
    before = node()
    path = registered(before)
    after = without(before, SERVER_B)
    invite = request(uri="sip:8005@192.168.1.5:5062", via=host_port(SERVER_A), extra=path)
    call = set_up(after, invite, SERVER_A)
    assert call.callee == PHONE
    assert goes(after, call.from_callee(uri="sip:asterisk@10.0.0.11"), PHONE) == SERVER_A
