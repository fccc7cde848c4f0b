"""What can happen to a virtual router?"""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class Fitness:
    """How fit this node is to own the address; `vrrp.tracking` says it.

    `priority` is what it advertises: its configured one, or below 100 while a track fails.  `fault` says why it cannot
    own the address at all: a link that is down, an operator's hold.  `ready`: each track has had its first verdict.
    """

    priority: int
    fault: str = ""
    ready: bool = True
    cause: str = ""
    """For people: which track fails, or has come back."""


@attrs.frozen
class Started:
    """The agent runs and knows this much of its fitness."""

    fitness: Fitness


@attrs.frozen
class Stopped:
    """The agent is asked to end."""


@attrs.frozen
class TimerFired:
    """The moment that `next_timer` named has come."""


@attrs.frozen(kw_only=True)
class AdvertReceived:
    """A peer's advert that passed the checks; `interval` in seconds, `source` the sender's numeric address."""

    priority: int
    interval: float
    source: str


@attrs.frozen
class FitnessChanged:
    """A track has changed its mind, or an operator has."""

    fitness: Fitness


@attrs.frozen
class AddressesLost:
    """An address that this node owns is gone, and not by its own doing.

    `by_lease`: the kernel took it because it was not told in time; otherwise somebody removed it.
    """

    by_lease: bool


@attrs.frozen
class MoveFailed:
    """The address could not be set here; `reason` is for people."""

    reason: str


Event = Started | Stopped | TimerFired | AdvertReceived | FitnessChanged | AddressesLost | MoveFailed
