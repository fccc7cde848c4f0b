"""Are the frames what scapy reads and writes, and is every claim of an address seen?"""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6NDOptDstLLAddr, ICMPv6NDOptMTU, IPv6
from scapy.layers.l2 import ARP, Ether

from tests.vrrp.adverts import ipv4, ipv6
from vrrp.frames import (
    Claim,
    announcements,
    arp_probe,
    gratuitous_reply,
    gratuitous_request,
    probe,
    read_arp,
    read_claim,
    read_na,
    solicitation,
    unsolicited_advertisement,
)
from vrrp.packet import internet_checksum, pack

MAC = bytes.fromhex("02000000000b")
MAC_TEXT = "02:00:00:00:00:0b"
OTHER = bytes.fromhex("02000000000c")
OTHER_TEXT = "02:00:00:00:00:0c"
VIP = "192.0.2.100"
VIP6 = "2001:db8::64"
hardware = st.binary(min_size=6, max_size=6)


# --------------------------------------------------------------------------------------------------------------------
# What is sent


@pytest.mark.parametrize(("frame", "operation"), [(gratuitous_request(VIP, MAC), 1), (gratuitous_reply(VIP, MAC), 2)])
def test_a_gratuitous_arp_names_the_address_twice(frame: bytes, operation: int) -> None:
    layer: Any = Ether(frame)
    assert (layer.dst, layer.src) == ("ff:ff:ff:ff:ff:ff", MAC_TEXT)
    arp = layer[ARP]
    assert (arp.op, arp.psrc, arp.pdst, arp.hwsrc, arp.hwdst) == (operation, VIP, VIP, MAC_TEXT, MAC_TEXT)
    assert frame == bytes(
        Ether(src=MAC_TEXT, dst="ff:ff:ff:ff:ff:ff")
        / ARP(op=operation, psrc=VIP, pdst=VIP, hwsrc=MAC_TEXT, hwdst=MAC_TEXT)
    )


def test_a_probe_names_no_sender() -> None:
    arp: Any = Ether(arp_probe(VIP, MAC))[ARP]
    assert (arp.op, arp.psrc, arp.pdst, arp.hwsrc, arp.hwdst) == (1, "0.0.0.0", VIP, MAC_TEXT, "00:00:00:00:00:00")


@pytest.mark.parametrize("router", [False, True])
def test_an_unsolicited_advertisement_overrides(*, router: bool) -> None:
    frame = unsolicited_advertisement(VIP6, MAC, router=router)
    layer: Any = Ether(frame)
    assert (layer.dst, layer.src) == ("33:33:00:00:00:01", MAC_TEXT)
    assert (layer[IPv6].src, layer[IPv6].dst, layer[IPv6].hlim) == (VIP6, "ff02::1", 255)
    advert = layer[ICMPv6ND_NA]
    assert (advert.R, advert.S, advert.O, advert.tgt) == (int(router), 0, 1, VIP6)
    assert advert[ICMPv6NDOptDstLLAddr].lladdr == MAC_TEXT
    written: Any = (
        Ether(src=MAC_TEXT, dst="33:33:00:00:00:01")
        / IPv6(src=VIP6, dst="ff02::1", hlim=255)
        / ICMPv6ND_NA(R=int(router), S=0, O=1, tgt=VIP6)
        / ICMPv6NDOptDstLLAddr(lladdr=MAC_TEXT)
    )
    assert frame == bytes(written)


def test_a_solicitation_asks_the_node_that_has_the_address() -> None:
    written: Any = (
        Ether(src=MAC_TEXT, dst="33:33:ff:00:00:64")
        / IPv6(src="::", dst="ff02::1:ff00:64", hlim=255)
        / ICMPv6ND_NS(tgt=VIP6)
    )
    assert solicitation(VIP6, MAC) == bytes(written)


def test_the_family_chooses_the_frames() -> None:
    assert announcements(VIP, MAC) == (gratuitous_request(VIP, MAC), gratuitous_reply(VIP, MAC))
    assert announcements(VIP6, MAC, router=True) == (unsolicited_advertisement(VIP6, MAC, router=True),)
    assert announcements(VIP6, MAC) == (unsolicited_advertisement(VIP6, MAC, router=False),)
    assert probe(VIP, MAC) == arp_probe(VIP, MAC)
    assert probe(VIP6, MAC) == solicitation(VIP6, MAC)


# --------------------------------------------------------------------------------------------------------------------
# Who claims an address


@settings(deadline=None)
@given(ipv4.filter(lambda address: address != "0.0.0.0"), hardware)
def test_every_announcement_of_ipv4_is_a_claim(address: str, sender: bytes) -> None:
    for frame in announcements(address, sender):
        assert read_claim(frame) == read_arp(frame) == Claim(address, sender)
        assert read_claim(frame + bytes(18)) == Claim(address, sender)  # as the shortest frame of Ethernet is padded


@settings(deadline=None)
@given(ipv6.filter(lambda address: not address.startswith("ff")), hardware)
def test_every_announcement_of_ipv6_is_a_claim(address: str, sender: bytes) -> None:
    for frame in announcements(address, sender):
        assert read_claim(frame) == read_na(frame) == Claim(address, sender)


@pytest.mark.parametrize("address", [VIP, VIP6])
def test_a_probe_claims_nothing(address: str) -> None:
    assert read_claim(probe(address, MAC)) is None


def test_the_answer_to_a_probe_is_a_claim() -> None:
    answer: Any = Ether(src=OTHER_TEXT, dst=MAC_TEXT) / ARP(op=2, psrc=VIP, pdst="0.0.0.0", hwsrc=OTHER_TEXT)
    assert read_claim(bytes(answer)) == Claim(VIP, OTHER)


GARP = gratuitous_request(VIP, MAC)
ADVERTISEMENT = unsolicited_advertisement(VIP6, MAC, router=False)


def _changed(frame: bytes, at: int, value: bytes) -> bytes:
    return frame[:at] + value + frame[at + len(value) :]


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        GARP[:-1],
        _changed(GARP, 12, b"\x08\x00"),  # not ARP
        _changed(GARP, 15, b"\x06"),  # not Ethernet
        _changed(GARP, 21, b"\x03"),  # reverse ARP
        _changed(GARP, 28, bytes(4)),  # no address
    ],
)
def test_what_is_no_claim_over_ipv4(frame: bytes) -> None:
    assert read_arp(frame) is None


def _advertisement(**changes: Any) -> bytes:
    """One that scapy makes, so that the checksum is right."""
    header = {"src": VIP6, "dst": "ff02::1", "hlim": 255, **changes.pop("header", {})}
    option = changes.pop("option", ICMPv6NDOptDstLLAddr(lladdr=OTHER_TEXT))
    fields = {"R": 0, "S": 0, "O": 1, "tgt": VIP6, **changes}
    layer: Any = Ether(src=MAC_TEXT) / IPv6(**header) / ICMPv6ND_NA(**fields)
    return bytes(layer / option if option is not None else layer)


def test_the_option_says_where_an_address_lives_and_the_sender_without_it() -> None:
    assert read_na(_advertisement()) == Claim(VIP6, OTHER)
    assert read_na(_advertisement(option=None)) == Claim(VIP6, MAC)
    assert read_na(_advertisement(option=ICMPv6NDOptMTU())) == Claim(VIP6, MAC)
    assert read_na(_advertisement(S=1, header={"dst": "fe80::1"})) == Claim(VIP6, OTHER)


def _truncated() -> bytes:
    """An advertisement of 20 bytes whose checksum is right, in a frame that is padded."""
    layer: Any = Ether(src=MAC_TEXT) / IPv6(src=VIP6, dst="ff02::1", hlim=255, plen=20) / ICMPv6ND_NA(tgt=VIP6)
    message = bytearray(bytes(layer)[54:74])
    message[2:4] = bytes(2)
    pseudo_header = pack(VIP6) + pack("ff02::1") + struct.pack("!IxxxB", 20, 58)
    message[2:4] = struct.pack("!H", internet_checksum(pseudo_header + message))
    return bytes(layer)[:54] + bytes(message) + bytes(12)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        _truncated(),
        ADVERTISEMENT[:77],
        ADVERTISEMENT[:-1],
        _changed(ADVERTISEMENT, 12, b"\x08\x00"),  # not IPv6
        _changed(ADVERTISEMENT, 14, b"\x40"),  # version 4
        _changed(ADVERTISEMENT, 20, b"\x11"),  # not ICMPv6
        _changed(ADVERTISEMENT, 18, b"\x00\x10"),  # a length that cannot be
        _changed(ADVERTISEMENT, 85, b"\x0c"),  # the checksum
        _advertisement(header={"hlim": 254}),
        _advertisement(code=1),
        _advertisement(type=135),
        _advertisement(tgt="ff02::1"),
        _advertisement(S=1),  # an answer, and to everybody
        _advertisement(option=ICMPv6NDOptDstLLAddr(lladdr=OTHER_TEXT, len=0)),
        _advertisement(option=ICMPv6NDOptDstLLAddr(lladdr=OTHER_TEXT, len=2)),
        _advertisement(option=b"\x02"),
        solicitation(VIP6, MAC),
    ],
)
def test_what_is_no_claim_over_ipv6(frame: bytes) -> None:
    assert read_na(frame) is None


@settings(deadline=None)
@given(st.binary(max_size=120))
def test_no_bytes_make_it_raise(frame: bytes) -> None:
    for start in (b"", GARP[:14], ADVERTISEMENT[:14], ADVERTISEMENT[:54]):
        read_claim(start + frame)
