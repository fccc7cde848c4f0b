"""How is a time told to a person?"""

from __future__ import annotations

import time

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def span(seconds: float) -> str:
    """A duration in one unit, rounded down: `0 s`, `59 s`, `3 min`, `47 h`, `5 d`."""
    for size, unit in _UNITS:
        if seconds >= (2 * size if unit == "d" else size):
            return f"{int(seconds // size)} {unit}"
    return f"{max(0, int(seconds))} s"


def moment(at: float) -> str:
    """A Unix time in the zone of this process, to the second: `2026-11-23 09:45:12`."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
