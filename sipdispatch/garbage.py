"""When does the interpreter look for cycles of garbage, so that no packet waits for it?

It looks through all that lives, which with a list of 10,000 destinations takes a tenth of a second.  The values that a
list becomes hold no cycles and are freed by their counts alone, so they need not be looked at: not while they are made,
and, frozen, not afterwards.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

THRESHOLD = 20_000
"""New objects between two looks: the packet path makes no cycles, and 700 means a look every tenth packet."""


class Garbage:
    """Sets the interpreter's collector; there is one such interpreter, so make one of these."""

    def __init__(self) -> None:
        gc.set_threshold(THRESHOLD)
        self._building = 0

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """No look while the block is open, and none ever at what lives at its end."""
        self._building += 1
        gc.disable()
        try:
            yield
        finally:
            self._building -= 1
            if not self._building:
                gc.freeze()
                gc.enable()
