"""Can a message be read in one way by us and in another by the server behind us?

What an attacker would try: each disguise is refused, or has only the one reading that stands beside it.  Parsers
written in C end texts at a NUL, some take a CR for a line end, some the first and some the last of two fields,
parameters or tags, and some know no quotes.
"""

from __future__ import annotations

import pytest

from sip.errors import SipError
from sip.message import Message
from sip.request import Request, read_request
from sip.routes import route_uris
from sip.uri import parse_uri
from sip.via import parse_via, vias
from tests.sip.samples import FIELDS, START, datagram

VIA = FIELDS[b"Via"]


def read(written: bytes) -> Request:
    """Read all that decides where a request and its reply go, as the pipeline does."""
    request = read_request(Message.parse(written))
    route_uris(request.message)
    for text in vias(request.message):
        parse_via(text)
    return request


def changed(name: bytes, value: bytes) -> bytes:
    return datagram(change={name: value})


HIDDEN = b"Route: <sip:evil.example;lr>"

REFUSED = {
    # A field of which two stand there
    "Call-ID, long and compact": datagram(extra=(b"i: other",)),
    "From, compact with a blank": datagram(extra=(b"f : <sip:evil@x>;tag=2",)),
    "To, in another case": datagram(extra=(b"tO: <sip:evil@x>;tag=2",)),
    "CSeq, folded": datagram(extra=(b"CSEQ:\r\n 2 INVITE",)),
    "Max-Forwards that would let a loop live": datagram(extra=(b"Max-forwards: 255",)),
    "Content-Length, equal": datagram(extra=(b"Content-Length: 4", b"l: 4"), body=b"body"),
    "Content-Length, longer": datagram(extra=(b"Content-Length: 0", b"Content-Length: 4"), body=b"body"),
    # Where a line ends
    "a CR within a field": datagram(extra=(b"X: a\r" + HIDDEN,)),
    "a CR instead of a line end": datagram(extra=(b"X: a\r\r\n" + HIDDEN,)),
    "a CR before a fold": datagram(extra=(b"X: a\r\r\n b",)),
    "a CR in the start line": datagram(START.replace(b" SIP", b"\rSIP")),
    "a CR behind the start line": datagram(START + b"\r"),
    "a CR among LF": datagram(extra=(b"X: a\r" + HIDDEN,), eol=b"\n"),
    "a NUL before a line end": datagram(extra=(b"X: a\x00",)),
    "a NUL that hides a field": datagram(extra=(b"X: a\x00\r\n" + HIDDEN,)),
    "a NUL in a name": datagram(extra=(b"Route\x00: <sip:evil>",)),
    "a NUL in a quoted string": changed(b"From", b'"a\x00" <sip:a@b>;tag=1'),
    "a NUL in a tag": changed(b"From", b"<sip:a@b>;tag=a\x00b"),
    "a NUL in a Via": changed(b"Via", VIA + b"\x00;received=192.0.2.66"),
    "a NUL in the Request-URI": datagram(b"INVITE sip:8006@192.0.2.1\x00.evil.example SIP/2.0"),
    "a NUL in a tel: URI": datagram(b"INVITE tel:+1\x00 SIP/2.0"),
    "a vertical tab for a fold": datagram(extra=(b"X: a", b"\x0b" + HIDDEN)),
    "a no-break space for a fold": datagram(extra=(b"X: a", b"\xa0" + HIDDEN)),
    # What a field's name is
    "a fold before the colon": datagram(extra=(b"Route\r\n : <sip:evil>",)),
    "a blank within a name": datagram(extra=(b"Max Forwards: 0",)),
    "a colon alone": datagram(extra=(b": <sip:evil>",)),
    "no colon at all": datagram(extra=(b"Route <sip!evil>",)),
    "a name in quotes": datagram(extra=(b'"Route": <sip:evil>',)),
    "a field folded to the start line": datagram(START + b"\r\n " + HIDDEN),
    # The start line
    "a tab": datagram(START.replace(b" ", b"\t")),
    "two blanks": datagram(START.replace(b" ", b"  ", 1)),
    "a blank behind the version": datagram(START + b" "),
    "a method of a reply": datagram(b"SIP/2.0 sip:a SIP/2.0"),
    "two hosts": datagram(b"INVITE sip:8006@192.0.2.1@evil.example SIP/2.0"),
    "a second host among the parameters": datagram(b"INVITE sip:192.0.2.1:5060;x=1@evil.example SIP/2.0"),
    "angle brackets": datagram(b"INVITE <sip:8006@192.0.2.1> SIP/2.0"),
    "header fields in the URI": datagram(b"INVITE sip:8006@192.0.2.1?Route=%3Csip:evil%3E SIP/2.0"),
    "maddr twice": datagram(b"INVITE sip:8006@192.0.2.1;maddr=192.0.2.1;maddr=192.0.2.66 SIP/2.0"),
    "maddr once more in escapes": datagram(b"INVITE sip:a@b;maddr=192.0.2.1;m%61ddr=192.0.2.66 SIP/2.0"),
    "a NUL in escapes in maddr": datagram(b"INVITE sip:a@b;maddr=192.0.2.1%00.evil SIP/2.0"),
    "a colon too many": datagram(b"INVITE sip:a:b:c@d SIP/2.0"),
    # The Via stack
    "a branch twice": changed(b"Via", VIA + b";branch=z9hG4bK-2"),
    "received twice": changed(b"Via", VIA + b";received=192.0.2.1;received=192.0.2.66"),
    "rport twice": changed(b"Via", VIA + b";RPORT=5"),
    "an empty value first": changed(b"Via", b"," + VIA),
    "an empty value last": changed(b"Via", VIA + b","),
    "an empty field first": datagram(change={b"Via": b""}, extra=(b"Via: " + VIA,)),
    "a comma in angle brackets": changed(b"Via", VIA + b";x=<a, " + VIA + b">"),
    "a comma in a quote that never ends": changed(b"Via", VIA + b';x="a, ' + VIA),
    "two values with a blank between": changed(b"Via", VIA + b" " + VIA),
    "a port of blanks and digits": changed(b"Via", b"SIP/2.0/UDP a:50 60;branch=x"),
    "IPv6 without brackets": changed(b"Via", b"SIP/2.0/UDP 2001:db8::1:5060;branch=x"),
    "a second Via that cannot be read": datagram(extra=(b"v: nonsense",)),
    # Addresses
    "two values in From": changed(b"From", b"<sip:a@b>;tag=1, <sip:c@d>;tag=2"),
    "two values without brackets": changed(b"From", b"sip:a@b,sip:c@d;tag=2"),
    "two tags": changed(b"To", b"<sip:a@b>;tag=1;TAG=2"),
    "a tag with a comma": changed(b"To", b"<sip:a@b>;tag=1,2"),
    "a tag with a blank": changed(b"To", b"<sip:a@b>;tag=1 2"),
    "a tag before the bracket": changed(b"To", b"a;tag=1 <sip:a@b>"),
    "a display name that is a URI": changed(b"To", b"sip:evil@x <sip:a@b>"),
    "a quote in the middle of a name": changed(b"To", b'a "b" <sip:a@b>'),
    "a bracket in a bracket": changed(b"To", b"<sip:<sip:evil>@b>"),
    "a quote in a bracket": changed(b"To", b'<sip:"a>"@b>'),
    "a URI with a comma and no brackets": changed(b"To", b"sip:a,b@c"),
    # Route
    "a Route in a Route": datagram(extra=(b"Route: <sip:a;x=<sip:evil>;lr>",)),
    "a Route without an end": datagram(extra=(b"Route: <sip:a;lr", HIDDEN)),
    "a Route with a quote that never ends": datagram(extra=(b'Route: "a <sip:b;lr>, <sip:evil>',)),
    "a Route with an empty value": datagram(extra=(b"Route: <sip:a;lr>,,<sip:b;lr>",)),
    "Routes with no comma": datagram(extra=(b"Route: <sip:a;lr> <sip:evil;lr>",)),
    # Lengths
    "a body shorter than it says": datagram(extra=(b"l: 5",), body=b"body"),
    "a length below zero": datagram(extra=(b"l: -1",), body=b"body"),
    "two lengths in one": datagram(extra=(b"l: 0, 4",), body=b"body"),
    "a length in hexadecimal": datagram(extra=(b"l: 0x0",), body=b"body"),
    "a length with a sign": datagram(extra=(b"l: +4",), body=b"body"),
    "a length beyond all integers": datagram(extra=(b"l: " + b"9" * 10_000,), body=b"body"),
    # Numbers
    "a sequence number that wraps": changed(b"CSeq", b"4294967297 INVITE"),
    "another method in CSeq": changed(b"CSeq", b"1 REGISTER"),
    "a method in another case in CSeq": changed(b"CSeq", b"1 invite"),
    "Max-Forwards that wraps": changed(b"Max-Forwards", b"4294967366"),
    "Call-ID of two words": changed(b"Call-ID", b"a b"),
    "Call-ID with a control byte": changed(b"Call-ID", b"a\x0bb"),
}


@pytest.mark.parametrize("disguise", REFUSED)
def test_what_others_could_read_differently_is_refused(disguise: str) -> None:
    with pytest.raises(SipError) as caught:
        read(REFUSED[disguise])
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("extra", "uris"),
    [
        ((b'Route: "<sip:evil;lr>" <sip:good;lr>',), [b"sip:good;lr"]),
        ((b'Route: "\\" <sip:evil;lr>, " <sip:good;lr>',), [b"sip:good;lr"]),
        ((b'Route: "a, <sip:evil;lr>, b" <sip:good;lr>, <sip:next>',), [b"sip:good;lr", b"sip:next"]),
        ((b'Route: <sip:good;lr>;x="<sip:evil;lr>"',), [b"sip:good;lr"]),
        ((b'Route: <sip:good;lr>;x=", <sip:evil;lr>"',), [b"sip:good;lr"]),
        ((b"Route: <sip:a,b@good;lr>",), [b"sip:a,b@good;lr"]),
        ((b"Route: <sip:good;lr>", b"X: y", b"ROUTE : <sip:next>"), [b"sip:good;lr", b"sip:next"]),
        ((b"Route:\r\n <sip:good;lr>\r\n ,\r\n\t<sip:next>",), [b"sip:good;lr", b"sip:next"]),
        ((b"X: a\r\n Route: <sip:evil>",), []),
        ((b"X: a\r\n \r\n\tRoute: <sip:evil>",), []),
        ((b"X-Route: <sip:evil>", b"Routes: <sip:evil>", b"r: <sip:refer-to>"), []),
    ],
)
def test_a_route_is_where_all_find_it(extra: tuple[bytes, ...], uris: list[bytes]) -> None:
    assert route_uris(read(datagram(extra=extra)).message) == uris


@pytest.mark.parametrize(
    ("value", "hosts"),
    [
        (b'SIP/2.0/UDP a;x="b, SIP/2.0/UDP evil"', ["a"]),
        (b'SIP/2.0/UDP a;x="\\", SIP/2.0/UDP evil"', ["a"]),
        (b'SIP/2.0/UDP a;x="\\\\", SIP/2.0/UDP b', ["a", "b"]),
        (b'SIP/2.0/UDP a;x="b, SIP/2.0/UDP evil;y=", SIP/2.0/UDP c', ["a", "c"]),
        (b'SIP/2.0/UDP a;x=";received=192.0.2.66"', ["a"]),
        (b"SIP/2.0/UDP a ,SIP/2.0/UDP b\r\n , SIP/2.0/UDP c", ["a", "b", "c"]),
    ],
)
def test_a_via_value_ends_where_all_see_it(value: bytes, hosts: list[str]) -> None:
    stack = [parse_via(text) for text in vias(read(changed(b"Via", value)).message)]
    assert [via.host for via in stack] == hosts
    assert all(via.received is None for via in stack)


@pytest.mark.parametrize(
    ("uri", "host"),
    [
        (b"sip:192.0.2.1;x@evil.example", "evil.example"),
        (b"sip:192.0.2.1%40evil.example", None),
        (b"sip:a%40192.0.2.1@evil.example", "evil.example"),
        (b"sip:192.0.2.1:5060@evil.example", "evil.example"),
        (b"sip:a?b@evil.example", "evil.example"),
        (b"sip:a#@evil.example", "evil.example"),
        (b"sip:a@0xc0000201", "0xc0000201"),
        (b"sip:a@3221225985", "3221225985"),
        (b"sip:a@192.0.2.01", "192.0.2.01"),
    ],
)
def test_a_host_is_what_stands_behind_the_at_sign(uri: bytes, host: str | None) -> None:
    """Numbers that some libraries take for an address are names to us, and names of the edge are never looked up."""
    if host is None:
        with pytest.raises(SipError):
            parse_uri(uri)
        return
    found = parse_uri(uri)
    assert found.host == host
    assert found.numeric_host is None


@pytest.mark.parametrize("blank", [b"\r\n\r\n", b"\r\n\n", b"\n\r\n", b"\n\n"])
def test_the_first_empty_line_ends_the_fields(blank: bytes) -> None:
    """However it is written: what stands below is the body for everybody."""
    written = datagram()[:-4] + blank + HIDDEN + b"\r\n\r\n"
    message = read(written).message
    assert b"route" not in message.names
    assert message.body == HIDDEN + b"\r\n\r\n"
    assert message.to_bytes() == written


def test_a_second_message_in_the_datagram_goes_no_further() -> None:
    """RFC 3261 18.3, RFC 4475 3.1.1.8."""
    message = read(datagram(extra=(b"l: 0",)) + datagram(b"BYE sip:evil SIP/2.0")).message
    assert message.to_bytes() == datagram(extra=(b"l: 0",))


def test_a_line_of_blanks_is_a_fold_and_no_end() -> None:
    message = read(datagram(extra=(b"Subject: a\r\n  ", b"Route: <sip:a;lr>"))).message
    assert route_uris(message) == [b"sip:a;lr"]
    assert message.value(b"subject") == b"a"
