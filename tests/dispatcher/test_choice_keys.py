"""What is a choice keyed on, and does a call meet the registration of whom it is for?"""

from __future__ import annotations

import pytest

from dispatcher.algorithm import Kind
from dispatcher.choice import Chance, aor, choice_key, dispatch
from dispatcher.selection import idle
from dispatcher.snapshot import Snapshot
from sip.errors import SipError
from tests.dispatcher.choosing import (
    SERVERS,
    choices,
    received,
    snapshot,
)
from tests.dispatcher.world import (
    PHONE,
    Node,
    forget,
    request,
)


def key(snapshot: Snapshot, datagram: bytes) -> bytes:
    came = received(datagram)
    return choice_key(snapshot, came, came.request.uri, snapshot.policy.algorithm)


# Keys

FULL = request(
    uri="sip:8006;x=1@Example.com:5070;p",
    from_='"A, B" <sip:%38005@Example.org>',
    to="<sip:8007;isub=1@Example.net>",
    call_id="c@h",
    extra=('Authorization: Digest realm="r", username="bob"', "X-Account: 77", "x-account: 78"),
)


@pytest.mark.parametrize(
    ("kind", "header", "expected"),
    [
        (Kind.CALL_ID, "", b"c@h"),
        (Kind.WEIGHT, "", b"c@h"),
        (Kind.RELATIVE_WEIGHT, "", b"c@h"),
        (Kind.TIERS, "", b"c@h"),
        (Kind.PRIORITY, "", b"c@h"),
        (Kind.ROUND_ROBIN, "", b"c@h"),
        (Kind.RANDOM, "", b"c@h"),
        (Kind.FROM, "", b"8005@example.org"),
        (Kind.TO, "", b"8007@example.net"),
        (Kind.REQUEST_URI, "", b"8006@example.com"),
        (Kind.AOR, "", b"8006"),
        (Kind.AUTH_USER, "", b"bob"),
        (Kind.HEADER, "X-Account", b"77"),
        (Kind.HEADER, "x-account", b"77"),
        (Kind.HEADER, "X-Absent", b"c@h"),
        (Kind.HEADER, "Call-ID", b"c@h"),
    ],
)
def test_each_algorithm_has_its_key(kind: Kind, header: str, expected: bytes) -> None:
    assert key(snapshot(kind, header), FULL) == expected


def test_the_domain_counts_in_an_address_of_record_only_if_asked() -> None:
    assert key(snapshot(Kind.AOR, aor_domain=True), FULL) == b"8006@example.com"
    register = request("REGISTER", "sip:example.com", to="<sip:8005@Example.com>")
    assert key(snapshot(Kind.WEIGHT, aor_domain=True), register) == b"8005@example.com"
    assert key(snapshot(Kind.WEIGHT), register) == b"8005"


@pytest.mark.parametrize(
    ("credentials", "expected"),
    [
        ('Proxy-Authorization: Digest username="bob",realm="r"', b"bob"),
        ('Authorization: Digest realm="r",\r\n UserName = "b;o b"', b"b;o b"),
        ("Authorization: Digest username=bob, realm=r", b"bob"),
        ('Authorization: Digest username="", realm=r', b"8005"),
        ("Authorization: Basic abc", b"8005"),
        ("X: y", b"8005"),
    ],
)
def test_who_has_no_credentials_yet_is_the_one_who_calls(credentials: str, expected: bytes) -> None:
    assert key(snapshot(Kind.AUTH_USER), request(extra=(credentials,))) == expected


def test_credentials_for_a_proxy_come_first() -> None:
    both = ('Authorization: Digest username="a"', 'Proxy-Authorization: Digest username="b"')
    assert key(snapshot(Kind.AUTH_USER), request(extra=both)) == b"b"


@pytest.mark.parametrize(
    ("raw", "plain", "full"),
    [
        (b" <sip:8005@Example.com>;tag=1", b"8005", b"8005@example.com"),
        (b'"x" <sips:8005@example.com;user=phone>', b"8005", b"8005@example.com"),
        (b"sip:8005@example.com;tag=1", b"8005", b"8005@example.com"),
        (b"<sip:%38%30%305;phone-context=x@h>", b"8005", b"8005@h"),
        (b"<sip:example.com>", b"", b"@example.com"),
        (b'"Call me" <tel:+49-30-(12).3;phone-context=x>', b"+4930123", b"+4930123"),
        (b"<urn:service:sos>", b"service:sos", b"service:sos"),
        (b"<http://example.com/x;y>", b"//example.com/x", b"//example.com/x"),
        (b"\r\n\t<sip:8005@h>\r\n ;tag=1", b"8005", b"8005@h"),
    ],
)
def test_an_address_of_record_is_the_user_as_meant(raw: bytes, plain: bytes, full: bytes) -> None:
    assert aor(raw, with_domain=False) == plain
    assert aor(raw, with_domain=True) == full


def test_what_is_no_address_has_no_address_of_record() -> None:
    with pytest.raises(SipError):
        aor(b"<sip:8005", with_domain=False)


@pytest.mark.parametrize(("uri", "expected"), [("tel:+49-30", b"+4930"), ("urn:service:sos", b"service:sos")])
def test_a_number_is_the_key_of_a_telephone_uri(uri: str, expected: bytes) -> None:
    assert key(snapshot(Kind.AOR), request(uri=uri)) == expected
    assert key(snapshot(Kind.REQUEST_URI), request(uri=uri)) == expected


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in (Kind.ROUND_ROBIN, Kind.RANDOM)])
def test_a_keyed_choice_needs_no_memory_and_no_chance(kind: Kind) -> None:
    world = snapshot(kind, "X-Account" if kind is Kind.HEADER else "")
    came = received(FULL)
    found = {dispatch(world, came, came.request.uri, forget, Chance(turn, turn * 77), idle) for turn in range(20)}
    assert len(found) == 1


@pytest.mark.parametrize(
    ("kind", "field"),
    [(Kind.CALL_ID, "call_id"), (Kind.WEIGHT, "call_id"), (Kind.FROM, "from_"), (Kind.TO, "to"), (Kind.AOR, "uri")],
)
def test_keys_spread_over_the_servers(kind: Kind, field: str) -> None:
    here = Node(snapshot(kind))
    values = (f"<sip:{number}@h>" if field in ("from_", "to") else f"sip:{number}@h" for number in range(100))
    pieces = ({"call_id": f"c{number}", field: value} for number, value in enumerate(values))
    assert set(choices(here, (request(**piece) for piece in pieces))) == set(SERVERS)  # type: ignore[arg-type]


def test_round_robin_goes_round_and_random_does_not_hang_on_the_message() -> None:
    here = Node(snapshot(Kind.ROUND_ROBIN))
    turns = choices(here, (request(call_id=f"c{number}") for number in range(16)))
    assert turns == [*SERVERS, *SERVERS]
    came = received(request())
    world = snapshot(Kind.RANDOM)
    numbers = (number * 0x9E3779B97F4A7C15 % 2**64 for number in range(200))
    found = [dispatch(world, came, came.request.uri, forget, Chance(0, number), idle) for number in numbers]
    assert {chosen.address for chosen in found if chosen} == set(SERVERS)


# REGISTER


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.PRIORITY])  # there all keys are alike
def test_a_registration_is_keyed_on_its_address_of_record_always(kind: Kind) -> None:
    """The second REGISTER has credentials, and from some phones another Call-ID."""
    found = set()
    for user in range(40):
        here = Node(snapshot(kind, "X-Account" if kind is Kind.HEADER else ""))
        to = f'"x{user}" <sip:{user}@192.0.2.1>'
        first = request("REGISTER", "sip:192.0.2.1", to=to, from_=to, call_id=f"a{user}")
        credentials = f'Authorization: Digest username="someone{user}"'
        again = request(
            "REGISTER", "sip:192.0.2.1", to=f"<sip:{user}@Example.com>", from_=to, call_id=f"b{user}", cseq=2,
            extra=(credentials, "X-Account: 5"),
        )  # fmt: skip
        here.turn = user
        one = here.forward(first, PHONE)[1]
        here.turn = 5 * user + 3
        other = here.forward(again, PHONE)[1]
        assert one.address == other.address
        assert one.remember is other.remember is None
        found.add(one.address)
    assert len(found) == len(SERVERS)


def test_chance_has_no_part_in_a_registration() -> None:
    came = received(request("REGISTER", "sip:192.0.2.1"))
    for kind in (Kind.RANDOM, Kind.ROUND_ROBIN):
        found = {
            dispatch(snapshot(kind), came, came.request.uri, forget, Chance(turn, turn * 2**60), idle)
            for turn in range(16)
        }
        assert len(found) == 1


def test_a_call_finds_the_server_of_the_registration() -> None:
    here = Node(snapshot(Kind.AOR))
    for user in range(30):
        register = request("REGISTER", "sip:192.0.2.1", to=f"<sip:{user}@example.com>", call_id=f"r{user}")
        call = request(uri=f"sip:{user};transport=udp@192.0.2.1", call_id=f"c{user}")
        assert len(set(choices(here, (register, call)))) == 1


def test_a_registration_follows_no_recent_choice() -> None:
    here = Node(snapshot(Kind.WEIGHT))
    for number in range(20):
        register = request("REGISTER", "sip:192.0.2.1", to=f"<sip:{number}@h>", call_id=f"c{number}")
        expected = Node(here.snapshot).forward(register, PHONE)[1].address
        here.forward(request(call_id=f"c{number}"), PHONE)
        assert here.forward(register, PHONE)[1].address == expected


def test_a_registration_at_a_named_server_goes_there() -> None:
    here = Node(snapshot(Kind.WEIGHT))
    for server in SERVERS:
        assert here.forward(request("REGISTER", f"sip:{server[0]}"), PHONE)[1].address == server
