"""Does a reload under a stream of messages change nothing but what it should, and a broken list nothing at all?

The recent choices are switched off: every message is chosen for anew, so that none hides a choice that has changed.
"""

from __future__ import annotations

import os
import re
import signal
import socket
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import attrs
import pytest
import structlog.testing
import trio
import trio.testing

from dispatcher.algorithm import parse_algorithm
from dispatcher.listener import Listener
from dispatcher.recent import LIFETIME
from dispatcher.service import Service
from dispatcher.snapshot import Snapshot
from dispatcher.steps import Steps
from health.board import State, Verdict, Word
from health.service import Service as Vitals
from sipdispatch import proxy
from sipdispatch.config import Config, Control, Health, Proxy, Sections
from tests.sipdispatch.test_upkeep import keeping

pytestmark = pytest.mark.usefixtures("without_slot_tables")

SERVERS = 8
"""The first list has all but the last, the second all but the first."""
DISABLED, DOWN = 2, 3
CALLS = 64
BROKEN = "1 sip:127.0.0.71 0 0\nnonsense\n"


@attrs.define
class Stream:
    """A phone whose calls come again and again, and servers that note which of them they were given."""

    phone: trio.socket.SocketType
    servers: list[trio.socket.SocketType]
    vip: tuple[str, int] = ("", 0)
    sent: int = 0
    answered: int = 0
    takers: defaultdict[int, set[int]] = attrs.field(factory=lambda: defaultdict(set))
    """The servers that each call has come to since this was last emptied."""

    async def call(self) -> None:
        while True:
            call = self.sent % CALLS
            self.sent += 1
            await self.phone.sendto(self._invite(call), self.vip)
            await trio.sleep(0.001)

    async def listen(self) -> None:
        while True:
            payload, _ = await self.phone.recvfrom(65535)
            assert payload.startswith(b"SIP/2.0 200")
            self.answered += 1

    async def serve(self, place: int) -> None:
        sock = self.servers[place]
        while True:
            payload, source = await sock.recvfrom(65535)
            if payload.startswith(b"OPTIONS") and place == DOWN:
                continue
            if found := re.search(rb"Call-ID: call-(\d+)", payload):
                self.takers[int(found[1])].add(place)
            await sock.sendto(b"SIP/2.0 200 OK\r\n" + payload.partition(b"\r\n")[2], source)

    async def chosen(self) -> dict[int, set[int]]:
        """Who gets each call now."""
        await self.settled()
        self.takers.clear()
        until = self.sent + 2 * CALLS
        while self.sent < until:  # noqa: ASYNC110 - the stream has no event
            await trio.sleep(0.005)
        await self.settled()
        return dict(self.takers)

    async def settled(self) -> None:
        """Until all that has been sent so far is answered."""
        sent = self.sent
        while self.answered < sent:  # noqa: ASYNC110 - as above
            await trio.sleep(0.005)

    def _invite(self, call: int) -> bytes:
        host, port = self.phone.getsockname()
        return (
            f"INVITE sip:8006@example.com SIP/2.0\r\nVia: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{self.sent}\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:a@example.com>;tag={call}\r\nTo: <sip:8006@example.com>\r\n"
            f"Call-ID: call-{call}\r\nCSeq: 1 INVITE\r\nContact: <sip:a@{host}:{port}>\r\nContent-Length: 0\r\n\r\n"
        ).encode()


@attrs.frozen
class Stage:
    stream: Stream
    service: Service
    path: Path
    logged: list[Mapping[str, object]]

    def list_of(self, first: int, last: int) -> str:
        names = [self.stream.servers[place].getsockname() for place in range(first, last)]
        return "".join(f"1 sip:{host}:{port} 0 0\n" for host, port in names)

    async def reload(self, text: str, *, event: str) -> None:
        """Give the running proxy another list, and wait until it says so."""
        self.path.write_text(text)
        os.kill(os.getpid(), signal.SIGHUP)
        while not any(str(entry["event"]).startswith(event) for entry in self.logged):  # noqa: ASYNC110 - a log
            await trio.sleep(0.005)
        self.logged.clear()

    @property
    def vitals(self) -> Vitals:
        return cast("Vitals", self.service._witness)

    def number_of(self, place: int) -> int:
        address = self.stream.servers[place].getsockname()
        (at,) = self.service.snapshot.places_at(address)
        return self.service.snapshot.numbers[at]

    def standings(self, places: range) -> dict[int, tuple[State, float]]:
        """The word and the verdict on each, and since when."""
        board = self.vitals.board().standings
        found = {place: board[self.number_of(place)] for place in places}
        return {place: (standing.state, standing.since) for place, standing in found.items()}


@asynccontextmanager
async def staged(folder: Path) -> AsyncIterator[Stage]:
    with trio.fail_after(60), structlog.testing.capture_logs() as logged:
        async with trio.open_nursery() as nursery:
            phone, *servers = [trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(SERVERS + 1)]
            stream = Stream(phone, servers)
            await phone.bind(("127.0.0.1", 0))
            for place, sock in enumerate(servers):
                await sock.bind((f"127.0.0.{71 + place}", 0))
                nursery.start_soon(stream.serve, place)
            path = folder / "dispatcher.list"
            settings = Proxy(
                listen=(Listener("udp", ("127.0.0.1", 0)),),
                list_path=path,
                secret_file=folder / "secret",
                state_dir=folder,
                algorithm=parse_algorithm("call-id"),
                recent_choices=0,
            )
            health = Health(interval=0.1, timeout=0.5)
            config = Config(path=None, proxy=settings, sections=Sections(health=health, control=Control(enabled=False)))
            path.write_text(Stage(stream, cast("Service", None), path, []).list_of(0, SERVERS - 1))
            service: Service = await nursery.start(proxy.serve, config)
            stream.vip = service._listeners[0].sock.getsockname()
            nursery.start_soon(stream.listen)
            yield Stage(stream, service, path, cast("list[Mapping[str, object]]", logged))
            nursery.cancel_scope.cancel()
            for sock in (phone, *servers):
                sock.close()


async def test_a_reload_under_load_changes_nothing_of_what_stays_and_a_broken_list_nothing(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        stream = stage.stream
        staying = range(1, SERVERS - 1)
        stage.vitals.set_word(stage.number_of(DISABLED), Word.DISABLED, "operator")
        while stage.standings(staying)[DOWN][0].verdict is not Verdict.DOWN:  # noqa: ASYNC110 - probes have no event
            await trio.sleep(0.01)
        await trio.sleep(0.05)
        async with trio.open_nursery() as calling:
            calling.start_soon(stream.call)
            before, known = await stream.chosen(), stage.standings(staying)
            assert all(len(takers) == 1 for takers in before.values())
            assert len(before) == CALLS

            stage.logged.clear()
            await stage.reload(BROKEN, event="the list was not reloaded")
            assert await stream.chosen() == before

            stream.takers.clear()
            await stage.reload(stage.list_of(1, SERVERS), event="the list was reloaded")
            while_changing = dict(stream.takers)
            after = await stream.chosen()
            assert stage.standings(staying) == known
            calling.cancel_scope.cancel()
        await stream.settled()

    for takers in (before, while_changing, after):
        assert not {DISABLED, DOWN} & set().union(*takers.values())
    for call, (taker,) in before.items():
        allowed = {taker, SERVERS - 1} if taker else set(range(SERVERS))
        assert after[call] | while_changing.get(call, set()) <= allowed
    assert 0 not in set().union(*after.values())
    assert {SERVERS - 1} in after.values()
    moved = [call for call in before if after[call] != before[call]]
    assert 0 < len(moved) < CALLS / 2
    assert stream.answered == stream.sent


class Counting:
    """The service that forwards, as far as it is told of lists."""

    def __init__(self) -> None:
        self.forgotten: list[int] = []

    def prepare(self, snapshot: Snapshot) -> Steps[None]:
        """Nothing is chosen here."""
        yield from ()

    def swap(self, snapshot: Snapshot) -> None:
        """Nothing is chosen here."""

    def forget(self, number: int) -> None:
        self.forgotten.append(number)


async def test_what_was_counted_of_who_has_left_is_forgotten_when_no_call_can_ring_there(
    tmp_path: Path, mock_clock: trio.testing.MockClock
) -> None:
    async with keeping(tmp_path) as kept:
        service = Counting()
        kept.upkeep.service = cast("Service", service)
        kept.nursery.start_soon(kept.upkeep.follow_board)
        left, back = kept.snapshot.numbers
        await kept.change("1 sip:192.0.2.14 0 0\n")
        mock_clock.jump(LIFETIME - 1)
        await kept.change("1 sip:192.0.2.14 0 0\n1 sip:192.0.2.12 0 0\n")
        assert service.forgotten == []
        mock_clock.jump(2)
        await trio.testing.wait_all_tasks_blocked()
        assert service.forgotten == [left]
        assert kept.snapshot.by_number[back] == 1
