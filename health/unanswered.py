"""Which servers take requests and answer nothing at all?

A request that gets no answer says little: it may be lost, or of a kind that the server ignores.  A server that has
answered *nothing* for a while, although it was asked, is worth a probe at once.
"""

from __future__ import annotations

SILENCE_S = 1.0
"""Twice RFC 3261's T1: by then a client has retransmitted once."""


class Unanswered:
    """Remembers since when each target (by number) owes an answer; two dictionary operations a message."""

    __slots__ = ("_since",)

    def __init__(self) -> None:
        # In the order of time: a target is put in at its end, and never moved.
        self._since: dict[int, float] = {}

    def sent(self, number: int, now: float) -> None:
        """A target was sent a request (an ACK gets no answer and is none)."""
        self._since.setdefault(number, now)

    def answered(self, number: int) -> None:
        """It has answered something, be it provisional."""
        self._since.pop(number, None)

    def overdue(self, now: float) -> tuple[int, ...]:
        """Those that have been sent a request SILENCE_S ago or longer and have answered nothing since.

        Each is named once; its time begins anew with the next request that it is sent.
        """
        found = []
        for number, since in self._since.items():
            if now - since < SILENCE_S:
                break
            found.append(number)
        for number in found:
            del self._since[number]
        return tuple(found)
