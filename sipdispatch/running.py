"""What can be told of the proxy that runs in this process?"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Generator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager

import attrs
import trio

from dispatcher.algorithm import Ranking
from dispatcher.counters import Counters
from dispatcher.destination import NO_PING, Destination
from dispatcher.fastpath import PacketPath
from dispatcher.outcome import DropReason, Refusal
from dispatcher.selection import Pool
from dispatcher.service import Service
from dispatcher.slices import in_slices
from dispatcher.snapshot import Snapshot
from dispatcher.sockets import OpenListener
from dispatcher.steps import Steps
from health.board import NEW_WORK, Board, Change, Standing
from health.latency import BUCKETS_S
from health.latency import Histogram as Times
from health.sending import SendOutcome
from sip.uri import host_port
from sipdispatch.chronicle import About, Chronicle
from sipdispatch.control_naming import is_entry, spelling
from sipdispatch.facts import (
    DestinationFacts,
    Histogram,
    LimitFacts,
    ListenerFacts,
    ProxyFacts,
    ReloadFacts,
    SetFacts,
)
from sipdispatch.happening import Happening
from sipdispatch.limiting import facts_of
from sipdispatch.operations import OperationError
from sipdispatch.rates import Rates
from sipdispatch.servicemanager import tell
from sipdispatch.upkeep import Upkeep
from sipdispatch.version import version_number

LOOK_S = 1.0
"""How often the counters are looked at for their rates."""
STEP = 10
"""Destinations in one step of the facts: about 0.1 ms."""

_UNKNOWN = Counters()


@attrs.frozen(kw_only=True)
class Identity:
    """What does not change while the process runs; `started` is Unix time."""

    listeners: tuple[ListenerFacts, ...]
    list_path: str
    secret_fingerprint: str
    started: float
    probing: bool
    packet_path: PacketPath
    """The one that is to be taken; `Running.packet_path` is what has become of that."""

    @classmethod
    def of(
        cls,
        opened: Sequence[OpenListener],
        *,
        list_path: str,
        secret_fingerprint: str,
        probing: bool,
        packet_path: PacketPath,
    ) -> Identity:
        """With the listeners as they are open, and started now."""
        listeners = tuple(
            ListenerFacts(
                address=str(one.listener),
                advertised=host_port(one.listener.advertised),
                receive_buffer=one.receive_buffer_bytes,
            )
            for one in opened
        )
        return cls(
            listeners=listeners,
            list_path=list_path,
            secret_fingerprint=secret_fingerprint,
            started=time.time(),
            probing=probing,
            packet_path=packet_path,
        )


class Running:
    """The facts, the happenings and who wants to hear of them."""

    def __init__(self, identity: Identity) -> None:
        self.chronicle = Chronicle()
        self.identity = identity
        self._upkeep: Upkeep | None = None
        self._service: Service | None = None
        self._reloaded: ReloadFacts | None = None
        self._messages: Rates[int] = Rates()
        self._calls: Rates[int] = Rates()

    def begin(self, upkeep: Upkeep, service: Service) -> None:
        """From now on it is this proxy that is told of."""
        self._upkeep, self._service = upkeep, service

    def started(self) -> None:
        """It forwards, and those who follow are there."""
        self.chronicle.record("proxy", "", "started", f"version {version_number()}", time.time())

    def end(self) -> None:
        """It forwards no more."""
        self.chronicle.record("proxy", "", "stopped", "asked to", time.time())

    async def look(self) -> None:
        """Look at the counters now and then, for their rates, and tell systemd how it is; never returns."""
        told = ""
        while True:
            if (text := self.state_text()) != told:
                told = text
                tell(f"STATUS={text}")
            now = trio.current_time()
            counters = await in_slices(self._count())
            self._messages.look(await in_slices(_messages_of(counters)), now)
            if self._service is not None:
                calls = self._service.calls
                await in_slices(_expired(calls.expire_all(now)))  # while no message comes, nobody else lets them go
                self._calls.look(calls.begun_by_number(), now)
            await trio.sleep(LOOK_S)

    def state_text(self) -> str:
        """How it is, in a few words."""
        snapshot = None if self._upkeep is None else self._upkeep.snapshot
        codes = [] if snapshot is None else [code for each in snapshot.liveness.values() for code in each]
        return f"{sum(1 for code in codes if code & NEW_WORK)} of {len(codes)} destinations take new work"

    @property
    def packet_path(self) -> PacketPath:
        """Which path the packets take indeed: the compiled one only where its threads could be started."""
        if self._service is None or not self._service.why_no_threads:
            return self.identity.packet_path
        why = f"the fast path cannot start its threads: {self._service.why_no_threads}"
        return PacketPath(compiled=False, why_not=why)

    # What happens

    def changed(self, change: Change, destination: Destination) -> None:
        """A word or a verdict has changed."""
        about = _about(change.number, destination)
        self.chronicle.record(change.what, change.before, change.after, change.cause, time.time(), about=about)

    def removed(self, number: int, destination: Destination) -> None:
        """A destination has left the list."""
        about = _about(number, destination)
        self.chronicle.record("list", "", "removed", "the list has it no longer", time.time(), about=about)

    def left_of(self, set_id: int) -> tuple[int, int] | None:
        """How many destinations of a set take new work, and how many there are; None: there is no such set."""
        snapshot = None if self._upkeep is None else self._upkeep.snapshot
        codes = None if snapshot is None else snapshot.liveness.get(set_id)
        return None if codes is None else (sum(1 for code in codes if code & NEW_WORK), len(codes))

    def reloaded(self, text: str, *, done: bool) -> None:
        """The list was read again: whether it is in force, and what it changed or why it was refused."""
        now = time.time()
        self._reloaded = ReloadFacts(at=now, done=done, text=text)
        self.chronicle.record("list", "", "reloaded" if done else "refused", text, now)

    def history(self, set_id: int | None = None, name: str | None = None) -> Sequence[Happening]:
        """The last happenings, oldest first, of all, of a set, or of a destination; raises OperationError."""
        if set_id is None and name is None:
            return self.chronicle.history()
        if name is None:  # what each destination of a large set remembers besides would take 100 ms to put in order
            return tuple(each for each in self.chronicle.history() if each.set_id == set_id)
        numbers = {each.number for each in self.chronicle.history() if _is_about(each, set_id, name)} - {0}
        numbers |= self._called(set_id, name)
        if not numbers:
            where = "all sets" if set_id is None else f"set {set_id}"
            raise OperationError(f"no destination is called {name}", where, "see sipdispatch ds list")
        found = {each.sequence: each for number in numbers for each in self.chronicle.history(number)}
        return tuple(found[sequence] for sequence in sorted(found))

    def _called(self, set_id: int | None, name: str) -> set[int]:
        """The numbers of the destinations that have this name now, however long ago something has happened to them."""
        snapshot = None if self._upkeep is None else self._upkeep.snapshot
        if snapshot is None:
            return set()
        sought = spelling(name)
        return {
            snapshot.numbers[snapshot.starts[each] + place]
            for each, pool in snapshot.pools.items()
            if set_id in (None, each)
            for place, destination in enumerate(pool.destinations)
            if name == host_port(destination.address) or is_entry(destination.entry, name, sought)
        }

    def follow(self) -> AbstractAsyncContextManager[trio.MemoryReceiveChannel[Happening]]:
        """Every happening from now on; a follower that is too slow loses some and sees a gap in `sequence`."""
        return self.chronicle.follow()

    # The facts

    def _count(self) -> Steps[Counters]:
        if self._service is None:
            return _UNKNOWN
        return (yield from self._service.count())

    def facts(self) -> ProxyFacts:
        """Everything that can be told, as of now; with 2,000 destinations that takes some 15 ms."""
        steps = self.facts_in_steps()
        while True:
            try:
                next(steps)
            except StopIteration as end:
                whole: ProxyFacts = end.value
                return whole

    def facts_in_steps(self) -> Generator[None, None, ProxyFacts]:
        """The same, with a yield after every few destinations; of one list, if not of one moment."""
        assert self._upkeep is not None  # noqa: S101 - whoever asks has been started after `begin`
        snapshot = self._upkeep.snapshot
        assert snapshot is not None  # noqa: S101 - the proxy forwards
        board = self._upkeep.vitals.board()
        counters, identity = (yield from self._count()), self.identity
        path = self.packet_path
        sets = []
        for set_id, pool in snapshot.pools.items():
            sets.append((yield from self._set(snapshot, set_id, pool, board, counters)))
        return ProxyFacts(
            version=version_number(),
            packet_path=str(path),
            packet_path_why=path.why_not,
            pid=os.getpid(),
            started=identity.started,
            now=time.time(),
            listeners=identity.listeners,
            list_path=identity.list_path,
            list_fingerprint=self._upkeep.fingerprint,
            secret_fingerprint=identity.secret_fingerprint,
            snapshot_version=snapshot.version,
            serving=snapshot.serving,
            reload=self._reloaded,
            sets=tuple(sets),
            received=counters.received,
            received_bytes=counters.received_bytes,
            by_fast_path=counters.by_fast_path,
            forwarded=counters.forwarded,
            lookups=counters.lookups,
            answered={str(status): count for status, count in sorted(counters.answered.items())},
            refused={refusal.label: counters.refused.get(refusal, 0) for refusal in Refusal},
            dropped={reason.label: counters.dropped.get(reason, 0) for reason in DropReason},
            unsent={outcome.label: counters.unsent.get(outcome, 0) for outcome in SendOutcome},
            network_errors={
                errno.errorcode.get(number, str(number)): count for number, count in counters.network_errors.items()
            },
            limits=LimitFacts() if self._service is None else facts_of(self._service.limits, trio.current_time()),
        )

    def _set(
        self, snapshot: Snapshot, set_id: int, pool: Pool, board: Board, counters: Counters
    ) -> Generator[None, None, SetFacts]:
        start = snapshot.starts[set_id]
        shares = shares_of(pool, snapshot.liveness[set_id])
        found = []
        for place, destination in enumerate(pool.destinations):
            number = snapshot.numbers[start + place]
            standing = board.standings.get(number)
            if standing is not None:
                found.append(self._destination(number, destination, standing, shares.get(place, 0.0), counters))
            if not place % STEP:
                yield
        return SetFacts(set_id=set_id, algorithm=str(snapshot.policy.algorithm), destinations=tuple(found))

    def _destination(
        self, number: int, destination: Destination, standing: Standing, share: float, counters: Counters
    ) -> DestinationFacts:
        entry = destination.entry
        ago = time.time() - trio.current_time()
        seen = counters.last_seen.get(number)
        probed = self.identity.probing and not entry.flags & NO_PING
        return DestinationFacts(
            number=number,
            set_id=entry.set_id,
            uri=entry.uri,
            address=destination.address,
            word=standing.state.word,
            verdict=standing.state.verdict,
            letters=standing.state.letters(probed=probed),
            since=standing.since + ago,
            cause=standing.cause,
            weight=entry.weight,
            priority=entry.priority,
            share=share,
            attributes=entry.attributes,
            requests=counters.requests.get(number, 0),
            replies={digit: counters.replies.get((number, digit), 0) for digit in range(1, 7)},
            calls_begun=0 if self._service is None else self._service.calls.begun(number),
            calls_active=0 if self._service is None else self._service.calls.active(number),
            last_seen=None if seen is None else seen + ago,
            messages_per_second=self._messages.of(number),
            calls_per_second=self._calls.of(number),
            probes=standing.probes,
            probe_failures=standing.failures,
            rtt=standing.rtt,
            latency=standing.latency,
            answer_times=_histogram(counters.answer_times.get(number)),
            avoided_until=standing.avoided_until + ago if standing.avoided_until else None,
        )


def _messages_of(counters: Counters) -> Steps[dict[int, int]]:
    """The requests and replies of each destination since the start."""
    messages = dict(counters.requests)
    for (number, _), count in dict(counters.replies).items():
        messages[number] = messages.get(number, 0) + count
        yield
    return messages


def _expired(steps: Iterable[None]) -> Steps[None]:
    yield from steps


def _about(number: int, destination: Destination) -> About:
    entry = destination.entry
    return About(set_id=entry.set_id, uri=entry.uri, address=host_port(destination.address), number=number)


def _is_about(happening: Happening, set_id: int | None, name: str | None) -> bool:
    return (set_id is None or happening.set_id == set_id) and (
        name is None or name in (happening.uri, happening.address)
    )


def shares_of(pool: Pool, liveness: bytes) -> dict[int, float]:
    """The part of the set's new work that each of its destinations (by place) gets by weight now."""
    for group in pool.tables[Ranking.WEIGHT.value].groups:
        taking = [contender for contender in group if liveness[contender.destination] & NEW_WORK]
        if taking:
            whole = sum(contender.weight for contender in taking)
            return {contender.destination: contender.weight / whole for contender in taking}
    return {}


def _histogram(times: Times | None) -> Histogram:
    times = times or Times()
    cumulative = times.cumulative()
    counts = tuple(count - before for before, count in zip((0, *cumulative), cumulative, strict=False))
    return Histogram(bounds=BUCKETS_S, counts=counts, total=times.total)
