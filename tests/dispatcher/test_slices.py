"""Do the others have their turn while something long is computed?"""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial

import pytest
import trio

from dispatcher.slices import LONG_SLICE_S, in_slices

STEPS = 100


def clock_of(step_s: float) -> Callable[[], float]:
    """A clock that goes on by so much at each look."""
    moments = (number * step_s for number in range(100_000))
    return partial(next, moments)


@pytest.mark.parametrize(("step_s", "turns"), [(LONG_SLICE_S / 10, 10), (LONG_SLICE_S * 2, STEPS), (0.0, 0)])
async def test_others_have_a_turn_after_each_slice(step_s: float, turns: int) -> None:
    taken = 0

    def steps() -> Generator[None, None, str]:
        for _ in range(STEPS):
            yield
        return "done"

    async def take_turns() -> None:
        nonlocal taken
        while True:
            await trio.lowlevel.checkpoint()
            taken += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take_turns)
        assert await in_slices(steps(), clock_of(step_s)) == "done"
        nursery.cancel_scope.cancel()
    assert taken == pytest.approx(turns, abs=2)


async def test_what_goes_wrong_in_a_step_is_not_hidden() -> None:
    def steps() -> Generator[None, None, None]:
        yield
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await in_slices(steps())
