"""What passes between Python and the compiled part of the packet path, where there is one?

The compiled part (`dispatcher._fastpath`) has threads of its own.  They read the listeners, decide the common case as
`dispatcher.route` does, and leave everything else to Python.  The tables that improve choices are theirs and Python's
alike; they are locked once a batch on their side and once a message on this one.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import attrs

from dispatcher.counters import Counters
from dispatcher.flat import Flat, flatten, is_same_list
from dispatcher.limits import LimitPolicy
from dispatcher.outcome import DropReason
from dispatcher.snapshot import Snapshot
from dispatcher.steps import Steps, in_one_go
from health.errorqueue import Origin, SocketError
from health.latency import Histogram
from health.sending import outcome_of
from sip.uri import Address

if TYPE_CHECKING:
    from dispatcher import _fastpath

MOST_WORKERS = 4
"""Threads by default: more of them wait for each other at one socket."""

STEP = 10
"""Destinations in one step of the sum of what was counted: about 0.1 ms."""

_REASONS = {reason.label: reason for reason in DropReason}

Message = tuple[bytes, Address, int]
"""A datagram, its source and the place of the listener that it arrived on."""


def usable_cores() -> int:
    """How many threads are of use: one for each core that this process may run on, MOST_WORKERS at most."""
    return min(MOST_WORKERS, len(os.sched_getaffinity(0)))


@attrs.frozen
class Taken:
    """What has waited for Python."""

    messages: Sequence[Message]
    errors: Sequence[SocketError]
    busy: Sequence[tuple[int, int]]
    """Destinations by number that have answered 503, and for how many seconds they want to be left alone."""
    mistakes: Sequence[tuple[str, str]]
    """Whose datagrams were dropped by a mistake in the compiled part, and what it said."""
    deaf: Sequence[str]
    """Why the kernel did not let a thread wait for datagrams; it tries again each second."""


class Engine:
    """The compiled part of one service: its tables, and from `open` on its threads.

    `recent` are the entries of its table of recent choices, `workers` its threads, `limits` what a source may send.
    Raises ImportError where there is none (`dispatcher.fastpath`).
    """

    def __init__(self, recent: int, workers: int, limits: LimitPolicy | None = None) -> None:
        from dispatcher import _fastpath  # noqa: PLC0415 - it may not be there

        self.workers = workers
        self.recent = _fastpath.RecentChoices(recent)
        self.calls = _fastpath.CallTable(self.recent.entries)
        self.sent = _fastpath.SentBranches()
        self.unanswered = _fastpath.Unanswered()
        self.limits = _fastpath.Limits(limits, seed=os.urandom(16))
        self._compiled = _fastpath
        self._version = 0
        self._flat: Flat | None = None
        self._prepared: Flat | None = None
        self._threads: _fastpath.Engine | None = None

    def prepare(self, snapshot: Snapshot) -> Steps[None]:
        """Make what a `swap` to this list will need, a little at a time: of a large one it takes some milliseconds."""
        self._prepared = yield from self._flatten(snapshot, self._flat)

    def swap(self, snapshot: Snapshot) -> None:
        """Decide by this snapshot from the next batch on."""
        before = self._flat
        if self._prepared is not None and is_same_list(self._prepared.snapshot, snapshot):
            before, self._prepared = self._prepared, None
        self._flat = in_one_go(self._flatten(snapshot, before))
        if self._threads is not None:
            self._threads.swap(self._image)

    @property
    def _image(self) -> _fastpath.Image:
        assert self._flat is not None  # noqa: S101 - the service swaps first
        return cast("_fastpath.Image", self._flat.image)  # that is what a draft of that module makes

    def _flatten(self, snapshot: Snapshot, before: Flat | None) -> Steps[Flat]:
        self._version += 1
        return flatten.steps(snapshot, self._version, self._compiled.Draft, before)

    def open(self, sockets: Sequence[int]) -> None:
        """Take up the listeners (descriptors, in the order of the snapshot that was swapped in).  Raises OSError."""
        self._threads = self._compiled.Engine(
            list(sockets),
            self._image,
            self.recent,
            self.calls,
            self.sent,
            self.unanswered,
            self.limits,
            self.workers,
        )

    @property
    def _running(self) -> _fastpath.Engine:
        assert self._threads is not None  # noqa: S101 - the service opens it first
        return self._threads

    def fileno(self) -> int:
        """What is readable while something waits for Python."""
        return self._running.fileno()

    def start(self, now: float) -> None:
        """Start the threads; `now` is the moment on the loop's clock.  Raises OSError."""
        self._running.start(now)

    def stop(self, *, at_once: bool = False) -> None:
        """End the threads, when what the kernel holds has been dealt with or now; for a thread of its own: it waits."""
        self._running.stop(at_once=at_once)

    @property
    def waiting(self) -> int:
        """How many messages wait for Python."""
        return self._running.waiting()

    def take(self, limit: int) -> Taken:
        """What waits for Python, at most `limit` messages and errors; what was taken before has been dealt with."""
        messages, errors, busy, mistakes, deaf = self._running.take(limit)
        return Taken(messages, [_socket_error(*error) for error in errors], busy, mistakes, deaf)

    def done(self) -> None:
        """What was taken has been dealt with: messages of the same calls need not follow it any more."""
        self._running.done()

    def forget(self, number: int) -> None:
        """Begin anew with what is counted of a destination."""
        self._running.forget(number)

    def with_own(self, counters: Counters) -> Steps[Counters]:
        """What Python has counted and what the threads have, in one: a little at a time, for there are many numbers."""
        received, received_bytes, forwarded, dropped, unsent, network_errors, traffic = self._running.counted()
        whole = Counters(
            received=counters.received + received,
            received_bytes=counters.received_bytes + received_bytes,
            by_fast_path=received - dropped.get(DropReason.OVERLOAD.label, 0),  # those waited for Python in vain
            forwarded=counters.forwarded + forwarded,
            answered=counters.answered.copy(),
            refused=counters.refused.copy(),
            dropped=counters.dropped.copy(),
            unsent=counters.unsent.copy(),
            network_errors=counters.network_errors.copy(),
            requests=counters.requests.copy(),
            replies=counters.replies.copy(),
            last_seen=counters.last_seen.copy(),
            answer_times=counters.answer_times.copy(),
            lookups=counters.lookups,
        )
        for label, count in dropped.items():
            whole.dropped[_REASONS[label]] += count
        for number, count in unsent.items():
            whole.unsent[outcome_of(number)] += count
        for number, count in network_errors.items():
            whole.network_errors[number] += count
        for place, (number, requests, replies, last_seen, answers, total) in enumerate(traffic):
            if not place % STEP:
                yield
            if requests:
                whole.requests[number] += requests
            for digit, count in enumerate(replies, 1):
                if count:
                    whole.replies[number, digit] += count
            whole.last_seen[number] = max(last_seen, whole.last_seen.get(number, last_seen))
            if any(answers):
                whole.answer_times[number] = counters.answer_times.get(number, _NO_ANSWERS).plus(answers, total)
        return whole


_NO_ANSWERS = Histogram()


def _socket_error(
    address: Address | None,
    errno: int,
    origin: int,
    icmp_type: int,
    icmp_code: int,
    info: int,
    offender: str | None,
    quoted: bytes,
) -> SocketError:
    return SocketError(
        address=address,
        errno=errno,
        origin=Origin(origin) if origin <= Origin.ICMP6 else Origin.OTHER,
        icmp_type=icmp_type,
        icmp_code=icmp_code,
        info=info,
        offender=offender,
        quoted=quoted,
    )
