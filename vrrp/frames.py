"""Which Ethernet frames tell a network where an address lives, and who else says that it has it?

IPv4: ARP (RFC 826), announced as request and as reply, since some devices listen to one form only; asked for by a
probe, which no cache learns from (RFC 5227 2.1.1).  IPv6: a neighbour advertisement, and the solicitation of duplicate
address detection as its probe (RFC 4861 4.3, 4.4; RFC 4862 5.4.2).

    Ethernet  destination(6) source(6) type(2)
    ARP       hardware 1 | protocol 0x0800 | 6 | 4 | operation | sender(6) | address(4) | target(6) | address(4)
    ND        type | code | checksum | flags and reserved(4) | target(16) | option 1 or 2 | length 1 | hardware(6)
"""

from __future__ import annotations

import struct

import attrs

from vrrp.packet import canonical, internet_checksum, pack

ETHERTYPE_ARP = 0x0806
ETHERTYPE_IPV6 = 0x86DD
BROADCAST = b"\xff" * 6

_ETHERNET_BYTES = 14
_ARP = struct.Struct("!HHBBH6s4s6s4s")
_ARP_FORM = (1, 0x0800, 6, 4)
_REQUEST, _REPLY = 1, 2
_UNKNOWN_HARDWARE = bytes(6)
_UNSPECIFIED_IPV4 = bytes(4)
_IPV6 = struct.Struct("!IHBB16s16s")
_ICMPV6 = 58
_HOP_LIMIT = 255
_SOLICITATION, _ADVERTISEMENT = 135, 136
_ND_BYTES = 24
_ROUTER, _SOLICITED, _OVERRIDE = 0x80, 0x40, 0x20
_TARGET_HARDWARE = 2
_ND_TYPE_AT = _ETHERNET_BYTES + _IPV6.size
_NEXT_HEADER_AT = _ETHERNET_BYTES + 6
_ALL_NODES = pack("ff02::1")
_SOLICITED_NODE = pack("ff02::1:ff00:0")[:13]

_LOAD_BYTE, _EQUALS, _RETURN = 0x30, 0x15, 0x06
ADVERTISEMENTS_ONLY = b"".join(
    struct.pack("=HBBI", *instruction)
    for instruction in (
        (_LOAD_BYTE, 0, 0, _NEXT_HEADER_AT),
        (_EQUALS, 0, 3, _ICMPV6),
        (_LOAD_BYTE, 0, 0, _ND_TYPE_AT),
        (_EQUALS, 0, 1, _ADVERTISEMENT),
        (_RETURN, 0, 0, 0xFFFF),
        (_RETURN, 0, 0, 0),
    )
)
"""The classic BPF that lets a socket for frames of IPv6 hear neighbour advertisements alone: not each call's media."""


@attrs.frozen
class Claim:
    """Somebody says that an address is its own."""

    address: str
    hardware: bytes


def announcements(address: str, hardware: bytes, *, router: bool = False) -> tuple[bytes, ...]:
    """The frames that move `address` to `hardware` in every cache of the network.

    `router`: this node forwards IPv6; without that flag its neighbours take it out of their lists of routers.
    """
    if ":" in address:
        return (unsolicited_advertisement(address, hardware, router=router),)
    return gratuitous_request(address, hardware), gratuitous_reply(address, hardware)


def probe(address: str, hardware: bytes) -> bytes:
    """The frame that whoever has `address` answers, and that changes no cache."""
    return solicitation(address, hardware) if ":" in address else arp_probe(address, hardware)


def read_claim(frame: bytes) -> Claim | None:
    """Who says in this frame that which address is its own; None: nobody, or it is none of these frames."""
    return read_arp(frame) or read_na(frame)


def gratuitous_request(address: str, hardware: bytes) -> bytes:
    """Sender and target are the address itself (RFC 9568 6.4.1 with errata 7947 and 7949)."""
    return _arp(_REQUEST, hardware, pack(address), hardware, pack(address))


def gratuitous_reply(address: str, hardware: bytes) -> bytes:
    """The same as an answer that nobody asked for."""
    return _arp(_REPLY, hardware, pack(address), hardware, pack(address))


def arp_probe(address: str, hardware: bytes) -> bytes:
    """A question without a sender's address (RFC 5227 2.1.1)."""
    return _arp(_REQUEST, hardware, _UNSPECIFIED_IPV4, _UNKNOWN_HARDWARE, pack(address))


def _arp(operation: int, sender: bytes, address: bytes, target: bytes, asked: bytes) -> bytes:
    message = _ARP.pack(*_ARP_FORM, operation, sender, address, target, asked)
    return BROADCAST + sender + struct.pack("!H", ETHERTYPE_ARP) + message


def read_arp(frame: bytes) -> Claim | None:
    """The sender of an ARP message claims its address, whether it asks or answers; a probe claims nothing."""
    if len(frame) < _ETHERNET_BYTES + _ARP.size or _ethertype(frame) != ETHERTYPE_ARP:
        return None
    *form, operation, sender, address, _, _ = _ARP.unpack_from(frame, _ETHERNET_BYTES)
    if tuple(form) != _ARP_FORM or operation not in (_REQUEST, _REPLY) or address == _UNSPECIFIED_IPV4:
        return None
    return Claim(canonical(address), sender)


def unsolicited_advertisement(address: str, hardware: bytes, *, router: bool) -> bytes:
    """To all nodes, overriding what they know (RFC 9568 6.4.1; RFC 4861 7.2.6)."""
    flags = _OVERRIDE | (_ROUTER if router else 0)
    message = struct.pack("!BBHI16s", _ADVERTISEMENT, 0, 0, flags << 24, pack(address))
    option = struct.pack("!BB6s", _TARGET_HARDWARE, 1, hardware)
    return _icmpv6(hardware, pack(address), _ALL_NODES, message + option)


def solicitation(address: str, hardware: bytes) -> bytes:
    """The question of duplicate address detection: from nobody, so that the answer goes to all nodes."""
    asked = pack(address)
    message = struct.pack("!BBHI16s", _SOLICITATION, 0, 0, 0, asked)
    return _icmpv6(hardware, bytes(16), _SOLICITED_NODE + asked[-3:], message)


def _icmpv6(hardware: bytes, source: bytes, destination: bytes, message: bytes) -> bytes:
    checksum = internet_checksum(_pseudo_header(source, destination, len(message)) + message)
    message = message[:2] + struct.pack("!H", checksum) + message[4:]
    header = _IPV6.pack(6 << 28, len(message), _ICMPV6, _HOP_LIMIT, source, destination)
    # An IPv6 group's hardware address ends with the group's last four bytes (RFC 2464 7).
    return b"\x33\x33" + destination[-4:] + hardware + struct.pack("!H", ETHERTYPE_IPV6) + header + message


def read_na(frame: bytes) -> Claim | None:
    """Whoever sends a valid neighbour advertisement (RFC 4861 7.1.2) claims its target."""
    if len(frame) < _ETHERNET_BYTES + _IPV6.size + _ND_BYTES or _ethertype(frame) != ETHERTYPE_IPV6:
        return None
    first, length, following, hop_limit, source, destination = _IPV6.unpack_from(frame, _ETHERNET_BYTES)
    message = frame[_ETHERNET_BYTES + _IPV6.size :][:length]
    if first >> 28 != 6 or following != _ICMPV6 or hop_limit != _HOP_LIMIT or len(message) < max(length, _ND_BYTES):
        return None
    if message[:2] != bytes((_ADVERTISEMENT, 0)):
        return None
    if internet_checksum(_pseudo_header(source, destination, length) + message):
        return None
    target = message[8:_ND_BYTES]
    if target[0] == 0xFF or (destination[0] == 0xFF and message[4] & _SOLICITED):
        return None
    options = _read_options(message[_ND_BYTES:])
    return None if options is None else Claim(canonical(target), options.get(_TARGET_HARDWARE, frame[6:12]))


def _read_options(data: bytes) -> dict[int, bytes] | None:
    """The options by type, without padding for an address of Ethernet; None: one of them has no length."""
    options: dict[int, bytes] = {}
    while data:
        size = data[1] * 8 if len(data) > 1 else 0
        if not 0 < size <= len(data):
            return None
        options[data[0]] = data[2:8]
        data = data[size:]
    return options


def _pseudo_header(source: bytes, destination: bytes, length: int) -> bytes:
    return source + destination + struct.pack("!IxxxB", length, _ICMPV6)


def _ethertype(frame: bytes) -> int:
    return int.from_bytes(frame[12:14], "big")
