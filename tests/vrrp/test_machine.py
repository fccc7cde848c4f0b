"""Every state times every event; then the recorded examples of RFC 9568 6.4, with ours where DESIGN goes further."""

from __future__ import annotations

import itertools

import attrs
import pytest

from tests.vrrp.scene import (
    ACTIVE,
    ADVERT,
    ANNOUNCE,
    BACKUP,
    DOWN_S,
    FAULT,
    FIRE,
    FIT,
    HELD,
    HIGH,
    LEASE_S,
    LEAVE,
    LOW,
    MINE,
    NOW,
    OWNING,
    REFRESH,
    RETRYING,
    SKEW_S,
    STOPPED,
    TAKE,
    UNFIT,
    UNFIT_ACTIVE,
    UNFIT_BACKUP,
    UNREADY,
    US,
    WAITING,
    Story,
    advert,
    role,
    tell,
)
from vrrp.action import Action, AddAddresses, AnnounceAddresses, RemoveAddresses, SendAdvert
from vrrp.event import (
    AddressesLost,
    AdvertReceived,
    Event,
    FitnessChanged,
    MoveFailed,
    Started,
    Stopped,
    TimerFired,
)
from vrrp.machine import FIRST_VERDICTS_S, RETRY_S, SHY_S, next_timer, step
from vrrp.parameters import ALWAYS, MOST_USELESS, NEVER, Parameters, Preempt, active_down, unfit
from vrrp.state import Active, Backup, Fault, Initialize, Role, State

TABLE: list[tuple[State, Event, type[Role], tuple[Action, ...]]] = [
    # state, event, the role after it, what is done
    (STOPPED, Started(FIT), Backup, (RemoveAddresses(),)),
    (STOPPED, Started(UNREADY), Initialize, (RemoveAddresses(),)),
    (STOPPED, Started(HELD), Fault, (RemoveAddresses(),)),
    (STOPPED, Stopped(), Initialize, ()),
    (STOPPED, TimerFired(), Initialize, ()),
    (STOPPED, advert(0), Initialize, ()),
    (STOPPED, FitnessChanged(FIT), Initialize, ()),
    (STOPPED, AddressesLost(by_lease=True), Initialize, ()),
    (STOPPED, MoveFailed("late"), Initialize, ()),
    (WAITING, Started(UNREADY), Initialize, (RemoveAddresses(),)),
    (WAITING, Stopped(), Initialize, ()),
    (WAITING, TimerFired(), Initialize, ()),
    (WAITING, advert(250), Initialize, ()),
    (WAITING, FitnessChanged(FIT), Backup, ()),
    (WAITING, FitnessChanged(UNFIT), Backup, ()),
    (WAITING, FitnessChanged(HELD), Fault, ()),
    (WAITING, FitnessChanged(UNREADY), Initialize, ()),
    (WAITING, AddressesLost(by_lease=False), Initialize, ()),
    (WAITING, MoveFailed("late"), Initialize, ()),
    (BACKUP, Started(FIT), Backup, ()),
    (BACKUP, Stopped(), Initialize, (RemoveAddresses(),)),
    (BACKUP, TimerFired(), Backup, ()),
    (BACKUP, advert(0), Backup, ()),
    (BACKUP, advert(100), Backup, ()),
    (BACKUP, advert(254), Backup, ()),
    (BACKUP, FitnessChanged(UNFIT), Backup, ()),
    (BACKUP, FitnessChanged(HELD), Fault, ()),
    (BACKUP, AddressesLost(by_lease=False), Backup, ()),
    (BACKUP, MoveFailed("late"), Backup, ()),
    (ACTIVE, Started(FIT), Active, ()),
    (ACTIVE, Stopped(), Initialize, LEAVE),
    (ACTIVE, TimerFired(), Active, ()),
    (ACTIVE, advert(0, HIGH), Active, (SendAdvert(MINE), AnnounceAddresses())),
    (ACTIVE, advert(199, HIGH), Active, (SendAdvert(MINE), AnnounceAddresses())),
    (ACTIVE, advert(200, LOW), Active, (SendAdvert(MINE), AnnounceAddresses())),
    (ACTIVE, advert(200, HIGH), Backup, (SendAdvert(MINE), RemoveAddresses())),
    (ACTIVE, advert(201, LOW), Backup, (SendAdvert(MINE), RemoveAddresses())),
    (UNFIT_ACTIVE, advert(100), Backup, (SendAdvert(UNFIT.priority), RemoveAddresses())),
    (UNFIT_ACTIVE, advert(38, HIGH), Active, (SendAdvert(UNFIT.priority), AnnounceAddresses())),
    (ACTIVE, FitnessChanged(FIT), Active, ()),
    (ACTIVE, FitnessChanged(UNFIT), Backup, LEAVE),
    (ACTIVE, FitnessChanged(HELD), Fault, LEAVE),
    (UNFIT_ACTIVE, FitnessChanged(UNFIT), Active, ()),
    (UNFIT_ACTIVE, FitnessChanged(FIT), Active, ()),
    (UNFIT_ACTIVE, FitnessChanged(HELD), Fault, LEAVE),
    (ACTIVE, AddressesLost(by_lease=True), Active, (AddAddresses(LEASE_S), AnnounceAddresses())),
    (ACTIVE, AddressesLost(by_lease=False), Active, (AddAddresses(LEASE_S), AnnounceAddresses())),
    (ACTIVE, MoveFailed("no such device"), Fault, LEAVE),
    (FAULT, Started(FIT), Fault, ()),
    (FAULT, Stopped(), Initialize, (RemoveAddresses(),)),
    (FAULT, TimerFired(), Fault, ()),
    (FAULT, advert(0), Fault, ()),
    (FAULT, FitnessChanged(FIT), Backup, ()),
    (FAULT, FitnessChanged(UNFIT), Backup, ()),
    (FAULT, FitnessChanged(HELD), Fault, ()),
    (FAULT, AddressesLost(by_lease=True), Fault, ()),
    (FAULT, MoveFailed("late"), Fault, ()),
    (RETRYING, TimerFired(), Fault, ()),
    (RETRYING, FitnessChanged(UNFIT), Fault, ()),
    (RETRYING, FitnessChanged(HELD), Fault, ()),
]


@pytest.mark.parametrize(("state", "event", "after", "done"), TABLE)
def test_every_state_times_every_event(state: State, event: Event, after: type[Role], done: tuple[Action, ...]) -> None:
    found, actions = step(US, state, event, now=NOW)
    assert (role(found), actions) == (after.__name__, done)
    expected = event.fitness if isinstance(event, Started | FitnessChanged) else state.fitness
    if not (isinstance(event, Started) and not isinstance(state.role, Initialize)):
        assert found.fitness == expected


def test_the_table_has_every_state_and_every_event() -> None:
    events = (Started, Stopped, TimerFired, AdvertReceived, FitnessChanged, AddressesLost, MoveFailed)
    roles = (Initialize, Backup, Active, Fault)
    assert {(type(state.role), type(event)) for state, event, _, _ in TABLE} == set(itertools.product(roles, events))


@pytest.mark.parametrize("state", [STOPPED, WAITING, BACKUP, ACTIVE, FAULT, RETRYING])
def test_a_timer_that_is_early_changes_nothing(state: State) -> None:
    assert step(US, state, TimerFired(), now=NOW) == (state, ())


NEXT = [
    (STOPPED, None),
    (WAITING, NOW + 1.0),
    (BACKUP, NOW + 2.0),
    (ACTIVE, NOW + 0.5),
    (State(attrs.evolve(OWNING, advert_at=NOW + 2.0), FIT), NOW + 0.7),
    (State(attrs.evolve(OWNING, announce_at=NOW + 0.1), FIT), NOW + 0.1),
    (FAULT, None),
    (RETRYING, NOW + 5.0),
]


@pytest.mark.parametrize(("state", "at"), NEXT)
def test_each_state_has_its_own_deadline(state: State, at: float | None) -> None:
    assert next_timer(state) == at


# Stories

RFC: dict[str, Story] = {
    # RFC 9568 6.4.1: Set the Active_Adver_Interval to the Advertisement_Interval, Active_Down_Timer, go to Backup.
    "(130) startup without an Active: one down interval as Backup": [
        (0.0, Started(FIT), "Backup", (RemoveAddresses(),)),
        (DOWN_S, FIRE, "Active", TAKE),
    ],
    # 6.4.2 Backup
    "(350) shutdown as Backup says nothing": [
        (0.0, Started(FIT), "Backup", (RemoveAddresses(),)),
        (1.0, Stopped(), "Initialize", (RemoveAddresses(),)),
        (9.0, advert(100), "Initialize", ()),
    ],
    "(365) the Active's adverts are obeyed; without them a down interval passes": [
        (0.0, Started(FIT), "Backup", (RemoveAddresses(),)),
        (1.0, advert(200), "Backup", ()),
        (2.0, advert(250), "Backup", ()),
        (2.0 + DOWN_S, FIRE, "Active", TAKE),
    ],
    "(425) after a priority 0 only the skew time": [
        (0.0, Started(FIT), "Backup", (RemoveAddresses(),)),
        (1.0, advert(250), "Backup", ()),
        (1.5, advert(0), "Backup", ()),
        (1.5 + SKEW_S, FIRE, "Active", TAKE),
    ],
    "(430) the Active's interval is adopted, for the down interval and for the skew time": [
        (0.0, Started(FIT), "Backup", (RemoveAddresses(),)),
        (1.0, advert(250, interval=0.1), "Backup", ()),
        (1.0 + DOWN_S / 10, FIRE, "Active", TAKE),
        (1.5, advert(250, interval=4.0), "Backup", (SendAdvert(MINE), RemoveAddresses())),
        (2.0, advert(0), "Backup", ()),
        (2.0 + 4 * SKEW_S, FIRE, "Active", TAKE),
    ],
    "(450) with Preempt a lower Active is discarded: the timer runs on": [
        (0.0, Started(FIT), "Backup", (RemoveAddresses(),)),
        (1.0, advert(199), "Backup", ()),
        (2.0, advert(199), "Backup", ()),
        (3.0, advert(199), "Backup", ()),
        (DOWN_S, FIRE, "Active", TAKE),
    ],
    # 6.4.3 Active
    "(610) the Active advertises each interval; its kernel and the LAN are told again": [
        (0.0, Started(FIT), "Backup", (RemoveAddresses(),)),
        (DOWN_S, FIRE, "Active", TAKE),
        *((DOWN_S + after, FIRE, "Active", REFRESH) for after in (0.3, 0.6, 0.9)),
        (DOWN_S + 1.0, FIRE, "Active", (*ADVERT, *ANNOUNCE)),
        *((DOWN_S + after, FIRE, "Active", REFRESH) for after in (1.2, 1.5, 1.8)),
        (DOWN_S + 2.0, FIRE, "Active", ADVERT),
    ],
    "(635) shutdown as Active: priority 0": [
        (0.0, Started(FIT), "Backup", (RemoveAddresses(),)),
        (DOWN_S, FIRE, "Active", TAKE),
        (4.0, Stopped(), "Initialize", LEAVE),
    ],
    "(705) a priority 0 is answered at once, and the timer starts anew": [
        (0.0, Started(FIT), "Backup", (RemoveAddresses(),)),
        (DOWN_S, FIRE, "Active", TAKE),
        (DOWN_S + 0.01, advert(0, HIGH), "Active", (*ADVERT, *ANNOUNCE)),
        (DOWN_S + 0.02, advert(0, HIGH), "Active", (*ADVERT, *ANNOUNCE)),
        *((DOWN_S + after, FIRE, "Active", REFRESH) for after in (0.3, 0.6, 0.9)),
        (DOWN_S + 1.0, FIRE, "Active", ANNOUNCE),
        (DOWN_S + 1.02, FIRE, "Active", ADVERT),
    ],
    "(725) a higher priority wins, and at equal ones the higher address": [
        (0.0, Started(FIT), "Backup", (RemoveAddresses(),)),
        (DOWN_S, FIRE, "Active", TAKE),
        (4.0, advert(200, LOW), "Active", (*ADVERT, *ANNOUNCE)),
        (4.1, advert(200, HIGH), "Backup", (SendAdvert(MINE), RemoveAddresses())),
        (4.1 + DOWN_S, FIRE, "Active", TAKE),
    ],
    "(770) a lower advert is answered with one of ours": [
        (0.0, Started(FIT), "Backup", (RemoveAddresses(),)),
        (DOWN_S, FIRE, "Active", TAKE),
        (DOWN_S + 0.2, advert(199, HIGH), "Active", (*ADVERT, *ANNOUNCE)),
        *((DOWN_S + after, FIRE, "Active", REFRESH) for after in (0.3, 0.6, 0.9)),
        (DOWN_S + 1.0, FIRE, "Active", ANNOUNCE),
        (DOWN_S + 1.2, FIRE, "Active", (*ADVERT, *REFRESH)),
    ],
}


@pytest.mark.parametrize("name", RFC)
def test_the_examples_of_rfc_9568_section_6_4(name: str) -> None:
    tell(RFC[name])


# Preemption


@pytest.mark.parametrize("priority", [200, 201, 254])
def test_an_equal_or_better_active_is_never_preempted(priority: int) -> None:
    state = BACKUP
    for tick in range(20):
        state, _ = step(US, state, advert(priority), now=NOW + tick)
        assert next_timer(state) == pytest.approx(NOW + tick + DOWN_S)


def preempted_after(preempt: Preempt, priority: int, state: State = BACKUP) -> float | None:
    """Seconds of adverts of this priority until the address is taken."""
    p = attrs.evolve(US, preempt=preempt)
    for tick in range(100):
        at = next_timer(state)
        if at is not None and at <= NOW + tick:
            state, _ = step(p, state, FIRE, now=at)
            assert isinstance(state.role, Active)
            return at - NOW
        state, _ = step(p, state, advert(priority), now=NOW + tick)
    return None


def test_preempt_always_never_and_after_a_time() -> None:
    assert preempted_after(ALWAYS, 199) == 2.0
    assert preempted_after(NEVER, 199) is None
    # From the 20th second on adverts do not hold it any more; it had obeyed the one before.
    assert preempted_after(Preempt(20.0), 199) == pytest.approx(19 + DOWN_S)


@pytest.mark.parametrize("preempt", [ALWAYS, NEVER, Preempt(50.0)])
def test_an_unfit_active_is_taken_over_from_whatever_preempt_says(preempt: Preempt) -> None:
    assert preempted_after(preempt, 99) == 2.0
    assert preempted_after(preempt, unfit(101), UNFIT_BACKUP) == 2.0
    assert preempted_after(preempt, 100, UNFIT_BACKUP) is None


def after_event(p: Parameters, state: State, event: Event, now: float) -> State:
    return step(p, state, event, now=now)[0]


def test_the_time_before_a_preemption_counts_from_the_last_recovery() -> None:
    p = attrs.evolve(US, preempt=Preempt(10.0))
    state = after_event(p, BACKUP, advert(150), NOW)
    assert state.role == Backup(active_down_at=NOW + DOWN_S, interval=1.0, active=LOW, fit_since=NOW)
    state = after_event(p, state, FitnessChanged(UNFIT), NOW + 1)
    state = after_event(p, state, FitnessChanged(FIT), NOW + 2)
    state = after_event(p, state, advert(150), NOW + 3)
    assert isinstance(state.role, Backup)
    assert state.role.fit_since == NOW + 3.0
    # Not from each of its verdicts, only from those that made it fit again.
    state = after_event(p, state, FitnessChanged(attrs.evolve(FIT, cause="sip")), NOW + 4)
    assert isinstance(state.role, Backup)
    assert state.role.fit_since == NOW + 3.0
    # Nor does it go on counting beside another Active.
    for event in (advert(0), advert(250)):
        left = after_event(p, state, event, NOW + 5)
        assert isinstance(left.role, Backup)
        assert left.role.fit_since is None


def test_the_time_before_a_preemption_does_not_count_while_both_are_unfit() -> None:
    p = attrs.evolve(US, preempt=Preempt(10.0))
    state = after_event(p, UNFIT_BACKUP, advert(50), NOW)
    state = after_event(p, state, FitnessChanged(FIT), NOW + 1)
    state = after_event(p, state, advert(150), NOW + 1.5)
    assert isinstance(state.role, Backup)
    assert state.role.fit_since == NOW + 1.5


def test_a_backup_that_fails_while_it_is_taking_over_lets_the_healthy_active_be() -> None:
    state = after_event(US, BACKUP, advert(150), NOW + 1.9)
    assert next_timer(state) == NOW + 2.0
    state = after_event(US, state, FitnessChanged(UNFIT), NOW + 1.95)
    assert next_timer(state) == NOW + 1.95 + active_down(3, UNFIT.priority, 1.0)


def test_a_backup_that_fails_does_not_wait_longer_for_an_active_it_obeys_or_that_left() -> None:
    for event in (advert(250), advert(0)):
        state = after_event(US, BACKUP, event, NOW)
        assert next_timer(after_event(US, state, FitnessChanged(UNFIT), NOW + 0.1)) == next_timer(state)


def test_a_backup_that_recovers_keeps_its_deadline() -> None:
    state = after_event(US, UNFIT_BACKUP, advert(150), NOW)
    assert next_timer(after_event(US, state, FitnessChanged(FIT), NOW + 0.1)) == next_timer(state)


# Priority 0


def test_a_priority_0_never_makes_a_backup_wait_longer() -> None:
    state = attrs.evolve(BACKUP, role=Backup(active_down_at=NOW + 0.01, interval=1.0))
    assert next_timer(after_event(US, state, advert(0), NOW)) == NOW + 0.01


def test_a_priority_0_counts_only_from_the_active() -> None:
    state = after_event(US, BACKUP, advert(250, HIGH), NOW)
    assert after_event(US, state, advert(0, LOW), NOW + 0.1) == state
    assert next_timer(after_event(US, state, advert(0, HIGH), NOW + 0.1)) == pytest.approx(NOW + 0.1 + SKEW_S)


def test_the_active_is_whoever_advertised_last() -> None:
    for priority in (250, 150):
        state = after_event(US, BACKUP, advert(priority, HIGH), NOW)
        state = after_event(US, state, advert(0, HIGH), NOW + 0.1)
        assert next_timer(state) == pytest.approx(NOW + 0.1 + SKEW_S)
    beaten = after_event(US, ACTIVE, advert(250, HIGH), NOW)
    assert after_event(US, beaten, advert(0, LOW), NOW + 0.1) == beaten
    assert beaten.role == Backup(active_down_at=NOW + DOWN_S, interval=1.0, active=HIGH)


# Start and fault


def test_tracks_without_a_verdict_hold_the_start_up_for_five_seconds() -> None:
    tell([
        (0.0, Started(UNREADY), "Initialize", (RemoveAddresses(),)),
        (2.0, FitnessChanged(UNREADY), "Initialize", ()),
        (FIRST_VERDICTS_S, FIRE, "Backup", ()),
        (FIRST_VERDICTS_S + DOWN_S, FIRE, "Active", TAKE),
    ])  # fmt: skip


def test_an_address_that_cannot_be_set_is_tried_again() -> None:
    retry = DOWN_S + 0.1 + RETRY_S
    state = tell([
        (0.0, Started(FIT), "Backup", (RemoveAddresses(),)),
        (DOWN_S, FIRE, "Active", TAKE),
        (DOWN_S + 0.1, MoveFailed("no such device"), "Fault", LEAVE),
        (DOWN_S + 1.0, FitnessChanged(FIT), "Fault", ()),
        (retry, FIRE, "Backup", ()),
        (retry + DOWN_S, FIRE, "Active", TAKE),
    ])  # fmt: skip
    failed, _ = step(US, state, MoveFailed("no such device"), now=17.0)
    assert failed.role == Fault("no such device", 17.0 + RETRY_S)


@pytest.mark.parametrize("theirs", [150, 100, 99, 38])
@pytest.mark.parametrize("preempt", [ALWAYS, Preempt(10.0)])
def test_who_could_not_set_the_address_lets_an_active_that_can_take_calls_be_for_a_while(
    preempt: Preempt, theirs: int
) -> None:
    p, now = attrs.evolve(US, preempt=preempt), NOW + 5.0
    state = after_event(p, RETRYING, FIRE, now)
    assert state.role == Backup(active_down_at=now + DOWN_S, interval=1.0, shy_until=now + SHY_S)
    obeys = after_event(p, state, advert(theirs), now + 1)
    assert next_timer(obeys) == now + 1 + DOWN_S
    later = after_event(p, obeys, advert(theirs), now + SHY_S - 0.1)
    assert next_timer(later) == now + SHY_S - 0.1 + DOWN_S
    # Then as ever: its timer runs on.
    assert next_timer(after_event(p, later, advert(theirs), now + SHY_S)) == next_timer(later)
    # It is not shy of one that leaves.
    assert next_timer(after_event(p, obeys, advert(0), now + 2)) == pytest.approx(now + 2 + SKEW_S)


def test_who_could_not_set_the_address_tries_again_where_the_active_can_take_no_call() -> None:
    state = after_event(US, RETRYING, FIRE, NOW + 5.0)
    assert next_timer(after_event(US, state, advert(MOST_USELESS), NOW + 6.0)) == NOW + 5.0 + DOWN_S


def test_another_preemption_in_the_configuration_counts_at_once() -> None:
    never, late = attrs.evolve(US, preempt=NEVER), attrs.evolve(US, preempt=Preempt(10.0))
    waiting = after_event(never, BACKUP, advert(150), NOW)
    assert next_timer(after_event(US, waiting, advert(150), NOW + 1)) == NOW + DOWN_S
    waiting = after_event(late, BACKUP, advert(150), NOW)
    assert next_timer(after_event(never, waiting, advert(150), NOW + 11)) == NOW + 11 + DOWN_S


def test_a_fault_that_ends_does_not_shorten_the_down_interval() -> None:
    state, _ = step(US, FAULT, FitnessChanged(UNFIT), now=NOW)
    assert next_timer(state) == NOW + active_down(3, UNFIT.priority, 1.0)
    assert state.fitness == UNFIT
    assert step(US, BACKUP, FitnessChanged(HELD), now=NOW)[0] == FAULT
    assert step(US, RETRYING, FitnessChanged(HELD), now=NOW)[0] == FAULT
