"""Is the end of a proxy seen at once, its return too, and nothing else taken for it?  Over real unix sockets."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing

from sipdispatch import vrrp_track_control
from sipdispatch.control_call import ATTEND
from sipdispatch.control_connection import Limits
from sipdispatch.vrrp_track_control import ANSWER_S, attend_proxy
from tests.sipdispatch.control_world import serving
from tests.sipdispatch.vrrp_said import Said, asking

ADMITTED = b'{"jsonrpc": "2.0", "id": 1, "result": {"attending": true}}\n'
ATTENDS = (True, "attends the proxy")
ENDED = (False, "the proxy has ended")


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path("control.sock")


@asynccontextmanager
async def listening(path: Path, backlog: int = 5) -> AsyncIterator[trio.socket.SocketType]:
    """A socket whose connections the test takes itself; the file stays, as after a kill -9."""
    await trio.Path(path).unlink(missing_ok=True)
    with trio.socket.socket(trio.socket.AF_UNIX) as sock:
        await sock.bind(str(path))
        sock.listen(backlog)
        yield sock


async def take(sock: trio.socket.SocketType, answer: bytes = ADMITTED) -> trio.socket.SocketType:
    connected, _ = await sock.accept()
    assert await connected.recv(1000) == b'{"jsonrpc": "2.0", "method": "core.attend", "id": 1}\n'
    if answer:
        await connected.send(answer)
    return connected


def count_pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between two tries, which take no time then."""
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        await trio.lowlevel.checkpoint()

    monkeypatch.setattr("sipdispatch.vrrp_track_control.trio.sleep", pause)
    return pauses


async def test_it_attends_and_sees_the_end(path: Path) -> None:
    async with asking(partial(attend_proxy, path)) as said:
        assert await said.next() == (False, f"nobody listens on {path}")
        async with serving(path) as served:
            assert await said.until(ok=True) == ATTENDS[1]
            served.cancel.cancel()
        assert await said.next() == ENDED
        async with serving(path):
            assert await said.until(ok=True) == ATTENDS[1]


async def test_it_attends_where_all_places_are_taken(path: Path) -> None:
    async with serving(path, limits=Limits(clients=1)) as served:
        await (await served.connect()).ask("events")
        async with asking(partial(attend_proxy, path)) as said:
            assert await said.next() == ATTENDS


async def test_without_a_seat_the_proxy_is_there_all_the_same(path: Path) -> None:
    async with serving(path, limits=Limits(clients=1, attendants=1, speak=0.05)) as served:
        assert "result" in await (await served.connect()).ask(ATTEND)
        await (await served.connect()).ask("events")
        async with asking(partial(attend_proxy, path)) as said:
            assert await said.next() == (True, "the proxy is there, but: Too Many Clients")


async def test_an_end_whose_way_back_is_open_is_no_death(path: Path) -> None:
    async with listening(path) as sock, asking(partial(attend_proxy, path)) as said:
        for _ in range(3):
            (await take(sock)).close()
            assert await said.next() == ATTENDS
        assert [ok for ok, _ in said.results] == [True] * 3


async def test_a_listening_socket_that_closes_after_the_connections(path: Path) -> None:
    async with asking(partial(attend_proxy, path)) as said:
        async with listening(path) as sock:
            connected = await take(sock)
            assert await said.until(ok=True) == ATTENDS[1]
            connected.close()
            await trio.testing.wait_all_tasks_blocked()  # it has come back, and waits to be accepted
        assert await said.next() == ENDED


async def test_a_proxy_that_lets_in_and_says_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vrrp_track_control, "ANSWER_S", 0.02)
    async with listening(path) as sock, asking(partial(attend_proxy, path)) as said:
        connected = await take(sock, b"")
        assert await said.next() == (False, f"the proxy does not answer on {path}")
        await connected.send(ADMITTED[:7])
        await trio.testing.wait_all_tasks_blocked()
        await connected.send(ADMITTED[7:] + b"more\n")
        assert await said.next() == ATTENDS
        connected.close()
        connected = await take(sock, b"")
        assert await said.next() == (False, f"the proxy does not answer on {path}")
        connected.close()


def test_how_long_it_waits_for_an_answer() -> None:
    assert ANSWER_S == 1.0


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (b'{"error": {"message": "Method Not Found"}}\n', "the proxy is there, but: Method Not Found"),
        (b'{"error": {"message": ""}}\n', "the proxy is there, but: it gives no reason"),
        (b'{"error": {}}\n', "the proxy is there, but: what answers is no sipdispatch proxy"),
        (b'{"error": 5}\n', "the proxy is there, but: what answers is no sipdispatch proxy"),
        (b"5\n", "the proxy is there, but: what answers is no sipdispatch proxy"),
        (b"\n", "the proxy is there, but: what answers is no sipdispatch proxy"),
        (b"HTTP/1.1 400\n", "the proxy is there, but: what answers is no sipdispatch proxy"),
        (b"[" * 20_000, "the proxy is there, but: what answers is no sipdispatch proxy"),
    ],
)
async def test_another_answer(path: Path, answer: bytes, detail: str) -> None:
    async with listening(path) as sock, asking(partial(attend_proxy, path)) as said:
        connected = await take(sock, answer)
        assert await said.next() == (True, detail)
        connected.close()


async def test_the_pauses_grow_until_it_is_let_in(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = count_pauses(monkeypatch)
    async with asking(partial(attend_proxy, path)) as said:
        for _ in range(12):
            assert await said.next() == (False, f"nobody listens on {path}")
        async with listening(path) as sock:
            connected = await take(sock)
            assert await said.until(ok=True) == ATTENDS[1]
            grown = len(pauses)
            connected.close()
        assert await said.next() == ENDED
        assert await said.next() == ENDED
    assert pauses[:12] == [0.0, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.5, 0.5]
    assert 0.0 in pauses[grown:]


def failing(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every connect fail so: root is denied nothing."""

    class Socket(socket.socket):
        def connect(self, _: object) -> None:
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr("sipdispatch.vrrp_track_control.socket.socket", Socket)


@pytest.mark.parametrize(
    ("number", "detail"),
    [
        (errno.EACCES, "permission denied on control.sock"),
        (errno.EPERM, "permission denied on control.sock"),
        (errno.ENOTDIR, "nobody listens on control.sock"),
        (errno.EMFILE, "too many open files: control.sock"),
        (errno.EAGAIN, "the proxy does not answer on control.sock: too many wait before this agent"),
    ],
)
async def test_why_it_cannot_connect(number: int, detail: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said = Said()
    failing(number, monkeypatch)
    with trio.move_on_after(0.01):
        await attend_proxy(Path("control.sock"), said)
    assert said.results[0] == (False, detail)


async def test_a_path_that_is_too_long(path: Path) -> None:
    long = path.with_name("x" * 200)
    async with asking(partial(attend_proxy, long)) as said:
        assert await said.next() == (False, f"af_unix path too long: {long}")
