"""Do replies go where their request came from, and nowhere else?"""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher.branch import mac, transaction_below
from dispatcher.keyed import BRANCH, TO_TAG
from dispatcher.listener import Listener
from dispatcher.outcome import Drop, DropReason, Forward
from sip.message import Message
from sip.uri import Address
from sip.via import parse_via
from tests.dispatcher.world import (
    KEY,
    OTHER_KEY,
    PHONE,
    SERVER_A,
    VIP,
    VIP6,
    Node,
    make_snapshot,
    reply_to,
    request,
    values,
    with_vias,
)

OWN_ADDRESS = Listener("udp", ("192.0.2.2", 5080))
CORE6: Address = ("2001:db8:c::1", 5060)


def node(*addresses: Address, listeners: tuple[Listener, ...] = (VIP,)) -> Node:
    return Node(make_snapshot(*(addresses or (SERVER_A,)), listeners=listeners))


def answered(here: Node, datagram: bytes | None = None, source: Address = PHONE) -> bytes:
    """The reply of the server to a request that has been passed on."""
    message, _ = here.forward(datagram or request(), source)
    return reply_to(message)


# What passes


@pytest.mark.parametrize("status", ["100 Trying", "180 Ringing", "200 OK", "302 Moved", "486 Busy", "699 x"])
def test_a_reply_goes_back_without_our_via(status: str) -> None:
    here = node()
    message, forward = here.forward(request(), PHONE)
    back, outcome = here.forward(reply_to(message, status), forward.address)
    assert outcome.address == PHONE
    assert outcome.status == int(status[:3])
    assert outcome.destination == 0
    assert back.start == f"SIP/2.0 {status}".encode()
    assert values(back, "via") == values(message, "via")[1:]
    assert values(back, "record-route") == values(message, "record-route")


def test_everything_but_our_via_leaves_byte_for_byte() -> None:
    here = node()
    reply = answered(here)
    _, outcome = here.forward(reply, SERVER_A)
    _, via, rest = re.split(rb"(?<=OK\r\n)(Via: [^\r]*\r\n)", reply, maxsplit=1)
    assert via.startswith(b"Via: SIP/2.0/UDP 192.0.2.1")
    assert outcome.payload == b"SIP/2.0 200 OK\r\n" + rest


def test_a_reply_from_an_address_that_is_not_in_the_list_passes() -> None:
    """A server may have several addresses; the branch says that it got the request."""
    here = node()
    _, outcome = here.forward(answered(here), ("10.9.9.9", 1))
    assert (outcome.address, outcome.destination) == (PHONE, None)


def test_a_body_is_cut_to_its_length() -> None:
    here = node()
    reply = answered(here).replace(b"Content-Length: 0", b"Content-Length: 5")
    back, _ = here.forward(reply + b"v=0\r\ntrailing", SERVER_A)
    assert back.body == b"v=0\r\n"
    assert here.drop(reply + b"v=0", SERVER_A) is DropReason.SHORT


@pytest.mark.parametrize("length", [b"-1", b"x", b"", b"1" * 30])
def test_a_length_that_is_no_number_is_malformed(length: bytes) -> None:
    here = node()
    reply = answered(here).replace(b"Content-Length: 0", b"Content-Length: " + length)
    assert here.drop(reply, SERVER_A) is DropReason.MALFORMED_REPLY


@pytest.mark.parametrize(
    "printed",
    [
        "SIP/2.0/UDP 198.51.100.7:40001;rport=40001;received=198.51.100.7;branch=z9hG4bK-1",
        "SIP/2.0/UDP 198.51.100.7:40001;received=198.51.100.7;branch=z9hG4bK-1;rport=40001",
        "sip / 2.0 / udp 198.51.100.7 : 40001 ; Branch=z9hG4bK-1 ; Rport=40001 ; RECEIVED=198.51.100.7",
        "SIP/2.0/UDP 198.51.100.7:40001;branch=z9hG4bK-1;rport=40001;received=198.51.100.7;added=x",
    ],
)
def test_a_server_may_print_the_via_in_another_way(printed: str) -> None:
    here = node()
    message, _ = here.forward(request(), PHONE)
    own = values(message, "via")[0]
    address, _, params = own.partition(";")
    shuffled = ";".join((address, *reversed(params.split(";"))))
    for top in (own, shuffled, own.replace("SIP/2.0/UDP", "SIP / 2.0 / udp")):
        _, outcome = here.forward(with_vias(reply_to(message), top, printed), SERVER_A)
        assert outcome.address == PHONE


def test_a_server_may_print_host_number_and_blanks_in_another_way() -> None:
    here = node()
    datagram = request(via="Phone.Example.COM", call_id="a  ", cseq_method="INVITE").replace(b"CSeq: 1", b"CSeq: 0009")
    reply = answered(here, datagram)
    printed = (
        reply.replace(b"Phone.Example.COM", b"phone.example.com:5060")
        .replace(b"CSeq: 0009 INVITE", b"CSeq: 9  INVITE")
        .replace(b"Call-ID: a  ", b"i:a")
    )
    assert printed != reply
    assert here.forward(printed, SERVER_A)[1].address == PHONE


def test_all_vias_may_stand_in_one_line() -> None:
    here = node()
    message, _ = here.forward(request(extra=("Via: SIP/2.0/UDP 203.0.113.5;branch=z9hG4bK-0",)), PHONE)
    own, top, below = values(message, "via")
    for vias, left in (
        ((f"{own}, {top},{below}",), [f"{top},{below}"]),
        ((f"{own},{top}", below), [top, below]),
        ((own, f"{top} , {below}"), [f"{top} , {below}"]),
        ((f"{own},\r\n {top}", below), [top, below]),
    ):
        back, outcome = here.forward(with_vias(reply_to(message), *vias), SERVER_A)
        assert values(back, "via") == left
        assert outcome.address == PHONE


def test_line_feeds_are_enough() -> None:
    here = node()
    message, _ = here.forward(request().replace(b"\r\n", b"\n"), PHONE)
    reply = reply_to(message).replace(b"\r\n", b"\n")
    back, outcome = here.forward(reply, SERVER_A)
    assert outcome.address == PHONE
    assert values(back, "via")[0].startswith("SIP/2.0/UDP 198.51.100.7:40001")
    assert values(back, "cseq") == ["1 INVITE"]


def test_compact_names_are_enough() -> None:
    here = node()
    reply = answered(here).replace(b"Via:", b"v:").replace(b"From:", b"f:").replace(b"Call-ID:", b"i:")
    assert here.forward(reply, SERVER_A)[1].address == PHONE


def test_a_via_whose_sent_by_is_not_ours_any_more_is_ours_by_its_branch() -> None:
    before = node(listeners=(Listener("udp", VIP.address, ("old.example.net", 5060)),))
    reply = answered(before)
    assert b"old.example.net" in reply
    assert node().forward(reply, SERVER_A)[1].address == PHONE


# What it tells the shell


def test_a_reply_says_how_long_it_took_and_what_it_answers() -> None:
    here = node()
    here.now = 1000.0
    message, forward = here.forward(request("OPTIONS", to_tag="x"), PHONE)
    assert (forward.method, forward.elapsed, forward.expects_answer) == (b"OPTIONS", None, True)
    here.now = 1077.7
    _, back = here.forward(reply_to(message), SERVER_A)
    assert (back.method, back.elapsed, back.expects_answer) == (b"OPTIONS", 77.7, False)


@pytest.mark.parametrize("left", ["", ";t=", ";t=1", ";t=00_0", ";t=0000;t0=1"])
def test_a_reply_without_a_moment_of_ours_says_nothing_of_time(left: str) -> None:
    here = node()
    message, _ = here.forward(request(), PHONE)
    own, top = values(message, "via")
    _, outcome = here.forward(with_vias(reply_to(message), own.replace(";t=0000", left), top), SERVER_A)
    assert outcome.elapsed == (0 if "0000" in left else None)


@pytest.mark.parametrize(
    ("status", "field", "seconds"),
    [
        ("503 Service Unavailable", b"Retry-After: 30 (soon);duration=5\r\n", 30),
        ("503 Service Unavailable", b"Retry-After: soon\r\n", None),
        ("503 Service Unavailable", b"", None),
        ("480 Gone", b"Retry-After: 30\r\n", None),
    ],
)
def test_a_503_says_how_long_its_server_wants_to_be_left_alone(status: str, field: bytes, seconds: int | None) -> None:
    here = node()
    reply = answered(here).replace(b"200 OK", status.encode()).replace(b"Content-Length", field + b"Content-Length")
    assert here.forward(reply, SERVER_A)[1].retry_after == seconds


# By which listener


def test_a_reply_leaves_by_the_listener_that_the_request_arrived_on() -> None:
    here = node(listeners=(VIP, OWN_ADDRESS))
    for arrival in (0, 1):
        message, forward = here.forward(request(), PHONE, arrival)
        assert forward.listener == arrival
        assert here.forward(reply_to(message), SERVER_A, arrival)[1].listener == arrival


def test_our_via_names_the_listener_when_the_request_left_by_another() -> None:
    here = node(CORE6, listeners=(VIP, OWN_ADDRESS, VIP6))
    for arrival in (0, 1):
        message, forward = here.forward(request(), PHONE, arrival)
        assert forward.listener == 2
        back, outcome = here.forward(reply_to(message), CORE6, 2)
        assert (outcome.listener, outcome.address) == (arrival, PHONE)
        assert len(values(back, "via")) == 1


def test_a_listener_that_is_gone_is_replaced_by_one_of_the_family() -> None:
    before = node(CORE6, listeners=(VIP, OWN_ADDRESS, VIP6))
    message, _ = before.forward(request(), PHONE, 1)
    assert node(CORE6, listeners=(VIP, VIP6)).forward(reply_to(message), CORE6, 1)[1].listener == 0
    assert node(CORE6, listeners=(VIP6,)).drop(reply_to(message), CORE6, 0) is DropReason.NO_REPLY_ADDRESS


@pytest.mark.parametrize("mark", [";i=", ";i=00000000", ";i=zz", ";l=i=1", ";i=00000000;l=1"])
def test_a_mark_that_nobody_has_made_chooses_no_listener(mark: str) -> None:
    here = node(listeners=(OWN_ADDRESS, VIP))
    message, _ = here.forward(request(), PHONE, 1)
    own, top = values(message, "via")
    own = own.partition(";l=")[0] + mark
    assert here.forward(with_vias(reply_to(message), own, top), SERVER_A, 1)[1].listener == 1


# What does not pass


@pytest.mark.parametrize("vias", [(), ("",), ("nonsense",), ("SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK0", "nonsense")])
def test_a_stack_that_cannot_be_read_is_malformed(vias: tuple[str, ...]) -> None:
    here = node()
    assert here.drop(with_vias(answered(here), *vias), SERVER_A) is DropReason.MALFORMED_REPLY


def test_a_reply_to_us_is_never_passed_on() -> None:
    here = node()
    message, _ = here.forward(request(), PHONE)
    for via in values(message, "via"):
        assert here.drop(with_vias(reply_to(message), via), SERVER_A) is DropReason.REPLY_TO_US


@pytest.mark.parametrize("name", [b"From", b"To", b"Call-ID", b"CSeq", b"Content-Length"])
def test_what_stands_twice_is_malformed(name: bytes) -> None:
    here = node()
    reply = answered(here)
    line = next(line for line in reply.split(b"\r\n") if line.startswith(name + b":"))
    twice = reply.replace(line, line + b"\r\n" + line)
    assert here.drop(twice, SERVER_A) is DropReason.MALFORMED_REPLY


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Call-ID: call-1@phone\r\n", b""),
        (b"CSeq: 1 INVITE\r\n", b""),
        (b"CSeq: 1 INVITE", b"CSeq: INVITE"),
        (b"From: <sip:8005@192.0.2.1>;tag=from-tag", b"From: <sip:8005"),
        (b"From: <sip:8005@192.0.2.1>;tag=from-tag\r\n", b""),
    ],
)
def test_what_a_branch_hangs_on_must_be_there(old: bytes, new: bytes) -> None:
    here = node()
    reply = answered(here)
    assert old in reply
    assert here.drop(reply.replace(old, new), SERVER_A) in (DropReason.MALFORMED_REPLY, DropReason.REPLY_FORGED)


def test_a_foreign_via_on_top_is_dropped() -> None:
    here = node()
    message, _ = here.forward(request(), PHONE)
    own, top = values(message, "via")
    foreign = "SIP/2.0/UDP 9.9.9.9:5060;branch=z9hG4bK776asdhds"
    for vias in (
        (foreign, top),
        (foreign, own, top),
        (own.split(";")[0], top),
        (own.partition(";")[0] + ";branch=", top),
    ):
        assert here.drop(with_vias(reply_to(message), *vias), SERVER_A) is DropReason.REPLY_FORGED


def test_a_name_below_ours_without_received_leads_nowhere() -> None:
    here = node()
    message, _ = here.forward(request(via="phone.example.com"), PHONE)
    own, top = values(message, "via")
    bare = re.sub(";(received|rport)=[^;]*", "", top)
    assert here.drop(with_vias(reply_to(message), own, bare), SERVER_A) is DropReason.REPLY_FORGED


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("received=198.51.100.7", "received=198.51.100.8"),
        ("received=198.51.100.7", "received=[2001:db8::7]"),
        (";received=198.51.100.7", ""),
        ("rport=40001", "rport=40002"),
        (";rport=40001", ""),
        ("192.168.1.5:5062", "192.168.1.6:5062"),
        ("192.168.1.5:5062", "192.168.1.5"),
        ("branch=z9hG4bK-1", "branch=z9hG4bK-2"),
        ("branch=z9hG4bK-1", "branch=z9hg4bk-1"),
        ("SIP/2.0/UDP", "SIP/2.0/UDP 203.0.113.66;branch=z9hG4bK-1, SIP/2.0/UDP"),
    ],
)
def test_a_genuine_branch_over_another_via_goes_nowhere(old: str, new: str) -> None:
    here = node()
    message, _ = here.forward(request(via="192.168.1.5:5062"), PHONE)
    own, top = values(message, "via")
    assert old in top
    forged = with_vias(reply_to(message), own, top.replace(old, new))
    assert here.drop(forged, SERVER_A) is DropReason.REPLY_FORGED


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Call-ID: call-1@phone", b"Call-ID: call-2@phone"),
        (b"tag=from-tag", b"tag=from-tah"),
        (b"tag=from-tag", b"x=y"),
        (b"CSeq: 1 ", b"CSeq: 2 "),
    ],
)
def test_a_genuine_branch_in_another_transaction_goes_nowhere(old: bytes, new: bytes) -> None:
    here = node()
    assert here.drop(answered(here).replace(old, new), SERVER_A) is DropReason.REPLY_FORGED


def test_maddr_below_ours_is_never_followed() -> None:
    here = node()
    datagram = request(via_params=";rport;maddr=203.0.113.66;ttl=1")
    assert here.forward(answered(here, datagram), SERVER_A)[1].address == PHONE
    message, _ = here.forward(request(), PHONE)
    own, top = values(message, "via")
    outcome = here.take(with_vias(reply_to(message), own, top + ";maddr=203.0.113.66"), SERVER_A)
    assert isinstance(outcome, Drop) or outcome.address == PHONE  # type: ignore[union-attr]


@settings(max_examples=300, deadline=None)
@given(
    branch=st.binary(max_size=40) | st.integers(0, 2**64 - 1).map(lambda number: b"z9hG4bK%016x" % number),
    key=st.sampled_from((KEY, OTHER_KEY)),
    below=st.sampled_from(
        (
            b"SIP/2.0/UDP 203.0.113.66;branch=z9hG4bK-1",
            b"SIP/2.0/UDP 198.51.100.7;branch=z9hG4bK-1;rport=5;received=10.0.0.11",
            b"SIP/2.0/UDP [2001:db8::7];branch=z9hG4bK-1",
        )
    ),
)
def test_a_reply_with_a_forged_branch_goes_nowhere(branch: bytes, key: bytes, below: bytes) -> None:
    """Neither made up, nor made with another secret, nor our own hash for another use."""
    here = node()
    transaction = transaction_below(parse_via(below), b"call-1@phone", b"from-tag", 1)
    assert transaction is not None
    signed = b"z9hG4bK" + mac(key, TO_TAG if key == KEY else BRANCH, transaction)
    reply = answered(here)
    for each in (branch, signed):
        stack = b"Via: SIP/2.0/UDP 192.0.2.1:5060;branch=%b\r\nVia: %b\r\n" % (each, below)
        start, _, rest = reply.partition(b"\r\n")
        tail = b"".join(line + b"\r\n" for line in rest.split(b"\r\n")[:-1] if not line.startswith(b"Via:"))
        assert not isinstance(here.take(start + b"\r\n" + stack + tail, SERVER_A), Forward)


def test_the_same_reply_with_the_right_hash_would_pass() -> None:
    """What the property above makes up differs from a genuine reply in nothing but the hash."""
    here = node()
    below = "SIP/2.0/UDP 203.0.113.66;branch=z9hG4bK-1"
    transaction = transaction_below(parse_via(below.encode()), b"call-1@phone", b"from-tag", 1)
    assert transaction is not None
    own = "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK" + mac(KEY, BRANCH, transaction).decode()
    outcome = here.forward(with_vias(answered(here), own, below), SERVER_A)[1]
    assert outcome.address == ("203.0.113.66", 5060)


def test_an_older_secret_still_verifies() -> None:
    reply = answered(Node(make_snapshot(SERVER_A, keys=(OTHER_KEY,))))
    assert Node(make_snapshot(SERVER_A, keys=(KEY, OTHER_KEY))).forward(reply, SERVER_A)[1].address == PHONE
    assert node().drop(reply, SERVER_A) is DropReason.REPLY_FORGED


def test_the_reply_to_one_request_is_no_reply_to_another() -> None:
    here = node()
    first, _ = here.forward(request(), PHONE)
    second, _ = here.forward(request(branch="z9hG4bK-2", call_id="c2"), ("203.0.113.9", 5060))
    mixed = with_vias(reply_to(first), values(first, "via")[0], values(second, "via")[1])
    assert here.drop(mixed, SERVER_A) is DropReason.REPLY_FORGED
    assert Message.parse(mixed).status == 200
