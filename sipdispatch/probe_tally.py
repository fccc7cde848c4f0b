"""What do many probes of one target come to: loss, round trips, runs of success and failure?"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import attrs

from health.report import ProbeReport, Result

REMEMBERED = 100_000
"""Round trips that percentiles are taken of: the last ones, so that a probe that runs for a year needs no more."""


@attrs.frozen(kw_only=True)
class RoundTrips:
    """In milliseconds; `mdev` is the standard deviation, as ping's."""

    min: float
    avg: float
    max: float
    mdev: float
    p50: float
    p95: float
    p99: float


@attrs.define
class Tally:
    """The probes of one target so far."""

    target: str
    sent: int = 0
    answered: int = 0
    ok: int = 0
    retransmits: int = 0
    strays: int = 0
    rise: int = 0
    """Good probes in a row, up to the last one."""
    fall: int = 0
    """Failed probes in a row, up to the last one."""
    last: ProbeReport | None = None
    worst: Result | None = None
    _sum: float = 0.0
    _squares: float = 0.0
    _least: float = math.inf
    _most: float = 0.0
    _timed: int = 0
    _recent: deque[float] = attrs.field(factory=lambda: deque(maxlen=REMEMBERED))

    def add(self, report: ProbeReport) -> None:
        """Count one more."""
        good = report.result is Result.OK
        self.sent += 1
        self.answered += report.result.answered
        self.ok += good
        self.retransmits += report.retransmits
        self.strays += report.strays
        self.rise = self.rise + 1 if good else 0
        self.fall = 0 if good else self.fall + 1
        self.last = report
        self.worst = report.result if self.worst is None else graver(self.worst, report.result)
        rtt = report.rtt_ms
        if rtt is not None:
            self._timed += 1
            self._sum += rtt
            self._squares += rtt * rtt
            self._least = min(self._least, rtt)
            self._most = max(self._most, rtt)
            self._recent.append(rtt)

    @property
    def loss_percent(self) -> float:
        """Probes without a final answer."""
        return 100.0 * (self.sent - self.answered) / self.sent if self.sent else 0.0

    def round_trips(self) -> RoundTrips | None:
        """None when nobody has answered."""
        if not self._timed:
            return None
        average = self._sum / self._timed
        recent = sorted(self._recent)
        return RoundTrips(
            min=self._least,
            avg=average,
            max=self._most,
            mdev=math.sqrt(max(self._squares / self._timed - average * average, 0.0)),
            p50=_percentile(recent, 0.50),
            p95=_percentile(recent, 0.95),
            p99=_percentile(recent, 0.99),
        )


def _percentile(ordered: Sequence[float], share: float) -> float:
    """With linear interpolation between the two nearest."""
    place = (len(ordered) - 1) * share
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


EXIT_STATUS = {
    Result.OK: 0,
    Result.STATUS: 1,
    Result.NO_MATCH: 32,
    Result.DNS: 2,
    Result.LOCAL: 2,
    Result.TIMEOUT: 3,
    Result.REFUSED: 3,
    Result.UNREACHABLE: 3,
    Result.CONNECT: 3,
    Result.MALFORMED: 3,
    Result.MISMATCH: 3,
}
"""sipsak's classes: 0 fine, 1 an answer that is not wanted, 2 a fault on this side, 3 no valid answer, 32 no match."""

GRAVITY = (0, 32, 1, 3, 2)
"""Exit statuses, the gravest last: of several probes it decides."""


def gravest(statuses: Sequence[int]) -> int:
    """The exit status of several; 0 when there is none."""
    return max(statuses, key=GRAVITY.index, default=0)


def graver(one: Result, other: Result) -> Result:
    """The one with the graver exit status, the first of two alike."""
    return other if GRAVITY.index(EXIT_STATUS[other]) > GRAVITY.index(EXIT_STATUS[one]) else one
