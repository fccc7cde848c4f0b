"""A target that the network refuses is left alone for a while and then forgiven."""

import math

from health.refusals import HOLD_S, Refusals


def test_nobody_is_held_at_first() -> None:
    assert Refusals().next_expiry == math.inf
    assert not Refusals().until


def test_a_refusal_holds_until_its_time_is_over() -> None:
    held = Refusals().refused(7, now=0.0)
    assert held.expire(now=HOLD_S - 0.001) is held
    assert 7 in held.until
    assert held.expire(now=HOLD_S) == Refusals({})


def test_a_further_refusal_prolongs_the_time() -> None:
    held = Refusals().refused(7, now=0.0).refused(7, now=3.0)
    assert held.next_expiry == 3.0 + HOLD_S


def test_each_target_has_its_own_time() -> None:
    held = Refusals().refused(7, now=0.0).refused(8, now=1.0)
    assert held.next_expiry == HOLD_S
    assert set(held.expire(now=HOLD_S + 0.5).until) == {8}
