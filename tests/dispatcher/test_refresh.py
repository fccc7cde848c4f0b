"""The list's destinations follow the DNS, on a clock that jumps."""

from __future__ import annotations

import attrs
import pytest
import trio
import trio.testing
from structlog.testing import capture_logs
from structlog.typing import EventDict

from dispatcher import refresh
from dispatcher.destination import Destination, Entry
from dispatcher.names import Answer, Failure, FailureKind, Lookup, Srv
from dispatcher.problem import Problem
from dispatcher.refresh import ListNames
from dispatcher.resolver import Resolver
from sip.uri import parse_uri

Outcome = Answer | Failure
TIMEOUT = Failure(FailureKind.TIMEOUT, "no answer from 192.0.2.53")
GONE = Failure(FailureKind.NO_SUCH_NAME)


def answer(*hosts: str, ttl_s: float = 60) -> Answer:
    return Answer(addresses=tuple((host, 5060) for host in hosts), ttl_s=ttl_s)


@attrs.define
class Scripted:
    """A resolver that answers from a table, after a time of its own."""

    table: dict[str, Outcome] = attrs.field(factory=dict)
    takes_s: dict[str, float] = attrs.field(factory=dict)
    asked: list[tuple[float, str]] = attrs.field(factory=list)
    under_way: int = 0
    most_at_once: int = 0

    async def ask(self, asked: Lookup) -> Outcome:
        self.asked.append((trio.current_time(), asked.host))
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)
        try:
            await trio.sleep(self.takes_s.get(asked.host, 0.01))
        finally:
            self.under_way -= 1
        return self.table.get(asked.host, GONE)


@attrs.define
class Told:
    """What the caller of keep_fresh heard, and when."""

    at: list[float] = attrs.field(factory=list)
    hosts: list[list[str]] = attrs.field(factory=list)
    problems: list[tuple[Problem, ...]] = attrs.field(factory=list)

    async def on_change(self, destinations: tuple[Destination, ...], problems: tuple[Problem, ...]) -> None:
        self.at.append(trio.current_time())
        self.hosts.append([destination.address[0] for destination in destinations])
        self.problems.append(problems)
        await trio.lowlevel.checkpoint()


@attrs.define
class World:
    resolver: Scripted
    names: ListNames
    nursery: trio.Nursery
    started_at: float = 0.0

    async def follow(self, *uris: str) -> Told:
        """Start following this list, from time 0 of its own."""
        self.started_at = trio.current_time()
        told = Told()
        await self.nursery.start(self._follow, uris, told)
        return told

    async def _follow(
        self, uris: tuple[str, ...], told: Told, *, task_status: trio.TaskStatus[trio.CancelScope]
    ) -> None:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                await nursery.start(self._keep_fresh, uris, told)
                task_status.started(scope)

    async def _keep_fresh(self, uris: tuple[str, ...], told: Told, *, task_status: trio.TaskStatus[None]) -> None:
        entries = tuple(
            Entry(set_id=1, uri=uri, target=parse_uri(uri.encode()), line=line) for line, uri in enumerate(uris, 1)
        )
        await self.names.keep_fresh(entries, told.on_change, path="list", task_status=task_status)

    def since_start(self, times: list[float]) -> list[int]:
        return [round(at - self.started_at) for at in times]


@pytest.fixture
def world(nursery: trio.Nursery) -> World:
    resolver = Scripted()
    return World(resolver, ListNames(resolver), nursery)


def events(logs: list[EventDict]) -> list[tuple[str, str]]:
    return [(entry["log_level"], entry["event"]) for entry in logs]


async def test_numeric_entries_ask_nobody(autojump_clock: trio.testing.MockClock, world: World) -> None:
    told = await world.follow("sip:192.0.2.1", "sip:192.0.2.2:5070")
    await trio.sleep(80_000)
    assert told.hosts == [["192.0.2.1", "192.0.2.2"]]
    assert world.resolver.asked == []


async def test_it_has_started_with_the_first_answers(autojump_clock: trio.testing.MockClock, world: World) -> None:
    world.resolver.table = {"a.example": answer("192.0.2.1"), "b.example": answer("192.0.2.2", "192.0.2.3")}
    world.resolver.takes_s = {"b.example": 3}
    told = await world.follow("sip:b.example", "sip:a.example")
    assert told.hosts == [["192.0.2.2", "192.0.2.3", "192.0.2.1"]]
    assert world.since_start(told.at) == [3]


async def test_a_name_is_asked_again_when_its_time_is_over(
    autojump_clock: trio.testing.MockClock, world: World
) -> None:
    world.resolver.table = {"a.example": answer("192.0.2.1", ttl_s=60)}
    told = await world.follow("sip:a.example")
    await trio.sleep(200)
    assert world.since_start([at for at, _ in world.resolver.asked]) == [0, 60, 120, 180]
    assert told.hosts == [["192.0.2.1"]], "the same answer is no news"
    world.resolver.table["a.example"] = answer("192.0.2.1", ttl_s=30)
    await trio.sleep(100)
    assert told.hosts == [["192.0.2.1"]], "another time to live is no news either"
    world.resolver.table["a.example"] = answer("192.0.2.9")
    await trio.sleep(40)
    assert told.hosts == [["192.0.2.1"], ["192.0.2.9"]]


async def test_one_name_in_two_lines_is_asked_once(autojump_clock: trio.testing.MockClock, world: World) -> None:
    world.resolver.table = {"a.example": answer("192.0.2.1")}
    told = await world.follow("sip:a.example", "sip:A.Example.;x=y")
    assert len(world.resolver.asked) == 1
    assert told.hosts == [["192.0.2.1"]]
    assert [problem.line for problem in told.problems[0]] == [2]


async def test_a_failing_resolver_keeps_the_last_answer_and_says_so_once(
    autojump_clock: trio.testing.MockClock, world: World
) -> None:
    world.resolver.table = {"a.example": answer("192.0.2.1", ttl_s=60)}
    told = await world.follow("sip:a.example")
    world.resolver.table["a.example"] = TIMEOUT
    with capture_logs() as logs:
        await trio.sleep(3600)
    assert told.hosts == [["192.0.2.1"]]
    assert events(logs) == [("warning", "look-up of a destination fails; its last addresses stay")]
    assert logs[0]["held"] == ["192.0.2.1"]
    assert logs[0]["name"] == "a.example;transport=udp"
    assert logs[0]["reason"] == TIMEOUT.kind.sentence
    assert logs[0]["detail"] == TIMEOUT.detail
    world.resolver.table["a.example"] = answer("192.0.2.2")
    with capture_logs() as logs:
        await trio.sleep(70)
    assert events(logs) == [("info", "look-up of a destination works again")]
    assert told.hosts == [["192.0.2.1"], ["192.0.2.2"]]


async def test_retries_come_less_and_less_often(autojump_clock: trio.testing.MockClock, world: World) -> None:
    world.resolver.table = {"a.example": TIMEOUT}
    await world.follow("sip:a.example")
    await trio.sleep(200)
    assert world.since_start([at for at, _ in world.resolver.asked]) == [0, 5, 15, 35, 75, 135, 195]


async def test_an_entry_that_never_resolved_comes_when_it_does(
    autojump_clock: trio.testing.MockClock, world: World
) -> None:
    with capture_logs() as logs:
        told = await world.follow("sip:192.0.2.9", "sip:a.example")
        await trio.sleep(10)
    assert events(logs) == [("warning", "a destination has no address")]
    assert told.hosts == [["192.0.2.9"]]
    assert [problem.message for problem in told.problems[0]] == [
        "no destination for a.example now: the DNS does not know the name"
    ]
    world.resolver.table["a.example"] = answer("192.0.2.1")
    await trio.sleep(10)
    assert told.hosts == [["192.0.2.9"], ["192.0.2.9", "192.0.2.1"]]
    assert told.problems[-1] == ()


async def test_a_name_that_vanishes_goes_after_a_while_and_that_is_said(
    autojump_clock: trio.testing.MockClock, world: World
) -> None:
    world.resolver.table = {"a.example": answer("192.0.2.1", ttl_s=60), "b.example": answer("192.0.2.2", ttl_s=3600)}
    told = await world.follow("sip:a.example", "sip:b.example")
    del world.resolver.table["a.example"]
    with capture_logs() as logs:
        await trio.sleep(85)
        assert told.hosts == [["192.0.2.1", "192.0.2.2"]]
        await trio.sleep(60)
    assert told.hosts == [["192.0.2.1", "192.0.2.2"], ["192.0.2.2"]]
    assert [event for _, event in events(logs)] == [
        "look-up of a destination fails; its last addresses stay",
        "a destination is gone from the DNS",
    ]


async def test_a_partial_answer_is_said_and_completed_later(
    autojump_clock: trio.testing.MockClock, world: World
) -> None:
    world.resolver.table = {"a.example": attrs.evolve(answer("192.0.2.1"), missing=frozenset({6}), failure=TIMEOUT)}
    with capture_logs() as logs:
        told = await world.follow("sip:a.example")
    assert [level for level, _ in events(logs)] == ["warning"]
    world.resolver.table = {"a.example": answer("192.0.2.1", "2001:db8::1")}
    await trio.sleep(6)
    assert told.hosts == [["192.0.2.1"], ["192.0.2.1", "2001:db8::1"]]


async def test_a_slow_name_does_not_hold_up_the_others(autojump_clock: trio.testing.MockClock, world: World) -> None:
    world.resolver.table = {"a.example": answer("192.0.2.1", ttl_s=5), "slow.example": answer("192.0.2.2")}
    world.resolver.takes_s = {"slow.example": 20}
    told = await world.follow("sip:a.example", "sip:slow.example")
    assert world.since_start(told.at) == [5], "the first answers are waited for, but not for ever"
    assert told.hosts == [["192.0.2.1"]]
    assert [problem.message for problem in told.problems[0]] == [
        "no destination for slow.example now: it is still being looked up"
    ]
    await trio.sleep(10)
    assert [host for _, host in world.resolver.asked].count("a.example") >= 2
    await trio.sleep(10)
    assert told.hosts[-1] == ["192.0.2.1", "192.0.2.2"]


async def test_a_slow_answer_that_is_no_news_is_followed_by_the_next_question(
    autojump_clock: trio.testing.MockClock, world: World
) -> None:
    world.resolver.table = {"slow.example": answer("192.0.2.2", ttl_s=60)}
    world.resolver.takes_s = {"slow.example": 3}
    await world.follow("sip:slow.example")
    await trio.sleep(200)
    assert world.since_start([at for at, _ in world.resolver.asked]) == [0, 63, 126, 189]


async def test_answers_that_change_together_are_told_together(
    autojump_clock: trio.testing.MockClock, world: World
) -> None:
    names = [f"n{number}.example" for number in range(30)]
    world.resolver.table = {name: answer(f"192.0.2.{place}", ttl_s=60) for place, name in enumerate(names, 1)}
    world.resolver.takes_s = {name: 0.02 * place for place, name in enumerate(names)}
    told = await world.follow(*(f"sip:{name}" for name in names))
    world.resolver.table = {name: answer(f"198.51.100.{place}") for place, name in enumerate(names, 1)}
    await trio.sleep(70)
    assert told.hosts[-1] == [f"198.51.100.{place}" for place in range(1, 31)]
    assert len(told.hosts) <= 3


async def test_look_ups_and_names_are_bounded(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch, world: World
) -> None:
    monkeypatch.setattr(refresh, "MAX_NAMES", 50)
    world.resolver.table = {f"n{number}.example": answer(f"192.0.2.{number}") for number in range(1, 61)}
    told = await world.follow(*(f"sip:n{number}.example" for number in range(1, 61)))
    assert len(told.hosts[-1]) == 50
    assert world.resolver.most_at_once == 16
    assert {problem.message.partition(": ")[2] for problem in told.problems[-1]} == {"there are too many names"}
    assert len(told.problems[-1]) == 10


async def test_a_reload_needs_no_answer_for_names_that_stay(
    autojump_clock: trio.testing.MockClock, world: World
) -> None:
    world.resolver.table = {"a.example": answer("192.0.2.1"), "b.example": answer("192.0.2.2")}
    first = await world.follow("sip:a.example", "sip:b.example")
    world.resolver.asked.clear()
    world.resolver.table = {}
    async with trio.open_nursery() as nursery:
        again = attrs.evolve(world, nursery=nursery)
        told = await again.follow("sip:a.example", "sip:192.0.2.7")
        assert (told.hosts, world.resolver.asked) == ([["192.0.2.1", "192.0.2.7"]], [])
        assert {asked.host for asked in world.names.answers} == {"a.example"}, "what nobody wants is forgotten"
        nursery.cancel_scope.cancel()
    assert first.hosts == [["192.0.2.1", "192.0.2.2"]]


async def test_an_answer_that_comes_while_the_caller_is_busy_is_not_lost(
    autojump_clock: trio.testing.MockClock, world: World
) -> None:
    world.resolver.table = {"a.example": answer("192.0.2.1"), "slow.example": answer("192.0.2.2", ttl_s=3600)}
    world.resolver.takes_s = {"slow.example": 8}
    heard: list[int] = []

    async def on_change(destinations: tuple[Destination, ...], _problems: tuple[Problem, ...]) -> None:
        heard.append(len(destinations))
        await trio.sleep(30)  # a snapshot is being built

    entries = [
        Entry(set_id=1, uri=uri, target=parse_uri(uri.encode())) for uri in ("sip:a.example", "sip:slow.example")
    ]
    world.nursery.start_soon(world.names.keep_fresh, entries, on_change)
    await trio.sleep(50)
    assert heard == [1, 2]


async def test_what_the_records_say_beside_addresses_is_told(
    autojump_clock: trio.testing.MockClock, world: World
) -> None:
    srv = (Srv(10, 1, 5060, "x"), Srv(20, 1, 5060, "y"))
    world.resolver.table = {"a.example": attrs.evolve(answer("192.0.2.1", "192.0.2.2"), srv=srv)}
    told = await world.follow("sip:a.example")
    world.resolver.table = {"a.example": answer("192.0.2.1", "192.0.2.2")}
    await trio.sleep(61)
    assert [len(problems) for problems in told.problems] == [1, 0]
    assert told.hosts[0] == told.hosts[1]


async def test_a_long_list_is_expanded_apart(world: World) -> None:
    told = await world.follow(*(f"sip:10.0.{number // 250}.{number % 250 + 1}" for number in range(2000)))
    assert len(set(told.hosts[0])) == 2000


def test_the_real_resolver_fits() -> None:
    assert ListNames(Resolver()).answers == {}
