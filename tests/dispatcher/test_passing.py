"""What changes in a request that is passed on, and does nothing else?"""

from __future__ import annotations

import re
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher.algorithm import DEFAULT
from dispatcher.listener import Listener
from dispatcher.outcome import Refusal
from dispatcher.snapshot import Policy
from dispatcher.token import read_token, tag_hash
from sip.message import Message
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
    reply_to,
    request,
    set_up,
    values,
)

TWO = (VIP, Listener("udp", ("192.0.2.2", 5080), ("sip.example.net", 5060)))
CORE6 = ("2001:db8:c::1", 5060)


def node(
    *addresses: tuple[str, int], rewrite_host: bool = False, listeners: tuple[Listener, ...] = (VIP, VIP6)
) -> Node:
    policy = Policy(algorithm=DEFAULT, rewrite_host=rewrite_host)
    return Node(make_snapshot(*(addresses or (SERVER_A,)), policy=policy, listeners=listeners))


def lines(message: Message) -> list[str]:
    return [line.decode() for line in message.lines]


# Via


def test_our_via_goes_on_top_with_a_branch_and_a_mark() -> None:
    message, _ = node().forward(request(), PHONE)
    assert re.fullmatch(
        r"Via: SIP/2\.0/UDP 192\.0\.2\.1:5060;branch=z9hG4bK[0-9a-f]{16};rport;l=[0-9a-f]{8};t=0000", lines(message)[0]
    )
    assert values(message, "via")[1].startswith("SIP/2.0/UDP 198.51.100.7:40001;branch=z9hG4bK-1")


@pytest.mark.parametrize(
    "filled",
    [
        "branch={branch};rport=5060;received=192.0.2.1;{mark}",
        "rport=5060;received=192.0.2.1;branch={branch};{mark}",
        "branch={branch};received=192.0.2.1;rport=5060;{mark}",
        "branch={branch};rport=5060;{mark};received=192.0.2.1",
        "branch={branch};rport;{mark}",
    ],
)
def test_a_reply_is_ours_however_the_server_fills_in_rport(filled: str) -> None:
    here = node()
    message, forward = here.forward(request(), PHONE)
    own = values(message, "via")[0]
    head, branch, _, *marks = own.split(";")
    via = f"{head};{filled.format(branch=branch.removeprefix('branch='), mark=';'.join(marks))}"
    reply = reply_to(message).replace(own.encode(), via.encode())
    here.now += 0.25
    back = here.forward(reply, forward.address)[1]
    assert (back.address, back.elapsed) == (PHONE, 0.25)


def test_a_retransmission_leaves_under_the_same_branch_at_another_moment() -> None:
    here = node()
    first = lines(here.forward(request(), PHONE)[0])[0]
    here.now = 0.5
    again, _ = here.forward(request(), PHONE)
    assert first.endswith(";t=0000")
    assert lines(again)[0] == first.removesuffix("0000") + "00dw"


def test_our_via_names_the_listener_that_the_request_leaves_by_and_marks_the_other() -> None:
    message, forward = node(CORE6).forward(request(), PHONE)
    via = lines(message)[0]
    assert forward.listener == 1
    assert via.startswith("Via: SIP/2.0/UDP [2001:db8::1]:5060;branch=")
    assert via.endswith(f";i={zlib.crc32(b'192.0.2.1:5060'):08x}")


def test_our_via_has_the_advertised_name() -> None:
    message, _ = node(listeners=TWO[1:]).forward(request(), PHONE)
    assert lines(message)[0].startswith("Via: SIP/2.0/UDP sip.example.net:5060;branch=")


# Record-Route and Path


@pytest.mark.parametrize("method", ["INVITE", "SUBSCRIBE", "REFER", "NOTIFY"])
def test_what_can_create_a_dialog_gets_a_record_route(method: str) -> None:
    message, _ = node().forward(request(method, extra=("Record-Route: <sip:203.0.113.1;lr>",)), PHONE)
    own, theirs = values(message, "record-route")
    assert theirs == "<sip:203.0.113.1;lr>"
    found = re.fullmatch(r"<sip:([A-Za-z0-9_-]{32})@192\.0\.2\.1:5060;lr>", own)
    assert found is not None
    claims, place = read_token(found[1].encode(), (KEY,), (VIP.sent_by,)) or (None, None)
    assert claims is not None
    assert (claims.edge, claims.core, place) == (PHONE, SERVER_A, 0)
    assert (claims.behind_nat, claims.creator_is_core, claims.is_path, claims.transport) == (False, False, False, "udp")
    assert claims.creator_tag == tag_hash(b"from-tag")


@pytest.mark.parametrize(
    "method", ["ACK", "BYE", "CANCEL", "OPTIONS", "MESSAGE", "INFO", "UPDATE", "PRACK", "PUBLISH", "REGISTER", "invite"]
)
def test_what_creates_no_dialog_gets_no_record_route(method: str) -> None:
    message, _ = node().forward(request(method), PHONE)
    assert values(message, "record-route") == []
    assert bool(values(message, "path")) is (method == "REGISTER")


def test_a_registration_gets_a_path_that_points_to_the_phone() -> None:
    message, _ = node().forward(request("REGISTER", via="192.168.1.5", extra=("Path: <sip:203.0.113.1;lr>",)), PHONE)
    own, theirs = values(message, "path")
    assert theirs == "<sip:203.0.113.1;lr>"
    token = own.removeprefix("<sip:").partition("@")[0]
    claims, _ = read_token(token.encode(), (KEY,), (VIP.sent_by,)) or (None, None)
    assert claims is not None
    assert (claims.edge, claims.behind_nat, claims.is_path) == (PHONE, True, True)


@pytest.mark.parametrize(
    ("field", "added"),
    [
        ((), True),
        (("Supported: replaces, timer",), True),
        (("Supported: pathology",), True),
        (("Supported:",), True),
        (("Supported: path",), False),
        (("Supported: replaces,\r\n PATH , timer",), False),
        (("k: timer", "k: path"), False),
    ],
)
def test_supported_path_is_said_for_a_phone_that_does_not(field: tuple[str, ...], *, added: bool) -> None:
    message, _ = node().forward(request("REGISTER", extra=field), PHONE)
    assert ("Supported: path" in lines(message)[:4]) is added


def test_a_registration_that_the_core_sends_out_gets_no_path() -> None:
    message, _ = node().forward(request("REGISTER", "sip:203.0.113.20"), SERVER_A)
    assert (values(message, "path"), values(message, "supported")) == ([], [])


def test_two_record_routes_where_the_sides_know_us_by_different_addresses() -> None:
    message, _ = node(CORE6).forward(request(), PHONE)
    top, below = values(message, "record-route")
    assert top.endswith("@[2001:db8::1]:5060;lr>")
    assert below.endswith("@192.0.2.1:5060;lr>")
    assert top.partition("@")[0] == below.partition("@")[0]
    assert len(top.partition("@")[0]) == len("<sip:") + 48


def test_path_is_written_for_the_side_that_the_core_sees() -> None:
    message, _ = node(CORE6).forward(request("REGISTER"), PHONE)
    (path,) = values(message, "path")
    assert path.endswith("@[2001:db8::1]:5060;lr>")


# Max-Forwards and what is left alone


@pytest.mark.parametrize(
    "written", ["Max-Forwards: 70", "max-forwards:70", "MAX-FORWARDS :  070", "Max-Forwards:\r\n 70"]
)
def test_max_forwards_keeps_its_place_and_its_name(written: str) -> None:
    datagram = request().replace(b"Max-Forwards: 70", written.encode())
    message, _ = node().forward(datagram, PHONE)
    assert lines(message)[3] == written.partition(":")[0] + ": 69"


field_names = st.from_regex(r"[A-Za-z][A-Za-z-]{0,12}", fullmatch=True).map(lambda name: f"X-{name}")
field_values = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_characters="\x7f"), max_size=30)
fields = st.lists(st.builds("{}:{}".format, field_names, field_values), max_size=6)


@settings(max_examples=150, deadline=None)
@given(
    method=st.sampled_from(("INVITE", "BYE", "OPTIONS", "REGISTER", "ACK", "X-NEW")),
    extra=fields,
    body=st.binary(max_size=50),
    source=st.sampled_from((PHONE, SERVER_A)),
)
def test_our_edits_are_the_only_difference(method: str, extra: list[str], body: bytes, source: tuple[str, int]) -> None:
    datagram = request(method, extra=tuple(extra)).replace(b"Content-Length: 0", b"Content-Length: %d" % len(body))
    message, _ = node().forward(datagram + body, source)
    came = [line for line in datagram.split(b"\r\n\r\n")[0].split(b"\r\n") if not line.startswith(b"Via:")]
    left = [
        b"Max-Forwards: 70" if line == b"Max-Forwards: 69" else line
        for line in message.lines
        if not line.startswith((b"Via:", b"Record-Route:", b"Path:", b"Supported: path"))
    ]
    assert [message.start, *left] == came
    assert message.body == body


def test_line_feeds_stay_as_they_came_and_ours_are_whole() -> None:
    datagram = request(extra=("X-A: 1", "Route: <sip:192.0.2.1;lr>, <sip:a;lr>"), body="v=0\n")
    here = node()
    for sent in (datagram.replace(b"\r\n", b"\n"), datagram.replace(b"X-A: 1\r\n", b"X-A: 1\n")):
        message, forward = here.forward(sent, PHONE)
        assert forward.payload.startswith(b"INVITE sip:8006@192.0.2.1 SIP/2.0")
        assert message.body == b"v=0\n"
        assert b"\r\nRecord-Route: " in forward.payload
        assert b"X-A: 1\n" in forward.payload.replace(b"\r\n", b"\n")
        assert values(message, "max-forwards") == ["69"]
        assert values(message, "route") == ["<sip:a;lr>"]


def test_a_strict_next_hop_for_line_feeds() -> None:
    datagram = request(uri="sip:4930@198.51.100.99", extra=("Route: <sip:203.0.113.20>",)).replace(b"\r\n", b"\n")
    message, _ = node().forward(datagram, SERVER_A)
    assert message.start == b"INVITE sip:203.0.113.20 SIP/2.0\r"
    assert values(message, "route") == ["<sip:4930@198.51.100.99>"]


# The next hop


def test_a_strict_router_gets_its_own_uri_and_the_real_one_last() -> None:
    fields = (
        "Route: <sip:192.0.2.1;lr>, <sip:203.0.113.20;x=1>;y=2,<sip:203.0.113.30;lr>",
        "X-Between: 1",
        "Route: <sip:203.0.113.40;lr>",
    )
    message, forward = node().forward(request(uri="sip:4930@198.51.100.99;a=b", extra=fields), SERVER_A)
    assert forward.address == ("203.0.113.20", 5060)
    assert message.uri == b"sip:203.0.113.20;x=1"
    assert values(message, "route") == ["<sip:203.0.113.30;lr>, <sip:203.0.113.40;lr>, <sip:4930@198.51.100.99;a=b>"]
    assert lines(message).index("X-Between: 1") > 0


def test_a_strict_router_alone() -> None:
    message, _ = node().forward(request(uri="tel:4930", extra=("Route: <sip:203.0.113.20>",)), SERVER_A)
    assert (message.uri, values(message, "route")) == (b"sip:203.0.113.20", ["<tel:4930>"])


def test_a_strict_router_within_a_call_is_served_in_both_directions() -> None:
    here = node()
    call = set_up(here, request(extra=("Record-Route: <sip:203.0.113.30>",)), PHONE)
    message, forward = here.forward(call.from_callee(uri="sip:8005@198.51.100.7:40001"), SERVER_A)
    assert forward.address == ("203.0.113.30", 5060)
    assert message.uri == b"sip:203.0.113.30"
    assert values(message, "route") == ["<sip:8005@198.51.100.7:40001>"]
    own = call.record_routes[0]
    message, forward = here.forward(
        call.from_caller(uri="sip:8006@10.0.0.99", extra=(f"Route: {own}, <sip:10.0.0.11>",)), PHONE
    )
    assert forward.address == SERVER_A
    assert (message.uri, values(message, "route")) == (b"sip:10.0.0.11", ["<sip:8006@10.0.0.99>"])


def test_a_loose_router_keeps_the_request_uri() -> None:
    message, _ = node().forward(request(uri="sip:4930@a.example", extra=("Route: <sip:203.0.113.20;lr>",)), SERVER_A)
    assert message.uri == b"sip:4930@a.example"


@pytest.mark.parametrize(
    ("uri", "rewritten"),
    [
        ("sip:8006@192.0.2.1", "sip:8006@10.0.0.11:5060"),
        ("sip:8006:secret@example.com:5070;transport=udp;x", "sip:8006:secret@10.0.0.11:5060;transport=udp;x"),
        ("sip:example.com", "sip:10.0.0.11:5060"),
        ("sip:[2001:db8::1]:5060;a=b%40c", "sip:10.0.0.11:5060;a=b%40c"),
        ("sip:8006@example.com;a=b%40c", "sip:8006@10.0.0.11:5060;a=b%40c"),
        ("SIPS:a;b=c@example.com", "SIPS:a;b=c@10.0.0.11:5060"),
        ("tel:+4930123", "tel:+4930123"),
    ],
)
def test_the_host_is_rewritten_on_request(uri: str, rewritten: str) -> None:
    for method in ("INVITE", "CANCEL", "ACK", "REGISTER"):
        message, _ = node(rewrite_host=True).forward(request(method, uri), PHONE)
        assert message.uri.decode() == rewritten
        message, _ = node().forward(request(method, uri), PHONE)
        assert message.uri.decode() == uri


def test_the_host_is_rewritten_to_ipv6_in_brackets() -> None:
    message, _ = node(CORE6, rewrite_host=True).forward(request(), PHONE)
    assert message.uri == b"sip:8006@[2001:db8:c::1]:5060"


def test_within_a_call_nothing_is_rewritten() -> None:
    here = node(rewrite_host=True)
    call = set_up(here, request(), PHONE)
    message, _ = here.forward(call.from_caller(uri="sip:8006@pbx.internal"), PHONE)
    assert message.uri == b"sip:8006@pbx.internal"
    message, _ = here.forward(request(uri="sip:4930@203.0.113.20"), SERVER_A)
    assert message.uri == b"sip:4930@203.0.113.20"


# Loops


def test_a_loop_is_seen_whenever_it_comes_round() -> None:
    here = node()
    once, _ = here.forward(request(), PHONE)
    here.now = 30.0
    assert here.refusal(again(once), PHONE) == (482, Refusal.LOOP)


def again(message: Message, **swap: bytes) -> bytes:
    """A message that comes back, with some bytes replaced."""
    datagram = message.to_bytes()
    for old, new in swap.items():
        datagram = datagram.replace(old.encode(), new)
    return datagram


def test_a_request_that_comes_back_unchanged_has_looped() -> None:
    here = node()
    once, _ = here.forward(request(), PHONE)
    assert here.refusal(again(once), PHONE) == (482, Refusal.LOOP)
    assert node().refusal(again(once), PHONE) == (482, Refusal.LOOP)  # any node with the secret
    through = b"Via: SIP/2.0/UDP 203.0.113.1;branch=z9hG4bK-x\r\n"
    datagram = again(once).replace(b"Via: ", through + b"Via: ", 1)
    assert here.refusal(datagram, ("203.0.113.1", 5060)) == (482, Refusal.LOOP)


def test_all_vias_in_one_line_show_a_loop_too() -> None:
    here = node()
    once, _ = here.forward(request(), PHONE)
    datagram = once.to_bytes().replace(b"\r\nVia: ", b", ").replace(b", SIP/2.0", b"\r\nVia: SIP/2.0", 1)
    stack = b"Via: " + ", ".join(values(once, "via")).encode()
    rest = b"\r\n".join(line for line in datagram.split(b"\r\n") if not line.startswith((b"Via:", b"Record-Route:")))
    start, _, tail = rest.partition(b"\r\n")
    assert here.refusal(start + b"\r\n" + stack + b"\r\n" + tail, PHONE) == (482, Refusal.LOOP)


@pytest.mark.parametrize("method", ["ACK", "CANCEL"])
def test_a_loop_of_ack_or_cancel_ends_without_an_answer(method: str) -> None:
    here = node()
    once, _ = here.forward(request(method), PHONE)
    here.drop(again(once), PHONE)


def test_a_spiral_is_no_loop() -> None:
    """A server that changes the Request-URI, or sends from the other side, may come by again."""
    here = node()
    once, _ = here.forward(request(), PHONE)
    twice, _ = here.forward(again(once), SERVER_A)  # the same from the core
    assert here.refusal(again(twice), SERVER_A) == (482, Refusal.LOOP)
    here.forward(again(once).replace(b"INVITE sip:8006@", b"INVITE sip:8007@"), PHONE)
    here.forward(again(once).replace(b"Max-Forwards", b"Route: <sip:203.0.113.1;lr>\r\nMax-Forwards"), PHONE)


def test_popped_routes_make_no_difference_for_a_loop() -> None:
    here = node()
    once, _ = here.forward(request(), PHONE)
    datagram = again(once).replace(b"Max-Forwards", b"Route: <sip:192.0.2.1;lr>\r\nMax-Forwards")
    assert here.refusal(datagram, PHONE) == (482, Refusal.LOOP)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"branch=z9hG4bK", b"branch=z9hG4bKf"),
        (b";branch=z9hG4bK", b";branch=00hG4bK"),
        (b";branch=z9hG4bK", b";branch="),
        (b"Call-ID: call-1@phone", b"Call-ID: call-2@phone"),
        (b"rport=40001;received=198.51.100.7", b"rport=40002;received=198.51.100.7"),
        (b";branch=z9hG4bK-1;rport=40001;received=198.51.100.7", b";branch=z9hG4bK-2"),
        (
            b"SIP/2.0/UDP 198.51.100.7:40001;branch=z9hG4bK-1;rport=40001;received=198.51.100.7",
            b"SIP/2.0/UDP a;branch=1",
        ),
        (b"SIP/2.0/UDP 198.51.100.7:40001;branch=z9hG4bK-1;rport=40001", b"nonsense"),
    ],
)
def test_a_mark_that_is_not_ours_stops_nothing(old: bytes, new: bytes) -> None:
    here = node()
    once, _ = here.forward(request(), PHONE)
    datagram = again(once)
    assert old in datagram
    here.forward(datagram.replace(old, new, 1), PHONE)


def test_a_mark_under_a_foreign_secret_stops_nothing() -> None:
    once, _ = node().forward(request(), PHONE)
    other = Node(make_snapshot(SERVER_A, keys=(OTHER_KEY,)))
    other.forward(again(once), PHONE)
    rotated = Node(make_snapshot(SERVER_A, keys=(OTHER_KEY, KEY)))
    assert rotated.refusal(again(once), PHONE) == (482, Refusal.LOOP)


def test_the_mark_alone_in_a_single_via_stops_nothing() -> None:
    once, _ = node().forward(request(), PHONE)
    mark = values(once, "via")[0].split(";")[3]
    assert mark.startswith("l=")
    node().forward(request(via_params=f";rport;{mark}"), PHONE)
    node().forward(request(via_params=f";{mark}", extra=(f"Via: SIP/2.0/UDP 1.2.3.4;branch=z9hG4bK;{mark}",)), PHONE)


def test_what_stands_below_the_top_via_need_not_be_readable() -> None:
    message, _ = node().forward(request(extra=("Via: SIP/2.0/UDP a b c", "Via: ;;;")), PHONE)
    assert values(message, "via")[2:] == ["SIP/2.0/UDP a b c", ";;;"]


def test_the_two_servers_of_a_loop_end_it_by_max_forwards() -> None:
    """A proxy that changes the Request-URI each time is stopped by the count alone."""
    here = node(SERVER_A, SERVER_B)
    datagram = request(max_forwards=3)
    for count in (2, 1, 0):
        message, forward = here.forward(datagram.replace(b"INVITE sip:", b"INVITE sip:%d" % count, 1), PHONE)
        datagram = message.to_bytes()
        assert forward.address in (SERVER_A, SERVER_B)
    assert here.refusal(datagram, PHONE) == (483, Refusal.TOO_MANY_HOPS)
