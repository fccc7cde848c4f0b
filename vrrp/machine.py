"""When does this node take the address, keep it, give it up?  RFC 9568 6.4 with a rule for health.

    Initialize  until each track has spoken, at most five seconds -> Backup
    Backup      no advert for the down interval, or for the skew after a priority 0 -> Active
    Active      a better advert -> one last advert, so that the winner announces the address again -> Backup
                its fitness falls below 100 -> priority 0, once -> Backup with a low priority
    Fault       a link that is down, an operator's hold, an address that cannot be set: one priority 0, then silence
                until it is gone, or ten seconds after a failed move -> Backup

A priority 0 counts only from the Active that was heard last: it is not the word of a third that comes late.
A healthy node takes over from an Active below 100 whatever `preempt` says.  A node that becomes Active while it is not
fit keeps the address until it hears a better advert: the last man standing.  Whoever comes late by more than the down
interval was not running: it steps down first, then competes like any other.
"""

from __future__ import annotations

import math
from typing import assert_never

import attrs

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
from vrrp.parameters import ANNOUNCE_AGAIN_S, FIT, MOST_USELESS, REFRESH_S, RELEASE, Parameters, active_down, rank, skew
from vrrp.state import Active, Backup, Fault, Initialize, State

FIRST_VERDICTS_S = 5.0
"""How long the start waits for tracks that have not spoken."""
RETRY_S = 10.0
"""After an address could not be set."""
SHY_S = 300.0
"""For so long after that an Active that can take calls is let be, healthy or not: each try costs the callers a gap."""
MOST_LOSSES = 3
LOSSES_WITHIN_S = 10.0
"""Somebody who takes the address away so often means it."""
REANNOUNCE_S = 1.0
"""Mean time between announcements that foreign adverts bring about."""
REANNOUNCEMENTS = 3
"""So many are made at once if it was quiet before: after a partition the last advert of the loser asks for the one that
counts, and is not its first."""
ASSERT_SHARE = 0.1
"""Of the interval: least time between two adverts, so that a flood of foreign ones is not answered by another.

A priority 0 is answered at once all the same (RFC 9568 6.4.3).
"""

Step = tuple[State, tuple[Action, ...]]


def step(p: Parameters, state: State, event: Event, *, now: float) -> Step:
    """The state after the event, and what is to be done in this order."""
    match state.role:
        case Initialize():
            return _initialize(p, state, state.role, event, now=now)
        case Backup():
            return _backup(p, state, state.role, event, now=now)
        case Active():
            if now - state.role.advert_at > _down(p, state) and not isinstance(event, Stopped):
                return _step_down_late(p, state, event, now=now)
            return _active(p, state, state.role, event, now=now)
        case Fault():
            return _fault(p, state, state.role, event, now=now)
    assert_never(state.role)


def next_timer(state: State) -> float | None:
    """When TimerFired is due; None: nothing is waited for."""
    match state.role:
        case Initialize(until=until):
            return until
        case Backup(active_down_at=at):
            return at
        case Active() as role:
            return min(role.advert_at, role.lease_at, role.announce_at, role.assert_at)
        case Fault(until=until):
            return None if math.isinf(until) else until
    assert_never(state.role)


def _initialize(p: Parameters, state: State, role: Initialize, event: Event, *, now: float) -> Step:
    match event:
        case Started(fitness):
            # A predecessor that was killed may have left the address here.
            waiting = State(Initialize(now + FIRST_VERDICTS_S), fitness)
            entered = _enter(p, fitness, now=now) if fitness.ready else waiting
            return entered, (RemoveAddresses(),)
        case FitnessChanged(fitness):
            if role.until is not None and fitness.ready:
                return _enter(p, fitness, now=now), ()
            return State(role, fitness), ()
        case TimerFired():
            if role.until is not None and now >= role.until:
                return _enter(p, state.fitness, now=now), ()
            return state, ()
        case Stopped():
            return State(Initialize(), state.fitness), ()
        case AdvertReceived() | AddressesLost() | MoveFailed():
            return state, ()
    assert_never(event)


def _backup(p: Parameters, state: State, role: Backup, event: Event, *, now: float) -> Step:
    match event:
        case TimerFired():
            if now < role.active_down_at:
                return state, ()
            down = active_down(p.version, state.fitness.priority, role.interval)
            if now - role.active_down_at > down:
                # This node was not running: what the Active has sent meanwhile must be heard first.
                return _with(state, attrs.evolve(role, active_down_at=now + down)), ()
            return _become_active(p, state, now=now)
        case AdvertReceived():
            return _with(state, _obey(p, state.fitness, role, event, now=now)), ()
        case FitnessChanged(fitness):
            if fitness.fault:
                return State(Fault(fitness.fault), fitness), ()
            return State(_weigh(p, role, state.fitness, fitness, now=now), fitness), ()
        case Stopped():
            return State(Initialize(), state.fitness), (RemoveAddresses(),)
        case Started() | AddressesLost() | MoveFailed():
            return state, ()
    assert_never(event)


def _obey(p: Parameters, fitness: Fitness, role: Backup, advert: AdvertReceived, *, now: float) -> Backup:
    """The Backup after an advert: it waits anew, or lets its timer run on to take over."""
    mine, theirs, interval, source = fitness.priority, advert.priority, advert.interval, advert.source
    if theirs == RELEASE:
        if role.active not in {"", source}:
            # Not the Active leaves, but one that came late or was overtaken by its heir's advert.
            return role
        at = now + skew(p.version, mine, role.interval)
        return attrs.evolve(role, active_down_at=min(role.active_down_at, at), fit_since=None)
    waiting = Backup(
        active_down_at=now + active_down(p.version, mine, interval),
        interval=interval,
        active=source,
        shy_until=role.shy_until,
    )
    if theirs >= mine:
        return waiting
    fit_since = now if role.fit_since is None else role.fit_since
    is_shy = now < role.shy_until and theirs > MOST_USELESS
    if not is_shy and (theirs < FIT or now >= fit_since + p.preempt.after):
        return attrs.evolve(role, active=source, fit_since=fit_since)
    return attrs.evolve(waiting, fit_since=fit_since)


def _weigh(p: Parameters, role: Backup, before: Fitness, fitness: Fitness, *, now: float) -> Backup:
    """A Backup whose fitness has changed."""
    if before.priority < FIT <= fitness.priority:
        # What counts for `preempt` is how long this node has been fit beside the Active.
        return attrs.evolve(role, fit_since=None)
    if fitness.priority < before.priority and role.fit_since is not None:
        # Its timer may be running on to take over from an Active that is the better one now.
        down = active_down(p.version, fitness.priority, role.interval)
        return attrs.evolve(role, active_down_at=now + down, fit_since=None)
    return role


def _active(p: Parameters, state: State, role: Active, event: Event, *, now: float) -> Step:
    match event:
        case TimerFired():
            return _keep(p, state, role, now=now)
        case AdvertReceived(priority=theirs, interval=interval, source=source):
            mine = state.fitness.priority
            if theirs > mine or (theirs == mine and rank(source) > rank(p.address)):
                # The winner hears this last advert and announces the address again: whatever learnt ours forgets it.
                down = active_down(p.version, mine, interval)
                backup = Backup(active_down_at=now + down, interval=interval, active=source)
                return _with(state, backup), (SendAdvert(mine), RemoveAddresses())
            return _assert(p, state, role, theirs, now=now)
        case FitnessChanged(fitness):
            return _reconsider(p, state, role, fitness, now=now)
        case AddressesLost(by_lease):
            lost_at = tuple(at for at in role.lost_at if at > now - LOSSES_WITHIN_S)
            lost_at = lost_at if by_lease else (*lost_at, now)
            if len(lost_at) >= MOST_LOSSES:
                reason = f"the address was taken away {len(lost_at)} times within {LOSSES_WITHIN_S:g} s"
                return _leave(state, Fault(reason, now + RETRY_S))
            role = attrs.evolve(role, lost_at=lost_at, lease_at=now + REFRESH_S)
            return _with(state, role), (AddAddresses(p.lease), AnnounceAddresses())
        case MoveFailed(reason):
            return _leave(state, Fault(reason, now + RETRY_S))
        case Stopped():
            return _leave(state, Initialize())
        case Started():
            return state, ()
    assert_never(event)


def _fault(p: Parameters, state: State, role: Fault, event: Event, *, now: float) -> Step:
    match event:
        case FitnessChanged(fitness):
            if fitness.fault:
                return State(Fault(fitness.fault), fitness), ()
            if math.isinf(role.until):
                return _enter(p, fitness, now=now), ()
            return State(role, fitness), ()
        case TimerFired():
            return (_enter(p, state.fitness, now=now, shy_until=now + SHY_S) if now >= role.until else state), ()
        case Stopped():
            return State(Initialize(), state.fitness), (RemoveAddresses(),)
        case Started() | AdvertReceived() | AddressesLost() | MoveFailed():
            return state, ()
    assert_never(event)


def _down(p: Parameters, state: State) -> float:
    return active_down(p.version, state.fitness.priority, p.interval)


def _with(state: State, role: Backup | Active) -> State:
    return attrs.evolve(state, role=role)


def _enter(p: Parameters, fitness: Fitness, *, now: float, shy_until: float = -math.inf) -> State:
    """Take part, as Backup: nobody starts as the owner."""
    if fitness.fault:
        return State(Fault(fitness.fault), fitness)
    down = active_down(p.version, fitness.priority, p.interval)
    return State(Backup(active_down_at=now + down, interval=p.interval, shy_until=shy_until), fitness)


def _become_active(p: Parameters, state: State, *, now: float) -> Step:
    role = Active(
        advert_at=now + p.interval,
        lease_at=now + REFRESH_S,
        announce_at=now + ANNOUNCE_AGAIN_S[0],
        announced=0,
        sent_at=now,
    )
    # The advert comes before the announcement, so that bridges have learnt the way (RFC 9568 6.4.2).
    return _with(state, role), (SendAdvert(state.fitness.priority), AddAddresses(p.lease), AnnounceAddresses())


def _keep(p: Parameters, state: State, role: Active, *, now: float) -> Step:
    """What is due of the Active's regular duties."""
    actions: list[Action] = []
    if now >= role.advert_at:
        actions.append(SendAdvert(state.fitness.priority))
        # In step with the last one; after a delay, not two at once.
        following = role.advert_at + p.interval
        role = attrs.evolve(role, sent_at=now, advert_at=following if following > now else now + p.interval)
    if now >= role.lease_at:
        actions.append(AddAddresses(p.lease))
        role = attrs.evolve(role, lease_at=now + REFRESH_S)
    if now >= min(role.announce_at, role.assert_at):
        actions.append(AnnounceAddresses())
    if now >= role.assert_at:
        role = attrs.evolve(role, asserted_at=now, assert_at=math.inf)
    if now >= role.announce_at:
        announced = role.announced + 1
        if announced < len(ANNOUNCE_AGAIN_S):
            pause = ANNOUNCE_AGAIN_S[announced] - ANNOUNCE_AGAIN_S[announced - 1]
            following = role.announce_at + min(pause, p.announce_every)
        else:
            following = now + p.announce_every
        role = attrs.evolve(role, announced=announced, announce_at=following)
    return _with(state, role), tuple(actions)


def _assert(p: Parameters, state: State, role: Active, theirs: int, *, now: float) -> Step:
    """Answer an advert that does not win: with one of ours, and with the address, which its sender may have held."""
    actions: list[Action] = []
    soonest = role.sent_at + p.interval * ASSERT_SHARE
    if theirs == RELEASE or now >= soonest:
        # A priority 0 sets other Backups running: they must hear at once that there is an Active.
        actions.append(SendAdvert(state.fitness.priority))
        role = attrs.evolve(role, sent_at=now, advert_at=now + p.interval)
    else:
        role = attrs.evolve(role, advert_at=min(role.advert_at, soonest))
    if now - role.asserted_at >= REANNOUNCE_S:
        actions.append(AnnounceAddresses())
        earned = now - (REANNOUNCEMENTS - 1) * REANNOUNCE_S
        role = attrs.evolve(role, asserted_at=max(role.asserted_at + REANNOUNCE_S, earned))
    else:
        # Not now, but the sender may have announced its own address since our last announcement.
        role = attrs.evolve(role, assert_at=min(role.assert_at, role.asserted_at + REANNOUNCE_S))
    return _with(state, role), tuple(actions)


def _reconsider(p: Parameters, state: State, role: Active, fitness: Fitness, *, now: float) -> Step:
    """An Active whose fitness has changed."""
    if fitness.fault:
        return _leave(State(role, fitness), Fault(fitness.fault))
    if fitness.priority < FIT <= state.fitness.priority:
        down = active_down(p.version, fitness.priority, p.interval)
        return _leave(State(role, fitness), Backup(active_down_at=now + down, interval=p.interval))
    return State(role, fitness), ()


def _leave(state: State, role: Initialize | Backup | Fault) -> Step:
    """Give the address up: priority 0 first, so that the peer is on its way while the address goes."""
    return attrs.evolve(state, role=role), (SendAdvert(RELEASE), RemoveAddresses())


def _step_down_late(p: Parameters, state: State, event: Event, *, now: float) -> Step:
    """An Active that was not running for longer than its peer waits is not the owner any more.

    Its priority 0 makes a peer that took over announce the address again, and never wins against it.
    """
    left, actions = _leave(state, Backup(active_down_at=now + _down(p, state), interval=p.interval))
    after, more = step(p, left, event, now=now)
    return after, (*actions, *more)
