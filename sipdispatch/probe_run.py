"""When is which target probed, and when is it enough?"""

from __future__ import annotations

import math
import signal
from collections.abc import AsyncIterator
from typing import Literal, Protocol

import attrs
import trio

from health.probe import PLAIN, Aim, Judge, LookUp, Manner, Packet, judge_2xx, numeric_only, probe
from health.report import ProbeReport, Result
from sipdispatch.probe_tally import Tally

MAX_AT_ONCE = 200
"""Probes under way together, each with a socket: far below the 1,024 files that a shell allows."""


@attrs.frozen(kw_only=True)
class Plan:
    """What is to be done; times in seconds."""

    aims: tuple[Aim, ...]
    timeout_s: float = 2.0
    manner: Manner = PLAIN
    look_up: LookUp = numeric_only
    judge: Judge = judge_2xx
    count: int = 1
    """Probes of each target, 0 without end."""
    interval_s: float = 1.0
    deadline_s: float = math.inf
    most_per_second: float = 100.0
    """Probes of all targets together."""
    until: Literal["up", "down"] | None = None
    rise: int = 1
    fall: int = 1


class Show(Protocol):
    """Whoever is told what happens, as it happens."""

    def packet(self, target: int, packet: Packet) -> None:
        """A packet of the target with this number has been sent or has come."""

    def report(self, target: int, report: ProbeReport) -> None:
        """A probe of the target with this number has ended."""


@attrs.frozen
class Outcome:
    """What there is at the end: a tally for each target, and the signal that ended it early, 0 for none."""

    tallies: tuple[Tally, ...]
    signal: int = 0


def reached(plan: Plan, tally: Tally) -> bool:
    """Whether the target has become what the plan waits for."""
    match plan.until:
        case "up":
            return tally.rise >= plan.rise
        case "down":
            return tally.fall >= plan.fall
        case None:
            return False


def run(plan: Plan, show: Show) -> Outcome:
    """Probe until the plan is carried out, or SIGINT or SIGTERM ends it; raises what `show` raises."""
    return trio.run(_Run(plan, show).run)


class _Run:
    def __init__(self, plan: Plan, show: Show) -> None:
        self._plan = plan
        self._show = show
        self._tallies = tuple(Tally(aim.label or aim.uri) for aim in plan.aims)
        # Probes from one port cannot be under way together.
        source = plan.manner.source
        self._at_once = trio.CapacityLimiter(1 if source is not None and source[1] else MAX_AT_ONCE)
        self._next_slot = -math.inf
        self._deadline = math.inf
        self._signal = 0

    async def run(self) -> Outcome:
        self._deadline = trio.current_time() + self._plan.deadline_s
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch_for, signals, nursery.cancel_scope)
                async with trio.open_nursery() as targets:
                    for number in range(len(self._plan.aims)):
                        targets.start_soon(self._follow, number)
                nursery.cancel_scope.cancel()
        return Outcome(self._tallies, self._signal)

    async def _watch_for(self, signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
        async for number in signals:
            self._signal = number
            scope.cancel()
            return

    async def _follow(self, number: int) -> None:
        """The probes of one target in turn: the next begins an interval after the last has begun, or when that ends."""
        plan, tally = self._plan, self._tallies[number]
        done = 0
        while not plan.count or done < plan.count:
            async with self._at_once:
                await self._wait_for_a_slot()
                began = trio.current_time()
                left = self._deadline - began
                if left <= 0:
                    return
                report = await self._probe(number, done + 1, min(plan.timeout_s, left))
                if left < plan.timeout_s and report.result in (Result.TIMEOUT, Result.DNS) and done:
                    return  # cut short: nothing can be said of it
            done += 1
            tally.add(report)
            self._show.report(number, report)
            if reached(plan, tally):
                return
            if done != plan.count:
                await trio.sleep_until(min(began + plan.interval_s, self._deadline))

    async def _probe(self, number: int, seq: int, timeout_s: float) -> ProbeReport:
        plan = self._plan
        report = await probe(
            plan.aims[number],
            timeout=timeout_s,
            manner=plan.manner,
            look_up=plan.look_up,
            judge=plan.judge,
            watch=lambda packet: self._show.packet(number, packet),
        )
        return attrs.evolve(report, seq=seq)

    async def _wait_for_a_slot(self) -> None:
        slot = max(self._next_slot, trio.current_time())
        self._next_slot = slot + 1 / self._plan.most_per_second
        await trio.sleep_until(min(slot, self._deadline))
