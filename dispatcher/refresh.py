"""How do the destinations of the list follow the DNS while calls are being forwarded?"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping

import structlog
import trio

from dispatcher.destination import Destination, Entry
from dispatcher.freshness import Freshness, learn
from dispatcher.names import FAMILIES, Answer, Failure, FailureKind, Lookup, expand, lookup_of
from dispatcher.problem import Problem
from dispatcher.resolver import NameSource
from dispatcher.slices import in_slices
from dispatcher.steps import Steps
from sip.uri import Address

MAX_NAMES = 4096
"""Different names in one list; with the shortest TTL that is 800 look-ups a second."""
MAX_LOOKUPS = 16
"""Names under way at once."""
FIRST_WAIT_S = 5.0
"""How long the first answers are waited for before the list is used with those that there are."""
SETTLE_S = 1.0
"""How long a changed answer waits for others that are being asked for, and names that are due for others that will be:
one new snapshot instead of many."""

OnChange = Callable[[tuple[Destination, ...], tuple[Problem, ...]], Awaitable[None]]

_log = structlog.get_logger()


class ListNames:
    """The names of the list and what is known of them; it outlives a reload, so that names that stay need no wait."""

    def __init__(self, resolver: NameSource) -> None:
        self._resolver = resolver
        self._limit = trio.CapacityLimiter(MAX_LOOKUPS)
        self._known: dict[Lookup, Freshness] = {}

    @property
    def answers(self) -> Mapping[Lookup, Answer | Failure]:
        """What `expand` wants to know, as of now."""
        return {asked: known.current for asked, known in self._known.items()}

    async def keep_fresh(
        self,
        entries: Iterable[Entry],
        on_change: OnChange,
        *,
        path: str = "",
        families: frozenset[int] = FAMILIES,
        own: Collection[Address] = (),
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Call back with the entries' destinations and warnings, at once and whenever an answer changes them.

        The first call, after which the task counts as started, waits for the first answers, FIRST_WAIT_S at most.
        A resolver that fails keeps the last answer.  `path`, `families` and `own` are those of `expand`.  Never
        returns: cancel it, and start it with the new entries, when the list changes.
        """
        entries = tuple(entries)
        names = await in_slices(_names_of(entries))
        wanted = list(names)[:MAX_NAMES]
        self._known = {asked: self._known[asked] for asked in wanted if asked in self._known}
        for asked in list(names)[MAX_NAMES:]:
            self._known[asked] = Freshness(current=Failure(FailureKind.TOO_MANY), due_at=math.inf)
        asking = _Asking(wanted)
        wait_s, told = FIRST_WAIT_S, None
        async with trio.open_nursery() as nursery:
            while True:
                for asked in asking.due(self._known, trio.current_time()):
                    nursery.start_soon(self._refresh, asked, asking)
                with trio.move_on_after(wait_s):
                    await asking.all_done()
                asking.news = False
                expansion = expand.steps(entries, self.answers, path=path, families=families, own=own)
                destinations, problems = await in_slices(expansion)
                if told is None or await in_slices(_differ((destinations, problems), told)):
                    first, told = told is None, (destinations, problems)
                    await on_change(destinations, problems)
                    if first:
                        task_status.started()
                        wait_s = SETTLE_S
                await asking.news_or_due(trio.current_time() + SETTLE_S)

    async def _refresh(self, asked: Lookup, asking: _Asking) -> None:
        async with self._limit:
            outcome = await self._resolver.ask(asked)
        before = self._known.get(asked)
        now = self._known[asked] = learn(before, outcome, now=trio.current_time())
        _say(asked, before, now)
        changed = before is None or _meaning(before.current) != _meaning(now.current)
        asking.done(asked, now.due_at, changed=changed)


class _Asking:
    """The look-ups of one list: which are under way, and when is the next one due?"""

    def __init__(self, wanted: Iterable[Lookup]) -> None:
        self._wanted = tuple(wanted)
        self._pending: set[Lookup] = set()
        self._next_due_at = math.inf
        self._changed = trio.Event()
        self.news = False

    def due(self, known: Mapping[Lookup, Freshness], now: float) -> list[Lookup]:
        """Those whose time has come; they count as under way from here on."""
        due_at = {each: known[each].due_at if each in known else now for each in self._wanted}
        due = [each for each, at in due_at.items() if at <= now and each not in self._pending]
        self._pending.update(due)
        self._next_due_at = min((at for each, at in due_at.items() if each not in self._pending), default=math.inf)
        return due

    def done(self, asked: Lookup, due_at: float, *, changed: bool) -> None:
        self._pending.discard(asked)
        self._next_due_at = min(self._next_due_at, due_at)
        self.news |= changed
        self._changed.set()
        self._changed = trio.Event()

    async def all_done(self) -> None:
        while self._pending:
            await self._changed.wait()

    async def news_or_due(self, earliest: float) -> None:
        """Wait for a changed answer, or until the next name is due, not before `earliest`."""
        while not self.news:
            with trio.move_on_at(max(self._next_due_at, earliest)) as waiting:
                await self._changed.wait()
            if waiting.cancelled_caught:
                return


def _names_of(entries: Iterable[Entry]) -> Steps[dict[Lookup, None]]:
    """The questions to be asked, each once, in the order of the list."""
    names: dict[Lookup, None] = {}
    for entry in entries:
        asked = lookup_of(entry)
        if asked.address is None:
            names[asked] = None
        yield
    return names


def _differ(ours: tuple[tuple[object, ...], ...], theirs: tuple[tuple[object, ...], ...]) -> Steps[bool]:
    """Whether these tuples of tuples are not equal."""
    for one, other in zip(ours, theirs, strict=True):
        if len(one) != len(other):
            return True
        for mine, yours in zip(one, other, strict=True):
            if mine != yours:
                return True
            yield
    return False


def _meaning(current: Answer | Failure) -> object:
    """What of an answer can change the destinations or the warnings."""
    return current if isinstance(current, Failure) else (current.addresses, current.srv, current.left_out)


def _say(asked: Lookup, before: Freshness | None, now: Freshness) -> None:
    """Say once that a look-up fails, and once that it works again."""
    failed = before.failure if before is not None else None
    if now.failure is not None and failed is None:
        held = [address[0] for address in now.current.addresses] if isinstance(now.current, Answer) else []
        event = "look-up of a destination fails; its last addresses stay" if held else "a destination has no address"
        _log.warning(event, name=str(asked), reason=now.failure.kind.sentence, detail=now.failure.detail, held=held)
    elif now.failure is None and failed is not None:
        _log.info("look-up of a destination works again", name=str(asked))
    elif isinstance(now.current, Failure) and before is not None and isinstance(before.current, Answer):
        _log.warning("a destination is gone from the DNS", name=str(asked), reason=now.current.kind.sentence)
