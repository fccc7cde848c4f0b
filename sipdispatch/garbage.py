"""When does the interpreter look for cycles of garbage, so that no packet waits for it?

It looks through all that lives, which with a list of 10,000 destinations takes a tenth of a second.  The values that a
list becomes hold no cycles and are freed by their counts alone, so they need not be looked at: not while they are made,
and, frozen, not afterwards.

What is frozen beside them stays for ever if it is a cycle and its time comes, as that of a connection or of a task
does.  So what is garbage already is taken away before, and a short list, which is soon looked through, is not frozen.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

THRESHOLD = 20_000
"""New objects between two looks: the packet path makes no cycles, and 700 means a look every tenth packet."""
FEW = 25_000
"""Objects, of some 750 destinations, that are looked through in 12 ms: 270,000 took 130."""


class Garbage:
    """Sets the interpreter's collector; there is one such interpreter, so make one of these."""

    def __init__(self) -> None:
        gc.set_threshold(THRESHOLD)
        self._building = 0
        self._begun = False

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """No look while the block is open, and none ever at what lives at its end, if that is much or the first."""
        if not self._building:
            gc.collect()  # what is frozen is no part of it: this is short
        self._building += 1
        gc.disable()
        try:
            yield
        finally:
            self._building -= 1
            if not self._building:
                # Not by gc.get_count, from which the old list has been taken off when it was freed meanwhile.
                if not self._begun or len(gc.get_objects()) > FEW:
                    gc.freeze()
                self._begun = True
                gc.enable()
