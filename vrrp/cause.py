"""Why did this node's role change?  One sentence for people."""

from __future__ import annotations

from typing import assert_never

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
from vrrp.state import Active, Backup, Fault, Initialize, State

NAMES = {Initialize: "initialize", Backup: "backup", Active: "active", Fault: "fault"}
KEEPALIVED_NAMES = {"initialize": "INIT", "backup": "BACKUP", "active": "MASTER", "fault": "FAULT"}


def name_of(state: State) -> str:
    """The role in lower case, as in metrics and JSON."""
    return NAMES[type(state.role)]


def cause_of(before: State, event: Event, after: State, *, late: float, last_heard: str) -> str:
    """The reason of a transition.

    `late`: seconds by which the machine's timer was overdue; `last_heard`: whose adverts this node obeyed last, empty
    if nobody's.
    """
    if isinstance(after.role, Fault):
        return after.role.reason
    if isinstance(before.role, Active) and isinstance(after.role, Backup) and not _lost(event, before):
        if isinstance(event, FitnessChanged):
            return after.fitness.cause
        return f"this process did not run for {late:.2f} s: it competes anew"
    match event:
        case Started() | FitnessChanged():
            return "started" if isinstance(before.role, Initialize) else f"the fault is over: {_reason(before)}"
        case Stopped():
            return "stopped"
        case TimerFired():
            if isinstance(before.role, Initialize):
                return "started, though some tracks have not spoken yet"
            if isinstance(before.role, Fault):
                return f"tries again after: {before.role.reason}"
            return f"no advert from {last_heard} any more" if last_heard else "nobody else has the address"
        case AdvertReceived(priority=theirs, source=source):
            return f"{source} advertises {theirs}, this node {before.fitness.priority}"
        case AddressesLost() | MoveFailed():
            return "the addresses cannot be held here"
    assert_never(event)


def _lost(event: Event, before: State) -> bool:
    """Whether it was a better advert that took the address from here."""
    return isinstance(event, AdvertReceived) and event.priority >= before.fitness.priority


def _reason(state: State) -> str:
    return state.role.reason if isinstance(state.role, Fault) else ""
