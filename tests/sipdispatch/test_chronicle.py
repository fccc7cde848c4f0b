"""Is what happens remembered within bounds, and told to followers without waiting for them?"""

from __future__ import annotations

import pytest
import trio
import trio.testing

from sipdispatch.chronicle import About, Chronicle
from sipdispatch.happening import Happening


def about(number: int) -> About:
    return About(set_id=1, uri=f"sip:192.0.2.{number}", address=f"192.0.2.{number}:5060", number=number)


def went_down(chronicle: Chronicle, number: int = 1, at: float = 100.0) -> Happening:
    return chronicle.record("verdict", "up", "down", "no answer", at, about=about(number))


def sequences(happenings: tuple[Happening, ...]) -> list[int]:
    return [happening.sequence for happening in happenings]


def test_what_is_recorded_is_what_was_said() -> None:
    chronicle = Chronicle()
    assert chronicle.sequence == 0
    assert went_down(chronicle, 7) == Happening(
        sequence=1,
        at=100.0,
        kind="verdict",
        before="up",
        after="down",
        cause="no answer",
        set_id=1,
        uri="sip:192.0.2.7",
        address="192.0.2.7:5060",
        number=7,
    )
    assert chronicle.record("proxy", "", "started", "", 101.0).number == 0
    assert chronicle.sequence == 2


def test_the_last_of_all_and_the_last_of_each() -> None:
    chronicle = Chronicle(capacity=3, per_destination=2)
    for number in (1, 1, 1, 2, 2, 3):
        went_down(chronicle, number)
    chronicle.record("list", "", "reloaded", "", 1.0)
    assert sequences(chronicle.history()) == [5, 6, 7]
    assert sequences(chronicle.history(1)) == [2, 3]
    assert sequences(chronicle.history(2)) == [4, 5]
    assert chronicle.history(9) == ()


def test_the_destination_that_was_quiet_for_longest_is_forgotten_first() -> None:
    chronicle = Chronicle(destinations=2)
    for number in (1, 2, 1, 3):
        went_down(chronicle, number)
    assert [len(chronicle.history(number)) for number in (1, 2, 3)] == [2, 0, 1]


def test_memory_is_bounded_with_many_destinations() -> None:
    chronicle = Chronicle(capacity=100, per_destination=2, destinations=1000)
    for _ in range(3):
        for number in range(1, 2001):
            went_down(chronicle, number)
    assert len(chronicle.history()) == 100
    assert sum(len(chronicle.history(number)) for number in range(1, 2001)) == 1000


async def test_a_follower_hears_what_comes_and_nothing_before() -> None:
    chronicle = Chronicle()
    went_down(chronicle)
    async with chronicle.follow() as first, chronicle.follow() as second:
        went_down(chronicle)
        assert (await first.receive()).sequence == (await second.receive()).sequence == 2
        with pytest.raises(trio.WouldBlock):
            first.receive_nowait()
    went_down(chronicle)


async def test_a_follower_that_waits_is_woken() -> None:
    chronicle = Chronicle()
    heard: list[int] = []

    async def listen(*, task_status: trio.TaskStatus[None]) -> None:
        async with chronicle.follow() as happenings:
            task_status.started()
            heard.append((await happenings.receive()).sequence)

    async with trio.open_nursery() as nursery:
        await nursery.start(listen)
        await trio.testing.wait_all_tasks_blocked()
        went_down(chronicle)
    assert heard == [1]


async def test_a_slow_follower_loses_the_oldest_and_sees_the_gap() -> None:
    chronicle = Chronicle()
    async with chronicle.follow(2) as slow, chronicle.follow() as quick:
        for _ in range(5):
            went_down(chronicle)
        assert [slow.receive_nowait().sequence for _ in range(2)] == [4, 5]
        assert [quick.receive_nowait().sequence for _ in range(5)] == [1, 2, 3, 4, 5]
        went_down(chronicle)
        assert slow.receive_nowait().sequence == 6


async def test_a_follower_that_closes_its_end_disturbs_nobody() -> None:
    chronicle = Chronicle()
    async with chronicle.follow(1) as happenings:
        happenings.close()
        went_down(chronicle)
        went_down(chronicle)
    assert chronicle.sequence == 2


async def test_the_channel_ends_with_the_block() -> None:
    chronicle = Chronicle()
    async with chronicle.follow() as happenings:
        clone = happenings.clone()
    with clone, pytest.raises(trio.EndOfChannel):
        clone.receive_nowait()


def test_a_gap_is_filled_as_far_as_it_is_remembered() -> None:
    chronicle = Chronicle(capacity=2, per_destination=1)
    for number in (1, 1, 2, 3, 4, 5):
        went_down(chronicle, number)
    chronicle.record("list", "", "refused", "", 1.0)
    assert sequences(chronicle.between(1, 7)) == [2, 3, 4, 5, 6]
    assert sequences(chronicle.between(0, 3)) == [2]
    assert chronicle.between(6, 7) == ()
