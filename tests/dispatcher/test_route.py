"""Is every rule of the pipeline kept, in its order: drop, refuse, answer for ourselves, pass on?"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher.algorithm import DEFAULT
from dispatcher.listener import Listener
from dispatcher.outcome import Drop, DropReason, Forward, Refusal, Reply, Resolve
from dispatcher.snapshot import Policy
from sip.message import Message
from tests.dispatcher.world import (
    PHONE,
    SERVER_A,
    SERVER_B,
    VIP,
    Node,
    make_snapshot,
    reply_to,
    request,
    values,
)


def node(policy: Policy | None = None, *, serving: bool = True) -> Node:
    return Node(make_snapshot(SERVER_A, SERVER_B, policy=policy, serving=serving))


# 1. Not SIP


@pytest.mark.parametrize("datagram", [b"", b"\r\n", b"\r\n\r\n", b"\n", b"\x00", b"\x00\x00\x00\x00", b"  \r\n"])
def test_keepalives_are_dropped_silently(datagram: bytes) -> None:
    assert node().drop(datagram, PHONE) is DropReason.KEEPALIVE


@pytest.mark.parametrize("first", [0, 1, 2, 3])
def test_stun_is_told_apart_by_its_first_byte(first: int) -> None:
    assert node().drop(bytes((first, 1, 0, 0)) + b"\x21\x12\xa4\x42" + b"t" * 12, PHONE) is DropReason.STUN


@pytest.mark.parametrize(
    "datagram",
    [
        b"\x04\x01\x00\x00",
        b"\xff" * 20,
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"INVITE sip:a@b SIP/2.0\r\n\r\n",
        b"INVITE sip:a@b SIP/2.0\r\nVia: nonsense\r\n\r\n",
        b"hello",
    ],
)
def test_garbage_without_a_way_back_is_dropped(datagram: bytes) -> None:
    assert node().drop(datagram, PHONE) is DropReason.MALFORMED


@pytest.mark.parametrize(
    "datagram",
    [
        b"SIP/2.0 200 OK\r\n",
        b"SIP/3.0 200 OK\r\nVia: SIP/2.0/UDP 198.51.100.7\r\n\r\n",
        b"sip/2.0 999 x\r\nVia: SIP/2.0/UDP 198.51.100.7\r\n\r\n",
        b"\r\nSIP/2.0 x\r\n\r\n",
    ],
)
def test_a_reply_that_cannot_be_read_is_dropped_as_one(datagram: bytes) -> None:
    assert node().drop(datagram, SERVER_A) is DropReason.MALFORMED_REPLY


def test_line_ends_before_a_request_do_not_hurt() -> None:
    node().forward(b"\r\n\r\n" + request(), PHONE)


# 2. Parse


def test_an_unreadable_request_is_answered_400_with_the_reason() -> None:
    message, reply = node().answer(request().replace(b"CSeq: 1 INVITE", b"CSeq: one INVITE"), PHONE)
    assert reply.status == 400
    assert reply.refusal is Refusal.BAD_REQUEST
    assert message.start == b"SIP/2.0 400 Bad Request - Malformed CSeq"
    assert reply.address == PHONE


@pytest.mark.parametrize("name", ["From", "To", "Call-ID", "CSeq"])
def test_what_is_missing_is_named(name: str) -> None:
    lines = [line for line in request().split(b"\r\n") if not line.startswith(name.encode() + b":")]
    message, _ = node().answer(b"\r\n".join(lines), PHONE)
    assert message.start == b"SIP/2.0 400 Bad Request - Missing " + name.encode()


@pytest.mark.parametrize("name", ["From", "To", "Call-ID", "CSeq", "Max-Forwards", "Content-Length"])
def test_what_may_stand_only_once_is_refused_when_it_stands_twice(name: str) -> None:
    lines = request().split(b"\r\n")
    twice = next(line for line in lines if line.startswith(name.encode() + b":"))
    message, _ = node().answer(b"\r\n".join((*lines[:-2], twice, b"", b"")), PHONE)
    assert message.start == b"SIP/2.0 400 Bad Request - Repeated " + name.encode()


def test_a_malformed_route_is_the_senders_mistake() -> None:
    message, reply = node().answer(request(extra=("Route: <sip:a",)), PHONE)
    assert reply.status == 400
    assert message.start.startswith(b"SIP/2.0 400 Bad Request - ")


def test_compact_forms_folds_and_lower_case_pass() -> None:
    datagram = (
        b"INVITE sip:8006@192.0.2.1 SIP/2.0\r\n"
        b"v: SIP/2.0/UDP 198.51.100.7:40001\r\n ;branch=z9hG4bK-1;rport\r\n"
        b"f: <sip:8005@192.0.2.1>;\r\n\ttag=a\r\nt:<sip:8006@192.0.2.1>\r\n"
        b"i: x\r\ncseq:\r\n 0009\r\n INVITE\r\nMAX-FORWARDS : 5\r\nx-unknown: ,,;\r\nl: 0\r\n\r\n"
    )
    message, _ = node().forward(datagram, PHONE)
    assert b"x-unknown: ,,;" in message.lines
    assert values(message, "max-forwards") == ["4"]


# 3. Check


def test_another_version_is_refused() -> None:
    assert node().refusal(request().replace(b"SIP/2.0\r\n", b"SIP/7.0\r\n", 1), PHONE) == (505, Refusal.VERSION)


@pytest.mark.parametrize("uri", ["http:a", "nobodyKnowsThisScheme:x", "mailto:a@b", "im:a@b"])
def test_a_scheme_that_nobody_serves_is_refused(uri: str) -> None:
    assert node().refusal(request(uri=uri), PHONE) == (416, Refusal.SCHEME)


@pytest.mark.parametrize("uri", ["tel:+49-30-123", "urn:service:sos", "sips:8006@192.0.2.1", "SIP:8006@192.0.2.1"])
def test_these_schemes_pass_unchanged(uri: str) -> None:
    message, forward = node().forward(request(uri=uri), PHONE)
    assert message.uri == uri.encode()
    assert forward.address in (SERVER_A, SERVER_B)


def test_max_forwards_0_is_refused() -> None:
    assert node().refusal(request(max_forwards=0), PHONE) == (483, Refusal.TOO_MANY_HOPS)


def test_max_forwards_0_is_refused_even_when_we_are_asked_ourselves() -> None:
    asked = request("OPTIONS", "sip:s@192.0.2.1", max_forwards=0)
    assert node().refusal(asked, PHONE) == (483, Refusal.TOO_MANY_HOPS)


@pytest.mark.parametrize(("before", "after"), [(70, "69"), (1, "0"), (255, "254"), (None, "70")])
def test_max_forwards_is_counted_down_or_added(before: int | None, after: str) -> None:
    message, _ = node().forward(request(max_forwards=before), PHONE)
    assert values(message, "max-forwards") == [after]


@pytest.mark.parametrize("written", ["-1", "256", "seven", ""])
def test_a_malformed_max_forwards_is_refused(written: str) -> None:
    datagram = request().replace(b"Max-Forwards: 70", b"Max-Forwards: " + written.encode())
    assert node().refusal(datagram, PHONE) == (400, Refusal.BAD_REQUEST)


def test_the_method_of_cseq_must_be_the_requests() -> None:
    assert node().refusal(request("BYE", cseq_method="INVITE"), PHONE) == (400, Refusal.BAD_REQUEST)
    assert node().refusal(request("INVITE", cseq_method="invite"), PHONE) == (400, Refusal.BAD_REQUEST)


def test_a_body_shorter_than_content_length_is_refused() -> None:
    datagram = request(body="v=0\r\n")[:-1]
    assert node().refusal(datagram, PHONE) == (400, Refusal.BAD_REQUEST)


def test_a_body_longer_than_content_length_is_cut() -> None:
    message, _ = node().forward(request(body="v=0\r\n") + b"trailing", PHONE)
    assert message.body == b"v=0\r\n"


def test_a_body_without_content_length_is_all_there_is() -> None:
    message, _ = node().forward(request().replace(b"Content-Length: 0\r\n", b"") + b"all of it", PHONE)
    assert message.body == b"all of it"


@pytest.mark.parametrize(
    ("fields", "unsupported"),
    [
        (("Proxy-Require: foo",), "foo"),
        (("Proxy-Require: foo, bar",), "foo, bar"),
        (("Proxy-Require: foo", "proxy-require:  bar ,baz"), "foo, bar ,baz"),
        (("Proxy-Require: foo,\r\n bar",), "foo, bar"),
    ],
)
def test_extensions_that_a_proxy_must_know_are_refused_by_name(fields: tuple[str, ...], unsupported: str) -> None:
    message, reply = node().answer(request(extra=fields), PHONE)
    assert (reply.status, reply.refusal) == (420, Refusal.EXTENSION)
    assert values(message, "unsupported") == [unsupported]


def test_require_is_the_servers_business() -> None:
    node().forward(request(extra=("Require: 100rel",)), PHONE)


@pytest.mark.parametrize("method", ["ACK", "CANCEL"])
def test_proxy_require_in_ack_and_cancel_is_ignored(method: str) -> None:
    node().forward(request(method, extra=("Proxy-Require: foo",)), PHONE)


REFUSED = {
    "max-forwards": request("ACK", max_forwards=0),
    "scheme": request("ACK", uri="http:a"),
    "version": request("ACK").replace(b"SIP/2.0\r\n", b"SIP/7.0\r\n", 1),
    "cseq": request("ACK", cseq_method="BYE"),
    "length": request("ACK").replace(b"Content-Length: 0", b"Content-Length: 9"),
    "address": request("ACK", from_="<sip:"),
    "route": request("ACK", extra=("Route: <sip:",)),
}


@pytest.mark.parametrize("why", REFUSED)
@pytest.mark.parametrize(("method", "reason"), [("ACK", DropReason.ACK_REFUSED), ("CANCEL", DropReason.CANCEL_REFUSED)])
def test_ack_and_cancel_are_never_answered(why: str, method: str, reason: DropReason) -> None:
    datagram = REFUSED[why].replace(b"ACK ", method.encode() + b" ", 1).replace(b"1 ACK", b"1 " + method.encode())
    assert node().drop(datagram, PHONE) in (reason, DropReason.MALFORMED)


@pytest.mark.parametrize(("method", "reason"), [("ACK", DropReason.ACK_REFUSED), ("CANCEL", DropReason.CANCEL_REFUSED)])
def test_ack_and_cancel_without_a_destination_are_dropped(method: str, reason: DropReason) -> None:
    assert Node(make_snapshot()).drop(request(method), PHONE) is reason


def test_an_ack_to_our_own_answer_ends_here() -> None:
    here = node()
    invite = request(extra=("Proxy-Require: foo",))
    answer, _ = here.answer(invite, PHONE)
    (to,) = values(answer, "to")
    ack = request("ACK", to=to)
    assert here.drop(ack, PHONE) is DropReason.ACK_TO_OUR_ANSWER
    assert node().drop(ack, PHONE) is DropReason.ACK_TO_OUR_ANSWER  # another node with the secret


def test_an_ack_to_the_answer_to_a_request_that_nobody_could_read_ends_here_too() -> None:
    here = node()
    broken = request(via_params="", via="192.168.1.5:5060").replace(b"Max-Forwards: 70", b"Max-Forwards: x")
    answer, reply = here.answer(broken, PHONE)
    assert reply.address == PHONE  # behind NAT, unasked
    (to,) = values(answer, "to")
    ack = request("ACK", via_params="", via="192.168.1.5:5060", to=to)
    assert here.drop(ack, PHONE) is DropReason.ACK_TO_OUR_ANSWER


def test_an_ack_with_another_tag_is_passed_on() -> None:
    node().forward(request("ACK", to_tag="0123456789abcdef"), PHONE)


# 5. OPTIONS for us

OWN = Policy(algorithm=DEFAULT, domains=frozenset(("example.com",)))


def our_node(*, serving: bool = True) -> Node:
    listeners = (VIP, Listener("udp", ("192.0.2.2", 5080), ("sip.example.net", 5060)))
    snapshot = make_snapshot(SERVER_A, policy=OWN, listeners=listeners, serving=serving)
    return Node(snapshot, names={"vip.example.org": (VIP.address,), "elsewhere.example.org": (SERVER_A,)})


OURS = [
    "sip:192.0.2.1",
    "sip:192.0.2.1:5060",
    "sip:s@192.0.2.1:5060",
    "sip:ping@192.0.2.1",
    "sip:192.0.2.2:5080",
    "sip:sip.example.net",
    "sip:SIP.Example.NET:5060",
    "sip:example.com",
    "sip:s@EXAMPLE.com:5060",
    "sip:example.com:5080",
    "sip:192.0.2.1;transport=udp",
]


@pytest.mark.parametrize("source", [PHONE, SERVER_A])
@pytest.mark.parametrize("uri", OURS)
def test_an_options_for_us_is_answered_by_us(uri: str, source: tuple[str, int]) -> None:
    message, reply = our_node().answer(request("OPTIONS", uri), source)
    assert (reply.status, reply.refusal) == (200, None)
    assert values(message, "allow") == ["OPTIONS"]
    assert values(message, "accept") == ["*/*"]


@pytest.mark.parametrize(
    "uri",
    [
        "sip:8006@192.0.2.1",
        "sip:S@192.0.2.1",
        "sip:192.0.2.1:5080",
        "sip:192.0.2.3",
        "sip:sip.example.net:5080",
        "sip:sub.example.com",
        "sip:example.com:5090",
        "sip:192.0.2.1;maddr=192.0.2.9",
        "tel:+4930123",
    ],
)
def test_an_options_for_somebody_else_is_passed_on(uri: str) -> None:
    our_node().forward(request("OPTIONS", uri), PHONE)


def test_other_methods_for_us_are_dispatched() -> None:
    for method in ("INVITE", "MESSAGE", "REGISTER", "options"):
        our_node().forward(request(method, "sip:192.0.2.1"), PHONE)


def test_an_options_within_a_dialog_is_passed_on() -> None:
    our_node().forward(request("OPTIONS", "sip:s@192.0.2.1", to_tag="uas"), PHONE)


def test_an_options_by_a_name_that_resolves_to_a_listener_is_for_us_when_the_core_asks() -> None:
    here = our_node()
    _, reply = here.answer(request("OPTIONS", "sip:vip.example.org"), SERVER_A)
    assert reply.status == 200
    _, forward = here.forward(request("OPTIONS", "sip:elsewhere.example.org"), SERVER_A)
    assert forward.address == SERVER_A
    unknown = here.take(request("OPTIONS", "sip:unknown.example.org"), SERVER_A)
    assert unknown == Resolve("unknown.example.org", None, "udp")
    here.forward(request("OPTIONS", "sip:vip.example.org"), PHONE)  # nothing is looked up for the edge


def test_an_options_while_we_do_not_serve_is_answered_503() -> None:
    message, reply = our_node(serving=False).answer(request("OPTIONS", "sip:s@192.0.2.1"), PHONE)
    assert (reply.status, reply.refusal) == (503, Refusal.NOT_SERVING)
    assert values(message, "retry-after") == ["5"]


# 8. No destination


@pytest.mark.parametrize(("code", "retry"), [(503, ["7"]), (404, []), (480, []), (600, [])])
def test_no_destination_is_answered_as_the_operator_decides(code: int, retry: list[str]) -> None:
    policy = Policy(algorithm=DEFAULT, no_destination=code, retry_after=7)
    message, reply = Node(make_snapshot(policy=policy)).answer(request(), PHONE)
    assert (reply.status, reply.refusal) == (code, Refusal.NO_DESTINATION)
    assert values(message, "retry-after") == retry


def test_panic_without_any_destination_is_a_503() -> None:
    policy = Policy(algorithm=DEFAULT, no_destination=None)
    assert Node(make_snapshot(policy=policy)).refusal(request(), PHONE) == (503, Refusal.NO_DESTINATION)


# Whatever comes

LINES = st.sampled_from(request(extra=("Route: <sip:192.0.2.1;lr>", "Supported: x")).split(b"\r\n"))
ENDS = st.sampled_from((b"\r\n", b"\n", b"\r", b"\r\n ", b",", b";", b'"', b"<", b""))


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """Lines of a message in any order, with any ends, and bytes put in anywhere."""
    pieces = [
        line + draw(ENDS) if draw(st.booleans()) else line + b"\r\n" for line in draw(st.lists(LINES, max_size=12))
    ]
    datagram = b"".join(pieces) + draw(st.sampled_from((b"", b"\r\n", b"\r\n\r\n")))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(datagram)))
        datagram = datagram[:at] + draw(st.binary(max_size=4)) + datagram[at + draw(st.integers(0, 4)) :]
    return datagram


@settings(max_examples=400, deadline=None)
@given(
    datagram=st.binary(max_size=60) | broken() | broken().map(lambda tail: request()[:40] + tail),
    source=st.sampled_from((PHONE, SERVER_A)),
)
def test_the_pipeline_never_raises_on_any_bytes(datagram: bytes, source: tuple[str, int]) -> None:
    outcome = our_node().take(datagram, source)
    assert isinstance(outcome, Forward | Reply | Drop | Resolve)
    if isinstance(outcome, Reply):
        assert outcome.address[0] == source[0]
        Message.parse(outcome.payload)


@settings(max_examples=200, deadline=None)
@given(edit=st.tuples(st.integers(len("SIP/2.0 "), 600), st.integers(0, 8), st.binary(max_size=6)))
def test_the_pipeline_never_raises_on_a_mutated_reply(edit: tuple[int, int, bytes]) -> None:
    here = our_node()
    message, forward = here.forward(request(), PHONE)
    datagram = reply_to(message)
    at, cut, put = edit
    outcome = here.take(datagram[:at] + put + datagram[at + cut :], forward.address)
    assert isinstance(outcome, Forward | Drop)
    if isinstance(outcome, Forward):
        assert outcome.address == PHONE


def test_a_number_too_long_for_an_integer_is_no_reason_to_fail() -> None:
    here = node()
    for digits in (b"00001" + b"9" * 5000, b"9" * 10_000, b"0" * 5000 + b"1"):
        message, forward = here.forward(request(), PHONE)
        datagram = reply_to(message).replace(b"rport=40001", b"rport=" + digits)
        assert isinstance(here.take(datagram, forward.address), Drop)
        for old in (b"Max-Forwards: 70", b"CSeq: 1 ", b"Content-Length: 0", b":40001;"):
            written = old.rstrip(b"0123456789 ;") + digits + (b";" if old.endswith(b";") else b" ")
            assert not isinstance(here.take(request().replace(old, written), PHONE), Forward)
