"""Choices by what is measured: how long somebody is back, how quick it is, how many calls it has."""

from __future__ import annotations

import random
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher import slots
from dispatcher.algorithm import DEFAULT, Algorithm, Kind
from dispatcher.selection import (
    FULL_SHARE,
    candidates,
    choose,
    everyone_up,
    make_pool,
)
from health.board import NEW_WORK
from tests.dispatcher.pools import (
    ALGORITHMS,
    CODES,
    DOWN,
    KEY,
    SETS,
    UP,
    WEIGHTS,
    coarse,
    destination,
    pool_of,
    shares,
    weighted,
)

# ------------------------------------------------------------------------------------------------------------------
# Coming back


def test_who_comes_back_has_the_part_of_its_share_that_its_ramp_says() -> None:
    pool = pool_of(weighted(50, 30, 20))
    rng = random.Random(4)
    digests = [rng.getrandbits(64) for _ in range(100_000)]
    live = everyone_up(3)
    for ramp, least, most in ((64, 11.8, 13.2), (128, 24.3, 25.7), (254, 49.0, 50.4)):
        found = [choose(pool, DEFAULT, key, 0, live, bytes((ramp, 255, 255))) for key in digests]
        own, second, third = shares([index or 0 for index in found], 3)
        assert least < own < most, "its weight times ramp / 256"
        assert second / third == pytest.approx(1.5, abs=0.06), "the rest is shared by weight"


@given(st.integers(0, 2**64 - 1), st.lists(st.integers(0, 255), min_size=2, max_size=2).map(sorted), ALGORITHMS)
def test_a_key_that_has_come_back_stays(key: int, ramps: list[int], algorithm: Algorithm) -> None:
    """While a share grows, keys only move toward whom it belongs to, each one once."""
    if algorithm.kind is Kind.ROUND_ROBIN:
        return  # those who stand in take turns
    pool = make_pool(1, weighted(1, 2, 3), KEY, build=coarse)
    early, late = (choose(pool, algorithm, key, 0, everyone_up(3), bytes((255, ramp, 255))) for ramp in ramps)
    assert late in (early, 1)


@given(st.integers(0, 2**64 - 1), SETS, st.binary(min_size=9, max_size=9), st.integers(0, 99), ALGORITHMS)
def test_ramps_leave_nobody_without_a_destination(
    key: int, members: list[tuple[int | None, int | None, int, int]], ramps: bytes, counter: int, algorithm: Algorithm
) -> None:
    everyone = [destination(number, weight) for number, (weight, *_) in enumerate(members)]
    live = bytes(code for *_, code in members)
    pool = make_pool(1, everyone, KEY, rankings=(), build=coarse)
    ramp = ramps[: len(members)]
    chosen = choose(pool, algorithm, key, counter, live, ramp)
    assert (chosen is None) == (choose(pool, algorithm, key, counter, live) is None)
    if chosen is None:
        return
    assert live[chosen] & NEW_WORK
    takes = [index for index in candidates(pool, key, live, algorithm.table) if _takes(ramp[index], key)]
    assert not takes or _takes(ramp[chosen], key), "who has not reached this key takes it only when nobody has"
    if algorithm.in_order:
        assert chosen == (takes or list(candidates(pool, key, live, algorithm.table)))[0]


def _takes(ramp: int, key: int) -> bool:
    return ramp == FULL_SHARE or (key >> 48 & 0xFF) < ramp


@given(st.integers(0, 2**64 - 1), st.permutations(range(5)), st.binary(min_size=5, max_size=5))
def test_two_nodes_agree_while_somebody_comes_back(key: int, other: list[int], ramps: bytes) -> None:
    """Whatever the order of their lists."""
    members = weighted(1, 2, 3, 4, None)
    here = make_pool(1, members, KEY, build=coarse)
    there = make_pool(1, [members[place] for place in other], KEY, build=coarse)
    live = everyone_up(5)
    mine = choose(here, DEFAULT, key, 0, live, ramps)
    theirs = choose(there, DEFAULT, key, 0, live, bytes(ramps[place] for place in other))
    assert theirs is not None
    assert mine == other[theirs]


# ------------------------------------------------------------------------------------------------------------------
# By latency and by calls

LATENCY, CALL_LOAD = Algorithm(Kind.LATENCY), Algorithm(Kind.CALL_LOAD)

MOVED = 0xFF << 56
"""Of a key that goes to the quicker one of two if any does."""


@pytest.mark.parametrize(
    ("latency", "taken"),
    [
        ((), 0),
        ((0.0, 0.0), 0),
        ((0.2, 0.0), 0),
        ((0.0, 0.2), 0),
        ((0.0010, 0.0004), 0),
        ((0.0056, 0.0007), 0),
        ((0.0058, 0.0007), 1),
        ((0.100, 0.080), 0),
        ((0.100, 0.074), 1),
        ((0.074, 0.100), 0),
    ],
)
def test_of_two_the_second_has_the_call_when_it_is_clearly_quicker(latency: tuple[float, ...], taken: int) -> None:
    pool = make_pool(1, weighted(50, 50), KEY, build=coarse)
    key = next(key for key in range(64) if list(candidates(pool, key, everyone_up(2))) == [0, 1])
    assert choose(pool, LATENCY, MOVED | key, 0, everyone_up(2), b"", latency) == taken
    assert choose(pool, LATENCY, key, 0, everyone_up(2), b"", latency) == 0, "a part stays with the slower"
    assert choose(pool, LATENCY, key, 0, bytes((UP, DOWN)), b"", latency) == 0
    assert choose(pool, LATENCY, key, 0, bytes((DOWN, UP)), b"", latency) == 1


def test_a_slow_server_keeps_the_calls_for_which_it_is_the_better_of_two_and_a_part_of_the_others() -> None:
    pool = pool_of(weighted(1, 1, 1, 1))
    latency = (0.3, 0.2, 0.1, 0.05)
    rng = random.Random(3)
    keys = [rng.getrandbits(48) << 16 | slot for slot in range(slots.SLOTS)]
    found = [choose(pool, LATENCY, key, 0, everyone_up(4), b"", latency) or 0 for key in keys]
    expected = [0.0] * 4
    for slow, quick in combinations(range(4), 2):  # each pair is as likely
        kept = latency[quick] / latency[slow] / 2
        expected[slow] += 100 / 6 * kept
        expected[quick] += 100 / 6 * (1 - kept)
    assert shares(found, 4) == pytest.approx(expected, abs=1)


def test_of_two_servers_the_slower_is_neither_left_idle_nor_loaded_as_much() -> None:
    pool = pool_of(weighted(1, 1))
    rng = random.Random(4)
    keys = [rng.getrandbits(64) for _ in range(20_000)]
    found = [choose(pool, LATENCY, key, 0, everyone_up(2), b"", (0.012, 0.004)) or 0 for key in keys]
    assert shares(found, 2) == pytest.approx([100 / 6, 500 / 6], abs=1)


def test_a_last_resort_takes_nothing_for_being_quick() -> None:
    pool = make_pool(1, weighted(50, None), KEY, build=coarse)
    for key in range(64):
        assert choose(pool, LATENCY, key, 0, everyone_up(2), b"", (0.5, 0.001)) == 0
        assert choose(pool, LATENCY, key, 0, bytes((DOWN, UP)), b"", (0.5, 0.001)) == 1


def test_calls_are_counted_by_weight() -> None:
    pool = make_pool(1, weighted(10, 30, 60, None, 0), KEY, build=coarse)
    active = [0] * 5
    rng = random.Random(2)
    for _ in range(1000):
        chosen = choose(pool, CALL_LOAD, rng.getrandbits(64), 0, everyone_up(5), b"", (), active.__getitem__)
        assert chosen is not None
        active[chosen] += 1
    assert active == pytest.approx([100, 300, 600, 0, 0], abs=3)


def test_equals_share_by_weight() -> None:
    pool = pool_of(weighted(50, 30, 20))
    found = [choose(pool, CALL_LOAD, slot, 0, everyone_up(3)) or 0 for slot in range(slots.SLOTS)]
    assert shares(found, 3) == pytest.approx([50, 30, 20], abs=0.5)


@given(
    st.lists(st.tuples(WEIGHTS, CODES, st.integers(0, 3), st.integers(0, 4)), max_size=7),
    st.integers(0, 2**64 - 1),
    st.binary(min_size=7, max_size=7) | st.just(b""),
)
def test_who_is_chosen_has_room_and_the_fewest_calls(
    members: list[tuple[int | None, int, int, int]], key: int, ramps: bytes
) -> None:
    everyone = [destination(number, weight, maxload=most) for number, (weight, _, most, _) in enumerate(members)]
    live = bytes(code for _, code, *_ in members)
    active = [calls for *_, calls in members]
    pool = make_pool(1, everyone, KEY, rankings=(), build=coarse)
    chosen = choose(pool, CALL_LOAD, key, 0, live, ramps[: len(members)] if ramps else b"", (), active.__getitem__)
    room = {
        index: active[index] / min(weight or 1, 2**63)
        for index, (weight, code, most, calls) in enumerate(members)
        if (weight is None or weight > 0) and code & NEW_WORK and (most == 0 or calls < most)
    }
    assert (chosen is None) == (not room)
    if chosen is None:
        return
    assert chosen in room
    if not ramps:
        alike = [load for index, load in room.items() if (members[index][0] is None) == (members[chosen][0] is None)]
        assert room[chosen] == pytest.approx(min(alike))
        assert members[chosen][0] is not None or all(members[index][0] is None for index in room)
