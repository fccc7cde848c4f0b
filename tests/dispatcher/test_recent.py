"""The table of recent choices: what it keeps, for how long, and what it gives up."""

from __future__ import annotations

import contextlib
import hashlib
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher import recent
from dispatcher.destination import Destination, Entry
from dispatcher.recent import DEFAULT_ENTRIES, LIFETIME, WAYS, RecentChoices, target_ids
from sip.uri import parse_uri

KEYS = st.integers(0, 2**64 - 1)
NUMBERS = st.integers(1, 2**32 - 1)

TABLES = [RecentChoices]
with contextlib.suppress(ImportError):
    from dispatcher import _fastpath

    TABLES.append(cast("type[RecentChoices]", _fastpath.RecentChoices))

both = pytest.mark.parametrize("table", TABLES, ids=["python", "compiled"][: len(TABLES)])


def in_bucket(bucket: int, count: int) -> list[int]:
    """Keys that share a bucket."""
    return [bucket << 32 | number for number in range(1, count + 1)]


def destination(uri: str, host: str, *, set_id: int = 1, port: int = 5060) -> Destination:
    entry = Entry(set_id=set_id, uri=uri, target=parse_uri(uri.encode()))
    return Destination(entry=entry, address=(host, port))


@both
@given(KEYS, NUMBERS, st.floats(0, 1e8))
def test_a_choice_is_remembered(table: type[RecentChoices], key: int, number: int, now: float) -> None:
    choices = table(16)
    assert choices.lookup(key, now) is None
    choices.remember(key, number, now)
    assert choices.lookup(key, now) == number


@both
def test_a_choice_lives_three_minutes_from_first_sight(table: type[RecentChoices]) -> None:
    choices = table(16)
    choices.remember(1, 7, now=100.0)
    choices.remember(1, 7, now=200.0)
    assert choices.lookup(1, 100.0 + LIFETIME - 0.0625) == 7
    assert choices.lookup(1, 100.0 + LIFETIME) is None


@both
def test_what_is_looked_up_lives_no_longer(table: type[RecentChoices]) -> None:
    choices = table(16)
    choices.remember(1, 7, now=0.0)
    assert choices.lookup(1, 179.0) == 7
    assert choices.lookup(1, 180.0) is None


@both
def test_another_choice_replaces_the_first_and_starts_anew(table: type[RecentChoices]) -> None:
    choices = table(16)
    choices.remember(1, 7, now=0.0)
    choices.remember(1, 8, now=100.0)
    assert choices.lookup(1, 279.0) == 8
    assert sum(word != 0 for word in choices.words) == 2


@both
def test_an_expired_choice_can_be_made_again(table: type[RecentChoices]) -> None:
    choices = table(16)
    choices.remember(1, 7, now=0.0)
    choices.remember(1, 7, now=180.0)
    assert choices.lookup(1, 359.0) == 7


@both
def test_a_full_bucket_gives_up_its_oldest(table: type[RecentChoices]) -> None:
    choices = table(16)
    first, second, third, fourth, fifth, sixth = in_bucket(2, 6)
    for now, key in enumerate((second, first, third, fourth), start=1):
        choices.remember(key, key & 0xFF, float(now))
    choices.remember(fifth, 5, 5.0)
    assert choices.lookup(second, 5.0) is None
    assert [choices.lookup(key, 5.0) for key in (first, third, fourth, fifth)] == [1, 3, 4, 5]
    choices.remember(sixth, 6, 6.0)
    assert [choices.lookup(key, 6.0) for key in (first, third, fourth, fifth, sixth)] == [None, 3, 4, 5, 6]


@both
@pytest.mark.parametrize("way", range(WAYS))
def test_every_way_of_a_bucket_is_found_and_replaced(table: type[RecentChoices], way: int) -> None:
    choices = table(16)
    keys = in_bucket(1, WAYS)
    for number, key in enumerate(keys, start=1):
        choices.remember(key, number, float(number))
    choices.remember(keys[way], 99, 50.0)
    found = [choices.lookup(key, 50.0) for key in keys]
    assert found == [99 if index == way else index + 1 for index in range(WAYS)]


@both
def test_buckets_do_not_disturb_each_other(table: type[RecentChoices]) -> None:
    choices = table(16)
    keys = [key for bucket in range(4) for key in in_bucket(bucket, WAYS)]
    for number, key in enumerate(keys, start=1):
        choices.remember(key, number, 1.0)
    assert [choices.lookup(key, 1.0) for key in keys] == list(range(1, 17))


@both
def test_key_0_is_a_key(table: type[RecentChoices]) -> None:
    choices = table(4)
    assert choices.lookup(0, 0.0) is None
    choices.remember(0, 5, 0.0)
    assert choices.lookup(0, 0.0) == 5


@both
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 3), st.floats(0, 100)), max_size=200))
def test_it_is_a_bounded_dictionary_that_may_forget_but_never_lies(
    table: type[RecentChoices], steps: list[tuple[int, int, float]]
) -> None:
    choices, truth, now = table(8), dict[int, tuple[int, float]](), 0.0
    size = len(choices.words)
    for key, number, later in steps:
        now += later
        wide = key << 32 | key
        found = choices.lookup(wide, now)
        if found is not None:
            assert truth[wide][0] == found
            assert now - truth[wide][1] < LIFETIME + 0.0625
        choices.remember(wide, number, now)
        assert choices.lookup(wide, now) == number
        if found != number:
            truth[wide] = (number, now)
    assert len(choices.words) == size


@both
@pytest.mark.parametrize(("asked", "got"), [(1, 4), (4, 4), (5, 8), (100, 128), (262_144, 262_144)])
def test_the_size_is_rounded_up_to_a_power_of_two(table: type[RecentChoices], asked: int, got: int) -> None:
    choices = table(asked)
    assert choices.entries == got
    assert choices.words.itemsize * len(choices.words) == 16 * got


@both
def test_none_are_remembered_where_there_is_no_room(table: type[RecentChoices]) -> None:
    choices = table(0)
    choices.remember(1, 7, 0.0)
    assert choices.lookup(1, 0.0) is None


@both
def test_the_layout_is_the_documented_one(table: type[RecentChoices]) -> None:
    choices = table()
    assert choices.entries == DEFAULT_ENTRIES
    key = 0x1234_ABCD_0000_0001
    choices.remember(key, 0xDEAD_BEEF, 10.5)
    at = 8 * 0xABCD  # 65,536 buckets of 8 words
    assert list(choices.words[at : at + 2]) == [key, (10 * 16 + 8 + 1) << 32 | 0xDEAD_BEEF]
    assert sum(word != 0 for word in choices.words) == 2


# ------------------------------------------------------------------------------------------------------------------
# Numbers of destinations


def test_a_number_survives_a_reload_whatever_else_is_in_the_list() -> None:
    a, b, c = (destination(f"sip:10.0.0.{n}", f"10.0.0.{n}") for n in (1, 2, 3))
    numbers = target_ids([a, b, c])
    assert target_ids([c, a]) == (numbers[2], numbers[0])
    assert len(set(numbers)) == 3
    assert all(0 < number < 2**32 for number in numbers)


def test_set_uri_address_and_port_each_make_another_number() -> None:
    variants = [
        destination("sip:pbx.example.com", "10.0.0.1"),
        destination("sip:pbx.example.com", "10.0.0.2"),
        destination("sip:pbx.example.com", "10.0.0.1", port=5070),
        destination("sip:pbx.example.com", "10.0.0.1", set_id=2),
        destination("sip:pbx2.example.com", "10.0.0.1"),
    ]
    assert len({target_ids([variant])[0] for variant in variants}) == len(variants)


def test_equal_hashes_are_told_apart_in_any_order_of_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    def narrow(text: bytes, attempt: int) -> int:
        return hashlib.sha256(b"%b %d" % (text, attempt)).digest()[0] % 8

    monkeypatch.setattr(recent, "_hash32", narrow)
    everyone = [destination(f"sip:10.0.0.{n}", f"10.0.0.{n}") for n in range(1, 8)]
    numbers = target_ids(everyone)
    assert sorted(numbers) == [1, 2, 3, 4, 5, 6, 7]
    assert target_ids(everyone[::-1]) == numbers[::-1]
