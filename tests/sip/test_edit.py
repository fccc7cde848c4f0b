"""Does an edit change the bytes that it is about, and no others (RFC 3261 16.6, RFC 3581 4)?"""

from __future__ import annotations

import pytest

from sip.edit import stamp_via, with_value, without_first_member
from sip.errors import SipError
from sip.message import Message, unfold
from sip.via import parse_via, vias
from tests.sip.samples import datagram

STAMPS = b";rport=7;received=192.0.2.9"
VIA = b"Via: SIP/2.0/UDP a;branch=x"


@pytest.mark.parametrize(
    ("line", "stamped"),
    [
        # RFC 3581 4: rport asked for
        (VIA + b";rport", VIA + STAMPS),
        (VIA + b";rport;y=z", VIA + STAMPS + b";y=z"),
        (b"v:SIP/2.0/UDP a;rport;branch=x", b"v:SIP/2.0/UDP a" + STAMPS + b";branch=x"),
        (b"Via: SIP/2.0/UDP a;y;rport;branch=x", b"Via: SIP/2.0/UDP a;y;rport=7;branch=x;received=192.0.2.9"),
        (b"Via: SIP/2.0/UDP a;branch=x;RPORT", VIA + STAMPS),
        (VIA + b"; rport ;y", VIA + b";rport=7;y;received=192.0.2.9"),
        (VIA + b";rport;y=z ", VIA + STAMPS + b";y=z "),
        # not asked for
        (VIA, VIA + STAMPS),
        (VIA + b"\t", VIA + STAMPS + b"\t"),
        (VIA + b"\r", VIA + STAMPS + b"\r"),
        (VIA + b"\r\n ;y", VIA + b"\r\n ;y" + STAMPS),
        # what the sender claims is replaced
        (VIA + b";rport=9", VIA + STAMPS),
        (VIA + b";rport;received=10.0.0.1", VIA + STAMPS),
        (VIA + b";received=10.0.0.1;rport", VIA + STAMPS),
        (VIA + b";rport;Received=10.0.0.1", VIA + STAMPS),
        (VIA + b";rport; received =10.0.0.1", VIA + STAMPS),
        (VIA + b";rport;\r\n received=10.0.0.1", VIA + STAMPS),
        (VIA + b';rport;y=";received=";received=10.0.0.1', VIA + b';rport=7;y=";received=";received=192.0.2.9'),
        # only the first member is the sender's
        (VIA + b";rport, SIP/2.0/UDP b;rport", VIA + STAMPS + b", SIP/2.0/UDP b;rport"),
        (VIA + b" ,SIP/2.0/UDP b;received=1.1.1.1", VIA + STAMPS + b" ,SIP/2.0/UDP b;received=1.1.1.1"),
        (VIA + b',\r\n SIP/2.0/UDP b;y=","', VIA + STAMPS + b',\r\n SIP/2.0/UDP b;y=","'),
    ],
)
def test_the_source_is_noted_in_the_top_via(line: bytes, stamped: bytes) -> None:
    assert stamp_via(line, received="192.0.2.9", rport=7) == stamped


@pytest.mark.parametrize(
    ("line", "received", "rport", "stamped"),
    [
        (VIA, "192.0.2.9", None, VIA + b";received=192.0.2.9"),
        (VIA + b";rport=3", "192.0.2.9", None, VIA + b";rport=3;received=192.0.2.9"),
        (VIA, None, 7, VIA + b";rport=7"),
        (VIA + b";rport", None, 7, VIA + b";rport=7"),
        (VIA + b";received=10.0.0.1", None, None, VIA),
        (VIA + b";rport", "2001:db8::1", 7, VIA + b";rport=7;received=2001:db8::1"),
    ],
)
def test_what_is_not_asked_for_is_left_out(
    line: bytes, received: str | None, rport: int | None, stamped: bytes
) -> None:
    assert stamp_via(line, received=received, rport=rport) == stamped


def test_a_via_with_a_quote_that_never_ends_cannot_be_stamped() -> None:
    with pytest.raises(SipError):
        stamp_via(VIA + b';x="', received="192.0.2.9", rport=7)


@pytest.mark.parametrize(
    "rest", [b";rport", b";rport;x=y", b";x;rport", b"", b";RPORT", b" ; rport = 9", b";rport;received=1.1.1.1"]
)
def test_a_stamped_via_says_where_the_reply_goes(rest: bytes) -> None:
    via = parse_via(unfold(stamp_via(VIA + rest, received="192.0.2.9", rport=7).partition(b":")[2]))
    assert (via.received, via.rport, via.host, via.branch) == ("192.0.2.9", b"7", "a", b"x")


@pytest.mark.parametrize(
    ("fields", "place", "line"),
    [
        ((b"Via: a", b"Via: b"), 0, None),
        ((b"X: y", b"v: a, b"), 1, b"v: b"),
        ((b"Via: a,b, c",), 0, b"Via: b, c"),
        ((b"Via: a,\r\n  b,\r\n  c",), 0, b"Via: b,\r\n  c"),
        ((b'Via: a;x=",", b',), 0, b"Via: b"),
    ],
)
def test_the_top_value_is_popped(fields: tuple[bytes, ...], place: int, line: bytes | None) -> None:
    message = Message.parse(b"\r\n".join((b"SIP/2.0 200 OK", *fields, b"", b"")))
    before = vias(message)
    assert without_first_member(message, b"via") == (place, line)
    lines = [line if own == place else field for own, field in enumerate(message.lines)]
    after = Message.parse(b"\r\n".join((message.start, *(field for field in lines if field is not None), b"", b"")))
    assert vias(after) == before[1:]


def test_a_popped_value_leaves_the_carriage_return_of_its_line() -> None:
    message = Message.parse(b"SIP/2.0 200 OK\r\nVia: a, b\r\nX: y\n\n")
    assert without_first_member(message, b"via") == (0, b"Via: b\r")


@pytest.mark.parametrize(
    ("line", "edited"),
    [
        (b"Max-Forwards: 70", b"Max-Forwards: 69"),
        (b"MaX-fOrWaRdS:0070", b"MaX-fOrWaRdS: 69"),
        (b"Max-Forwards :\r\n 70", b"Max-Forwards : 69"),
        (b"Max-Forwards: 70\r", b"Max-Forwards: 69\r"),
    ],
)
def test_a_new_value_leaves_the_name_and_the_line_end(line: bytes, edited: bytes) -> None:
    assert with_value(line, b"69") == edited


def test_a_stamped_message_differs_in_one_line() -> None:
    """RFC 3581 4, in the whole message."""
    message = Message.parse(datagram())
    message.lines[0] = stamp_via(message.lines[0], received="198.51.100.7", rport=40001)
    assert message.to_bytes() == datagram().replace(b";rport", b";rport=40001;received=198.51.100.7")
