"""Many probes come to a loss, round trips and runs; the gravest decides."""

from __future__ import annotations

import itertools

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from health.report import Result
from sipdispatch.probe_tally import EXIT_STATUS, REMEMBERED, Tally, graver, gravest
from tests.sipdispatch.probe_reports import BUSY, GOOD, LOST, NAMELESS, OTHER, tally


def test_nothing_comes_to_nothing() -> None:
    empty = Tally("a")
    assert (empty.sent, empty.loss_percent, empty.round_trips(), empty.worst, empty.last) == (0, 0.0, None, None, None)


def test_counts_and_loss() -> None:
    found = tally(GOOD, LOST, BUSY)
    assert (found.sent, found.answered, found.ok, found.retransmits, found.strays) == (3, 2, 1, 3, 0)
    assert found.loss_percent == pytest.approx(100 / 3)
    assert found.last is BUSY
    assert found.worst is Result.TIMEOUT


def test_runs() -> None:
    assert (tally(GOOD, GOOD).rise, tally(GOOD, GOOD).fall) == (2, 0)
    assert (tally(GOOD, LOST, BUSY).rise, tally(GOOD, LOST, BUSY).fall) == (0, 2)
    assert tally(LOST, GOOD).rise == 1


def test_round_trips_as_ping_prints_them() -> None:
    trips = tally(GOOD, LOST, BUSY).round_trips()
    assert trips is not None
    assert attrs.astuple(trips) == pytest.approx((0.84, 0.875, 0.91, 0.035, 0.875, 0.9065, 0.9093))


@given(st.lists(st.floats(0.0, 1e6), min_size=1, max_size=50))
def test_round_trips_are_in_order(values: list[float]) -> None:
    trips = tally(*(attrs.evolve(GOOD, rtt_ms=value) for value in values)).round_trips()
    assert trips is not None
    assert trips.min <= trips.p50 <= trips.p95 <= trips.p99 <= trips.max
    assert trips.min * 0.999 <= trips.avg <= trips.max * 1.001
    assert trips.mdev >= 0


def test_a_long_run_keeps_the_last_round_trips_only() -> None:
    found = tally(*(attrs.evolve(GOOD, rtt_ms=1.0) for _ in range(10)))
    assert found._recent.maxlen == REMEMBERED


def test_every_result_has_an_exit_status() -> None:
    assert set(EXIT_STATUS) == set(Result)


def test_the_gravest_decides() -> None:
    assert gravest([]) == 0
    assert gravest([0, 32]) == 32
    assert gravest([1, 32, 0]) == 1
    assert gravest([1, 3, 32]) == 3
    assert gravest([3, 2, 1]) == 2
    for one, other in itertools.product(Result, Result):
        worse = EXIT_STATUS[graver(one, other)]
        assert worse == gravest([EXIT_STATUS[one], EXIT_STATUS[other]])
    assert tally(OTHER, GOOD).worst is Result.NO_MATCH
    assert tally(LOST, NAMELESS, LOST).worst is Result.DNS
