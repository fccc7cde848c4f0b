"""Does the control socket answer whoever asks, and let nobody be in the way of others?  Over real unix sockets."""

from __future__ import annotations

import errno
import json
import os
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio

from health.board import Word
from sipdispatch import control_connection, control_server
from sipdispatch.control_connection import Limits
from sipdispatch.control_methods import METHODS
from sipdispatch.control_server import Peer, runs_the_proxy, serve_control
from sipdispatch.control_socket import open_control_socket
from sipdispatch.jsonrpc import MAX_REQUEST_BYTES, read
from sipdispatch.operations import OperationError
from tests.sipdispatch.control_world import SOON, VERSION, Client, Steered, answers, following, happens, serving
from tests.sipdispatch.fake_operations import happening, with_destinations

URI = "sip:10.0.0.2:5060"
REQUEST = b'{"jsonrpc":"2.0","method":"core.version","id":1}'


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path("control.sock")


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as lines:
        yield lines


def steered() -> Steered:
    return Steered(with_destinations(2))


# --------------------------------------------------------------------------------------------------------------------
# Questions and answers


async def test_a_question_and_its_answer(path: Path) -> None:
    async with serving(path) as served:
        client = await served.connect()
        assert await client.ask("core.version", identity="x") == {"jsonrpc": "2.0", "id": "x", "result": VERSION}
        assert (await client.ask("core.echo", [1]))["result"] == [1]
    assert not await trio.Path(path).exists()


async def test_who_asks_is_told(path: Path) -> None:
    operations = steered()
    async with serving(path, operations) as served:
        client = await served.connect()
        await client.ask("dispatcher.drain", {"destination": URI})
    assert operations.done == [(1, URI, Word.DRAINING, f"control: uid {os.geteuid()}, pid {os.getpid()}")]


async def test_errors_keep_the_connection(path: Path) -> None:
    async with serving(path) as served:
        client = await served.connect()
        await client.send(b"{", b"[]", b"\xff\xfe", b"GET / HTTP/1.1", b"")
        codes = [(await client.read())["error"]["code"] for _ in range(4)]
        assert codes == [-32700, -32600, -32700, -32700]
        error = (await client.ask("dispatcher.drain", {"destination": "sip:x"}))["error"]
        assert error == {
            "code": 500,
            "message": "the list is empty",
            "data": {
                "what": "the list is empty",
                "where": "/etc/sipdispatch/dispatcher.list",
                "to_do": "write destinations into it",
            },
        }
        assert await answers(client)


async def test_a_batch_is_answered_with_one_line(path: Path) -> None:
    async with serving(path) as served:
        client = await served.connect()
        note = b'{"jsonrpc":"2.0","method":"core.echo"}'
        await client.send(b"[" + REQUEST + b"," + note + b",1," + REQUEST.replace(b":1", b":2") + b"]")
        batch = await client.read()
        assert [one["id"] for one in batch] == [1, None, 2]
        assert batch[1]["error"]["code"] == -32600
        await client.send(b"[" + note + b"]", note, REQUEST)
        assert (await client.read())["result"] == VERSION


async def test_requests_are_answered_in_their_order(path: Path) -> None:
    async with serving(path) as served:
        client = await served.connect()
        await client.send(*(REQUEST.replace(b":1", b":%d" % number) for number in range(300)))
        assert [(await client.read())["id"] for _ in range(300)] == list(range(300))


async def test_a_request_needs_no_line_end_where_the_stream_ends(path: Path) -> None:
    async with serving(path) as served:
        client = await served.connect()
        await client.stream.send_all(REQUEST)
        await client.stream.send_eof()
        assert (await client.read())["result"] == VERSION
        assert await client.read() is None


async def test_a_long_answer_arrives_whole(path: Path) -> None:
    told = with_destinations(2000)
    async with serving(path, Steered(told)) as served:
        client = await served.connect()
        shown = (await client.ask("dispatcher.show"))["result"]
        assert [each["number"] for each in shown["sets"][0]["destinations"]] == list(range(1, 2001))
        assert len((await client.ask("dispatcher.list"))["result"]["RECORDS"][0]["SET"]["TARGETS"]) == 2000


async def test_a_long_answer_leaves_others_their_turns(path: Path) -> None:
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with serving(path, Steered(with_destinations(2000))) as served, trio.open_nursery() as nursery:
        client = await served.connect()
        nursery.start_soon(take_turns)
        await client.ask("dispatcher.show")
        nursery.cancel_scope.cancel()
    assert turns > 50


async def test_a_request_that_is_too_long_is_refused_and_the_next_answered(path: Path) -> None:
    async with serving(path) as served:
        client = await served.connect()
        await client.send(b"x" * (MAX_REQUEST_BYTES + 1), REQUEST)
        assert (await client.read())["error"]["data"]["what"] == "the request is too long"
        assert (await client.read())["result"] == VERSION


# --------------------------------------------------------------------------------------------------------------------
# Clients that do not behave


async def test_a_client_that_does_not_read_its_answer_is_left(path: Path) -> None:
    async with serving(path, Steered(with_destinations(2000)), Limits(stalled=0.05)) as served:
        client = await served.connect()
        await client.send(b'{"jsonrpc":"2.0","method":"dispatcher.show","id":1}')
        await trio.sleep(0.5)
        received = b""
        while True:
            try:
                chunk = await client.stream.receive_some(65536)
            except trio.BrokenResourceError:
                break
            if not chunk:
                break
            received += chunk
        assert 0 < len(received) < 1_000_000
        assert await answers(await served.connect())


async def test_a_reply_behind_a_follower_that_never_reads_is_given_up(path: Path) -> None:
    async with serving(path, limits=Limits(stalled=0.05)) as served:
        client = await following(served)
        for number in range(1, 4000):
            served.operations.happen(happening(number))
            await trio.lowlevel.checkpoint()
        await client.send(REQUEST)
        await happens(lambda: not served.operations.followers)


async def test_a_client_that_goes_while_it_is_answered(path: Path) -> None:
    async with serving(path, Steered(with_destinations(2000))) as served:
        client = await served.connect()
        await client.send(b'{"jsonrpc":"2.0","method":"dispatcher.show","id":1}')
        await client.stream.receive_some(10)
        await client.stream.aclose()
        assert await answers(await served.connect())


async def test_waiting_ends_when_the_client_has_gone(path: Path) -> None:
    ended = trio.Event()

    class Waiting(Steered):
        async def wait_drained(self, set_id: int, name: str) -> None:
            try:
                await trio.sleep_forever()
            finally:
                ended.set()

    async with serving(path, Waiting(with_destinations(1)), SOON) as served:
        client = await served.connect()
        await client.send(b'{"jsonrpc":"2.0","method":"dispatcher.wait_drained","params":["%s"]}' % URI.encode())
        await client.stream.aclose()
        await ended.wait()


async def test_a_change_is_not_broken_off_when_the_client_has_gone(path: Path) -> None:
    operations = steered()
    operations.may_reload = trio.Event()
    async with serving(path, operations, SOON) as served:
        client = await served.connect()
        await client.send(b'{"jsonrpc":"2.0","method":"dispatcher.reload","id":1}', REQUEST)
        await client.stream.aclose()
        await trio.sleep(0.1)
        assert operations.done == []
        operations.may_reload.set()
        await happens(lambda: operations.done)


async def test_garbage_without_end(path: Path) -> None:
    async with serving(path, limits=Limits(stalled=0.05)) as served:
        async with trio.open_nursery() as nursery:

            async def pour(chunk: bytes) -> None:
                client = await served.connect()
                with suppress(trio.BrokenResourceError):  # it reads no answer
                    for _ in range(64):
                        await client.stream.send_all(chunk)
                await client.stream.aclose()

            for chunk in (b"\x00" * 65536, b"\n" * 65536, b"[" * 65536, os.urandom(65536)):
                nursery.start_soon(pour, chunk)
            assert await answers(await served.connect())
        assert await answers(await served.connect())


async def test_a_mistake_of_ours_costs_one_answer(path: Path, logged: list[Any]) -> None:
    class Wrong(Steered):
        async def wait_drained(self, set_id: int, name: str) -> None:
            raise ZeroDivisionError

        def slot(self, key: str) -> Any:
            return {1}

    async with serving(path, Wrong(with_destinations(1))) as served:
        client = await served.connect()
        error = (await client.ask("dispatcher.wait_drained", [URI]))["error"]
        assert error["code"] == -32603
        assert error["data"]["what"] == "this request meets a mistake of the program: ZeroDivisionError"
        assert await answers(client)
        await client.send(b'{"jsonrpc":"2.0","method":"dispatcher.hash","params":[0,"a"],"id":1}')
        assert await client.stream.receive_some(100) == b""
        assert await answers(await served.connect())
    assert [line["log_level"] for line in logged].count("error") == 2


async def test_a_connection_that_fails_costs_itself(
    path: Path, logged: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(path) as served:
        monkeypatch.setattr(control_connection, "read", lambda _: 1 / 0)
        client = await served.connect()
        await client.send(b"{}")
        assert await client.read() is None
        monkeypatch.setattr(control_connection, "read", read)
        assert await answers(await served.connect())
    assert any("a control connection failed" in line["event"] for line in logged)


# --------------------------------------------------------------------------------------------------------------------
# Room


async def test_the_next_is_told_that_there_is_no_room(path: Path, logged: list[Any]) -> None:
    async with serving(path, limits=Limits(clients=2, speak=0.02)) as served:
        first, second = await served.connect(), await served.connect()
        assert await answers(first)
        assert await answers(second)
        for _ in range(2):
            third = await served.connect()
            told = await third.read()
            assert (told["id"], told["error"]["code"]) == (None, 503)
            assert told["error"]["data"]["what"] == "there is no room for another client; connected: 2"
            assert await third.read() is None
        await first.stream.aclose()
        await trio.testing.wait_all_tasks_blocked(0.02)
        assert await answers(await served.connect())
    refused = [line for line in logged if line["event"] == "control clients are refused: too many are there"]
    assert [line["there"] for line in refused] == [2]


async def test_root_and_the_proxys_own_user_have_places_besides(path: Path) -> None:
    async with serving(path, limits=Limits(clients=1, reserved=2, speak=0.02), reserve=True) as served:
        those = [await served.connect() for _ in range(3)]
        assert all([await answers(client) for client in those])
        assert "error" in await (await served.connect()).read()


async def test_who_has_a_reserve_takes_no_place_of_others(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uids = iter([0, 0, 0, 5, 5, 0, 0])
    monkeypatch.setattr(control_server, "peer_of", lambda _: Peer(1, next(uids)))
    opened = open_control_socket(path)
    limits = Limits(clients=2, reserved=2, speak=0.02)
    async with trio.open_nursery() as nursery, AsyncExitStack() as stack:

        def has_reserve(peer: Peer) -> bool:
            return peer.uid == 0

        async def serve(*, task_status: trio.TaskStatus[None]) -> None:
            await serve_control(
                opened, Steered(), METHODS, limits=limits, has_reserve=has_reserve, task_status=task_status
            )

        async def connect() -> Client:
            stream = await stack.enter_async_context(await trio.open_unix_socket(str(path)))
            return Client(stream)

        await nursery.start(serve)
        assert all([await answers(await connect()) for _ in range(4)])  # two in reserve, one root and one other
        assert "error" in await (await connect()).read()
        assert "error" in await (await connect()).read()
        nursery.cancel_scope.cancel()


def test_who_has_a_reserve() -> None:
    assert runs_the_proxy(Peer(1, 0))
    assert runs_the_proxy(Peer(1, os.geteuid()))
    assert not runs_the_proxy(Peer(1, os.geteuid() + 1))


async def test_a_client_that_says_nothing_makes_room(path: Path) -> None:
    async with serving(path, limits=Limits(clients=2, idle=0.1)) as served:
        silent, asking = await served.connect(), await served.connect()
        assert await answers(silent)
        await trio.sleep(0.15)
        assert await answers(asking)
        assert await answers(await served.connect())
        assert await silent.read() is None
        assert await answers(asking)


async def test_a_follower_that_reads_makes_no_room_and_one_that_does_not_does(path: Path) -> None:
    async with serving(path, limits=Limits(clients=1, speak=0.02, idle=0.1)) as served:
        client = await following(served)
        await trio.sleep(0.15)
        assert "error" in await (await served.connect()).read()
        for number in range(1, 4000):
            served.operations.happen(happening(number))
            await trio.lowlevel.checkpoint()
        await trio.sleep(0.15)
        assert await answers(await served.connect())
        assert client.stream.socket.fileno() >= 0


async def test_a_thousand_clients(path: Path) -> None:
    async with serving(path) as served:
        first = await served.connect()
        told: list[int] = []

        async def one() -> None:
            client = await served.connect()
            answer = await client.ask_quietly(REQUEST)
            told.append(answer.get("error", {}).get("code", 0))

        assert await answers(first)
        async with trio.open_nursery() as nursery:
            for _ in range(1000):
                nursery.start_soon(one)
        assert (told.count(0), told.count(503)) == (63, 937)
        assert await answers(first)


async def test_what_clients_begin_and_do_not_end_is_bounded_in_all(path: Path) -> None:
    async with serving(path, limits=Limits(request_bytes=100_000)) as served:
        greedy, modest = await served.connect(), await served.connect()
        await modest.stream.send_all(b'{"jsonrpc": "2.0", "method": "core.echo", "params": ["' + b"x" * 30_000)
        await greedy.stream.send_all(b"[" * 60_000)
        await trio.testing.wait_all_tasks_blocked(0.02)
        await greedy.stream.send_all(b"[" * 60_000)
        told = await greedy.read()
        assert (told["id"], told["error"]["code"]) == (None, 503)
        assert told["error"]["data"]["what"].startswith("there is no room for so long a request")
        await modest.send(b'"], "id": 7}')
        assert len((await modest.read())["result"][0]) == 30_000
        await greedy.send(b"]")
        assert await answers(greedy), "what follows the long line is as good as ever"


# --------------------------------------------------------------------------------------------------------------------
# The end of it


async def test_without_descriptors_it_waits_for_one(
    path: Path, logged: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    accept = trio.socket.SocketType.accept
    failures = iter([errno.ECONNABORTED, errno.EMFILE, errno.EMFILE])
    async with serving(path) as served:
        listening = trio.socket.from_stdlib_socket(socket.socket(socket.AF_UNIX))
        kind = type(listening)
        accept = kind.accept

        async def failing(self: Any) -> Any:
            for number in failures:
                raise OSError(number, os.strerror(number))
            return await accept(self)

        monkeypatch.setattr(kind, "accept", failing)
        assert await answers(await served.connect())
        assert await answers(await served.connect())
        listening.close()
    events = [line["event"] for line in logged]
    assert events.count("control clients cannot be accepted") == 1


async def test_the_socket_goes_with_the_server_and_clients_see_the_end(path: Path) -> None:
    async with serving(path) as served:
        client = await served.connect()
        assert await answers(client)
        served.cancel.cancel()
        with trio.CancelScope(shield=True):
            await happens(lambda: not os.path.lexists(path))
            assert await client.read() is None


async def test_an_error_without_a_remedy_has_one(path: Path) -> None:
    class Short(Steered):
        async def wait_drained(self, set_id: int, name: str) -> None:
            raise OperationError("no")

    async with serving(path, Short(with_destinations(1))) as served:
        error = (await (await served.connect()).ask("dispatcher.wait_drained", [URI]))["error"]
        assert json.dumps(error["data"]) == json.dumps(
            {"what": "no", "where": "dispatcher.wait_drained", "to_do": "see sipdispatch ds list"}
        )
