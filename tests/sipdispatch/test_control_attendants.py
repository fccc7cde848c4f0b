"""Does whoever attends the proxy's end get a seat, however many clients there are?  Over real unix sockets."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import attrs
import pytest
import trio

from sipdispatch.control_connection import Limits
from sipdispatch.control_methods import METHODS
from tests.sipdispatch.control_world import Client, Served, answers, serving
from tests.sipdispatch.fake_operations import happening

REQUEST = b'{"jsonrpc":"2.0","method":"core.version","id":1}'


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path("control.sock")


ATTEND = b'{"jsonrpc":"2.0","method":"core.attend","id":1}'
ATTENDING = {"jsonrpc": "2.0", "id": 1, "result": {"attending": True}}
FULL = Limits(clients=1, attendants=2, newcomers=2, speak=0.05, idle=0.05)


async def full_house(served: Served) -> Client:
    """The client that has the only place, and does not make room."""
    client = await served.connect()
    assert (await client.ask("events"))["result"] == {"following": True}
    return client


async def test_who_attends_gets_in_where_a_thousand_clients_are(path: Path) -> None:
    async with serving(path) as served:
        agent = await served.connect()
        assert await agent.ask("core.attend") == ATTENDING
        those = [await full_house(served) for _ in range(Limits().clients)]
        attending = trio.Event()

        async def flood(number: int) -> None:
            client = await served.connect()
            if number % 2:  # the others say nothing
                await client.ask_quietly(REQUEST)
            await attending.wait()

        async with trio.open_nursery() as nursery:
            for number in range(1000):
                nursery.start_soon(flood, number)
            late = await served.connect()
            assert await late.ask_quietly(ATTEND) == ATTENDING
            attending.set()
        assert await answers(those[-1])
        for each in (agent, late):
            assert await answers(each)
        served.cancel.cancel()
        with trio.CancelScope(shield=True):
            assert [await each.read() for each in (agent, late)] == [None, None]


async def test_who_attends_takes_no_place_of_a_client(path: Path) -> None:
    async with serving(path, limits=FULL) as served:
        for _ in range(2):
            assert await (await served.connect()).ask("core.attend") == ATTENDING
        assert await answers(await full_house(served))


async def test_who_attends_makes_no_room_and_is_told_of_nothing(path: Path) -> None:
    async with serving(path, limits=FULL) as served:
        agent = await served.connect()
        assert await agent.ask("core.attend") == ATTENDING
        assert await agent.ask("core.attend") == ATTENDING
        error = (await agent.ask("events"))["error"]
        assert error["message"] == "this connection attends"
        await full_house(served)
        await trio.sleep(0.1)
        assert "error" in await (await served.connect()).ask_quietly(REQUEST)
        served.operations.happen(happening(1))
        assert await answers(agent)


async def test_a_follower_cannot_attend(path: Path) -> None:
    async with serving(path, limits=FULL) as served:
        error = (await (await full_house(served)).ask("core.attend"))["error"]
        assert error["message"] == "this connection follows what happens"


async def test_seats_are_bounded_and_free_again(path: Path) -> None:
    async with serving(path, limits=FULL) as served:
        client = await served.connect()
        first, second = [await served.connect() for _ in range(2)]
        assert await first.ask("core.attend") == ATTENDING
        assert await second.ask("core.attend") == ATTENDING
        assert (await client.ask("core.attend"))["error"]["message"] == "2 attend already"
        assert (await client.ask("events"))["result"] == {"following": True}
        assert (await (await served.connect()).ask_quietly(ATTEND))["error"]["code"] == 503
        await first.stream.aclose()
        await trio.testing.wait_all_tasks_blocked(0.02)
        assert await (await served.connect()).ask("core.attend") == ATTENDING


@pytest.mark.parametrize(
    "words",
    [
        b"",
        REQUEST + b"\n",
        b"[" + ATTEND + b"," + REQUEST + b"]\n",
        b"{\n",
        b"x" * 20_000,
        ATTEND[:-5],
    ],
    ids=["silent", "another", "batch", "garbage", "endless", "half"],
)
async def test_a_newcomer_who_does_not_attend_is_refused(path: Path, words: bytes) -> None:
    async with serving(path, limits=FULL) as served:
        await full_house(served)
        client = await served.connect()
        with suppress(trio.BrokenResourceError):
            await client.stream.send_all(words)
        assert (await client.read())["error"]["code"] == 503
        assert await client.read() is None


@pytest.mark.parametrize("goes", [False, True])
async def test_newcomers_who_end_or_go(path: Path, *, goes: bool) -> None:
    async with serving(path, limits=FULL) as served:
        await full_house(served)
        client = await served.connect()
        if goes:
            await client.stream.aclose()
        else:
            await client.stream.send_all(ATTEND)
            await client.stream.send_eof()
            assert await client.read() == ATTENDING
            assert await client.read() is None
        await trio.testing.wait_all_tasks_blocked(0.02)
        assert await (await served.connect()).ask_quietly(ATTEND) == ATTENDING


async def test_the_newcomer_who_has_had_longest_has_to_go(path: Path) -> None:
    async with serving(path, limits=attrs.evolve(FULL, speak=30.0)) as served:
        await full_house(served)
        silent = [await served.connect() for _ in range(3)]
        assert (await silent[0].read())["error"]["code"] == 503
        assert await silent[2].ask_quietly(ATTEND) == ATTENDING
        assert await silent[1].ask_quietly(ATTEND) == ATTENDING


async def test_where_nobody_can_attend_all_are_refused(path: Path) -> None:
    methods = {name: method for name, method in METHODS.items() if name != "core.attend"}
    async with serving(path, limits=FULL, methods=methods) as served:
        await full_house(served)
        assert (await (await served.connect()).ask_quietly(ATTEND))["error"]["code"] == 503
