"""One node of priority 200 in each of its states, and stories told to it."""

from __future__ import annotations

import pytest

from vrrp.action import Action, AddAddresses, AnnounceAddresses, RemoveAddresses, SendAdvert
from vrrp.event import AdvertReceived, Event, Fitness, TimerFired
from vrrp.machine import next_timer, step
from vrrp.parameters import Parameters, unfit
from vrrp.state import Active, Backup, Fault, Initialize, State

MINE = 200
US = Parameters(address="192.0.2.12", priority=MINE, interval=1.0)
SKEW_S = 56 / 256
DOWN_S = 3.0 + SKEW_S
NOW = 100.0
LOW, HIGH = "192.0.2.11", "192.0.2.13"

FIT = Fitness(priority=MINE)
UNFIT = Fitness(priority=unfit(MINE), cause="sip")
HELD = Fitness(priority=MINE, fault="held by the operator")
UNREADY = Fitness(priority=MINE, ready=False)

STOPPED = State(Initialize(), FIT)
WAITING = State(Initialize(NOW + 1.0), UNREADY)
BACKUP = State(Backup(active_down_at=NOW + 2.0, interval=1.0), FIT)
UNFIT_BACKUP = State(BACKUP.role, UNFIT)
OWNING = Active(advert_at=NOW + 0.5, lease_at=NOW + 0.7, announce_at=NOW + 9.0, announced=2, sent_at=NOW - 0.5)
ACTIVE = State(OWNING, FIT)
UNFIT_ACTIVE = State(ACTIVE.role, UNFIT)
FAULT = State(Fault("held by the operator"), HELD)
RETRYING = State(Fault("no such device", NOW + 5.0), FIT)

LEASE_S = 5.0
LEAVE = (SendAdvert(0), RemoveAddresses())
TAKE = (SendAdvert(MINE), AddAddresses(LEASE_S), AnnounceAddresses())


def advert(priority: int, source: str = LOW, interval: float = 1.0) -> AdvertReceived:
    return AdvertReceived(priority=priority, interval=interval, source=source)


def role(state: State) -> str:
    return type(state.role).__name__


# A story: rows of time, event, the role after it, what is done

Story = list[tuple[float, Event, str, tuple[Action, ...]]]
ADVERT = (SendAdvert(MINE),)
REFRESH = (AddAddresses(LEASE_S),)
ANNOUNCE = (AnnounceAddresses(),)
FIRE = TimerFired()


def tell(story: Story, p: Parameters = US, state: State | None = None) -> State:
    """Each row must come true; one of TimerFired at the deadline that the machine has named."""
    state = state or State()
    for now, event, after, done in story:
        at = now
        if event == FIRE and (due := next_timer(state)) is not None:
            assert due == pytest.approx(now)
            at = max(now, due)  # the machine may have added up in another order
        state, actions = step(p, state, event, now=at)
        assert (role(state), actions) == (after, done), f"at {now}"
    return state
