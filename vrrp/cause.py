"""Why did this node's role change?  One sentence for people."""

from __future__ import annotations

import math
from typing import assert_never

import attrs

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
from vrrp.parameters import RELEASE
from vrrp.state import Active, Backup, Fault, Initialize, State

NAMES = {Initialize: "initialize", Backup: "backup", Active: "active", Fault: "fault"}
KEEPALIVED_NAMES = {"initialize": "INIT", "backup": "BACKUP", "active": "MASTER", "fault": "FAULT"}


def name_of(state: State) -> str:
    """The role in lower case, as in metrics and JSON."""
    return NAMES[type(state.role)]


@attrs.frozen(kw_only=True)
class LastHeard:
    """The last advert that counted: whose, of which priority, when.  Without a source there was none."""

    source: str = ""
    priority: int = 0
    at: float = -math.inf


def cause_of(before: State, event: Event, after: State, *, now: float, late: float, last: LastHeard) -> str:
    """The reason of a transition.

    `late`: seconds by which the machine's timer was overdue; `last`: before this event.
    """
    if isinstance(after.role, Fault):
        return after.role.reason
    if isinstance(before.role, Active) and isinstance(after.role, Backup) and not _lost(event, before):
        if isinstance(event, FitnessChanged) and after.fitness.cause:
            return after.fitness.cause
        return f"this process did not run for {late:.2f} s: it competes anew"
    match event:
        case Started() | FitnessChanged():
            return "started" if isinstance(before.role, Initialize) else f"the fault is over: {_reason(before)}"
        case Stopped():
            return "stopped"
        case TimerFired():
            return _cause_of_timer(before, now, last)
        case AdvertReceived(priority=theirs, source=source):
            return f"{source} advertises {theirs}, this node {before.fitness.priority}"
        case AddressesLost() | MoveFailed():
            return "the addresses cannot be held here"
    assert_never(event)


def _cause_of_timer(before: State, now: float, last: LastHeard) -> str:
    match before.role:
        case Initialize():
            return "started, though some tracks have not spoken yet"
        case Fault(reason=reason):
            return f"tries again after: {reason}"
        case Backup(interval=interval) if last.source:
            if last.priority == RELEASE:
                return f"{last.source} has given the address up"
            if now - last.at <= 2 * interval:
                return f"{last.source} advertises {last.priority}, this node {before.fitness.priority}"
            return f"no advert from {last.source} any more"
        case _:
            return "nobody else has the address"


def _lost(event: Event, before: State) -> bool:
    """Whether it was a better advert that took the address from here."""
    return isinstance(event, AdvertReceived) and event.priority >= before.fitness.priority


def _reason(state: State) -> str:
    return state.role.reason if isinstance(state.role, Fault) else ""
