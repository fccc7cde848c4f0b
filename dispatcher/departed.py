"""Which destinations has the list lost so lately that a request which was sent there may still be ringing?"""

from __future__ import annotations

import math
from collections.abc import Mapping

from dispatcher.destination import Destination
from dispatcher.recent import LIFETIME


class Departed:
    """Destinations by number, each for LIFETIME; `now` is in seconds of one clock that never goes back."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Destination, float]] = {}

    @property
    def destinations(self) -> dict[int, Destination]:
        """All of them, by number."""
        return {number: destination for number, (destination, _) in self._known.items()}

    @property
    def next_lapse(self) -> float:
        """When the first of them has been gone for long enough; infinity when there is none."""
        return min((until for _, until in self._known.values()), default=math.inf)

    def note(self, gone: Mapping[int, Destination], now: float) -> None:
        """These have just left."""
        for number, destination in gone.items():
            self._known[number] = (destination, now + LIFETIME)

    def lapse(self, now: float) -> list[int]:
        """Let go of those who have been gone for long enough, and say who they were; they may have come back."""
        lapsed = [number for number, (_, until) in self._known.items() if until <= now]
        for number in lapsed:
            del self._known[number]
        return lapsed
