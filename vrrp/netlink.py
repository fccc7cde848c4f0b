"""Which bytes ask the kernel for links and addresses, and what do its answers say?  rtnetlink(7), netlink(7).

A request is one message; many leave in one datagram, and each is answered by an acknowledgement of its own.

    header   length(4) type(2) flags(2) sequence(4) port(4)         all in the byte order of the machine
    address  family(1) prefix(1) flags(1) scope(1) index(4)         then attributes
    link     family(1) - type(2) index(4) flags(4) change(4)        then attributes
    attribute  length(2) type(2) value, padded to four bytes
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import attrs

from vrrp.packet import canonical, pack

LONGEST_NAME = 15
"""Bytes in the name of an interface (IFNAMSIZ)."""

_HEADER = struct.Struct("=IHHII")
_ADDRESS = struct.Struct("=BBBBi")
_LINK = struct.Struct("=BxHiII")
_ATTRIBUTE = struct.Struct("=HH")
_LEASE = struct.Struct("=IIII")

_ERROR, _DONE = 2, 3
_NEW_LINK, _GET_LINK = 16, 18
_NEW_ADDRESS, _DELETE_ADDRESS, _GET_ADDRESS = 20, 21, 22
_REQUEST, _ACKNOWLEDGE, _DUMP, _REPLACE, _CREATE = 0x1, 0x4, 0x300, 0x100, 0x400
_INTERRUPTED = 0x10
_IFA_ADDRESS, _IFA_LOCAL, _IFA_CACHEINFO, _IFA_FLAGS = 1, 2, 6, 8
_IFLA_ADDRESS, _IFLA_NAME = 1, 3
_TYPE_BITS = 0x3FFF
"""The two above them say how the value is to be read."""
_INET, _INET6 = 2, 10
_IFA_F_NODAD = 0x02
_IFF_UP, _IFF_RUNNING = 0x1, 0x40
_ARPHRD_ETHER, _ARPHRD_LOOPBACK = 1, 772


@attrs.frozen
class Answered:
    """The request of this number is done; `code` is 0 or why it could not be, as errno has it."""

    sequence: int
    code: int


@attrs.frozen
class KnownLink:
    """An interface.  `hardware` is empty where it has no Ethernet address."""

    index: int
    running: bool
    hardware: bytes


@attrs.frozen
class KnownAddress:
    """An address of this node, numeric, on the interface of that number; whatever label it has."""

    index: int
    address: str
    prefix: int


@attrs.frozen
class Torn:
    """Something has changed while the kernel told what there is: it may have left something out."""


Said = Answered | KnownLink | KnownAddress | Torn


def set_address(sequence: int, index: int, address: str, prefix: int, lease: int) -> bytes:
    """Set an address, or prolong it, for `lease` seconds.

    One of IPv6 is deprecated from the start, so that this node never speaks from it by itself (RFC 6724 5 rule 3), and
    is not looked for before it is used: it has just been the peer's.
    """
    if ":" in address:
        more = _attribute(_IFA_CACHEINFO, _LEASE.pack(0, lease, 0, 0))
        more += _attribute(_IFA_FLAGS, struct.pack("=I", _IFA_F_NODAD))
    else:
        more = _attribute(_IFA_CACHEINFO, _LEASE.pack(lease, lease, 0, 0))
    flags = _REQUEST | _ACKNOWLEDGE | _CREATE | _REPLACE
    return _message(_NEW_ADDRESS, flags, sequence, _placed(index, address, prefix) + more)


def delete_address(sequence: int, index: int, address: str, prefix: int) -> bytes:
    """Delete an address with this prefix, whatever its label."""
    return _message(_DELETE_ADDRESS, _REQUEST | _ACKNOWLEDGE, sequence, _placed(index, address, prefix))


def ask_addresses(sequence: int) -> bytes:
    """Ask for all addresses of this node."""
    return _message(_GET_ADDRESS, _REQUEST | _DUMP, sequence, _ADDRESS.pack(0, 0, 0, 0, 0))


def ask_link(sequence: int, name: str) -> bytes:
    """Ask for one interface; `name` is at most LONGEST_NAME bytes long."""
    named = _attribute(_IFLA_NAME, name.encode() + b"\0")
    return _message(_GET_LINK, _REQUEST | _ACKNOWLEDGE, sequence, _LINK.pack(0, 0, 0, 0, 0) + named)


def _placed(index: int, address: str, prefix: int) -> bytes:
    packed = pack(address)
    family = _INET6 if len(packed) == 16 else _INET
    value = _attribute(_IFA_LOCAL, packed) + _attribute(_IFA_ADDRESS, packed)
    return _ADDRESS.pack(family, prefix, 0, 0, index) + value


def _attribute(kind: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + bytes(-len(value) % 4)


def _message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    return _HEADER.pack(_HEADER.size + len(body), kind, flags, sequence, 0) + body


def read_answers(datagram: bytes) -> Iterator[Said]:
    """What the kernel says in a datagram; a message of another kind, or one that is cut off, says nothing."""
    at = 0
    while len(datagram) - at >= _HEADER.size:
        length, kind, flags, sequence, _ = _HEADER.unpack_from(datagram, at)
        if not _HEADER.size <= length <= len(datagram) - at:
            return
        if flags & _INTERRUPTED:
            yield Torn()
        said = _read(kind, sequence, datagram[at + _HEADER.size : at + length])
        if said is not None:
            yield said
        at += _padded(length)


def _read(kind: int, sequence: int, body: bytes) -> Said | None:
    if kind in (_ERROR, _DONE) and len(body) >= 4:
        code: int = struct.unpack_from("=i", body)[0]
        return Answered(sequence, -code)
    if kind == _NEW_ADDRESS and len(body) >= _ADDRESS.size:
        return _read_address(body)
    if kind == _NEW_LINK and len(body) >= _LINK.size:
        return _read_link(body)
    return None


def _read_address(body: bytes) -> KnownAddress | None:
    family, prefix, _, _, index = _ADDRESS.unpack_from(body)
    found = _read_attributes(body[_ADDRESS.size :])
    # With a peer, as on a tunnel, the other one is the peer's.
    packed = found.get(_IFA_LOCAL) or found.get(_IFA_ADDRESS, b"")
    if len(packed) != {_INET: 4, _INET6: 16}.get(family):
        return None
    # Of IPv4 by hand: every refresh of a lease reads hundreds of them.
    address = ".".join(map(str, packed)) if family == _INET else canonical(packed)
    return KnownAddress(index, address, prefix)


def _read_link(body: bytes) -> KnownLink:
    _, kind, index, flags, _ = _LINK.unpack_from(body)
    hardware = _read_attributes(body[_LINK.size :]).get(_IFLA_ADDRESS, b"")
    is_running = flags & (_IFF_UP | _IFF_RUNNING) == _IFF_UP | _IFF_RUNNING
    return KnownLink(index, is_running, hardware if kind in (_ARPHRD_ETHER, _ARPHRD_LOOPBACK) else b"")


def _read_attributes(data: bytes) -> dict[int, bytes]:
    """The attributes by type, up to one whose length cannot be."""
    found: dict[int, bytes] = {}
    at = 0
    while len(data) - at >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if not _ATTRIBUTE.size <= length <= len(data) - at:
            break
        found[kind & _TYPE_BITS] = data[at + _ATTRIBUTE.size : at + length]
        at += _padded(length)
    return found


def _padded(length: int) -> int:
    return length + -length % 4
