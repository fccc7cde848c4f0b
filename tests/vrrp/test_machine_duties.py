"""What an Active does all the time, and what whoever comes late does first."""

from __future__ import annotations

import math

import attrs
import pytest

from tests.vrrp.scene import (
    ACTIVE,
    BACKUP,
    DOWN_S,
    FAULT,
    FIRE,
    FIT,
    HELD,
    HIGH,
    LEASE_S,
    LEAVE,
    MINE,
    NOW,
    OWNING,
    SKEW_S,
    STOPPED,
    UNFIT,
    US,
    advert,
    role,
    tell,
)
from vrrp.action import AddAddresses, AnnounceAddresses, SendAdvert
from vrrp.event import (
    AddressesLost,
    AdvertReceived,
    Event,
    FitnessChanged,
    MoveFailed,
    Started,
    Stopped,
)
from vrrp.machine import RETRY_S, next_timer, step
from vrrp.parameters import REFRESH_S, Parameters, active_down, skew
from vrrp.state import Active, Backup, Fault, State


def test_who_fails_as_active_waits_a_whole_down_interval_of_its_lowered_priority() -> None:
    state, _ = step(US, ACTIVE, FitnessChanged(UNFIT), now=NOW)
    assert state == State(Backup(active_down_at=NOW + active_down(3, UNFIT.priority, 1.0), interval=1.0), UNFIT)


def test_the_last_man_standing_sends_priority_0_once() -> None:
    down = active_down(3, UNFIT.priority, 1.0)
    take = (SendAdvert(UNFIT.priority), AddAddresses(LEASE_S), AnnounceAddresses())
    worse = attrs.evolve(UNFIT, priority=50)
    tell(
        [
            (NOW, FitnessChanged(UNFIT), "Backup", LEAVE),
            (NOW + down, FIRE, "Active", take),
            (NOW + down + 0.1, FitnessChanged(worse), "Active", ()),
            (NOW + down + 0.2, FitnessChanged(FIT), "Active", ()),
            (NOW + down + 0.3, FitnessChanged(UNFIT), "Backup", LEAVE),
        ],
        state=ACTIVE,
    )


def test_an_address_taken_away_three_times_is_a_fault() -> None:
    lost, again = AddressesLost(by_lease=False), (AddAddresses(LEASE_S), AnnounceAddresses())
    fresh = State(attrs.evolve(OWNING, advert_at=NOW + 20, sent_at=NOW + 19), FIT)
    state = tell(
        [
            (NOW, lost, "Active", again),
            (NOW + 1.0, AddressesLost(by_lease=True), "Active", again),
            (NOW + 2.0, lost, "Active", again),
            # The first is forgotten by now.
            (NOW + 10.0, lost, "Active", again),
            (NOW + 11.0, lost, "Fault", LEAVE),
        ],
        state=fresh,
    )
    assert state.role == Fault("the address was taken away 3 times within 10 s", NOW + 11.0 + RETRY_S)
    readded, _ = step(US, fresh, lost, now=NOW)
    assert isinstance(readded.role, Active)
    assert readded.role.lease_at == NOW + REFRESH_S


def test_adverts_stay_in_step_after_a_short_delay_and_start_anew_after_a_long_one() -> None:
    for late, following in ((0.4, 1.5), (0.999, 1.5), (1.0, 2.5), (1.2, 2.7)):
        now = NOW + 0.5 + late
        state, actions = step(US, ACTIVE, FIRE, now=now)
        assert actions[0] == SendAdvert(MINE)
        assert actions.count(SendAdvert(MINE)) == 1
        assert isinstance(state.role, Active)
        assert state.role.advert_at == pytest.approx(NOW + following)
        assert state.role.sent_at == now


def announcements(p: Parameters, seconds: float, foreign: dict[float, AdvertReceived]) -> list[float]:
    """When the address was announced, from the moment it was taken."""
    state, actions = step(p, State(Backup(active_down_at=0.0, interval=p.interval), FIT), FIRE, now=0.0)
    found, waiting, now = [0.0] * actions.count(AnnounceAddresses()), sorted(foreign), 0.0
    while now < seconds:
        due = next_timer(state)
        assert due is not None
        event: Event = FIRE
        now = due
        if waiting and waiting[0] < due:
            now = waiting.pop(0)
            event = foreign[now]
        state, actions = step(p, state, event, now=now)
        found += [round(now, 3)] * actions.count(AnnounceAddresses())
    return found


def test_the_address_is_announced_after_one_and_five_seconds_and_then_periodically() -> None:
    assert announcements(US, 70, {}) == [0.0, 1.0, 5.0, 35.0, 65.0]
    assert announcements(attrs.evolve(US, announce_every=2.0), 9, {}) == [0.0, 1.0, 3.0, 5.0, 7.0, 9.0]


def test_foreign_adverts_are_answered_by_three_announcements_at_once_then_once_a_second() -> None:
    assert announcements(US, 12, {7.25: advert(100)}) == [0.0, 1.0, 5.0, 7.25]
    flood = {6.05 + n / 10: advert(100) for n in range(31)}
    assert announcements(US, 12, flood) == [0.0, 1.0, 5.0, 6.05, 6.15, 6.25, 7.05, 8.05, 9.05, 10.05]


def test_foreign_adverts_do_not_use_up_the_announcements_of_the_first_seconds() -> None:
    flood = {(1 + n) / 10: advert(100) for n in range(15)}
    assert announcements(US, 40, flood) == [0.0, 0.1, 0.2, 0.3, 1.0, 1.1, 2.1, 5.0, 35.0]


def test_a_second_partition_heals_as_fast_as_the_first() -> None:
    heals = {at + late: advert(100) for at in (6.1, 6.3) for late in (0.0, 0.01)}
    assert announcements(US, 7, heals) == [0.0, 1.0, 5.0, 6.1, 6.11, 6.3, 7.1]


def adverts(seconds: float, foreign: dict[float, AdvertReceived]) -> list[float]:
    state, found, waiting, now = ACTIVE, [], sorted(foreign), NOW
    while now < NOW + seconds:
        due = next_timer(state)
        assert due is not None
        now, event = (due, FIRE) if not waiting or due <= waiting[0] else (waiting[0], foreign[waiting.pop(0)])
        state, actions = step(US, state, event, now=now)
        found += [round(now - NOW, 3) for action in actions if isinstance(action, SendAdvert)]
    return found


def test_a_flood_of_foreign_adverts_is_answered_a_tenth_of_the_interval_apart() -> None:
    # One right after our own is answered too, a little later: its sender must not believe it is alone.
    assert adverts(3.5, {NOW + 0.52: advert(100)}) == [0.5, 0.6, 1.6, 2.6, 3.6]
    flood = {NOW + 0.52 + n / 1000: advert(100) for n in range(300)}
    assert adverts(1.8, flood) == [0.5, 0.6, 0.7, 0.8, 0.9, 1.9]


# Lateness


@pytest.mark.parametrize(
    "event",
    [FIRE, advert(100), advert(250), AddressesLost(by_lease=True), MoveFailed("late"), FitnessChanged(FIT)],
)
def test_an_active_that_is_late_by_more_than_the_down_interval_steps_down_first(event: Event) -> None:
    now = NOW + 0.5 + DOWN_S + 0.01
    state, actions = step(US, ACTIVE, event, now=now)
    assert (role(state), actions) == ("Backup", LEAVE)
    assert next_timer(state) == pytest.approx(now + DOWN_S)
    on_time, _ = step(US, ACTIVE, advert(100), now=NOW + 0.5 + DOWN_S)
    assert isinstance(on_time.role, Active)


def test_a_late_active_handles_what_happened_as_backup() -> None:
    now = NOW + 10.0
    assert step(US, ACTIVE, FitnessChanged(HELD), now=now) == (FAULT, LEAVE)
    assert step(US, ACTIVE, Stopped(), now=now) == (STOPPED, LEAVE)
    state, _ = step(US, ACTIVE, advert(250, HIGH), now=now)
    assert state.role == Backup(active_down_at=now + DOWN_S, interval=1.0, active=HIGH)


def test_a_backup_that_is_late_by_more_than_the_down_interval_listens_first() -> None:
    late = NOW + 2.0 + DOWN_S + 0.01
    state, actions = step(US, BACKUP, FIRE, now=late)
    assert (state, actions) == (State(Backup(active_down_at=late + DOWN_S, interval=1.0), FIT), ())
    state, _ = step(US, BACKUP, FIRE, now=NOW + 2.0 + DOWN_S)
    assert isinstance(state.role, Active)


def test_version_2_waits_in_whole_seconds_of_skew() -> None:
    p = attrs.evolve(US, version=2, interval=0.1)
    state, _ = step(p, STOPPED, Started(FIT), now=0.0)
    assert next_timer(state) == pytest.approx(0.3 + SKEW_S)
    assert skew(2, MINE, 0.1) == SKEW_S


def test_infinity_is_no_deadline() -> None:
    assert math.isinf(Fault("held").until)
    assert next_timer(State(Fault("held"))) is None
