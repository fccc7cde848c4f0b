"""Does a snapshot know its names, its sides and its listeners?"""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from dispatcher.algorithm import DEFAULT
from dispatcher.destination import Destination, Entry
from dispatcher.listener import Listener
from dispatcher.snapshot import Policy, Snapshot, within
from health.board import State, Verdict, Word
from sip.uri import Address, parse_uri
from tests.dispatcher.world import SERVER_A, SERVER_B, VIP, VIP6, destination, make_snapshot

NAMED = Listener("udp", ("192.0.2.2", 5080), ("Sip.Example.net", 5070))


def named(uri: str, address: Address, *, set_id: int = 1) -> Destination:
    return Destination(entry=Entry(set_id=set_id, uri=uri, target=parse_uri(uri.encode())), address=address)


def own(snapshot: Snapshot, uri: str) -> bool:
    return snapshot.is_own_name(parse_uri(uri.encode()))


def test_the_core_is_the_addresses_of_destinations_whatever_the_port() -> None:
    snapshot = make_snapshot(SERVER_A, ("2001:db8:c::1", 5060))
    assert snapshot.is_core("10.0.0.11")
    assert snapshot.is_core("2001:db8:c::1")
    assert not snapshot.is_core("10.0.0.12")
    assert not snapshot.is_core("192.0.2.1")
    assert not snapshot.is_core("::ffff:10.0.0.11")


def test_core_networks_belong_to_the_core() -> None:
    networks = (ip_network("10.1.0.0/16"), ip_network("2001:db8:c::/48"))
    snapshot = make_snapshot(SERVER_A, policy=Policy(algorithm=DEFAULT, core_networks=networks))
    for host in ("10.1.0.0", "10.1.255.255", "2001:db8:c:ffff::1", "10.0.0.11"):
        assert snapshot.is_core(host)
    for host in ("10.2.0.0", "2001:db8:d::", "10.0.0.12"):
        assert not snapshot.is_core(host)
    assert not within("10.1.0.1", ())


def test_a_destination_is_found_by_address_and_by_the_name_in_the_list() -> None:
    snapshot = make_snapshot(
        SERVER_A, named("sip:PBX.example.com:5070", SERVER_B), named("sip:other.example.com", ("10.0.0.13", 5060))
    )
    assert snapshot.listed(*SERVER_A) == 0
    assert snapshot.listed(*SERVER_B) == snapshot.listed("pbx.example.com", 5070) == 1
    assert snapshot.listed("other.example.com", 5060) == 2
    assert snapshot.listed("pbx.example.com", 5060) is None
    assert snapshot.listed("10.0.0.11", 5061) is None


def test_a_name_that_stands_for_several_addresses_is_none_of_them() -> None:
    farm = [named("sip:farm.example.com", address) for address in (SERVER_A, SERVER_B)]
    snapshot = make_snapshot(*farm)
    assert snapshot.listed("farm.example.com", 5060) is None
    assert snapshot.listed(*SERVER_A) == 0
    assert snapshot.listed(*SERVER_B) == 1


def test_one_address_in_two_sets_is_found_in_the_first() -> None:
    twice = [named("sip:pbx.example.com", SERVER_A, set_id=set_id) for set_id in (2, 1)]
    snapshot = make_snapshot(*twice)
    assert snapshot.listed("pbx.example.com", 5060) == snapshot.listed(*SERVER_A) == 0
    assert snapshot.destinations[0].entry.set_id == 1
    assert snapshot.places_at(SERVER_A) == (0, 1)
    assert snapshot.places_at(SERVER_B) == ()


def test_the_default_port_is_the_transports() -> None:
    snapshot = make_snapshot(named("sips:pbx.example.com", SERVER_A))
    assert snapshot.listed("pbx.example.com", 5061) == 0
    assert snapshot.listed("pbx.example.com", 5060) is None


@pytest.mark.parametrize(
    ("state", "usable"),
    [
        (State(), True),
        (State(verdict=Verdict.SUSPECT), True),
        (State(Word.DRAINING), True),
        (State(verdict=Verdict.DOWN), False),
        (State(Word.DISABLED), False),
    ],
)
def test_who_keeps_old_work_takes_requests_that_name_him(state: State, *, usable: bool) -> None:
    snapshot = make_snapshot(SERVER_A, SERVER_B, liveness=bytes((State().code, state.code)))
    assert snapshot.is_usable(0)
    assert snapshot.is_usable(1) is usable


def test_usability_is_read_in_the_destinations_own_set() -> None:
    other = destination(SERVER_B, set_id=2)
    snapshot = make_snapshot(SERVER_A, other, liveness=bytes((State(verdict=Verdict.DOWN).code,)))
    assert not snapshot.is_usable(0)
    assert snapshot.is_usable(1)


@pytest.mark.parametrize(
    ("uri", "ours"),
    [
        ("sip:192.0.2.1", True),
        ("sip:anyone@192.0.2.1:5060", True),
        ("sip:192.0.2.1:5080", False),
        ("sip:192.0.2.2", False),
        ("sip:192.0.2.2:5060", False),
        ("sip:192.0.2.2:5080", True),
        ("sip:192.0.2.3", True),
        ("sip:192.0.2.3;transport=tls", False),
        ("sips:192.0.2.1", False),
        ("sips:192.0.2.4", True),
        ("sip:192.0.2.4;transport=tls", True),
        ("sip:192.0.2.4", False),
        ("sip:203.0.113.5", False),
        ("sip:203.0.113.5:5070", True),
        ("sip:192.0.2.2:5070", False),
        ("sip:sip.example.net:5070", True),
        ("sip:SIP.EXAMPLE.NET", True),
        ("sip:sip.example.net:5060", False),
        ("sip:[2001:db8::1]", True),
        ("sip:[2001:DB8:0:0::1]:5060", True),
        ("sip:[2001:db8::2]", False),
        ("sip:example.com", True),
        ("sip:example.com:5060", True),
        ("sip:example.com:5080", True),
        ("sip:example.com:5090", False),
        ("sip:www.example.com", False),
        ("sip:10.0.0.11", False),
    ],
)
def test_what_is_ours_by_name(uri: str, *, ours: bool) -> None:
    policy = Policy(algorithm=DEFAULT, domains=frozenset(("example.com",)))
    others = (
        Listener("udp", ("192.0.2.3", 5060), ("203.0.113.5", 5070)),
        Listener("udp", ("192.0.2.4", 5061)),
    )
    assert own(make_snapshot(SERVER_A, policy=policy, listeners=(VIP, NAMED, VIP6, *others)), uri) is ours


def test_a_destination_of_the_list_is_meant_before_us() -> None:
    """A server may share our address, or have its name among `domains`."""
    policy = Policy(algorithm=DEFAULT, domains=frozenset(("example.com", "192.0.2.1")))
    snapshot = make_snapshot(
        ("192.0.2.1", 5080), named("sip:example.com", SERVER_B), policy=policy, listeners=(VIP, NAMED)
    )
    for uri, ours in (
        ("sip:192.0.2.1", True),
        ("sip:192.0.2.1:5080", False),
        ("sip:example.com", False),
        ("sip:example.com:5060", False),
        ("sip:example.com:5080", True),
    ):
        assert own(snapshot, uri) is ours


def test_listeners_are_found_by_address_and_by_advertised_name() -> None:
    snapshot = make_snapshot(SERVER_A, listeners=(VIP, NAMED, VIP6))
    assert snapshot.own_listener("192.0.2.1", 5060) == 0
    assert snapshot.own_listener("192.0.2.2", 5080) == snapshot.own_listener("sip.example.net", 5070) == 1
    assert snapshot.own_listener("2001:db8::1", 5060) == 2
    assert snapshot.own_listener("192.0.2.2", 5070) is None
    assert snapshot.sent_by == (b"192.0.2.1:5060", b"Sip.Example.net:5070", b"[2001:db8::1]:5060")


def test_the_listener_to_leave_by_has_the_family_of_the_next_hop() -> None:
    snapshot = make_snapshot(SERVER_A, listeners=(VIP, NAMED, VIP6))
    assert [snapshot.listener_for("10.0.0.11", preferred) for preferred in range(3)] == [0, 1, 0]
    assert [snapshot.listener_for("2001:db8:c::1", preferred) for preferred in range(3)] == [2, 2, 2]
    assert make_snapshot(SERVER_A).listener_for("2001:db8:c::1", 0) is None


def test_numbers_lead_back_to_places() -> None:
    snapshot = make_snapshot(SERVER_A, SERVER_B)
    assert [snapshot.by_number[number] for number in snapshot.numbers] == [0, 1]
