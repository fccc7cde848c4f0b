"""The times that follow from what a node is told, against the numbers of the RFCs."""

from __future__ import annotations

import itertools

import pytest

from vrrp.parameters import FIT, MOST, REFRESH_S, Parameters, active_down, rank, skew, unfit, useless

SKEWS = [
    # version, priority, interval, seconds
    (3, 254, 1.0, 0.0078125),
    (3, 150, 1.0, 0.4140625),
    (3, 100, 1.0, 0.609375),
    (3, 100, 0.01, 0.00609375),
    (2, 100, 1.0, 0.609375),
    (2, 100, 0.01, 0.609375),
    (2, 254, 40.0, 0.0078125),
]


@pytest.mark.parametrize(("version", "priority", "interval", "seconds"), SKEWS)
def test_the_skew_follows_the_interval_in_version_3_alone(
    version: int, priority: int, interval: float, seconds: float
) -> None:
    assert skew(version, priority, interval) == pytest.approx(seconds)
    assert active_down(version, priority, interval) == pytest.approx(3 * interval + seconds)


LEASES = [
    # interval, version, priority, seconds
    (0.01, 3, 100, 2.0),
    (0.1, 3, 254, 2.0),
    (0.3, 3, 100, 3.0),
    (1.0, 3, 100, 5.0),
    (1.0, 2, 254, 5.0),
    (0.55, 3, 100, 4.0),
    (40.95, 3, 254, 125.0),
]


@pytest.mark.parametrize(("interval", "version", "priority", "seconds"), LEASES)
def test_the_lease_outlives_the_down_interval(interval: float, version: int, priority: int, seconds: float) -> None:
    p = Parameters(address="192.0.2.1", priority=priority, interval=interval, version=version)
    assert p.lease == seconds
    # The kernel is told a second less, and the agent may be killed just before it is told again.
    assert p.lease - 1.0 - REFRESH_S >= active_down(version, priority, interval)


def test_unfit_priorities_are_below_the_fit_ones_and_keep_their_order() -> None:
    found = [unfit(priority) for priority in range(FIT, MOST + 1)]
    assert (found[0], found[-1]) == (38, 99)
    assert all(lower <= higher for lower, higher in itertools.pairwise(found))


def test_who_can_take_no_call_is_below_all_others_and_in_order_too() -> None:
    found = [useless(priority) for priority in range(FIT, MOST + 1)]
    assert (found[0], found[-1]) == (14, 37)
    assert found[-1] < unfit(FIT)
    assert all(lower <= higher for lower, higher in itertools.pairwise(found))


def test_addresses_rank_as_numbers() -> None:
    assert rank("192.0.2.9") < rank("192.0.2.10") < rank("192.0.10.1")
    assert rank("fe80::9%eth0") < rank("fe80::10%eth1")
