"""Under simulated time: when each target is probed, how often, and when it is enough."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Callable
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from health.probe import Aim, Manner, Packet
from health.report import ProbeReport, Result
from sipdispatch.probe_run import Outcome, Plan, _Run, reached
from tests.sipdispatch.probe_reports import GOOD, LOST, tally

A, B, C = (Aim(uri=f"sip:{name}", host=name, label=name) for name in "abc")
Clock = trio.testing.MockClock
Script = Callable[[str, int], tuple[float, Result]]
"""Target and turn to how long the probe takes and how it ends."""


@attrs.define
class Farm:
    """Servers that answer as a test says; `begun` has target, start and time-out of each probe."""

    script: Script
    begun: list[tuple[str, float, float]] = attrs.field(factory=list)
    under_way: int = 0
    most_under_way: int = 0

    async def probe(self, aim: Aim, *, timeout: float, watch: Any, **_: Any) -> ProbeReport:  # noqa: ASYNC109
        self.begun.append((aim.label, round(trio.current_time() - self.zero, 6), timeout))
        turn = sum(label == aim.label for label, *_ in self.begun)
        takes, result = self.script(aim.label, turn)
        watch(Packet(sent=True, data=b"", address=("192.0.2.1", 5060)))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await trio.sleep(min(takes, timeout))
        self.under_way -= 1
        if takes > timeout:
            result = Result.TIMEOUT
        return attrs.evolve(GOOD if result is Result.OK else LOST, target=aim.label, result=result)

    zero: float = 0.0


@attrs.define
class Seen:
    """What was shown."""

    reports: list[tuple[int, int]] = attrs.field(factory=list)
    packets: int = 0

    def packet(self, target: int, packet: Packet) -> None:
        self.packets += 1

    def report(self, target: int, report: ProbeReport) -> None:
        self.reports.append((target, report.seq))


async def run(monkeypatch: pytest.MonkeyPatch, script: Script, **plan: Any) -> tuple[Outcome, Farm, Seen]:
    farm, seen = Farm(script, zero=trio.current_time()), Seen()
    monkeypatch.setattr("sipdispatch.probe_run.probe", farm.probe)
    outcome = await _Run(Plan(**{"aims": (A,), **plan}), seen).run()
    return outcome, farm, seen


def always(takes: float = 0.01, result: Result = Result.OK) -> Script:
    return lambda _target, _turn: (takes, result)


async def test_each_target_is_probed_as_often_as_wanted(autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome, farm, seen = await run(monkeypatch, always(), aims=(A, B), count=3, interval_s=0.5)
    assert [(each.sent, each.ok) for each in outcome.tallies] == [(3, 3), (3, 3)]
    begun = [at for label, at, _ in farm.begun if label == "a"]  # whoever of the two comes second waits for its turn
    assert [at - begun[0] for at in begun] == pytest.approx([0.0, 0.5, 1.0])
    assert sorted(seen.reports) == [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (1, 3)]
    assert seen.packets == 6
    assert outcome.signal == 0
    assert {timeout for *_, timeout in farm.begun} == {2.0}


async def test_nothing_is_waited_for_after_the_last_probe(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = trio.current_time()
    await run(monkeypatch, always(), count=2, interval_s=10.0)
    assert trio.current_time() - before == pytest.approx(10.01)


async def test_a_probe_that_takes_long_delays_the_next(autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    _, farm, _ = await run(monkeypatch, always(9.0), count=3, interval_s=1.0, timeout_s=2.0)
    assert [at for _, at, _ in farm.begun] == [0.0, 2.0, 4.0]


async def test_no_more_probes_a_second_than_is_safe(autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    _, farm, _ = await run(monkeypatch, always(0.0), aims=(A, B, C), count=4, interval_s=0.0, most_per_second=10.0)
    assert [at for _, at, _ in farm.begun] == pytest.approx([number / 10 for number in range(12)])


async def test_from_one_port_one_after_the_other(autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    plan: dict[str, Any] = {"aims": (A, B, C), "most_per_second": 10_000.0}
    _, farm, _ = await run(monkeypatch, always(1.0), manner=Manner(source=("192.0.2.9", 5070)), **plan)
    assert farm.most_under_way == 1
    _, farm, _ = await run(monkeypatch, always(1.0), manner=Manner(source=("192.0.2.9", 0)), **plan)
    assert farm.most_under_way == 3


async def test_the_deadline_ends_it_between_probes(autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    before = trio.current_time()
    outcome, farm, _ = await run(monkeypatch, always(), count=0, interval_s=1.0, deadline_s=3.5)
    assert [at for _, at, _ in farm.begun] == [0.0, 1.0, 2.0, 3.0]
    assert trio.current_time() - before == pytest.approx(3.5)
    assert outcome.tallies[0].sent == 4


async def test_a_probe_that_the_deadline_cuts_short_does_not_count(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow_later(_target: str, turn: int) -> tuple[float, Result]:
        return (0.01 if turn == 1 else 9.0), Result.OK

    outcome, farm, _ = await run(monkeypatch, slow_later, count=0, deadline_s=1.5)
    assert [(each.sent, each.ok) for each in outcome.tallies] == [(1, 1)]
    assert farm.begun[1][2] == pytest.approx(0.5)
    outcome, _, _ = await run(monkeypatch, always(9.0), count=0, deadline_s=1.5)
    assert [(each.sent, each.ok) for each in outcome.tallies] == [(1, 0)]


async def test_what_is_refused_before_the_deadline_does_count(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome, _, _ = await run(monkeypatch, always(0.01, Result.REFUSED), count=0, deadline_s=1.5)
    assert outcome.tallies[0].sent == 2


async def test_a_target_that_never_gets_a_turn_before_the_deadline(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome, _, _ = await run(monkeypatch, always(), aims=(A, B), most_per_second=0.5, deadline_s=1.0)
    assert sorted(each.sent for each in outcome.tallies) == [0, 1]


async def test_until_up_ends_after_enough_good_probes_in_a_row(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def comes_back(target: str, turn: int) -> tuple[float, Result]:
        good = turn in (2, 4, 5) if target == "a" else turn > 0
        return 0.01, Result.OK if good else Result.REFUSED

    outcome, _, _ = await run(monkeypatch, comes_back, aims=(A, B), count=0, until="up", rise=2)
    assert [each.sent for each in outcome.tallies] == [5, 2]


async def test_until_down_ends_after_enough_failures_or_the_count(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = always(0.01, Result.REFUSED)
    outcome, _, _ = await run(monkeypatch, script, count=0, until="down", fall=3)
    assert outcome.tallies[0].sent == 3
    outcome, _, _ = await run(monkeypatch, script, count=2, until="up")
    assert outcome.tallies[0].sent == 2


def test_when_it_is_reached() -> None:
    up, down = (Plan(aims=(A,), until=each, rise=1, fall=2) for each in ("up", "down"))
    assert reached(up, tally(LOST, GOOD))
    assert not reached(up, tally())
    assert reached(down, tally(LOST, LOST))
    assert not reached(down, tally(LOST))
    assert not reached(Plan(aims=(A,)), tally(GOOD))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_it_with_what_there_is(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    def interrupted(_target: str, turn: int) -> tuple[float, Result]:
        if turn == 3:
            os.kill(os.getpid(), number)
        return 0.01, Result.OK

    outcome, _, _ = await run(monkeypatch, interrupted, count=0, deadline_s=60.0)
    assert outcome.signal == number
    assert outcome.tallies[0].sent >= 2
    assert math.isfinite(trio.current_time())
