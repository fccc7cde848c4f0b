"""Does an advert come from somebody who has our key, and is it new?  keepalived's `auth_hmac`, from 2.4.1 on.

The trailer follows the VRRP message of either version and family (draft-cassen-vrrp-auth-hmac):

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +---------------+---------------+-------------------------------+
    | Type (1)      |    Key ID     |         Reserved (0)          |
    +---------------+---------------+-------------------------------+
    |            Seconds of the clock, the low 32 bits              |
    +-------------------------------+-------------------------------+
    |  Fraction of a second / 2^16  |            Counter            |
    +-------------------------------+-------------------------------+
    |          HMAC-SHA256, its first 16 of 32 bytes                |
    +---------------------------------------------------------------+

The HMAC covers a block of 20 bytes (4 or 6 for the family, version, VRID, 0, the source padded to 16 bytes), the
message with its checksum as zero, and the trailer with its HMAC as zero.  The message's checksum leaves the trailer out
over IPv4 and covers it over IPv6, where keepalived has the kernel make it.

A keepalived that is not told of it, or is older, refuses every advert with a trailer as too long: both nodes have to
read trailers before the first one sends any.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Collection

import attrs

from vrrp.packet import Checksum, pack, with_checksum
from vrrp.refusal import Refusal

TRAILER_BYTES = 28
LEAST_KEY_BYTES, MOST_KEY_BYTES = 32, 64
HMAC_SHA256 = 1

_FIELDS = struct.Struct("!BBHQ16s")
_HMAC_BYTES = 16
_SEQUENCES = 1 << 64
_SECONDS = 1 << 32


@attrs.frozen
class Key:
    """A shared key: its number, 1 to 255, is what tells keys apart while they are exchanged.  ValueError otherwise."""

    number: int
    secret: bytes = attrs.field(repr=False)

    def __attrs_post_init__(self) -> None:
        if not 1 <= self.number <= 255:
            raise ValueError(f"key {self.number}: the number of a key is 1 to 255")
        if not LEAST_KEY_BYTES <= len(self.secret) <= MOST_KEY_BYTES:
            raise ValueError(f"key {self.number} has {len(self.secret)} bytes: {LEAST_KEY_BYTES} to {MOST_KEY_BYTES}")


def parse_keys(text: str) -> tuple[Key, ...]:
    """The keys of a file: `NUMBER hex:...` or `NUMBER PASSPHRASE` a line, the one to sign with first.

    Empty lines and those that begin with `#` do not count.  ValueError names the line, never the key.
    """
    keys: list[Key] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split(maxsplit=1)
        if not words or words[0].startswith("#"):
            continue
        try:
            keys.append(_parse_key(words))
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
        if keys[-1].number in {key.number for key in keys[:-1]}:
            raise ValueError(f"line {number}: key {keys[-1].number} is there twice")
    if not keys:
        raise ValueError("no key: write a line `1 hex:` with 64 hexadecimal digits")
    return tuple(keys)


def _parse_key(words: list[str]) -> Key:
    if len(words) != 2 or not words[0].isdecimal():
        raise ValueError("write the key's number, a space and the key")
    return Key(int(words[0]), _parse_secret(words[1].rstrip()))


def _parse_secret(text: str) -> bytes:
    if not text.startswith("hex:"):
        return text.encode()
    try:
        return bytes.fromhex(text.removeprefix("hex:"))
    except ValueError:
        raise ValueError("what follows hex: is not hexadecimal") from None


def next_sequence(last: int | None, *, wall: float, window: float | None) -> int:
    """The sequence number of the next advert: that of the clock, or one more than the last if the clock stands.

    `wall` is Unix time in seconds; `window` as in Freshness, with which a clock that was set back is followed at once.
    """
    clock = (int(wall * 65536) << 16) % _SEQUENCES
    if last is None or _is_after(clock, last) or not Freshness(wall=wall, window=window, latest=None).allows(last):
        return clock
    return (last + 1) % _SEQUENCES


def seal(message: bytes, *, source: str, destination: str, key: Key, sequence: int) -> bytes:
    """The message with its trailer; `source` and `destination` are those of the IP header."""
    prefix = _FIELDS.pack(HMAC_SHA256, key.number, 0, sequence, bytes(_HMAC_BYTES))[:-_HMAC_BYTES]
    sealed = message + prefix + _compute(key, message, prefix, source)
    if ":" not in source:
        return sealed
    return with_checksum(sealed, source=source, destination=destination, checksum=Checksum.PSEUDO_HEADER)


@attrs.frozen(kw_only=True)
class Freshness:
    """What is known of a sender's sequence.  Seconds, Unix time.

    `window`: how far its clock may be from ours; None: any, only its sequence has to grow.  `latest`: its last number.
    """

    wall: float
    window: float | None
    latest: int | None

    def allows(self, sequence: int) -> bool:
        """Whether its time is near enough to ours, in whole seconds as keepalived counts them."""
        if self.window is None:
            return True
        skew = (int(self.wall) - (sequence >> 32)) % _SECONDS
        return min(skew, _SECONDS - skew) <= self.window


def check(message: bytes, trailer: bytes, *, source: str, keys: Collection[Key], freshness: Freshness) -> int | Refusal:
    """The sequence number of a trailer that is right, to be kept as the sender's latest; or what is wrong with it.

    `message` is the advert without what follows it.  The cheap checks come first: a flood of old adverts costs no HMAC.
    """
    if not trailer:
        return Refusal.HMAC_MISSING
    if len(trailer) != TRAILER_BYTES:
        return Refusal.HMAC_MALFORMED
    kind, number, reserved, sequence, theirs = _FIELDS.unpack(trailer)
    if kind != HMAC_SHA256 or reserved:
        return Refusal.HMAC_MALFORMED
    if not freshness.allows(sequence):
        return Refusal.HMAC_STALE
    key = next((key for key in keys if key.number == number), None)
    if key is None:
        return Refusal.HMAC_KEY
    if not hmac.compare_digest(_compute(key, message, trailer[:-_HMAC_BYTES], source), theirs):
        return Refusal.HMAC_WRONG
    latest = freshness.latest
    # A latest one that would be stale itself proves nothing: its sender's clock was set back.
    if latest is not None and freshness.allows(latest) and not _is_after(sequence, latest):
        return Refusal.HMAC_REPLAY
    return int(sequence)


def _compute(key: Key, message: bytes, prefix: bytes, source: str) -> bytes:
    address = pack(source)
    block = bytes((6 if ":" in source else 4, message[0] >> 4, message[1], 0)) + address.ljust(16, b"\0")
    covered = (block, message[:6], b"\0\0", message[8:], prefix, bytes(_HMAC_BYTES))
    return hmac.digest(key.secret, b"".join(covered), hashlib.sha256)[:_HMAC_BYTES]


def _is_after(sequence: int, other: int) -> bool:
    """Serial number arithmetic (RFC 1982), so that the end of the 32 bits of seconds is no event."""
    return 0 < (sequence - other) % _SEQUENCES < _SEQUENCES // 2
