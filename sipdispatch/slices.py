"""How does a long computation leave the packets their turns?

In slices: after a quarter of a millisecond of work, everything that has arrived is dealt with first.  A thread would do
worse: it takes the interpreter each time that the packets' thread makes a system call, and holds it for a whole switch
interval.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import Protocol, TypeVar, runtime_checkable

import trio

from sipdispatch.facts import ProxyFacts
from sipdispatch.operations import Telling

Result = TypeVar("Result")

SLICE_S = 0.00025
"""Half of the proxy's switch interval."""


class Slices:
    """Says when a slice is over, and gives the others their turn then."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._until = clock() + SLICE_S

    @property
    def over(self) -> bool:
        return self._clock() >= self._until

    async def turn(self) -> None:
        """Everybody else first."""
        await trio.lowlevel.checkpoint()
        self._until = self._clock() + SLICE_S


async def in_slices(steps: Generator[None, None, Result], clock: Callable[[], float] = time.perf_counter) -> Result:
    """The result of a generator that yields now and then, ten times a millisecond or so."""
    slices = Slices(clock)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result
        if slices.over:
            await slices.turn()


@runtime_checkable
class GathersInSteps(Protocol):
    """Operations that can also tell their facts in steps: with 2,000 destinations that takes 15 ms and more."""

    def facts_in_steps(self) -> Generator[None, None, ProxyFacts]:
        """What `facts` returns, with a yield after every few destinations; of one list, if not of one moment."""


async def gather(operations: Telling) -> ProxyFacts:
    """The facts, without keeping packets waiting where the operations know how."""
    if isinstance(operations, GathersInSteps):
        return await in_slices(operations.facts_in_steps())
    return operations.facts()
