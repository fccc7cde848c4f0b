"""Choices by the list alone: shares, who moves when a destination goes, agreement of two nodes, and that each ends."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher import slots
from dispatcher.algorithm import Algorithm, Kind, Ranking, parse_algorithm
from dispatcher.considered import Reason, explain
from dispatcher.keyed import CHOICE, digest
from dispatcher.selection import (
    Groups,
    candidates,
    choose,
    everyone_up,
    first_candidate,
    make_pool,
    sketch,
    slot_of,
    wanted,
)
from tests.dispatcher.pools import (
    ALGORITHMS,
    DISABLED,
    DOWN,
    DRAINING,
    KEY,
    OTHER_KEY,
    SETS,
    SUSPECT,
    UP,
    built,
    coarse,
    destination,
    every_choice,
    pool_of,
    shares,
    weighted,
)

# ------------------------------------------------------------------------------------------------------------------
# Shares


@pytest.mark.parametrize(
    ("weights", "percentages"),
    [
        ((50, 50), (50, 50)),
        ((20, 20, 20), (33.33, 33.33, 33.33)),  # Kamailio: 20, 20, 60
        ((80, 80, 80), (33.33, 33.33, 33.33)),  # Kamailio: 80, 20, 0
        ((60, 30, None), (66.67, 33.33, 0)),  # Kamailio: 0, 0, 100
        ((None, 60, 30), (0, 66.67, 33.33)),
        ((None, None, None, None), (25, 25, 25, 25)),
        ((1, 1000), (0.1, 99.9)),
        ((10, 0, 30), (25, 0, 75)),
        ((10**30, 10**40), (50, 50)),  # beyond what anybody can mean
    ],
    ids=str,
)
def test_shares_hold_within_half_a_percentage_point(
    weights: tuple[int | None, ...], percentages: tuple[float, ...]
) -> None:
    found = shares(every_choice(pool_of(weighted(*weights))), len(weights))
    assert found == pytest.approx(percentages, abs=0.5)
    assert [share == 0 for share in found] == [share == 0 for share in percentages]


def test_shares_of_call_ids_follow_those_of_slots() -> None:
    pool, live = pool_of(weighted(50, 30, 20)), everyone_up(3)
    digests = [digest(KEY, CHOICE, b"%d-%x@phone.example.com" % (n, n * n)) for n in range(100_000)]
    assert shares([first_candidate(pool, d, live) for d in digests], 3) == pytest.approx([50, 30, 20], abs=0.5)


def test_relative_weights_are_taken_and_weights_where_there_are_none() -> None:
    both = [
        destination(1, 10, rweight=30),
        destination(2, 90, rweight=10),
        destination(3, 90),
        destination(4, 9, rweight=0),
    ]
    table = parse_algorithm("relative-weight").table
    pool = pool_of(both, ranking=Ranking.RELATIVE_WEIGHT)
    assert shares(every_choice(pool, table=table), 4) == pytest.approx([75, 25, 0, 0], abs=0.5)
    only_weights = pool_of(weighted(75, 25), ranking=Ranking.RELATIVE_WEIGHT)
    assert shares(every_choice(only_weights, table=table), 2) == pytest.approx([75, 25], abs=0.5)


def test_random_numbers_choose_by_weight() -> None:
    pool, rng, live = pool_of(weighted(75, 25)), random.Random(1), everyone_up(2)
    found = [choose(pool, Algorithm(Kind.RANDOM), rng.getrandbits(64), 0, live) or 0 for _ in range(100_000)]
    assert shares(found, 2) == pytest.approx([75, 25], abs=0.5)


def test_a_pool_without_tables_shares_by_weight_too() -> None:
    pool = sketch(1, weighted(50, 30, 20, 0), KEY)
    assert shares(every_choice(pool), 4) == pytest.approx([50, 30, 20, 0], abs=0.6)


# ------------------------------------------------------------------------------------------------------------------
# Who moves


@pytest.mark.parametrize("gone", [0, 2, 4])
def test_removing_a_destination_moves_only_its_own_calls_and_spreads_them_by_weight(gone: int) -> None:
    weights = (10, 20, 30, 40, 50)
    everyone = weighted(*weights)
    rest = everyone[:gone] + everyone[gone + 1 :]
    before = [everyone[index] for index in every_choice(pool_of(everyone))]
    after = [rest[index] for index in every_choice(pool_of(rest))]
    moved = [(old, new) for old, new in zip(before, after, strict=True) if old is not new]
    assert {old for old, _ in moved} == {everyone[gone]}
    assert_spread([rest.index(new) for _, new in moved], [weight for i, weight in enumerate(weights) if i != gone])


@pytest.mark.parametrize("code", [DOWN, DRAINING, DISABLED])
def test_a_destination_that_takes_no_new_work_moves_only_its_own_calls_and_spreads_them_by_weight(code: int) -> None:
    weights = (10, 20, 30, 40)
    pool = pool_of(weighted(*weights))
    before, after = every_choice(pool), every_choice(pool, bytes([UP, UP, code, UP]))
    moved = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert {old for old, _ in moved} == {2}
    assert len(moved) == before.count(2)
    assert_spread([new if new < 2 else new - 1 for _, new in moved], [10, 20, 40])


def test_a_destination_that_is_down_and_one_that_is_gone_leave_their_calls_to_the_same_heirs() -> None:
    everyone = weighted(10, 20, 30, 40)
    down = [everyone[index] for index in every_choice(pool_of(everyone), bytes([UP, DOWN, UP, UP]))]
    rest = [everyone[0], *everyone[2:]]
    gone = [rest[index] for index in every_choice(pool_of(rest))]
    assert sum(a is not b for a, b in zip(down, gone, strict=True)) < 0.001 * slots.SLOTS


def test_when_the_four_of_a_slot_are_down_the_others_share_by_weight() -> None:
    weights = (10, 20, 30, 40, 10, 20, 30)
    pool = pool_of(weighted(*weights))
    dead = bytes([DOWN] * 4 + [UP] * 3)
    assert_spread([index - 4 for index in every_choice(pool, dead)], [10, 20, 30])


def test_suspect_destinations_keep_their_share() -> None:
    pool = pool_of(weighted(50, 50))
    assert every_choice(pool, bytes([SUSPECT, UP])) == every_choice(pool)


def assert_spread(heirs: list[int], weights: Sequence[int]) -> None:
    """That so many draws fall by these weights, within four standard deviations."""
    counts, total = Counter(heirs), len(heirs)
    for index, weight in enumerate(weights):
        share = weight / sum(weights)
        assert abs(counts[index] / total - share) < 4 * math.sqrt(share * (1 - share) / total)


# ------------------------------------------------------------------------------------------------------------------
# Agreement


def test_two_nodes_with_one_secret_agree_in_whatever_order_their_lists_are() -> None:
    here = weighted(10, 20, 30, None, 40)
    there = [here[index] for index in (3, 1, 4, 0, 2)]
    a, b = pool_of(here), pool_of(there)
    live = {here[0]: DOWN, here[1]: UP, here[2]: UP, here[3]: UP, here[4]: DRAINING}
    for slot in range(0, slots.SLOTS, 7):
        mine = [here[index] for index in candidates(a, slot, bytes(live[d] for d in here))]
        theirs = [there[index] for index in candidates(b, slot, bytes(live[d] for d in there))]
        assert mine == theirs


def test_nodes_with_different_secrets_agree_by_chance_only() -> None:
    everyone = weighted(50, 50)
    here, there = every_choice(pool_of(everyone)), every_choice(pool_of(everyone, OTHER_KEY))
    assert 0.45 < sum(a == b for a, b in zip(here, there, strict=True)) / slots.SLOTS < 0.55


def test_a_server_keeps_its_calls_when_only_its_address_changes_and_it_has_a_duid() -> None:
    before = [destination(1, 50, duid="a"), destination(2, 50, duid="b")]
    after = [destination(7, 50, duid="a"), destination(2, 50, duid="b")]
    assert every_choice(pool_of(before)) == every_choice(pool_of(after))


def test_destinations_with_one_identity_share_as_others_do() -> None:
    """One duid and several addresses, or the same address by two names, or nothing that tells them apart."""
    one_duid = [destination(n, 50, duid="pbx") for n in (1, 2)]
    one_address = [destination(1, 50, uri="sip:a.example.com"), destination(1, 50, uri="sip:b.example.com")]
    for pair in (one_duid, one_address, [one_duid[0], one_duid[0]]):
        assert shares(every_choice(pool_of(pair)), 2) == pytest.approx([50, 50], abs=0.5)


def test_destinations_with_one_identity_are_told_apart_in_any_order_of_the_list() -> None:
    here = [destination(1, 50, duid="pbx"), destination(2, 50, duid="pbx")]
    mine = [here[index] for index in every_choice(pool_of(here))]
    there = here[::-1]
    assert mine == [there[index] for index in every_choice(pool_of(there))]


def test_the_salt_keeps_the_sets_apart() -> None:
    assert sketch(1, [], KEY).salt != sketch(2, [], KEY).salt
    assert sketch(1, [], KEY).salt != sketch(1, [], OTHER_KEY).salt


# ------------------------------------------------------------------------------------------------------------------
# Last resorts, tiers, priorities


def test_those_without_a_weight_take_over_when_nobody_with_a_weight_is_left() -> None:
    pool = pool_of(weighted(60, None, 30, None))
    dead = bytes([DOWN, UP, DISABLED, UP])
    assert shares(every_choice(pool, dead), 4) == pytest.approx([0, 50, 0, 50], abs=0.8)


def test_weight_0_takes_nothing_even_when_all_others_are_down() -> None:
    assert set(every_choice(pool_of(weighted(50, 0)), bytes([DOWN, UP]))) == {-1}


def test_the_lowest_tier_comes_first_and_its_weights_count_inside() -> None:
    everyone = [
        destination(1, 10, priority=2),
        destination(2, 75, priority=1),
        destination(3, 25, priority=1),
        destination(4, None, priority=1),
        destination(5, None, priority=3),
        destination(6, None, priority=3),
    ]
    pool, table = pool_of(everyone, ranking=Ranking.TIERS), parse_algorithm("tiers").table
    assert shares(every_choice(pool, table=table), 6) == pytest.approx([0, 75, 25, 0, 0, 0], abs=0.5)
    assert set(every_choice(pool, bytes([UP, DOWN, DOWN, UP, UP, UP]), table)) == {3}
    assert set(every_choice(pool, bytes([UP, DOWN, DOWN, DOWN, UP, UP]), table)) == {0}
    last = every_choice(pool, bytes([DOWN, DOWN, DOWN, DOWN, UP, UP]), table)
    assert shares(last, 6) == pytest.approx([0, 0, 0, 0, 50, 50], abs=0.8)


def test_the_highest_priority_comes_first_and_equal_ones_in_the_order_of_the_list() -> None:
    everyone = [
        destination(1, priority=1),
        destination(2, priority=5),
        destination(3, 0, priority=9),
        destination(4, priority=5),
        destination(5, 7, priority=1),
        destination(6, priority=0),
    ]
    pool, table = pool_of(everyone, ranking=Ranking.PRIORITY), parse_algorithm("priority").table
    for slot in (0, 1, 65_535):
        assert list(candidates(pool, slot, everyone_up(6), table)) == [1, 3, 0, 4, 5]
    assert list(candidates(pool, 7, bytes([UP, DOWN, UP, UP, DOWN, UP]), table)) == [3, 0, 5]


def test_rankings_that_group_alike_share_one_table() -> None:
    asked: list[Groups] = []

    def build(groups: Groups) -> bytes:
        asked.append(groups)
        return built(groups)

    pool = make_pool(1, weighted(50, 50), KEY, rankings=tuple(Ranking), build=build)
    assert len(asked) == 2
    assert pool.tables[0].packed is pool.tables[1].packed is pool.tables[2].packed
    assert pool.tables[3].packed is not pool.tables[0].packed
    assert wanted(pool, ()) == ()


# ------------------------------------------------------------------------------------------------------------------
# Turns


def test_round_robin_goes_through_the_list_in_order_whatever_the_weights() -> None:
    pool = sketch(1, weighted(50, None, 0, 1), KEY)
    turn = Algorithm(Kind.ROUND_ROBIN)
    assert [choose(pool, turn, 0, counter, everyone_up(4)) for counter in range(7)] == [0, 1, 3, 0, 1, 3, 0]


def test_the_turns_of_a_dead_destination_are_spread_over_the_others() -> None:
    pool, live = sketch(1, weighted(None, None, None, None), KEY), bytes([UP, DOWN, UP, UP])
    chosen = Counter(choose(pool, Algorithm(Kind.ROUND_ROBIN), 0, counter, live) for counter in range(120))
    assert chosen == {0: 40, 2: 40, 3: 40}


# ------------------------------------------------------------------------------------------------------------------
# Every choice ends


@given(
    members=SETS,
    algorithm=ALGORITHMS,
    key=st.integers(0, 2**64 - 1),
    counter=st.integers(0, 2**70),
    rankings=st.sampled_from([(), (Ranking.TIERS,), tuple(Ranking)]),
)
def test_any_choice_ends_with_a_usable_destination_or_none(
    members: list[tuple[int | None, int | None, int, int]],
    algorithm: Algorithm,
    key: int,
    counter: int,
    rankings: tuple[Ranking, ...],
) -> None:
    everyone = [
        destination(number, weight, rweight=rweight, priority=priority)
        for number, (weight, rweight, priority, _) in enumerate(members)
    ]
    live = bytes(code for *_, code in members)
    pool = make_pool(1, everyone, KEY, rankings=rankings, build=coarse)
    chosen = choose(pool, algorithm, key, counter, live)
    ordered = list(candidates(pool, key, live, algorithm.table))
    assert len(set(ordered)) == len(ordered)
    workers = {contender.destination for group in pool.tables[algorithm.table].groups for contender in group}
    assert set(ordered) == {index for index in workers if live[index] in (UP, SUSPECT)}
    if algorithm.kind is Kind.ROUND_ROBIN:
        assert (chosen is None) == (not ordered)
        assert chosen is None or chosen in ordered
    else:
        assert chosen == (ordered[0] if ordered else None)
        assert first_candidate(pool, key, live, algorithm.table) == (ordered[0] if ordered else -1)

    told = list(explain(pool, algorithm, key, counter, live))
    assert sorted(considered.index for considered in told) == list(range(len(members)))
    assert [c.index for c in told if c.reason is Reason.CHOSEN] == ([] if chosen is None else [chosen])


@given(st.permutations(range(6)), st.integers(0, 2**64 - 1))
def test_the_order_stays_when_some_go_down(dying: list[int], key: int) -> None:
    pool = make_pool(1, weighted(1, 2, 3, None, 50, None), KEY, build=coarse)
    live, before = bytearray(everyone_up(6)), list(candidates(pool, key, everyone_up(6)))
    for index in dying:
        live[index] = DOWN
        before.remove(index)
        assert list(candidates(pool, key, live)) == before


def test_nobody_is_chosen_from_an_empty_set() -> None:
    pool = make_pool(1, [], KEY)
    for kind in Kind:
        assert choose(pool, Algorithm(kind, "X" * (kind is Kind.HEADER)), 1, 1, b"") is None
        assert list(explain(pool, Algorithm(kind), 1, 1, b"")) == []


def test_a_set_has_no_more_destinations_than_an_index_can_name() -> None:
    with pytest.raises(ValueError, match="set 3 has 65536 destinations; a set has 65535 at most"):
        make_pool(3, weighted(1) * 65_536, KEY)


def test_the_slot_is_the_low_end_of_the_digest() -> None:
    assert slot_of(0x1234_5678_9ABC_DEF0) == 0xDEF0
