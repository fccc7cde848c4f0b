"""May this be logged now, or has its source, or have all sources together, been written about enough?

Whoever can make a program write a line can fill its disk: there is a limit for each source and one for all of them.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from ipaddress import IPv6Address, ip_network

INTERVAL_S = 60.0
LINES_AN_INTERVAL = 20
"""For all sources together."""
MAX_SOURCES = 4096


class LogBudget:
    """Remembers who has been written about in the last minute; a bounded number of sources.

    An IPv6 source is its /64: that is what one customer has (RFC 6177).
    """

    def __init__(self) -> None:
        self._last: OrderedDict[str, float] = OrderedDict()
        self._lines: deque[float] = deque(maxlen=LINES_AN_INTERVAL)
        self._kept_back = 0

    def spend(self, host: str, now: float) -> int | None:
        """How many lines have been kept back since the last one that was allowed, None to keep this one back too.

        `host` is a numeric address or a name.
        """
        source = str(ip_network(IPv6Address(host).packed).supernet(new_prefix=64)) if ":" in host else host
        last = self._last.get(source)
        if (last is not None and now < last + INTERVAL_S) or (
            len(self._lines) == LINES_AN_INTERVAL and now < self._lines[0] + INTERVAL_S
        ):
            self._kept_back += 1
            return None
        self._last[source] = now
        self._last.move_to_end(source)
        if len(self._last) > MAX_SOURCES:
            self._last.popitem(last=False)
        self._lines.append(now)
        kept_back, self._kept_back = self._kept_back, 0
        return kept_back
