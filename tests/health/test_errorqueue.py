"""The kernel's error queue entries, as bytes.

The control messages of the first four cases were read on Linux 6.18, x86-64, with recvmsg(MSG_ERRQUEUE): a closed port
on 127.0.0.1 and ::1, a datagram of 65,508 bytes (IPv4) and of 65,530 bytes (IPv6).
"""

from __future__ import annotations

import errno
import struct
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from health.errorqueue import Origin, SocketError, parse_error

pytestmark = pytest.mark.skipif(sys.byteorder == "big", reason="recorded on a little-endian machine")

REFUSED4 = bytes.fromhex("6f000000020303000000000000000000020000007f0000010000000000000000")
REFUSED6 = bytes.fromhex("6f0000000301040000000000000000000a000000000000000000000000000000000000000000000100000000")
TOO_LONG4 = bytes.fromhex("5a00000001000000ffff00000000000000000000000000000000000000000000")
TOO_LONG6 = bytes.fromhex("5a00000001000000000001000000000000000000000000000000000000000000000000000000000000000000")


def test_refused_ipv4() -> None:
    entry = parse_error(b"OPTIONS", [(0, 11, REFUSED4)], ("127.0.0.1", 9))
    assert entry == SocketError(
        address=("127.0.0.1", 9),
        errno=errno.ECONNREFUSED,
        origin=Origin.ICMP,
        icmp_type=3,
        icmp_code=3,
        offender="127.0.0.1",
        quoted=b"OPTIONS",
    )
    assert entry.from_network
    assert str(entry) == "ECONNREFUSED (ICMP type 3 code 3 from 127.0.0.1)"


def test_refused_ipv6() -> None:
    entry = parse_error(b"x", [(41, 25, REFUSED6)], ("::1", 9, 0, 0))
    assert entry is not None
    assert entry.address == ("::1", 9)
    assert (entry.origin, entry.icmp_type, entry.icmp_code, entry.offender) == (Origin.ICMP6, 1, 4, "::1")
    assert entry.from_network


@pytest.mark.parametrize(("level", "kind", "extended", "mtu"), [(0, 11, TOO_LONG4, 65535), (41, 25, TOO_LONG6, 65536)])
def test_too_long_is_our_own_and_says_the_mtu(level: int, kind: int, extended: bytes, mtu: int) -> None:
    entry = parse_error(b"", [(level, kind, extended)], ("127.0.0.1", 0))
    assert entry == SocketError(address=None, errno=errno.EMSGSIZE, origin=Origin.LOCAL, info=mtu)
    assert not entry.from_network
    assert str(entry) == "EMSGSIZE (local)"


def test_other_control_messages_are_stepped_over() -> None:
    entry = parse_error(b"", [(1, 2, b"credentials"), (0, 11, REFUSED4)], None)
    assert entry is not None
    assert entry.address is None
    assert parse_error(b"", [(0, 8, REFUSED4), (0, 11, REFUSED4[:15])], ("127.0.0.1", 9)) is None
    assert parse_error(b"", [], ("127.0.0.1", 9)) is None


@pytest.mark.parametrize("length", range(16, 32))
def test_an_offender_cut_short_is_none(length: int) -> None:
    for level, kind, whole in ((0, 11, REFUSED4), (41, 25, REFUSED6)):
        entry = parse_error(b"", [(level, kind, whole[:length])], None)
        assert entry is not None
        assert entry.offender == ("127.0.0.1" if level == 0 and length >= 24 else None)


def test_an_origin_of_another_kind_is_not_the_network() -> None:
    stamped = struct.pack("=IBBBBII", errno.ENOMSG, 4, 0, 0, 0, 0, 0)
    entry = parse_error(b"", [(0, 11, stamped)], None)
    assert entry is not None
    assert entry.origin is Origin.OTHER
    assert not entry.from_network


def test_an_errno_without_a_name_is_said_as_its_number() -> None:
    assert str(SocketError(address=None, errno=9999, origin=Origin.NONE)) == "9999 (local)"


@given(st.binary(max_size=60), st.sampled_from([(0, 11), (41, 25), (0, 0)]))
def test_no_bytes_raise(extended: bytes, kind: tuple[int, int]) -> None:
    parse_error(b"", [(*kind, extended)], ("127.0.0.1", 9))
