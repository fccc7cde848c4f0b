"""What the proxy says of a message, by label."""

from __future__ import annotations

import attrs

from dispatcher.choice import Chance
from dispatcher.snapshot import Snapshot
from health.board import State, Verdict
from sip.uri import Address
from sipdispatch.explain import Account, explain
from sipdispatch.explain_words import Setting, as_text
from tests.dispatcher.world import (
    PHONE,
    SERVER_A,
    SERVER_B,
    make_snapshot,
)

CHANCE = Chance(0, 0x123456789ABCDEF)
NAMES = {"pbx.example.com": (("192.0.2.99", 5060),), "gone.example.com": ()}
DOWN = State(verdict=Verdict.DOWN).code
UP = State().code

SNAPSHOT = make_snapshot(SERVER_A, SERVER_B)


def names(host: str, _port: int | None, _transport: str) -> tuple[Address, ...] | None:
    return NAMES.get(host)


def ask(datagram: bytes, source: Address = PHONE, snapshot: Snapshot = SNAPSHOT, arrival: int = 0) -> Account:
    return explain(snapshot, datagram, source, arrival, names=names, chance=CHANCE)


def setting(snapshot: Snapshot, **changes: object) -> Setting:
    plain = Setting(
        listeners=[str(listener) for listener in snapshot.listeners],
        assumed={},
        secret_path="/secret",
        fingerprint="0123abcd",
        looked_up={},
        notes=(),
    )
    return attrs.evolve(plain, **changes)  # type: ignore[arg-type]


def told(account: Account, snapshot: Snapshot = SNAPSHOT) -> dict[str, str]:
    """The lines by their label, folds joined; of several with one label the last, numbered lines together."""
    lines: dict[str, str] = {}
    label = ""
    for line in as_text(snapshot, account, setting(snapshot)).splitlines():
        if line[:12].strip():
            label = line[:12].strip()
            lines[label] = line[12:]
        else:
            lines[label] += " " + line.strip()
    return lines
