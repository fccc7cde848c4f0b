"""Next hops by name, asked while other datagrams flow."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from dispatcher.hopcache import MAX_STALE_S, NextHops
from dispatcher.logbudget import INTERVAL_S, LINES_AN_INTERVAL
from dispatcher.names import Answer, Failure, FailureKind, Lookup, lookup
from dispatcher.resolver import Resolver
from dispatcher.turns import Turns

Outcome = Answer | Failure
ONE = ("192.0.2.1", 5060)
TWO = ("192.0.2.2", 5060)


@attrs.define
class Scripted:
    """A resolver that takes a second for what is in its table."""

    table: dict[str, Outcome] = attrs.field(factory=dict)
    asked: list[str] = attrs.field(factory=list)

    async def ask(self, asked: Lookup) -> Outcome:
        self.asked.append(asked.host)
        await trio.sleep(1)
        return self.table.get(asked.host, Failure(FailureKind.NO_SUCH_NAME))


@asynccontextmanager
async def refreshed(names: NextHops) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(names.keep_fresh)
        yield
        nursery.cancel_scope.cancel()


@pytest.fixture
def resolver() -> Scripted:
    return Scripted({"trunk.example": Answer(addresses=(ONE, TWO), ttl_s=60)})


async def test_a_name_is_unknown_then_known_as_long_as_its_records_hold(
    autojump_clock: trio.testing.MockClock, resolver: Scripted
) -> None:
    names = NextHops(resolver)
    assert names.get("trunk.example", None, "udp") is None
    assert await names.fetch("trunk.example", None, "udp") == (ONE, TWO)
    assert names.get("Trunk.Example.", None, "UDP") == (ONE, TWO)
    assert names.get("trunk.example", 5060, "udp") is None, "with a port it is another question"
    async with refreshed(names):
        await trio.sleep(59)
        assert names.get("trunk.example", None, "udp") == (ONE, TWO)
        await trio.sleep(0.5)
    assert resolver.asked == ["trunk.example"]


async def test_an_expired_answer_is_used_while_it_is_asked_for_again(
    autojump_clock: trio.testing.MockClock, resolver: Scripted
) -> None:
    names = NextHops(resolver)
    await names.fetch("trunk.example", None, "udp")
    resolver.table["trunk.example"] = Answer(addresses=(TWO,), ttl_s=60)
    async with refreshed(names):
        await trio.sleep(61)
        assert resolver.asked == ["trunk.example"], "nobody has used it"
        for _ in range(9):
            assert names.get("trunk.example", None, "udp") == (ONE, TWO)
            assert await names.fetch("trunk.example", None, "udp") == (ONE, TWO), "at once"
            await trio.sleep(0.1)
        await trio.sleep(0.2)
        assert names.get("trunk.example", None, "udp") == (TWO,)
        assert resolver.asked == ["trunk.example"] * 2
        await trio.sleep(61)
        assert names.get("trunk.example", None, "udp") == (TWO,)
        await trio.sleep(2)
    assert resolver.asked == ["trunk.example"] * 3


async def test_an_answer_that_expired_a_day_ago_is_not_used(
    autojump_clock: trio.testing.MockClock, resolver: Scripted
) -> None:
    names = NextHops(resolver)
    await names.fetch("trunk.example", None, "udp")
    async with refreshed(names):
        await trio.sleep(60 + MAX_STALE_S + 1)
        assert names.get("trunk.example", None, "udp") is None
        assert await names.fetch("trunk.example", None, "udp") == (ONE, TWO)


async def test_a_refresh_that_a_request_already_waits_for_is_not_made_twice(
    autojump_clock: trio.testing.MockClock, resolver: Scripted
) -> None:
    names = NextHops(resolver)
    await names.fetch("trunk.example", None, "udp")
    await trio.sleep(61)
    names.get("trunk.example", None, "udp")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(names._refresh, lookup("trunk.example", None, "udp"))
        nursery.start_soon(names._refresh, lookup("trunk.example", None, "udp"))
    assert resolver.asked == ["trunk.example"] * 2


async def test_a_refresh_without_a_turn_is_tried_at_the_next_use(
    autojump_clock: trio.testing.MockClock, resolver: Scripted
) -> None:
    turns = Turns(max_turns=1, max_waiting=0)
    names = NextHops(resolver, turns=turns)
    await names.fetch("trunk.example", None, "udp")
    async with refreshed(names):
        await trio.sleep(61)
        assert await turns.take("slow.example")
        assert names.get("trunk.example", None, "udp") == (ONE, TWO)
        await trio.sleep(2)
        assert resolver.asked == ["trunk.example"]
        turns.give_back("slow.example")
        assert names.get("trunk.example", None, "udp") == (ONE, TWO)
        await trio.sleep(2)
        assert resolver.asked == ["trunk.example"] * 2


async def test_a_known_name_is_not_asked(autojump_clock: trio.testing.MockClock, resolver: Scripted) -> None:
    names = NextHops(resolver)
    for _ in range(3):
        await names.fetch("trunk.example", None, "udp")
    assert resolver.asked == ["trunk.example"]


def test_a_numeric_host_needs_no_clock_and_no_resolver(resolver: Scripted) -> None:
    assert NextHops(resolver).get("2001:DB8::1", None, "udp") == (("2001:db8::1", 5060),)
    assert NextHops(resolver).get("nobody.example", None, "udp") is None


def test_the_clock_is_an_argument(resolver: Scripted) -> None:
    names = NextHops(Resolver(), clock=lambda: 0.0)
    assert names.get("trunk.example", None, "udp") is None


async def test_a_name_without_an_address_is_known_to_have_none_for_a_moment(
    autojump_clock: trio.testing.MockClock, resolver: Scripted
) -> None:
    names = NextHops(resolver)
    with capture_logs() as logs:
        assert await names.fetch("nobody.example", None, "udp") == ()
        assert names.get("nobody.example", None, "udp") == ()
        await trio.sleep(5.1)
        assert names.get("nobody.example", None, "udp") is None
        assert await names.fetch("nobody.example", None, "udp") == ()
    assert [(entry["log_level"], entry["name"]) for entry in logs] == [("warning", "nobody.example;transport=udp")]
    assert logs[0]["reason"] == "the DNS does not know the name"


async def test_made_up_names_do_not_fill_the_log(autojump_clock: trio.testing.MockClock, resolver: Scripted) -> None:
    names = NextHops(resolver)
    with capture_logs() as logs:
        for number in range(LINES_AN_INTERVAL + 5):
            await names.fetch(f"made-up-{number}.example", None, "udp")
        assert len(logs) == LINES_AN_INTERVAL
        await trio.sleep(INTERVAL_S)
        await names.fetch("other.example", None, "udp")
    assert logs[-1]["kept_back"] == 5


async def test_a_failing_resolver_keeps_the_last_answer(
    autojump_clock: trio.testing.MockClock, resolver: Scripted
) -> None:
    names = NextHops(resolver)
    await names.fetch("trunk.example", None, "udp")
    resolver.table["trunk.example"] = Failure(FailureKind.TIMEOUT)
    async with refreshed(names):
        for _ in range(20):
            await trio.sleep(61)
            assert names.get("trunk.example", None, "udp") == (ONE, TWO)
    assert len(resolver.asked) > 10


async def test_those_who_ask_at_once_share_a_look_up(
    autojump_clock: trio.testing.MockClock, resolver: Scripted
) -> None:
    names = NextHops(resolver)
    got: list[tuple[tuple[str, int], ...] | None] = []

    async def ask() -> None:
        got.append(await names.fetch("trunk.example", None, "udp"))

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(ask)
    assert got == [(ONE, TWO)] * 5
    assert resolver.asked == ["trunk.example"]


async def test_when_the_one_who_asks_is_cancelled_the_next_one_asks(
    autojump_clock: trio.testing.MockClock, resolver: Scripted
) -> None:
    names = NextHops(resolver)
    got: list[tuple[tuple[str, int], ...] | None] = []

    async def ask() -> None:
        got.append(await names.fetch("trunk.example", None, "udp"))

    async with trio.open_nursery() as nursery:
        impatient = trio.CancelScope()

        async def ask_impatiently() -> None:
            with impatient:
                await names.fetch("trunk.example", None, "udp")

        nursery.start_soon(ask_impatiently)
        await trio.sleep(0.3)
        nursery.start_soon(ask)
        await trio.sleep(0.3)
        impatient.cancel()
    assert got == [(ONE, TWO)]
    assert resolver.asked == ["trunk.example"] * 2


async def test_a_name_waits_for_its_turn(autojump_clock: trio.testing.MockClock, resolver: Scripted) -> None:
    names = NextHops(resolver, turns=Turns(max_turns=2, max_waiting=1))
    async with trio.open_nursery() as nursery:
        for name in ("a.example", "b.example"):
            nursery.start_soon(names.fetch, name, None, "udp")
        await trio.sleep(0.5)
        nursery.start_soon(names.fetch, "trunk.example", None, "udp")
        await trio.sleep(0.1)
        assert await names.fetch("d.example", None, "udp") is None, "too many wait"
    assert names.get("trunk.example", None, "udp") == (ONE, TWO)


async def test_names_are_bounded_and_the_oldest_goes(
    autojump_clock: trio.testing.MockClock, resolver: Scripted
) -> None:
    resolver.table = {f"n{number}.example": Answer(addresses=(ONE,), ttl_s=3600) for number in range(4)}
    names = NextHops(resolver, max_names=3)
    for number in (0, 1, 2, 3):
        await names.fetch(f"n{number}.example", None, "udp")
    assert names.get("n0.example", None, "udp") is None
    assert [names.get(f"n{number}.example", None, "udp") for number in (1, 2, 3)] == [(ONE,)] * 3
