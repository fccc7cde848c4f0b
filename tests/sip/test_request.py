"""Is a request refused when RFC 3261 16.3 asks for it, and read rightly when not?"""

from __future__ import annotations

import pytest

from sip.errors import SipError
from sip.message import Message
from sip.request import fit_body, read_call_id, read_cseq_number, read_request, read_uri
from sip.uri import parse_uri
from tests.sip.samples import datagram, parsed


def test_a_request_is_what_a_proxy_asks_of_it() -> None:
    request = parsed()
    assert request.uri == parse_uri(b"sip:8006@192.0.2.1")
    assert (request.via.host, request.via.branch) == ("198.51.100.7", b"z9hG4bK-1")
    assert (request.call_id, request.from_tag, request.to_tag) == (b"call-1@phone", b"from-tag", b"")
    assert (request.cseq, request.max_forwards) == (1, 70)


def test_what_rfc_2543_left_out_is_left_out() -> None:
    request = parsed(change={b"Via": b"SIP/2.0/UDP a", b"From": b"<sip:a@b>", b"Max-Forwards": None})
    assert (request.via.branch, request.from_tag, request.max_forwards) == (b"", b"", None)


def test_only_the_first_via_value_is_the_senders() -> None:
    request = parsed(change={b"Via": b"SIP/2.0/UDP a;branch=1, nonsense"}, extra=(b"Via: more nonsense",))
    assert (request.via.host, request.via.branch) == ("a", b"1")


def test_folds_and_blanks_do_not_change_what_is_read() -> None:
    change = {
        b"Via": b"SIP  /\r\n 2.0 / UDP\r\n  a ;\r\n branch = 1",
        b"CSeq": b"\r\n 0009\r\n  INVITE ",
        b"Max-Forwards": b"\t0068 ",
        b"Call-ID": b"\r\n x",
        b"To": b"sip:a@b ;\r\n tag    = t",
    }
    request = parsed(change=change)
    assert (request.via.host, request.via.branch) == ("a", b"1")
    assert (request.cseq, request.max_forwards, request.call_id, request.to_tag) == (9, 68, b"x", b"t")


@pytest.mark.parametrize("version", [b"SIP/2.0", b"sip/2.0", b"Sip/2.0"])
def test_the_version_may_be_written_in_any_case(version: bytes) -> None:
    """RFC 3261 7.1."""
    assert parsed(start=b"INVITE sip:a " + version).cseq == 1


@pytest.mark.parametrize("version", [b"SIP/1.0", b"SIP/2.1", b"SIP/7.0", b"SIP/02.0", b"SIP/2.00", b"SIP/20.0"])
def test_another_version_is_505(version: bytes) -> None:
    with pytest.raises(SipError) as caught:
        parsed(start=b"INVITE sip:a " + version)
    assert (caught.value.status, caught.value.reason) == (505, "Version Not Supported")


@pytest.mark.parametrize("name", ["Via", "From", "To", "Call-ID", "CSeq"])
def test_a_field_that_every_request_has_may_not_be_missing(name: str) -> None:
    with pytest.raises(SipError, match=f"Missing {name}"):
        parsed(change={name.encode(): None})


@pytest.mark.parametrize(
    ("extra", "name"),
    [
        (b"f: <sip:a@b>;tag=1", "From"),
        (b"TO: <sip:a@b>", "To"),
        (b"i : x", "Call-ID"),
        (b"cseq: 1 INVITE", "CSeq"),
        (b"max-forwards: 70", "Max-Forwards"),
    ],
)
def test_a_field_that_stands_once_may_not_stand_twice(extra: bytes, name: str) -> None:
    with pytest.raises(SipError, match=f"Repeated {name}"):
        parsed(extra=(extra,))


def test_content_length_stands_once_in_whatever_form() -> None:
    with pytest.raises(SipError, match="Repeated Content-Length"):
        parsed(extra=(b"Content-Length: 0", b"l: 0"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({b"Via": b"SIP/2.0/UDP"}, "Malformed Via"),
        ({b"Via": b""}, "Malformed Via"),
        ({b"Via": b'SIP/2.0/UDP a;x=",'}, "Unbalanced quote or angle bracket"),
        ({b"Max-Forwards": b"-1"}, "Malformed Max-Forwards"),
        ({b"Max-Forwards": b"x"}, "Malformed Max-Forwards"),
        ({b"Max-Forwards": b""}, "Malformed Max-Forwards"),
        ({b"Max-Forwards": b"7 0"}, "Malformed Max-Forwards"),
        ({b"Max-Forwards": b"9" * 5000}, "Malformed Max-Forwards"),
        ({b"CSeq": b"INVITE"}, "Malformed CSeq"),
        ({b"CSeq": b"1"}, "Malformed CSeq"),
        ({b"CSeq": b"-1 INVITE"}, "Malformed CSeq"),
        ({b"CSeq": b"1INVITE"}, "Malformed CSeq"),
        ({b"CSeq": b"1 INVITE x"}, "Malformed CSeq"),
        ({b"CSeq": b"9" * 5000 + b" INVITE"}, "Malformed CSeq"),
        ({b"CSeq": b"1 invite"}, "CSeq method does not match the request"),
        ({b"CSeq": b"1 ACK"}, "CSeq method does not match the request"),
        ({b"Call-ID": b""}, "Malformed Call-ID"),
        ({b"Call-ID": b"a b"}, "Malformed Call-ID"),
        ({b"Call-ID": b"a\r\n b"}, "Malformed Call-ID"),
        ({b"Call-ID": b"a\x01"}, "Malformed Call-ID"),
        ({b"From": b"sip"}, "Malformed address"),
        ({b"To": b'"a <sip:b>'}, "Malformed address"),
        ({b"From": b"<sip:a@b>;tag=1;tag=2"}, "Repeated parameter"),
    ],
)
def test_a_malformed_field_is_400(change: dict[bytes, bytes | None], reason: str) -> None:
    with pytest.raises(SipError) as caught:
        parsed(change=change)
    assert (caught.value.status, caught.value.reason) == (400, reason)


@pytest.mark.parametrize("call_id", [b"intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{", b"x", b"a@b@c", b"\xc3\xa4"])
def test_a_call_id_may_be_anything_without_blanks(call_id: bytes) -> None:
    assert parsed(change={b"Call-ID": call_id}).call_id == call_id


@pytest.mark.parametrize(
    ("text", "status", "reason"),
    [
        (b"sip:b?Route=%3Csip:c%3E", 400, "Header fields in the Request-URI"),
        (b"sips:b?", 400, "Header fields in the Request-URI"),
        (b"sip:b;maddr=c;maddr=d", 400, "Repeated parameter in the Request-URI"),
        (b"sip:b;lr;L%52", 400, "Repeated parameter in the Request-URI"),
        (b"sip:a b", 400, "Malformed SIP URI"),
        (b"<sip:b>", 400, "Malformed URI"),
        (b"b", 400, "Malformed URI"),
        (b"tel:\x01", 400, "Malformed URI"),
        (b"tel:<x>", 400, "Malformed URI"),
        (b"urn:\xff", 400, "Malformed URI"),
        (b"http://a", 416, "Unsupported URI Scheme"),
        (b"sipx:a", 416, "Unsupported URI Scheme"),
        (b"im:a@b", 416, "Unsupported URI Scheme"),
    ],
)
def test_a_request_uri_that_nobody_serves_is_refused(text: bytes, status: int, reason: str) -> None:
    with pytest.raises(SipError) as caught:
        read_uri(text)
    assert (caught.value.status, caught.value.reason) == (status, reason)


@pytest.mark.parametrize("text", [b"tel:+1-201-555-0123;phone-context=x", b"TEL:911", b"urn:service:sos", b"URN:x:%C3"])
def test_tel_and_urn_pass_unread(text: bytes) -> None:
    assert read_uri(text) is None
    assert parsed(start=b"INVITE " + text + b" SIP/2.0").uri is None


@pytest.mark.parametrize("text", [b"sip:a@b", b"SIPS:a@b;lr;x=1", b"SiP:b"])
def test_sip_and_sips_are_read(text: bytes) -> None:
    assert read_uri(text) == parse_uri(text)


@pytest.mark.parametrize(
    ("length", "kept"), [(b"4", b"body"), (b"0004", b"body"), (b" 2\t", b"bo"), (b"0", b""), (b"\r\n 1", b"b")]
)
def test_a_body_longer_than_its_content_length_is_cut(length: bytes, kept: bytes) -> None:
    """RFC 3261 18.3: what follows in the datagram is discarded."""
    message = Message.parse(datagram(extra=(b"l:" + length,), body=b"body"))
    fit_body(message)
    assert message.body == kept


def test_without_content_length_the_body_ends_with_the_datagram() -> None:
    assert parsed(body=b"body\r\n\r\n").message.body == b"body\r\n\r\n"


@pytest.mark.parametrize(
    ("length", "reason"),
    [
        (b"5", "Content-Length larger than the body"),
        (b"9999", "Content-Length larger than the body"),
        (b"-999", "Malformed Content-Length"),
        (b"+4", "Malformed Content-Length"),
        (b"4,4", "Malformed Content-Length"),
        (b"4 4", "Malformed Content-Length"),
        (b"0x4", "Malformed Content-Length"),
        (b"", "Malformed Content-Length"),
        (b"\xb2", "Malformed Content-Length"),
        (b"0" * 5000 + b"4", "Malformed Content-Length"),
    ],
)
def test_a_content_length_that_does_not_fit_is_400(length: bytes, reason: str) -> None:
    with pytest.raises(SipError, match=reason):
        fit_body(Message.parse(datagram(extra=(b"Content-Length: " + length,), body=b"body")))


def test_a_reply_is_asked_for_its_call_id_and_sequence_number() -> None:
    message = Message.parse(datagram(b"SIP/2.0 200 OK", change={b"CSeq": b"0009 \t INVITE"}))
    assert (read_call_id(message), read_cseq_number(message)) == (b"call-1@phone", 9)
    bare = Message.parse(b"SIP/2.0 200 OK\r\n\r\n")
    with pytest.raises(SipError, match="Malformed Call-ID"):
        read_call_id(bare)
    with pytest.raises(SipError, match="Malformed CSeq"):
        read_cseq_number(bare)


def test_the_version_is_looked_at_first() -> None:
    """What is wrong in a message of another version may be right there (RFC 4475 3.1.2.16)."""
    with pytest.raises(SipError) as caught:
        read_request(Message.parse(b"INVITE nonsense SIP/7.0\r\nVia: nonsense\r\n\r\n"))
    assert caught.value.status == 505
