"""The average forgets, the histogram does not."""

from __future__ import annotations

import bisect
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from health.latency import ALPHA, BUCKETS_S, Histogram, smoothed

SECONDS = st.floats(0, 10, allow_nan=False)


def test_the_first_sample_is_the_value() -> None:
    assert smoothed(None, 0.25) == 0.25


def test_a_sample_moves_the_value_by_a_tenth_of_the_difference() -> None:
    assert smoothed(0.1, 0.2) == pytest.approx(0.11)


@given(SECONDS, st.lists(SECONDS, max_size=50))
def test_the_value_stays_between_the_samples(first: float, others: list[float]) -> None:
    value = smoothed(None, first)
    for sample in others:
        value = smoothed(value, sample)
    assert min([first, *others]) - 1e-9 <= value <= max([first, *others]) + 1e-9


def test_the_value_forgets() -> None:
    value = 1.0
    for _ in range(100):
        value = smoothed(value, 0.0)
    assert value == pytest.approx((1 - ALPHA) ** 100)


def test_bounds_rise() -> None:
    assert all(low < high for low, high in itertools.pairwise(BUCKETS_S))


def test_a_bound_is_included() -> None:
    histogram = Histogram()
    for seconds in (0.001, 0.0010001, 5.0, 6.0):
        histogram.observe(seconds)
    assert histogram.cumulative() == (1, 2, *[2] * 9, 3, 4)


@given(st.lists(SECONDS, max_size=50))
def test_counts_are_cumulative(samples: list[float]) -> None:
    histogram = Histogram()
    for sample in samples:
        histogram.observe(sample)
    ordered = sorted(samples)
    expected = [bisect.bisect_right(ordered, bound) for bound in BUCKETS_S]
    assert histogram.cumulative() == (*expected, len(samples))
    assert histogram.count == len(samples)
    assert histogram.total == pytest.approx(sum(samples))


@given(st.lists(SECONDS, max_size=20), st.lists(SECONDS, max_size=20))
def test_two_histograms_make_one_of_all_samples(ours: list[float], theirs: list[float]) -> None:
    one, other, both = Histogram(), Histogram(), Histogram()
    for histogram, samples in ((one, ours), (other, theirs), (both, ours + theirs)):
        for sample in samples:
            histogram.observe(sample)
    cumulative = other.cumulative()
    counts = [count - before for before, count in zip((0, *cumulative), cumulative, strict=False)]
    sum_of_both = one.plus(counts, other.total)
    assert sum_of_both.cumulative() == both.cumulative()
    assert sum_of_both.total == pytest.approx(both.total)
