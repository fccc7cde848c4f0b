"""Does the HTTP server hold against clients of every kind, and start and end as the proxy wants?"""

from __future__ import annotations

import errno
import logging
import signal
import socket
import struct
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import attrs
import httpx
import pytest
import structlog.testing
import trio
import trio.testing

from sip.uri import Address, host_port
from sipdispatch.errors import CommandError
from sipdispatch.facts import ProxyFacts
from sipdispatch.http import _why_not, listening_socket, serve_http
from sipdispatch.http_connections import _Connection
from sipdispatch.http_limits import Limits
from tests.sipdispatch.fake_operations import EMPTY, FakeOperations, happening, with_destinations

LIMITS = Limits()
GET = b"GET %s HTTP/1.1\r\nHost: proxy\r\n\r\n"
WEBSOCKET = (
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
HTTP_2 = (
    b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close, Upgrade, HTTP2-Settings\r\n"
    b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n"
)
BIG = with_destinations(2000)
"""Nine megabytes of metrics: more than the buffers of two sockets take."""


@pytest.fixture
def leaping_clock() -> trio.testing.MockClock:
    """Time passes when nobody has anything to do, and what is on its way through the kernel has had time to arrive."""
    return trio.testing.MockClock(autojump_threshold=0.02)


@asynccontextmanager
async def serving(
    operations: FakeOperations, host: str = "127.0.0.1", limits: Limits = LIMITS
) -> AsyncIterator[Address]:
    async with trio.open_nursery() as nursery:

        async def serve(*, task_status: trio.TaskStatus[Address]) -> None:
            await serve_http((host, 0), operations, limits=limits, task_status=task_status)

        yield await nursery.start(serve)
        nursery.cancel_scope.cancel()


async def connect(address: Address, *, receive_buffer: int | None = None) -> trio.SocketStream:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    sock = trio.socket.socket(family, socket.SOCK_STREAM)
    if receive_buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    try:
        await sock.connect(address)
    except OSError:
        sock.close()
        raise
    return trio.SocketStream(sock)


async def read_to_end(stream: trio.SocketStream) -> bytes:
    """What comes until the server closes or resets the connection."""
    received = b""
    try:
        async for part in stream:
            received += part
    except trio.BrokenResourceError:
        received += b"<reset>"
    return received


async def ask(address: Address, request: bytes) -> bytes:
    """The answer to these bytes; the server must close the connection by itself."""
    async with await connect(address) as stream:
        await stream.send_all(request)
        return await read_to_end(stream)


async def is_well(address: Address) -> bool:
    answer = await ask(address, b"GET /healthz HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\n\r\n")
    return answer.startswith(b"HTTP/1.1 200") and answer.endswith(b'{"status":"alive"}')


# --------------------------------------------------------------------------------------------------------------------
# Starting and ending


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_it_serves_both_families(host: str) -> None:
    async with serving(FakeOperations(with_destinations(3)), host) as address, httpx.AsyncClient() as client:
        assert address[0] == host
        for path in ("/", "/metrics", "/readyz", "/api/v1/destinations"):
            answer = await client.get(f"http://{host_port(address)}{path}")
            assert answer.status_code == 200
            assert "server" not in answer.headers


async def test_it_listens_at_its_address_only() -> None:
    async with serving(FakeOperations(), "127.0.0.1") as (_, port):
        with pytest.raises(ConnectionRefusedError):
            await connect(("127.0.0.2", port))


async def test_all_addresses_of_ipv6_are_none_of_ipv4() -> None:
    async with serving(FakeOperations(), "::") as (_, port):
        assert await is_well(("::1", port))
        with pytest.raises(ConnectionRefusedError):
            await connect(("127.0.0.1", port))


async def test_a_taken_port_is_said_at_the_start() -> None:
    async with serving(FakeOperations()) as (host, port):
        with pytest.raises(CommandError) as caught:
            await serve_http((host, port), FakeOperations())
    [fault] = caught.value.faults
    assert fault.what == "HTTP cannot be served there: the port is taken by another process"
    assert fault.where == f"[http] listen = '127.0.0.1:{port}'"
    assert f"ss -ltnp 'sport = :{port}'" in fault.remedy


def test_an_address_of_another_node_is_said_at_the_start() -> None:
    with pytest.raises(CommandError, match="the address is not on this node"):
        listening_socket(("192.0.2.1", 0))


def test_an_address_that_is_none_is_said_at_the_start() -> None:
    with pytest.raises(CommandError, match="HTTP cannot be served there: "):
        listening_socket(("proxy.invalid", 0))


@pytest.mark.parametrize(
    ("number", "what"),
    [(errno.EACCES, "port 80 needs a privilege that this process does not have"), (errno.EIO, "Input/output error")],
)
def test_other_reasons_are_said_too(number: int, what: str) -> None:
    error = OSError(number, "Input/output error")
    assert what in str(_why_not(error, 80, "there"))


@pytest.mark.parametrize("package", ["starlette", "hypercorn", "prometheus_client"])
async def test_a_missing_package_is_said_with_what_to_install(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(CommandError) as caught:
        await serve_http(("127.0.0.1", 0), FakeOperations())
    [fault] = caught.value.faults
    assert package in fault.what
    assert "pip install 'sipdispatch[http]'" in fault.remedy


async def test_signals_and_the_standard_log_are_left_alone() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    async with serving(FakeOperations()) as address:
        assert await is_well(address)
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before
    assert logging.getLogger("hypercorn.error").handlers == []
    assert logging.getLogger("hypercorn.access").handlers == []


async def test_it_ends_at_once_whatever_its_clients_do(leaping_clock: trio.testing.MockClock) -> None:
    async with serving(FakeOperations(BIG)) as address:
        streams = [await connect(address, receive_buffer=4096) for _ in range(4)]
        _idle, half, deaf, follower = streams
        await half.send_all(b"GET /met")
        await deaf.send_all(GET % b"/metrics")
        await follower.send_all(GET % b"/api/v1/events?follow")
        await follower.receive_some(1)
        await deaf.receive_some(1)
        await trio.sleep(1)  # all of them are stuck now
        before = trio.current_time()
    assert trio.current_time() == before
    for stream in streams:
        await stream.aclose()


# --------------------------------------------------------------------------------------------------------------------
# Clients


async def test_a_connection_serves_several_requests() -> None:
    async with serving(FakeOperations()) as address, await connect(address) as stream:
        await stream.send_all(GET % b"/healthz" * 2 + b"GET /nope HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        answer = await read_to_end(stream)
    assert answer.count(b"HTTP/1.1 200 ") == 2
    assert answer.count(b"HTTP/1.1 404 ") == 1
    assert b"server:" not in answer.lower()


async def test_head_has_no_body_on_the_wire() -> None:
    async with serving(FakeOperations(BIG)) as address:
        answer = await ask(address, b"HEAD /metrics HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"\r\n\r\n")
    assert b"sipdispatch" not in answer


async def test_an_old_client_gets_its_answer_too() -> None:
    async with serving(FakeOperations(with_destinations(5))) as address:
        answer = await ask(address, b"GET /metrics HTTP/1.0\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"chunked" not in head.lower()
    assert body.startswith(b"# HELP")


async def test_a_body_is_refused_and_not_read() -> None:
    async with serving(FakeOperations()) as address:
        answer = await ask(address, b"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nabc")
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert await is_well(address)


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(300) + b"\r\n\r\n", b"400"),
        (b"OPTIONS sip:s@127.0.0.1 SIP/2.0\r\nCall-ID: 1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: " + b"y" * 9000 + b"\r\n\r\n", b"431"),
        (b"GET /" + b"y" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", b"400"),
        (WEBSOCKET, b"403"),
    ],
)
async def test_what_is_no_request_of_ours_is_refused(
    request_bytes: bytes, status: bytes, leaping_clock: trio.testing.MockClock
) -> None:
    with structlog.testing.capture_logs() as logged:
        async with serving(FakeOperations()) as address:
            answer = await ask(address, request_bytes)
            assert answer.startswith(b"HTTP/1.1 " + status)
            assert b"server:" not in answer.lower()
            assert await is_well(address)
    assert [line["event"] for line in logged] == ["HTTP is served"]


async def test_nobody_gets_http_2() -> None:
    async with serving(FakeOperations()) as address:
        assert (await ask(address, HTTP_2)).startswith(b"HTTP/1.1 200 ")
        answer = await ask(address, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert not answer.startswith(b"\x00")
        assert await is_well(address)


async def test_a_head_that_does_not_end_is_not_waited_for(leaping_clock: trio.testing.MockClock) -> None:
    async with serving(FakeOperations()) as address, await connect(address) as stream:
        begun = trio.current_time()

        async def trickle() -> None:
            for byte in GET % b"/healthz":
                await stream.send_all(bytes([byte]))
                await trio.sleep(1)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(trickle)
            assert await read_to_end(stream) in (b"", b"<reset>")
            nursery.cancel_scope.cancel()
        assert trio.current_time() - begun == pytest.approx(LIMITS.idle_s, abs=0.5)


async def test_a_client_that_does_not_read_is_let_go(leaping_clock: trio.testing.MockClock) -> None:
    with structlog.testing.capture_logs() as logged:
        async with (
            serving(FakeOperations(BIG), limits=Limits(connections=2)) as address,
            await connect(address, receive_buffer=4096) as deaf,
        ):
            await deaf.send_all(GET % b"/metrics")
            await deaf.receive_some(1)
            assert await is_well(address)
            await trio.sleep(LIMITS.send_s + 1)
            received = await read_to_end(deaf)
            assert received.endswith(b"<reset>")
            assert len(received) < 9_000_000
            async with await connect(address):
                assert await is_well(address)  # its place is free again
    said = [line for line in logged if line["log_level"] == "warning"]
    assert [line["event"] for line in said] == ["an HTTP client does not read its answer; the connection is closed"]
    assert said[0]["client"] == "127.0.0.1"


async def test_a_client_that_goes_ends_its_answer(leaping_clock: trio.testing.MockClock) -> None:
    operations = FakeOperations(BIG)
    async with serving(operations, limits=Limits(connections=1)) as address:
        for path in (b"/api/v1/events?follow", b"/metrics"):
            async with await connect(address, receive_buffer=4096) as stream:
                await stream.send_all(GET % path)
                await stream.receive_some(1)
            begun = trio.current_time()
            await trio.sleep(0.5)
            assert operations.followers == []
            assert await is_well(address)
            assert trio.current_time() - begun < 1


async def test_nothing_is_made_for_a_client_that_has_gone(
    monkeypatch: pytest.MonkeyPatch, leaping_clock: trio.testing.MockClock
) -> None:
    gone = False
    made_for_nobody = 0

    def endless(*_of: object) -> Iterator[str]:
        nonlocal made_for_nobody
        while made_for_nobody < 10_000:
            made_for_nobody += gone
            yield "x" * 1000

    monkeypatch.setattr("sipdispatch.http_app.pieces", endless)
    async with serving(FakeOperations()) as address:
        async with await connect(address, receive_buffer=4096) as stream:
            await stream.send_all(GET % b"/metrics")
            await stream.receive_some(1)
        gone = True
        await trio.sleep(0.5)
        assert made_for_nobody < 100


async def test_a_client_may_be_gone_before_it_is_served() -> None:
    with structlog.testing.capture_logs() as logged:
        async with serving(FakeOperations()) as address:
            for _ in range(3):
                with socket.create_connection(address) as gone:
                    gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            assert await is_well(address)
    assert [line["event"] for line in logged] == ["HTTP is served"]


async def test_there_are_so_many_connections_and_no_more(leaping_clock: trio.testing.MockClock) -> None:
    with structlog.testing.capture_logs() as logged:
        async with serving(FakeOperations(), limits=Limits(connections=2)) as address:
            async with await connect(address), await connect(address):
                for _ in range(3):
                    answer = await ask(address, GET % b"/healthz")
                    assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
                    assert answer.endswith(b'{"error": {"status": 503, "message": "too many connections"}}')
            await trio.sleep(0.1)
            assert await is_well(address)
    warnings = [line["event"] for line in logged if line["log_level"] == "warning"]
    assert warnings == ["an HTTP client was refused: too many connections"]


async def test_a_thousand_clients_are_told_and_then_forgotten(leaping_clock: trio.testing.MockClock) -> None:
    async with serving(FakeOperations()) as address:
        async with AsyncExitStack() as stack:
            for number in range(400):
                stream = await stack.enter_async_context(await connect(address))
                if number > 350:
                    assert (await read_to_end(stream)).startswith(b"HTTP/1.1 503 ")
        await trio.sleep(0.1)
        assert await is_well(address)


async def test_a_place_is_free_as_soon_as_its_client_has_gone() -> None:
    """Not after the time that an idle connection may have: a client that connects for each request needs one place."""
    async with serving(FakeOperations(), limits=Limits(connections=4)) as address:
        for _ in range(40):
            assert await is_well(address)


# --------------------------------------------------------------------------------------------------------------------
# While the proxy works


async def test_a_scrape_is_of_one_moment_while_the_facts_change() -> None:
    operations = FakeOperations(attrs.evolve(BIG, snapshot_version=1))
    async with serving(operations) as address, await connect(address, receive_buffer=65536) as stream:
        await stream.send_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        first = await stream.receive_some(4096)
        operations.told = attrs.evolve(with_destinations(5), snapshot_version=2)
        rest = await read_to_end(stream)
    text = bytes(first) + rest
    assert b"\nsipdispatch_snapshot_version 1\n" in text
    assert text.count(b"\nsipdispatch_destination_up{") == 2000


async def test_what_happens_reaches_a_follower_at_once() -> None:
    operations = FakeOperations()
    async with serving(operations) as address, await connect(address) as stream:
        await stream.send_all(GET % b"/api/v1/events?follow")
        received = b""
        while b"retry:" not in received:
            received += await stream.receive_some()
        operations.happen(happening(1))
        while b"id: 1\n" not in received:
            received += await stream.receive_some()
    assert b"content-type: text/event-stream" in received


async def test_a_mistake_of_ours_costs_an_answer(leaping_clock: trio.testing.MockClock) -> None:
    class Broken(FakeOperations):
        def facts(self) -> ProxyFacts:
            raise ZeroDivisionError

    with structlog.testing.capture_logs() as logged:
        async with serving(Broken()) as address:
            answer = await ask(address, GET % b"/metrics")
            assert answer.startswith(b"HTTP/1.1 500 ")
            assert b"ZeroDivision" not in answer
            assert await is_well(address)
    [line] = [line for line in logged if line["log_level"] == "error"]
    assert line["event"] == "answering an HTTP request failed by a mistake in this program"


async def test_a_mistake_around_a_connection_costs_that_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_self: _Connection) -> None:
        raise ZeroDivisionError

    with structlog.testing.capture_logs() as logged:
        async with serving(FakeOperations()) as address:
            with monkeypatch.context() as patch:
                patch.setattr(_Connection, "run", fail)
                assert await ask(address, b"") == b""
            assert await is_well(address)
    [line] = [line for line in logged if line["log_level"] == "error"]
    assert line["event"] == "serving HTTP failed by a mistake in this program; the connection is closed"


async def test_a_want_of_file_descriptors_passes(
    monkeypatch: pytest.MonkeyPatch, leaping_clock: trio.testing.MockClock
) -> None:
    accept = trio.SocketListener.accept
    failures = 3

    async def want(self: trio.SocketListener) -> trio.SocketStream:
        nonlocal failures
        if failures:
            failures -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return await accept(self)

    monkeypatch.setattr(trio.SocketListener, "accept", want)
    with structlog.testing.capture_logs() as logged:
        async with serving(FakeOperations(EMPTY)) as address:
            assert await is_well(address)
    assert [line["event"] for line in logged if line["log_level"] == "warning"] == ["no connection can be accepted"]
