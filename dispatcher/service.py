"""The proxy's loop: read what has arrived, ask the pipeline, send what it says.  Only here is logged and counted."""

from __future__ import annotations

import errno
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import structlog
import trio

from dispatcher.callload import CallTable
from dispatcher.choice import Chance
from dispatcher.counters import Counters
from dispatcher.engine import Engine
from dispatcher.limits import Limits, SourceLimits
from dispatcher.logbudget import LogBudget
from dispatcher.outcome import Drop, DropReason, Forward, Refusal, Reply, Resolve
from dispatcher.recent import RecentChoices
from dispatcher.route import route
from dispatcher.sent import SentBranches
from dispatcher.snapshot import Snapshot
from dispatcher.sockets import OpenListener
from dispatcher.steps import Steps, in_one_go
from health.errorqueue import SocketError
from health.sending import SENT, receive, send
from health.unanswered import Unanswered
from sip.uri import Address

if TYPE_CHECKING:
    from dispatcher._fastpath import RecentChoices as CompiledChoices

BATCH = 64
"""Datagrams read at once: bounds what one listener does before everything else has its turn."""

MAX_LAST_BATCHES = 256
"""Batches dealt with after `stop`: as many short datagrams as a receive buffer of 8 MiB holds."""

MAX_WAITING = 1024
"""Datagrams that may wait for the name service; each holds at most 64 KiB."""

MAX_LOOKUPS_A_REQUEST = 4
"""Route, Request-URI and what a changed answer adds: more is a peer's game."""

SILENCE_CHECK_S = 0.25
"""How often servers are looked for that do not answer."""

_UNREACHABLE = frozenset((errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN))
"""What says that a destination cannot be reached; a packet that is too long for the way there does not."""

_MISTAKE = "a datagram was dropped by a mistake in this program; please report it"

_DEAF = "the fast path cannot wait for datagrams; it tries again each second"

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class NameService(Protocol):
    """Where the addresses of next hops come from."""

    def get(self, host: str, port: int | None, transport: str) -> tuple[Address, ...] | None:
        """What is known now; None when the name must be fetched first."""

    async def fetch(self, host: str, port: int | None, transport: str) -> tuple[Address, ...] | None:
        """Look a name up; () when it has no address, None when it could not be asked for now."""


class Witness(Protocol):
    """Who hears what the traffic tells of destinations, by number."""

    def refused(self, number: int) -> None:
        """Its server or its network has refused a request of ours (ICMP)."""

    def unanswered(self, number: int) -> None:
        """It has been sent requests for a while and has answered nothing."""

    def unavailable(self, number: int, seconds: float) -> None:
        """It has answered 503 and wants to be left alone for so long."""


class Service:
    """Forwards between its listeners by its snapshot, which `swap` replaces at any moment.

    The listeners stay the caller's to close.  With `engine` its threads read them, and only what is unusual is dealt
    with here; `recent` is its table then.  `why_no_threads` says why they do not run after all, or nothing.
    """

    def __init__(
        self,
        listeners: Sequence[OpenListener],
        snapshot: Snapshot,
        *,
        names: NameService,
        recent: RecentChoices | CompiledChoices,
        rng: random.Random,
        witness: Witness,
        engine: Engine | None = None,
        limits: SourceLimits | None = None,
    ) -> None:
        self.snapshot = snapshot
        self._counters = Counters()
        self._listeners = tuple(listeners)
        self._names = names
        self._rng = rng
        self._witness = witness
        self._recent = recent
        self.engine = engine
        self.why_no_threads = ""
        self._has_threads = False
        self.calls = CallTable(recent.entries) if engine is None else engine.calls
        self._sent = SentBranches() if engine is None else engine.sent
        self._unanswered = Unanswered() if engine is None else engine.unanswered
        # Without a policy nobody has a bucket that could be aimed at.
        own = limits or Limits(seed=bytes(16))
        self.limits: SourceLimits = own if engine is None else engine.limits
        if engine is not None:
            engine.swap(snapshot)
            try:
                engine.open([opened.sock.fileno() for opened in listeners])
            except OSError as error:
                self.engine = None
                self.why_no_threads = str(error)
        self._chance = Chance(0, rng.getrandbits(64))
        self._waiting: dict[Resolve, list[tuple[bytes, Address, int, int]]] = {}
        self._waiting_count = 0
        self._budget = LogBudget()
        self._mistakes = LogBudget()
        self._reading = trio.CancelScope()
        self._nursery: trio.Nursery | None = None

    @property
    def counters(self) -> Counters:
        """What has been counted so far; with an engine a sum as of now, which takes its time: ask once."""
        return self._counters if self.engine is None else in_one_go(self.engine.with_own(self._counters))

    def count(self) -> Steps[Counters]:
        """The same, a little at a time: the sum takes the longer the more destinations there are."""
        if self.engine is None:
            return self._counters
        return (yield from self.engine.with_own(self._counters))

    def prepare(self, snapshot: Snapshot) -> Steps[None]:
        """Get ready for a `swap` to this list, a little at a time."""
        if self.engine is not None:
            yield from self.engine.prepare(snapshot)

    def swap(self, snapshot: Snapshot) -> None:
        """Use this snapshot from the next datagram on."""
        self.snapshot = snapshot
        if self.engine is not None:
            self.engine.swap(snapshot)

    def forget(self, number: int) -> None:
        """Begin anew with what is counted of a destination."""
        self._counters.forget(number)
        self.calls.forget(number)
        if self.engine is not None:
            self.engine.forget(number)

    def stop(self) -> None:
        """Stop waiting for datagrams; `serve` returns when what the kernel holds already has been dealt with."""
        self._reading.cancel()

    def start(self) -> None:
        """Start the threads, where there are any: they wait for `serve`, which does it too.  See `why_no_threads`."""
        if self.engine is None or self._has_threads or self.why_no_threads:
            return
        try:
            self.engine.start(trio.current_time())
        except OSError as error:
            self.engine.stop(at_once=True)  # those that have started before
            self.why_no_threads = str(error)
        else:
            self._has_threads = True

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Forward until `stop` is called."""
        self.start()
        if self.why_no_threads:
            log.error("the fast path cannot start its threads: Python forwards", reason=self.why_no_threads)
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            if self.engine is not None and self._has_threads:
                await self._serve_beside(self.engine, task_status)
                return
            while self.engine is not None and self._take_left(self.engine):
                pass  # some of the threads may have started, and read
            with self._reading:
                async with trio.open_nursery() as readers:
                    for place in range(len(self._listeners)):
                        readers.start_soon(self._read, place)
                    readers.start_soon(self._watch_for_silence)
                    task_status.started()
            for place in range(len(self._listeners)):
                self._finish(place)

    async def _serve_beside(self, engine: Engine, task_status: trio.TaskStatus[None]) -> None:
        """Deal with what the threads leave to Python, until `stop` and until they have ended."""
        try:
            with self._reading:
                async with trio.open_nursery() as attendants:
                    attendants.start_soon(self._attend, engine)
                    attendants.start_soon(self._watch_for_silence)
                    task_status.started()
            async with trio.open_nursery() as last:
                last.start_soon(self._attend, engine)  # else what is unusual would find its queue full
                await trio.to_thread.run_sync(engine.stop)
                last.cancel_scope.cancel()
            while self._take_left(engine):
                pass
        finally:
            engine.stop(at_once=True)

    async def _attend(self, engine: Engine) -> None:
        while True:
            await trio.lowlevel.wait_readable(engine.fileno())
            while self._take_left(engine) == BATCH:
                await trio.lowlevel.checkpoint()

    def _take_left(self, engine: Engine) -> int:
        """Deal with a batch of what the threads have left to Python; how many datagrams that were."""
        taken = engine.take(BATCH)
        now = trio.current_time()
        for payload, source, arrival in taken.messages:
            self._take(payload, source, arrival, now)
        engine.done()
        if taken.errors:
            self._note_errors(taken.errors)
        for number, seconds in taken.busy:
            self._witness.unavailable(number, seconds)
        for host, said in taken.mistakes:
            if self._mistakes.spend(host, now) is not None:
                log.error(_MISTAKE, source=host, said=said)
        for reason in taken.deaf:
            if self._mistakes.spend(_DEAF, now) is not None:
                log.error(_DEAF, reason=reason)
        return len(taken.messages)

    def _finish(self, place: int) -> None:
        """Deal with what the kernel holds for a listener, but not with senders that never pause."""
        for _ in range(MAX_LAST_BATCHES):
            if not self._take_batch(place):  # a batch that is not full has met an error, and more may be behind it
                break

    async def _watch_for_silence(self) -> None:
        """Say who takes requests and answers nothing."""
        while True:
            await trio.sleep(SILENCE_CHECK_S)
            for number in self._unanswered.overdue(trio.current_time()):
                self._witness.unanswered(number)

    async def _read(self, place: int) -> None:
        sock = self._listeners[place].sock
        while True:
            await trio.lowlevel.wait_readable(sock)
            while self._take_batch(place) == BATCH:
                await trio.lowlevel.checkpoint()

    def _take_batch(self, place: int) -> int:
        """Deal with what one listener has received, up to a batch; how many datagrams that were."""
        datagrams, errors = receive(self._listeners[place].sock, BATCH)
        now = trio.current_time()
        limits = self.limits if self.limits.active else None
        for payload, source in datagrams:
            address = (source[0].partition("%")[0], source[1])
            if limits is None or self._admits(limits, payload, address[0], now):
                self._take(payload, address, place, now)
        if errors:
            self._note_errors(errors)
        return len(datagrams)

    def _admits(self, limits: SourceLimits, payload: bytes, host: str, now: float) -> bool:
        """Whether a datagram is looked at at all; counts one that is not."""
        reason = None if self.snapshot.is_exempt(host) else limits.admit(host, now)
        if reason is None:
            return True
        self._counters.received += 1
        self._counters.received_bytes += len(payload)
        self._counters.dropped[reason] += 1
        return False

    def _take(self, payload: bytes, source: Address, arrival: int, now: float, lookups: int = 0) -> None:
        if not lookups:
            self._counters.received += 1
            self._counters.received_bytes += len(payload)
        recent = self._recent.lookup
        try:
            outcome = route(
                self.snapshot,
                payload,
                source,
                arrival,
                names=self._names.get,
                recent=lambda key: recent(key, now),
                chance=self._chance,
                now=now,
                calls=self.calls.active,
            )
        except Exception:  # a mistake of ours costs one datagram, not the proxy
            self._counters.dropped[DropReason.INTERNAL] += 1
            if self._mistakes.spend(source[0], now) is not None:
                log.exception(_MISTAKE, source=source[0])
            return
        if isinstance(outcome, Forward):
            self._forward(outcome, now)
        elif isinstance(outcome, Resolve):
            self._wait_for_name(outcome, payload, source, arrival, lookups)
        else:
            self._end(outcome, source)

    def _forward(self, outcome: Forward, now: float) -> None:
        """Pass on.  A choice is remembered even if the kernel does not take the datagram."""
        snapshot = self.snapshot
        number = None if outcome.destination is None else snapshot.numbers[outcome.destination]
        if outcome.call is not None:
            self.calls.note(outcome.call, number, now)
        if number is not None:
            self._counters.last_seen[number] = now
            if outcome.status:
                self._note_reply(outcome, number)
            else:
                self._counters.requests[number] += 1
                self._sent.remember(outcome.address, outcome.payload)
                if outcome.expects_answer:
                    self._unanswered.sent(number, now)
                if outcome.remember is not None:
                    self._recent.remember(outcome.remember, number, now)
                    self._chance = Chance(self._chance.turn + 1, self._rng.getrandbits(64))
        if self._send(outcome.payload, outcome.address, outcome.listener):
            self._counters.forwarded += 1

    def _note_reply(self, outcome: Forward, number: int) -> None:
        """What a reply tells of the server that it comes from."""
        counters = self._counters
        counters.replies[number, outcome.status // 100] += 1
        latency = outcome.latency
        if latency is not None:
            counters.answer_times[number].observe(latency)
        assert outcome.destination is not None  # noqa: S101 - the caller looked
        snapshot = self.snapshot
        address = snapshot.destinations[outcome.destination].address
        retry_after = outcome.retry_after
        if retry_after is not None and not self._sent.went(address, outcome.branch):
            retry_after = None  # forged by one who was sent a request of the server's, or too late to matter
        for place in snapshot.places_at(address):  # whichever set asked: it is one server
            self._unanswered.answered(snapshot.numbers[place])
            if retry_after is not None:
                self._witness.unavailable(snapshot.numbers[place], retry_after)

    def _end(self, outcome: Reply | Drop, source: Address) -> None:
        if isinstance(outcome, Drop):
            self._counters.dropped[outcome.reason] += 1
            if outcome.reason is DropReason.EDGE_TO_EDGE:
                self._log_refusal(source)
            return
        self._counters.answered[outcome.status] += 1
        if outcome.refusal is not None:
            self._counters.refused[outcome.refusal] += 1
            if outcome.refusal is Refusal.EDGE_TO_EDGE:
                self._log_refusal(source)
        self._send(outcome.payload, outcome.address, outcome.listener)

    def _send(self, payload: bytes, address: Address, listener: int) -> bool:
        result = send(self._listeners[listener].sock, payload, address)
        if result is SENT:
            return True
        if result.errors:
            self._note_errors(result.errors)
        if result.errno:
            self._counters.unsent[result.outcome] += 1
            return False
        return True

    def _note_errors(self, errors: Sequence[SocketError]) -> None:
        """What the network said of earlier datagrams: each error belongs to the address that its datagram went to.

        It is believed only if it quotes a request that was sent there.
        """
        for error in errors:
            self._counters.network_errors[error.errno] += 1
            if error.address is None or not error.from_network or error.errno not in _UNREACHABLE:
                continue
            places = self.snapshot.places_at(error.address)
            if places and self._sent.was_sent(error.address, error.quoted):
                for place in places:
                    self._witness.refused(self.snapshot.numbers[place])

    def _wait_for_name(self, asked: Resolve, payload: bytes, source: Address, arrival: int, lookups: int) -> None:
        """Keep a request until its next hop's name is known; those behind it for the same name keep their order."""
        if self._waiting_count >= MAX_WAITING or lookups >= MAX_LOOKUPS_A_REQUEST or self._nursery is None:
            self._counters.dropped[DropReason.OVERLOAD] += 1
            return
        self._waiting_count += 1
        queue = self._waiting.get(asked)
        if queue is not None:
            queue.append((payload, source, arrival, lookups + 1))
            return
        self._waiting[asked] = [(payload, source, arrival, lookups + 1)]
        self._nursery.start_soon(self._look_up, asked)

    async def _look_up(self, asked: Resolve) -> None:
        self._counters.lookups += 1
        addresses: tuple[Address, ...] | None = None
        try:
            addresses = await self._names.fetch(asked.host, asked.port, asked.transport)
        except Exception:  # a mistake of ours costs the requests that wait, not the proxy
            log.exception("the look-up of a next hop failed inside", name=asked.host)
        queue = self._waiting.pop(asked)
        self._waiting_count -= len(queue)
        if addresses is None:
            self._counters.dropped[DropReason.OVERLOAD] += len(queue)
            return
        now = trio.current_time()
        for payload, source, arrival, lookups in queue:
            self._take(payload, source, arrival, now, lookups)

    def _log_refusal(self, source: Address) -> None:
        """Say once a minute and source who was refused: usually a server that sends from an address not in the list."""
        kept_back = self._budget.spend(source[0], trio.current_time())
        if kept_back is None:
            return
        log.warning(
            "request refused: it comes from the edge and asks to leave to the edge; "
            "if this is a server of yours that sends from an address which is not in the list, add it to core_networks",
            source=source[0],
            port=source[1],
            kept_back=kept_back,
        )
