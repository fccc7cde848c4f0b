"""Does the bench of scrapes run, and count what it says?"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
import trio

from bench.scrape import TICK_S, Cost, Ticks, _row

ROOT = Path(__file__).parents[2]


async def test_the_longest_pause_is_that_of_the_longest_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turns at 0, 1, 5 and 6 ms, with 0.5 ms of CPU before the second and 3 ms before the third."""
    moments = iter((0.0, 0.001, 0.005, 0.006))
    used = iter((0.0, 0.0005, 0.0035, 0.0035))
    monkeypatch.setattr(time, "perf_counter", lambda: next(moments))
    monkeypatch.setattr(time, "process_time", lambda: next(used))
    turns = 0

    async def sleep(_seconds: float) -> None:
        nonlocal turns
        turns += 1
        if turns > 3:
            raise EOFError
        await trio.lowlevel.checkpoint()

    monkeypatch.setattr("bench.scrape.trio.sleep", sleep)
    ticks = Ticks()
    with pytest.raises(EOFError):
        await ticks.tick()
    assert ticks.longest() == pytest.approx((0.003, 0.002))
    assert ticks.longest() == (0.0, 0.0)
    assert TICK_S == 0.001


def test_a_row_has_medians_and_the_worst_pause() -> None:
    costs = [Cost(size=2000, seconds=0.1 * n, cpu=0.01 * n, pause=0.001 * n, held=0.0001 * n) for n in (1, 2, 9)]
    assert _row("name", costs) == ["name", "2", "200.0", "20.0", "2.00", "9.00", "0.20"]


def test_a_short_run_prints_a_table() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "bench.scrape", "--smoke"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert found.returncode == 0, found.stderr
    rows = [line.split("|")[1].strip() for line in found.stdout.splitlines() if line.startswith("| ")]
    assert rows[0] == "request"
    assert {"/healthz", "/metrics", "/metrics, gzip, facts gathered at once"} <= set(rows)
