"""Turns for look-ups, which a slow domain cannot use up."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from dispatcher.turns import MAX_TURNS, MAX_TURNS_OF_PARENT, MAX_WAIT_S, Turns, parent_of


@pytest.mark.parametrize(
    ("host", "parent"),
    [
        ("example.com", "example.com"),
        ("a.b.example.com", "example.com"),
        ("pbx", ""),
        ("", ""),
    ],
)
def test_the_parent_of_a_name(host: str, parent: str) -> None:
    assert parent_of(host) == parent


async def granted(turns: Turns, host: str) -> bool | None:
    """Whether a turn is had at once; None when it has to be waited for."""
    with trio.move_on_after(0.01):
        return await turns.take(host)
    return None


async def test_one_domain_takes_a_part_of_the_turns(autojump_clock: trio.testing.MockClock) -> None:
    turns = Turns()
    for number in range(MAX_TURNS_OF_PARENT):
        assert await granted(turns, f"n{number}.slow.example")
    assert await granted(turns, "one-more.slow.example") is None
    for number in range(MAX_TURNS - MAX_TURNS_OF_PARENT):
        assert await granted(turns, f"d{number}.example")
    assert await granted(turns, "another.test") is None
    turns.give_back("n0.slow.example")
    assert await granted(turns, "another.test")


async def test_who_waits_is_called_in_order_past_those_whose_parent_is_busy(
    autojump_clock: trio.testing.MockClock,
) -> None:
    turns = Turns(max_turns=2, max_turns_of_parent=1)
    assert await turns.take("a.slow.example")
    assert await turns.take("a.quick.example")
    called: list[str] = []

    async def take(host: str) -> None:
        assert await turns.take(host)
        called.append(host)

    async with trio.open_nursery() as nursery:
        for host in ("b.slow.example", "b.other.example", "c.other.example", "b.quick.example"):
            nursery.start_soon(take, host)
            await trio.testing.wait_all_tasks_blocked()
        for giver, expected in (
            ("a.quick.example", "b.other.example"),
            ("b.other.example", "c.other.example"),
            ("a.slow.example", "b.slow.example"),
            ("c.other.example", "b.quick.example"),
        ):
            turns.give_back(giver)
            await trio.testing.wait_all_tasks_blocked()
            assert called[-1] == expected


async def test_those_who_wait_are_bounded_also_by_domain(autojump_clock: trio.testing.MockClock) -> None:
    turns = Turns(max_turns=1, max_waiting=3, max_waiting_of_parent=2)
    assert await turns.take("a.slow.example")
    async with trio.open_nursery() as nursery:
        for host in ("b.slow.example", "c.slow.example"):
            nursery.start_soon(turns.take, host)
            await trio.testing.wait_all_tasks_blocked()
        assert await turns.take("d.slow.example") is False
        nursery.start_soon(turns.take, "quick.test")
        await trio.testing.wait_all_tasks_blocked()
        assert await turns.take("other.test") is False
        nursery.cancel_scope.cancel()


async def test_a_turn_that_does_not_come_is_given_up(autojump_clock: trio.testing.MockClock) -> None:
    turns = Turns(max_turns=1, max_waiting=1)
    assert await turns.take("slow.example")
    began_at = trio.current_time()
    assert await turns.take("other.test") is False
    assert trio.current_time() - began_at == pytest.approx(MAX_WAIT_S)
    turns.give_back("slow.example")
    assert await granted(turns, "other.test"), "who has gone does not hold a turn"


async def test_a_turn_that_comes_to_one_who_was_just_cancelled_goes_on(autojump_clock: trio.testing.MockClock) -> None:
    turns = Turns(max_turns=1)
    assert await turns.take("slow.example")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(turns.take, "other.test")
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
        turns.give_back("slow.example")
    assert await granted(turns, "third.test")
