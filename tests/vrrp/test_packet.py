"""Is what is written what is read, and is it what others write?  scapy is the second opinion."""

from __future__ import annotations

import math
import struct
from typing import Any

import attrs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.vrrp import VRRP, VRRPv3

from tests.vrrp import adverts
from tests.vrrp.adverts import Sent
from vrrp.packet import (
    GROUP_IPV4,
    GROUP_IPV6,
    PROTOCOL,
    Advert,
    Checksum,
    Decoded,
    canonical,
    decode,
    encode,
    internet_checksum,
    with_checksum,
)
from vrrp.refusal import Refusal

NODE = "192.0.2.11"
PEER = "192.0.2.12"
ADVERT = Advert(version=3, vrid=51, priority=250, interval=0.1, addresses=("192.0.2.100", "192.0.2.101"))
ADVERT_V2 = Advert(version=2, vrid=51, priority=250, interval=1, addresses=("192.0.2.100",), password=b"secret")
ADVERT_IPV6 = Advert(version=3, vrid=51, priority=250, interval=0.1, addresses=("fe80::64", "2001:db8::64"))


def read(data: bytes, source: str = NODE, destination: str = GROUP_IPV4) -> Decoded:
    decoded = decode(data, source=source, destination=destination)
    assert isinstance(decoded, Decoded), decoded
    return decoded


# --------------------------------------------------------------------------------------------------------------------
# By itself


@settings(deadline=None)
@given(adverts.sent)
def test_what_is_written_is_read(case: Sent) -> None:
    data = encode(case.advert, source=case.source, destination=case.destination)
    decoded = read(data, case.source, case.destination)
    assert decoded.advert == case.advert
    assert decoded.checksum is (Checksum.MESSAGE if case.advert.version == 2 else Checksum.PSEUDO_HEADER)
    assert decoded.rest == b""


@settings(deadline=None)
@given(adverts.sent, st.binary(min_size=1, max_size=60))
def test_what_follows_the_message_is_handed_on(case: Sent, rest: bytes) -> None:
    data = encode(case.advert, source=case.source, destination=case.destination)
    decoded = read(data + rest, case.source, case.destination)
    assert (decoded.advert, decoded.rest) == (case.advert, rest)


@pytest.mark.parametrize("form", Checksum)
def test_each_form_of_the_checksum_is_read_and_told(form: Checksum) -> None:
    data = encode(ADVERT, source=NODE, destination=PEER, checksum=form)
    assert read(data, destination=PEER) == Decoded(ADVERT, form)


def test_over_ipv6_the_checksum_has_one_form_and_may_cover_what_follows() -> None:
    source, destination = "fe80::1%eth0", GROUP_IPV6
    data = encode(ADVERT_IPV6, source=source, destination=destination, checksum=Checksum.MESSAGE)
    assert read(data, source, destination) == Decoded(ADVERT_IPV6, Checksum.PSEUDO_HEADER)
    covered = with_checksum(data + b"rest", source=source, destination=destination, checksum=Checksum.PSEUDO_HEADER)
    assert covered[6:8] != data[6:8]
    assert read(covered, source, destination) == Decoded(ADVERT_IPV6, Checksum.PSEUDO_HEADER, b"rest")
    message_only = with_checksum(data, source=source, destination=destination, checksum=Checksum.MESSAGE)
    assert decode(message_only, source=source, destination=destination) is Refusal.CHECKSUM


def test_reserved_bits_are_ignored() -> None:
    data = bytearray(encode(ADVERT, source=NODE, destination=GROUP_IPV4))
    data[4] |= 0xF0
    again = with_checksum(bytes(data), source=NODE, destination=GROUP_IPV4, checksum=Checksum.MESSAGE)
    assert read(again).advert == ADVERT


def test_the_bytes_of_version_2() -> None:
    data = encode(ADVERT_V2, source=NODE, destination=GROUP_IPV4)
    assert data[:6].hex() == "2133fa010101"
    assert data[8:] == bytes((192, 0, 2, 100)) + b"secret\0\0"
    without = encode(attrs.evolve(ADVERT_V2, password=None), source=NODE, destination=GROUP_IPV4)
    assert without[4] == 0
    assert without[12:] == bytes(8)


def test_the_bytes_of_version_3() -> None:
    data = encode(attrs.evolve(ADVERT, interval=40.95), source=NODE, destination=GROUP_IPV4)
    assert data[:6].hex() == "3133fa020fff"
    assert data[8:] == bytes((192, 0, 2, 100, 192, 0, 2, 101))


def test_a_checksum_of_zero_is_zero() -> None:
    # The sum of the words is 0xFFFF: 0x3133 + 0xFE01 - 0xFFFF = 0x2F35, so the rest has to be 0xD0CA.
    head = bytes((0x31, 0x33, 0xFE, 0x01, 0x00, 0x0A, 0, 0))
    message = head + struct.pack("!HH", 0xD0C0, 0)
    assert with_checksum(message, source=NODE, destination=PEER, checksum=Checksum.MESSAGE)[6:8] == b"\0\0"
    assert internet_checksum(message) == 0


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"version": 4}, "VRRP version 4"),
        ({"vrid": 0}, "virtual router 0"),
        ({"vrid": 256}, "virtual router 256"),
        ({"priority": 256}, "priority 256"),
        ({"priority": -1}, "priority -1"),
        ({"addresses": ()}, "1 to 255 addresses"),
        ({"addresses": ("192.0.2.1",) * 256}, "1 to 255 addresses"),
        ({"addresses": ("192.0.2.1", "2001:db8::1")}, "of one family"),
        ({"interval": 0.004}, "interval 0.004 s"),
        ({"interval": 40.96}, "interval 40.96 s"),
        ({"interval": math.inf}, "interval inf s"),
        ({"interval": math.nan}, "interval nan s"),
        ({"password": b"secret"}, "version 3 has no password"),
        ({"version": 2}, "whole seconds"),
        ({"version": 2, "interval": 256}, "whole seconds"),
        ({"version": 2, "interval": 1, "addresses": ("2001:db8::1",)}, "version 2 has no IPv6"),
        ({"version": 2, "interval": 1, "password": b"123456789"}, "at most 8 bytes"),
        ({"version": 2, "interval": 1, "password": b"1\0"}, "no zero at its end"),
    ],
)
def test_an_advert_that_cannot_be_written_does_not_exist(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        attrs.evolve(ADVERT, **changes)


def test_a_password_is_not_shown() -> None:
    assert "secret" not in repr(ADVERT_V2)


def test_an_address_is_written_in_one_way() -> None:
    assert canonical("2001:DB8:0::64") == "2001:db8::64"
    assert canonical("fe80::1%eth0") == canonical(b"\xfe\x80" + bytes(13) + b"\x01") == "fe80::1"


# --------------------------------------------------------------------------------------------------------------------
# What is refused


def _sealed(data: bytes) -> bytes:
    """With a checksum that is right again, so that nothing else is wrong."""
    return with_checksum(data, source=NODE, destination=GROUP_IPV4, checksum=Checksum.MESSAGE)


GOOD = encode(ADVERT, source=NODE, destination=GROUP_IPV4)
GOOD_V2 = encode(ADVERT_V2, source=NODE, destination=GROUP_IPV4)


def _changed(data: bytes, at: int, value: int) -> bytes:
    return data[:at] + bytes((value,)) + data[at + 1 :]


@pytest.mark.parametrize(
    ("data", "refusal"),
    [
        (b"", Refusal.LENGTH),
        (GOOD[:7], Refusal.LENGTH),
        (GOOD[:-1], Refusal.LENGTH),
        (GOOD_V2[:-1], Refusal.LENGTH),
        (_sealed(_changed(GOOD, 3, 3)), Refusal.LENGTH),
        (_sealed(_changed(GOOD, 0, 0x11)), Refusal.VERSION),
        (_sealed(_changed(GOOD, 0, 0x41)), Refusal.VERSION),
        (_sealed(_changed(GOOD, 0, 0x32)), Refusal.TYPE),
        (_changed(GOOD, 6, GOOD[6] ^ 1), Refusal.CHECKSUM),
        (_changed(GOOD, 2, 0), Refusal.CHECKSUM),
        (_changed(GOOD_V2, -1, 1), Refusal.CHECKSUM),
        (_sealed(_changed(GOOD, 1, 0)), Refusal.VRID),
        (_sealed(_changed(GOOD[:8], 3, 0)), Refusal.COUNT),
        (_sealed(GOOD[:4] + b"\xf0\0" + GOOD[6:]), Refusal.INTERVAL),
        (_sealed(_changed(GOOD_V2, 5, 0)), Refusal.INTERVAL),
        (_sealed(_changed(GOOD_V2, 4, 2)), Refusal.AUTH_TYPE),
        (_sealed(_changed(GOOD_V2, 4, 255)), Refusal.AUTH_TYPE),
    ],
)
def test_each_check_refuses(data: bytes, refusal: Refusal) -> None:
    assert decode(data, source=NODE, destination=GROUP_IPV4) is refusal


def test_a_pseudo_header_of_other_addresses_is_refused() -> None:
    assert decode(GOOD, source=PEER, destination=GROUP_IPV4) is Refusal.CHECKSUM
    assert decode(GOOD, source=NODE, destination="224.0.0.19") is not Refusal.CHECKSUM  # the group's form
    assert decode(encode(ADVERT, source=NODE, destination=PEER), source=NODE, destination=NODE) is Refusal.CHECKSUM


def test_version_2_does_not_exist_over_ipv6() -> None:
    assert decode(GOOD_V2, source="fe80::1", destination=GROUP_IPV6) is Refusal.VERSION


@settings(deadline=None)
@given(st.binary(max_size=120), adverts.sent)
@example(b"\x31\x33\x64\xff\x00\x64\x00\x00", Sent(ADVERT, NODE, GROUP_IPV4))
def test_no_bytes_make_it_raise(data: bytes, case: Sent) -> None:
    decode(data, source=case.source, destination=case.destination)


@settings(deadline=None)
@given(adverts.sent, st.data())
def test_no_change_of_an_advert_makes_it_raise(case: Sent, data: st.DataObject) -> None:
    message = bytearray(encode(case.advert, source=case.source, destination=case.destination))
    for _ in range(data.draw(st.integers(1, 4))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    changed = with_checksum(bytes(message), source=NODE, destination=PEER, checksum=Checksum.MESSAGE)
    for candidate in (bytes(message), changed, changed[: data.draw(st.integers(0, len(changed)))]):
        decode(candidate, source=case.source, destination=case.destination)


# --------------------------------------------------------------------------------------------------------------------
# Against scapy


def _scapy(case: Sent) -> bytes:
    """The same message as scapy writes it."""
    advert = case.advert
    fields: dict[str, Any] = {"vrid": advert.vrid, "priority": advert.priority, "addrlist": list(advert.addresses)}
    if advert.version == 2:
        auth = struct.unpack("!II", (advert.password or b"").ljust(8, b"\0"))
        fields.update(adv=int(advert.interval), authtype=int(advert.password is not None), auth1=auth[0], auth2=auth[1])
        layer: Any = VRRP(**fields)
    else:
        layer = VRRPv3(adv=round(advert.interval * 100), **fields)
    if ":" in case.source:
        return bytes(IPv6(src=case.source, dst=case.destination, nh=PROTOCOL, hlim=255) / layer)[40:]
    return bytes(IP(src=case.source, dst=case.destination, proto=PROTOCOL, ttl=255) / layer)[20:]


@settings(deadline=None)
@given(adverts.sent)
def test_scapy_writes_the_same(case: Sent) -> None:
    assert encode(case.advert, source=case.source, destination=case.destination) == _scapy(case)


@settings(deadline=None)
@given(adverts.sent)
def test_scapy_reads_what_we_write(case: Sent) -> None:
    data = encode(case.advert, source=case.source, destination=case.destination)
    if ":" in case.source:
        head = bytes(IPv6(src=case.source, dst=case.destination, nh=PROTOCOL, hlim=255, plen=len(data)))
        layer: Any = IPv6(head + data)[VRRPv3]
    else:
        head = bytes(IP(src=case.source, dst=case.destination, proto=PROTOCOL, ttl=255, len=20 + len(data)))
        layer = IP(head + data)[VRRP if case.advert.version == 2 else VRRPv3]
    assert (layer.version, layer.type, layer.vrid) == (case.advert.version, 1, case.advert.vrid)
    assert layer.priority == case.advert.priority
    assert tuple(canonical(address) for address in layer.addrlist) == case.advert.addresses
    if case.advert.version == 2:
        assert layer.adv == case.advert.interval
        assert struct.pack("!II", layer.auth1, layer.auth2) == (case.advert.password or b"").ljust(8, b"\0")
    else:
        assert layer.adv / 100 == case.advert.interval
