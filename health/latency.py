"""How long do answers take: lately, and all in all?"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

ALPHA = 0.1
"""Weight of the newest sample: ten samples make two thirds of the value."""

BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Upper bounds, included, in seconds: from a server in the same rack to a transaction that is nearly given up."""


def smoothed(before: float | None, sample: float) -> float:
    """The exponentially weighted moving average after one more sample; the first sample is the value."""
    return sample if before is None else before + ALPHA * (sample - before)


class Histogram:
    """Samples in seconds, counted by BUCKETS_S."""

    __slots__ = ("_counts", "total")

    def __init__(self) -> None:
        self._counts = [0] * (len(BUCKETS_S) + 1)
        self.total = 0.0
        """The sum of the samples."""

    def observe(self, seconds: float) -> None:
        self._counts[bisect_left(BUCKETS_S, seconds)] += 1
        self.total += seconds

    def plus(self, counts: Sequence[int], total: float) -> Histogram:
        """Both together: `counts` are another's samples by bucket, `total` is their sum."""
        both = Histogram()
        both._counts = [own + other for own, other in zip(self._counts, counts, strict=True)]
        both.total = self.total + total
        return both

    @property
    def count(self) -> int:
        """How many samples there are."""
        return sum(self._counts)

    def cumulative(self) -> tuple[int, ...]:
        """For each of BUCKETS_S, and then for infinity, how many samples were not above it, as Prometheus has it."""
        return tuple(accumulate(self._counts))
