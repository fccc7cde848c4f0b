"""Rise and fall: which results in a row turn a verdict."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from health.board import Verdict
from health.verdict import DOWN, UP, Trend, step
from tests.health.farm import target

SUSPECT = Trend(Verdict.SUSPECT, 1)

TABLE = [
    # rise, fall, before, ok, after
    (2, 2, UP, True, UP),
    (2, 2, UP, False, SUSPECT),
    (2, 1, UP, False, DOWN),
    (2, 2, SUSPECT, True, UP),
    (2, 2, SUSPECT, False, DOWN),
    (2, 3, SUSPECT, False, Trend(Verdict.SUSPECT, 2)),
    (2, 2, Trend(Verdict.SUSPECT, 0), False, SUSPECT),
    (2, 2, DOWN, True, Trend(Verdict.DOWN, 1)),
    (2, 2, Trend(Verdict.DOWN, 1), True, UP),
    (2, 2, Trend(Verdict.DOWN, 1), False, DOWN),
    (1, 2, DOWN, True, UP),
    (2, 2, DOWN, False, DOWN),
    # The thresholds have been lowered meanwhile.
    (2, 2, Trend(Verdict.SUSPECT, 7), False, DOWN),
    (2, 2, Trend(Verdict.DOWN, 7), True, UP),
]


@pytest.mark.parametrize(("rise", "fall", "before", "ok", "after"), TABLE)
def test_each_step(rise: int, fall: int, before: Trend, ok: bool, after: Trend) -> None:  # noqa: FBT001
    assert step(before, ok=ok, target=target(rise=rise, fall=fall)) == after


@given(st.integers(1, 5), st.integers(1, 5), st.lists(st.booleans(), max_size=60))
def test_a_flapping_target_flips_at_most_once_per_rise_or_fall_run(rise: int, fall: int, results: list[bool]) -> None:
    judged = target(rise=rise, fall=fall)
    trend, run, last = UP, 0, None
    for ok in results:
        run = run + 1 if ok is last else 1
        last = ok
        before, trend = trend, step(trend, ok=ok, target=judged)
        down, was_down = trend.verdict is Verdict.DOWN, before.verdict is Verdict.DOWN
        if down and not was_down:
            assert not ok
            assert run == fall
        if was_down and not down:
            assert ok
            assert run == rise
        if trend.verdict is Verdict.SUSPECT:
            assert 0 < trend.run < fall
