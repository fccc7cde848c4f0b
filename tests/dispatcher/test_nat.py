"""Is a sender behind a NAT told from a trunk whose Contact is elsewhere?"""

from __future__ import annotations

import pytest

from dispatcher.nat import is_behind_nat, is_local, is_private
from sip.message import Message
from sip.request import read_request
from tests.dispatcher.world import request

PUBLIC = "198.51.100.7"
LAN = "192.168.1.5"


def behind_nat(source: str, *, via: str, contact: str | None, port: int = 5060, via_params: str = "") -> bool:
    datagram = request(via=via, contact=contact, via_params=via_params)
    return is_behind_nat(read_request(Message.parse(datagram)), (source, port))


@pytest.mark.parametrize(
    ("via", "contact", "source", "expected"),
    [
        # what sent-by says
        (LAN, None, PUBLIC, True),
        (f"{LAN}:5062", f"<sip:a@{PUBLIC}>", PUBLIC, True),
        ("203.0.113.9", f"<sip:a@{PUBLIC}>", PUBLIC, True),
        (PUBLIC, None, PUBLIC, False),
        (f"{PUBLIC}:1", None, PUBLIC, False),
        ("phone.example.com", None, PUBLIC, False),
        ("[2001:DB8:0::7]", None, "2001:db8::7", False),
        ("[fd00::7]", None, "2001:db8::7", True),
        # what Contact says
        (PUBLIC, f"<sip:a@{LAN}>", PUBLIC, True),
        (PUBLIC, f"<sip:{LAN}:5062;transport=udp>", PUBLIC, True),
        (PUBLIC, f"sip:a@{LAN}", PUBLIC, True),
        (PUBLIC, f'"A, B" <sips:a@{LAN}>;expires=60', PUBLIC, True),
        (PUBLIC, "<sip:a@10.1.2.3>, <sip:a@203.0.113.9>", PUBLIC, True),
        (PUBLIC, f"sip:a@{LAN}, <sip:a@203.0.113.9>", PUBLIC, True),
        (PUBLIC, f'"<sip:a@{LAN}>" <sip:a@203.0.113.9>', PUBLIC, False),
        (PUBLIC, "<sip:a@172.31.0.1>", PUBLIC, True),
        (PUBLIC, "<sip:a@100.64.0.1>", PUBLIC, True),
        (PUBLIC, "<sip:a@[fd12::1]:5060>", PUBLIC, True),
        ("phone.local", f"<sip:a@{LAN}>", PUBLIC, True),
        (PUBLIC, "<sip:a@127.0.0.1>", PUBLIC, True),
        (LAN, "<sip:a@127.255.0.1:5062>", LAN, True),
        (LAN, "<sip:a@169.254.3.4>", LAN, True),
        ("[2001:db8::7]", "<sip:a@[::1]>", "2001:db8::7", True),
        ("[fd00::7]", "<sip:a@[fe80::7]>", "fd00::7", True),
        ("127.0.0.2", "<sip:a@127.0.0.1:5070>", "127.0.0.2", False),
        ("127.0.0.2", f"<sip:a@{LAN}>", "127.0.0.2", True),
        ("[::1]", "<sip:a@[::1]>", "::1", False),
        (PUBLIC, "<sip:a@203.0.113.9>", PUBLIC, False),  # a trunk
        (PUBLIC, "<sip:a@172.32.0.1>", PUBLIC, False),
        (PUBLIC, f"<sip:a@{PUBLIC}:1>", PUBLIC, False),
        (PUBLIC, "<sip:a@phone.example.com>", PUBLIC, False),
        (PUBLIC, "<sip:a@1.2.3>", PUBLIC, False),
        (PUBLIC, "<sip:a@[2001:db8::1]>", PUBLIC, False),
        (PUBLIC, "*", PUBLIC, False),
        (PUBLIC, "<tel:123>", PUBLIC, False),
        (PUBLIC, "<sip:a@", PUBLIC, False),
        (PUBLIC, '"A <sip:a@1.2.3.4>', PUBLIC, False),
        # one network
        (LAN, f"<sip:a@{LAN}>", LAN, False),
        ("10.0.0.1", f"<sip:a@{LAN}>", "10.0.0.1", False),
        (LAN, "<sip:a@203.0.113.9>", LAN, False),
    ],
)
def test_who_is_behind_a_nat(via: str, contact: str | None, source: str, *, expected: bool) -> None:
    assert behind_nat(source, via=via, contact=contact) is expected


@pytest.mark.parametrize(
    ("contact", "port", "via_params", "expected"),
    [
        (f"<sip:a@{PUBLIC}:40001>", 40001, ";rport", False),
        (f"<sip:a@{PUBLIC}:40001>", 40002, ";rport", True),
        (f"<sip:a@{PUBLIC}:40001>", 40002, "", False),  # sends and listens on two ports
        (f"<sip:a@{PUBLIC}>", 5060, ";rport", False),
        (f"<sip:a@{PUBLIC}>", 1024, ";rport", True),
        (f"<sip:a@{PUBLIC};ob>", 1024, ";rport", True),
        (f"<sip:a@{PUBLIC};ob>", 5060, ";rport", False),
        (f"<sips:a@{PUBLIC}>", 5061, ";rport", False),
        (f"<sips:a@{PUBLIC}>", 5060, ";rport", True),
        (f"<sip:a@{PUBLIC};transport=tls>", 5061, ";rport", False),
        (f"sip:a@{PUBLIC}:5062", 5062, ";rport=9", False),
        ("<sip:a@203.0.113.9:5060>", 1024, ";rport", False),
        ("<sip:a@1.2.3:5060>", 1024, ";rport", False),
        ("<sip:a@phone.example.com>", 1024, ";rport", False),
        (None, 1024, ";rport", False),
    ],
)
def test_a_nat_that_changes_only_the_port(contact: str | None, port: int, via_params: str, *, expected: bool) -> None:
    assert behind_nat(PUBLIC, via=PUBLIC, contact=contact, port=port, via_params=via_params) is expected


@pytest.mark.parametrize(
    ("first", "last", "before", "after"),
    [
        ("10.0.0.0", "10.255.255.255", "9.255.255.255", "11.0.0.0"),
        ("172.16.0.0", "172.31.255.255", "172.15.255.255", "172.32.0.0"),
        ("192.168.0.0", "192.168.255.255", "192.167.255.255", "192.169.0.0"),
        ("100.64.0.0", "100.127.255.255", "100.63.255.255", "100.128.0.0"),
        ("fc00::", "fdff:ffff::", "fbff::", "fe00::"),
    ],
)
def test_private_networks_have_their_first_and_last_address(first: str, last: str, before: str, after: str) -> None:
    assert [is_private(host) for host in (first, last, before, after)] == [True, True, False, False]


@pytest.mark.parametrize(
    ("first", "last", "before", "after"),
    [
        ("127.0.0.0", "127.255.255.255", "126.255.255.255", "128.0.0.0"),
        ("169.254.0.0", "169.254.255.255", "169.253.255.255", "169.255.0.0"),
        ("::1", "::1", "::", "::2"),
        ("fe80::", "febf:ffff::", "fe7f:ffff::", "fec0::"),
    ],
)
def test_local_networks_have_their_first_and_last_address(first: str, last: str, before: str, after: str) -> None:
    assert [is_local(host) for host in (first, last, before, after)] == [True, True, False, False]
