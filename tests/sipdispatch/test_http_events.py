"""Does a follower of the events get each of them, and does a slow one wait alone?"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
import trio
import trio.testing
from starlette.types import Message

from sipdispatch.happening import Happening
from sipdispatch.http_app import make_app
from sipdispatch.http_events import ALIVE_S
from sipdispatch.http_limits import Limits
from tests.sipdispatch.fake_operations import FakeOperations, happening

LIMITS = Limits()


class Follower:
    """A client of the event stream that reads when it is told to."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.may_read = trio.Event()
        self.may_read.set()
        self.gone = trio.Event()

    async def receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        await self.may_read.wait()
        if message["type"] == "http.response.body":
            self.lines += message["body"].decode().splitlines()

    @property
    def seen(self) -> list[int]:
        return [json.loads(line[6:])["sequence"] for line in self.lines if line.startswith('data: {"seq')]


@asynccontextmanager
async def following(
    operations: FakeOperations,
    query: bytes = b"follow",
    **fields: str,
) -> AsyncIterator[Follower]:
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/api/v1/events",
        "query_string": query,
        "headers": [(name.replace("_", "-").encode(), text.encode()) for name, text in fields.items()],
    }
    follower = Follower()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(make_app(operations, LIMITS), scope, follower.receive, follower.send)
        await trio.testing.wait_all_tasks_blocked()
        yield follower
        follower.gone.set()
    assert operations.followers == []


async def settle() -> None:
    await trio.testing.wait_all_tasks_blocked()


async def test_a_follower_gets_what_happens_and_not_what_was() -> None:
    operations = FakeOperations(past=[happening(1)])
    async with following(operations) as follower:
        operations.happen(happening(2))
        operations.happen(happening(3, kind="word", after="draining"))
        await settle()
        assert follower.seen == [2, 3]
        assert follower.lines[0] == "retry: 2000"
        assert follower.lines[2:4] == ["event: verdict", "id: 2"]
        assert "event: word" in follower.lines


async def test_a_follower_of_a_set_gets_that_of_the_set() -> None:
    operations = FakeOperations()
    async with following(operations, b"follow&set=2") as follower:
        operations.happen(happening(1))
        operations.happen(happening(2, set_id=2))
        await settle()
        assert follower.seen == [2]
        assert "event: lost" not in follower.lines


@pytest.mark.parametrize(("last", "expected"), [("2", [3, 4]), ("4", []), ("99", [1, 2, 3, 4]), ("x", [])])
async def test_a_follower_that_comes_back_gets_what_it_has_missed(last: str, expected: list[int]) -> None:
    operations = FakeOperations(past=[happening(number) for number in range(1, 5)])
    async with following(operations, last_event_id=last) as follower:
        assert follower.seen == expected
        operations.happen(happening(5))
        await settle()
        assert follower.seen == [*expected, 5]


async def test_what_is_history_already_when_it_arrives_is_told_once() -> None:
    class Early(FakeOperations):
        """Something happens while a follower is being let in."""

        @asynccontextmanager
        async def follow(self) -> AsyncIterator[trio.MemoryReceiveChannel[Happening]]:
            async with super().follow() as receiver:
                self.happen(happening(2))
                yield receiver

    operations = Early(past=[happening(1)])
    async with following(operations) as follower:
        operations.happen(happening(3))
        await settle()
        assert follower.seen == [2, 3]
        assert "event: lost" not in follower.lines


async def test_a_slow_follower_loses_some_and_is_told_how_many() -> None:
    operations = FakeOperations(room=2)
    async with following(operations) as follower:
        follower.may_read = trio.Event()
        for number in range(1, 11):
            operations.happen(happening(number))
            await settle()
        follower.may_read.set()
        operations.happen(happening(11))
        await settle()
        operations.happen(happening(12))
        await settle()
        assert follower.seen[0] == 1
        assert follower.seen[-1] == 12
        lost = [json.loads(line[6:])["lost"] for line in follower.lines if line.startswith('data: {"lost')]
        assert len(follower.seen) + sum(lost) == 12
        assert sum(lost) > 0


async def test_a_quiet_stream_shows_that_it_lives(autojump_clock: trio.testing.MockClock) -> None:
    async with following(FakeOperations()) as follower:
        await trio.sleep(ALIVE_S * 2.5)
        assert follower.lines.count(": alive") == 2


async def test_there_are_so_many_followers_and_no_more() -> None:
    operations = FakeOperations()
    limits = Limits(followers=1)
    app = make_app(operations, limits)
    first = Follower()
    scope = {"type": "http", "method": "GET", "path": "/api/v1/events", "query_string": b"follow", "headers": []}
    asking = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://proxy")
    async with asking, trio.open_nursery() as nursery:
        nursery.start_soon(app, scope, first.receive, first.send)
        await settle()
        refused = await asking.get("/api/v1/events?follow")
        assert refused.json() == {"error": {"status": 503, "message": "too many follow the events already"}}
        assert refused.headers["retry-after"] == "1"
        first.gone.set()
        await settle()
        second = Follower()
        nursery.start_soon(app, scope, second.receive, second.send)
        await settle()
        assert second.lines[0] == "retry: 2000"
        second.gone.set()


async def test_the_stream_ends_with_the_proxy() -> None:
    operations = FakeOperations()
    async with following(operations) as follower:
        operations.followers[0].close()
        await settle()
        assert not follower.gone.is_set()
