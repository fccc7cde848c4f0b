"""Are the requests what pyroute2 reads, and is every answer of the kernel understood?"""

from __future__ import annotations

import errno
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

from tests.vrrp.adverts import ipv4, ipv6
from vrrp.netlink import (
    Answered,
    KnownAddress,
    KnownLink,
    Torn,
    ask_addresses,
    ask_link,
    delete_address,
    read_answers,
    set_address,
)
from vrrp.packet import pack

NEW_LINK, GET_LINK, NEW_ADDRESS, DELETE_ADDRESS, GET_ADDRESS = 16, 18, 20, 21, 22
REQUEST, ACKNOWLEDGE, DUMP, REPLACE, CREATE, INTERRUPTED = 0x1, 0x4, 0x300, 0x100, 0x400, 0x10
ERROR, DONE = 2, 3
VIP, VIP6 = "192.0.2.100", "2001:db8::64"
MAC = bytes.fromhex("02000000000b")
MAC_TEXT = "02:00:00:00:00:0b"
UP, RUNNING = 0x1, 0x40


def decoded(cls: Any, message: bytes) -> Any:
    read = cls(message)
    read.decode()
    assert read["header"]["length"] == len(message)
    assert len(message) % 4 == 0, "another one follows it in the same datagram"
    return read


def written(cls: Any, kind: int, fields: dict[str, Any], attributes: list[tuple[str, Any]], *, flags: int = 0) -> bytes:
    message = cls()
    message["header"]["type"], message["header"]["flags"] = kind, flags
    for name, value in fields.items():
        message[name] = value
    message["attrs"] = attributes
    message.encode()
    return bytes(message.data)


def answer(kind: int, body: bytes, *, sequence: int = 7, flags: int = 0) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, flags, sequence, 0) + body


# --------------------------------------------------------------------------------------------------------------------
# What is asked


@pytest.mark.parametrize(("address", "family", "prefix"), [(VIP, 2, 24), (VIP6, 10, 64)])
def test_an_address_is_set_with_its_lease(address: str, family: int, prefix: int) -> None:
    read = decoded(ifaddrmsg, set_address(7, 3, address, prefix, 2))
    header = read["header"]
    assert (header["type"], header["sequence_number"]) == (NEW_ADDRESS, 7)
    assert header["flags"] == REQUEST | ACKNOWLEDGE | CREATE | REPLACE
    assert (read["family"], read["prefixlen"], read["index"]) == (family, prefix, 3)
    assert read.get_attr("IFA_LOCAL") == read.get_attr("IFA_ADDRESS") == address
    lease = read.get_attr("IFA_CACHEINFO")
    # One of IPv6 is never chosen to speak from, and not looked for first.
    assert (lease["ifa_valid"], lease["ifa_preferred"]) == (2, 0 if family == 10 else 2)
    assert read.get_attr("IFA_FLAGS") == (0x02 if family == 10 else None)


@pytest.mark.parametrize(("address", "family", "prefix"), [(VIP, 2, 32), (VIP6, 10, 128)])
def test_an_address_is_deleted_by_its_prefix_and_no_label(address: str, family: int, prefix: int) -> None:
    read = decoded(ifaddrmsg, delete_address(8, 3, address, prefix))
    header = read["header"]
    assert (header["type"], header["flags"], header["sequence_number"]) == (DELETE_ADDRESS, REQUEST | ACKNOWLEDGE, 8)
    assert (read["family"], read["prefixlen"], read["index"]) == (family, prefix, 3)
    assert dict(read["attrs"]) == {"IFA_LOCAL": address, "IFA_ADDRESS": address}


def test_what_there_is_is_asked_for() -> None:
    header = decoded(ifaddrmsg, ask_addresses(9))["header"]
    assert (header["type"], header["flags"], header["sequence_number"]) == (GET_ADDRESS, REQUEST | DUMP, 9)
    for name in ("eth0", "lo", "fifteen-letters"):
        read = decoded(ifinfmsg, ask_link(10, name))
        header = read["header"]
        assert (header["type"], header["flags"], header["sequence_number"]) == (GET_LINK, REQUEST | ACKNOWLEDGE, 10)
        assert read.get_attr("IFLA_IFNAME") == name


# --------------------------------------------------------------------------------------------------------------------
# What is answered


def test_an_acknowledgement_and_a_refusal_name_their_request() -> None:
    fine, refused = struct.pack("=i", 0), struct.pack("=i", -errno.EPERM)
    both = answer(ERROR, fine + bytes(16)) + answer(ERROR, refused + b"\x01" * 21, sequence=8) + bytes(3)
    assert list(read_answers(both + answer(DONE, fine))) == [Answered(7, 0), Answered(8, errno.EPERM), Answered(7, 0)]


@settings(deadline=None)
@given(st.one_of(ipv4, ipv6), st.integers(0, 32), st.integers(1, 2**31 - 1), st.one_of(st.none(), st.just("eth0:1")))
def test_an_address_is_read_whatever_its_label(address: str, prefix: int, index: int, label: str | None) -> None:
    fields = {"family": 10 if ":" in address else 2, "prefixlen": prefix, "index": index}
    attributes = [("IFA_ADDRESS", address), *([("IFA_LABEL", label)] if label else [])]
    told = written(ifaddrmsg, NEW_ADDRESS, fields, attributes)
    assert list(read_answers(told)) == [KnownAddress(index, address, prefix)]


@pytest.mark.parametrize(("own", "peer", "family"), [(VIP, "192.0.2.1", 2), (VIP6, "2001:db8::1", 10)])
def test_the_address_of_a_tunnel_is_this_ends(own: str, peer: str, family: int) -> None:
    fields = {"family": family, "prefixlen": 32, "index": 3}
    told = written(ifaddrmsg, NEW_ADDRESS, fields, [("IFA_ADDRESS", peer), ("IFA_LOCAL", own)])
    assert list(read_answers(told)) == [KnownAddress(3, own, 32)]


@pytest.mark.parametrize("family", [2, 10, 28])
def test_an_address_that_is_none_is_nothing(family: int) -> None:
    body = struct.pack("=BBBBi", family, 24, 0, 0, 3)
    odd = struct.pack("=HH", 4 + 3, 1) + bytes(4)
    assert list(read_answers(answer(NEW_ADDRESS, body) + answer(NEW_ADDRESS, body + odd))) == []


@pytest.mark.parametrize(
    ("kind", "flags", "expected"),
    [
        (1, UP | RUNNING, KnownLink(3, running=True, hardware=MAC)),
        (772, UP | RUNNING, KnownLink(3, running=True, hardware=MAC)),
        (65534, UP | RUNNING, KnownLink(3, running=True, hardware=b"")),
        (1, UP, KnownLink(3, running=False, hardware=MAC)),
        (1, RUNNING, KnownLink(3, running=False, hardware=MAC)),
    ],
)
def test_a_link_is_read(kind: int, flags: int, expected: KnownLink) -> None:
    fields = {"family": 0, "ifi_type": kind, "index": 3, "flags": flags}
    told = written(ifinfmsg, NEW_LINK, fields, [("IFLA_IFNAME", "eth0"), ("IFLA_ADDRESS", MAC_TEXT)])
    assert list(read_answers(told)) == [expected]


def test_an_answer_that_may_have_left_something_out_says_so() -> None:
    told = written(
        ifaddrmsg,
        NEW_ADDRESS,
        {"family": 2, "prefixlen": 24, "index": 3},
        [("IFA_LOCAL", VIP)],
        flags=INTERRUPTED,
    )
    assert list(read_answers(told)) == [Torn(), KnownAddress(3, VIP, 24)]


def test_the_type_of_an_attribute_is_read_without_the_bits_above_it() -> None:
    body = struct.pack("=BBBBi", 2, 24, 0, 0, 3) + struct.pack("=HH", 8, 0x8002) + pack(VIP)
    assert list(read_answers(answer(NEW_ADDRESS, body))) == [KnownAddress(3, VIP, 24)]


ADDRESS = struct.pack("=BBBBi", 2, 24, 0, 0, 3)


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        answer(ERROR, b"")[:15],
        answer(ERROR, b"\0\0\0"),
        answer(NEW_ADDRESS, ADDRESS[:-1]),
        answer(NEW_LINK, bytes(15)),
        answer(24, bytes(40)),  # a route
        struct.pack("=IHHII", 15, ERROR, 0, 7, 0) + bytes(20),
        struct.pack("=IHHII", 99, ERROR, 0, 7, 0) + bytes(20),
        answer(NEW_ADDRESS, ADDRESS + struct.pack("=HH", 3, 2) + pack(VIP)),
        answer(NEW_ADDRESS, ADDRESS + struct.pack("=HH", 9, 2) + pack(VIP)),
        answer(NEW_ADDRESS, ADDRESS + b"\x08\x00\x02"),
    ],
)
def test_what_is_cut_off_or_of_another_kind_is_nothing(datagram: bytes) -> None:
    assert list(read_answers(datagram)) == []


@settings(deadline=None)
@given(st.binary(max_size=120))
def test_no_bytes_make_it_raise(tail: bytes) -> None:
    for kind in (ERROR, NEW_ADDRESS, NEW_LINK):
        list(read_answers(tail))
        list(read_answers(answer(kind, tail)))
