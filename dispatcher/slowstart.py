"""How large a share of its keys does a destination take that has come back a moment ago?

A server that has just started has cold caches, and phones that all want to register.  Its share grows evenly; who takes
a key at one moment takes it at every later one, so no call moves twice.
"""

from __future__ import annotations

from dispatcher.selection import FULL_SHARE

LEAST_SHARE = 8
"""Of 256, at the start: somebody must show that calls succeed there."""


def ramp_of(back_since: float | None, now: float, duration: float) -> int:
    """The ramp: how many of 256 keys, or FULL_SHARE for all.

    `back_since` is when it came up from down (None: it never was down, or is), `duration` how long the share grows,
    0 for not at all; both in seconds of the clock that `now` is of.
    """
    if back_since is None or now >= back_since + duration:
        return FULL_SHARE
    return max(LEAST_SHARE, int(FULL_SHARE * (now - back_since) / duration))
