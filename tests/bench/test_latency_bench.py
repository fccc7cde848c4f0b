"""Does the bench of latency say what a proxy adds?"""

from __future__ import annotations

from pathlib import Path

from bench.latency import Pair, Waits, table
from bench.load import Load, command
from tests.peers.need import require


def waits(p50_us: float, lost: float = 0) -> Waits:
    return Waits(rate=1000, p50_us=p50_us, p99_us=2 * p50_us, p999_us=3 * p50_us, lost=lost)


def test_what_a_proxy_adds_is_the_difference_of_the_medians_and_no_loss_is_hidden() -> None:
    pair = Pair([waits(130), waits(900, lost=2), waits(120)], [waits(100), waits(30), waits(200)])
    row = [cell.strip() for cell in table({("mine", 0.2): pair}).splitlines()[-1].strip("|").split("|")]
    assert row == ["mine", "20%", "1,000", "130 (+30)", "260 (+60)", "390 (+90)", "2"]


def test_the_waits_of_a_run_are_those_of_its_transactions_and_their_rate() -> None:
    line = "sent=100 got=90 late=6 bad=0 lost=4 seconds=0.5 gap_us=1500 delay_us=2500 p50_us=90 p99_us=400 p999_us=2400"
    assert Waits.of(Load.parse(line)) == Waits(rate=180, p50_us=90, p99_us=400, p999_us=2400, lost=4)


def test_straight_is_to_the_first_destination(tmp_path: Path) -> None:
    require("gcc")
    assert command(tmp_path, seconds=1, window=1, straight=True)[1:3] == ["127.1.0.1", "7000"]
