"""A written request leaves as written, but for what makes its answer ours."""

from __future__ import annotations

import pytest

from health.options import RANDOM_BYTES, identity_of
from health.template import Template, compose_from, identity_within, read_template
from sip.errors import SipError
from sip.message import Message
from sip.request import Request, read_request

FRESH = identity_of(bytes(RANDOM_BYTES))
SOURCE = ("192.0.2.9", 41022)

FULL = b"""\
INFO sip:8006@example.com SIP/2.0
v: SIP/2.0/UDP below;branch=z9hG4bK-1, SIP/2.0/UDP lowest;branch=z9hG4bK-2
f: "A" <sip:a@example.com>;tag=mine
t: <sip:8006@example.com>
X-Folded: one
 two
i: my-call
CSeq: 7 INFO
Max-Forwards: 3
l: 99

body
"""
SHORT = b"OPTIONS sip:example.com SIP/2.0\nFrom: sip:a@example.com\nTo: sip:example.com"


def sent(template: Template, *fields: bytes) -> Request:
    identity = identity_within(template, FRESH)
    return read_request(Message.parse(compose_from(template, identity, source=SOURCE, transport="UDP", fields=fields)))


def test_what_a_request_says_of_itself_is_kept() -> None:
    template = read_template(FULL)
    identity = identity_within(template, FRESH)
    assert (identity.call_id, identity.cseq, identity.from_tag) == (b"my-call", 7, b"mine")
    assert identity.branch == FRESH.branch
    request = sent(template)
    assert request.message.start == b"INFO sip:8006@example.com SIP/2.0"
    assert (request.via.host, request.via.port, request.via.branch) == (*SOURCE, FRESH.branch)
    assert [name for name in request.message.names if name == b"via"] == [b"via"]
    assert (request.cseq, request.from_tag, request.call_id, request.max_forwards) == (7, b"mine", b"my-call", 3)
    assert b"X-Folded: one\r\n two" in request.message.lines
    assert request.message.body == b"body\n"
    assert request.message.value(b"content-length") == b"5"


def test_what_is_missing_is_added() -> None:
    request = sent(read_template(SHORT), b"Authorization: x")
    assert (request.cseq, request.from_tag, request.call_id) == (1, FRESH.from_tag, FRESH.call_id)
    assert request.max_forwards == 70
    assert request.message.value(b"from") == b"sip:a@example.com;tag=" + FRESH.from_tag
    assert request.message.value(b"authorization") == b"x"
    assert request.message.value(b"content-length") == b"0"


def test_the_next_request_has_another_number() -> None:
    template = read_template(FULL)
    identity = identity_within(template, FRESH).next_request()
    request = read_request(Message.parse(compose_from(template, identity, source=SOURCE, transport="TCP")))
    assert (request.cseq, request.via.transport, request.via.branch) == (8, "TCP", FRESH.branch + b".8")


def test_verbatim_not_a_byte_is_changed() -> None:
    data = FULL.replace(b"l: 99", b"l: 5")
    template = read_template(data, verbatim=True)
    identity = identity_within(template, FRESH)
    assert (identity.branch, identity.call_id, identity.cseq) == (b"z9hG4bK-1", b"my-call", 7)
    assert compose_from(template, identity, source=SOURCE, transport="UDP", fields=(b"X: y",)) == data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"SIP/2.0 200 OK\r\nFrom: sip:a@b\r\nTo: sip:a@b\r\n\r\n",
        SHORT.replace(b"From:", b"X:"),
        SHORT.replace(b"To:", b"X:"),
        SHORT.replace(b"To:", b"From: sip:c@d\nTo:"),
        SHORT.replace(b"sip:example.com SIP", b"mailto:a SIP"),
        SHORT + b"\nCSeq: 1 INVITE\n",
        SHORT + b"\nCSeq: one\n",
        SHORT + b"\nMax-Forwards: many\n",
    ],
)
def test_what_is_no_request_is_refused(data: bytes) -> None:
    with pytest.raises(SipError):
        read_template(data)


def test_verbatim_all_must_be_there() -> None:
    with pytest.raises(SipError):
        read_template(SHORT + b"\n\n", verbatim=True)
