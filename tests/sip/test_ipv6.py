"""Are the messages of RFC 5118 read as it says?  One test for each of its sections."""

from __future__ import annotations

import pytest

from sip.address import parse_name_addr
from sip.errors import SipError
from sip.message import Message
from sip.request import Request, read_request
from sip.uri import parse_uri
from sip.via import parse_via, reply_address, vias
from tests.sip.rfc5118 import MESSAGES


def read(section: str) -> Request:
    return read_request(Message.parse(MESSAGES[section]))


def test_4_1_valid_message_with_an_ipv6_reference() -> None:
    request = read("4.1")
    assert request.uri is not None
    assert (request.uri.host, request.uri.port) == ("2001:db8::10", None)
    assert (request.via.host, request.via.port, request.via.sent_by_port) == ("2001:db8::9:1", None, 5060)
    contact = parse_name_addr(request.message.value(b"contact") or b"")
    assert parse_uri(contact.uri).numeric_host == "2001:db8::1"


def test_4_2_invalid_message_with_an_ipv6_reference() -> None:
    """Without brackets: 'should respond with a 400 Bad Request'."""
    with pytest.raises(SipError) as caught:
        read("4.2")
    assert (caught.value.status, caught.value.reason) == (400, "Malformed SIP URI")


def test_4_3_port_ambiguous_in_a_sip_uri() -> None:
    """What looks like a port is the end of the address."""
    uri = read("4.3").uri
    assert uri is not None
    assert (uri.host, uri.port) == ("2001:db8::10:5070", None)


def test_4_4_port_unambiguous_in_a_sip_uri() -> None:
    uri = read("4.4").uri
    assert uri is not None
    assert (uri.host, uri.port) == ("2001:db8::10", 5070)


def test_4_5_ipv6_reference_delimiters_in_via() -> None:
    """Both spellings of received mean the same."""
    with_brackets, without = read("4.5 with brackets").via, read("4.5 without brackets").via
    assert with_brackets == without
    assert without.received == "2001:db8::9:255"
    assert reply_address(without) == ("2001:db8::9:255", 5060)


def test_4_6_request_with_ipv6_addresses_in_sdp() -> None:
    request = read("4.6")
    assert request.uri == parse_uri(b"sip:user@[2001:DB8:0::10]")
    assert parse_name_addr(request.message.value(b"to") or b"").uri == b"sip:user@[2001:db8::10]"
    assert request.message.to_bytes() == MESSAGES["4.6"]


def test_4_7_both_families_in_header_fields() -> None:
    stack = [parse_via(text) for text in vias(read("4.7").message)]
    assert [(via.transport, via.host, via.sent_by_port, via.received) for via in stack] == [
        ("UDP", "2001:db8::9:1", 6050, None),
        ("UDP", "192.0.2.1", 5060, None),
        ("TCP", "2001:db8::9:255", 5060, "192.0.2.200"),
    ]


def test_4_8_both_families_in_sdp() -> None:
    assert read("4.8").message.to_bytes() == MESSAGES["4.8"]


def test_4_9_ipv4_mapped_ipv6_addresses() -> None:
    """Kept as the IPv6 address that it is, written as sockets write it."""
    request = read("4.9")
    assert (request.via.host, request.via.port) == ("::ffff:192.0.2.10", 19823)
    assert parse_via(b"SIP/2.0/UDP [::FFFF:C000:020A]:19823;branch=z9hG4bKbh19") == request.via


def test_4_10_ipv6_reference_bug_in_rfc_3261_abnf() -> None:
    """Three colons, which RFC 3261's grammar could write: one 'may' guess what was meant, we do not."""
    with pytest.raises(SipError) as caught:
        read("4.10")
    assert (caught.value.status, caught.value.reason) == (400, "Malformed IPv6 reference")


@pytest.mark.parametrize("section", MESSAGES)
def test_each_leaves_as_it_came(section: str) -> None:
    assert Message.parse(MESSAGES[section]).to_bytes() == MESSAGES[section]
