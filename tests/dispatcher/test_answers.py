"""Do our own answers reach the one who asked, without state and without a loop?"""

from __future__ import annotations

import pytest

from dispatcher.algorithm import DEFAULT
from dispatcher.outcome import DropReason, Refusal
from dispatcher.snapshot import Policy
from sip.message import Message
from tests.dispatcher.world import KEY, OTHER_KEY, PHONE, SERVER_A, Node, make_snapshot, reply_to, request, values

BROKEN = (b"Max-Forwards: 70", b"Max-Forwards: x")


def node(keys: tuple[bytes, ...] = (KEY,), **policy: object) -> Node:
    return Node(make_snapshot(SERVER_A, keys=keys, policy=Policy(algorithm=DEFAULT, **policy)))  # type: ignore[arg-type]


def test_an_answer_copies_what_the_caller_needs_to_find_its_request() -> None:
    below = "Via: SIP/2.0/UDP 203.0.113.5;branch=z9hG4bK-0"
    message, _ = node().answer(request(max_forwards=0, extra=(below, "Route: <sip:192.0.2.1;lr>", "X-Y: z")), PHONE)
    assert message.start == b"SIP/2.0 483 Too Many Hops"
    assert values(message, "via") == [
        "SIP/2.0/UDP 198.51.100.7:40001;branch=z9hG4bK-1;rport=40001;received=198.51.100.7",
        "SIP/2.0/UDP 203.0.113.5;branch=z9hG4bK-0",
    ]
    assert values(message, "from") == ["<sip:8005@192.0.2.1>;tag=from-tag"]
    assert values(message, "to")[0].startswith("<sip:8006@192.0.2.1>;tag=")
    assert values(message, "call-id") == ["call-1@phone"]
    assert values(message, "cseq") == ["1 INVITE"]
    assert values(message, "content-length") == ["0"]
    assert set(message.names) == {b"via", b"from", b"to", b"call-id", b"cseq", b"content-length"}


def test_a_retransmission_has_the_same_answer_on_any_node() -> None:
    refused = request(max_forwards=0)
    first, again, elsewhere = (each.answer(refused, PHONE)[1] for each in (node(), node(), node((KEY, OTHER_KEY))))
    assert first == again == elsewhere


def test_the_tag_is_one_for_each_transaction() -> None:
    here = node()
    tags = [
        values(here.answer(request(max_forwards=0, **change), PHONE)[0], "to")[0]
        for change in ({}, {"cseq": 2}, {"branch": "z9hG4bK-2"}, {"call_id": "other"}, {"from_tag": "other"})
    ]
    assert len(set(tags)) == len(tags)


def test_a_tag_that_is_there_stays() -> None:
    message, _ = node().answer(request(max_forwards=0, to_tag="uas"), PHONE)
    assert values(message, "to") == ["<sip:8006@192.0.2.1>;tag=uas"]


@pytest.mark.parametrize("server", [b"", b"sipdispatch"])
def test_the_server_field_is_the_operators(server: bytes) -> None:
    here = node(server=server)
    for datagram in (request(max_forwards=0), request().replace(*BROKEN), request("OPTIONS", "sip:192.0.2.1")):
        message, _ = here.answer(datagram, PHONE)
        assert values(message, "server") == ([server.decode()] if server else [])


@pytest.mark.parametrize(
    ("force", "via", "via_params", "port"),
    [
        ("nat", "192.168.1.5:5062", "", 40001),
        ("never", "192.168.1.5:5062", "", 5062),
        ("never", "192.168.1.5:5062", ";rport", 40001),
        ("nat", "198.51.100.7", "", 5060),
        ("always", "198.51.100.7", "", 40001),
        ("nat", "198.51.100.7", ";rport", 40001),
        ("nat", "phone.example.com", "", 40001),
    ],
)
@pytest.mark.parametrize("broken", [False, True])
def test_an_answer_goes_where_a_reply_would(force: str, via: str, via_params: str, port: int, *, broken: bool) -> None:
    """Whether the request could be read or not."""
    here = node(force_rport=force)
    datagram = request(max_forwards=0, via=via, via_params=via_params)
    message, reply = here.answer(datagram.replace(b"Max-Forwards: 0", BROKEN[1]) if broken else datagram, PHONE)
    assert reply.address == ("198.51.100.7", port)
    assert reply.listener == 0
    assert (f"rport={port}" in values(message, "via")[0]) is (port == 40001)


def test_the_ack_is_known_by_an_older_secret_too() -> None:
    answer, _ = node((OTHER_KEY,)).answer(request(max_forwards=0), PHONE)
    ack = request("ACK", to=values(answer, "to")[0])
    assert node((KEY, OTHER_KEY)).drop(ack, PHONE) is DropReason.ACK_TO_OUR_ANSWER
    node().forward(ack, PHONE)


@pytest.mark.parametrize(
    ("change", "source"),
    [
        ({"branch": "z9hG4bK-2"}, PHONE),
        ({"cseq": 2}, PHONE),
        ({"call_id": "other"}, PHONE),
        ({"from_tag": "other"}, PHONE),
        ({}, ("198.51.100.8", 40001)),
    ],
)
def test_the_ack_to_another_answer_is_not_ours(change: dict[str, object], source: tuple[str, int]) -> None:
    here = node()
    answer, _ = here.answer(request(max_forwards=0), PHONE)
    here.forward(request("ACK", to=values(answer, "to")[0], **change), source)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        BROKEN,
        (b"CSeq: 1 INVITE", b"CSeq: INVITE"),
        (b"Call-ID: call-1@phone", b"Call-ID: a b"),
        (b"Call-ID: call-1@phone\r\n", b""),
        (b"From: <sip:8005@192.0.2.1>;tag=from-tag", b"From: <sip:8005"),
        (b"INVITE sip:8006@192.0.2.1 SIP", b"INVITE  sip:8006@192.0.2.1  SIP"),
        (b"INVITE sip:8006@192.0.2.1 SIP", b"INVITE <sip:8006@192.0.2.1> SIP"),
        (b"INVITE sip:8006@192.0.2.1", b"INVITE sip:8006@192.0.2.1:99999"),
        (b";rport", b';rport;x="'),
        (b"198.51.100.7:40001;branch", b"198.51.100.7:40001;;branch"),
    ],
)
def test_what_cannot_be_read_is_answered_with_what_can(old: bytes, new: bytes) -> None:
    datagram = request()
    assert old in datagram
    message, reply = node().answer(datagram.replace(old, new, 1), PHONE)
    assert reply.status == 400
    assert reply.address == PHONE
    assert b"received=198.51.100.7" in message.first[b"via"]


def test_a_reason_never_breaks_the_status_line() -> None:
    message, _ = node().answer(request(extra=("Nonsense\x00Line",)), PHONE)
    assert message.start.startswith(b"SIP/2.0 400 Bad Request - ")
    assert len(message.start) < 160


@pytest.mark.parametrize("via", ["", "x", "SIP/2.0/UDP 198.51.100.7:0;branch=z9hG4bK-1", "SIP/2.0/UDP [::1;branch=1"])
def test_nothing_is_answered_to_a_via_that_leads_nowhere(via: str) -> None:
    datagram = request().replace(b"Via: SIP/2.0/UDP 198.51.100.7:40001;branch=z9hG4bK-1;rport", f"Via: {via}".encode())
    assert node().drop(datagram, PHONE) is DropReason.MALFORMED


@pytest.mark.parametrize(
    ("datagram", "status", "refusal"),
    [
        (request().replace(b"SIP/2.0\r\n", b"SIP/1.0\r\n", 1), 505, Refusal.VERSION),
        (request(uri="ftp:x"), 416, Refusal.SCHEME),
        (request().replace(*BROKEN), 400, Refusal.BAD_REQUEST),
    ],
)
def test_each_refusal_has_its_label(datagram: bytes, status: int, refusal: Refusal) -> None:
    assert node().refusal(datagram, PHONE) == (status, refusal)


def test_our_answers_and_their_replies_never_make_a_loop() -> None:
    """What we answer is itself dropped when it comes back, as are the replies to it that somebody makes up."""
    here = node()
    _, reply = here.answer(request().replace(*BROKEN), PHONE)
    assert here.drop(reply.payload, PHONE) is DropReason.REPLY_TO_US
    back = reply_to(Message.parse(reply.payload))
    assert here.drop(back, PHONE) is DropReason.REPLY_TO_US


def test_an_answer_to_line_feeds_ends_its_lines_as_it_should() -> None:
    _, reply = node().answer(request(max_forwards=0).replace(b"\r\n", b"\n"), PHONE)
    assert reply.payload.count(b"\n") == reply.payload.count(b"\r\n") == reply.payload.count(b"\r")
