"""What has happened in this process, lately and to one destination, and who wants to hear of what comes?"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Final

import attrs
import trio

from sipdispatch.happening import Happening, Kind

CAPACITY: Final = 10_000
"""Happenings that are remembered of all; with about 300 octets each, 3 MB."""
PER_DESTINATION: Final = 10
"""Happenings that are remembered of one destination, however long ago they were."""
DESTINATIONS: Final = 16_384
"""Destinations that have a memory of their own; whom nothing has happened to for longest is forgotten first."""
FOLLOWER_CAPACITY: Final = 1_000
"""Happenings that wait for a follower."""


@attrs.frozen(kw_only=True)
class About:
    """The destination that something has happened to, as in Happening."""

    set_id: int | None = None
    uri: str = ""
    address: str = ""
    number: int = 0


NOBODY: Final = About()
"""Of what concerns the list or the proxy as a whole."""


class Chronicle:
    """The happenings of one process, in the order of their `sequence`.  Used from trio's thread only.

    Recording takes time in proportion to the followers, waits for nobody and never fails because of one.  Memory is
    bounded by the four numbers.
    """

    def __init__(
        self,
        *,
        capacity: int = CAPACITY,
        per_destination: int = PER_DESTINATION,
        destinations: int = DESTINATIONS,
    ) -> None:
        self._last: deque[Happening] = deque(maxlen=capacity)
        self._of_each: OrderedDict[int, deque[Happening]] = OrderedDict()
        self._per_destination = per_destination
        self._destinations = destinations
        self._sequence = 0
        self._followers: dict[int, _Follower] = {}

    @property
    def sequence(self) -> int:
        """That of the last happening, 0 before the first."""
        return self._sequence

    def record(self, kind: Kind, before: str, after: str, cause: str, at: float, *, about: About = NOBODY) -> Happening:
        """Remember what has happened and tell the followers; the arguments are the fields of Happening."""
        self._sequence += 1
        happening = Happening(
            sequence=self._sequence,
            at=at,
            kind=kind,
            before=before,
            after=after,
            cause=cause,
            set_id=about.set_id,
            uri=about.uri,
            address=about.address,
            number=about.number,
        )
        self._last.append(happening)
        if about.number:
            self._remember_of(about.number, happening)
        for follower in self._followers.values():
            follower.tell(happening)
        return happening

    def _remember_of(self, number: int, happening: Happening) -> None:
        own = self._of_each.get(number)
        if own is None:
            own = self._of_each[number] = deque(maxlen=self._per_destination)
            if len(self._of_each) > self._destinations:
                self._of_each.popitem(last=False)
        else:
            self._of_each.move_to_end(number)
        own.append(happening)

    def history(self, number: int | None = None) -> tuple[Happening, ...]:
        """The last happenings, oldest first, of a destination or of all."""
        return tuple(self._last if number is None else self._of_each.get(number, ()))

    def between(self, after: int, before: int) -> tuple[Happening, ...]:
        """What is still remembered of a follower's gap: sequences above `after` and below `before`, oldest first.

        The newest of each destination is among them, however wide the gap is.
        """
        found: dict[int, Happening] = {}
        memories: Iterable[Iterable[Happening]] = (self._last, *self._of_each.values())
        for memory in memories:
            for happening in memory:
                if after < happening.sequence < before:
                    found[happening.sequence] = happening
        return tuple(found[sequence] for sequence in sorted(found))

    @asynccontextmanager
    async def follow(self, capacity: int = FOLLOWER_CAPACITY) -> AsyncIterator[trio.MemoryReceiveChannel[Happening]]:
        """Every happening from now on, in a channel that ends with the block.

        For a follower that is too slow the oldest that wait are lost: it sees a gap in `sequence`, and what it reads
        then is the newest there is.
        """
        follower = _Follower(*trio.open_memory_channel[Happening](capacity))
        receiver = follower.receive.clone()
        self._followers[id(follower)] = follower
        try:
            with receiver:
                yield receiver
        finally:
            del self._followers[id(follower)]
            follower.close()


@attrs.frozen
class _Follower:
    """Both ends of a channel; ours of the receiving one makes room when it is full."""

    send: trio.MemorySendChannel[Happening]
    receive: trio.MemoryReceiveChannel[Happening]

    def tell(self, happening: Happening) -> None:
        try:
            self.send.send_nowait(happening)
        except trio.WouldBlock:
            self.receive.receive_nowait()
            self.send.send_nowait(happening)

    def close(self) -> None:
        self.send.close()
        self.receive.close()
