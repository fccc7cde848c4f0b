"""Whom does a dialog connect, and how is its edge end reached?  The token in Record-Route and Path remembers it.

There is no table of registrations or dialogs: each later request carries the answer in its Route (the idea of
RFC 5626 5.2).  The token names both ends and is signed, so it can be neither made up nor changed.

    flags(1) edge(4|16) port(2) core(4|16) port(2) creator's tag(3) hash(8)      base64url, 32 to 64 characters

The hash covers the advertised address of the edge end's listener too, which costs no room: whoever checks a token tries
its few listeners and so learns by which one the edge end is reached.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import struct
import zlib
from collections.abc import Iterable, Sequence
from functools import lru_cache

import attrs

from dispatcher.keyed import TOKEN, digest
from sip.uri import Address, canonical

_EDGE_IPV6, _CORE_IPV6, _BEHIND_NAT, _CREATOR_CORE, _PATH = 1, 2, 4, 8, 16
_TRANSPORT_SHIFT = 5
_TRANSPORTS = ("udp", "tcp", "tls", "ws", "wss")
_HASH = struct.Struct(">Q")
_LENGTHS = (32, 48, 64)
"""Characters of a token with no, one and two IPv6 ends; all without padding, so that each token has one spelling."""


@attrs.frozen
class Claims:
    """What a valid token says.  `edge` is the end that phones and trunks are on, `core` the server's end."""

    edge: Address
    core: Address
    behind_nat: bool = attrs.field(kw_only=True)
    """The edge end is reached by its flow, never by its Contact."""
    creator_is_core: bool = attrs.field(kw_only=True)
    creator_tag: int = attrs.field(kw_only=True)
    """24 bits of a hash of the From tag of the request that created the dialog."""
    is_path: bool = attrs.field(default=False, kw_only=True)
    """From a registration: always points to the edge end."""
    transport: str = attrs.field(default="udp", kw_only=True)
    """Of the edge end."""


def tag_hash(from_tag: bytes) -> int:
    """24 bits: two tags of one dialog agree by accident once in 16 million dialogs."""
    return zlib.crc32(from_tag) & 0xFFFFFF


def write_token(claims: Claims, key: bytes, edge_listener: bytes) -> bytes:
    """The token for these claims; `edge_listener` is the listener's advertised `host:port`."""
    edge, core = _pack(claims.edge[0]), _pack(claims.core[0])
    flags = _TRANSPORTS.index(claims.transport) << _TRANSPORT_SHIFT
    flags |= _EDGE_IPV6 if len(edge) == 16 else 0
    flags |= _CORE_IPV6 if len(core) == 16 else 0
    flags |= _BEHIND_NAT if claims.behind_nat else 0
    flags |= _CREATOR_CORE if claims.creator_is_core else 0
    flags |= _PATH if claims.is_path else 0
    body = struct.pack(
        f">B{len(edge)}sH{len(core)}sH", flags, edge, claims.edge[1], core, claims.core[1]
    ) + claims.creator_tag.to_bytes(3, "big")
    signed = body + _HASH.pack(digest(key, TOKEN, body + edge_listener))
    return base64.urlsafe_b64encode(signed)


def read_token(text: bytes, keys: Iterable[bytes], listeners: Sequence[bytes]) -> tuple[Claims, int] | None:
    """The claims of a token and the place of its edge end's listener in `listeners`; None when it is not ours."""
    if len(text) not in _LENGTHS:
        return None
    try:
        raw = base64.b64decode(text, b"-_", validate=True)
    except binascii.Error:
        return None
    body, tail = raw[:-8], raw[-8:]
    flags = body[0]
    edge_size = 16 if flags & _EDGE_IPV6 else 4
    core_size = 16 if flags & _CORE_IPV6 else 4
    transport = flags >> _TRANSPORT_SHIFT
    if len(body) != 8 + edge_size + core_size or transport >= len(_TRANSPORTS):
        return None
    place = _verify(body, _HASH.unpack(tail)[0], keys, listeners)
    if place is None:
        return None
    _, edge, edge_port, core, core_port, tag = struct.unpack(f">B{edge_size}sH{core_size}sH3s", body)
    claims = Claims(
        (_unpack(edge), edge_port),
        (_unpack(core), core_port),
        behind_nat=bool(flags & _BEHIND_NAT),
        creator_is_core=bool(flags & _CREATOR_CORE),
        creator_tag=int.from_bytes(tag, "big"),
        is_path=bool(flags & _PATH),
        transport=_TRANSPORTS[transport],
    )
    return claims, place


def _verify(body: bytes, expected: int, keys: Iterable[bytes], listeners: Sequence[bytes]) -> int | None:
    for key in keys:
        for place, listener in enumerate(listeners):
            if digest(key, TOKEN, body + listener) == expected:
                return place
    return None


@lru_cache(maxsize=4096)
def _pack(host: str) -> bytes:
    return ipaddress.ip_address(host).packed


@lru_cache(maxsize=4096)
def _unpack(packed: bytes) -> str:
    return canonical(ipaddress.ip_address(packed))
