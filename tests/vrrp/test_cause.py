"""Is the reason that is told for a change of role the right one?"""

from __future__ import annotations

import pytest

from vrrp.cause import KEEPALIVED_NAMES, NAMES, LastHeard, cause_of, name_of
from vrrp.event import (
    AddressesLost,
    AdvertReceived,
    Event,
    Fitness,
    FitnessChanged,
    MoveFailed,
    Started,
    Stopped,
    TimerFired,
)
from vrrp.state import Active, Backup, Fault, Initialize, Role, State

PEER = "192.0.2.12"
WELL = Fitness(priority=250)
ILL = Fitness(priority=97, cause="sip: no answer")
ACTIVE = Active(advert_at=10.1, lease_at=10.5, announce_at=11.0, announced=0, sent_at=10.0)
BACKUP = Backup(active_down_at=10.0, interval=0.1)
HELD = Fault("held by the operator")
GONE = LastHeard(source=PEER, priority=240, at=9.7)
RELEASED = LastHeard(source=PEER, priority=0, at=9.99)
LOWER = LastHeard(source=PEER, priority=240, at=9.95)
NOBODY = LastHeard()


def advert(priority: int) -> AdvertReceived:
    return AdvertReceived(priority=priority, interval=0.1, source=PEER)


@pytest.mark.parametrize(
    ("before", "event", "after", "last", "told"),
    [
        (Initialize(15.0), Started(WELL), BACKUP, NOBODY, "started"),
        (Initialize(15.0), FitnessChanged(WELL), BACKUP, NOBODY, "started"),
        (Initialize(10.0), TimerFired(), BACKUP, NOBODY, "started, though some tracks have not spoken yet"),
        (Initialize(15.0), Started(WELL), HELD, NOBODY, "held by the operator"),
        (BACKUP, TimerFired(), ACTIVE, NOBODY, "nobody else has the address"),
        (BACKUP, TimerFired(), ACTIVE, GONE, f"no advert from {PEER} any more"),
        (BACKUP, TimerFired(), ACTIVE, RELEASED, f"{PEER} has given the address up"),
        (BACKUP, TimerFired(), ACTIVE, LOWER, f"{PEER} advertises 240, this node 250"),
        (BACKUP, FitnessChanged(ILL), HELD, GONE, "held by the operator"),
        (BACKUP, Stopped(), Initialize(), GONE, "stopped"),
        (ACTIVE, Stopped(), Initialize(), GONE, "stopped"),
        (ACTIVE, advert(254), BACKUP, GONE, f"{PEER} advertises 254, this node 250"),
        (ACTIVE, advert(250), BACKUP, GONE, f"{PEER} advertises 250, this node 250"),
        (ACTIVE, FitnessChanged(ILL), BACKUP, GONE, "sip: no answer"),
        (ACTIVE, MoveFailed("no such device"), Fault("no such device", 20.0), GONE, "no such device"),
        (ACTIVE, TimerFired(), BACKUP, GONE, "this process did not run for 4.00 s: it competes anew"),
        (ACTIVE, advert(100), BACKUP, GONE, "this process did not run for 4.00 s: it competes anew"),
        (ACTIVE, FitnessChanged(WELL), BACKUP, GONE, "this process did not run for 4.00 s: it competes anew"),
        (ACTIVE, AddressesLost(by_lease=True), BACKUP, GONE, "this process did not run for 4.00 s: it competes anew"),
        (HELD, FitnessChanged(WELL), BACKUP, GONE, "the fault is over: held by the operator"),
        (HELD, TimerFired(), BACKUP, GONE, "tries again after: held by the operator"),
        # No step of the machine ends in these; they are told all the same.
        (ACTIVE, TimerFired(), Initialize(), GONE, "nobody else has the address"),
        (BACKUP, FitnessChanged(WELL), ACTIVE, GONE, "the fault is over: "),
        (BACKUP, AddressesLost(by_lease=False), ACTIVE, GONE, "the addresses cannot be held here"),
        (BACKUP, MoveFailed("x"), ACTIVE, GONE, "the addresses cannot be held here"),
    ],
)
def test_a_reason_is_told(before: Role, event: Event, after: Role, last: LastHeard, told: str) -> None:
    fitness = event.fitness if isinstance(event, FitnessChanged) else WELL
    assert cause_of(State(before, WELL), event, State(after, fitness), now=10.0, late=4.0, last=last) == told


@pytest.mark.parametrize(
    ("role", "name"),
    [(Initialize(), "initialize"), (BACKUP, "backup"), (ACTIVE, "active"), (HELD, "fault")],
)
def test_each_role_has_a_name_and_keepaliveds(role: Role, name: str) -> None:
    assert name_of(State(role)) == name
    assert set(KEEPALIVED_NAMES) == set(NAMES.values())
