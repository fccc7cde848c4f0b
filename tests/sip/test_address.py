"""Is the URI and the tag found in From, To, Contact and Route, however they are written (RFC 3261 20.10)?"""

from __future__ import annotations

import pytest

from sip.address import parse_name_addr, tag_of
from sip.errors import SipError


@pytest.mark.parametrize(
    ("text", "uri", "params"),
    [
        (b"<sip:a@b>", b"sip:a@b", b""),
        (b"< sip:a@b\t>", b"sip:a@b", b""),
        (b"<sip:a@b;lr>;x", b"sip:a@b;lr", b";x"),
        (b"<sip:a,b;c?d@e?f=g>", b"sip:a,b;c?d@e?f=g", b""),
        (b"Alice <sip:a@b>", b"sip:a@b", b""),
        (b"caller<sip:a@b>;tag=1", b"sip:a@b", b";tag=1"),
        (b"token1~` token2'+_ token3*%!.- <sip:a@b>", b"sip:a@b", b""),
        ("Jürgen Müller (Büro) <sip:a@b>".encode(), b"sip:a@b", b""),
        (b'"" <sip:a@b>', b"sip:a@b", b""),
        (b'"J Rosenberg \\\\\\""       <sip:a@b> ; x', b"sip:a@b", b" ; x"),
        (b'"<sip:evil@x>;tag=1" <sip:a@b>', b"sip:a@b", b""),
        (b'"a\\\x00b"<sip:a@b>', b"sip:a@b", b""),
        (b"sip:a@b", b"sip:a@b", b""),
        (b"sip:a@b;user=phone", b"sip:a@b", b";user=phone"),
        (b"sip:a@b ;   tag    = 1", b"sip:a@b", b" ;   tag    = 1"),
        (b"isbn:2983792873", b"isbn:2983792873", b""),
        (b"<http://www.example.com>;tag=3", b"http://www.example.com", b";tag=3"),
        (b"<tel:+1-201-555-0123;ext=5>", b"tel:+1-201-555-0123;ext=5", b""),
        (b"<sip:[2001:db8::1]:5070>", b"sip:[2001:db8::1]:5070", b""),
        (b"sip:a@[2001:db8::1]", b"sip:a@[2001:db8::1]", b""),
    ],
)
def test_an_address_is_its_uri_and_its_parameters(text: bytes, uri: bytes, params: bytes) -> None:
    address = parse_name_addr(text)
    assert (address.uri, address.params) == (uri, params)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"*",
        b"<>",
        b"<sip:a@b",
        b"sip:a@b>",
        b'"Alice <sip:a@b>',
        b'"Alice" sip:a@b',
        b'Mr. "A" <sip:a@b>',
        b"<sip:a@b> <sip:c@d>",
        b"<sip:a@b>, <sip:c@d>",
        b"<sip:a<b@c>",
        b"<sip:a b@c>",
        b'<sip:a"b@c>',
        b"<sip:a\x00@c>",
        b"<no-scheme>",
        b"no-scheme",
        b"<sip:a@b>x",
        b"<sip:a@b>;",
        b"<sip:a@b>;;tag=1",
        b"<sip:a@b>;tag=1 2",
        b"<sip:a@b>;tag=1, <sip:c@d>;tag=2",
        b"Bell, Alexander <sip:a@b>",
        b"sip:x@y <sip:a@b>",
        b"a;tag=1 <sip:a@b>",
        b"a\\b <sip:a@b>",
        b"a\x00b <sip:a@b>",
        b"sip:a,b@c",
        b"sip:a@b?Route=c",
        b"sip:a@b c",
    ],
)
def test_what_can_be_read_in_two_ways_or_none_is_refused(text: bytes) -> None:
    """RFC 4475 3.1.2.6, 3.1.2.13, 3.1.2.15; RFC 3261 20: a comma or question mark in a URI wants brackets round it."""
    with pytest.raises(SipError, match="Malformed address"):
        parse_name_addr(text)


def test_a_parameter_is_found_by_its_name_in_lower_case() -> None:
    address = parse_name_addr(b'<sip:a@b>;Expires=60;q;x="y"')
    assert [address.param(name) for name in (b"expires", b"q", b"x", b"tag")] == [b"60", b"", b'"y"', None]
    assert parse_name_addr(b"<sip:a@b>").param(b"tag") is None


@pytest.mark.parametrize(
    ("raw", "tag"),
    [
        (b" <sip:a@b>;tag=1", b"1"),
        (b' "Alice" <sip:a@b>;tag=a-.!%*_+`\'~Z9 ', b"a-.!%*_+`'~Z9"),
        (b"\t<sip:a@b>", b""),
        (b" sip:a@b;tag=1", b"1"),
        (b" sip:a@b", b""),
        (b" <sip:a@b;tag=uri>", b""),
        (b" <sip:a@b> ; x=y ; TAG = 1", b"1"),
        (b" <sip:a@b>\r\n ;\r\n tag = 1", b"1"),
        (b" <sip:a@b>;tag=1\r", b"1"),
        (b' "x>;tag=no" <sip:a@b>', b""),
        (b' "x\\">;tag=no" <sip:a@b>;tag=yes', b"yes"),
        (b' <sip:a@b>;x=";tag=no";tag=yes', b"yes"),
        (b" <sip:a@b>;tag=", b""),
        (b" <sip:a@b>;tag", b""),
        (b" <sip:a@b>;tag=a@b:c", b"a@b:c"),
    ],
)
def test_the_tag_is_the_fields_and_not_the_uris(raw: bytes, tag: bytes) -> None:
    assert tag_of(raw) == tag


@pytest.mark.parametrize("raw", [b" <sip:a@b>;tag=1;tag=2", b" sip:a@b;tag=1;Tag=1"])
def test_two_tags_are_refused(raw: bytes) -> None:
    with pytest.raises(SipError, match="Repeated parameter"):
        tag_of(raw)


def test_a_malformed_field_has_no_tag() -> None:
    with pytest.raises(SipError, match="Malformed address"):
        tag_of(b" <sip:a@b>;tag=1,2")
