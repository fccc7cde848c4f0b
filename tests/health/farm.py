"""A farm of servers and the wire to them, under simulated time: what the tests of the prober and the monitor share."""

from __future__ import annotations

import errno
import heapq
import itertools
import random
from collections.abc import Callable
from typing import Any, Protocol

import attrs

from health.board import Change, Standing, State, Verdict
from health.monitor import Monitor
from health.target import Target
from sip.uri import Address

WIRE_S = 0.0005
"""One way."""

REFUSED = errno.ECONNREFUSED
INACTIVE = State(verdict=Verdict.DOWN)

HOME = ("192.0.2.1", 40000)


def target(number: int = 1, **settings: Any) -> Target:
    """A target at an address of its own."""
    address = (f"198.51.{number >> 8 & 255}.{number & 255}", 5060)
    return Target(**{"number": number, "uri": f"sip:{address[0]}", "address": address, "source": HOME, **settings})


def field(message: bytes, name: bytes) -> bytes:
    """A header field of a message of ours, with its name."""
    return next(line for line in message.split(b"\r\n") if line.startswith(name + b":"))


def answer(request: bytes, status: int = 200, phrase: str = "OK") -> bytes:
    """What a server says to a request."""
    fields = [field(request, name) for name in (b"Via", b"From", b"To", b"Call-ID", b"CSeq")]
    fields[2] += b";tag=theirs"
    return b"\r\n".join([f"SIP/2.0 {status} {phrase}".encode(), *fields, b"Content-Length: 0", b"", b""])


class Core(Protocol):
    """The verbs that prober and monitor share."""

    def get_timer(self) -> float: ...

    def handle_timer(self, now: float) -> None: ...

    def datagrams_to_send(self, now: float, limit: int = ...) -> list[tuple[Target, bytes]]: ...

    def receive_datagram(self, data: bytes, address: Address, now: float) -> bool: ...

    def network_error(self, address: Address | None, quoted: bytes, errno: int, now: float) -> bool: ...


Reply = bytes | int | None
"""What a server does with a request: the bytes of its answer, the errno of an ICMP error, or nothing."""


@attrs.define
class Farm:
    """Owns the time, the wire and the servers; `serve` says what the server of a target does with a request."""

    core: Core
    serve: Callable[[Target, bytes, float], Reply] = lambda _target, request, _now: answer(request)
    now: float = 1000.0
    one_way_s: float = WIRE_S
    sent: list[tuple[float, Target, bytes]] = attrs.field(factory=list)
    _wire: list[tuple[float, int, Target, bytes, Reply]] = attrs.field(factory=list)
    _order: itertools.count[int] = attrs.field(factory=itertools.count)

    def run(self, seconds: float) -> None:
        """Let time pass, from one thing that happens to the next."""
        end = self.now + seconds
        self.turn()
        while (moment := min(self.core.get_timer(), self._wire[0][0] if self._wire else end)) < end:
            self.now = max(self.now, moment)
            self.turn()
        self.now = end

    def turn(self) -> None:
        """What happens at this moment."""
        while self._wire and self._wire[0][0] <= self.now:
            _, _, goal, request, reply = heapq.heappop(self._wire)
            if isinstance(reply, bytes):
                self.core.receive_datagram(reply, goal.address, self.now)
            elif reply is not None:
                self.core.network_error(goal.address, request, reply, self.now)
        self.core.handle_timer(self.now)
        while batch := self.core.datagrams_to_send(self.now):
            for goal, request in batch:
                self.sent.append((self.now, goal, request))
                reply = self.serve(goal, request, self.now)
                if reply is not None:
                    at = self.now + 2 * self.one_way_s
                    heapq.heappush(self._wire, (at, next(self._order), goal, request, reply))

    def times(self, number: int) -> list[float]:
        """When this target was sent something."""
        return [at for at, goal, _ in self.sent if goal.number == number]


class World(Farm):
    """A farm and its monitor."""

    @property
    def monitor(self) -> Monitor:
        assert isinstance(self.core, Monitor)
        return self.core

    def standing(self, number: int = 1) -> Standing:
        return self.monitor.board().standings[number]

    def verdict(self, number: int = 1) -> Verdict:
        return self.standing(number).state.verdict

    def changes(self) -> list[Change]:
        found = []
        while (change := self.monitor.next_change()) is not None:
            found.append(change)
        return found

    def told(self) -> list[tuple[int, str, str, str]]:
        return [(change.number, change.before, change.after, change.cause) for change in self.changes()]


class Servers:
    """What each server does, changed by the test as time goes by: a status, -errno for ICMP, 0 for silence."""

    def __init__(self) -> None:
        self.status: dict[int, int] = {}

    def __call__(self, goal: Target, request: bytes, _now: float) -> Reply:
        status = self.status.get(goal.number, 200)
        return answer(request, status) if status > 0 else -status or None


def world(*targets: Target, **settings: Any) -> tuple[World, Servers]:
    """A world that watches these targets, and its servers."""
    servers = Servers()
    made = World(Monitor(random.Random(1)), servers)
    made.monitor.replace_targets(targets, now=made.now, **settings)
    return made, servers
