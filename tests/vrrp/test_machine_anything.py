"""Whatever it is told, in any order: no exception, legal actions, a deadline that advances."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from vrrp.action import Action, AddAddresses, AnnounceAddresses, RemoveAddresses, SendAdvert
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
from vrrp.machine import MOST_LOSSES, next_timer, step
from vrrp.parameters import ALWAYS, NEVER, RELEASE, Parameters, Preempt, rank
from vrrp.state import Active, State

OURS = "192.0.2.12"
MOST_FIRINGS = 3
"""At one moment: an Active's announcements may be due twice when it was late by seconds."""

fitnesses = st.builds(
    Fitness,
    priority=st.integers(1, 254),
    fault=st.sampled_from(("", "", "", "link down")),
    ready=st.booleans(),
)
events = st.one_of(
    st.builds(Started, fitnesses),
    st.just(Stopped()),
    st.just(TimerFired()),
    st.builds(
        AdvertReceived,
        priority=st.sampled_from((0, 0, 1, 99, 100, 150, 200, 255)),
        interval=st.sampled_from((0.01, 0.1, 1.0, 40.95)),
        source=st.sampled_from(("192.0.2.11", "192.0.2.13")),
    ),
    st.builds(FitnessChanged, fitnesses),
    st.builds(AddressesLost, st.booleans()),
    st.builds(MoveFailed, st.just("no such device")),
)
waits = st.one_of(
    st.none(),  # until the timer is due
    st.sampled_from((0.0, 0.0001, 0.01, 0.1, 1.0, 5.0, 100.0)),
    st.floats(0.0, 4.0),
)
parameters = st.builds(
    Parameters,
    address=st.just(OURS),
    priority=st.integers(100, 254),
    interval=st.sampled_from((0.01, 0.1, 1.0, 40.95)),
    version=st.sampled_from((2, 3)),
    preempt=st.sampled_from((ALWAYS, NEVER, Preempt(3.0))),
    announce_every=st.sampled_from((1.0, 30.0)),
)


def judge(before: State, event: Event, after: State, actions: tuple[Action, ...]) -> None:
    """The order and the kind of what is done."""
    kinds = [type(action) for action in actions]
    was, is_now = isinstance(before.role, Active), isinstance(after.role, Active)
    if was and not is_now:
        assert kinds == [SendAdvert, RemoveAddresses]
        loses = isinstance(event, AdvertReceived) and actions[0] == SendAdvert(before.fitness.priority)
        assert loses or actions[0] == SendAdvert(RELEASE)
    elif is_now and not was:
        assert kinds == [SendAdvert, AddAddresses, AnnounceAddresses]
        assert isinstance(event, TimerFired)
    elif is_now:
        assert RemoveAddresses not in kinds
        assert SendAdvert(RELEASE) not in actions
        assert len(set(kinds)) == len(kinds)
    else:
        # A predecessor's address, or none: nothing is said by who is not Active.
        assert kinds in ([], [RemoveAddresses])


@settings(max_examples=500, deadline=None)
@given(parameters, st.floats(0.0, 1e8), st.lists(st.tuples(waits, events), max_size=40))
def test_anything_may_be_told_at_any_time(
    p: Parameters, now: float, schedule: list[tuple[float | None, Event]]
) -> None:
    state = State()
    for wait, event in schedule:
        due = next_timer(state)
        if wait is None:
            now = now if due is None else max(now, due)
        else:
            now += wait
        before = state
        state, actions = step(p, before, event, now=now)
        judge(before, event, state, actions)
        for _ in range(MOST_FIRINGS):
            due = next_timer(state)
            if due is None or due > now:
                break
            before = state
            state, actions = step(p, before, TimerFired(), now=now)
            judge(before, TimerFired(), state, actions)
        assert due is None or due > now, f"the timer is due again and again: {state}"


@settings(max_examples=200, deadline=None)
@given(parameters, st.sampled_from(("192.0.2.11", "192.0.2.13")), st.integers(1, 255))
def test_of_two_actives_exactly_one_yields(p: Parameters, other: str, priority: int) -> None:
    def yields(mine: int, ours: str, theirs: int, source: str) -> bool:
        own = Parameters(address=ours, priority=150, interval=p.interval, version=p.version)
        active = Active(advert_at=1.0, lease_at=1.0, announce_at=1.0, announced=0, sent_at=0.0)
        heard = AdvertReceived(priority=theirs, interval=p.interval, source=source)
        after, _ = step(own, State(active, Fitness(priority=mine)), heard, now=0.5)
        return not isinstance(after.role, Active)

    assert yields(p.priority, OURS, priority, other) != yields(priority, other, p.priority, OURS)
    assert rank(OURS) != rank(other)


def test_the_bound_of_the_losses_is_more_than_one() -> None:
    assert MOST_LOSSES > 1
