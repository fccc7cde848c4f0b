"""Which packets are no adverts of ours, one kind for each check, and how are they put on a wire?"""

from __future__ import annotations

import math
import random
import socket
import struct
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

import attrs

from vrrp.packet import (
    GROUP_IPV4,
    PROTOCOL,
    Advert,
    Checksum,
    encode,
    internet_checksum,
    pack,
    with_checksum,
)
from vrrp.refusal import Refusal
from vrrp.trailer import Key, next_sequence, seal

VRID: Final = 51
KEY: Final = Key(1, bytes(range(32)))
STRANGER: Final = "192.0.2.66"
HOSTILE: Final = (0, 1, 254, 255)
"""Priorities that would make a difference if they were heard."""


@attrs.frozen(kw_only=True)
class Target:
    """Who gets it; `vip` is what adverts of the pair name, `signed` whether they have a trailer."""

    address: str
    hardware: bytes
    peer: str
    vip: str
    signed: bool


@attrs.frozen(kw_only=True)
class Packet:
    """What an IP packet holds besides what is always the same; `source` None is the peer's address."""

    message: bytes
    source: str | None = None
    ttl: int = 255


Make = Callable[[Target, random.Random, float], Packet]
"""Makes one, at this Unix time."""


def _advert(target: Target, rng: random.Random, *, vrid: int = VRID, version: int = 3, priority: int = -1) -> bytes:
    """One that would be heard from the peer."""
    advert = Advert(
        version=version,
        vrid=vrid,
        priority=rng.choice(HOSTILE) if priority < 0 else priority,
        interval=1.0 if version == 2 else 0.1,
        addresses=(target.vip,),
    )
    return encode(advert, source=target.peer, destination=_destination(target))


def _destination(target: Target) -> str:
    return target.address if target.signed else GROUP_IPV4


def _changed(target: Target, rng: random.Random, at: int, value: bytes, *, version: int = 3) -> Packet:
    """With other bytes at a place, and a checksum that is right."""
    message = _advert(target, rng, version=version)
    message = message[:at] + value + message[at + len(value) :]
    return Packet(
        message=with_checksum(message, source=target.peer, destination=_destination(target), checksum=_form(version))
    )


def _form(version: int) -> Checksum:
    return Checksum.MESSAGE if version == 2 else Checksum.PSEUDO_HEADER


def _own(target: Target, rng: random.Random, _: float) -> Packet:
    return Packet(message=_advert(target, rng), source=target.address)


def _other_router(target: Target, rng: random.Random, _: float) -> Packet:
    return Packet(message=_advert(target, rng, vrid=rng.choice((1, 50, 52, 255))))


def _no_router(target: Target, rng: random.Random, _: float) -> Packet:
    return _changed(target, rng, 1, b"\0")


def _padded(target: Target, rng: random.Random, _: float) -> Packet:
    return Packet(message=_advert(target, rng, vrid=52) + bytes(rng.randrange(1, 1000)))


def _stranger(target: Target, rng: random.Random, _: float) -> Packet:
    return Packet(message=_advert(target, rng), source=STRANGER)


def _from_afar(target: Target, rng: random.Random, _: float) -> Packet:
    return Packet(message=_advert(target, rng), ttl=rng.choice((1, 64, 254)))


def _truncated(target: Target, rng: random.Random, _: float) -> Packet:
    message = _advert(target, rng)
    return Packet(message=message[: rng.randrange(len(message))])


def _too_many_addresses(target: Target, rng: random.Random, _: float) -> Packet:
    return _changed(target, rng, 3, bytes([rng.randrange(2, 256)]))


def _other_version(target: Target, rng: random.Random, _: float) -> Packet:
    return _changed(target, rng, 0, bytes([rng.choice((0, 1, 4, 15)) << 4 | 1]))


def _other_type(target: Target, rng: random.Random, _: float) -> Packet:
    return _changed(target, rng, 0, bytes([0x30 | rng.choice((0, 2, 15))]))


def _bad_checksum(target: Target, rng: random.Random, _: float) -> Packet:
    message = _advert(target, rng)
    return Packet(message=message[:7] + bytes([message[7] ^ rng.randrange(1, 256)]) + message[8:])


def _no_address(target: Target, rng: random.Random, _: float) -> Packet:
    cut = _changed(target, rng, 3, b"\0").message[:8]
    return Packet(
        message=with_checksum(
            cut, source=target.peer, destination=_destination(target), checksum=Checksum.PSEUDO_HEADER
        )
    )


def _no_interval(target: Target, rng: random.Random, _: float) -> Packet:
    return _changed(target, rng, 4, b"\0\0")


def _other_authentication(target: Target, rng: random.Random, _: float) -> Packet:
    return _changed(target, rng, 4, bytes([rng.choice((2, 3, 255))]), version=2)


def _random(target: Target, rng: random.Random, _: float) -> Packet:
    del target
    return Packet(message=rng.randbytes(rng.randrange(200)))


def _sealed(target: Target, rng: random.Random, wall: float, key: Key = KEY, priority: int = -1) -> bytes:
    sequence = next_sequence(None, wall=wall, window=None)
    message = _advert(target, rng, priority=priority)
    return seal(message, source=target.peer, destination=target.address, key=key, sequence=sequence)


def _unsigned(target: Target, rng: random.Random, _: float) -> Packet:
    return Packet(message=_advert(target, rng))


def _malformed(target: Target, rng: random.Random, wall: float) -> Packet:
    sealed = _sealed(target, rng, wall)
    longer, shorter = sealed + bytes(rng.randrange(1, 100)), sealed[:-1]
    return Packet(message=rng.choice((longer, shorter, sealed[:12] + b"\7" + sealed[13:])))


def _stale(target: Target, rng: random.Random, wall: float) -> Packet:
    return Packet(message=_sealed(target, rng, wall + rng.choice((-3600, -60, 60, 3600))))


def _unknown_key(target: Target, rng: random.Random, wall: float) -> Packet:
    return Packet(message=_sealed(target, rng, wall, Key(9, KEY.secret)))


def _forged(target: Target, rng: random.Random, wall: float) -> Packet:
    return Packet(message=_sealed(target, rng, wall, Key(KEY.number, bytes(32))))


def _replayed(target: Target, rng: random.Random, wall: float) -> Packet:
    return Packet(message=_sealed(target, rng, wall - rng.choice((1.0, 2.0)), priority=0))


KINDS: Final[dict[str, tuple[Refusal | None, Make]]] = {
    "own": (Refusal.OWN, _own),
    "another router": (Refusal.VRID, _other_router),
    "no router": (Refusal.VRID, _no_router),
    "padded": (Refusal.VRID, _padded),
    "from afar": (Refusal.TTL, _from_afar),
    "truncated": (Refusal.LENGTH, _truncated),
    "too many addresses": (Refusal.LENGTH, _too_many_addresses),
    "another version": (Refusal.VERSION, _other_version),
    "another type": (Refusal.TYPE, _other_type),
    "bad checksum": (Refusal.CHECKSUM, _bad_checksum),
    "no address": (Refusal.COUNT, _no_address),
    "no interval": (Refusal.INTERVAL, _no_interval),
    "another authentication": (Refusal.AUTH_TYPE, _other_authentication),
    "random": (None, _random),
}
"""Kinds that any pair refuses, and the reason that is counted; None is any."""

KINDS_SIGNED: Final[dict[str, tuple[Refusal | None, Make]]] = {
    **KINDS,
    "stranger": (Refusal.STRANGER, _stranger),
    "unsigned": (Refusal.HMAC_MISSING, _unsigned),
    "malformed trailer": (Refusal.HMAC_MALFORMED, _malformed),
    "stale": (Refusal.HMAC_STALE, _stale),
    "unknown key": (Refusal.HMAC_KEY, _unknown_key),
    "forged": (Refusal.HMAC_WRONG, _forged),
}
"""Those of a pair that speaks to each other only and signs."""

REPLAYED: Final[tuple[Refusal | None, Make]] = (Refusal.HMAC_REPLAY, _replayed)
"""For the backup only: the Active has heard nobody whose adverts could be sent again."""


FRESH_S: Final = 1.0
"""How old a frame may be when it is sent, so that it is refused for the reason it was made for."""


class Flow:
    """Frames for one target, one kind after another; made from time to time, for a sender has little time."""

    def __init__(
        self,
        target: Target,
        kinds: Sequence[tuple[Refusal | None, Make]],
        *,
        hardware: bytes,
        rng: random.Random,
        each: int = 20,
    ) -> None:
        self._target, self._kinds, self._hardware, self._rng, self._each = target, kinds, hardware, rng, each
        self._frames: list[tuple[Refusal | None, bytes]] = []
        self._next = 0
        self._made = -math.inf
        self.sent: Counter[Refusal | None] = Counter()

    def take(self, wall: float) -> bytes:
        """The next one; `wall` is Unix time."""
        if wall - self._made > FRESH_S:
            self._made = wall
            self._frames = [
                (refusal, frame(make(self._target, self._rng, wall), self._target, self._hardware))
                for _ in range(self._each)
                for refusal, make in self._kinds
            ]
        refusal, octets = self._frames[self._next % len(self._frames)]
        self._next += 1
        self.sent[refusal] += 1
        return octets


def frame(packet: Packet, target: Target, hardware: bytes) -> bytes:
    """The Ethernet frame with the packet, to the target alone."""
    source, destination = packet.source or target.peer, _destination(target)
    header = struct.pack(
        "!BBHHHBBH4s4s",
        0x45,
        0xC0,
        20 + len(packet.message),
        0,
        0,
        packet.ttl,
        PROTOCOL,
        0,
        pack(source),
        pack(destination),
    )
    header = header[:10] + struct.pack("!H", internet_checksum(header)) + header[12:]
    return target.hardware + hardware + b"\x08\x00" + header + packet.message


def is_advert(frame: bytes, source: str) -> bool:
    """Whether it is a packet of VRRP from this address."""
    return frame[12:14] == b"\x08\x00" and frame[23] == PROTOCOL and frame[26:30] == socket.inet_aton(source)
