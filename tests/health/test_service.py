"""The loop around the monitor, on loopback sockets and a clock that jumps."""

from __future__ import annotations

import contextlib
import errno
import itertools
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import attrs
import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from health import service as shell
from health.board import Change, Remembered, Verdict, Word
from health.errorqueue import Origin, SocketError
from health.monitor import Monitor
from health.sending import SendOutcome, SendResult
from health.service import BATCH, REST_S, SAY_AGAIN_S, Service
from health.target import Target
from tests.health.farm import answer, target

LOOPBACKS = ["127.0.0.1", "::1"]
HOME = ("127.0.0.1", 0)


@attrs.define(eq=False)
class Server:
    """A SIP server that answers OPTIONS; silent with status 0.  It answers each request so many times."""

    sock: socket.socket
    status: int = 200
    copies: int = 1
    requests: list[bytes] = attrs.field(factory=list)
    askers: set[tuple[str, int]] = attrs.field(factory=set)

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.sock.getsockname()[:2]
        return host, port

    async def serve(self) -> None:
        while True:
            await trio.lowlevel.wait_readable(self.sock)
            with contextlib.suppress(BlockingIOError):
                while True:
                    request, asker = self.sock.recvfrom(65535)
                    self.requests.append(request)
                    self.askers.add(asker[:2])
                    for _ in range(self.copies if self.status else 0):
                        self.sock.sendto(answer(request, self.status), asker)


@contextlib.contextmanager
def bound(host: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((host, 0))
        sock.settimeout(0)
        yield sock


@contextlib.asynccontextmanager
async def serving(host: str = "127.0.0.1") -> AsyncIterator[Server]:
    with bound(host) as sock:
        async with trio.open_nursery() as nursery:
            server = Server(sock)
            nursery.start_soon(server.serve)
            yield server
            nursery.cancel_scope.cancel()


def closed_port(host: str) -> tuple[str, int]:
    with bound(host) as gone:
        found, port = gone.getsockname()[:2]
        return found, port


@attrs.define(eq=False)
class Running:
    """A service that runs, and what it has told."""

    service: Service = attrs.field(init=False)
    changes: list[Change] = attrs.field(factory=list)
    boards: list[float] = attrs.field(factory=list)
    order: list[str] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.service = Service(on_change=self.note_change, on_board=self.note_board)

    def verdict(self, number: int = 1) -> Verdict:
        return self.service.board().standings[number].state.verdict

    def note_change(self, change: Change) -> None:
        self.changes.append(change)
        self.order.append(f"{change.before}-{change.after}")

    def note_board(self) -> None:
        self.boards.append(trio.current_time())
        self.order.append("board")


@contextlib.asynccontextmanager
async def running(*targets: Target) -> AsyncIterator[Running]:
    """A service that probes these targets."""
    made = Running()
    async with trio.open_nursery() as nursery:
        await nursery.start(made.service.serve)
        await made.service.replace_targets(targets)
        yield made
        nursery.cancel_scope.cancel()


def at(address: tuple[str, int], number: int = 1, **settings: Any) -> Target:
    return target(number, **{"address": address, "source": (address[0], 0), **settings})


@pytest.mark.parametrize("host", LOOPBACKS)
@pytest.mark.parametrize("source", ["its own", None])
async def test_a_server_that_answers_stays_up(
    host: str,
    source: str | None,
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with serving(host) as server, running(at(server.address, source=source and (host, 0))) as r:
        await trio.sleep(10.0)
        assert r.verdict() is Verdict.UP
        assert r.changes == []
        standing = r.service.board().standings[1]
        assert standing.probes == len(server.requests) == r.service.counters.sent == r.service.counters.received
        assert 10 <= standing.probes <= 12
        assert standing.failures == r.service.counters.strays == 0
        assert standing.rtt is not None
        histogram = r.service.histogram(1)
        assert histogram is not None
        assert histogram.count == standing.probes
        (asker,) = server.askers
        via = f"{host}:{asker[1]}" if host == "127.0.0.1" else f"[{host}]:{asker[1]}"
        assert all(f"Via: SIP/2.0/UDP {via};branch=".encode() in request for request in server.requests)


@pytest.mark.parametrize("host", LOOPBACKS)
async def test_a_server_that_freezes_goes_down_and_comes_back(
    host: str, autojump_clock: trio.testing.MockClock
) -> None:
    async with serving(host) as server, running(at(server.address)) as r:
        await trio.sleep(5.0)
        server.status = 0
        frozen = trio.current_time()
        await trio.sleep(3.0)
        assert r.verdict() is Verdict.DOWN
        assert r.changes[-1].at - frozen < 2.2
        server.status = 200
        await trio.sleep(3.0)
        assert r.verdict() is Verdict.UP
        assert r.order == ["board", "up-suspect", "board", "suspect-down", "board", "down-up", "board"]


@pytest.mark.parametrize("host", LOOPBACKS)
async def test_a_closed_port_is_down_at_once(host: str, autojump_clock: trio.testing.MockClock) -> None:
    async with running(at(closed_port(host))) as r:
        await trio.sleep(0.1)
        assert r.verdict() is Verdict.DOWN
        assert r.changes[-1].cause == "connection refused (ICMP)"
        assert r.service.counters.network_errors == {errno.ECONNREFUSED: 2}
        await trio.sleep(5.0)
        assert r.service.counters.sent < 10


async def test_an_error_that_the_next_probe_meets_is_the_earlier_ones(autojump_clock: trio.testing.MockClock) -> None:
    async with running(*(at(closed_port("127.0.0.1"), number) for number in range(1, 21))) as r:
        await trio.sleep(0.2)
        assert [change.after for change in r.changes].count("down") == 20
        assert {change.cause for change in r.changes} == {"connection refused (ICMP)"}
        assert r.service.counters.network_errors == {errno.ECONNREFUSED: r.service.counters.sent}


async def test_an_error_of_this_node_says_nothing_of_the_target(autojump_clock: trio.testing.MockClock) -> None:
    async with serving() as server, running(at(server.address)) as r:
        server.status = 0
        await trio.sleep(0.1)
        own = SocketError(address=server.address, errno=errno.EACCES, origin=Origin.LOCAL, quoted=server.requests[0])
        r.service._note_errors([own])
        assert r.service.board().standings[1].probes == 0
        r.service._note_errors([attrs.evolve(own, origin=Origin.ICMP)])
        assert r.service.board().standings[1].failures == 1


async def test_a_dead_neighbour_takes_nothing_from_a_live_one(autojump_clock: trio.testing.MockClock) -> None:
    async with serving() as server:
        dead = [at(closed_port("127.0.0.1"), number) for number in (2, 3, 4)]
        async with running(at(server.address), *dead) as r:
            await trio.sleep(2.0)
            for _ in range(100):
                for number in (2, 3, 4):
                    r.service.set_word(number, Word.DISABLED, "test")
                    r.service.set_word(number, Word.ENABLED, "test")
                r.service.unanswered(1)
                await trio.sleep(0.1)
            standings = r.service.board().standings
            assert [standings[number].state.verdict for number in (2, 3, 4)] == [Verdict.DOWN] * 3
            assert standings[1].failures == 0
            assert standings[1].probes >= 11
            assert r.service.counters.unsent == {}


async def test_a_refused_request_is_told_before_the_call_returns_and_probed_at_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with serving() as server, running(at(server.address, interval=60.0)) as r:
        await trio.sleep(10.0)
        count = len(server.requests)
        r.order.clear()
        r.service.refused(1)
        assert r.order == ["up-down", "board"]
        assert r.verdict() is Verdict.DOWN
        await trio.sleep(2 * REST_S)
        assert len(server.requests) == count + 1
        await trio.sleep(0.1)
        assert r.order == ["up-down", "board", "down-up", "board"]


async def test_what_traffic_and_operator_say_reaches_the_monitor(autojump_clock: trio.testing.MockClock) -> None:
    async with serving() as server, running(at(server.address, interval=60.0)) as r:
        await trio.sleep(10.0)
        count = len(server.requests)
        r.service.unanswered(1)
        await trio.sleep(1.0)
        assert [change.cause for change in r.changes] == ["requests unanswered", "answered 200 OK"]
        assert len(server.requests) == count + 1
        r.service.unavailable(1, 10.0)
        boards = len(r.boards)
        assert r.service.board().standings[1].avoided_until == trio.current_time() + 10.0
        await trio.sleep(10.1)
        assert r.service.board().standings[1].avoided_until == 0.0
        assert len(r.boards) == boards + 1
        assert r.service.set_word(1, Word.DRAINING, "operator: drain")
        assert not r.service.set_word(99, Word.DRAINING, "operator: drain")
        assert r.service.remembered() == {1: Remembered(Word.DRAINING)}
        r.service.reset([1])
        assert r.service.board().standings[1].state.word is Word.ENABLED
        assert r.changes[-1].cause == "operator: reset"


# What this node cannot do


async def test_a_source_that_is_not_here_makes_no_failure_and_comes_back(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with serving() as server:
        with bound("127.0.0.1") as taken:
            source = taken.getsockname()
            with capture_logs() as logs:
                async with running(at(server.address, source=source)) as r:
                    await trio.sleep(130.0)
                    assert r.changes == []
                    assert r.service.counters.sent == 0
                    assert r.service.board().standings[1].probes == 0
                    taken.close()
                    await trio.sleep(3.0)
                    assert len(server.requests) >= 2
                    assert server.askers == {source}
        assert len(logs) == 3, "once a minute"


@pytest.mark.parametrize("outcome", [SendOutcome.NOT_PERMITTED, SendOutcome.NO_BUFFER, SendOutcome.INVALID])
async def test_what_the_kernel_does_not_take_makes_no_failure(
    outcome: SendOutcome, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving() as server, running(at(server.address)) as r:
        await trio.sleep(3.0)
        monkeypatch.setattr(shell, "send", lambda *_: SendResult(outcome, 1))
        with capture_logs() as logs:
            await trio.sleep(30.0)
        assert r.changes == []
        assert r.service.counters.unsent[outcome] >= 28
        assert [entry["reason"] for entry in logs] == [outcome.sentence]


async def test_a_socket_that_has_gone_makes_no_failure(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving() as server, running(at(server.address)) as r:
        await trio.sleep(3.0)

        def gone(_target: Target) -> socket.socket:
            raise OSError(errno.EMFILE, "Too many open files")

        with monkeypatch.context() as patched, capture_logs() as logs:
            patched.setattr(r.service._sources, "socket_for", gone)
            await trio.sleep(10.0)
        assert r.changes == []
        assert len(logs) == 1
        await trio.sleep(3.0)
        assert r.service.board().standings[1].failures == 0
        assert r.service.counters.mistakes == 0


# What others do to it


async def test_a_callback_that_fails_ends_nothing(autojump_clock: trio.testing.MockClock) -> None:
    def fail(*_arguments: object) -> None:
        raise RuntimeError("a listener's mistake")

    async with serving() as server:
        service = Service(on_change=fail, on_board=fail)
        with capture_logs() as logs:
            async with trio.open_nursery() as nursery:
                await nursery.start(service.serve)
                await service.replace_targets([at(server.address)])
                server.status = 503
                await trio.sleep(3.0)
                server.status = 200
                await trio.sleep(3.0)
                assert service.board().standings[1].state.verdict is Verdict.UP
                assert service.counters.mistakes == 7
                nursery.cancel_scope.cancel()
        assert len(logs) == 1


async def test_a_mistake_of_ours_ends_nothing_and_is_said_once_a_minute(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_timer, real_receive = Monitor.handle_timer, Monitor.receive_datagram
    calls = itertools.count()

    def timer(self: Monitor, now: float) -> None:
        if not next(calls) % 3:
            raise ValueError("a mistake")
        real_timer(self, now)

    def receive(self: Monitor, data: bytes, address: tuple[str, int], now: float) -> bool:
        if not next(calls) % 7:
            raise ValueError("another mistake")
        return real_receive(self, data, address, now)

    def error(*_arguments: object) -> bool:
        raise ValueError("a third mistake")

    monkeypatch.setattr(Monitor, "handle_timer", timer)
    monkeypatch.setattr(Monitor, "receive_datagram", receive)
    monkeypatch.setattr(Monitor, "network_error", error)
    async with serving() as server:
        with capture_logs() as logs:
            async with running(at(server.address), at(closed_port("127.0.0.1"), 2)) as r:
                await trio.sleep(SAY_AGAIN_S + 10.0)
                assert r.service.counters.mistakes > 10
                assert r.service.board().standings[1].probes > 50
        assert len(logs) == 2


async def test_strays_and_floods_are_counted_and_nothing_more(autojump_clock: trio.testing.MockClock) -> None:
    async with serving() as server, running(at(server.address)) as r:
        server.copies = 3 * BATCH  # the first answers, the others are late
        await trio.sleep(1.5)
        (asker,) = server.askers
        server.sock.sendto(b"\xff" * 1000, asker)
        server.sock.sendto(b"", asker)
        await trio.sleep(1.5)
        standing = r.service.board().standings[1]
        assert standing.failures == 0
        assert standing.probes >= 3
        assert r.service.counters.strays == standing.probes * (3 * BATCH - 1) + 2
        assert r.service.counters.mistakes == 0


# Targets that come and go


async def test_sockets_come_and_go_with_the_targets(autojump_clock: trio.testing.MockClock) -> None:
    async with serving() as server, running(at(server.address)) as r:
        await trio.sleep(3.0)
        await r.service.replace_targets([at(server.address, 2, source=("127.0.0.2", 0))])
        server.askers.clear()
        await trio.sleep(3.0)
        assert {host for host, _ in server.askers} == {"127.0.0.2"}
        assert set(r.service.board().standings) == {2}
        assert len(r.service._sources._open) == 1
        await r.service.replace_targets([])
        count = len(server.requests)
        await trio.sleep(3.0)
        assert len(server.requests) == count
        assert r.service._sources._open == {}


async def test_known_and_start_are_the_monitors(autojump_clock: trio.testing.MockClock) -> None:
    async with running() as r:
        targets = [at(closed_port("127.0.0.1"), number, probed=number < 3) for number in (1, 2, 3)]
        await r.service.replace_targets(targets, known={1: Remembered(Word.DRAINING)}, start=Verdict.DOWN)
        standings = r.service.board().standings
        assert standings[1].state.word is Word.DRAINING
        assert [standings[number].state.verdict for number in (1, 2, 3)] == [Verdict.UP, Verdict.DOWN, Verdict.UP]


async def test_a_long_list_keeps_nobody_waiting(autojump_clock: trio.testing.MockClock) -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    dead = closed_port("127.0.0.1")
    targets = [at(dead, number, interval=1000.0) for number in range(1, 2001)]
    async with running() as r, trio.open_nursery() as nursery:
        nursery.start_soon(count)
        await r.service.replace_targets(targets)
        assert turns >= 2000 // shell.CHUNK - 2
        assert len(r.service.board().standings) == 2000
        turns = 0
        await r.service.replace_targets(targets[:10])
        assert turns >= 1990 // shell.CHUNK - 2
        assert len(r.service.board().standings) == 10
        nursery.cancel_scope.cancel()


async def test_two_lists_at_once_take_turns(autojump_clock: trio.testing.MockClock) -> None:
    dead = closed_port("127.0.0.1")
    lists = [[at(dead, number, probed=False) for number in range(start, start + 600)] for start in (1, 301)]
    async with running() as r, trio.open_nursery() as nursery:
        for targets in lists:
            nursery.start_soon(r.service.replace_targets, targets)
        await trio.testing.wait_all_tasks_blocked()
        await trio.sleep(1.0)
        present = set(r.service.board().standings)
        assert present in [{each.number for each in targets} for targets in lists]


async def test_many_targets_take_few_turns(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = 0
    real = Monitor.handle_timer

    def counting(self: Monitor, now: float) -> None:
        nonlocal turns
        turns += 1
        real(self, now)

    monkeypatch.setattr(Monitor, "handle_timer", counting)
    async with serving() as server, running(*(at(server.address, number) for number in range(1, 1001))) as r:
        await trio.sleep(2.0)
        turns = 0
        sent = r.service.counters.sent
        await trio.sleep(3.0)
        assert r.service.counters.sent - sent == pytest.approx(3000, rel=0.1)
        assert turns <= 3.0 / REST_S + 2
        assert r.changes == []


async def test_without_targets_it_sleeps(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = 0

    def counting(_self: Monitor, _now: float) -> None:
        nonlocal turns
        turns += 1

    async with running() as r:
        await trio.sleep(1.0)
        monkeypatch.setattr(Monitor, "handle_timer", counting)
        await trio.sleep(1000.0)
        assert turns <= 1
        assert r.service.counters.sent == 0


async def test_it_closes_its_sockets_at_the_end(autojump_clock: trio.testing.MockClock) -> None:
    async with serving() as server:
        async with running(at(server.address)) as r:
            await trio.sleep(1.0)
            (source,) = r.service._sources._open.values()
        assert source.closed
        assert source.sock.fileno() == -1
