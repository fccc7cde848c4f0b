"""Slots of one's own, spread evenly; and a timetable that is a dictionary with an order."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from health.schedule import JITTER, Timetable, slot_after

NUMBERS = st.integers(1, 2**32 - 1)
INTERVALS = st.floats(0.1, 3600)
MOMENTS = st.floats(0, 1e7)


@given(NUMBERS, INTERVALS, MOMENTS)
def test_the_next_slot_is_later_and_at_most_an_interval_and_its_jitter_away(
    number: int, interval: float, now: float
) -> None:
    slot = slot_after(number, interval, now)
    assert now < slot <= now + interval * (1 + JITTER) + 1e-6
    # It does not depend on when it was asked for.
    between = now + (slot - now) / 2
    assert slot_after(number, interval, between) == slot or between == slot


@given(NUMBERS, INTERVALS, MOMENTS)
def test_slots_follow_each_other_at_the_interval(number: int, interval: float, now: float) -> None:
    slots = [now]
    for _ in range(20):
        slots.append(slot_after(number, interval, slots[-1]))
    gaps = [later - earlier for earlier, later in itertools.pairwise(slots[1:])]
    assert all((1 - JITTER) * interval - 1e-6 <= gap <= (1 + JITTER) * interval + 1e-6 for gap in gaps)
    assert sum(gaps) == pytest.approx(19 * interval, abs=JITTER * interval + 1e-3)


def test_the_slots_of_a_target_shift() -> None:
    at, phases = 0.0, set()
    for _ in range(10):
        at = slot_after(5, 1.0, at)
        phases.add(round(at % 1.0, 6))
    assert len(phases) == 10


@pytest.mark.parametrize("numbers", [range(1, 10_001), random.Random(1).sample(range(1, 2**32), 10_000)])
def test_many_targets_are_spread_evenly(numbers: list[int]) -> None:
    bins = Counter(int(slot_after(number, 1.0, 100.0) % 1.0 * 100) for number in numbers)
    assert len(bins) == 100
    assert max(bins.values()) < 150


def test_a_heap_full_of_entries_that_have_moved_is_made_anew() -> None:
    table = Timetable()
    for moment in range(10_000, 0, -1):
        table.set(moment % 3, moment)
    assert len(table._heap) <= 2 * 3 + 64
    assert [table.pop(math.inf) for _ in range(4)] == [(1, 1), (2, 2), (0, 3), None]


class TimetableMachine(RuleBasedStateMachine):
    """Against a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.table = Timetable()
        self.model: dict[int, float] = {}

    @rule(number=st.integers(1, 6), due=st.integers(0, 30))
    def set(self, number: int, due: int) -> None:
        self.table.set(number, due)
        self.model[number] = due

    @rule(number=st.integers(1, 6))
    def discard(self, number: int) -> None:
        self.table.discard(number)
        self.model.pop(number, None)

    @rule(now=st.integers(0, 30))
    def pop(self, now: int) -> None:
        popped = self.table.pop(now)
        if popped is None:
            assert all(due > now for due in self.model.values())
        else:
            number, due = popped
            assert due == min(self.model.values()) <= now
            assert self.model.pop(number) == due

    @invariant()
    def agree(self) -> None:
        assert self.table.next() == min(self.model.values(), default=math.inf)
        for number in range(1, 7):
            assert (number in self.table) is (number in self.model)
            assert self.table.get(number) == self.model.get(number, math.inf)


TestTimetable = TimetableMachine.TestCase
