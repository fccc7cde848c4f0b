"""Is what was received an advert of our virtual router, and does its sender agree with us?

Nothing but the checks of RFC 9568 7.1 keeps an advert out, and what the operator has asked for: peers, keys.  A peer
that is configured differently is obeyed like any other and an alarm: refused, it would be a second owner in silence.
So an interval or an address list that differs is no reason to discard even in version 2 (unlike RFC 3768 7.1), nor a
password (unlike RFC 2338), nor is the other version, which this node reads but does not speak.
"""

from __future__ import annotations

from collections.abc import Collection

import attrs

from vrrp.packet import Advert, Checksum, canonical, decode
from vrrp.refusal import Refusal
from vrrp.trailer import Freshness, Key, check

LEAST_WINDOW_S = 5.0


@attrs.frozen
class Mismatch:
    """What a peer has configured differently; `ours` and `theirs` are for people and show no password."""

    field: str
    """`version`, `interval`, `addresses`, `password` or `hmac`; a metric's label."""
    ours: str
    theirs: str


@attrs.frozen
class Heard:
    """An advert that counts."""

    advert: Advert
    checksum: Checksum
    mismatches: tuple[Mismatch, ...] = ()


def _canonical_set(addresses: Collection[str]) -> frozenset[str]:
    return frozenset(canonical(address) for address in addresses)


@attrs.frozen(kw_only=True)
class Reception:
    """What this node listens for, in one family.

    `addresses` are those that its own adverts name; `own`, where they leave from; `peers`, who else may speak: anybody
    if there are none.  `interval` in seconds.  With `keys`, an advert needs an authentication trailer, unless they are
    not `enforced`: then one without is heard as a mismatch.  `window`: how far a sender's clock may be off, in seconds;
    None for any (see `window_for`).
    """

    vrid: int
    version: int
    addresses: frozenset[str] = attrs.field(converter=_canonical_set)
    interval: float
    own: frozenset[str] = attrs.field(converter=_canonical_set)
    peers: frozenset[str] = attrs.field(converter=_canonical_set, default=())
    least_ttl: int = 255
    password: bytes | None = attrs.field(default=None, repr=False)
    keys: tuple[Key, ...] = ()
    enforced: bool = True
    window: float | None = LEAST_WINDOW_S
    latest: dict[str, int] = attrs.field(factory=dict, repr=False, eq=False)
    """The last sequence number of each sender.  Only who has a key gets in, so it needs no bound."""

    def judge(self, data: bytes, *, source: str, destination: str, ttl: int, wall: float) -> Heard | Refusal:
        """What follows the IP header, with the addresses and the TTL (hop limit) from there; `wall` is Unix time.

        Unix time, unlike everything else in this package: the clocks of two nodes are compared.
        """
        source = canonical(source)
        if source in self.own:
            return Refusal.OWN
        if len(data) > 1 and data[1] != self.vrid:
            return Refusal.VRID
        if self.peers and source not in self.peers:
            return Refusal.STRANGER
        if ttl < self.least_ttl:
            return Refusal.TTL
        decoded = decode(data, source=source, destination=destination)
        if isinstance(decoded, Refusal):
            return decoded
        mismatches = self._compare(decoded.advert)
        if self.keys:
            freshness = Freshness(wall=wall, window=self.window, latest=self.latest.get(source))
            message = data[: len(data) - len(decoded.rest)]
            sequence = check(message, decoded.rest, source=source, keys=self.keys, freshness=freshness)
            if isinstance(sequence, int):
                self.latest[source] = sequence
            elif self.enforced or sequence is not Refusal.HMAC_MISSING:
                return sequence
            else:
                mismatches.append(Mismatch("hmac", "a trailer", "none"))
        return Heard(decoded.advert, decoded.checksum, tuple(mismatches))

    def _compare(self, advert: Advert) -> list[Mismatch]:
        found = []
        if advert.version != self.version:
            found.append(Mismatch("version", str(self.version), str(advert.version)))
        # Hundredths of a second are what the wire has.
        if round(advert.interval * 100) != round(self.interval * 100):
            found.append(Mismatch("interval", f"{self.interval:g} s", f"{advert.interval:g} s"))
        if self.addresses != set(advert.addresses):
            found.append(Mismatch("addresses", _list(self.addresses), _list(advert.addresses)))
        if self.version == advert.version == 2 and advert.password != self.password:
            ours, theirs = self.password, advert.password
            found.append(Mismatch("password", _tell(ours, "one"), _tell(theirs, "one" if ours is None else "another")))
        return found


def window_for(interval: float) -> float:
    """How far a sender's clock may be off when nothing is configured: as keepalived has it, in seconds."""
    return max(3 * interval, LEAST_WINDOW_S)


def _tell(password: bytes | None, word: str) -> str:
    return "none" if password is None else word


def _list(addresses: Collection[str]) -> str:
    return " ".join(sorted(addresses))
