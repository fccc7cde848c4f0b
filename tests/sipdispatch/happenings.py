"""Happenings for the tests of those who are told of them."""

from __future__ import annotations

import itertools

from sipdispatch.happening import Happening, Kind

EPOCH = 1_700_000_000.0
"""Unix time when a test's own clock shows 0."""
_sequence = itertools.count(1)


def happening(
    after: str,
    *,
    before: str = "up",
    number: int = 1,
    kind: Kind = "verdict",
    now: float = 0.0,
    cause: str = "2 probes unanswered",
    set_id: int | None = 1,
) -> Happening:
    about = number != 0
    return Happening(
        sequence=next(_sequence),
        at=EPOCH + now,
        kind=kind,
        before=before,
        after=after,
        cause=cause,
        set_id=set_id if about else None,
        uri=f"sip:10.0.0.{number}:5060" if about else "",
        address=f"10.0.0.{number}:5060" if about else "",
        number=number,
    )
