"""What a running proxy tells of itself, by itself and over HTTP."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import httpx
import pytest
import trio

from dispatcher.fastpath import PacketPath
from dispatcher.listener import Listener
from dispatcher.selection import sketch
from dispatcher.service import Service
from health.board import State, Verdict, Word
from sip.message import Message
from sipdispatch import proxy
from sipdispatch.chronicle import About
from sipdispatch.config import Config, Flags, Health, Http, Sections
from sipdispatch.load import load
from sipdispatch.rates import WINDOW_S, Rates
from sipdispatch.running import Identity, Running, shares_of
from tests.dispatcher.world import KEY, SERVER_A, SERVER_B, destination, reply_to, request
from tests.peers.ports import free_port

pytestmark = pytest.mark.usefixtures("without_slot_tables")


@attrs.define
class Stage:
    service: Service
    server: trio.socket.SocketType
    phone: trio.socket.SocketType
    http: str
    list_file: Path

    async def get(self, path: str) -> httpx.Response:
        async with httpx.AsyncClient() as client:
            return await client.get(self.http + path, timeout=10)

    async def call(self) -> None:
        """An INVITE that the server answers with 100."""
        await self.phone.sendto(request(via="127.0.0.1:9"), self.service.snapshot.listeners[0].address)
        payload, source = await self.server.recvfrom(65535)
        await self.server.sendto(reply_to(Message.parse(payload), "100 Trying"), source)
        await self.phone.recvfrom(65535)


@asynccontextmanager
async def staged(folder: Path) -> AsyncIterator[Stage]:
    port = free_port("127.0.0.1")
    with (
        trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server,
        trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone,
    ):
        await server.bind(("127.0.0.67", 0))
        await phone.bind(("127.0.0.1", 0))
        list_file = folder / "dispatcher.list"
        list_file.write_text(f"1 sip:127.0.0.67:{server.getsockname()[1]} 0 0 weight=3\n")
        path = folder / "sipdispatch.toml"
        path.write_text(f'[proxy]\nlisten = "127.0.0.1:9"\nstate_dir = "{folder}"\nlist = "dispatcher.list"\n')
        loaded = load(path, Flags(set_id=1))
        assert isinstance(loaded, Config), loaded
        config = attrs.evolve(
            loaded,
            proxy=attrs.evolve(loaded.proxy, listen=(Listener("udp", ("127.0.0.1", 0)),)),
            sections=Sections(health=Health(enabled=False), http=Http(listen=("127.0.0.1", port))),
        )
        with trio.fail_after(30):
            async with trio.open_nursery() as nursery:
                service: Service = await nursery.start(proxy.serve, config)
                yield Stage(service, server, phone, f"http://127.0.0.1:{port}", list_file)
                nursery.cancel_scope.cancel()


async def test_http_tells_of_calls_and_of_who_answered_them(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await stage.call()
        status = (await stage.get("/api/v1/status")).json()
        assert status["serving"] is True
        assert (status["counters"]["received"], status["counters"]["forwarded"]) == (2, 2)
        (one,) = (await stage.get("/api/v1/destinations")).json()["sets"]
        (told,) = one["destinations"]
        assert (told["requests"], told["calls_begun"], told["replies"]["1xx"]) == (1, 1, 1)
        assert told["calls_active"] == 1
        assert (told["weight"], told["share"], told["letters"], told["state"]) == (3, 1.0, "AX", "up")
        assert sum(told["answer_times"]["counts"]) == 1
        assert 0 <= status["now"] - told["last_seen"] < 30
        assert 0 <= status["now"] - told["since"] < 30
        metrics = (await stage.get("/metrics")).text
        assert 'sipdispatch_dropped_total{reason="edge_to_edge"} 0' in metrics
        assert (await stage.get("/readyz")).status_code == 200


async def test_a_path_that_could_not_start_its_threads_is_not_said_to_run(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        stage.service.why_no_threads = "[Errno 11] Resource temporarily unavailable"
        status = (await stage.get("/api/v1/status")).json()
        assert status["packet_path"] == "pure Python"
        assert status["packet_path_why"] == (
            "the fast path cannot start its threads: [Errno 11] Resource temporarily unavailable"
        )


async def test_what_has_happened_is_told_in_order(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        stage.service._witness.refused(stage.service.snapshot.numbers[0])
        while stage.service.snapshot.serving:  # noqa: ASYNC110 - what is waited for has no event
            await trio.sleep(0.01)
        assert (await stage.get("/readyz")).status_code == 503
        started, event = (await stage.get("/api/v1/events")).json()["events"]
        assert (started["kind"], started["after"]) == ("proxy", "started")
        assert (event["kind"], event["before"], event["after"], event["set"]) == ("verdict", "up", "down", 1)
        assert "ICMP" in event["cause"]
        named = (await stage.get(f"/api/v1/events?set=1&name={event['uri']}")).json()["events"]
        assert named == [event]
        assert (await stage.get("/api/v1/events?set=2")).json()["events"] == []


def test_shares_are_of_those_that_take_new_work() -> None:
    pool = sketch(
        1,
        [
            destination(SERVER_A, weight=3),
            destination(SERVER_B, weight=1),
            destination(("192.0.2.13", 5060), weight=4),
            destination(("192.0.2.14", 5060)),
        ],
        KEY,
    )
    up, down = State().code, State(verdict=Verdict.DOWN).code
    assert shares_of(pool, bytes((up, up, down, up))) == {0: 0.75, 1: 0.25}
    assert shares_of(pool, bytes((down, State(Word.DRAINING).code, down, up))) == {3: 1.0}, "the last resort"
    assert shares_of(pool, bytes((down,) * 4)) == {}


def test_a_rate_is_the_mean_of_the_last_seconds() -> None:
    rates: Rates[str] = Rates()
    assert rates.of("a") == 0.0
    rates.look({"a": 0}, 0.0)
    assert rates.of("a") == 0.0
    rates.look({"a": 10}, 1.0)
    assert rates.of("a") == 10.0
    for second in range(2, 30):
        rates.look({"a": 10, "b": 2 * second}, float(second))
    assert rates.of("a") == 0.0
    assert rates.of("b") == pytest.approx(2.0)
    assert rates.of("c") == 0.0
    assert len(rates._seen) <= WINDOW_S + 2


def test_the_history_of_a_set_is_what_is_remembered_of_all() -> None:
    path = PacketPath(compiled=True, why_not="")
    identity = Identity(listeners=(), list_path="", secret_fingerprint="", started=0.0, probing=True, packet_path=path)
    running = Running(identity)
    for set_id in (1, 2, 1, None):
        running.chronicle.record("verdict", "up", "down", "", 0.0, about=About(set_id=set_id, number=set_id or 0))
    assert [each.sequence for each in running.history(1)] == [1, 3]
