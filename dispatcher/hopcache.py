"""Which addresses has a next hop that a request of the core names, without making the hot path wait?"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import structlog
import trio

from dispatcher.freshness import Freshness, learn
from dispatcher.names import Answer, Lookup, lookup
from dispatcher.resolver import NameSource
from sip.uri import Address

MAX_NAMES = 1024
"""Names remembered; the one that was asked for longest ago goes first."""
MAX_FETCHES = 32
"""Names under way at once; a PBX that dials made-up domains cannot make more."""

_log = structlog.get_logger()


class NextHops:
    """Answers for names in Route and Request-URI, for as long as they hold."""

    def __init__(
        self,
        resolver: NameSource,
        *,
        max_names: int = MAX_NAMES,
        max_fetches: int = MAX_FETCHES,
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        self._resolver = resolver
        self._clock = clock
        self._max_names = max_names
        self._max_fetches = max_fetches
        self._known: OrderedDict[Lookup, Freshness] = OrderedDict()
        self._fetching: dict[Lookup, trio.Event] = {}

    def get(self, host: str, port: int | None, transport: str) -> tuple[Address, ...] | None:
        """The addresses in order of preference, () when the name has none; None: not known now, `fetch` it.

        Never waits and never raises; usable as `dispatcher.snapshot.Names`.
        """
        asked = lookup(host, port, transport)
        if asked.address is not None:
            return (asked.address,)
        known = self._known.get(asked)
        if known is None or known.due_at <= self._clock():
            return None
        return _addresses(known)

    async def fetch(self, host: str, port: int | None, transport: str) -> tuple[Address, ...] | None:
        """Look a name up; those who ask for the same one share the look-up.  None when too many are under way.

        Takes as long as the resolver's time-out at most.  A resolver that fails keeps the last answer.
        """
        asked = lookup(host, port, transport)
        while (addresses := self.get(host, port, transport)) is None:
            under_way = self._fetching.get(asked)
            if under_way is not None:
                await under_way.wait()
            elif len(self._fetching) >= self._max_fetches:
                return None
            else:
                await self._ask(asked)
        return addresses

    async def _ask(self, asked: Lookup) -> None:
        done = self._fetching[asked] = trio.Event()
        try:
            outcome = await self._resolver.ask(asked)
        finally:
            # Also when this task was cancelled: the next of those who wait then asks.
            del self._fetching[asked]
            done.set()
        before = self._known.pop(asked, None)
        now = self._known[asked] = learn(before, outcome, now=self._clock())
        while len(self._known) > self._max_names:
            self._known.popitem(last=False)
        if now.failure is not None and (before is None or before.failure is None):
            _log.warning("look-up of a next hop fails", name=str(asked), reason=now.failure.kind.sentence)


def _addresses(known: Freshness) -> tuple[Address, ...]:
    return known.current.addresses if isinstance(known.current, Answer) else ()
