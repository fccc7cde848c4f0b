"""Do calls stand when the two sides know us by different listeners, families or names?"""

from __future__ import annotations

import re

import pytest

from dispatcher.algorithm import DEFAULT
from dispatcher.destination import Destination
from dispatcher.listener import Listener
from dispatcher.snapshot import Policy
from dispatcher.token import read_token
from sip.uri import Address, host_port
from tests.dispatcher.world import (
    KEY,
    PHONE,
    SERVER_A,
    VIP,
    VIP6,
    Node,
    destination,
    make_snapshot,
    reply_to,
    request,
    set_up,
    values,
)

SERVER6: Address = ("2001:db8:c::11", 5060)
PHONE6: Address = ("2001:db8:7::9", 40001)
INSIDE = Listener("udp", ("10.0.0.1", 5060))
NAMED = Listener("udp", ("192.0.2.1", 5060), ("sip.example.net", 5080))
NAMED6 = Listener("udp", ("2001:db8::1", 5060), ("sip6.example.net", 5060))
BY_INSIDE = destination(SERVER_A, socket=INSIDE.address)

WORLDS: dict[str, tuple[tuple[Listener, ...], Address | Destination, Address, int]] = {
    "IPv6": ((VIP6,), SERVER6, PHONE6, 1),
    "IPv4 edge, IPv6 core": ((VIP, VIP6), SERVER6, PHONE, 2),
    "IPv6 edge, IPv4 core": ((VIP6, VIP), SERVER_A, PHONE6, 2),
    "two listeners": ((VIP, INSIDE), BY_INSIDE, PHONE, 2),
    "an advertised name": ((NAMED,), SERVER_A, PHONE, 1),
    "advertised names of two families": ((NAMED, NAMED6), SERVER6, PHONE, 2),
}


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest) -> tuple[Node, Address, Address, int]:
    """A node, its server, a phone on its first listener, and how many Record-Routes a call gets."""
    listeners, server, phone, count = WORLDS[request.param]
    address = server.address if isinstance(server, Destination) else server
    policy = Policy(algorithm=DEFAULT, domains=frozenset(("example.com",)))
    return Node(make_snapshot(server, listeners=listeners, policy=policy)), address, phone, count


def behind_nat(phone: Address) -> dict[str, str]:
    private = "[fd00::5]:5062" if ":" in phone[0] else "192.168.1.5:5062"
    return {"via": private, "contact": f"<sip:8005@{private}>"}


def test_a_call_from_the_phone_is_joined_at_both_ends(world: tuple[Node, Address, Address, int]) -> None:
    here, server, phone, count = world
    contact = f"<sip:8005@{host_port(phone)}>"
    for pieces in (behind_nat(phone), {"via": host_port(phone), "contact": contact}):
        call = set_up(here, request(uri="sip:8006@example.com", **pieces), phone)  # type: ignore[arg-type]
        assert call.callee == server
        assert len(call.record_routes) == count
        assert call.callee_listener == count - 1
        for method in ("ACK", "BYE", "INVITE"):
            message, forward = here.forward(call.from_caller(method, f"sip:8006@{host_port(server)}"), phone)
            assert (forward.address, forward.listener) == (server, call.callee_listener)
            assert b"route" not in message.first
            uri = pieces["contact"].strip("<>")
            message, forward = here.forward(call.from_callee(method, uri), server, call.callee_listener)
            assert (forward.address, forward.listener) == (phone, 0)
            assert b"route" not in message.first
            _, back = here.forward(reply_to(message), phone, 0)
            assert (back.address, back.listener) == (server, call.callee_listener)


def test_a_call_to_the_phone_is_joined_at_both_ends(world: tuple[Node, Address, Address, int]) -> None:
    here, server, phone, count = world
    message, forward = here.forward(request("REGISTER", "sip:example.com", **behind_nat(phone)), phone)  # type: ignore[arg-type]
    assert forward.listener == count - 1
    (path,) = values(message, "path")
    uri = behind_nat(phone)["contact"].strip("<>")
    invite = request(uri=uri, via=host_port(server), extra=(f"Route: {path}",))
    call = set_up(here, invite, server, forward.listener)
    assert (call.callee, call.callee_listener, len(call.record_routes)) == (phone, 0, count)
    for method in ("ACK", "BYE", "INVITE"):
        _, forward = here.forward(call.from_caller(method, uri), server, count - 1)
        assert (forward.address, forward.listener) == (phone, 0)
        _, forward = here.forward(call.from_callee(method, "sip:pbx@pbx.internal"), phone)
        assert (forward.address, forward.listener) == (server, count - 1)


def test_each_side_reads_the_name_that_it_knows(world: tuple[Node, Address, Address, int]) -> None:
    here, _, phone, count = world
    message, forward = here.forward(request(), phone)
    own = [listener.sent_by.decode() for listener in here.snapshot.listeners]
    assert values(message, "via")[0].startswith(f"SIP/2.0/UDP {own[forward.listener]};")
    hosts = [value.partition("@")[2].removesuffix(";lr>") for value in values(message, "record-route")]
    assert hosts == ([own[1], own[0]] if count == 2 else [own[0]])


def test_a_server_that_speaks_first_over_the_other_family_is_joined_too() -> None:
    here = Node(make_snapshot(SERVER6, listeners=(VIP, VIP6)))
    call = set_up(here, request(uri="sip:4930@203.0.113.20", via=host_port(SERVER6)), SERVER6, 1)
    assert (call.callee, call.callee_listener) == (("203.0.113.20", 5060), 0)
    assert [value.partition("@")[2] for value in call.record_routes] == ["192.0.2.1:5060;lr>", "[2001:db8::1]:5060;lr>"]
    _, forward = here.forward(call.from_callee(uri=f"sip:a@{host_port(SERVER6)}"), call.callee, 0)
    assert (forward.address, forward.listener) == (SERVER6, 1)
    _, forward = here.forward(call.from_caller(uri="sip:4930@203.0.113.20"), SERVER6, 1)
    assert (forward.address, forward.listener) == (("203.0.113.20", 5060), 0)


def test_a_phone_that_sends_to_the_other_listener_within_a_call_is_served() -> None:
    """The token knows by which listener the phone is reached, whatever a later request arrives on."""
    here = Node(make_snapshot(SERVER_A, listeners=(VIP, INSIDE)))
    call = set_up(here, request(**behind_nat(PHONE)), PHONE)  # type: ignore[arg-type]
    for arrival in (0, 1):
        assert here.forward(call.from_caller(), PHONE, arrival)[1].address == SERVER_A
        _, forward = here.forward(call.from_callee(), SERVER_A, arrival)
        assert (forward.address, forward.listener) == (PHONE, 0)


def test_a_token_has_room_for_two_addresses_of_either_family() -> None:
    lengths = {}
    for name, (listeners, server, phone, _) in WORLDS.items():
        here = Node(make_snapshot(server, listeners=listeners))
        message, _ = here.forward(request(), phone)
        found = re.search("<sip:([^@]+)@", values(message, "record-route")[0])
        assert found is not None
        claims, place = read_token(found[1].encode(), (KEY,), here.snapshot.sent_by) or (None, None)
        assert claims is not None
        assert (claims.edge, place) == (phone, 0)
        lengths[name] = len(found[1])
    assert lengths["IPv6"] == 64
    assert lengths["IPv4 edge, IPv6 core"] == lengths["IPv6 edge, IPv4 core"] == 48
    assert lengths["two listeners"] == lengths["an advertised name"] == 32


def test_one_name_for_both_families_is_enough() -> None:
    """Both listeners advertise it; the family of the next hop tells them apart."""
    listeners = tuple(Listener("udp", own.address, ("sip.example.net", 5060)) for own in (VIP, VIP6))
    here = Node(make_snapshot(SERVER6, listeners=listeners))
    call = set_up(here, request(**behind_nat(PHONE)), PHONE)  # type: ignore[arg-type]
    assert (call.callee, call.callee_listener) == (SERVER6, 1)
    _, forward = here.forward(call.from_callee(), SERVER6, 1)
    assert (forward.address, forward.listener) == (PHONE, 0)
    _, forward = here.forward(call.from_caller(uri=f"sip:8006@{host_port(SERVER6)}"), PHONE, 0)
    assert (forward.address, forward.listener) == (SERVER6, 1)
