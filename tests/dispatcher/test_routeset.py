"""Which Routes are ours, what did their token say, and what is left (RFC 3261 16.4)?"""

from __future__ import annotations

import pytest

from dispatcher.algorithm import DEFAULT
from dispatcher.listener import Listener
from dispatcher.outcome import Refusal, Resolve
from dispatcher.routeset import NameNeeded, RouteSet, has_loose_routing, is_ours, take_routes
from dispatcher.snapshot import Names, Policy
from dispatcher.token import Claims, tag_hash, write_token
from sip.message import Message
from sip.request import read_request
from sip.uri import parse_uri
from tests.dispatcher.world import (
    KEY,
    OTHER_KEY,
    PHONE,
    SERVER_A,
    SERVER_B,
    VIP,
    VIP6,
    Node,
    make_snapshot,
    nobody,
    request,
    values,
)

NAMED = Listener("udp", ("192.0.2.2", 5080), ("sip.example.net", 5060))
SNAPSHOT = make_snapshot(
    SERVER_A,
    SERVER_B,
    listeners=(VIP, NAMED, VIP6),
    policy=Policy(algorithm=DEFAULT, domains=frozenset(("example.com",))),
)
CLAIMS = Claims(PHONE, SERVER_A, behind_nat=True, creator_is_core=False, creator_tag=tag_hash(b"from-tag"))
OTHER_CLAIMS = Claims(("203.0.113.9", 5060), SERVER_B, behind_nat=False, creator_is_core=True, creator_tag=2)
TOKEN = write_token(CLAIMS, KEY, VIP.sent_by).decode()
OTHER_TOKEN = write_token(OTHER_CLAIMS, KEY, NAMED.sent_by).decode()
FORGED = write_token(CLAIMS, OTHER_KEY, VIP.sent_by).decode()


def taken(*fields: str, uri: str = "sip:8006@10.0.0.11", names: Names | None = None) -> RouteSet:
    return take_routes(SNAPSHOT, read_request(Message.parse(request(uri=uri, extra=fields))), names)


def left(*fields: str) -> list[bytes]:
    return list(taken(*fields).uris)


def test_without_a_route_nothing_is_left_and_nothing_edited() -> None:
    found = taken()
    assert found == RouteSet((), parse_uri(b"sip:8006@10.0.0.11"), b"sip:8006@10.0.0.11", {})
    assert found.claims is None
    assert found.leave_by is None


@pytest.mark.parametrize(
    "own",
    [
        "sip:192.0.2.1",
        "sip:192.0.2.1;lr",
        "sip:192.0.2.1:5060;lr=on",
        "sip:anyone@192.0.2.1;lr",
        "sip:192.0.2.1;lr;transport=udp",
        "sip:192.0.2.2:5080;lr",
        "sip:Sip.Example.Net;lr",
        "sip:example.com;lr",
        "sip:[2001:db8:0::1]:5060;lr",
        f"sip:{FORGED}@192.0.2.1;lr",
        f"sip:{TOKEN[:-1]}A@192.0.2.1;lr",
    ],
)
def test_ours_without_a_valid_token_counts_as_none(own: str) -> None:
    found = taken(f"Route: <{own}>")
    assert (found.uris, found.claims) == ((), None)
    assert list(found.edits.values()) == [None]


@pytest.mark.parametrize(
    "foreign",
    [
        "sip:192.0.2.1:5080;lr",
        "sip:192.0.2.9;lr",
        "sip:192.0.2.1;lr;maddr=192.0.2.9",
        f"sip:{TOKEN}@192.0.2.9;lr",
        "tel:123",
        "sip:192.0.2.1:0;lr",
    ],
)
def test_what_is_not_ours_stays(foreign: str) -> None:
    found = taken(f"Route: <{foreign}>")
    assert (found.uris, found.claims, found.edits) == ((foreign.encode(),), None, {})


def test_a_token_tells_who_is_at_the_ends() -> None:
    found = taken(f"Route: <sip:{TOKEN}@192.0.2.1;lr>")
    assert (found.claims, found.edge_listener, found.leave_by) == (CLAIMS, 0, 0)


def test_every_topmost_route_of_ours_with_one_token_is_popped() -> None:
    found = taken(
        f"Route: <sip:192.0.2.1;lr>, <sip:{OTHER_TOKEN}@192.0.2.1;lr>",
        f"Route: <sip:{FORGED}@192.0.2.1;lr>, <sip:{OTHER_TOKEN}@sip.example.net;lr>",
        "Route: <sip:example.com>, <sip:203.0.113.1;lr>",
        f"Route: <sip:{TOKEN}@192.0.2.1;lr>",
    )
    assert found.uris == (b"sip:203.0.113.1;lr", f"sip:{TOKEN}@192.0.2.1;lr".encode())
    assert (found.claims, found.edge_listener, found.leave_by) == (OTHER_CLAIMS, 1, 1)
    assert found.start == 5


def test_another_token_is_of_another_pass_through_us_and_stays() -> None:
    found = taken(f"Route: <sip:{TOKEN}@192.0.2.1;lr>, <sip:192.0.2.1;lr>, <sip:{OTHER_TOKEN}@sip.example.net;lr>")
    assert found.uris == (f"sip:{OTHER_TOKEN}@sip.example.net;lr".encode(),)
    assert (found.claims, found.edge_listener, found.leave_by) == (CLAIMS, 0, 0)
    found = taken(f"Route: <sip:{OTHER_TOKEN}@sip.example.net;lr>, <sip:8006@10.0.0.12>", uri=f"sip:{TOKEN}@192.0.2.1")
    assert found.uris == (f"sip:{OTHER_TOKEN}@sip.example.net;lr".encode(),)
    assert (found.claims, found.uri_text) == (CLAIMS, b"sip:8006@10.0.0.12")


def test_below_a_token_nothing_is_looked_up() -> None:
    """What of it is ours we have written ourselves, and what others recorded may be any name."""
    found = taken(f"Route: <sip:{TOKEN}@192.0.2.1;lr>, <sip:who.example.org;lr>", names=nobody)
    assert found.uris == (b"sip:who.example.org;lr",)


def test_with_double_record_route_the_last_of_ours_names_the_side_to_leave_by() -> None:
    found = taken(f"Route: <sip:{TOKEN}@192.0.2.1;lr>, <sip:{TOKEN}@[2001:db8::1]:5060;lr>")
    assert (found.claims, found.edge_listener, found.leave_by) == (CLAIMS, 0, 2)


def test_a_token_under_one_of_our_domains_names_no_listener() -> None:
    found = taken(f"Route: <sip:{TOKEN}@example.com;lr>")
    assert (found.claims, found.edge_listener, found.leave_by) == (CLAIMS, 0, None)


def test_a_foreign_route_on_top_hides_ours_below_it() -> None:
    found = taken("Route: <sip:203.0.113.1;lr>", f"Route: <sip:{TOKEN}@192.0.2.1;lr>")
    assert len(found.uris) == 2
    assert (found.claims, found.edits) == (None, {})


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (("Route: <sip:192.0.2.1;lr>",), []),
        (("Route: <sip:192.0.2.1;lr>, <sip:a;lr>",), ["Route: <sip:a;lr>"]),
        (("Route:<sip:192.0.2.1;lr>,<sip:a;lr> , <sip:b;lr>",), ["Route: <sip:a;lr> , <sip:b;lr>"]),
        (("Route: <sip:192.0.2.1;lr>", "Route: <sip:a;lr>"), ["Route: <sip:a;lr>"]),
        (("Route: <sip:192.0.2.1;lr>,\r\n <sip:a;lr>",), ["Route: <sip:a;lr>"]),
        (('ROUTE: "a,b" <sip:192.0.2.1;lr>, "c,d" <sip:a;lr>;x',), ['ROUTE: "c,d" <sip:a;lr>;x']),
        (("Route: <sip:a;lr>",), ["Route: <sip:a;lr>"]),
    ],
)
def test_what_is_left_leaves_as_it_was_written(fields: tuple[str, ...], expected: list[str]) -> None:
    message, _ = Node(SNAPSHOT).forward(request(extra=fields), PHONE)
    lines = [line.decode() for name, line in zip(message.names, message.lines, strict=True) if name == b"route"]
    assert lines == expected


def test_a_strict_router_has_put_our_record_route_into_the_request_uri() -> None:
    found = taken("Route: <sip:203.0.113.1;lr>, <sip:8006@10.0.0.12:5070>", uri=f"sip:{TOKEN}@192.0.2.1:5060;lr")
    assert found.uris == (b"sip:203.0.113.1;lr",)
    assert found.uri_text == b"sip:8006@10.0.0.12:5070"
    assert found.uri == parse_uri(b"sip:8006@10.0.0.12:5070")
    assert (found.claims, found.edge_listener, found.leave_by) == (CLAIMS, 0, 0)


def test_the_repaired_request_leaves_with_the_real_request_uri() -> None:
    own = f"sip:{TOKEN}@192.0.2.1:5060;lr"
    message, forward = Node(SNAPSHOT).forward(
        request(uri=own, extra=("Route: <sip:203.0.113.1;lr>, <sip:8006@10.0.0.12>",)), PHONE
    )
    assert message.start == b"INVITE sip:8006@10.0.0.12 SIP/2.0"
    assert values(message, "route") == ["<sip:203.0.113.1;lr>"]
    assert forward.address == SERVER_A  # the token's core end: 203.0.113.1 is not listed


def test_strict_routing_through_both_of_a_double_record_route() -> None:
    found = taken(
        f"Route: <sip:{TOKEN}@sip.example.net;lr>, <sip:8006@10.0.0.12>", uri=f"sip:{TOKEN}@192.0.2.1:5060;lr"
    )
    assert (found.uris, found.uri_text, found.leave_by) == ((), b"sip:8006@10.0.0.12", 1)


@pytest.mark.parametrize("uri", ["sip:8006@192.0.2.1", f"sip:{FORGED}@192.0.2.1", f"sip:{TOKEN}@203.0.113.1"])
def test_a_request_uri_without_our_token_is_no_record_route(uri: str) -> None:
    found = taken("Route: <sip:203.0.113.1;lr>, <sip:8006@10.0.0.12>", uri=uri)
    assert found.uri_text == uri.encode()
    assert len(found.uris) == 2


def test_a_request_uri_with_our_token_but_without_a_route_is_no_record_route() -> None:
    found = taken(uri=f"sip:{TOKEN}@192.0.2.1")
    assert found.claims is None


@pytest.mark.parametrize(("last", "status"), [("http:x", 416), ("sip:a@b?Subject=x", 400), ("sip:", 400)])
def test_what_a_strict_router_leaves_last_must_be_a_request_uri(last: str, status: int) -> None:
    datagram = request(uri=f"sip:{TOKEN}@192.0.2.1", extra=(f"Route: <{last}>",))
    code, refusal = Node(SNAPSHOT).refusal(datagram, PHONE)
    assert code == status
    assert refusal in (Refusal.SCHEME, Refusal.BAD_REQUEST)


def test_a_telephone_number_may_be_what_a_strict_router_leaves_last() -> None:
    found = taken("Route: <tel:+4930123>", uri=f"sip:{TOKEN}@192.0.2.1")
    assert (found.uri, found.uri_text, found.uris) == (None, b"tel:+4930123", ())


# Names


def known(host: str, port: int | None, transport: str) -> tuple[tuple[str, int], ...] | None:
    assert (port, transport) == (None, "udp")
    return {"vip.example.org": (SERVER_B, VIP.address), "pbx.example.org": (SERVER_B,), "no.example.org": ()}.get(host)


def test_a_name_that_resolves_to_a_listener_is_ours_for_the_core() -> None:
    fields = (f"Route: <sip:{TOKEN}@vip.example.org;lr>", "Route: <sip:pbx.example.org;lr>")
    found = taken(*fields, names=known)
    assert (found.claims, found.uris) == (CLAIMS, (b"sip:pbx.example.org;lr",))
    assert taken(*fields).claims is None
    assert taken("Route: <sip:no.example.org;lr>", names=known).uris == (b"sip:no.example.org;lr",)


def test_a_name_that_nobody_has_looked_up_is_asked_for() -> None:
    with pytest.raises(NameNeeded) as needed:
        taken("Route: <sip:who.example.org:5070;transport=tcp;lr>", names=nobody)
    assert (needed.value.host, needed.value.port, needed.value.transport) == ("who.example.org", 5070, "tcp")
    outcome = Node(SNAPSHOT).take(request(extra=("Route: <sip:who.example.org;lr>",)), SERVER_A)
    assert outcome == Resolve("who.example.org", None, "udp")


def test_nothing_is_looked_up_for_numbers_and_own_names() -> None:
    for uri in (b"sip:192.0.2.9", b"sip:[2001:db8::9]", b"sip:example.com", b"sip:192.0.2.1"):
        is_ours(SNAPSHOT, parse_uri(uri), nobody)


def test_maddr_says_that_the_target_is_elsewhere() -> None:
    assert not is_ours(SNAPSHOT, parse_uri(b"sip:192.0.2.1;maddr=192.0.2.9"), nobody)


@pytest.mark.parametrize(
    ("uri", "loose"), [(b"sip:a;lr", True), (b"sip:a;LR=on", True), (b"sip:a", False), (b"sip:lr@a;x=lr", False)]
)
def test_lr_marks_a_loose_router(uri: bytes, *, loose: bool) -> None:
    assert has_loose_routing(uri) is loose


def test_what_cannot_be_read_is_left_alone() -> None:
    assert has_loose_routing(b"tel:123")
