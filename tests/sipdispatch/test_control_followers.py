"""Is who follows what happens told of all, in its order, and in nobody's way?  Over real unix sockets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio

from sipdispatch.control_connection import event_line
from tests.sipdispatch.control_world import SOON, Steered, answers, following, happens, serving
from tests.sipdispatch.fake_operations import happening


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    with structlog.testing.capture_logs():
        yield Path("control.sock")


async def test_a_follower_is_told_what_happens(path: Path) -> None:
    async with serving(path) as served:
        client = await following(served)
        served.operations.happen(happening(1))
        served.operations.happen(happening(2))
        for number in (1, 2):
            told = await client.read()
            assert told == {"jsonrpc": "2.0", "method": "event", "params": happening(number).to_json()}
        assert await answers(client)
        error = (await client.ask("events"))["error"]
        assert error["message"] == "this connection follows what happens already"
        served.operations.happen(happening(3))
        assert (await client.read())["params"]["sequence"] == 3


async def test_what_happens_before_the_answer_is_told_after_it(path: Path) -> None:
    class Early(Steered):
        @asynccontextmanager
        async def follow(self) -> Any:
            async with super().follow() as arriving:
                self.happen(happening(1))
                yield arriving

    async with serving(path, Early()) as served:
        client = await served.connect()
        assert "result" in await client.ask("events")
        assert (await client.read())["params"]["sequence"] == 1


async def test_a_follower_may_have_written_all_that_it_writes(path: Path) -> None:
    async with serving(path, limits=SOON) as served:
        client = await served.connect()
        await client.send(b'{"jsonrpc":"2.0","method":"events"}')
        await client.stream.send_eof()
        await happens(lambda: served.operations.followers)
        await trio.sleep(0.05)
        served.operations.happen(happening(1))
        assert (await client.read())["params"]["sequence"] == 1


async def test_a_follower_that_goes_is_forgotten(path: Path) -> None:
    async with serving(path, limits=SOON) as served:
        for half_closed in (False, True):
            client = await following(served)
            if half_closed:
                await client.stream.send_eof()
                await trio.sleep(0.05)
                assert served.operations.followers
            await client.stream.aclose()
            await happens(lambda: not served.operations.followers)


async def test_a_follower_that_never_reads_misses_some_and_is_in_nobodys_way(path: Path) -> None:
    async with serving(path) as served:
        deaf = await following(served)
        hearing = await following(served)
        for number in range(1, 5001):
            served.operations.happen(happening(number))
            assert (await hearing.read())["params"]["sequence"] == number
        seen = []
        with trio.move_on_after(0.5):
            while True:
                seen.append((await deaf.read())["params"]["sequence"])
        assert seen == sorted(seen)
        assert 1 <= len(seen) < 5000
        served.operations.happen(happening(5001))
        assert (await deaf.read())["params"]["sequence"] == 5001


async def test_a_follower_whose_proxy_stops_following_is_left(path: Path) -> None:
    class Ending(Steered):
        @asynccontextmanager
        async def follow(self) -> Any:
            sender, receiver = trio.open_memory_channel[Any](1)
            await sender.aclose()
            async with receiver:
                yield receiver

    async with serving(path, Ending()) as served:
        client = await served.connect()
        await client.send(b'{"jsonrpc":"2.0","method":"events","id":1}')
        while await client.read() is not None:
            pass


def test_the_line_of_an_event_is_made_once() -> None:
    assert event_line(happening(1)) is event_line(happening(1))
