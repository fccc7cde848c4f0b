"""The loop over real sockets on loopback: what arrives is forwarded, answered or counted, and nothing waits for DNS."""

import math
import random
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_network

import attrs
import pytest
import structlog.testing
import trio
import trio.testing

from dispatcher.algorithm import DEFAULT, Ranking
from dispatcher.engine import Engine
from dispatcher.fastpath import WHY_NOT
from dispatcher.limits import LimitPolicy
from dispatcher.listener import Listener
from dispatcher.logbudget import INTERVAL_S
from dispatcher.outcome import DropReason, Refusal
from dispatcher.recent import RecentChoices
from dispatcher.selection import tabled
from dispatcher.service import BATCH, MAX_LOOKUPS_A_REQUEST, MAX_WAITING, Service
from dispatcher.snapshot import Policy
from dispatcher.sockets import open_listener
from health.errorqueue import Origin, SocketError
from health.sending import SendOutcome
from health.unanswered import SILENCE_S
from sip.message import Message
from sip.uri import Address
from tests.dispatcher.namespace import run_in_namespace
from tests.dispatcher.pools import coarse
from tests.dispatcher.world import destination, make_snapshot, reply_to, request
from tests.peers.need import missing

SERVER_HOST = "127.0.0.66"
PATHS = ["python", "compiled"]


@pytest.fixture(params=PATHS)
def engine(request: pytest.FixtureRequest) -> Engine | None:
    """None for Python's own path, else what a service has of the compiled one."""
    if request.param == "python":
        return None
    if WHY_NOT:
        missing(WHY_NOT)
    return Engine(64, workers=2)


class Names:
    """A name service that answers when the test says so."""

    def __init__(self, known: dict[str, tuple[Address, ...]] | None = None) -> None:
        self.known = known or {}
        self.asked: list[str] = []
        self.release = trio.Event()

    def get(self, host: str, port: int | None, transport: str) -> tuple[Address, ...] | None:
        return self.known.get(host)

    async def fetch(self, host: str, port: int | None, transport: str) -> tuple[Address, ...] | None:
        self.asked.append(host)
        await self.release.wait()
        return self.known.get(host)


@attrs.define
class Heard:
    """A witness: what it was told, in order."""

    refusing: list[int] = attrs.Factory(list)
    silent: list[int] = attrs.Factory(list)
    busy: list[tuple[int, float]] = attrs.Factory(list)

    def refused(self, number: int) -> None:
        self.refusing.append(number)

    def unanswered(self, number: int) -> None:
        self.silent.append(number)

    def unavailable(self, number: int, seconds: float) -> None:
        self.busy.append((number, seconds))


@attrs.define
class Bench:
    """A running service, one server that it dispatches to and one phone."""

    service: Service
    proxy: Address
    server: trio.socket.SocketType
    phone: trio.socket.SocketType
    heard: Heard

    async def ask(self, payload: bytes) -> None:
        await self.phone.sendto(payload, self.proxy)

    async def counted(self, count: int) -> None:
        """Wait until the service has dealt with so many datagrams."""
        with trio.fail_after(5):
            await until(lambda: self.service.counters.received >= count)


async def until(true: Callable[[], bool]) -> None:
    """Wait for what the service does by itself: it has no one to tell."""
    with trio.fail_after(20):
        while not true():  # noqa: ASYNC110 - the service has no event for a test
            await trio.sleep(0.001)


async def _udp(host: str) -> trio.socket.SocketType:
    sock = trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    await sock.bind((host, 0))
    return sock


async def _from(sock: trio.socket.SocketType) -> tuple[bytes, Address]:
    with trio.fail_after(5):
        payload, source = await sock.recvfrom(65535)
    return payload, source


@asynccontextmanager
async def running(
    engine: Engine | None, names: Names | None = None, policy: Policy | None = None
) -> AsyncIterator[Bench]:
    server, phone = await _udp(SERVER_HOST), await _udp("127.0.0.1")
    opened = open_listener(Listener("udp", ("127.0.0.1", 0)), receive_buffer_bytes=1 << 20, send_buffer_bytes=1 << 20)
    heard = Heard()
    snapshot = make_snapshot(
        destination(server.getsockname()), listeners=(opened.listener,), policy=policy or Policy(algorithm=DEFAULT)
    )
    pools = {set_id: tabled(pool, tuple(Ranking), coarse) for set_id, pool in snapshot.pools.items()}
    service = Service(
        [opened],
        attrs.evolve(snapshot, pools=pools),  # without tables the compiled path would choose for nobody
        names=names or Names(),
        recent=RecentChoices(64) if engine is None else engine.recent,
        rng=random.Random(1),
        witness=heard,
        engine=engine,
    )
    with server, phone:
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(service.serve)
                yield Bench(service, opened.listener.address, server, phone, heard)
                nursery.cancel_scope.cancel()
        finally:
            opened.close()


async def test_a_request_goes_to_the_server_and_its_reply_back(engine: Engine | None) -> None:
    async with running(engine) as bench:
        await bench.ask(request(via="127.0.0.1:9"))
        payload, proxy = await _from(bench.server)
        assert proxy == bench.proxy
        await bench.server.sendto(reply_to(Message.parse(payload)), proxy)
        answer, _ = await _from(bench.phone)
        assert answer.startswith(b"SIP/2.0 200 OK\r\n")
        counters = bench.service.counters
        assert counters.received == 2
        await until(lambda: bench.service.counters.forwarded == 2)
        assert counters.by_fast_path == (0 if engine is None else 2)
        assert counters.requests == {1000: 1}
        assert counters.replies == {(1000, 2): 1}


async def test_a_call_is_counted_once_and_its_server_by_how_fast_it_answers(engine: Engine | None) -> None:
    async with running(engine) as bench:
        for _ in range(2):
            await bench.ask(request(via="127.0.0.1:9"))
            payload, proxy = await _from(bench.server)
            await bench.server.sendto(reply_to(Message.parse(payload), "100 Trying"), proxy)
            await _from(bench.phone)
        counters = bench.service.counters
        assert bench.service.calls.begun(1000) == 1, "a retransmission is no call"
        assert bench.service.calls.active(1000) == 1
        await bench.server.sendto(reply_to(Message.parse(payload), "486 Busy Here"), proxy)
        await _from(bench.phone)
        assert bench.service.calls.active(1000) == 0
        assert counters.answer_times[1000].count == 2
        assert 0 < counters.last_seen[1000] <= trio.current_time()


async def test_a_503_with_retry_after_is_heard(engine: Engine | None) -> None:
    async with running(engine) as bench:
        await bench.ask(request(via="127.0.0.1:9"))
        payload, proxy = await _from(bench.server)
        busy = reply_to(Message.parse(payload), "503 Service Unavailable")
        await bench.server.sendto(busy.replace(b"\r\n\r\n", b"\r\nRetry-After: 7\r\n\r\n"), proxy)
        await _from(bench.phone)
        await until(lambda: bench.heard.busy == [(1000, 7)])


async def test_a_503_speaks_for_a_server_in_each_of_its_sets(engine: Engine | None) -> None:
    async with running(engine) as bench:
        address = bench.server.getsockname()
        listeners = bench.service.snapshot.listeners
        bench.service.swap(make_snapshot(destination(address, set_id=2), destination(address), listeners=listeners))
        await bench.ask(request(via="127.0.0.1:9"))
        payload, proxy = await _from(bench.server)
        busy = reply_to(Message.parse(payload), "503 Service Unavailable")
        await bench.server.sendto(busy.replace(b"\r\n\r\n", b"\r\nRetry-After: 7\r\n\r\n"), proxy)
        await _from(bench.phone)
        await until(lambda: bench.heard.busy == [(1000, 7), (1001, 7)])


async def test_a_503_of_a_phone_under_the_address_of_a_server_is_not_believed(engine: Engine | None) -> None:
    async with running(engine) as bench:
        host, port = bench.server.getsockname()
        to_phone = request(uri=f"sip:bob@127.0.0.1:{bench.phone.getsockname()[1]}", via=f"{host}:{port}")
        await bench.server.sendto(to_phone, bench.proxy)
        payload, proxy = await _from(bench.phone)
        forged = reply_to(Message.parse(payload), "503 Service Unavailable")
        # What a phone with the server's address on its packets would send.
        await bench.server.sendto(forged.replace(b"\r\n\r\n", b"\r\nRetry-After: 3600\r\n\r\n"), proxy)
        await _from(bench.server)
        await trio.testing.wait_all_tasks_blocked()
        assert bench.heard.busy == []


async def test_who_takes_requests_and_answers_nothing_is_heard_of_and_who_answers_is_not(engine: Engine | None) -> None:
    async with running(engine) as bench:
        await bench.ask(request(via="127.0.0.1:9"))
        await _from(bench.server)
        assert bench.service._unanswered.overdue(math.inf) == (1000,)
        await bench.ask(request(via="127.0.0.1:9"))
        payload, proxy = await _from(bench.server)
        await bench.server.sendto(reply_to(Message.parse(payload)), proxy)
        await _from(bench.phone)
        assert bench.service._unanswered.overdue(math.inf) == ()
        bench.service._unanswered.sent(1000, trio.current_time() - SILENCE_S)
        with trio.fail_after(5):
            await until(lambda: bench.heard.silent == [1000])


async def test_answers_and_drops_are_counted_by_what_they_are(engine: Engine | None) -> None:
    async with running(engine) as bench:
        await bench.ask(request(max_forwards=0))
        answer, _ = await _from(bench.phone)
        assert answer.startswith(b"SIP/2.0 483 ")
        await bench.ask(b"\r\n\r\n")
        await bench.ask(request("OPTIONS", f"sip:s@127.0.0.1:{bench.proxy[1]}"))
        answer, _ = await _from(bench.phone)
        assert answer.startswith(b"SIP/2.0 200 ")
        counters = bench.service.counters
        assert counters.answered == {483: 1, 200: 1}
        assert counters.refused == {Refusal.TOO_MANY_HOPS: 1}
        assert counters.dropped == {DropReason.KEEPALIVE: 1}


async def test_more_than_a_batch_is_read_without_leaving_anything_behind(engine: Engine | None) -> None:
    async with running(engine) as bench:
        for number in range(3 * BATCH + 5):
            await bench.ask(request(call_id=f"call-{number}"))
        await bench.counted(3 * BATCH + 5)
        await until(lambda: bench.service.counters.forwarded == 3 * BATCH + 5)


async def test_stop_deals_with_what_the_kernel_holds_already(engine: Engine | None) -> None:
    opened = open_listener(Listener("udp", ("127.0.0.1", 0)), receive_buffer_bytes=1 << 20, send_buffer_bytes=1 << 20)
    with await _udp(SERVER_HOST) as server, await _udp("127.0.0.1") as phone:
        service = Service(
            [opened],
            make_snapshot(destination(server.getsockname()), listeners=(opened.listener,)),
            names=Names(),
            recent=RecentChoices(0) if engine is None else engine.recent,
            rng=random.Random(1),
            witness=Heard(),
            engine=engine,
        )
        count = BATCH + 3
        for number in range(count):
            await phone.sendto(request(call_id=f"call-{number}"), opened.listener.address)
        service.stop()
        await service.serve()
        assert service.counters.forwarded == count
        opened.close()


async def test_a_request_waits_for_its_next_hops_name_and_those_behind_it_keep_their_order(
    engine: Engine | None,
) -> None:
    names = Names()
    policy = Policy(algorithm=DEFAULT, core_networks=())
    async with running(engine, names, policy) as bench:
        with await _udp("127.0.0.99") as trunk:
            uri = f"sip:1@trunk.example:{trunk.getsockname()[1]}"
            for method in ("INVITE", "CANCEL"):
                await bench.server.sendto(request(method, uri, via=f"{SERVER_HOST}:5060"), bench.proxy)
            await bench.counted(2)
            await until(lambda: names.asked == ["trunk.example"])
            names.known["trunk.example"] = (trunk.getsockname(),)
            names.release.set()
            first, _ = await _from(trunk)
            second, _ = await _from(trunk)
            assert (first[:6], second[:6]) == (b"INVITE", b"CANCEL")
            assert bench.service.counters.received == 2
            assert bench.service.counters.lookups == 1


async def test_a_name_that_is_never_known_ends_in_a_counted_drop(engine: Engine | None) -> None:
    names = Names()
    names.release.set()
    async with running(engine, names) as bench:
        await bench.server.sendto(request(uri="sip:1@nowhere.example", via=f"{SERVER_HOST}:5060"), bench.proxy)
        with trio.fail_after(5):
            await until(lambda: bool(bench.service.counters.dropped))
        assert bench.service.counters.dropped == {DropReason.OVERLOAD: 1}


async def test_a_name_that_is_forgotten_again_and_again_ends_in_a_counted_drop(engine: Engine | None) -> None:
    class Forgetful(Names):
        async def fetch(self, host: str, port: int | None, transport: str) -> tuple[Address, ...] | None:
            self.asked.append(host)
            await trio.lowlevel.checkpoint()
            return ()

    names = Forgetful()
    async with running(engine, names) as bench:
        await bench.server.sendto(request(uri="sip:1@nowhere.example", via=f"{SERVER_HOST}:5060"), bench.proxy)
        with trio.fail_after(5):
            await until(lambda: bool(bench.service.counters.dropped))
        assert bench.service.counters.dropped == {DropReason.OVERLOAD: 1}
        assert len(names.asked) == MAX_LOOKUPS_A_REQUEST


async def test_only_so_many_requests_wait_for_names(engine: Engine | None) -> None:
    names = Names()
    async with running(engine, names) as bench:
        for number in range(MAX_WAITING + 2):
            payload = request(uri="sip:1@slow.example", via=f"{SERVER_HOST}:5060", call_id=f"call-{number}")
            await bench.server.sendto(payload, bench.proxy)
            if number % BATCH == 0:
                await bench.counted(number + 1)
        await bench.counted(MAX_WAITING + 2)
        assert bench.service.counters.dropped == {DropReason.OVERLOAD: 2}
        await until(lambda: names.asked == ["slow.example"])


async def test_a_port_without_a_server_is_reported_and_the_next_message_still_leaves(engine: Engine | None) -> None:
    async with running(engine) as bench:
        address = bench.server.getsockname()
        bench.server.close()
        await bench.ask(request(call_id="one"))
        await bench.ask(request(call_id="two"))
        with trio.fail_after(5):
            await until(lambda: bool(bench.heard.refusing))
        assert set(bench.heard.refusing) == {1000}
        with trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
            await again.bind(address)
            await bench.ask(request(call_id="three"))
            payload, _ = await _from(again)
            assert b"three" in payload


async def test_an_icmp_error_that_is_not_about_reaching_it_blames_no_destination(engine: Engine | None) -> None:
    async with running(engine) as bench:
        address = bench.server.getsockname()
        bench.service._note_errors(
            [
                SocketError(address=address, errno=90, origin=Origin.ICMP),
                SocketError(address=address, errno=111, origin=Origin.LOCAL),
                SocketError(address=None, errno=111, origin=Origin.ICMP),
                SocketError(address=("127.0.0.77", 1), errno=111, origin=Origin.ICMP),
            ]
        )
        assert bench.heard.refusing == []
        assert bench.service.counters.network_errors == {90: 1, 111: 3}


async def test_a_datagram_that_the_kernel_does_not_take_is_counted(engine: Engine | None) -> None:
    async with running(engine) as bench:
        await bench.ask(request(body="x" * 65_100))
        await bench.counted(1)
        await until(lambda: bench.service.counters.unsent == {SendOutcome.TOO_LONG: 1})
        assert bench.service.counters.forwarded == 0


@pytest.mark.parametrize("method", ["BYE", "ACK"])
async def test_a_refusal_between_edges_is_logged_once_a_minute_and_source(
    method: str, autojump_clock: trio.testing.MockClock
) -> None:
    service = Service(
        [], make_snapshot(), names=Names(), recent=RecentChoices(0), rng=random.Random(1), witness=Heard()
    )
    with structlog.testing.capture_logs() as logged:
        service._log_refusal(("203.0.113.9", 5060))
        service._log_refusal(("203.0.113.9", 5061))
        service._log_refusal(("203.0.113.10", 5060))
        await trio.sleep(INTERVAL_S + 0.1)
        service._log_refusal(("203.0.113.9", 5060))
    assert [entry["source"] for entry in logged] == ["203.0.113.9", "203.0.113.10", "203.0.113.9"]
    assert all("core_networks" in entry["event"] for entry in logged)


async def test_an_icmp_error_is_believed_only_if_it_quotes_a_request_that_was_sent(engine: Engine | None) -> None:
    async with running(engine) as bench:
        address = bench.server.getsockname()
        await bench.ask(request(call_id="true"))
        sent, _ = await _from(bench.server)

        def icmp(quoted: bytes) -> list[int]:
            bench.heard.refusing.clear()
            bench.service._note_errors([SocketError(address=address, errno=111, origin=Origin.ICMP, quoted=quoted)])
            return list(bench.heard.refusing)

        branch = sent.index(b"z9hG4bK") + 7
        assert icmp(sent) == [1000]
        assert icmp(sent[: branch + 16]) == [1000]
        assert icmp(sent[: branch + 15]) == []
        assert icmp(b"") == []
        assert icmp(sent[:branch] + b"0" * 16 + sent[branch + 16 :]) == []


GONE = """
import random, trio
from dispatcher.hopcache import NextHops
from dispatcher.limits import LimitPolicy
from dispatcher.listener import Listener
from dispatcher.recent import RecentChoices
from dispatcher.resolver import Resolver
from dispatcher.service import Service
from dispatcher.sockets import open_listener
from tests.dispatcher.test_service import Heard
from tests.dispatcher.world import destination, make_snapshot, request

COUNT = 120
GONE = ("{gone}", 5060)

async def main():
    opened = open_listener(Listener("udp", ("{own}", 0)))
    heard = Heard()
    service = Service(
        [opened],
        make_snapshot(destination(GONE), listeners=(opened.listener,)),
        names=NextHops(Resolver()),
        recent=RecentChoices(0),
        rng=random.Random(1),
        witness=heard,
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(service.serve)
        with trio.socket.socket(opened.sock.family, trio.socket.SOCK_DGRAM) as phone:
            await phone.bind(("{own}", 0))
            for number in range(COUNT):
                await phone.sendto(request(call_id=f"call-{{number}}"), opened.listener.address)
        with trio.move_on_after(20):
            while not heard.refusing:
                await trio.sleep(0.01)
        assert service.counters.forwarded == COUNT
        print(sorted(set(heard.refusing)))
        nursery.cancel_scope.cancel()

trio.run(main)
"""
LINK = """ip link set lo up
ip link add v0 type veth peer name v1
ip addr add {own}/{bits} dev v0 {flags}
ip link set v0 up
ip link set v1 up"""


@pytest.mark.parametrize(
    ("own", "gone", "bits", "flags"), [("10.9.9.1", "10.9.9.2", 24, ""), ("fd09::1", "fd09::2", 64, "nodad")]
)
def test_a_host_that_is_gone_is_noticed_however_many_requests_were_sent_to_it_meanwhile(
    own: str, gone: str, bits: int, flags: str
) -> None:
    """Our kernel tells of it after three unanswered ARP requests, about the older ones of those that wait for it."""
    said = run_in_namespace(GONE.format(own=own, gone=gone), setup=LINK.format(own=own, bits=bits, flags=flags))
    assert said == "[1000]"


async def test_a_mistake_of_ours_costs_one_datagram(monkeypatch: pytest.MonkeyPatch) -> None:
    def mistaken(*_: object, **__: object) -> None:
        raise RuntimeError("mistake")

    with structlog.testing.capture_logs() as logged:
        async with running(None) as bench:
            with monkeypatch.context() as broken:
                broken.setattr("dispatcher.service.route", mistaken)
                await bench.ask(request())
                await bench.ask(request())
                await bench.counted(2)
            assert bench.service.counters.dropped == {DropReason.INTERNAL: 2}
            await bench.ask(request())
            await _from(bench.server)
    assert sum("please report it" in entry["event"] for entry in logged) == 1


async def test_a_look_up_that_fails_inside_costs_the_requests_that_wait(engine: Engine | None) -> None:
    names = Names()

    async def mistaken(host: str, port: int | None, transport: str) -> None:
        await trio.lowlevel.checkpoint()
        raise RuntimeError("mistake")

    names.fetch = mistaken  # type: ignore[method-assign]
    with structlog.testing.capture_logs() as logged:
        async with running(engine, names) as bench:
            await bench.server.sendto(request(uri="sip:1@nowhere.example", via=f"{SERVER_HOST}:5060"), bench.proxy)
            with trio.fail_after(5):
                await until(lambda: bool(bench.service.counters.dropped))
            assert bench.service.counters.dropped == {DropReason.OVERLOAD: 1}
    assert any("failed inside" in entry["event"] for entry in logged)


# --------------------------------------------------------------------------------------------------------------------
# Limits


async def test_who_sends_too_much_is_dropped_and_counted_and_nobody_else(engine: Engine | None) -> None:
    async with running(engine) as bench:
        bench.service.limits.change(LimitPolicy(rate=1, burst=3))
        with await _udp("127.0.0.77") as flooder, await _udp("127.0.0.78") as other:
            for number in range(10):
                await flooder.sendto(request(call_id=f"call-{number}"), bench.proxy)
            for number in range(3):
                await other.sendto(request(call_id=f"other-{number}"), bench.proxy)
            await bench.counted(13)
        counters = bench.service.counters
        assert counters.dropped == {DropReason.LIMITED: 7}
        assert counters.requests == {1000: 6}
        assert counters.received_bytes > 13 * 100


async def test_who_is_banned_is_not_heard_though_there_is_no_limit(engine: Engine | None) -> None:
    async with running(engine) as bench:
        bench.service.limits.ban(ip_network("127.0.0.77"), 60.0, "", trio.current_time())
        with await _udp("127.0.0.77") as banned:
            await banned.sendto(request(), bench.proxy)
            await bench.counted(1)
        assert bench.service.counters.dropped == {DropReason.BANNED: 1}


async def test_servers_and_the_node_itself_are_never_limited(engine: Engine | None) -> None:
    async with running(engine) as bench:
        limits = bench.service.limits
        limits.change(LimitPolicy(rate=1, burst=1))
        limits.ban(ip_network("127.0.0.0/8"), 60.0, "", trio.current_time())
        for number in range(5):
            await bench.server.sendto(request(call_id=f"call-{number}", uri="sip:nobody@127.0.0.1:1"), bench.proxy)
            await bench.ask(request("OPTIONS", f"sip:s@127.0.0.1:{bench.proxy[1]}"))
        await bench.counted(10)
        assert bench.service.counters.dropped == {}
