"""Both pipelines, asked the same: whatever the compiled one decides, Python decides too, byte for byte."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import attrs
import pytest

from dispatcher.algorithm import Ranking
from dispatcher.branch import COOKIE
from dispatcher.callfact import CallFact, CallStep
from dispatcher.choice import Chance
from dispatcher.destination import Destination
from dispatcher.flat import Flat, flatten
from dispatcher.outcome import Drop, DropReason, Forward, Outcome, Reply, Resolve
from dispatcher.recent import RecentChoices
from dispatcher.route import route
from dispatcher.selection import tabled
from dispatcher.snapshot import Snapshot
from sip.uri import Address
from tests.dispatcher.pools import coarse

fastpath = pytest.importorskip("dispatcher._fastpath", reason="the compiled fast path is not built")

DROPPED = {reason.label: reason for reason in DropReason}
CHANCE = 0x123456789ABCDEF


def with_tables(snapshot: Snapshot, rankings: Collection[Ranking] = tuple(Ranking)) -> Snapshot:
    """The snapshot with slot tables, which only repeat themselves sooner than real ones."""
    pools = {set_id: tabled(pool, rankings, coarse) for set_id, pool in snapshot.pools.items()}
    return attrs.evolve(snapshot, pools=pools)


@attrs.define
class Twins:
    """One proxy twice.  Both remember what Python has chosen, and the same moment passes for both.

    `asked` counts what Python passes on or drops, `handed_over` what of that the compiled one has left to it.
    """

    snapshot: Snapshot
    names: Mapping[str, Sequence[Address]] = attrs.field(factory=dict)
    now: float = 1000.0
    asked: Counter[str] = attrs.field(factory=Counter)
    handed_over: Counter[str] = attrs.field(factory=Counter)
    _recent: RecentChoices = attrs.field(init=False, factory=lambda: RecentChoices(1024))
    _compiled: Any = attrs.field(init=False, factory=lambda: fastpath.RecentChoices(1024))
    _flat: Flat | None = attrs.field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        self.swap(self.snapshot)

    def swap(self, snapshot: Snapshot) -> None:
        """Go on with another snapshot."""
        self.snapshot = snapshot
        self._flat = flatten(snapshot, 1, fastpath.Draft, self._flat)

    def take(self, datagram: bytes, source: Address, arrival: int = 0, *, kind: str = "message") -> Outcome:
        """What Python decides; fails when the compiled pipeline decides otherwise.  `kind` is counted."""
        outcome = route(
            self.snapshot,
            datagram,
            source,
            arrival,
            names=lambda host, _port, _transport: None if (known := self.names.get(host)) is None else tuple(known),
            recent=lambda key: self._recent.lookup(key, self.now),
            chance=Chance(0, CHANCE),
            now=self.now,
            calls=lambda number: number % 3,
        )
        assert self._flat is not None
        decided = fastpath.decide(self._flat.image, self._compiled, datagram, source, arrival, self.now)
        if decided[0] != "hand-over":
            assert outcome_of(decided) == outcome
        if not isinstance(outcome, Reply | Resolve):  # those are Python's alone
            self.asked[kind] += 1
            self.handed_over[kind] += decided[0] == "hand-over"
        if isinstance(outcome, Forward) and outcome.remember is not None and outcome.destination is not None:
            number = self.snapshot.numbers[outcome.destination]
            self._recent.remember(outcome.remember, number, self.now)
            self._compiled.remember(outcome.remember, number, self.now)
        return outcome

    def forward(self, datagram: bytes, source: Address, arrival: int = 0, *, kind: str = "message") -> Forward:
        """Route what is passed on."""
        outcome = self.take(datagram, source, arrival, kind=kind)
        assert isinstance(outcome, Forward), outcome
        return outcome


def departed(*destinations: Destination) -> dict[int, Destination]:
    """Destinations that the list has lost, by numbers of their own."""
    return {70_000 + place: each for place, each in enumerate(destinations)}


def outcome_of(decided: tuple[Any, ...]) -> Drop | Forward:
    """What the compiled pipeline has decided, as Python says it."""
    if decided[0] == "drop":
        return Drop(DROPPED[decided[1]])
    _, payload, address, listener, destination, remember, status, method, call, elapsed, retry_after, branch = decided
    fact = None if call is None else CallFact(call[0], CallStep(call[1]))
    written = b"%016x" % branch
    if not status:
        own = payload[payload.index(b"\r\n") + 2 :].partition(b"\r\n")[0]
        assert b";branch=" + COOKIE + written + b";" in own, "the hash that is told is the one in our Via"
        written = b""
    return Forward(
        payload, address, listener, destination, remember, status, method, fact, elapsed, retry_after, written
    )
