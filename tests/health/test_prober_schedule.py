"""The prober under simulated time: when does it ask whom?"""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from health.prober import MOST_AT_ONCE
from tests.health.farm import WIRE_S, target
from tests.health.probed import core_of, farm, prober, results


def test_a_new_target_is_probed_soon_and_then_at_its_interval() -> None:
    made = farm(target(interval=60.0))
    made.run(1000.0)
    first, *times = made.times(1)
    assert first == 1000.0
    assert len(times) in (16, 17)
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert all(53.9 < gap < 66.1 for gap in gaps)
    assert len({round(gap, 3) for gap in gaps}) > 5, "each slot has its own shift"
    assert len(results(made)) == len(times) + 1


def test_new_targets_do_not_come_all_at_once() -> None:
    made = farm(*(target(number, interval=3600.0) for number in range(1, 2001)))
    made.run(3.0)
    assert len(made.sent) == 2000
    per_10_ms = Counter(int((at - 1000.0) * 100) for at, _, _ in made.sent)
    assert max(per_10_ms.values()) <= 12


def test_ten_thousand_targets_make_no_burst_from_the_first_moment_on() -> None:
    """At an interval of 1 s: no 10 ms have more than twice the mean, and nobody waits for longer than 1.1 s."""
    numbers = random.Random(7).sample(range(1, 2**32), 10_000)
    made = farm(*(target(number, address=("198.51.100.1", 5060)) for number in numbers))
    made.run(2.5)
    bins = Counter(int((at - 1000.0) * 100) for at, _, _ in made.sent)
    assert len(bins) == 250
    assert max(bins.values()) <= 2 * 100
    last = dict.fromkeys(numbers, 1000.0)
    for at, goal, _ in made.sent:
        assert at - last[goal.number] <= 1.1 + 2 * WIRE_S
        last[goal.number] = at
    assert min(last.values()) >= made.now - 1.1 - 2 * WIRE_S


@given(st.integers(1, 2**30), st.floats(0, 1e6), st.sampled_from([0.2, 1.0, 5.0]))
@settings(max_examples=10, deadline=None)
def test_many_targets_are_spread_evenly_and_none_is_starved(seed: int, now: float, interval: float) -> None:
    """A twentieth of the interval never has more than twice its mean, besides the new ones; later hardly more."""
    numbers = random.Random(seed).sample(range(1, 2**32), 2000)
    targets = [target(number, address=("198.51.100.1", 5060), interval=interval) for number in numbers]
    made = farm(*targets, now=now)
    made.run(3 * interval)
    window = interval / 20
    bins = Counter(int((at - now) / window) for at, _, _ in made.sent)
    new_a_window = window / 0.001
    assert max(bins.values()) <= 2 * len(numbers) * window / interval + new_a_window
    assert max(count for turn, count in bins.items() if turn >= 30) <= 1.5 * len(numbers) * window / interval
    per_target = Counter(goal.number for _, goal, _ in made.sent)
    assert set(per_target) == set(numbers)
    assert set(per_target.values()) <= {2, 3, 4, 5}


def test_a_target_that_stays_keeps_its_schedule() -> None:
    made, other = farm(target(1), target(2)), farm(target(1), target(2))
    made.run(3.3)
    other.run(3.3)
    for each in (target(1), target(3), target(2, rise=3)):
        core_of(made).set_target(each, made.now)
    made.run(3.0)
    other.run(3.0)
    assert made.times(1) == other.times(1)
    assert made.times(2) == other.times(2)
    assert made.times(3)


def test_a_probe_under_way_outlives_a_reload() -> None:
    made = farm(target(), one_way_s=0.05)
    made.run(0.01)
    core_of(made).set_target(target(interval=9.0), made.now)
    made.run(1.0)
    assert [result.ok for result in results(made)] == [True]


def test_a_shorter_interval_counts_at_once_and_a_longer_one_from_the_next_probe_on() -> None:
    made = farm(target(interval=1000.0))
    made.run(1.0)
    core_of(made).set_target(target(interval=1.0), made.now)
    made.run(3.0)
    assert len(made.sent) in (3, 4, 5)
    due = core_of(made).get_timer()
    core_of(made).set_target(target(interval=1000.0), made.now)
    assert core_of(made).get_timer() == due
    count = len(made.sent)
    made.run(100.0)
    assert len(made.sent) == count + 1 or made.times(1)[-1] - made.times(1)[-2] > 100


def test_a_probe_says_what_the_list_says_now() -> None:
    made = farm(target())
    made.run(2.0)
    core_of(made).set_target(target(from_uri="sip:edge@example.com"), made.now)
    count = len(made.sent)
    made.run(2.0)
    assert b"sip:edge@" not in made.sent[count - 1][2]
    assert b"From: <sip:edge@example.com>;tag=" in made.sent[count][2]


def test_a_target_that_leaves_is_probed_no_more() -> None:
    made = farm(target(1), target(2), one_way_s=0.05)
    made.run(0.06)
    assert len(made.sent) == 2
    core_of(made).remove(1)
    core_of(made).remove(77)
    made.run(3.0)
    assert made.times(1) == [1000.0]
    assert {result.number for result in results(made)} == {2}
    core_of(made).remove(2)
    assert core_of(made).get_timer() == math.inf


def test_what_is_not_probed_is_never_asked() -> None:
    made = farm(target(1, probed=False), target(2))
    core_of(made).probe_now(1, made.now)
    made.run(3.0)
    assert made.times(1) == []
    for each in (target(1), target(2, probed=False)):
        core_of(made).set_target(each, made.now)
    before = len(made.times(2))
    made.run(3.0)
    assert len(made.times(1)) in (3, 4)
    assert len(made.times(2)) == before


def test_a_probe_in_the_outbox_is_not_sent_to_what_is_no_target_any_more() -> None:
    core = prober()
    for number in (1, 2, 3):
        core.set_target(target(number), 0.0)
    core.handle_timer(10.0 - 10.0)
    core.handle_timer(0.01)
    core.remove(1)
    core.set_target(target(2, probed=False), 0.01)
    assert [goal.number for goal, _ in core.datagrams_to_send(0.01)] == [3]


def test_not_more_is_done_at_once_than_is_asked_for() -> None:
    core = prober()
    for number in range(1, 401):
        core.set_target(target(number, interval=1000.0), 0.0)
    for _ in range(5):
        core.handle_timer(0.3)  # all first probes are late, and excused
    core.handle_timer(2000.0)
    assert core.get_timer() < 2000.0
    assert len(core.datagrams_to_send(2000.0, 100)) == 100
    assert len(core.datagrams_to_send(2000.0)) == MOST_AT_ONCE - 100
    assert core.datagrams_to_send(2000.0) == []


# Asked for at once


def test_a_probe_that_is_wanted_now_is_sent_now() -> None:
    made = farm(target(interval=1000.0))
    made.run(10.0)
    core_of(made).probe_now(1, made.now)
    core_of(made).probe_now(1, made.now)
    core_of(made).probe_now(99, made.now)
    made.run(10.0)
    assert made.times(1) == [1000.0, 1010.0]


def test_a_probe_that_is_wanted_now_follows_the_one_under_way() -> None:
    made = farm(target(interval=1000.0), one_way_s=0.05)
    made.run(0.02)
    core_of(made).probe_now(1, made.now)
    assert not core_of(made).probe_by(1, made.now + 1.0), "sooner is wanted already"
    made.run(10.0)
    assert made.times(1) == pytest.approx([1000.0, 1000.1])


def test_a_probe_that_is_due_sooner_is_not_put_off() -> None:
    made = farm(target())
    made.run(0.5)
    assert not core_of(made).probe_by(1, made.now + 5.0)


def test_a_probe_on_its_way_out_is_soon_enough() -> None:
    core = prober()
    core.set_target(target(), 0.0)
    core.handle_timer(0.0)
    assert not core.probe_by(1, 0.0)
    assert len(core.datagrams_to_send(0.0)) == 1


def test_many_that_are_wanted_now_make_no_burst() -> None:
    made = farm(*(target(number, interval=1000.0) for number in range(1, 1001)))
    made.run(10.0)
    count = len(made.sent)
    for number in range(1, 1001):
        core_of(made).probe_now(number, made.now)
    made.run(0.2)
    times = [at - 1010.0 for at, _, _ in made.sent[count:]]
    assert len(times) == 1000
    assert max(times) < 0.11
    assert max(Counter(int(at * 1000) for at in times).values()) <= 11
