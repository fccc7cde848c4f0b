"""Is a function of steps called like any other, and does it say what it is?"""

from __future__ import annotations

import pytest

from dispatcher.steps import Steps, stepwise


@stepwise
def total(*numbers: int) -> Steps[int]:
    """The sum."""
    found = 0
    for number in numbers:
        found += number
        yield
    return found


def test_a_call_returns_what_the_last_step_returns() -> None:
    assert total(1, 2, 3) == 6
    assert total() == 0
    assert total.__doc__ == "The sum."


def test_nothing_is_done_before_the_first_step() -> None:
    steps = total.steps(1, 2)
    assert [*steps] == [None, None]
    with pytest.raises(StopIteration):
        next(steps)
