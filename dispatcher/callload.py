"""How many calls does each destination have, as far as the traffic shows?

Nothing depends on it but the choice of a destination: a call that is missed, or counted for too long, costs a little
evenness.  A call counts from its INVITE on; a failure or a BYE ends it, and so does time, because a BYE may be lost or
go past us.  A node that takes over begins with nothing, and counts the calls that it sees begin.

Calls wait for their end in three queues, one for each lifetime, so that the first of a queue is always the next to go:
every step takes away only a few whose time is over, and never looks at the others.
"""

from __future__ import annotations

import math
from collections import OrderedDict, defaultdict
from typing import assert_never

from dispatcher.callfact import CallFact, CallStep
from dispatcher.recent import DEFAULT_ENTRIES
from dispatcher.steps import Steps

RINGING_S = 180.0
"""From the first INVITE.  A proxy with state gives up then too (timer C, RFC 3261 16.6 step 11)."""
ANSWERED_S = 7200.0
"""From the answer or the last sign of life.  Sessions with a timer show one every 30 minutes (RFC 4028 4.2); those
without are over by then, nearly all."""
CHALLENGED_S = 5.0
"""From a challenge until the INVITE with credentials: it keeps its place, or another call would take it and the server
have one too many.  Who is turned away by the challenge, as scanners are, holds it no longer."""
MOST_EXPIRED = 4
"""Of each queue in one step: more than any step adds, so that they never grow behind."""

_NUMBER = 0xFFFF_FFFF
_UNTIL_SHIFT = 32
_TICKS = 16.0
"""In a second."""


class CallTable:
    """The calls that are going on, `entries` at most; when there are more, those go first whose time is over first.

    Calls are known by the keys of `dispatcher.callfact`, destinations by their numbers, 1 to 2**32 - 1.  `now` is in
    seconds of one clock that never goes back.
    """

    __slots__ = ("_active", "_answered", "_begun", "_challenged", "_idle_since", "_queues", "_ringing", "entries")

    def __init__(self, entries: int = DEFAULT_ENTRIES) -> None:
        self.entries = entries
        self._ringing: OrderedDict[int, int] = (
            OrderedDict()
        )  # key: moment of the end, and the number of the destination
        self._answered: OrderedDict[int, int] = OrderedDict()
        self._challenged: OrderedDict[int, int] = OrderedDict()
        self._queues = (self._ringing, self._challenged, self._answered)
        self._active: dict[int, int] = {}
        self._begun: defaultdict[int, int] = defaultdict(int)
        self._idle_since: dict[int, float] = {}

    def __len__(self) -> int:
        return sum(map(len, self._queues))

    def active(self, number: int) -> int:
        """The calls that a destination has now, as of the last step, `expire` or `expire_all`."""
        return self._active.get(number, 0)

    def begun(self, number: int) -> int:
        """The calls that a destination has been given so far."""
        return self._begun.get(number, 0)

    def begun_by_number(self) -> dict[int, int]:
        """The same of all that have been given any, as of now."""
        return dict(self._begun)

    def forget(self, number: int) -> None:
        """Begin anew with what a destination has been given; the calls that it still has stay counted."""
        self._begun.pop(number, None)
        self._idle_since.pop(number, None)

    def idle_since(self, number: int) -> float:
        """When the last call of a destination that has none now has ended; minus infinity when it never had any."""
        return self._idle_since.get(number, -math.inf)

    def note(self, fact: CallFact, number: int | None, now: float) -> None:
        """Take in what a message tells; `number` is the destination of a BEGIN and not looked at otherwise."""
        self.expire(now)
        match fact.step:
            case CallStep.BEGIN:
                if number is not None:
                    self._begin(fact.key, number, now)
            case CallStep.ANSWERED:
                self._answer(fact.key, now)
            case CallStep.GOING:
                self._prolong(fact.key, now)
            case CallStep.CHALLENGED:
                self._challenge(fact.key, now)
            case CallStep.FAILED:  # what fails within an answered call does not end it
                self._forget(fact.key, now, self._ringing, self._challenged)
            case CallStep.END:
                self._forget(fact.key, now, *self._queues)
            case _:  # pragma: no cover
                assert_never(fact.step)

    def expire(self, now: float) -> bool:
        """Take away some of those whose time is over, MOST_EXPIRED of each queue; whether there may be more."""
        more = False
        for queue in self._queues:
            for _ in range(MOST_EXPIRED):
                if not queue or _until(next(iter(queue.values()))) > now * _TICKS:
                    break
                self._leave(queue.popitem(last=False)[1], now)
            else:
                more = True
        return more

    def expire_all(self, now: float) -> Steps[None]:
        """Take all of them away, some in each step."""
        while self.expire(now):
            yield

    def _begin(self, key: int, number: int, now: float) -> None:
        """A retransmission changes nothing, unless it went to another destination because the first has died."""
        if key in self._answered:
            return
        known = self._ringing.get(key)
        if known is None:
            known = self._challenged.pop(key, None)
            if known is not None:
                self._ringing[key] = _pack(known & _NUMBER, now + RINGING_S)
        if known is not None:
            if known & _NUMBER == number:
                return
            self._leave(self._ringing.pop(key), now)
        elif len(self) >= self.entries:
            self._make_room(now)
        if self.entries:
            self._ringing[key] = _pack(number, now + RINGING_S)
            self._active[number] = self._active.get(number, 0) + 1
        self._begun[number] += 1

    def _challenge(self, key: int, now: float) -> None:
        known = self._ringing.pop(key, None)
        if known is not None:
            self._challenged[key] = _pack(known & _NUMBER, now + CHALLENGED_S)

    def _answer(self, key: int, now: float) -> None:
        known = self._ringing.pop(key, None) or self._challenged.pop(key, None)
        if known is None:
            self._prolong(key, now)
        else:
            self._answered[key] = _pack(known & _NUMBER, now + ANSWERED_S)

    def _prolong(self, key: int, now: float) -> None:
        known = self._answered.get(key)
        if known is not None:
            self._answered[key] = _pack(known & _NUMBER, now + ANSWERED_S)
            self._answered.move_to_end(key)

    def _forget(self, key: int, now: float, *queues: OrderedDict[int, int]) -> None:
        for queue in queues:
            known = queue.pop(key, None)
            if known is not None:
                self._leave(known, now)

    def _make_room(self, now: float) -> None:
        first = [queue for queue in self._queues if queue]
        if first:
            nearest = min(first, key=lambda queue: next(iter(queue.values())))
            self._leave(nearest.popitem(last=False)[1], now)

    def _leave(self, known: int, now: float) -> None:
        number = known & _NUMBER
        left = self._active[number] - 1
        if left:
            self._active[number] = left
        else:
            del self._active[number]
            self._idle_since[number] = now


def _pack(number: int, until: float) -> int:
    return int(until * _TICKS) << _UNTIL_SHIFT | number


def _until(packed: int) -> int:
    return packed >> _UNTIL_SHIFT
