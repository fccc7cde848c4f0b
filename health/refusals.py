"""Which targets has the network just said to be unreachable, and until when are they left alone?

An ICMP error is the fastest sign of a dead server, but not a lasting one: without probes nothing would tell that it is
back, so a target is avoided for `HOLD_S` and then tried again by real traffic.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import attrs

HOLD_S = 5.0
"""Ten times RFC 3261's T1: the retransmissions of the first seconds all go elsewhere."""

_NOBODY: Mapping[int, float] = {}


@attrs.frozen
class Refusals:
    """The targets, by number, that are held to be down, and when each one's time is over (seconds)."""

    until: Mapping[int, float] = _NOBODY

    def refused(self, target: int, *, now: float) -> Refusals:
        """With one more target that has refused a message; a further refusal prolongs the time."""
        return Refusals({**self.until, target: now + HOLD_S})

    def expire(self, *, now: float) -> Refusals:
        """Without those whose time is over."""
        if now < self.next_expiry:
            return self
        return Refusals({target: end for target, end in self.until.items() if end > now})

    @property
    def next_expiry(self) -> float:
        """When `expire` will change something next; infinity when nobody is held."""
        return min(self.until.values(), default=math.inf)
