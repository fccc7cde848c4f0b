"""What do the results of the probes, one after the other, say about a target?

    up       first failure -> suspect             `fall` failures in a row, since the last good probe -> down
    suspect  one good probe -> up                 `fall` failures in a row -> down
    down     `rise` good probes in a row -> up    a failure begins the count anew

What real traffic says is not counted here: it only makes a target suspect or down before the probes do.
"""

from __future__ import annotations

from typing import assert_never

import attrs

from health.board import Verdict
from health.target import Target


@attrs.frozen
class Trend:
    """A verdict and how many results in a row speak against it: failures, or good probes when it is down."""

    verdict: Verdict = Verdict.UP
    run: int = 0


UP = Trend(Verdict.UP)
DOWN = Trend(Verdict.DOWN)


def step(trend: Trend, *, ok: bool, target: Target) -> Trend:
    """The trend after one more result of this target."""
    run = trend.run + 1
    match trend.verdict:
        case Verdict.UP | Verdict.SUSPECT:
            if ok:
                return UP
            return DOWN if run >= target.fall else Trend(Verdict.SUSPECT, run)
        case Verdict.DOWN:
            if not ok:
                return DOWN
            return UP if run >= target.rise else Trend(Verdict.DOWN, run)
    assert_never(trend.verdict)
