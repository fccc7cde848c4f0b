"""Does a Via say where its request came from and where the reply goes (RFC 3261 18.2.2, 20.42; RFC 3581)?"""

from __future__ import annotations

import pytest

from sip.errors import SipError
from sip.message import Message
from sip.via import Via, parse_via, reply_address, vias
from tests.sip.samples import datagram

HOST = b"SIP/2.0/UDP 192.0.2.1"


@pytest.mark.parametrize(
    ("text", "via"),
    [
        (HOST, Via("UDP", "192.0.2.1", None, b"")),
        (HOST + b":5062", Via("UDP", "192.0.2.1", 5062, b"")),
        (HOST + b";branch=z9hG4bK-1", Via("UDP", "192.0.2.1", None, b"z9hG4bK-1")),
        (b"SIP/2.0/TCP Pc33.Example.com;branch=x", Via("TCP", "pc33.example.com", None, b"x")),
        (b"sip/2.0/udp 192.0.2.1;branch=x", Via("UDP", "192.0.2.1", None, b"x")),
        (b"SIP / 2.0 / TLS   a : 5 ; branch = x ", Via("TLS", "a", 5, b"x")),
        (b"SIP/2.0/UNKNOWN a;branch=x", Via("UNKNOWN", "a", None, b"x")),
        (b"SIP/2.0/UDP [2001:DB8::0:9]:5;branch=x", Via("UDP", "2001:db8::9", 5, b"x")),
        (HOST + b";branch=x;rport", Via("UDP", "192.0.2.1", None, b"x", None, b"")),
        (HOST + b";branch=x;rport=", Via("UDP", "192.0.2.1", None, b"x", None, b"")),
        (HOST + b";rport;branch=x", Via("UDP", "192.0.2.1", None, b"x", None, b"")),
        (HOST + b":1;branch=x;rport=1", Via("UDP", "192.0.2.1", 1, b"x", None, b"1")),
        (HOST + b";branch=x;rport=65535", Via("UDP", "192.0.2.1", None, b"x", None, b"65535")),
        (
            HOST + b";branch=x;rport=9;received=192.0.2.2",
            Via("UDP", "192.0.2.1", None, b"x", "192.0.2.2", b"9"),
        ),
        (
            HOST + b";received=192.0.2.2;RPORT=9;Branch=x",
            Via("UDP", "192.0.2.1", None, b"x", "192.0.2.2", b"9"),
        ),
        (HOST + b";branch=x;l=0123abcd", Via("UDP", "192.0.2.1", None, b"x")),
        (HOST + b";branch=x;l=01;t=09az", Via("UDP", "192.0.2.1", None, b"x", left=b"09az")),
        (HOST + b";branch=x;l=01;t=09az;i=ab", Via("UDP", "192.0.2.1", None, b"x", left=b"09az", arrival=b"ab")),
        (HOST + b";branch=x;l=01;i=ab", Via("UDP", "192.0.2.1", None, b"x", arrival=b"ab")),
        (HOST + b";branch=x;i=ab", Via("UDP", "192.0.2.1", None, b"x", arrival=b"ab")),
        (HOST + b";i=ab;T=AZ;l=01;branch=x", Via("UDP", "192.0.2.1", None, b"x", left=b"AZ", arrival=b"ab")),
        (HOST + b';x="a;branch=no";branch=x;ttl=16;maddr=224.2.0.1', Via("UDP", "192.0.2.1", None, b"x")),
        (b"SIP/2.0/UDP host.example.;branch=209%fz;alias", Via("UDP", "host.example.", None, b"209%fz")),
    ],
)
def test_a_via_is_its_pieces(text: bytes, via: Via) -> None:
    assert parse_via(text) == via


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "Malformed Via"),
        (b"SIP/2.0/UDP", "Malformed Via"),
        (b"SIP/2.0/UDP ", "Malformed Via"),
        (b"SIP/3.0/UDP a", "Malformed Via"),
        (b"HTTP/2.0/UDP a", "Malformed Via"),
        (b"SIP/2.0/ a", "Malformed Via"),
        (b"SIP/2.0 UDP a", "Malformed Via"),
        (b"SIP/2.0/UDPa", "Malformed Via"),
        (HOST + b" x", "Malformed Via"),
        (HOST + b":", "Malformed Via"),
        (HOST + b":x", "Malformed Via"),
        (HOST + b":123456", "Malformed Via"),
        (HOST + b";", "Malformed Via"),
        (HOST + b";;branch=x", "Malformed Via"),
        (HOST + b";branch=a b", "Malformed Via"),
        (HOST + b";branch=a\x00", "Malformed Via"),
        (HOST + b';branch="a', "Malformed Via"),
        (HOST + b";b(r=a", "Malformed Via"),
        (HOST + b";x=<a>", "Malformed Via"),
        (b"SIP/2.0/UDP 2001:db8::1", "Malformed Via"),
        (b"SIP/2.0/UDP <a>", "Malformed Via"),
        (HOST + b":0", "Port out of range in Via"),
        (HOST + b":65536;branch=x", "Port out of range in Via"),
        (HOST + b":65536;x", "Port out of range in Via"),
        (b"SIP/2.0/UDP [1::2::3]", "Malformed IPv6 reference"),
        (HOST + b";branch=x;rport=0", "Malformed rport in Via"),
        (HOST + b";branch=x;rport=65536", "Malformed rport in Via"),
        (HOST + b";branch=x;rport=000005060", "Malformed rport in Via"),
        (HOST + b";branch=x;rport=005060", "Malformed rport in Via"),
        (HOST + b";branch=x;rport=000001" + b"0" * 5000, "Malformed rport in Via"),
        (HOST + b";branch=x;rport=-1", "Malformed rport in Via"),
        (HOST + b";branch=x;rport=x", "Malformed rport in Via"),
        (HOST + b";rport=0;branch=x", "Malformed rport in Via"),
        (HOST + b";branch=x;received=a", "Malformed received in Via"),
        (HOST + b";branch=x;received=", "Malformed received in Via"),
        (HOST + b";branch=x;received", "Malformed received in Via"),
        (HOST + b";branch=x;received=1.2.3", "Malformed received in Via"),
        (HOST + b";branch=x;received=~192.0.2.1", "Malformed received in Via"),
        (HOST + b";branch=x;received=fe80::1%25eth0", "Malformed received in Via"),
        (HOST + b";branch=x;received=\xb2.0.2.1", "Malformed received in Via"),
        (HOST + b";branch=x;branch=y", "Repeated parameter"),
        (HOST + b";branch=x;Branch=x", "Repeated parameter"),
        (HOST + b";rport;branch=x;rport=5", "Repeated parameter"),
        (HOST + b";branch=x;received=192.0.2.1;received=192.0.2.2", "Repeated parameter"),
    ],
)
def test_what_is_no_via_is_refused(text: bytes, reason: str) -> None:
    with pytest.raises(SipError) as caught:
        parse_via(text)
    assert caught.value.reason == reason


@pytest.mark.parametrize("rest", [b"", b";l=0123abcd", b";i=ab", b";l=01;t=z;i=ab", b";t="])
@pytest.mark.parametrize(
    "shape",
    [
        *(b";branch=x", b";branch=x;rport", b";branch=x;rport=", b";branch=x;rport=7", b";branch=x;received=192.0.2.2"),
        *(b";branch=x;rport=7;received=192.0.2.2", b";branch=x;received=192.0.2.2;rport=7"),
        *(b";rport;branch=x", b";rport=;branch=x", b";rport=7;branch=x", b";rport=7;received=192.0.2.2;branch=x"),
        *(b";rport;received=192.0.2.2;branch=x", b";received=192.0.2.2;rport;branch=x"),
    ],
)
def test_the_common_shapes_are_read_as_any_other(shape: bytes, rest: bytes) -> None:
    """Blanks round the slash are legal and never common, so the same text is read in both ways."""
    for host in (b"192.0.2.1", b"Pc33.Example.com:5062", b"[2001:db8::1]:5062"):
        assert parse_via(b"SIP/2.0/UDP " + host + shape + rest) == parse_via(b"SIP /2.0/UDP " + host + shape + rest)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (HOST, ("192.0.2.1", 5060)),
        (HOST + b":5062", ("192.0.2.1", 5062)),
        (b"SIP/2.0/TLS 192.0.2.1", ("192.0.2.1", 5061)),
        (b"SIP/2.0/WSS 192.0.2.1", ("192.0.2.1", 5061)),
        (b"SIP/2.0/UDP [2001:db8::1]", ("2001:db8::1", 5060)),
        (HOST + b":5062;received=192.0.2.9", ("192.0.2.9", 5062)),
        (HOST + b":5062;rport=7;received=192.0.2.9", ("192.0.2.9", 7)),
        (HOST + b":5062;rport=7", ("192.0.2.1", 7)),
        (HOST + b";rport", ("192.0.2.1", 5060)),
        (b"SIP/2.0/UDP host.example;received=192.0.2.9", ("192.0.2.9", 5060)),
        (b"SIP/2.0/UDP host.example;rport=7", None),
        (b"SIP/2.0/UDP 192.0.2.1.;rport=7", None),
        (HOST + b";maddr=192.0.2.77", ("192.0.2.1", 5060)),
    ],
)
def test_a_reply_goes_to_where_its_request_came_from(text: bytes, address: tuple[str, int] | None) -> None:
    assert reply_address(parse_via(text)) == address


def test_all_via_values_of_a_message_are_told_from_the_top() -> None:
    message = Message.parse(datagram(change={b"Via": b"a, b"}, extra=(b"v:  c ,\r\n d", b"VIA: e")))
    assert vias(message) == [b"a", b"b", b"c", b"d", b"e"]
