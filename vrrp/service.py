"""How does an agent live: what it hears, when its timers are due, what it has done about it?

One task owns the machine's time: it hears what has come before it lets a timer fire, so that a node that was not
running learns of its peer's adverts first; and it alone refreshes the lease of the addresses, so that an agent that
hangs loses them.
"""

from __future__ import annotations

import math
import os
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol, assert_never

import attrs
import structlog
import trio

from vrrp.action import Action, AddAddresses, AnnounceAddresses, RemoveAddresses, SendAdvert
from vrrp.cause import KEEPALIVED_NAMES, LastHeard, cause_of, name_of
from vrrp.datagram import Datagram
from vrrp.event import (
    AddressesLost,
    AdvertReceived,
    Event,
    FitnessChanged,
    MoveFailed,
    Started,
    Stopped,
    TimerFired,
)
from vrrp.ledger import Ledger
from vrrp.machine import next_timer, step
from vrrp.mover import Mover
from vrrp.parameters import MOST_USELESS, RELEASE, Preempt, active_down
from vrrp.refusal import Refusal
from vrrp.router import Router, Voice
from vrrp.state import Active, Backup, Fault, State
from vrrp.status import Status, TrackStatus
from vrrp.tracking import Tracking

SETTLING_S = 1.0
"""For so long after this node became Active, a claim on its address may be that of the Active before it.

What that one announced is read late on a busy node, and it gives the address up only when it hears its heir.  Whoever
keeps the address longer is found out when the mover asks the network again.
"""

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Wire(Protocol):
    """The way to the peers; `source` and `destinations` are numeric addresses of one family."""

    @property
    def source(self) -> str: ...

    @property
    def destinations(self) -> tuple[str, ...]: ...

    def send(self, message: bytes, destination: str) -> None:
        """Raises OSError when it cannot be sent."""

    def receive(self) -> Iterable[Datagram]:
        """What has come since the last time, without waiting."""

    async def wait(self) -> None:
        """Return when something has come."""


def boottime() -> float:
    """Seconds since the node was started, the time it was suspended for included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@attrs.frozen(kw_only=True)
class Transition:
    """A change of the role; `at` is Unix time."""

    before: str
    after: str
    cause: str
    priority: int
    at: float


class Agent:
    """One virtual router on this node.

    `clock` is monotonic and counts the time of a suspended node, `wall` is Unix time.
    """

    def __init__(
        self,
        router: Router,
        wire: Wire,
        mover: Mover,
        tracking: Tracking,
        *,
        on_transition: Callable[[Transition], None] = lambda _: None,
        clock: Callable[[], float] = boottime,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.ledger = Ledger()
        self._router = router
        self._wire = wire
        self._mover = mover
        self._tracking = tracking
        self._on_transition = on_transition
        self._clock = clock
        self._wall = wall
        self._voice = Voice()
        self._mute_since: float | None = None
        self._state = State()
        self._since = wall()
        self._changed_at = clock()
        self._cause = "not started"
        self._started = wall()
        self._last_heard = LastHeard()
        self._events: deque[Event] = deque()
        self._stepping = False
        self._moved = trio.Event()
        self._stop = trio.Event()

    @property
    def state(self) -> str:
        """The role, in lower case."""
        return name_of(self._state)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Take part until `stop` is called; ends with a priority 0 and without the addresses."""
        try:
            async with trio.open_nursery() as nursery:
                try:
                    nursery.start_soon(self._mover.run, self.happened)
                    self.happened(Started(self._tracking.fitness(self._clock())))
                    nursery.start_soon(self._listen)
                    nursery.start_soon(self._keep_time)
                    task_status.started()
                    await self._stop.wait()
                finally:
                    self.happened(Stopped())  # before anything is waited for: a mover may have to end what it does
                    nursery.cancel_scope.cancel()
        finally:
            with trio.CancelScope(shield=True):
                await self._mover.settle()

    def stop(self) -> None:
        """Let `run` end."""
        self._stop.set()

    async def _listen(self) -> None:
        while True:
            await self._wire.wait()
            self._hear()

    async def _keep_time(self) -> None:
        while True:
            self._moved = trio.Event()
            due = self._due()
            with trio.move_on_after(math.inf if due is None else max(0.0, due - self._clock())):
                await self._moved.wait()
                continue
            self._hear()
            self._fire(due)

    def _due(self) -> float | None:
        moments = (next_timer(self._state), self._tracking.get_timer(self._clock()))
        return min((at for at in moments if at is not None), default=None)

    def _fire(self, due: float | None) -> None:
        """Let what is due happen, after all that was heard."""
        now = self._clock()
        self.ledger.note_lateness(0.0 if due is None else max(0.0, now - due), self._wall())
        self._consider()
        at = next_timer(self._state)
        if at is not None and now >= at:
            self.happened(TimerFired())

    def _hear(self) -> None:
        for datagram in self._wire.receive():
            self._judge(datagram)

    def _judge(self, datagram: Datagram) -> None:
        wall = self._wall()
        heard = self._router.reception.judge(
            datagram.data, source=datagram.source, destination=datagram.destination, ttl=datagram.ttl, wall=wall
        )
        if isinstance(heard, Refusal):
            if self.ledger.note_refused(heard, datagram.source, wall):
                log.warning("an advert was refused", source=datagram.source, reason=heard.label, hint=heard.sentence)
            return
        for alarm in self.ledger.note_heard(datagram.source, heard, wall):
            log.warning("a peer is configured differently", field=alarm.field, peer=alarm.peer, text=alarm.text)
        advert = heard.advert
        if MOST_USELESS < advert.priority <= self._state.fitness.priority and self._is_mute():
            # It hears nothing of this node, so that it never gives the address up; and it can take the calls.
            self.happened(MoveFailed(_unheard_by(datagram.source)))
        else:
            self.happened(AdvertReceived(priority=advert.priority, interval=advert.interval, source=datagram.source))

    def _is_mute(self) -> bool:
        """Whether this node is Active, and nothing could be sent for as long as a peer waits."""
        if self._mute_since is None or not isinstance(self._state.role, Active):
            return False
        p = self._router.parameters
        return self._clock() - self._mute_since > active_down(p.version, self._state.fitness.priority, p.interval)

    # What others say

    def report(self, name: str, *, ok: bool, detail: str) -> None:
        """A result of a track."""
        self._tracking.report(name, ok=ok, detail=detail, now=self._clock())
        self._consider()

    def claimed(self, address: str, hardware: str) -> None:
        """Somebody else says on the network that an address which this node owns is its own."""
        self._hear()  # the adverts that came before: it may have taken the address by right
        if not isinstance(self._state.role, Active) or self._clock() - self._changed_at < SETTLING_S:
            return
        text = f"{hardware} says that {address} is its own"
        if self.ledger.raise_alarm("owner", hardware, text, self._wall()) is not None:
            log.warning("the address has a second owner", address=address, hardware=hardware)

    def release(self, seconds: float = math.inf) -> None:
        """Hand the address over, if somebody takes it, and leave it there for so long."""
        self._tracking.release(self._clock(), seconds)
        self._consider()

    def hold(self) -> None:
        """Keep the address away from this node."""
        self._tracking.hold()
        self._consider()

    def resume(self) -> None:
        """Take part as usual again."""
        self._tracking.resume()
        self._consider()

    def change(self, router: Router) -> None:
        """Go on with another configuration of the same virtual router; what was heard once stays old."""
        heard = self._router.reception.latest
        self._router = attrs.evolve(router, reception=attrs.evolve(router.reception, latest=heard))
        self._consider()

    def _consider(self) -> None:
        """Tell the machine if the fitness is another one."""
        fitness = self._tracking.fitness(self._clock())
        if fitness != self._state.fitness:
            self.happened(FitnessChanged(fitness))

    # What follows from it

    def happened(self, event: Event) -> None:
        """Step the machine, carry out what it says, and let nothing come in between."""
        self._events.append(event)
        if self._stepping:
            return
        self._stepping = True
        try:
            while self._events:
                self._step(self._events.popleft())
        finally:
            self._stepping = False
            self._moved.set()

    def _step(self, event: Event) -> None:
        now, before = self._clock(), self._state
        due = next_timer(before)
        self._state, actions = step(self._router.parameters, before, event, now=now)
        for action in actions:
            self._carry_out(action)
            if isinstance(before.role, Backup) and self._takes_in_vain(before.role, now):
                self._events.appendleft(MoveFailed(_unheard_by(self._last_heard.source)))
                break
        self._count(event)
        if type(before.role) is not type(self._state.role):
            self._note_transition(before, event, now=now, late=0.0 if due is None else max(0.0, now - due))
        elif isinstance(self._state.role, Fault):
            self._cause = self._state.role.reason
        if isinstance(event, AdvertReceived):
            self._last_heard = LastHeard(source=event.source, priority=event.priority, at=now)

    def _takes_in_vain(self, before: Backup, now: float) -> bool:
        """Whether a Backup has just become Active beside one that serves and cannot hear of it."""
        last = self._last_heard
        return (
            isinstance(self._state.role, Active)
            and self._mute_since is not None
            and last.priority > MOST_USELESS
            and now - last.at <= 2 * before.interval
        )

    def _carry_out(self, action: Action) -> None:
        match action:
            case SendAdvert(priority):
                self._send(priority)
            case AddAddresses(lease):
                self._mover.add(lease)
            case RemoveAddresses():
                self._mover.remove()
            case AnnounceAddresses():
                self.ledger.announced += 1
                self._mover.announce()
            case _:
                assert_never(action)

    def _send(self, priority: int) -> None:
        wire, is_mute = self._wire, True
        for destination in wire.destinations:
            message = self._voice.compose(
                self._router, priority, source=wire.source, destination=destination, wall=self._wall()
            )
            try:
                wire.send(message, destination)
            except OSError as error:
                self.ledger.unsent += 1
                text = f"an advert to {destination} cannot be sent: {error.strerror or error}"
                if self.ledger.raise_alarm("unsent", destination, text, self._wall()) is not None:
                    log.warning(
                        "an advert cannot be sent", destination=destination, reason=error.strerror or str(error)
                    )
            else:
                is_mute = False
                self.ledger.sent += 1
                self.ledger.sent_zero += priority == RELEASE
        if not is_mute:
            self._mute_since = None
        elif self._mute_since is None:
            self._mute_since = self._clock()

    def _count(self, event: Event) -> None:
        match event:
            case AddressesLost(by_lease):
                self.ledger.leases_lost += by_lease
                self.ledger.addresses_taken += not by_lease
                log.warning("an address was lost", by="its lease" if by_lease else "somebody else")
            case MoveFailed(reason):
                log.error("the addresses cannot be held here", reason=reason)
            case _:
                pass

    def _note_transition(self, before: State, event: Event, *, now: float, late: float) -> None:
        cause = cause_of(before, event, self._state, now=now, late=late, last=self._last_heard)
        was, role = name_of(before), name_of(self._state)
        down = active_down(self._router.parameters.version, before.fitness.priority, self._router.parameters.interval)
        if isinstance(before.role, Active) and isinstance(self._state.role, Backup) and late > down:
            self.ledger.step_downs += 1
        self._changed_at, self._since, self._cause = now, self._wall(), cause
        self.ledger.transitions[role] += 1
        transition = Transition(
            before=was, after=role, cause=cause, priority=self._state.fitness.priority, at=self._since
        )
        log.info(
            "the role has changed",
            before=was,
            after=role,
            keepalived=KEEPALIVED_NAMES[role],
            cause=cause,
            priority=transition.priority,
        )
        self._on_transition(transition)

    def _waits_until(self, ago: float) -> float | None:
        """When this node takes over from the healthy one that has the address, in Unix time."""
        role = self._state.role
        if not isinstance(role, Backup) or role.fit_since is None:
            return None
        until = max(role.fit_since + self._router.parameters.preempt.after, role.shy_until)
        return until + ago if self._clock() < until < math.inf else None

    def status(self, *, version: str = "", interface: str = "", realtime: str = "") -> Status:
        """Everything that can be told."""
        router, ledger, wall = self._router, self.ledger, self._wall()
        ago = wall - self._clock()
        released = self._tracking.released(self._clock())
        return Status(
            version=version,
            pid=os.getpid(),
            started=self._started,
            now=wall,
            state=self.state,
            since=self._since,
            cause=self._cause,
            vrid=router.reception.vrid,
            vrrp_version=router.parameters.version,
            interface=interface,
            source=self._wire.source,
            destinations=self._wire.destinations,
            addresses=(*router.advertised, *router.excluded),
            priority=router.parameters.priority,
            effective_priority=self._state.fitness.priority,
            interval=router.parameters.interval,
            preempt=_preempt_text(router.parameters.preempt),
            held=self._tracking.held,
            released_until=None if released is None else released + ago,
            waits_until=self._waits_until(ago),
            lease=router.parameters.lease,
            leases_lost=ledger.leases_lost,
            addresses_taken=ledger.addresses_taken,
            transitions=dict(ledger.transitions),
            sent=ledger.sent,
            sent_zero=ledger.sent_zero,
            unsent=ledger.unsent,
            received=ledger.received,
            received_zero=ledger.received_zero,
            refused={refusal.label: ledger.refused[refusal] for refusal in Refusal},
            announced=ledger.announced,
            peers=ledger.peers,
            alarms=ledger.alarms(wall),
            tracks=tuple(
                TrackStatus(
                    name=each.track.name,
                    ok=each.ok,
                    fault=each.track.fault,
                    since=None if math.isnan(each.since) else each.since + ago,
                    detail=each.detail,
                    at=None if math.isnan(each.at) else each.at + ago,
                    results=each.results,
                    failures=each.failures,
                )
                for each in self._tracking.standings
            ),
            lateness=ledger.lateness(wall, realtime),
        )


def _unheard_by(source: str) -> str:
    return f"no advert leaves this node, and {source} has the address"


def _preempt_text(preempt: Preempt) -> str:
    if math.isinf(preempt.after):
        return "never"
    return f"after {preempt.after:g} s" if preempt.after else "always"
