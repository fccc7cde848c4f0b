"""Agents on one simulated wire, under trio's mock clock, with movers that set nothing."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable

import attrs
import trio

from vrrp.datagram import Datagram
from vrrp.event import AddressesLost, MoveFailed
from vrrp.mover import Report
from vrrp.packet import GROUP_IPV4
from vrrp.parameters import ALWAYS, Parameters, Preempt
from vrrp.reception import Reception
from vrrp.router import Router
from vrrp.service import Agent, Transition
from vrrp.status import Status
from vrrp.tracking import Track, Tracking

VIP = "192.0.2.100"
EPOCH = 1_790_000_000.0
"""Unix time when trio's clock was at 0."""


@attrs.define
class Cable:
    """Carries a datagram to everybody else at once, unless it is cut."""

    ends: list[WireEnd] = attrs.field(factory=list)
    is_cut: bool = False

    def carry(self, datagram: Datagram) -> None:
        for end in self.ends:
            if end.source != datagram.source and not self.is_cut:
                end.put(datagram)


@attrs.define(eq=False)
class WireEnd:
    """A `vrrp.service.Wire`; what was sent is kept."""

    cable: Cable
    source: str
    destinations: tuple[str, ...] = (GROUP_IPV4,)
    sent: list[bytes] = attrs.field(factory=list)
    broken: int = 0
    """errno that sending ends in."""
    _arrived: list[Datagram] = attrs.field(factory=list)
    _event: trio.Event = attrs.field(factory=trio.Event)

    def send(self, message: bytes, destination: str) -> None:
        if self.broken:
            raise OSError(self.broken, os.strerror(self.broken))
        self.sent.append(message)
        self.cable.carry(Datagram(message, self.source, destination, 255))

    def put(self, datagram: Datagram) -> None:
        self._arrived.append(datagram)
        self._event.set()

    def receive(self) -> Iterable[Datagram]:
        while self._arrived:
            yield self._arrived.pop(0)
        if self._event.is_set():  # whoever waits for another one is not forgotten
            self._event = trio.Event()

    async def wait(self) -> None:
        await self._event.wait()

    @property
    def priorities(self) -> list[int]:
        return [message[2] for message in self.sent]


@attrs.define(eq=False)
class FakeMover:
    """Notes what was asked for; `failing` is reported in place of setting."""

    asked: list[str] = attrs.field(factory=list)
    here: bool = False
    failing: str = ""
    settled: bool = False
    _report: Report | None = None

    def add(self, lease: float) -> None:
        self.asked.append(f"add {lease:g}")
        if self.failing:
            self.report(MoveFailed(self.failing))
        else:
            self.here = True

    def remove(self) -> None:
        self.asked.append("remove")
        self.here = False

    def announce(self) -> None:
        self.asked.append("announce")

    async def run(self, report: Report) -> None:
        self._report = report
        await trio.sleep_forever()

    async def settle(self) -> None:
        await trio.lowlevel.checkpoint()
        self.settled = True

    def report(self, event: AddressesLost | MoveFailed) -> None:
        assert self._report is not None
        self._report(event)


@attrs.define(eq=False, kw_only=True)
class Station:
    """One node: an agent, its end of the wire, its mover."""

    agent: Agent
    wire: WireEnd
    mover: FakeMover
    tracking: Tracking
    transitions: list[Transition]

    @property
    def status(self) -> Status:
        return self.agent.status(version="1.2.3", interface="eth0", realtime="SCHED_RR 50")


def router_for(source: str, priority: int, *, interval: float = 0.1, preempt: Preempt = ALWAYS) -> Router:
    return Router(
        parameters=Parameters(address=source, priority=priority, interval=interval, preempt=preempt),
        reception=Reception(vrid=51, version=3, addresses=(VIP,), interval=interval, own=(source,)),
        advertised=(VIP,),
    )


def station(
    cable: Cable,
    source: str,
    priority: int,
    *,
    interval: float = 0.1,
    tracks: Iterable[Track] = (),
    preempt: Preempt = ALWAYS,
    clock: Callable[[], float] = trio.current_time,
) -> Station:
    wire = WireEnd(cable, source)
    cable.ends.append(wire)
    mover = FakeMover()
    tracking = Tracking(priority, tracks)
    transitions: list[Transition] = []
    agent = Agent(
        router_for(source, priority, interval=interval, preempt=preempt),
        wire,
        mover,
        tracking,
        on_transition=transitions.append,
        clock=clock,
        wall=lambda: EPOCH + trio.current_time(),
    )
    return Station(agent=agent, wire=wire, mover=mover, tracking=tracking, transitions=transitions)


BROKEN = errno.ENETDOWN
