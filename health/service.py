"""Which targets answer?  The loop that sends their probes and tells what became of them.

Only here is a socket, a clock, a log or a counter.  Nothing that a target or the network does ends the loop, and
nothing that a callback does.
"""

from __future__ import annotations

import contextlib
import math
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import attrs
import structlog
import trio

from health.board import Board, Change, Remembered, Verdict, Word
from health.errorqueue import SocketError
from health.latency import Histogram
from health.monitor import Monitor
from health.sending import SENT, SendOutcome, receive, send
from health.sources import OpenSource, SourceSockets, key_of
from health.target import Target

BATCH = 64
"""Datagrams sent or read before everything else has its turn: about 3 ms."""
REST_S = 0.005
"""From one turn to the next: 10,000 probes a second take 200 turns, not 10,000."""
CHUNK = 128
"""Targets taken over at once by `replace_targets`, before everything else has its turn."""
SAY_AGAIN_S = 60.0
"""How often the log says that something of ours has failed."""

log: structlog.stdlib.BoundLogger = structlog.get_logger()


@attrs.define
class Counters:
    """What the loop has done, since the start."""

    sent: int = 0
    received: int = 0
    strays: int = 0
    """Datagrams received that answered no probe under way: late, forged, or not SIP."""
    network_errors: Counter[int] = attrs.field(factory=Counter)
    """ICMP errors, by errno."""
    unsent: Counter[SendOutcome] = attrs.field(factory=Counter)
    mistakes: int = 0
    """Exceptions of this program or of a callback."""


class Service:
    """Probes its targets while `serve` runs.

    `on_change` is told of each change of a word or a verdict, `on_board` that a board would now show other words,
    verdicts or avoidances; both are called at once, before the call that led to it returns, and in this order.
    """

    def __init__(
        self,
        *,
        rng: random.Random | None = None,
        on_change: Callable[[Change], object] = lambda _change: None,
        on_board: Callable[[], object] = lambda: None,
    ) -> None:
        self.counters = Counters()
        self._sources = SourceSockets(self._start_reading)
        # A forged answer would keep a dead server in use: the identities of probes must not be guessed.
        self._monitor = Monitor(rng or random.SystemRandom(), sources=self._sources.address_for)
        self._on_change = on_change
        self._on_board = on_board
        self._told_version = 0
        self._say_mistake_at = -math.inf
        self._woken = trio.Event()
        self._wake_before = -math.inf
        self._nursery: trio.Nursery | None = None
        self._replacing = trio.Lock()

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Probe until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                task_status.started()
                while True:
                    await self._take_turn()
            finally:
                self._nursery = None
                self._sources.keep(frozenset())

    async def replace_targets(
        self,
        targets: Iterable[Target],
        *,
        known: Mapping[int, Remembered] | None = None,
        start: Verdict = Verdict.UP,
        on_added: Callable[[], object] = lambda: None,
    ) -> None:
        """Probe these and no others, as Monitor.set_target says; whoever else is running is not kept waiting.

        It returns when the board shows them, after `on_board`.  `on_added` is called when the board has them all and
        still those that go: whoever goes by the board turns to the new ones then.  Two at once take turns.
        """
        known = known or {}
        async with self._replacing:
            wanted = {target.number: target for target in targets}
            for count, target in enumerate(wanted.values(), 1):
                now = trio.current_time()
                self._monitor.set_target(target, now=now, known=known.get(target.number), start=start)
                await self._breathe(count)
            await trio.lowlevel.checkpoint()
            on_added()
            await trio.lowlevel.checkpoint()
            for count, number in enumerate(self._monitor.others(wanted), 1):
                self._monitor.remove(number)
                await self._breathe(count)
            await trio.lowlevel.checkpoint()
            self._sources.keep(set(map(key_of, wanted.values())))
        self._come_of_it()

    async def _breathe(self, count: int) -> None:
        if not count % CHUNK:
            await trio.lowlevel.checkpoint()

    # What is known

    def board(self) -> Board:
        """All targets as they stand now; its words, verdicts and avoidances stay so until the next `on_board`."""
        return self._monitor.board()

    def histogram(self, number: int) -> Histogram | None:
        """How long the good probes of a target took; None when there is no such target."""
        return self._monitor.histogram(number)

    def remembered(self, numbers: Iterable[int] | None = None) -> dict[int, Remembered]:
        """What `replace_targets` wants to know of all, or of these, after a restart."""
        return self._monitor.remembered(numbers)

    # What the operator and real traffic say: see Monitor

    def set_word(self, number: int, word: Word, cause: str) -> bool:
        """The operator's word; `cause` is for people.  False when there is no such target."""
        found = self._monitor.set_word(number, word, cause, trio.current_time())
        self._come_of_it()
        return found

    def reset(self, numbers: Iterable[int], cause: str = "operator: reset") -> None:
        """Back to what the list says, word and verdict."""
        self._monitor.reset(numbers, trio.current_time(), cause)
        self._come_of_it()

    def refused(self, number: int) -> None:
        """The network says of a request (ICMP) that it cannot reach this target, and quotes what we sent."""
        self._monitor.refused(number, trio.current_time())
        self._come_of_it()

    def unanswered(self, number: int) -> None:
        """Requests have gone to this target for a while and nothing has come back."""
        self._monitor.unanswered(number, trio.current_time())
        self._come_of_it()

    def unavailable(self, number: int, seconds: float) -> None:
        """It has answered 503 with this Retry-After."""
        self._monitor.unavailable(number, seconds, trio.current_time())
        self._come_of_it()

    # The loop

    async def _take_turn(self) -> None:
        """Do what is due, rest, and wait until something is."""
        self._woken = trio.Event()
        with self._surviving():
            self._monitor.handle_timer(trio.current_time())
            while batch := self._monitor.datagrams_to_send(trio.current_time(), BATCH):
                for target, payload in batch:
                    self._send(target, payload)
                await trio.lowlevel.checkpoint()
        self._come_of_it()
        await trio.sleep(REST_S)
        self._wake_before = self._monitor.get_timer()
        with trio.move_on_at(self._wake_before):
            await self._woken.wait()

    def _wake(self) -> None:
        """Let the loop take a turn before it meant to, if there is a reason now."""
        if self._monitor.get_timer() < self._wake_before:
            self._woken.set()

    def _come_of_it(self) -> None:
        """Tell what has changed, and probe what wants it at once."""
        while (change := self._monitor.next_change()) is not None:
            with self._surviving():
                self._on_change(change)
        if self._told_version != self._monitor.version:
            self._told_version = self._monitor.version
            with self._surviving():
                self._on_board()
        self._wake()

    def _send(self, target: Target, payload: bytes) -> None:
        try:
            sock = self._sources.socket_for(target)
        except OSError as error:  # it was closed by a change of the targets a moment ago
            self._sources.complain(target, str(error))
            self._monitor.not_sent(target.number, trio.current_time())
            return
        result = send(sock, payload, target.address)
        if result is not SENT:
            self._note_errors(result.errors)
        if result.outcome is SendOutcome.SENT:
            self.counters.sent += 1
            return
        self.counters.unsent[result.outcome] += 1
        self._sources.complain(target, result.outcome.sentence)
        self._monitor.not_sent(target.number, trio.current_time())

    def _start_reading(self, source: OpenSource) -> None:
        assert self._nursery is not None  # noqa: S101 - sockets are opened for what the loop sends
        self._nursery.start_soon(self._read, source)

    async def _read(self, source: OpenSource) -> None:
        with contextlib.suppress(trio.ClosedResourceError):
            while not source.closed:
                await trio.lowlevel.wait_readable(source.sock)
                while self._take_batch(source) == BATCH:
                    await trio.lowlevel.checkpoint()

    def _take_batch(self, source: OpenSource) -> int:
        """Deal with what a socket has received, up to a batch; how many datagrams that were."""
        datagrams, errors = receive(source.sock, BATCH)
        now = trio.current_time()
        for payload, sender in datagrams:
            self.counters.received += 1
            with self._surviving():
                self.counters.strays += not self._monitor.receive_datagram(payload, sender[:2], now)
        with self._surviving():
            self._note_errors(errors)
        self._come_of_it()
        return len(datagrams)

    def _note_errors(self, errors: Sequence[SocketError]) -> None:
        """What other nodes say of earlier probes."""
        now = trio.current_time()
        for error in errors:
            self.counters.network_errors[error.errno] += 1
            if error.from_network:
                self._monitor.network_error(error.address, error.quoted, error.errno, now)

    @contextlib.contextmanager
    def _surviving(self) -> Iterator[None]:
        """Neither a mistake of ours nor one of a callback ends the probing."""
        try:
            yield
        except Exception:
            self.counters.mistakes += 1
            now = trio.current_time()
            if now >= self._say_mistake_at:
                self._say_mistake_at = now + SAY_AGAIN_S
                log.exception("a mistake in this program while probing; please report it")
