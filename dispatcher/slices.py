"""How does a long computation leave the packets their turns?

In slices: after a quarter of a millisecond of work, or a whole one, everything that has arrived is dealt with first.
A thread would do worse: it takes the interpreter each time that the packets' thread makes a system call, and holds it
for a whole switch interval, so that a thousand messages a second are the most while it works.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import trio

from dispatcher.steps import Result, Steps

SLICE_S = 0.00025
"""Half of the proxy's switch interval: for answers, which are asked for all the time."""
LONG_SLICE_S = 0.001
"""For a list that is taken over, a second of work: it comes to an end under load too, and packets that have waited for
each other cost less than one at a time."""


class Slices:
    """Says when a slice is over, and gives the others their turn then."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter, slice_s: float = SLICE_S) -> None:
        self._clock = clock
        self._slice_s = slice_s
        self._until = clock() + slice_s

    @property
    def over(self) -> bool:
        return self._clock() >= self._until

    async def turn(self) -> None:
        """Everybody else first."""
        await trio.lowlevel.checkpoint()
        self._until = self._clock() + self._slice_s


async def in_slices(
    steps: Steps[Result], clock: Callable[[], float] = time.perf_counter, slice_s: float = LONG_SLICE_S
) -> Result:
    """The result of a generator that yields now and then, ten times a millisecond or so."""
    slices = Slices(clock, slice_s)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result
        if slices.over:
            await slices.turn()
