"""Which addresses has a next hop that a request of the core names, without making the hot path wait?"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import structlog
import trio

from dispatcher.freshness import Freshness, learn
from dispatcher.logbudget import LogBudget
from dispatcher.names import Answer, Failure, Lookup, lookup
from dispatcher.resolver import NameSource
from dispatcher.turns import Turns
from sip.uri import Address

MAX_NAMES = 1024
"""Names remembered; the one that was asked for longest ago goes first."""
MAX_STALE_S = 86400.0
"""How long an answer that has expired is used while it is asked for again; RFC 8767 5 suggests one to three days."""

_log = structlog.get_logger()


class NextHops:
    """Answers for names in Route and Request-URI.

    One that has expired is used once more while `keep_fresh` asks for it again (RFC 8767): a request waits only for a
    name that is new, or had no address.
    """

    def __init__(
        self,
        resolver: NameSource,
        *,
        max_names: int = MAX_NAMES,
        turns: Turns | None = None,
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        self._resolver = resolver
        self._clock = clock
        self._max_names = max_names
        self._turns = Turns() if turns is None else turns
        self._known: OrderedDict[Lookup, Freshness] = OrderedDict()
        self._fetching: dict[Lookup, trio.Event] = {}
        self._due: dict[Lookup, None] = {}
        self._is_due = trio.Event()
        self._budget = LogBudget()

    def get(self, host: str, port: int | None, transport: str) -> tuple[Address, ...] | None:
        """The addresses in order of preference, () when the name has none; None: not known now, `fetch` it.

        Never waits and never raises; usable as `dispatcher.snapshot.Names`.
        """
        asked = lookup(host, port, transport)
        if asked.address is not None:
            return (asked.address,)
        known = self._known.get(asked)
        if known is None:
            return None
        late_s = self._clock() - known.due_at
        if late_s >= 0:
            if isinstance(known.current, Failure) or late_s > MAX_STALE_S:
                return None
            if asked not in self._fetching:
                self._due[asked] = None
                self._is_due.set()
        return _addresses(known)

    async def keep_fresh(self) -> None:
        """Ask again for answers that were used after they had expired; never returns."""
        async with trio.open_nursery() as nursery:
            while True:
                await self._is_due.wait()
                self._is_due = trio.Event()
                for asked in self._due:
                    nursery.start_soon(self._refresh, asked)
                self._due.clear()

    async def fetch(self, host: str, port: int | None, transport: str) -> tuple[Address, ...] | None:
        """Look a name up; those who ask for the same one share the look-up.  None when too many are under way.

        Takes as long as the wait for a turn and the resolver's time-out at most.  A resolver that fails keeps the last
        answer.
        """
        asked = lookup(host, port, transport)
        while (addresses := self.get(host, port, transport)) is None:
            under_way = self._fetching.get(asked)
            if under_way is not None:
                await under_way.wait()
            elif not await self._ask(asked):
                return None
        return addresses

    async def _refresh(self, asked: Lookup) -> None:
        if asked not in self._fetching:
            await self._ask(asked)

    async def _ask(self, asked: Lookup) -> bool:
        """Whether it could be asked for."""
        done = self._fetching[asked] = trio.Event()
        try:
            if not await self._turns.take(asked.host):
                return False
            try:
                outcome = await self._resolver.ask(asked)
            finally:
                self._turns.give_back(asked.host)
        finally:
            # Also when this task was cancelled: the next of those who wait then asks.
            del self._fetching[asked]
            done.set()
        before = self._known.pop(asked, None)
        now = self._known[asked] = learn(before, outcome, now=self._clock())
        while len(self._known) > self._max_names:
            self._known.popitem(last=False)
        if now.failure is not None and (before is None or before.failure is None):
            self._say_failed(asked, now.failure)
        return True

    def _say_failed(self, asked: Lookup, failure: Failure) -> None:
        """Within the budget: a phone that dials made-up domains by way of a PBX makes as many names as it likes."""
        kept_back = self._budget.spend(asked.host, self._clock())
        if kept_back is not None:
            _log.warning(
                "look-up of a next hop fails", name=str(asked), reason=failure.kind.sentence, kept_back=kept_back
            )


def _addresses(known: Freshness) -> tuple[Address, ...]:
    return known.current.addresses if isinstance(known.current, Answer) else ()
