"""The compiled threads as Python has them: what they leave to it, in which order, and what becomes of it at the end."""

from __future__ import annotations

import os
import random
import resource
import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import attrs
import pytest
import structlog.testing
import trio

from dispatcher import engine as engine_module
from dispatcher.algorithm import Algorithm, Kind
from dispatcher.callfact import CallFact, CallStep
from dispatcher.counters import Counters
from dispatcher.engine import MOST_WORKERS, Engine, Taken, usable_cores
from dispatcher.listener import Listener
from dispatcher.outcome import DropReason
from dispatcher.service import Service
from dispatcher.snapshot import Policy, Snapshot
from dispatcher.sockets import open_listener
from dispatcher.steps import in_one_go
from health.board import OLD_WORK
from health.errorqueue import Origin, SocketError
from health.sending import SendOutcome
from sip.message import Message
from sip.uri import Address
from tests.dispatcher.test_service import Heard, Names, running, until
from tests.dispatcher.world import destination, make_snapshot, reply_to, request

fastpath = pytest.importorskip("dispatcher._fastpath", reason="the compiled fast path is not built")

SERVER_HOST = "127.0.0.66"


@attrs.define
class Scene:
    """An engine that nobody attends to, a server and a phone."""

    engine: Engine
    proxy: Address
    server: socket.socket
    phone: socket.socket
    snapshot: Snapshot

    def say(self, payload: bytes) -> None:
        self.phone.sendto(payload, self.proxy)

    def left(self, count: int) -> list[bytes]:
        """The messages that the threads leave to Python: so many."""
        found: list[bytes] = []
        while len(found) < count:
            _wait_readable(self.engine.fileno())
            found += [payload for payload, _, _ in self.engine.take(64).messages]
        return found


def _wait_readable(descriptor: int) -> None:
    assert select.select([descriptor], [], [], 5)[0], "nothing waits for Python"


def _udp(host: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((host, 0))
    sock.settimeout(5)
    return sock


@contextmanager
def threads(workers: int = 1) -> Iterator[Scene]:
    opened = open_listener(Listener("udp", ("127.0.0.1", 0)), receive_buffer_bytes=1 << 20, send_buffer_bytes=1 << 20)
    engine = Engine(64, workers=workers)
    with _udp(SERVER_HOST) as server, _udp("127.0.0.1") as phone:
        snapshot = make_snapshot(destination(server.getsockname()), listeners=(opened.listener,))
        engine.swap(snapshot)
        engine.open([opened.sock.fileno()])
        engine.start(1000.0)
        try:
            yield Scene(engine, opened.listener.address, server, phone, snapshot)
        finally:
            engine.stop(at_once=True)
            opened.close()


def named(method: str, call_id: str, uri: str, **more: Any) -> bytes:
    return request(method, uri, call_id=call_id, via="127.0.0.1:9", **more)


def test_a_cancel_stays_behind_its_invite_that_waits_for_python() -> None:
    with threads() as scene:
        to_server = f"sip:1@{SERVER_HOST}:{scene.server.getsockname()[1]}"
        odd = named("INVITE", "one", to_server).replace(b"\r\nContact", b"\r\nX-Odd: a,\r\n b\r\nContact")
        assert odd.count(b"\r\n b\r\n") == 1
        cancel = named("CANCEL", "one", to_server)
        for payload in (odd, cancel, named("OPTIONS", "two", to_server)):
            scene.say(payload)
        assert scene.server.recv(65535).startswith(b"OPTIONS "), "another call does not wait"
        assert scene.left(2) == [odd, cancel]
        scene.engine.done()
        scene.say(cancel)
        assert scene.server.recv(65535).startswith(b"CANCEL ")


def test_when_too_much_waits_the_oldest_is_dropped_and_what_is_common_goes_on() -> None:
    with threads() as scene:
        count, room = 4200, 4096
        for number in range(count):
            scene.say(request("OPTIONS", f"sip:127.0.0.1:{scene.proxy[1]}", call_id=f"call-{number}"))
            if number % 64 == 63:
                while scene.engine.waiting < min(number + 1, room):
                    pass
        common = named("OPTIONS", "common", f"sip:1@{SERVER_HOST}:{scene.server.getsockname()[1]}")
        scene.say(common)
        assert scene.server.recv(65535).startswith(b"OPTIONS ")
        while in_one_go(scene.engine.with_own(Counters())).received < count - room + 1:
            pass  # of one batch, what is common leaves first
        assert b"call-104" in scene.left(room)[0]
        whole = in_one_go(scene.engine.with_own(Counters()))
        assert whole.dropped == {DropReason.OVERLOAD: count - room}
        assert whole.received == count - room + 1, "Python counts what it takes"
        assert whole.by_fast_path == 1, "what was dropped has waited for Python"


def _statuses(name: str) -> list[str]:
    """What the kernel tells of this process's threads whose names begin so (proc(5))."""
    tasks = Path("/proc/self/task").iterdir()
    return [(task / "status").read_text() for task in tasks if (task / "comm").read_text().startswith(name)]


def test_signals_are_pythons_and_children_inherit_nothing() -> None:
    with threads(workers=2) as scene:
        while len(found := _statuses("fastpath-")) < 2:
            pass  # a thread says its name when it runs
        for status in found:
            blocked = int(status.partition("SigBlk:")[2].split()[0], 16)
            assert blocked & 1 << 14 and blocked & 1 << 0 and blocked & 1 << 1  # noqa: PT018 - TERM, HUP, INT
        assert not os.get_inheritable(scene.engine.fileno())
        open_here = {int(name) for name in os.listdir("/proc/self/fd")}  # noqa: PTH208
        inherited = []
        for descriptor in open_here:
            try:
                if os.get_inheritable(descriptor):
                    inherited.append(os.readlink(f"/proc/self/fd/{descriptor}"))  # noqa: PTH115
            except OSError:
                continue  # that of the listing
        assert not [target for target in inherited if "eventfd" in target or "eventpoll" in target]


def test_after_stop_the_listener_is_the_callers_alone() -> None:
    opened = open_listener(Listener("udp", ("127.0.0.1", 0)))
    engine = Engine(64, workers=1)
    engine.swap(make_snapshot(listeners=(opened.listener,)))
    engine.open([opened.sock.fileno()])
    engine.start(0.0)
    engine.stop()
    opened.close()
    again = open_listener(opened.listener)
    again.close()


def test_a_list_that_was_prepared_is_taken_over_as_it_is() -> None:
    with threads() as scene, _udp(SERVER_HOST) as other:
        to_other = f"sip:1@{SERVER_HOST}:{other.getsockname()[1]}"
        base = make_snapshot(destination(other.getsockname()), listeners=scene.snapshot.listeners)
        assert list(scene.engine.prepare(base))
        prepared = scene.engine._prepared
        assert prepared is not None
        scene.engine.swap(base.with_liveness(base.liveness, serving=True))
        assert scene.engine._prepared is None
        scene.say(named("INVITE", "one", to_other))
        assert other.recv(65535).startswith(b"INVITE ")
        scene.engine.swap(base.with_liveness({1: bytes((0,))}, serving=False))
        scene.say(named("OPTIONS", "two", to_other))
        assert scene.left(1)[0].startswith(b"OPTIONS "), "nobody is usable: Python refuses"
        assert base.liveness[1][0] & OLD_WORK


class Threads:
    """What the threads have counted, made up."""

    def counted(self) -> tuple[Any, ...]:
        replies = [0, 2, 0, 1, 0, 0]
        traffic = [(7, 3, replies, 50.0, [1] + [0] * 11 + [2], 12.5), (8, 0, [0] * 6, 60.0, [0] * 13, 0.0)]
        return 10, 1000, 5, {"stun": 1, "internal": 2}, {90: 1, 11: 2, 5: 3}, {111: 4}, traffic


def test_what_python_and_the_threads_have_counted_is_added_up() -> None:
    engine = Engine(0, workers=1)
    engine._threads = cast("Any", Threads())
    own = Counters(received=1, received_bytes=2, forwarded=3, lookups=4)
    own.dropped[DropReason.STUN] += 1
    own.requests[7] += 1
    own.replies[7, 2] += 1
    own.last_seen |= {7: 55.0, 9: 1.0}
    own.answer_times[7].observe(0.0005)
    own.network_errors[111] += 1
    whole = in_one_go(engine.with_own(own))
    assert (whole.received, whole.received_bytes, whole.forwarded, whole.lookups) == (11, 1002, 8, 4)
    assert whole.dropped == {DropReason.STUN: 2, DropReason.INTERNAL: 2}
    assert whole.unsent == {SendOutcome.TOO_LONG: 1, SendOutcome.NO_BUFFER: 2, SendOutcome.FAILED: 3}
    assert whole.network_errors == {111: 5}
    assert whole.requests == {7: 4}
    assert whole.replies == {(7, 2): 3, (7, 4): 1}
    assert whole.last_seen == {7: 55.0, 8: 60.0, 9: 1.0}
    assert whole.answer_times[7].cumulative() == (2,) * 12 + (4,)
    assert 8 not in whole.answer_times
    assert (own.received, own.requests[7], own.answer_times[7].count) == (1, 1, 1), "its own are not touched"


@pytest.mark.parametrize(("cores", "workers"), [({0}, 1), (set(range(3)), 3), (set(range(64)), MOST_WORKERS)])
def test_a_thread_for_each_core(monkeypatch: pytest.MonkeyPatch, cores: set[int], workers: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: cores)
    assert usable_cores() == workers


async def test_what_is_wrong_with_threads_is_logged_once_a_minute_and_source(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = Engine(0, workers=1)
    service = Service(
        [], make_snapshot(), names=Names(), recent=engine.recent, rng=random.Random(1), witness=Heard(), engine=engine
    )
    twice = [("192.0.2.7", "worker.rs:1: oh"), ("192.0.2.7", "worker.rs:1: oh")]
    monkeypatch.setattr(engine, "take", lambda _: Taken([], [], [], twice, ["EINVAL", "EINVAL"]))
    with structlog.testing.capture_logs() as logged:
        assert service._take_left(engine) == 0
    mistake, deaf = logged
    assert (mistake["source"], mistake["said"]) == twice[0]
    assert (deaf["log_level"], deaf["reason"]) == ("error", "EINVAL")


async def test_who_is_forgotten_begins_anew_on_both_sides() -> None:
    opened = open_listener(Listener("udp", ("127.0.0.1", 0)))
    engine = Engine(64, workers=1)
    with _udp(SERVER_HOST) as server, _udp("127.0.0.1") as phone:
        service = Service(
            [opened],
            make_snapshot(destination(server.getsockname()), listeners=(opened.listener,)),
            names=Names(),
            recent=engine.recent,
            rng=random.Random(1),
            witness=Heard(),
            engine=engine,
        )
        async with trio.open_nursery() as nursery:
            await nursery.start(service.serve)
            phone.sendto(
                named("OPTIONS", "x", f"sip:1@{SERVER_HOST}:{server.getsockname()[1]}"), opened.listener.address
            )
            await until(lambda: service.counters.requests == {1000: 1})
            service._counters.requests[1000] += 1
            engine.calls.note(CallFact(1, CallStep.BEGIN), 1000, 0.0)
            service.forget(1000)
            assert (service.counters.requests, service.calls.begun(1000)) == ({}, 0)
            service.stop()
        opened.close()


async def test_a_call_that_the_threads_have_seen_end_makes_room_at_its_maxload() -> None:
    policy = Policy(algorithm=Algorithm(Kind.CALL_LOAD))
    async with running(Engine(64, workers=2), policy=policy) as bench:
        service = bench.service
        address, phone = bench.server.getsockname(), f"127.0.0.1:{bench.phone.getsockname()[1]}"
        listeners = service.snapshot.listeners
        service.swap(make_snapshot(destination(address, maxload=1), listeners=listeners, policy=policy))

        async def heard(sock: trio.socket.SocketType, payload: bytes) -> bytes:
            await bench.ask(payload)
            with trio.fail_after(5):
                return await sock.recv(65535)

        first = await heard(bench.server, request(call_id="a", via=phone))
        assert (await heard(bench.phone, request(call_id="b", via=phone))).startswith(b"SIP/2.0 503 ")
        await bench.server.sendto(reply_to(Message.parse(first), "486 Busy Here"), bench.proxy)
        with trio.fail_after(5):
            assert (await bench.phone.recv(65535)).startswith(b"SIP/2.0 486 ")
        assert service.counters.by_fast_path == 1
        again = await heard(bench.server, request(call_id="b", branch="z9hG4bK-2", via=phone))
        assert again.startswith(b"INVITE ")


async def test_python_forwards_when_there_is_no_thread_left(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(64, workers=1)
    monkeypatch.setattr(engine, "start", _no_thread_left)
    with structlog.testing.capture_logs() as logged:
        async with running(engine) as bench:
            await bench.ask(request(via="127.0.0.1:9"))
            await until(lambda: bench.service.counters.forwarded == 1)
            assert bench.service.counters.by_fast_path == 0
            assert bench.service.why_no_threads == "[Errno 11] Resource temporarily unavailable"
    assert [entry["reason"] for entry in logged] == ["[Errno 11] Resource temporarily unavailable"]


async def test_what_threads_have_read_before_another_could_not_start_is_dealt_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    left = [Taken([(request(via="127.0.0.1:9"), ("127.0.0.1", 9), 0)], [], [], [], [])]
    engine = Engine(64, workers=1)
    monkeypatch.setattr(engine, "start", _no_thread_left)
    monkeypatch.setattr(engine, "take", lambda _: left.pop() if left else Taken([], [], [], [], []))
    async with running(engine) as bench:
        await until(lambda: bench.service.counters.forwarded == 1)


async def test_python_forwards_when_there_is_no_descriptor_left(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(64, workers=1)
    monkeypatch.setattr(engine, "open", _no_thread_left)
    async with running(engine) as bench:
        await bench.ask(request(via="127.0.0.1:9"))
        await until(lambda: bench.service.counters.forwarded == 1)
        assert bench.service.engine is None
        assert bench.service.why_no_threads == "[Errno 11] Resource temporarily unavailable"


def _no_thread_left(_: object) -> None:
    raise OSError(11, "Resource temporarily unavailable")


def test_an_error_of_the_network_comes_whole() -> None:
    assert engine_module._socket_error(("192.0.2.1", 5060), 111, 2, 3, 3, 0, "192.0.2.9", b"q") == SocketError(
        address=("192.0.2.1", 5060),
        errno=111,
        origin=Origin.ICMP,
        icmp_type=3,
        icmp_code=3,
        offender="192.0.2.9",
        quoted=b"q",
    )
    assert engine_module._socket_error(None, 1, 4, 0, 0, 0, None, b"").origin is Origin.OTHER


def test_threads_that_may_not_wait_any_more_try_again_and_say_so() -> None:
    """The kernel refuses to poll more descriptors than a process may have open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with threads() as scene:
        heard: list[bytes] = []
        said: list[str] = []

        def take() -> None:
            _wait_readable(scene.engine.fileno())
            taken = scene.engine.take(64)
            heard.extend(payload for payload, _, _ in taken.messages)
            said.extend(taken.deaf)

        resource.setrlimit(resource.RLIMIT_NOFILE, (1, hard))
        try:
            scene.say(b"OPTIONS one\r\nv: x\r\n\r\n")  # ends a wait that began before
            while not said:
                take()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        scene.say(b"OPTIONS two\r\nv: x\r\n\r\n")
        while len(heard) < 2:
            take()
    assert [payload[8:11] for payload in heard] == [b"one", b"two"]
    assert said[0] == "Invalid argument (os error 22)"


def test_threads_that_may_not_wait_any_more_end_all_the_same() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with threads() as scene:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1, hard))
        try:
            scene.say(b"OPTIONS one\r\nv: x\r\n\r\n")
            while not scene.engine.take(64).deaf:
                _wait_readable(scene.engine.fileno())
            scene.engine.stop()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
