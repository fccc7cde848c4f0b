"""What would nodes with this machine do on a LAN?  Time, wire, kernels and clients' ARP tables, all simulated.

    lan = Lan(random.Random(7), wire=Wire(delay=(0.0001, 0.0005)))
    a, b = lan.node(priority=200), lan.node(priority=100)
    a.start(); b.start(); lan.run(5.0); a.kill(); lan.run(8.0)

A node is one host: its agent (the machine and the loop around it), its kernel (the leased addresses) and its clock.
The loop is late by up to `jitter`; it can be frozen with its socket filling up (SIGSTOP), suspended with the whole
host, or killed.  Watchers see what happens; `tests/vrrp/witness.py` has the ones that judge it.
"""

from __future__ import annotations

import collections
import heapq
import ipaddress
import itertools
import math
import random
from collections.abc import Callable
from typing import Any, Protocol

import attrs

from vrrp.action import Action, AddAddresses, AnnounceAddresses, RemoveAddresses, SendAdvert
from vrrp.event import (
    AddressesLost,
    AdvertReceived,
    Event,
    Fitness,
    FitnessChanged,
    MoveFailed,
    Started,
    Stopped,
    TimerFired,
)
from vrrp.machine import next_timer, step
from vrrp.parameters import ALWAYS, Parameters, Preempt, unfit
from vrrp.state import Active, State

NEVER_S = -math.inf
SOCKET_HOLDS = 64
"""Packets for a frozen agent; the kernel drops what comes then."""
CLIENTS = 2
MOST_AT_ONCE = 1000
"""Events at one moment; more is a timer that is due again and again."""


@attrs.define(kw_only=True)
class Wire:
    """How the LAN carries frames at this moment; times in seconds."""

    delay: tuple[float, float]
    loss: float = 0.0
    duplicate: float = 0.0
    reorder: bool = False
    cut: set[tuple[int, int]] = attrs.field(factory=set)
    """(from, to): such frames are lost, the way back may be open."""


class Watcher(Protocol):
    def stepped(self, node: Node, before: State, event: Event, actions: tuple[Action, ...]) -> None: ...

    def held(self) -> None:
        """A kernel has got the address, or lost it."""


@attrs.define(eq=False)
class Lan:
    rng: random.Random
    wire: Wire
    jitter: float = 0.0
    now: float = 0.0
    steps: int = 0
    nodes: list[Node] = attrs.field(factory=list)
    watchers: list[Watcher] = attrs.field(factory=list)
    clients: list[int | None] = attrs.field(factory=lambda: [None] * CLIENTS)
    """Which node each client would send to."""
    diary: collections.deque[str] = attrs.field(factory=lambda: collections.deque(maxlen=60))
    _due: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = attrs.field(factory=list)
    _order: itertools.count[int] = attrs.field(factory=itertools.count)
    _last: dict[tuple[int, int], float] = attrs.field(factory=dict)

    def node(
        self,
        *,
        priority: int,
        interval: float = 0.1,
        version: int = 3,
        preempt: Preempt = ALWAYS,
        announce_every: float = 30.0,
        booted: float = 0.0,
    ) -> Node:
        number = len(self.nodes)
        p = Parameters(
            address=str(ipaddress.ip_address("192.0.2.11") + number),
            priority=priority,
            interval=interval,
            version=version,
            preempt=preempt,
            announce_every=announce_every,
        )
        self.nodes.append(Node(self, number, p, clock=booted))
        return self.nodes[-1]

    def at(self, when: float, act: Callable[..., None], *args: Any) -> None:
        heapq.heappush(self._due, (when, next(self._order), act, args))

    def run(self, until: float) -> None:
        due, at_once = self._due, 0
        while due and due[0][0] <= until:
            when, _, act, args = heapq.heappop(due)
            at_once = 0 if when > self.now else at_once + 1
            assert at_once < MOST_AT_ONCE, "the time stands still"
            self.now = max(self.now, when)
            act(*args)
        self.now = max(self.now, until)

    def note(self, text: str) -> None:
        self.diary.append(f"{self.now:10.4f} {text}")

    def send(self, sender: Node, advert: AdvertReceived) -> None:
        wire, rng, here = self.wire, self.rng, sender.number
        least, most = wire.delay
        for to in self.nodes:
            there = to.number
            if there == here or (here, there) in wire.cut or (wire.loss and rng.random() < wire.loss):
                continue
            copies = 2 if wire.duplicate and rng.random() < wire.duplicate else 1
            for _ in range(copies):
                when = self.now + least + (most - least) * rng.random()
                if not wire.reorder:
                    when = self._last[here, there] = max(when, self._last.get((here, there), 0.0))
                self.at(when, to.receive, advert)

    def announce(self, sender: Node) -> None:
        for client in range(len(self.clients)):
            if self.wire.loss and self.rng.random() < self.wire.loss:
                continue
            # Never later than an advert that was sent after it: both take the same way out of the host.
            self.at(self.now + self.wire.delay[0], self._learn, client, sender.number)

    def _learn(self, client: int, number: int) -> None:
        self.clients[client] = number

    def holders(self) -> list[Node]:
        """Who would answer for the address now."""
        return [node for node in self.nodes if node.holds]


@attrs.define(eq=False)
class Node:
    lan: Lan
    number: int
    p: Parameters
    clock: float = 0.0
    """What its CLOCK_BOOTTIME shows when the LAN's time is 0."""
    state: State = attrs.field(factory=State)
    running: bool = False
    frozen: bool = False
    asleep: bool = False
    well: bool = True
    """The service on it answers: the simple stand-in for tracking."""
    ready: bool = True
    fault: str = ""
    broken: bool = False
    """No address can be set here."""
    held_until: float = NEVER_S
    """When the kernel takes the address, in LAN time."""
    _queue: collections.deque[Event] = attrs.field(factory=collections.deque)
    _wake_at: float = math.inf
    _expiry_at: float = math.inf
    _adverts: dict[int, AdvertReceived] = attrs.field(factory=dict)

    def __str__(self) -> str:
        return f"{'ABCDEFGH'[self.number]}({self.p.priority})"

    @property
    def holds(self) -> bool:
        return self.held_until > self.lan.now and not self.asleep

    @property
    def active(self) -> bool:
        return isinstance(self.state.role, Active)

    @property
    def fitness(self) -> Fitness:
        priority = self.p.priority if self.well else unfit(self.p.priority)
        return Fitness(priority=priority, fault=self.fault, ready=self.ready)

    # What an operator, a bug or the weather does to it

    def start(self) -> None:
        self.state, self.running = State(), True
        self._queue.clear()
        self._feed(Started(self.fitness))

    def stop(self) -> None:
        self.tell(Stopped())

    def kill(self) -> None:
        """SIGKILL: the agent is gone, what it set in the kernel is not."""
        self.running = self.frozen = False
        self.state = State()
        self._queue.clear()

    def freeze(self) -> None:
        self.frozen = self.running

    def thaw(self, *, timer_first: bool = False) -> None:
        """SIGCONT; a loop that drains its sockets first, as ours, or one that does not."""
        if self.frozen:
            self.frozen = False
            self._continue(timer_first=timer_first)

    def suspend(self, seconds: float) -> None:
        """The whole host sleeps: no packet reaches it, its kernel's timers stand, CLOCK_BOOTTIME does not."""
        self.asleep = True
        if self.held_until > self.lan.now:
            self.held_until += seconds
        self._told_watchers()
        self.lan.at(self.lan.now + seconds, self._resume)

    def _resume(self) -> None:
        self.asleep = False
        self._told_watchers()
        self._continue(timer_first=False)

    def _continue(self, *, timer_first: bool) -> None:
        if self.frozen or self.asleep or not self.running:
            return
        if timer_first:
            self._fire()
        queue = list(self._queue)
        self._queue.clear()
        for event in queue:
            self.tell(event)
        if self.running:
            self._fire()
            self._arm()

    def jump(self, seconds: float) -> None:
        """Its clock leaps forward, as after a migration."""
        self.clock += seconds
        if self.running:
            self._arm()

    def take_away(self) -> None:
        """Somebody removes the address by hand."""
        if self.held_until > self.lan.now:
            self._hold_until(NEVER_S)
            self.tell(AddressesLost(by_lease=False))

    def report(self) -> None:
        """Its tracking speaks."""
        self.tell(FitnessChanged(self.fitness))

    # The loop around the machine

    def receive(self, advert: AdvertReceived) -> None:
        if not self.asleep:
            self.tell(advert)

    def tell(self, event: Event) -> None:
        if not self.running:
            return
        if self.frozen or self.asleep:
            if len(self._queue) < SOCKET_HOLDS:
                self._queue.append(event)
            return
        self._feed(event)
        if isinstance(event, Stopped):
            self.running = False

    def _feed(self, event: Event, *, at: float = NEVER_S) -> None:
        before = self.state
        # A timer is not early by what the sum of two clocks rounds off.
        self.state, actions = step(self.p, before, event, now=max(self.lan.now + self.clock, at))
        self.lan.steps += 1
        for action in actions:
            self._carry_out(action)
        for watcher in self.lan.watchers:
            watcher.stepped(self, before, event, actions)
        self._arm()

    def _fire(self) -> None:
        """The timer, if it is due."""
        at = next_timer(self.state)
        if at is not None and at - self.clock <= self.lan.now:
            self._feed(TimerFired(), at=at)

    def _arm(self) -> None:
        at = next_timer(self.state)
        if at is not None and at - self.clock < self._wake_at:
            self._wake_at = at - self.clock
            late = self.lan.jitter * self.lan.rng.random() if self.lan.jitter else 0.0
            self.lan.at(max(self._wake_at, self.lan.now) + late, self._wake, self._wake_at)

    def _wake(self, armed_for: float) -> None:
        if armed_for != self._wake_at:
            return  # an earlier one was armed since
        self._wake_at = math.inf
        if self.running and not self.frozen and not self.asleep:
            self._fire()
            self._arm()  # the deadline may have moved since

    def _carry_out(self, action: Action) -> None:
        match action:
            case SendAdvert(priority):
                if priority not in self._adverts:
                    self._adverts[priority] = AdvertReceived(
                        priority=priority, interval=self.p.interval, source=self.p.address
                    )
                self.lan.send(self, self._adverts[priority])
            case AddAddresses(lease):
                if self.broken:
                    self.lan.at(self.lan.now, self.tell, MoveFailed("broken"))
                else:
                    self._hold_until(self.lan.now + lease)
            case RemoveAddresses():
                self._hold_until(NEVER_S)
            case AnnounceAddresses():
                if self.held_until > self.lan.now:
                    self.lan.announce(self)

    # The kernel

    def _hold_until(self, when: float) -> None:
        had, self.held_until = self.held_until > self.lan.now, when
        if when < self._expiry_at and when != NEVER_S:
            self._expiry_at = when
            self.lan.at(when, self._expire, when)
        if had != (when != NEVER_S):
            self._told_watchers()

    def _expire(self, armed_for: float) -> None:
        if armed_for != self._expiry_at:
            return
        self._expiry_at = math.inf
        if self.held_until > self.lan.now:
            self._expiry_at = self.held_until  # told again meanwhile
            self.lan.at(self.held_until, self._expire, self.held_until)
        elif self.held_until != NEVER_S:
            self.held_until = NEVER_S
            self._told_watchers()
            self.tell(AddressesLost(by_lease=True))

    def _told_watchers(self) -> None:
        for watcher in self.lan.watchers:
            watcher.held()
