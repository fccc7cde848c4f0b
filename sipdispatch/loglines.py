"""How do log lines reach standard error while nobody who has a call to forward waits for it, or fails with it?"""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

MAX_LINES: Final = 1000
"""Lines that wait for a slow reader: with 200 octets each, 200 KB."""
LAST_WAIT_S: Final = 1.0
"""How long the end waits for a reader that is stuck."""


class LogLines:
    """A queue of lines and the thread that writes them; what does not fit or cannot be written is dropped and counted.

    `write` is called in the thread with a whole line, and raises OSError or ValueError when that cannot be written.
    `tell_lost` makes the line that says how many lines were lost; it is written, where they are missing, as soon as
    writing works again.
    """

    def __init__(
        self, write: Callable[[str], None], tell_lost: Callable[[int], str], *, max_lines: int = MAX_LINES
    ) -> None:
        self._write = write
        self._tell_lost = tell_lost
        self._max_lines = max_lines
        self._changed = threading.Condition()
        # Each with the number of lines that were dropped between the one before and it.
        self._waiting: deque[tuple[int, str]] = deque()
        self._dropped = 0
        self._ending = False
        self._thread = threading.Thread(target=self._write_all, name="log", daemon=True)
        self._thread.start()

    def put(self, line: str) -> None:
        """Have a line written; never waits for the reader and never raises."""
        with self._changed:
            if len(self._waiting) >= self._max_lines or self._ending:
                self._dropped += 1
                return
            self._waiting.append((self._dropped, line))
            self._dropped = 0
            self._changed.notify()

    def finish(self, wait_s: float = LAST_WAIT_S) -> None:
        """Have what waits written, for so long at most; lines that come later are dropped."""
        with self._changed:
            self._ending = True
            self._changed.notify()
        self._thread.join(wait_s)

    def _write_all(self) -> None:
        lost = 0
        while True:
            with self._changed:
                while not self._waiting and not self._dropped and not self._ending:
                    self._changed.wait()
                if self._waiting:
                    dropped, line = self._waiting.popleft()
                else:
                    dropped, line = self._dropped, None
                    self._dropped = 0
                    if not dropped and not lost:
                        return
            lost += dropped
            if lost and self._attempt(self._tell_lost(lost)):
                lost = 0
            if line is None:
                if self._ending:
                    return
            elif lost or not self._attempt(line):
                lost += 1

    def _attempt(self, line: str) -> bool:
        try:
            self._write(line)
        except (OSError, ValueError):
            # A reader that went away, a full disk, a stream that was closed: there is nowhere to say it.
            return False
        return True


class Descriptor:
    """A file, pipe or terminal that lines are written to by its number; call it with a line, which may raise OSError.

    It passes by Python's own buffer, which would try the same line again after a failure, also while the interpreter
    ends.
    """

    def __init__(self, number: int, encoding: str) -> None:
        self._number = number
        self._encoding = encoding
        self._torn = False

    def __call__(self, line: str) -> None:
        """Write a line; after one that could be written in part only, on a line of its own."""
        text = ("\n" if self._torn else "") + line + "\n"
        octets = text.encode(self._encoding, errors="backslashreplace")
        left = memoryview(octets)
        try:
            while left:
                left = left[self._write_some(left) :]
        except OSError:
            self._torn = self._torn or len(left) < len(octets)
            raise
        self._torn = False

    def _write_some(self, left: memoryview) -> int:
        while True:
            try:
                return os.write(self._number, left)
            except BlockingIOError:
                # Whoever shares the open file with us may have made it non-blocking for all.
                poll = select.poll()
                poll.register(self._number, select.POLLOUT)
                poll.poll()
