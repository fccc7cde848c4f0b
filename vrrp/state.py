"""Which states has a virtual router, and which deadlines does each own?  All times are of one monotonic clock."""

from __future__ import annotations

import math

import attrs

from vrrp.event import Fitness


@attrs.frozen
class Initialize:
    """Not taking part.  `until`: waits for the first verdict of its tracks, at most so long; None is stopped."""

    until: float | None = None


@attrs.frozen(kw_only=True)
class Backup:
    """Listens.

    `interval` is the Active's, adopted from its adverts; `active` is the source of the last one, "" before there is
    any; `fit_since`: since when this node has been better than the Active, None while it is not;
    `shy_until`: after a move that failed, an Active is left alone until then, so long as it can take calls.
    """

    active_down_at: float
    interval: float
    active: str = ""
    fit_since: float | None = None
    shy_until: float = -math.inf


@attrs.frozen(kw_only=True)
class Active:
    """Owns the address."""

    advert_at: float
    lease_at: float
    """When the kernel is told again to keep the address."""
    announce_at: float
    announced: int
    """Announcements of the first seconds that were made."""
    sent_at: float
    """The last advert."""
    asserted_at: float = -math.inf
    """A second before the next announcement that a foreign advert may bring about."""
    assert_at: float = math.inf
    """When one is due that was put off."""
    lost_at: tuple[float, ...] = ()
    """When somebody took the address away lately."""


@attrs.frozen
class Fault:
    """Cannot own the address.  `until`: when it is tried again; infinity: when the fitness has no fault any more."""

    reason: str
    until: float = math.inf


Role = Initialize | Backup | Active | Fault


@attrs.frozen
class State:
    """The role, and how fit the node is for it."""

    role: Role = attrs.field(factory=Initialize)
    fitness: Fitness = attrs.field(factory=lambda: Fitness(priority=0, ready=False))
