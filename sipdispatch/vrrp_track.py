"""What does whoever asks a track tell of it?"""

from __future__ import annotations

from typing import Final, Protocol

from sipdispatch.printable import printable

DETAIL_LENGTH: Final = 200
"""Letters of a detail: it stands in status, in the log and in the cause of a transition."""


class Say(Protocol):
    """Takes one result: whether all is well, and for people, what was seen."""

    def __call__(self, *, ok: bool, detail: str) -> None: ...


def first_line(text: str) -> str:
    """The first line that is not empty of what somebody else has written, fit to be shown."""
    line = next(filter(None, map(str.strip, text.split("\n"))), "")
    # Cut first, too: what is hidden in a line that is not printable is four letters long.
    line = printable(line[:DETAIL_LENGTH])
    return line if len(line) <= DETAIL_LENGTH else line[: DETAIL_LENGTH - 3] + "..."
