"""A proxy that does not run: what it tells is what a test gives it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import attrs
import trio

from dispatcher.limits import Ban, Over
from health.board import Verdict, Word
from health.latency import BUCKETS_S
from sipdispatch.facts import DestinationFacts, Histogram, LimitFacts, ListenerFacts, ProxyFacts, SetFacts
from sipdispatch.facts_json import destination_json
from sipdispatch.happening import Happening
from sipdispatch.operations import OperationError, ReloadReport

EMPTY = ProxyFacts(
    version="1.2.3",
    packet_path="pure Python",
    pid=4711,
    started=1_790_000_000.0,
    now=1_790_000_100.0,
    listeners=(ListenerFacts(address="udp:192.0.2.10:5060", advertised="192.0.2.10:5060", receive_buffer=8_388_608),),
    list_path="/etc/sipdispatch/dispatcher.list",
    list_fingerprint="0123456789abcdef0123456789abcdef",
    secret_fingerprint="89abcdef",
    snapshot_version=7,
    serving=True,
    reload=None,
    sets=(),
    received=1000,
    received_bytes=500_000,
    forwarded=900,
    lookups=3,
    answered={"200": 12},
    refused={"loop": 2},
    dropped={"keepalive": 80},
    unsent={},
    network_errors={"ECONNREFUSED": 1},
)
"""A proxy without destinations."""


def destination(number: int, **known: Any) -> DestinationFacts:
    """The destination `sip:10.<number>` of set 1, up, with some traffic; `known` replaces what a test cares for."""
    host = f"10.0.{number // 250}.{number % 250 + 1}"
    plain: dict[str, Any] = {
        "number": number,
        "set_id": 1,
        "uri": f"sip:{host}:5060",
        "address": (host, 5060),
        "word": Word.ENABLED,
        "verdict": Verdict.UP,
        "letters": "AP",
        "since": 1_790_000_000.5,
        "cause": "the list",
        "weight": 50,
        "priority": 0,
        "share": 0.25,
        "attributes": {},
        "requests": 100 + number,
        "replies": {1: 50, 2: 40, 4: 3},
        "calls_begun": 40,
        "calls_active": 4,
        "last_seen": 1_790_000_099.0,
        "messages_per_second": 12.5,
        "calls_per_second": 1.25,
        "probes": 100,
        "probe_failures": 1,
        "rtt": 0.0025,
        "latency": 0.0031,
        "answer_times": Histogram(bounds=BUCKETS_S, counts=(1, 2, 3, *[0] * (len(BUCKETS_S) - 2)), total=0.02),
    }
    return DestinationFacts(**{**plain, **known})


def with_destinations(count: int, **known: Any) -> ProxyFacts:
    """The proxy with so many destinations in set 1."""
    return with_these(*(destination(number, **known) for number in range(1, count + 1)))


def with_these(*destinations: DestinationFacts) -> ProxyFacts:
    """The proxy with these destinations, by their sets."""
    numbers = sorted({each.set_id for each in destinations})
    return attrs.evolve(
        EMPTY,
        sets=tuple(
            SetFacts(
                set_id=set_id,
                algorithm="weight",
                destinations=tuple(each for each in destinations if each.set_id == set_id),
            )
            for set_id in numbers
        ),
    )


def sets_json(facts: ProxyFacts) -> dict[str, Any]:
    """What a program is told of all sets, but for the moment."""
    return {
        "sets": [
            {
                "set": one.set_id,
                "algorithm": one.algorithm,
                "destinations": [destination_json(each) for each in one.destinations],
            }
            for one in facts.sets
        ]
    }


def happening(sequence: int, **known: Any) -> Happening:
    """A destination that went down."""
    plain: dict[str, Any] = {
        "at": 1_790_000_000.0 + sequence,
        "kind": "verdict",
        "before": "up",
        "after": "down",
        "cause": "no answer in 500 ms",
        "set_id": 1,
        "uri": "sip:10.0.0.2:5060",
        "address": "10.0.0.2:5060",
        "number": 1,
    }
    return Happening(sequence=sequence, **{**plain, **known})


LIMITED = LimitFacts(
    rate=50, burst=100, ban_after=10.0, ban_for=300.0, allow=("198.51.100.0/28",), over=2, banned=1, bans=7
)


@attrs.define
class FakeLimiting:
    """Limits that hit two sources, and bans that are kept as they are said; nothing ends by itself."""

    told: LimitFacts = LIMITED
    banned: list[Ban] = attrs.field(factory=list)
    overs: list[Over] = attrs.field(factory=list)
    asked: list[Mapping[str, float | None]] = attrs.field(factory=list)

    def now(self) -> float:
        return 1_790_000_000.0

    def facts(self) -> LimitFacts:
        return self.told

    def bans(self) -> tuple[Ban, ...]:
        return tuple(sorted(self.banned, key=lambda ban: ban.until))

    def top(self, count: int) -> tuple[Over, ...]:
        return tuple(self.overs[:count])

    def change(self, asked: Mapping[str, float | None], *, by: str) -> LimitFacts:
        self.asked.append(asked)
        known: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
        self.told = attrs.evolve(self.told, **known)
        return self.told

    def ban(self, source: str, seconds: float | None, *, by: str) -> Ban:
        until = self.now() + (self.told.ban_for if seconds is None else seconds)
        cause = "operator: ban (control: uid 0, pid 4242)"
        self.banned.append(Ban(source=source, since=self.now(), until=until, cause=cause))
        return self.banned[-1]

    def unban(self, source: str, *, by: str) -> Ban:
        for ban in self.banned:
            if ban.source == source:
                self.banned.remove(ban)
                return ban
            if ban.source.endswith("/24") and source.startswith(ban.source.removesuffix("0/24")):
                raise OperationError(
                    f"{source} is banned as a part of {ban.source}",
                    "limits.unban",
                    f"end that: sipdispatch limits unban {ban.source}",
                )
        raise OperationError(f"{source} is not banned", "limits.unban", "see sipdispatch limits bans")


@attrs.define
class FakeOperations:
    """Tells `told`, and hands out what `happen` is given; whatever changes something is not to be called."""

    told: ProxyFacts = EMPTY
    past: list[Happening] = attrs.field(factory=list)
    room: int = 4
    """How many happenings wait for a follower; later ones are lost."""
    followers: list[trio.MemorySendChannel[Happening]] = attrs.field(factory=list)
    asked: int = 0
    limiting: FakeLimiting = attrs.field(factory=FakeLimiting)

    def facts(self) -> ProxyFacts:
        self.asked += 1
        return self.told

    def history(self, set_id: int | None = None, name: str | None = None) -> Sequence[Happening]:
        if name == "sip:nobody":
            raise OperationError("no destination is called sip:nobody", "set 1", "see sipdispatch ds list")
        return [each for each in self.past if set_id is None or each.set_id == set_id]

    def happen(self, what: Happening) -> None:
        self.past.append(what)
        for follower in self.followers:
            try:
                follower.send_nowait(what)
            except trio.WouldBlock:
                continue

    @asynccontextmanager
    async def follow(self) -> AsyncIterator[trio.MemoryReceiveChannel[Happening]]:
        sender, receiver = trio.open_memory_channel[Happening](self.room)
        self.followers.append(sender)
        try:
            async with sender, receiver:
                yield receiver
        finally:
            self.followers.remove(sender)

    async def set_word(self, set_id: int, name: str, word: Word, *, by: str) -> int:
        raise NotImplementedError

    async def wait_drained(self, set_id: int, name: str) -> None:
        raise NotImplementedError

    async def reload(self, *, dry_run: bool = False, reset_state: bool = False, by: str) -> ReloadReport:
        raise NotImplementedError

    async def add(self, line: str, *, save: bool = False, by: str) -> ReloadReport:
        raise NotImplementedError

    async def remove(self, set_id: int, name: str, *, save: bool = False, by: str) -> ReloadReport:
        raise NotImplementedError

    async def explain(self, question: Mapping[str, Any]) -> dict[str, Any]:
        raise NotImplementedError

    def slot(self, key: str) -> int:
        raise NotImplementedError
