"""Whose turn is it, and when is each target's next one?

Each target has slots of its own: its phase within the interval and the shift of each slot come from a hash of its
number.  So any number of targets is spread evenly over time, two programs that start together do not stay in step, and
a slot does not depend on what was probed before.
"""

from __future__ import annotations

import math
from heapq import heapify, heappop, heappush, heapreplace

JITTER = 0.1
"""The widest distance between the shifts of two slots, as a part of the interval."""

_GOLDEN = 0x9E37_79B9
"""2**32 over the golden ratio: neighbouring numbers land far apart, and n of them evenly."""
_MIX = 0x85EB_CA6B
_MASK = 0xFFFF_FFFF
_SPAN = 1 << 32
_SLACK = 64
"""Entries of the heap that may be out of date before it is made anew."""


def slot_after(number: int, interval: float, now: float) -> float:
    """The first slot of this target that is later than `now`, at most 1.1 intervals away; all in seconds."""
    phase = (number * _GOLDEN & _MASK) / _SPAN
    turn = math.floor(now / interval - phase)
    while True:
        mixed = (number ^ (turn * _MIX & _MASK)) * _GOLDEN & _MASK
        mixed = (mixed ^ mixed >> 15) * _MIX & _MASK
        shift = ((mixed ^ mixed >> 13) / _SPAN - 0.5) * JITTER
        slot = (turn + phase + shift) * interval
        if slot > now:
            return slot
        turn += 1


class Timetable:
    """One moment for each number: a heap that leaves entries behind rather than search for them.

    A moment that moves later keeps its entry until that comes to the top; one that moves earlier gets a new entry.
    """

    __slots__ = ("_due", "_heap", "_queued")

    def __init__(self) -> None:
        self._due: dict[int, float] = {}
        self._queued: dict[int, float] = {}
        """The moment in the entry of the heap that counts for a number: never later than its due moment."""
        self._heap: list[tuple[float, int]] = []

    def __contains__(self, number: int) -> bool:
        return number in self._due

    def get(self, number: int) -> float:
        """The moment of this number; infinity when it has none."""
        return self._due.get(number, math.inf)

    def set(self, number: int, due: float) -> None:
        """Give it this moment, in place of the one that it may have."""
        self._due[number] = due
        if due < self._queued.get(number, math.inf):
            self._queued[number] = due
            heappush(self._heap, (due, number))
            if len(self._heap) > 2 * len(self._due) + _SLACK:
                self._queued = dict(self._due)
                self._heap = [(due, number) for number, due in self._due.items()]
                heapify(self._heap)

    def discard(self, number: int) -> None:
        """Forget the moment of this number, if it has one."""
        self._due.pop(number, None)
        self._queued.pop(number, None)

    def next(self) -> float:
        """The earliest moment; infinity when there is none."""
        heap = self._heap
        while heap:
            queued, number = heap[0]
            if self._queued.get(number) != queued:
                heappop(heap)
                continue
            due = self._due[number]
            if due == queued:
                return due
            self._queued[number] = due
            heapreplace(heap, (due, number))
        return math.inf

    def pop(self, now: float) -> tuple[int, float] | None:
        """Take out the number with the earliest moment, if that has come, and say what it was."""
        if self.next() > now or not self._heap:
            return None
        due, number = heappop(self._heap)
        del self._due[number], self._queued[number]
        return number, due
