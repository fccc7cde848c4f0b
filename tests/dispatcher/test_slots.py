"""The slot table: against a plain reading of its rules, and what the rules promise."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher import slots
from dispatcher.slots import NONE, PLACES, SLOTS, TABLE_SIZE, Contender, Groups, build, view

WEIGHTS = [1, 2, 3, 10, 50, 100, 1000]


def contenders(*weights: int, salt: int = 0) -> list[Contender]:
    """Contenders with these weights and scattered seeds."""
    return [
        Contender(index, int.from_bytes(hashlib.sha256(b"%d %d" % (salt, index)).digest()[:8], "little"), weight)
        for index, weight in enumerate(weights)
    ]


def rows(table: bytes) -> list[tuple[int, ...]]:
    """The table by slot, without the empty places."""
    numbers = [int.from_bytes(table[at : at + 2], "little") for at in range(0, len(table), 2)]
    found = []
    for at in range(0, len(numbers), PLACES):
        row = numbers[at : at + PLACES]
        filled = [number for number in row if number != NONE]
        assert row[: len(filled)] == filled, "an empty place before a filled one"
        found.append(tuple(filled))
    return found


def first_places(table: bytes) -> list[int]:
    return [row[0] for row in rows(table)]


# ------------------------------------------------------------------------------------------------------------------
# The oracle: what the module's docstring says, in the most obvious way, with exact fractions


def arrivals(contender: Contender, size: int) -> dict[int, tuple[Fraction, int]]:
    """Slot -> (moment of the first hit, tie-break), one dart after the other."""
    moments: dict[int, tuple[Fraction, int]] = {}
    own_time = Fraction(0)
    stream = hashlib.shake_128(contender.seed.to_bytes(8, "little")).digest(2 * 40 * size)
    for dart in range(0, len(stream), 2):
        slot = (stream[dart] + 256 * stream[dart + 1]) % size
        if slot not in moments:
            own_time += Fraction(1, size - len(moments))
            moments[slot] = (own_time / contender.weight, contender.seed)
    assert len(moments) == size
    return moments


def naive(groups: Groups, size: int, horizon: float) -> list[tuple[int, ...]]:
    """The rows of the table by sorting every contender in every slot."""
    found: list[list[int]] = [[] for _ in range(size)]
    closed: set[int] = set()
    for group in groups:
        total = sum(contender.weight for contender in group)
        hits = {contender.destination: arrivals(contender, size) for contender in group}
        end = Fraction(horizon) / total
        if not all(found):
            while any(min(hit[slot] for hit in hits.values())[0] > end for slot in range(size)):
                end += Fraction(horizon) / total / 4
        for slot in set(range(size)) - closed:
            ranked = sorted((hit[slot], destination) for destination, hit in hits.items())
            known = [destination for (moment, _), destination in ranked if moment <= end or len(group) == 1]
            found[slot] += known
            if len(known) < len(group):
                closed.add(slot)
    return [tuple(row[:PLACES]) for row in found]


@given(
    weights=st.lists(st.lists(st.sampled_from(WEIGHTS), min_size=1, max_size=7), min_size=0, max_size=3),
    salt=st.integers(0, 1000),
    size=st.sampled_from([1, 2, 16, 64]),
)
def test_the_table_is_what_a_plain_reading_of_its_rules_gives(weights: list[list[int]], salt: int, size: int) -> None:
    everyone = contenders(*[weight for group in weights for weight in group], salt=salt)
    groups = []
    for group in weights:
        groups.append(everyone[: len(group)])
        everyone = everyone[len(group) :]
    assert rows(build(groups, slots=size)) == naive(groups, size, slots._HORIZON)


@pytest.mark.parametrize("horizon", [0.25, 1.0, 3.0])
def test_no_slot_stays_without_anybody(monkeypatch: pytest.MonkeyPatch, horizon: float) -> None:
    group = contenders(50, 100, 1)
    far = first_places(build([group], slots=256))
    monkeypatch.setattr(slots, "_HORIZON", horizon)
    table = build([group], slots=256)
    assert first_places(table) == far
    assert rows(table) == naive([group], 256, horizon)


def test_a_slot_waits_for_the_whole_group_before_the_next_one() -> None:
    heavy_and_light, backup = contenders(100_000, 1, 1)[:2], contenders(100_000, 1, 1)[2:]
    found = rows(build([heavy_and_light, backup]))
    assert {row for row in found if len(row) > 1} == {(0, 1, 2), (1, 0, 2)}
    assert found.count((0,)) > 0.99 * SLOTS


def test_one_destination_has_every_slot() -> None:
    assert rows(build([contenders(7)])) == [(0,)] * SLOTS


def test_groups_of_one_make_the_same_row_everywhere() -> None:
    groups = [[contender] for contender in contenders(1, 1, 1, 1, 1, 1)]
    assert rows(build(groups)) == [(0, 1, 2, 3)] * SLOTS


def test_nobody_is_in_an_empty_table() -> None:
    assert build([]) == b"\xff" * TABLE_SIZE


# ------------------------------------------------------------------------------------------------------------------
# Stability


def test_the_table_is_the_same_for_ever() -> None:
    """Made with this module at version 0.1: another table would move every call of a running pair at its upgrade."""
    everyone = contenders(50, 50, 100, 1, 1, 1)
    table = build([everyone[:4], everyone[4:]])
    assert hashlib.sha256(table).hexdigest() == "ff2ad1806954993c8c0a00d4dbc909a888e84afd37281e97e56b40b10407e064"


def test_a_longer_order_begins_with_the_shorter_one() -> None:
    whole = slots._slot_order(12345, SLOTS, SLOTS)
    assert sorted(whole) == list(range(SLOTS))
    for hits in (0, 1, 100, 30_000, 65_000):
        assert slots._slot_order(12345, hits, SLOTS) == whole[:hits]


def test_the_order_of_the_list_does_not_matter() -> None:
    group = contenders(50, 50, 50, 20)
    assert build([group]) == build([group[::-1]])


def test_weights_count_only_in_proportion() -> None:
    light = contenders(1, 2, 3)
    assert build([light]) == build([[contender._replace(weight=contender.weight * 2**40) for contender in light]])


@pytest.mark.parametrize("gone", [0, 3, 4])
def test_taking_one_away_moves_only_its_own_slots(gone: int) -> None:
    group = contenders(10, 20, 30, 40, 1)
    before, after = (first_places(build([g])) for g in (group, group[:gone] + group[gone + 1 :]))
    assert {old for old, new in zip(before, after, strict=True) if old != new} == {gone}


def test_more_weight_only_attracts() -> None:
    before, after = (first_places(build([contenders(50, 50, weight)])) for weight in (50, 70))
    moved = {(old, new) for old, new in zip(before, after, strict=True) if old != new}
    assert moved == {(0, 2), (1, 2)}


# ------------------------------------------------------------------------------------------------------------------
# Shares


@pytest.mark.parametrize(
    "weights",
    [(50, 50), (20, 20, 20), (80, 80, 80), (1, 2), (1, 9), (1, 1000), (10, 20, 30, 40), (1,) * 20, (1,) * 300],
    ids=lambda weights: f"{weights[:4]} of {len(weights)}",
)
def test_shares_hold_within_half_a_percentage_point(weights: tuple[int, ...]) -> None:
    counts = Counter(first_places(build([contenders(*weights)])))
    for index, weight in enumerate(weights):
        assert abs(counts[index] / SLOTS - weight / sum(weights)) < 0.005


def test_the_next_places_are_shared_by_weight_too() -> None:
    weights = (10, 20, 30, 40)
    found = rows(build([contenders(*weights)]))
    for first, weight in enumerate(weights):
        heirs = Counter(row[1] for row in found if row[0] == first and len(row) > 1)
        total = heirs.total()
        for index, count in heirs.items():
            share = weights[index] / (sum(weights) - weight)
            deviation = math.sqrt(share * (1 - share) / total)
            assert abs(count / total - share) < 4 * deviation


# ------------------------------------------------------------------------------------------------------------------
# Bytes


def test_a_view_is_read_only_numbers() -> None:
    numbers = view(b"\x01\x02\xff\xff")
    assert numbers.tolist() == [0x0201, NONE]
    assert numbers.readonly


def test_a_big_endian_host_swaps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "_HOST_IS_LITTLE_ENDIAN", False)
    assert view(b"\x01\x02\xff\xff").tolist() == [0x0102, NONE]
