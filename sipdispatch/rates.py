"""How much happens a second?  Counters that only grow, looked at now and then."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Mapping
from typing import Final, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)

WINDOW_S: Final = 10.0
"""What a rate is the mean of: long enough to count single calls, short enough to see a server stop."""


class Rates(Generic[Key]):
    """The rates of any number of counters; `look` is called about once a second."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, Mapping[Key, int]]] = deque()

    def look(self, counts: Mapping[Key, int], now: float) -> None:
        """Note how the counters stand; the mapping is kept and must not change."""
        self._seen.append((now, counts))
        while now - self._seen[0][0] > WINDOW_S:
            self._seen.popleft()

    def of(self, key: Key) -> float:
        """Events a second over the last WINDOW_S, or over as much of it as has been seen."""
        if len(self._seen) < 2:
            return 0.0
        (first, before), (last, after) = self._seen[0], self._seen[-1]
        more = max(0, after.get(key, 0) - before.get(key, 0))  # a counter may have begun anew
        return more / (last - first) if last > first else 0.0
