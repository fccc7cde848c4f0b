"""A probe is a legal request, and only its own answer counts."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from health.options import (
    OURS,
    RANDOM_BYTES,
    Answer,
    Identity,
    Mismatch,
    Question,
    Stray,
    compose_options,
    identity_of,
    match,
)
from sip.errors import SipError
from sip.message import Message
from sip.reply import compose_reply
from sip.request import read_request

OWN = identity_of(bytes(range(RANDOM_BYTES)))
SOURCE = ("192.0.2.9", 41022)
FROM = "sip:sipdispatch@192.0.2.9"


def composed(**changes: object) -> bytes:
    names = {field.name for field in attrs.fields(Question)}
    question = Question(**{name: value for name, value in changes.items() if name in names})  # type: ignore[arg-type]
    rest = {name: value for name, value in changes.items() if name not in names}
    arguments = {"uri": "sip:192.0.2.1:5060", "source": SOURCE, "from_uri": FROM, "identity": OWN, **rest}
    return compose_options(question=question, **arguments)  # type: ignore[arg-type]


def answered(status: int = 200, reason: str = "OK", *, probe: bytes = b"", fields: tuple[bytes, ...] = ()) -> bytes:
    request = Message.parse(probe or composed())
    via = b"Via:" + request.first[b"via"] + b"=41022;received=192.0.2.9"
    return compose_reply(request, status, reason, via_line=via, to_tag=b"theirs", fields=fields)


# --------------------------------------------------------------------------------------------------------------------
# What it says


def test_an_identity_is_made_of_chance_alone() -> None:
    assert identity_of(bytes(16)) == identity_of(bytes(16)) != OWN
    assert OWN.branch.startswith(b"z9hG4bK")
    assert OWN.cseq == 1
    with pytest.raises(ValueError, match="16 random bytes, not 4"):
        identity_of(b"four")


def test_the_next_request_of_a_call_has_a_new_branch_and_number_only() -> None:
    second = OWN.next_request()
    third = second.next_request()
    assert (second.cseq, third.cseq) == (2, 3)
    assert len({OWN.branch, second.branch, third.branch}) == 3
    assert attrs.evolve(third, branch=OWN.branch, cseq=1) == OWN
    assert third.branch == OWN.branch + b".3"


def test_a_probe_is_a_legal_request_that_shows_its_identity() -> None:
    request = read_request(Message.parse(composed()))
    assert request.message.start == b"OPTIONS sip:192.0.2.1:5060 SIP/2.0"
    assert Identity(request.via.branch, request.call_id, request.cseq, request.from_tag) == OWN
    assert (request.via.transport, request.via.host, request.via.port) == ("UDP", *SOURCE)
    assert request.via.rport == b""
    assert request.max_forwards == 70
    assert request.to_tag == b""
    assert request.message.value(b"to") == b"<sip:192.0.2.1:5060>"
    assert request.message.value(b"from") == b"<" + FROM.encode() + b">;tag=" + OWN.from_tag
    assert request.message.value(b"contact") == b"<sip:192.0.2.9:41022>"
    assert request.message.value(b"user-agent") == b"sipdispatch"
    assert request.message.value(b"content-length") == b"0"


def test_a_probe_over_tcp_and_ipv6() -> None:
    request = read_request(
        Message.parse(composed(uri="sip:[2001:db8::1]", source=("2001:db8::9", 41022), transport="TCP"))
    )
    assert (request.via.transport, request.via.host) == ("TCP", "2001:db8::9")
    assert request.message.value(b"contact") == b"<sip:[2001:db8::9]:41022;transport=tcp>"


def test_everything_else_can_be_chosen() -> None:
    probe = composed(
        method=b"REGISTER",
        to_uri="sip:8005@example.com",
        max_forwards=0,
        user_agent=b"mine",
        fields=(b"m: <sip:a@b>", b"X-Check: 1"),
        body=b"body",
    )
    request = read_request(Message.parse(probe))
    assert request.message.start.startswith(b"REGISTER sip:192.0.2.1:5060 ")
    assert request.message.value(b"to") == b"<sip:8005@example.com>"
    assert request.message.value(b"cseq") == b"1 REGISTER"
    assert request.max_forwards == 0
    assert request.message.value(b"user-agent") == b"mine"
    assert [value for _, value in request.message.values(b"contact")] == [b" <sip:a@b>"]
    assert request.message.value(b"x-check") == b"1"
    assert request.message.body == b"body"


def test_a_registrar_is_asked_and_not_told() -> None:
    assert b"Contact" not in composed(method=b"REGISTER")


@pytest.mark.parametrize(
    "changes",
    [
        {"uri": "sip:a b"},
        {"uri": "sip:a@b\r\nX: y"},
        {"uri": "mailto:a@b"},
        {"from_uri": "nobody"},
        {"to_uri": "sip:"},
        {"method": b"OPTIONS X"},
        {"user_agent": b"x\r\nX: y"},
        {"fields": (b"no colon",)},
        {"fields": (b"X: y\r\nZ: z",)},
        {"fields": (b"X: \x00",)},
        *({"fields": (name + b": x",)} for name in sorted(OURS)),
        {"fields": (b"i: compact is ours too",)},
    ],
)
def test_nothing_that_would_be_no_message_is_composed(changes: dict[str, object]) -> None:
    with pytest.raises(SipError):
        composed(**changes)


# --------------------------------------------------------------------------------------------------------------------
# What answers it


def test_the_answer_counts() -> None:
    answer = match(answered(fields=(b"Server: Asterisk PBX 16",)), OWN)
    assert isinstance(answer, Answer)
    assert (answer.status, answer.reason, answer.server, answer.provisional) == (200, "OK", "Asterisk PBX 16", False)


@pytest.mark.parametrize("status", [100, 183, 200, 503])
def test_below_200_an_answer_is_provisional(status: int) -> None:
    answer = match(answered(status, "Whatever it is"), OWN)
    assert isinstance(answer, Answer)
    assert (answer.reason, answer.provisional, answer.server) == ("Whatever it is", status < 200, "")


def test_a_server_may_call_itself_a_user_agent_and_leave_out_the_phrase() -> None:
    data = answered(fields=(b"User-Agent: phone",)).replace(b"SIP/2.0 200 OK", b"SIP/2.0 200")
    answer = match(data, OWN)
    assert isinstance(answer, Answer)
    assert (answer.server, answer.reason) == ("phone", "")


def test_a_server_may_print_a_via_in_another_order_and_in_compact_form() -> None:
    data = answered()
    line = next(line for line in data.split(b"\r\n") if line.startswith(b"Via:"))
    other = b"v: SIP / 2.0 / UDP 192.0.2.9:41022;rport=41022;received=192.0.2.9;branch=" + OWN.branch
    assert isinstance(match(data.replace(line, other), OWN), Answer)
    assert isinstance(match(data.replace(b"CSeq: 1 ", b"CSeq: 0001  "), OWN), Answer)


def replaced(old: bytes, new: bytes) -> bytes:
    data = answered()
    assert old in data
    return data.replace(old, new, 1)


@pytest.mark.parametrize(
    ("data", "mismatch"),
    [
        (composed(), Mismatch.REQUEST),
        (replaced(b"Call-ID: ", b"Call-ID: other\r\nCall-ID: "), Mismatch.REPEATED),
        (replaced(b"Via: ", b"Via: SIP/2.0/UDP above;branch=z9hG4bK-1\r\nVia: "), Mismatch.VIA),
        (replaced(b"received=192.0.2.9", b"received=192.0.2.9, SIP/2.0/UDP b;branch=z9hG4bK-1"), Mismatch.VIA),
        (replaced(b"Via: ", b"X-Via: "), Mismatch.VIA),
        (replaced(b"branch=" + OWN.branch, b"branch=z9hG4bK-1"), Mismatch.BRANCH),
        (replaced(b"branch=" + OWN.branch, b"branch=" + OWN.branch.upper()), Mismatch.BRANCH),
        (replaced(b"branch=" + OWN.branch, b"x=y"), Mismatch.BRANCH),
        (replaced(b"Call-ID: ", b"Call-ID: x"), Mismatch.CALL_ID),
        (replaced(b"CSeq: 1 ", b"CSeq: 2 "), Mismatch.CSEQ),
        (replaced(b"CSeq: 1 OPTIONS", b"CSeq: 1 INVITE"), Mismatch.CSEQ),
        (replaced(b">;tag=" + OWN.from_tag, b">;tag=theirs"), Mismatch.FROM_TAG),
        (replaced(b">;tag=" + OWN.from_tag, b">"), Mismatch.FROM_TAG),
    ],
)
def test_whatever_else_is_sip_is_a_stray(data: bytes, mismatch: Mismatch) -> None:
    assert match(data, OWN) == Stray(mismatch)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"SIP/2.0 200 OK\r\n",
        replaced(b"CSeq: 1 OPTIONS", b"CSeq: OPTIONS"),
        replaced(b"Call-ID: ", b"X: "),
        replaced(b"From: ", b"X: "),
        replaced(b"Via: SIP/2.0/UDP", b"Via: UDP"),
        replaced(b"Content-Length: 0", b"Content-Length: 9"),
    ],
)
def test_what_is_no_legal_message_is_nothing(data: bytes) -> None:
    assert match(data, OWN) is None


def test_a_probe_of_another_method_is_answered_under_its_method() -> None:
    data = answered(probe=composed(method=b"INFO"))
    assert isinstance(match(data, OWN, b"INFO"), Answer)
    assert match(data, OWN) == Stray(Mismatch.CSEQ)


@given(st.binary(min_size=RANDOM_BYTES, max_size=RANDOM_BYTES), st.binary(min_size=RANDOM_BYTES, max_size=RANDOM_BYTES))
def test_nobody_answers_for_somebody_else(one: bytes, other: bytes) -> None:
    first, second = identity_of(one), identity_of(other)
    data = answered(probe=composed(identity=first))
    assert isinstance(match(data, first), Answer)
    assert first == second or isinstance(match(data, second), Stray)
    assert isinstance(match(data, first.next_request()), Stray)


@given(st.binary(max_size=200), st.integers(0, 400), st.integers(0, 400))
def test_any_bytes_are_an_answer_a_stray_or_nothing(junk: bytes, start: int, end: int) -> None:
    data = answered()
    found = match(data[:start] + junk + data[end:], Identity(OWN.branch, OWN.call_id, 1, OWN.from_tag))
    assert found is None or isinstance(found, Answer | Stray)
