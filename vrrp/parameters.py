"""What is this node told about the address it shares, and which times follow from it?"""

from __future__ import annotations

import ipaddress
import math

import attrs

RELEASE = 0
"""The priority of an Active that leaves (RFC 9568 5.2.4)."""
FIT = 100
"""A configured priority is at least this; whoever advertises less says that something is wrong with it."""
MOST = 254
"""255 is the RFC's address owner: an address that moves has none."""
UNFIT_SHARE = 99
"""A node with a failed track advertises priority * 99 // 254: 38..99, in the order of the configured ones."""
USELESS_SHARE = 37
"""One that can take no call at all advertises priority * 37 // 254: 14..37, less than any that may still take some."""
MOST_USELESS = USELESS_SHARE
"""The highest priority of one that can take no call."""
ANNOUNCE_AGAIN_S = (1.0, 5.0)
"""When the address is announced again after it was taken: a first announcement gets lost, or a switch was not ready."""
LEAST_LEASE_S = 2.0
REFRESH_S = 0.3
"""How often the lease is prolonged.

So often that the address of an agent which was killed at the worst moment still outlives the peer's down interval.
"""


@attrs.frozen
class Preempt:
    """When a Backup of higher priority takes the address from a healthy Active.

    It has been fit beside it for `after` seconds; 0 is always, infinity never.  An Active that is not fit is no matter
    of preemption.
    """

    after: float = 0.0


ALWAYS = Preempt(0.0)
NEVER = Preempt(math.inf)


@attrs.frozen(kw_only=True)
class Parameters:
    """One virtual router (RFC 9568 6.1) as this node is configured; all times in seconds.

    `priority` is 100..254, `address` this node's own on the interface of the adverts, numeric.
    """

    address: str
    priority: int
    interval: float = 0.1
    version: int = 3
    preempt: Preempt = ALWAYS
    announce_every: float = 30.0
    wanted_lease: float | None = None

    @property
    def lease(self) -> float:
        """How long the address outlives its agent at most: what is wanted, or what suits the interval.

        Two seconds, or more where the peer waits longer: when a killed Active's address goes, the peer has just
        announced its own.  The second more is the kernel's, who counts in whole ones.
        """
        if self.wanted_lease is not None:
            return self.wanted_lease
        down = active_down(self.version, self.priority, self.interval)
        return max(LEAST_LEASE_S, math.ceil(down + REFRESH_S) + 1.0)


def skew(version: int, priority: int, interval: float) -> float:
    """Skew_Time: what keeps two Backups apart (RFC 9568 6.1; RFC 3768 6.1, where it does not follow the interval)."""
    return (256 - priority) / 256 * (interval if version == 3 else 1.0)


def active_down(version: int, priority: int, interval: float) -> float:
    """Active_Down_Interval: without an advert for so long, the Active is gone (RFC 9568 6.1)."""
    return 3 * interval + skew(version, priority, interval)


def unfit(priority: int) -> int:
    """What a node with this configured priority advertises while a track fails."""
    return priority * UNFIT_SHARE // MOST


def useless(priority: int) -> int:
    """What a node with this configured priority advertises while a vital track fails."""
    return priority * USELESS_SHARE // MOST


def rank(address: str) -> tuple[int, int]:
    """The order of addresses when priorities are equal: as unsigned numbers (RFC 9568 6.4.3)."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    return parsed.version, int(parsed)
