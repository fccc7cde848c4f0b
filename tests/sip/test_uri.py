"""Is a URI taken apart as RFC 3261 19.1 and 25.1 say, and is what no URI is refused?"""

from __future__ import annotations

import attrs
import pytest

from sip.errors import SipError
from sip.limits import MAX_CACHED_URI_BYTES
from sip.uri import host_port, numeric, parse_host, parse_uri, scheme_of, unescape


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        (b"sip:b", {"host": "b"}),
        (b"SIP:A@B.Example.COM", {"user": b"A", "host": "b.example.com"}),
        (b"sip:b:1", {"host": "b", "port": 1}),
        (b"sip:b:65535", {"host": "b", "port": 65535}),
        (b"sips:a@b:5062", {"scheme": "sips", "user": b"a", "host": "b", "port": 5062}),
        (b"sip:a:p%40ss@b", {"user": b"a", "password": b"p%40ss", "host": "b"}),
        (b"sip:a:@b", {"user": b"a", "password": b"", "host": "b"}),
        (b"sip:user;par=u%40example.net@b", {"user": b"user;par=u%40example.net", "host": "b"}),
        (b"sip:%61#*1@b", {"user": b"%61#*1", "host": "b"}),
        (b"sip:a/b?c@d", {"user": b"a/b?c", "host": "d"}),
        (b"sip:192.0.2.1", {"host": "192.0.2.1"}),
        (b"sip:[2001:DB8::0:1]:5070", {"host": "2001:db8::1", "port": 5070}),
        (b"sip:_sip._udp.b_c-d.example.", {"host": "_sip._udp.b_c-d.example."}),
        (b"sip:a@b?Subject=x&y", {"user": b"a", "host": "b", "headers": b"Subject=x&y"}),
        (b"sip:b;lr", {"host": "b", "params": (("lr", None),)}),
        (b"sip:b;Transport=TCP;x=", {"host": "b", "params": (("transport", "TCP"), ("x", ""))}),
        (b"sip:b;%6C%72;n%61me=v%61lue%25%34%31", {"host": "b", "params": (("lr", None), ("name", "value%41"))}),
        (b"sip:b;x=[::1]:5/&+$", {"host": "b", "params": (("x", "[::1]:5/&+$"),)}),
        (b"sip:b;maddr=[::1]", {"host": "b", "params": (("maddr", "[::1]"),)}),
        (b"sip:b;x=\xe4", {"host": "b", "params": (("x", "\xe4"),)}),
        (b"sip:a@b;lr?h", {"user": b"a", "host": "b", "params": (("lr", None),), "headers": b"h"}),
    ],
)
def test_a_uri_is_its_pieces(text: bytes, pieces: dict[str, object]) -> None:
    bare = dict.fromkeys(("user", "password", "port", "headers"))
    assert attrs.asdict(parse_uri(text), recurse=False) == {**bare, "scheme": "sip", "params": (), **pieces}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "Malformed SIP URI"),
        (b"sip:", "Malformed SIP URI"),
        (b"sip:@b", "Malformed SIP URI"),
        (b"sip:a@", "Malformed SIP URI"),
        (b"sip:a@b@c", "Malformed SIP URI"),
        (b"sip:a:b:c@d", "Malformed SIP URI"),
        (b"sip://b", "Malformed SIP URI"),
        (b"sip:a b@c", "Malformed SIP URI"),
        (b" sip:b", "Malformed SIP URI"),
        (b"<sip:b>", "Malformed SIP URI"),
        (b"sip:b:", "Malformed SIP URI"),
        (b"sip:b:x", "Malformed SIP URI"),
        (b"sip:b:123456", "Malformed SIP URI"),
        (b"sip:-b", "Malformed SIP URI"),
        (b"sip:b\x00", "Malformed SIP URI"),
        (b"sip:b;x=\x7f", "Malformed SIP URI"),
        (b'sip:b;x="y"', "Malformed SIP URI"),
        (b"sip:b:1;x=y@c", "Malformed SIP URI"),
        (b"sip:b:1?x=y@c", "Malformed SIP URI"),
        (b"sip:b?x=<y>", "Malformed SIP URI"),
        (b"sip:\xc3\xa4@b", "Malformed SIP URI"),
        (b"tel:+1", "Malformed SIP URI"),
        (b"sipx:b", "Malformed SIP URI"),
        (b"sip:b:0", "Port out of range in URI"),
        (b"sip:b:65536", "Port out of range in URI"),
        (b"sip:%4@b", "Malformed escape in URI"),
        (b"sip:a@b;x=%zz", "Malformed escape in URI"),
        (b"sip:a@b?x=%", "Malformed escape in URI"),
        (b"sip:[1.2.3.4]", "Malformed IPv6 reference"),
        (b"sip:[1::2::3]", "Malformed IPv6 reference"),
        (b"sip:[]", "Malformed SIP URI"),
        (b"sip:b;", "Empty parameter in URI"),
        (b"sip:b;;lr", "Empty parameter in URI"),
        (b"sip:b;=x", "Empty parameter in URI"),
        (b"sip:b;maddr", "Malformed maddr in URI"),
        (b"sip:b;maddr=", "Malformed maddr in URI"),
        (b"sip:b;m%61ddr=a%00b", "Malformed maddr in URI"),
        (b"sip:b;maddr=::1", "Malformed maddr in URI"),
    ],
)
def test_what_is_no_uri_is_refused(text: bytes, reason: str) -> None:
    with pytest.raises(SipError) as caught:
        parse_uri(text)
    assert (caught.value.reason, caught.value.status) == (reason, 400)


def test_a_long_uri_is_read_as_a_short_one_but_not_remembered() -> None:
    """4,096 of the longest would take hundreds of megabytes."""
    for size in (10, MAX_CACHED_URI_BYTES, MAX_CACHED_URI_BYTES + 1):
        user = b"a" * (size - len(b"sip:@b"))
        first, second = (parse_uri(b"sip:" + user + b"@b") for _ in range(2))
        assert first == second
        assert first.user == user
        assert (first is second) == (size <= MAX_CACHED_URI_BYTES)


def test_a_parameter_is_asked_for_by_its_name_in_lower_case() -> None:
    uri = parse_uri(b"sip:b;LR;Maddr=192.0.2.1")
    assert [uri.param(name) for name in ("lr", "maddr", "transport")] == ["", "192.0.2.1", None]


@pytest.mark.parametrize(
    ("text", "transport", "port"),
    [
        (b"sip:b", "udp", 5060),
        (b"sip:b;transport=TCP", "tcp", 5060),
        (b"sip:b;transport=tls", "tls", 5061),
        (b"sip:b;transport=", "udp", 5060),
        (b"sip:b;tr%61nsport=tcp", "tcp", 5060),
        (b"sips:b", "tls", 5061),
        (b"sips:b;transport=tcp", "tls", 5061),
        (b"sips:b;transport=udp", "tls", 5061),
        (b"sips:b;transport=ws", "wss", 5060),
        (b"sips:b;transport=WSS", "wss", 5060),
    ],
)
def test_the_transport_is_asked_for_or_follows_from_the_scheme(text: bytes, transport: str, port: int) -> None:
    """RFC 3261 26.2.2: sips never goes in the clear, whatever transport it asks for."""
    uri = parse_uri(text)
    assert (uri.transport, uri.default_port) == (transport, port)


@pytest.mark.parametrize(
    ("host", "canonical"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("255.255.255.255", "255.255.255.255"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.1"),
        ("::FFFF:C000:201", "::ffff:192.0.2.1"),
        ("::", "::"),
        ("256.0.2.1", None),
        ("192.0.2", None),
        ("192.0.2.1.", None),
        ("192.0.02.1", None),
        ("0300.0.2.1", None),
        ("fe80::1%eth0", None),
        ("1:2", None),
        ("example.com", None),
        ("\xb9.0.2.1", None),
        ("", None),
    ],
)
def test_only_one_text_stands_for_an_address(host: str, canonical: str | None) -> None:
    """No octal, no short forms, no zone: what one library reads as an address another takes for a name."""
    assert numeric(host) == canonical
    assert parse_uri(b"sip:192.0.2.1").numeric_host == "192.0.2.1"
    assert parse_uri(b"sip:example.com").numeric_host is None


def test_hosts_are_in_lower_case() -> None:
    assert parse_host(b"Example.COM") == "example.com"
    assert parse_host(b"[2001:DB8::0]") == "2001:db8::"


@pytest.mark.parametrize("text", [b"[fe80::1%1]", b"[x]", b"[]"])
def test_what_is_no_ipv6_reference_is_refused(text: bytes) -> None:
    with pytest.raises(SipError, match="Malformed IPv6 reference"):
        parse_host(text)


@pytest.mark.parametrize(
    ("text", "scheme"), [(b"tel:+1", b"tel"), (b"URN:service:sos", b"urn"), (b"soap.beep://x", b"soap.beep")]
)
def test_any_uri_has_a_scheme(text: bytes, scheme: bytes) -> None:
    assert scheme_of(text) == scheme


@pytest.mark.parametrize("text", [b"", b"tel", b":x", b"1a:x", b"<sip:a>", b"a b:c"])
def test_what_has_no_scheme_is_no_uri(text: bytes) -> None:
    with pytest.raises(SipError, match="Malformed URI"):
        scheme_of(text)


@pytest.mark.parametrize(
    ("text", "plain"),
    [(b"a%40b", b"a@b"), (b"%25%34%31", b"%41"), (b"%00", b"\x00"), (b"ab", b"ab"), (b"%zz%", b"%zz%")],
)
def test_escapes_are_undone_once(text: bytes, plain: bytes) -> None:
    assert unescape(text) == plain


def test_an_address_is_written_with_brackets_where_it_needs_them() -> None:
    assert host_port(("192.0.2.1", 5060)) == "192.0.2.1:5060"
    assert host_port(("2001:db8::1", 5060)) == "[2001:db8::1]:5060"
