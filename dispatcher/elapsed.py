"""How long did a reply take?  The parameter `t` of our Via brings back when its request left, so nobody need remember.

It counts the milliseconds of the node's clock modulo 2**20, in four digits of base 36, and starts again every 17
minutes.  The branch does not cover it, or a retransmission would have another one: it improves figures, and nothing is
decided by it that a server could not have by answering late.
"""

from __future__ import annotations

from functools import lru_cache

LONGEST_S = 180.0
"""Timer C (RFC 3261 16.6 step 11), about as long as a phone may ring.  More than that is the clock of another node, or
of the time before a restart."""

_MASK = 2**20 - 1
_BASE = 36
_DIGITS = b"0123456789abcdefghijklmnopqrstuvwxyz"
_PAIRS = tuple(bytes((high, low)) for high in _DIGITS for low in _DIGITS)
_LENGTH = 4


@lru_cache(maxsize=1)  # a batch of datagrams has one `now`
def moment(now: float) -> bytes:
    """What our Via says of a request that leaves at `now` (seconds): always four digits."""
    high, low = divmod(int(now * 1000) & _MASK, _BASE * _BASE)
    return _PAIRS[high] + _PAIRS[low]


def since(left: bytes, now: float) -> float | None:
    """Seconds from a moment that our Via has brought back until `now`; None when it is too long or not our writing."""
    if len(left) != _LENGTH or not left.isalnum():
        return None
    elapsed = ((int(now * 1000) - int(left, _BASE)) & _MASK) / 1000
    return elapsed if elapsed < LONGEST_S else None
