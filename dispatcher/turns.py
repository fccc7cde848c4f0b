"""Whose turn is it to be looked up, so that a slow domain does not keep the names of the others waiting?"""

from __future__ import annotations

from collections import Counter

import attrs
import trio

MAX_TURNS = 32
"""Names under way at once; a PBX that dials made-up domains cannot make more."""
MAX_TURNS_OF_PARENT = 8
"""Of those, names that end in the same two labels: they most likely have the same name servers."""
MAX_WAITING = 256
MAX_WAITING_OF_PARENT = 64
MAX_WAIT_S = 5.0
"""How long a name waits for its turn.  With the look-up's own 5 s, a phone has sent its request for the fifth time."""


@attrs.define(eq=False)
class _Waiter:
    parent: str
    called: trio.Event = attrs.field(factory=trio.Event)


class Turns:
    """Turns for names; those who wait are called in the order in which they came, past those whose parent is busy."""

    def __init__(
        self,
        *,
        max_turns: int = MAX_TURNS,
        max_turns_of_parent: int = MAX_TURNS_OF_PARENT,
        max_waiting: int = MAX_WAITING,
        max_waiting_of_parent: int = MAX_WAITING_OF_PARENT,
    ) -> None:
        self._max_turns = max_turns
        self._max_turns_of_parent = max_turns_of_parent
        self._max_waiting = max_waiting
        self._max_waiting_of_parent = max_waiting_of_parent
        self._taken: Counter[str] = Counter()
        self._waiting: list[_Waiter] = []

    async def take(self, host: str) -> bool:
        """Wait for a turn, which the caller gives back; False when too many wait, or it has not come in MAX_WAIT_S."""
        parent = parent_of(host)
        if self._has_room(parent):
            self._taken[parent] += 1
            return True
        waiting_too = sum(1 for waiter in self._waiting if waiter.parent == parent)
        if len(self._waiting) >= self._max_waiting or waiting_too >= self._max_waiting_of_parent:
            return False
        waiter = _Waiter(parent)
        self._waiting.append(waiter)
        try:
            with trio.move_on_after(MAX_WAIT_S):
                await waiter.called.wait()
        except trio.Cancelled:
            if waiter.called.is_set():
                self.give_back(host)
            raise
        finally:
            if not waiter.called.is_set():
                self._waiting.remove(waiter)
        return waiter.called.is_set()

    def give_back(self, host: str) -> None:
        """End a turn, and call the first who may have one now."""
        parent = parent_of(host)
        self._taken[parent] -= 1
        if not self._taken[parent]:
            del self._taken[parent]
        for waiter in self._waiting:
            if self._has_room(waiter.parent):
                self._waiting.remove(waiter)
                self._taken[waiter.parent] += 1
                waiter.called.set()
                return

    def _has_room(self, parent: str) -> bool:
        return self._taken.total() < self._max_turns and self._taken[parent] < self._max_turns_of_parent


def parent_of(host: str) -> str:
    """The last two labels; "" for a single label, which the search list of resolv.conf completes."""
    labels = host.rsplit(".", 2)
    return ".".join(labels[-2:]) if len(labels) > 1 else ""
