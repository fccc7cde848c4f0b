"""How do addresses move that have to be set on an interface and moved by an API too?"""

from __future__ import annotations

import trio

from vrrp.mover import Mover, Report


class BothMovers:
    """Two movers as one: each does what is asked for, and what either reports is reported."""

    def __init__(self, first: Mover, second: Mover) -> None:
        self._both = (first, second)

    def add(self, lease: float) -> None:
        """The addresses are wanted here."""
        for each in self._both:
            each.add(lease)

    def remove(self) -> None:
        """The addresses are not wanted here."""
        for each in self._both:
            each.remove()

    def announce(self) -> None:
        """Tell everybody where the addresses live now."""
        for each in self._both:
            each.announce()

    async def run(self, report: Report) -> None:
        """Watch over the addresses until cancelled."""
        async with trio.open_nursery() as nursery:
            for each in self._both:
                nursery.start_soon(each.run, report)

    async def settle(self) -> None:
        """Return when both have done what was asked for last, or given up."""
        async with trio.open_nursery() as nursery:
            for each in self._both:
                nursery.start_soon(each.settle)
