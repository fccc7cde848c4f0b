"""Does the share of who comes back grow evenly, from little to all?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.selection import FULL_SHARE
from dispatcher.slowstart import LEAST_SHARE, ramp_of


@pytest.mark.parametrize(
    ("back_since", "now", "duration", "ramp"),
    [
        (None, 5.0, 10.0, 255),
        (5.0, 5.0, 0.0, 255),
        (5.0, 5.0, 10.0, LEAST_SHARE),
        (5.0, 4.0, 10.0, LEAST_SHARE),
        (5.0, 10.0, 10.0, 127),
        (5.0, 14.99, 10.0, 254),
        (5.0, 15.0, 10.0, 255),
        (0.0, 1.0, 10.0, 25),
    ],
)
def test_the_share_is_that_of_the_time_that_has_passed(
    back_since: float | None, now: float, duration: float, ramp: int
) -> None:
    assert ramp_of(back_since, now, duration) == ramp


@given(st.floats(0, 1e6), st.floats(0.001, 3600), st.floats(0, 1), st.floats(0, 1))
def test_it_never_shrinks(back_since: float, duration: float, one: float, other: float) -> None:
    early, late = sorted((one, other))
    ramps = [ramp_of(back_since, back_since + part * duration, duration) for part in (early, late, 1.001)]
    assert ramps == sorted(ramps)
    assert ramps[0] >= LEAST_SHARE
    assert ramps[-1] == FULL_SHARE
